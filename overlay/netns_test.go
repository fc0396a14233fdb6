package overlay

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/scripts/netlab"
)

// host runs lines of the command ip on the host of the test.
func host(t *testing.T, lines ...string) {
	t.Helper()
	if err := netlab.Here.IP(lines...); err != nil {
		t.Fatal(err)
	}
}

// card is the line that makes an interface whose cable leads nowhere.
func card(name string) string { return "link add " + name + " type veth peer name " + name + "x" }

// realPeer is a node on a real socket, with the events it has had.
type realPeer struct {
	*Node
	t      *testing.T
	listen []string
	got    chan Message
}

func realStart(t *testing.T, id certs.ID, join ...string) *realPeer {
	t.Helper()
	return realStartWith(t, Config{ID: id, Join: join})
}

func realStartWith(t *testing.T, cfg Config) *realPeer {
	t.Helper()
	n, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &realPeer{Node: n, t: t, got: make(chan Message, 16)}
	ready, done := make(chan []string, 1), make(chan struct{})
	go func() {
		defer close(done)
		for e := range n.Events() {
			switch e := e.(type) {
			case Ready:
				ready <- e.Listen
			case Message:
				p.got <- e
			}
		}
	}()
	t.Cleanup(func() {
		_ = n.Close() // nothing is expected of it any more
		<-done
	})
	p.listen = <-ready
	return p
}

// until waits for a condition that no event reports.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	late := time.After(30 * time.Second)
	for !condition() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// row is a peer's table entry of another.
func (p *realPeer) row(of *realPeer) Peer {
	list := p.Peers()
	i := slices.IndexFunc(list, func(row Peer) bool { return row.ID == of.ID() })
	if i < 0 {
		return Peer{}
	}
	return list[i]
}

// isAt waits until a peer knows that another is at this IP, and at no other but ::1.
func (p *realPeer) isAt(of *realPeer, want string) {
	p.t.Helper()
	until(p.t, string(of.ID())+" is at "+want, func() bool {
		var got []string
		for _, a := range p.row(of).Addresses {
			if ip := netip.MustParseAddrPort(a).Addr(); ip != netip.IPv6Loopback() || want != "127.0.0.1" {
				got = append(got, ip.String())
			}
		}
		return slices.Equal(got, []string{want})
	})
}

// tells sends a message that must go over a connection of the two.
func (p *realPeer) tells(to *realPeer, body string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	if _, err := p.Send(ctx, to.ID(), body, ""); err != nil {
		p.t.Fatal(err)
	}
	select {
	case m := <-to.got:
		if m.Body != body || m.From != p.ID() {
			p.t.Errorf("%s got %+v", to.ID(), m)
		}
	case <-ctx.Done():
		p.t.Fatalf("%s did not get %q", to.ID(), body)
	}
}

func port(a string) string { return a[strings.LastIndexByte(a, ':'):] }

// On a host with nothing but lo, peers that joined by localhost link to each other, and go on
// when the first one leaves. When the host gets a network their records say so, and change
// back when it is gone.
func TestNothingButLoopback(t *testing.T) {
	if !netlab.Alone(t) {
		return
	}
	alice := realStart(t, "alice")
	if want := "127.0.0.1" + port(alice.listen[0]); alice.listen[0] != want {
		t.Errorf("it listens on %v", alice.listen)
	}
	door := "localhost" + port(alice.listen[0])
	bob, carol := realStart(t, "bob", door), realStart(t, "carol", door)
	until(t, "bob and carol are linked", func() bool { return bob.row(carol).Direct && carol.row(bob).Direct })
	bob.isAt(carol, "127.0.0.1")
	if _, err := alice.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "alice has left", func() bool { return len(bob.Peers()) == 1 && len(carol.Peers()) == 1 })
	bob.tells(carol, "she has gone")
	carol.tells(bob, "we have not")

	host(t, card("lan0"), "address add 192.168.7.5/24 dev lan0", "link set lan0x up", "link set lan0 up")
	bob.isAt(carol, "192.168.7.5")
	carol.isAt(bob, "192.168.7.5")
	dave := realStart(t, "dave", "192.168.7.5"+port(bob.listen[0]))
	until(t, "dave is linked to both", func() bool { return dave.row(bob).Direct && dave.row(carol).Direct })
	host(t, "link delete lan0")
	bob.isAt(carol, "127.0.0.1")
	dave.isAt(carol, "127.0.0.1")
	until(t, "dave is linked to both", func() bool { return dave.row(bob).Direct && dave.row(carol).Direct })
	dave.tells(carol, "and again")
}

// Forty virtual interfaces come before the card of the LAN.
func TestLANBehindManyInterfaces(t *testing.T) {
	if !netlab.Alone(t) {
		return
	}
	var lines []string
	for i := range 40 {
		name, net := "kube"+string(rune('0'+i/10))+string(rune('0'+i%10)), netip.AddrFrom4([4]byte{10, byte(100 + i), 0, 1})
		lines = append(lines, card(name), "address add "+net.String()+"/24 dev "+name, "link set "+name+"x up", "link set "+name+" up")
	}
	host(t, lines...)
	// The name of the interface says nothing; the default route leads over it.
	host(t, card("lan0"), "address add 192.168.7.5/24 dev lan0", "link set lan0x up", "link set lan0 up", "route add default via 192.168.7.1")
	reachedAt(t, "192.168.7.5")
}

// The host has only IPv4 link-local addresses: a cable between two laptops.
func TestLinkLocalAlone(t *testing.T) {
	if !netlab.Alone(t) {
		return
	}
	host(t, card("lan0"), "address add 169.254.7.5/16 dev lan0", "link set lan0x up", "link set lan0 up")
	reachedAt(t, "169.254.7.5")
}

// reachedAt has peers join each other at an address of the host, and checks the addresses that
// they announce.
func reachedAt(t *testing.T, address string) {
	t.Helper()
	alice := realStart(t, "alice")
	if alice.listen[0] != address+port(alice.listen[0]) {
		t.Errorf("it listens on %v", alice.listen)
	}
	bob, carol := realStart(t, "bob", alice.listen[0]), realStart(t, "carol", alice.listen[0])
	until(t, "all are linked", func() bool { return bob.row(carol).Direct && carol.row(bob).Direct })
	for _, p := range []*realPeer{alice, bob, carol} {
		n := p.Net()
		if n.NAT != NATNone {
			t.Errorf("%s: NAT is %v", p.ID(), n.NAT)
		}
		for _, way := range n.Peers {
			if way.How != HowLAN {
				t.Errorf("%s: %s is reached by %v", p.ID(), way.ID, way.How)
			}
		}
	}
	if a := bob.row(carol).Addresses; len(a) == 0 || a[0] != carol.listen[0] {
		t.Errorf("the record says %v", a)
	}
}
