package overlay

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/scripts/netlab"
	"quicpeer/transport/discovery"
)

// TestClosedDoor: peers of a private network are among themselves. One that knocks from elsewhere,
// and a member that knocks elsewhere, are told so.
func TestClosedDoor(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		open := w.start("open")
		w.door = certs.NewDoor(certs.PublicKey{1})
		peers := w.network("alice", "bob", "carol")
		for _, test := range []struct {
			name, join string
			door       *certs.Door
			says       string
		}{
			{"stranger", "alice", nil, "does not speak quicpeer, or is a private network that this peer has no ticket for"},
			{"other", "alice", certs.NewDoor(certs.PublicKey{2}), "does not speak quicpeer, or is a private network that this peer has no ticket for"},
			{"dave", "open", w.door, "not in the private network of this peer"},
		} {
			cfg := w.config(test.name, test.join)
			cfg.place.door, cfg.JoinTimeout = test.door, time.Second
			n, err := Start(t.Context(), cfg)
			unreachable, ok := errors.AsType[*UnreachableError](err)
			if n != nil || !ok || !slices.Equal(unreachable.Obstacles, []Obstacle{ObstacleProtocol}) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		if _, err := peers[0].Send(t.Context(), "carol", "among us", ""); err != nil {
			t.Fatal(err)
		}
		peers[2].eventually(time.Second, "the message", func() bool { return len(all[Message](peers[2])) == 1 })
		if n := len(open.here()); n != 0 {
			t.Errorf("the open network has %d peers more", n)
		}
	})
}

// TestFoundBehindDoor: members find each other on the LAN, a peer of an open network of the same
// name is alone, and whoever looks for that network finds no other.
func TestFoundBehindDoor(t *testing.T) {
	if !netlab.Alone(t) {
		return
	}
	host(t, card("lan0"), "address add 192.168.7.5/24 dev lan0", "link set lan0x up", "link set lan0 up")
	start := func(id certs.ID, door *certs.Door) *realPeer {
		return realStartWith(t, Config{ID: id, Network: "home", Discover: true, place: place{door: door}})
	}
	door := certs.NewDoor(certs.PublicKey{1})
	alice := start("alice", door)
	open := start("eve", nil)
	bob, carol := start("bob", door), start("carol", door)
	until(t, "all members are linked", func() bool {
		return alice.row(bob).Direct && alice.row(carol).Direct && bob.row(carol).Direct
	})
	bob.tells(carol, "found")
	for _, p := range []*realPeer{alice, bob, carol} {
		if n := len(p.Peers()); n != 2 {
			t.Errorf("%s has %d peers", p.ID(), n)
		}
	}
	if n := len(open.Peers()); n != 0 {
		t.Errorf("the open network has %d peers", n)
	}
	found := make(chan discovery.Peer, 16)
	d := discovery.Start(discovery.Config{
		ID: "stranger", Network: "home", Port: 1, Log: slog.New(slog.DiscardHandler), Found: func(p discovery.Peer) { found <- p },
	})
	p := <-found
	d.Close()
	if p.ID != "eve" || len(found) > 0 {
		t.Errorf("a stranger finds %+v and %d more", p, len(found))
	}
}
