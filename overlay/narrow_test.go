package overlay

import (
	"strings"
	"testing"
	"time"
)

// narrow starts three peers, or two, whose sockets probe for the largest packet, and narrows
// the path between two of them once they have found it.
func (w *world) narrow(bytes int, names ...string) []*peer {
	w.t.Helper()
	w.Search()
	peers := w.network(names...)
	talk(peers[0], peers[1])
	time.Sleep(20 * time.Second)
	w.Narrow(names[0], names[1], bytes)
	return peers
}

// longText does not fit into one packet.
var longText = strings.Repeat("x", 20_000)

// TestNarrowFromTheStart: peers meet over a path that takes no larger packets than a tunnel.
func TestNarrowFromTheStart(t *testing.T) {
	for _, bytes := range []int{1228, 1280} {
		simulate(t, func(t *testing.T, w *world) {
			w.Search()
			w.Narrow("alice", "bob", bytes)
			peers := w.network("alice", "bob")
			peers[0].send("bob", longText)
			peers[1].awaitBodies(2*time.Second, "alice", longText)
		})
	}
}

// TestPathGetsNarrow: when large packets begin to vanish while small ones come and go, a long
// text goes over other peers or over a new link within seconds, once, and in order. With two
// peers alone it is the new link.
func TestPathGetsNarrow(t *testing.T) {
	for name, names := range map[string][]string{"two": {"alice", "bob"}, "three": {"alice", "bob", "carol"}} {
		for _, from := range []int{0, 1} {
			t.Run(name+", from "+names[from], func(t *testing.T) {
				simulate(t, func(t *testing.T, w *world) {
					peers := w.narrow(1300, names...)
					p, q := peers[from], peers[1-from]
					link := p.linkTo(q.Key())
					start := time.Now()
					for _, body := range []string{"before", longText, "behind"} {
						p.send(q.ID(), body)
					}
					q.awaitBodies(8*time.Second, p.ID(), append(q.bodies(p.ID()), "before", longText, "behind")...)
					t.Logf("came after %v", time.Since(start))
					p.eventually(8*time.Second, "it is delivered, and the link is another", func() bool {
						return len(all[Delivered](p)) == 4 && p.linkTo(q.Key()) != link
					})
					time.Sleep(time.Minute)
					p.send(q.ID(), longText+"!")
					awaitEvent(q, time.Second, func(m Message) bool { return m.Body == longText+"!" && m.Path == PathDirect })
					if n := len(q.bodies(p.ID())); n != 5 {
						t.Errorf("%s was shown %d messages", q.ID(), n)
					}
					for _, p := range peers {
						if l := all[PeerLeft](p); len(l) != 0 {
							t.Errorf("%s was told of %+v", p.ID(), l)
						}
					}
				})
			})
		}
	}
}

// TestPathGetsTooNarrow: if a path is too narrow for QUIC altogether no new link is possible,
// and everything goes over other peers.
func TestPathGetsTooNarrow(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.narrow(1000, "alice", "bob", "carol")
		want := peers[1].bodies("alice")
		for i := range 5 {
			body := longText + string(rune('0'+i))
			want = append(want, body)
			peers[0].send("bob", body)
			peers[1].awaitBodies(8*time.Second, "alice", want...)
			time.Sleep(20 * time.Second)
		}
		peers[0].eventually(time.Second, "all are delivered", func() bool { return len(all[Delivered](peers[0])) == len(want) })
	})
}

// TestStuckProgram: a receiver whose program does not read its events is not taken for one
// with a broken path: its link stays, and nothing goes over other peers.
func TestStuckProgram(t *testing.T) {
	for _, loss := range []float64{0, 0.2} {
		simulate(t, func(t *testing.T, w *world) {
			w.Search()
			alice, carol := w.start("alice"), w.start("carol", "alice")
			bob := w.startDeaf("bob", "alice")
			alice.eventually(5*time.Second, "both are here", func() bool { return len(alice.here()) == 2 })
			time.Sleep(20 * time.Second)
			w.Lose(loss)
			link := alice.linkTo(bob.Key())
			var want []string
			for i := range 300 { // more than the queue, the streams and the window hold
				want = append(want, longText+string(rune('0'+i)))
				alice.send("bob", want[i])
			}
			for range 120 {
				time.Sleep(time.Second)
				if alice.stuckTo(bob.Key()) || carol.stuckTo(bob.Key()) {
					t.Fatalf("with %v loss a program that does not read is taken for a path that does not carry", loss)
				}
			}
			// With loss a link may be silent by chance, and then another takes its place.
			if loss == 0 && alice.linkTo(bob.Key()) != link || carol.linkTo(bob.Key()) == 0 {
				t.Errorf("with %v loss there is another link", loss)
			}
			w.Lose(0)
			bob.listen()
			bob.awaitBodies(time.Minute, "alice", want...)
			alice.eventually(5*time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == len(want) })
			for _, d := range all[Delivered](alice) {
				if d.Path != PathDirect && loss == 0 {
					t.Fatalf("delivered: %+v", d)
				}
			}
		})
	}
}
