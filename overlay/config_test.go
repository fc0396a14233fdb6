package overlay

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
)

func TestConfigDefaults(t *testing.T) {
	c, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certs.ParseID(string(c.State.ID)); err != nil || c.Listen != ":0" || c.JoinTimeout != 10*time.Second || c.Log == nil {
		t.Errorf("the defaults are %+v (%v)", c, err)
	}
	other, err := Config{}.withDefaults()
	if err != nil || other.State.ID == c.State.ID || other.State.Identity.Key() == c.State.Identity.Key() {
		t.Error("two peers are one")
	}

	given := Config{State: state("alice", "a"), ID: "ignored", Listen: "[::1]:5000", JoinTimeout: -1, Network: "n", Software: "s 1", Log: c.Log}
	if got, err := given.withDefaults(); err != nil || got.State != given.State || got.Listen != given.Listen ||
		got.JoinTimeout != -1 || got.Network != "n" || got.Software != "s 1" || got.Log != c.Log {
		t.Errorf("what was given became %+v (%v)", got, err)
	}
	if got, err := (Config{ID: "bob"}).withDefaults(); err != nil || got.State.ID != "bob" {
		t.Errorf("the ID bob became %v (%v)", got.State.ID, err)
	}
	if got, err := (Config{Software: "x" + strings.Repeat("ü", 40)}).withDefaults(); err != nil || got.Software != "x"+strings.Repeat("ü", 31) {
		t.Errorf("a long name of the software became %q (%v)", got.Software, err)
	}
	for _, c := range []Config{{ID: "two words"}, {Network: "\x1b"}, {Network: strings.Repeat("x", 65)}, {Network: "\xff"}} {
		if _, err := c.withDefaults(); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

func TestResolve(t *testing.T) {
	good := []struct {
		in   string
		want string
	}{
		{"192.0.2.1:5000", "192.0.2.1:5000"},
		{"[2001:db8::1]:5000", "[2001:db8::1]:5000"},
		{"[::ffff:192.0.2.1]:5000", "192.0.2.1:5000"},
		{"[fe80::1%eth0]:5000", "[fe80::1%eth0]:5000"},
		{"localhost:5000", "127.0.0.1:5000"},
		{":5000", "127.0.0.1:5000"},
	}
	n := names{lookup: lookupIP, last: make(map[string]answered)}
	resolve := func(in string) ([]netip.AddrPort, error) {
		if a, ok := literal(in); ok {
			return []netip.AddrPort{a}, nil
		}
		return n.resolve(t.Context(), in, lookupTime)
	}
	for _, test := range good {
		list, err := resolve(test.in)
		if err != nil || !slices.Contains(list, netip.MustParseAddrPort(test.want)) {
			t.Errorf("%s: %v, %v", test.in, list, err)
		}
	}
	for _, in := range []string{"", "localhost", "192.0.2.1", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:-1", "localhost:0", "localhost:http", "::1:5000", "[::1]"} {
		if list, err := resolve(in); err == nil {
			t.Errorf("%q: %v", in, list)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, in := range []string{"127.0.0.1:5000", "192.0.2.1:5000", "[2001:db8::1]:5000"} {
		socket := netip.MustParseAddrPort(in)
		own, _ := ownAddresses(socket)
		if listen := listening(socket, own); !slices.Equal(own, []netip.AddrPort{socket}) || !slices.Equal(listen, []string{in}) {
			t.Errorf("%s: %v, %v", in, own, listen)
		}
	}
	for _, in := range []string{"0.0.0.0:5000", "[::]:5000"} {
		socket := netip.MustParseAddrPort(in)
		own, near := ownAddresses(socket)
		if listen := listening(socket, own); !slices.Contains(listen, "127.0.0.1:5000") || len(own) > maxOwnAddresses || len(near) > len(own) {
			t.Errorf("%s: %v in %v, %v", in, own, near, listen)
		}
		for i, a := range own {
			if a.Port() != 5000 || in[0] == '0' && !a.Addr().Is4() || len(near) > 0 && !near[i].Contains(a.Addr()) {
				t.Errorf("%s: %s in %s", in, a, near)
			}
		}
	}
}

// A peer of this host may listen on loopback alone.
func TestFoundAddresses(t *testing.T) {
	if got := foundAddresses(netip.MustParseAddrPort("203.0.113.77:5000")); !slices.Equal(got, []string{"203.0.113.77:5000"}) {
		t.Errorf("elsewhere: %v", got)
	}
	own, _ := ownAddresses(netip.MustParseAddrPort("[::]:5000"))
	for _, a := range own {
		if a.Addr().IsLoopback() {
			continue // a host with loopback alone
		}
		if got := foundAddresses(a); !slices.Equal(got, []string{a.String(), "127.0.0.1:5000"}) {
			t.Errorf("here: %v", got)
		}
	}
}

// A Start that fails leaves nothing behind.
func TestStartFails(t *testing.T) {
	first, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Listen: first.LocalAddr().String()}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port in use: %v", err)
	}
	if _, err := Start(t.Context(), Config{ID: "two words", Conn: first}); err == nil {
		t.Error("a malformed ID is taken")
	}
	if err := first.Close(); err == nil {
		t.Error("the socket was left open")
	}
	closed, err := OpenState(t.TempDir(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{State: closed, Listen: "127.0.0.1:0"}); err == nil {
		t.Error("a state that was closed is taken")
	}
}

// A state directory belongs to the network that its peer was first in. One that does not say
// which, as those of earlier versions, takes the network of its next start.
func TestStateOfAnotherNetwork(t *testing.T) {
	dir := t.TempDir()
	start := func(network string, join ...string) (*Node, error) {
		state, err := OpenState(dir, "alice")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { state.Close() })
		n, err := Start(t.Context(), Config{State: state, Listen: "127.0.0.1:0", Network: network, Join: join, JoinTimeout: time.Millisecond})
		if n == nil {
			state.Close()
		}
		return n, err
	}
	if _, err := start("typo", "127.0.0.1:9"); err == nil {
		t.Fatal("it has joined nobody")
	}
	n, err := start("work")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Send(t.Context(), "bob", "for bob of work", ""); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.Close(), n.cfg.State.Close()); err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"home", ""} {
		_, err := start(network)
		if e, ok := errors.AsType[*OtherNetworkError](err); !ok || e.Stored != "work" || e.Wanted != network || e.Dir != dir {
			t.Errorf("started in %q: %v", network, err)
		}
	}
	if n, err = start("work"); err != nil {
		t.Fatal(err)
	}
	if list := n.Waiting(); len(list) != 1 {
		t.Errorf("waiting: %v", list)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}
