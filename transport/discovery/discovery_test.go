package discovery

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quicpeer/certs"
	"quicpeer/scripts/netlab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var silent = slog.New(slog.DiscardHandler)

const fingerprint = "SHA256:M629qRVeAI/rGymUyNidvrI5Dz6X1n40nYgYx+urAs4"

func said(id, key, network, ip string, port uint16) answer {
	addr, _ := netip.ParseAddr(ip)
	return answer{netip.AddrPortFrom(addr, port), map[string]string{"id": id, "key": key, "net": network}}
}

// parse is what a peer of an open network makes of an answer.
func parse(e answer, network string) (Peer, error) {
	return (&Discovery{cfg: Config{Network: network}}).parse(e)
}

// TestParse: answers that any host on the LAN may give.
func TestParse(t *testing.T) {
	p, err := parse(said("bob", fingerprint, "team", "192.168.1.7", 5000), "team")
	if err != nil || p != (Peer{"bob", fingerprint, netip.MustParseAddrPort("192.168.1.7:5000")}) {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := parse(said("bob", fingerprint, "team", "fe80::1%eth0", 5000), "team"); err != nil {
		t.Error(err)
	}
	for what, e := range map[string]answer{
		"another network":        said("bob", fingerprint, "other", "192.168.1.7", 5000),
		"no network":             {},
		"no ID":                  said("", fingerprint, "team", "192.168.1.7", 5000),
		"an ID with a newline":   said("b\nb", fingerprint, "team", "192.168.1.7", 5000),
		"a long ID":              said(strings.Repeat("x", 65), fingerprint, "team", "192.168.1.7", 5000),
		"no key":                 said("bob", "", "team", "192.168.1.7", 5000),
		"a short key":            said("bob", "SHA256:AAAA", "team", "192.168.1.7", 5000),
		"a key of another kind":  said("bob", "MD5:"+fingerprint[7:], "team", "192.168.1.7", 5000),
		"no port":                said("bob", fingerprint, "team", "192.168.1.7", 0),
		"no address":             said("bob", fingerprint, "team", "", 5000),
		"any address":            said("bob", fingerprint, "team", "0.0.0.0", 5000),
		"a group":                said("bob", fingerprint, "team", "224.0.0.251", 5000),
		"a link of no interface": said("bob", fingerprint, "team", "fe80::1", 5000),
	} {
		if p, err := parse(e, "team"); err == nil {
			t.Errorf("%s: %+v", what, p)
		}
	}
}

// onLAN runs the test in a network namespace of its own that has one interface, so that
// multicast stays there.
func onLAN(t *testing.T) (inside bool) {
	t.Helper()
	if !netlab.Alone(t) {
		return false
	}
	if err := netlab.Here.IP("link add eth0 type veth peer name eth1", "addr add 10.7.0.1/24 dev eth0", "link set eth0 up", "link set eth1 up"); err != nil {
		t.Fatal(err)
	}
	return true
}

func begin(t *testing.T, seed byte, network string) (found chan Peer, d *Discovery) {
	t.Helper()
	return beginBehind(t, seed, network, nil)
}

func beginBehind(t *testing.T, seed byte, network string, door *certs.Door) (found chan Peer, d *Discovery) {
	t.Helper()
	found = make(chan Peer, 16)
	d = Start(Config{
		ID: certs.ID([]byte{'p', '0' + seed}), Key: certs.PublicKey{seed}, Network: network, Door: door, Port: 5000 + uint16(seed),
		Found: func(p Peer) {
			select {
			case found <- p:
			default:
			}
		},
		Log: silent,
	})
	t.Cleanup(d.Close)
	return found, d
}

// TestFound: the later of two peers finds the earlier one, at its address and port; it finds
// neither itself nor peers of another network.
func TestFound(t *testing.T) {
	if !onLAN(t) {
		return
	}
	first, _ := begin(t, 1, "team")
	other, _ := begin(t, 2, "other")
	third, d := begin(t, 3, "team")
	for _, test := range []struct {
		found chan Peer
		want  Peer
	}{
		{third, Peer{"p1", certs.PublicKey{1}.String(), netip.MustParseAddrPort("10.7.0.1:5001")}},
		{first, Peer{"p3", certs.PublicKey{3}.String(), netip.MustParseAddrPort("10.7.0.1:5003")}},
	} {
		select {
		case p := <-test.found:
			if p != test.want {
				t.Errorf("found %+v, not %+v", p, test.want)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s is not found", test.want.ID)
		}
	}
	// After new interfaces it asks again.
	for len(third) > 0 {
		<-third
	}
	d.Refresh()
	select {
	case p := <-third:
		if p.ID != "p1" {
			t.Errorf("then found %+v", p)
		}
	case <-time.After(20 * time.Second):
		t.Error("after Refresh nobody is found")
	}
	if len(other) > 0 {
		t.Errorf("the other network has found %+v", <-other)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("bob", fingerprint, "team", []byte{192, 168, 1, 7}, uint16(5000))
	f.Add("", "", "", []byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, id, key, network string, ip []byte, port uint16) {
		addr, _ := netip.AddrFromSlice(ip)
		p, err := parse(answer{netip.AddrPortFrom(addr, port), map[string]string{"id": id, "key": key, "net": network}}, "team")
		if err == nil && (network != "team" || !p.Address.IsValid() || p.Address.Port() == 0 || len(p.ID) > 64 || len(p.Key) > 64) {
			t.Errorf("takes %+v", p)
		}
	})
}

// TestFoundOnceThereIsANetwork: a peer that starts without any network is found once there is
// one.
func TestFoundOnceThereIsANetwork(t *testing.T) {
	if !onLAN(t) {
		return
	}
	set := func(state string) {
		t.Helper()
		if err := netlab.Here.IP("link set lo "+state, "link set eth0 "+state); err != nil {
			t.Fatal(err)
		}
	}
	set("down")
	_, first := begin(t, 1, "team")
	set("up")
	found, _ := begin(t, 2, "team")
	first.Refresh()
	select {
	case p := <-found:
		if p.ID != "p1" {
			t.Errorf("found %+v", p)
		}
	case <-time.After(20 * time.Second):
		t.Error("it is not found")
	}
}
