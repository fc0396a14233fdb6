package overlay

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quicpeer/transport"
)

// noticed is how long a crash or a cut may go unnoticed.
const noticed = 10 * time.Second

func TestLossOfPackets(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.Lose(0.2)
		alice := w.start("alice")
		bob := w.start("bob", "alice")
		want := numbers(300)
		for _, body := range want {
			alice.send("bob", body)
			bob.send("alice", body)
			time.Sleep(20 * time.Millisecond)
		}
		alice.awaitBodies(time.Minute, "bob", want...)
		bob.awaitBodies(time.Minute, "alice", want...)
		alice.eventually(time.Minute, "all are delivered", func() bool { return len(all[Delivered](alice)) == len(want) })
	})
}

func TestCutAndHealed(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		w.Cut("alice", "bob")
		start := time.Now()
		for i, p := range peers {
			l := awaitEvent(p, noticed, func(PeerLeft) bool { return true })
			if l != (PeerLeft{ID: peers[1-i].ID(), Reason: ReasonLost}) {
				t.Errorf("%s was told of %+v", p.ID(), l)
			}
			if len(p.Peers()) != 0 {
				t.Errorf("%s still holds %v", p.ID(), p.Peers())
			}
		}
		t.Logf("known after %v", time.Since(start))
		peers[0].send("bob", "kept")
		awaitEvent(peers[0], time.Second, func(b Buffered) bool { return b.To == "bob" })
		time.Sleep(10 * time.Second)
		w.Heal("alice", "bob")
		start = time.Now()
		for _, p := range peers {
			p.eventually(35*time.Second, "the other joined again", func() bool { return len(all[PeerJoined](p)) == 2 })
		}
		t.Logf("healed after %v", time.Since(start))
		peers[1].awaitBodies(5*time.Second, "alice", "kept")
		talk(peers[0], peers[1])
	})
}

// Two of three peers can't reach each other any more. The third reaches both, so no peer is
// lost, and messages of the two go over it.
func TestCutBetweenTwoOfThree(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		w.Cut("alice", "bob")
		id := peers[0].send("bob", "over carol")
		peers[1].awaitBodies(5*time.Second, "alice", "over carol") // the link is silent, and has not ended yet
		if d := awaitEvent(peers[0], time.Second, func(d Delivered) bool { return d.Message == id }); d.Path != PathRelayed {
			t.Errorf("delivered: %+v", d)
		}
		if m := all[Message](peers[1])[0]; m.Path != PathRelayed {
			t.Errorf("the message is %+v", m)
		}
		time.Sleep(time.Minute)
		for _, p := range peers {
			if len(all[PeerLeft](p)) != 0 {
				t.Errorf("%s: %s", p.ID(), p.summary())
			}
		}
		talk(peers[0], peers[2])
		talk(peers[1], peers[2])
		w.Heal("alice", "bob")
		time.Sleep(35 * time.Second)
		peers[0].send("bob", "directly")
		peers[1].awaitBodies(time.Second, "alice", "over carol", "directly")
		if row := peers[0].Peers()[0]; !row.Direct || row.ID != "bob" {
			t.Errorf("alice's row of bob is %+v", row)
		}
	})
}

func TestCrash(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol", "dave")
		w.Crash("dave")
		for _, p := range peers[:3] {
			l := awaitEvent(p, noticed, func(PeerLeft) bool { return true })
			if l != (PeerLeft{ID: "dave", Reason: ReasonLost}) {
				t.Errorf("%s was told of %+v", p.ID(), l)
			}
		}
		time.Sleep(30 * time.Second)
		for _, p := range peers[:3] {
			if n := len(all[PeerLeft](p)); n != 1 {
				t.Errorf("%s was told %d times that somebody left", p.ID(), n)
			}
		}
		if peers[3].Err() == nil {
			t.Error("dave does not know that its socket is broken")
		}
	})
}

// A peer crashes and is back before it was missed: it leaves and joins at once, and messages
// sent meanwhile arrive.
func TestRestart(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		talk(peers[0], peers[1])
		w.Crash("bob")
		peers[0].send("bob", "meanwhile")
		time.Sleep(time.Second)
		bob := w.start("bob", "carol")
		for _, p := range []*peer{peers[0], peers[2]} {
			p.eventually(time.Second, "bob joined again", func() bool { return len(all[PeerJoined](p)) == 3 })
			if l := all[PeerLeft](p); len(l) != 1 || l[0] != (PeerLeft{ID: "bob", Reason: ReasonLost}) {
				t.Errorf("%s was told of %+v", p.ID(), l)
			}
		}
		bob.awaitBodies(time.Second, "alice", "meanwhile")
		talk(peers[0], bob)
		talk(peers[2], bob)
	})
}

func TestLeaveIsNoLoss(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		if n, err := peers[1].Leave(t.Context()); n != 0 || err != nil {
			t.Errorf("Leave: %d, %v", n, err)
		}
		for _, p := range []*peer{peers[0], peers[2]} {
			if l := awaitEvent(p, time.Second, func(PeerLeft) bool { return true }); l != (PeerLeft{ID: "bob", Reason: ReasonLeft}) {
				t.Errorf("%s was told of %+v", p.ID(), l)
			}
		}
		w.start("bob", "alice")
		for _, p := range []*peer{peers[0], peers[2]} {
			p.eventually(time.Second, "bob joined again", func() bool { return len(all[PeerJoined](p)) == 3 })
		}
	})
}

// A link is cut in the middle of a burst: too briefly to be noticed, or long enough for the
// link to be given up, or for the peer to be lost.
func TestCutInABurst(t *testing.T) {
	for _, cut := range []time.Duration{500 * time.Millisecond, 4 * time.Second, 25 * time.Second} {
		t.Run(cut.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				peers := w.network("alice", "bob")
				time.AfterFunc(time.Second, func() { w.Cut("alice", "bob") })
				time.AfterFunc(time.Second+cut, func() { w.Heal("alice", "bob") })
				want := numbers(1000)
				for _, body := range want {
					peers[0].send("bob", body)
					peers[1].send("alice", body)
					time.Sleep(3 * time.Millisecond)
				}
				peers[0].awaitBodies(cut+35*time.Second, "bob", want...)
				peers[1].awaitBodies(cut+35*time.Second, "alice", want...)
				for _, p := range peers {
					p.eventually(time.Second, "all are delivered", func() bool { return len(all[Delivered](p)) == len(want) })
				}
			})
		})
	}
}

// Links break again and again while messages of all sizes flow both ways.
func TestLinksBreakInABurst(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		random := rand.New(rand.NewPCG(1, 2))
		var want []string
		for i, body := range numbers(1500) {
			body += string(make([]byte, random.IntN(1+random.IntN(3000))))
			want = append(want, body)
			peers[0].send("bob", body)
			peers[1].send("alice", body)
			if i%50 == 0 {
				peers[random.IntN(2)].breakLinks(random.IntN(2) == 0)
			}
			if i%7 == 0 {
				time.Sleep(time.Duration(random.IntN(int(30 * time.Millisecond))))
			}
		}
		peers[0].awaitBodies(30*time.Second, "bob", want...)
		peers[1].awaitBodies(30*time.Second, "alice", want...)
		for _, p := range peers {
			p.eventually(time.Second, "all are delivered", func() bool { return len(all[Delivered](p)) == len(want) })
			if len(all[PeerLeft](p)) != 0 {
				t.Errorf("%s: %s", p.ID(), p.summary())
			}
		}
	})
}

// breakLinks ends the node's links, with a goodbye or without.
func (p *peer) breakLinks(politely bool) {
	p.post(onLoop(func(l *loop) {
		for _, nl := range l.links.all {
			if politely {
				nl.Shut(transport.CodeInternal, "a test")
			} else {
				nl.Abort(transport.CodeInternal, "a test")
			}
		}
	}))
}

// Broadcasts reach every peer once, even while links break.
func TestBroadcastWhileLinksBreak(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol", "dave", "eve")
		random := rand.New(rand.NewPCG(3, 4))
		want := numbers(200)
		for i, body := range want {
			if _, err := peers[0].Broadcast(t.Context(), body, ""); err != nil {
				t.Fatal(err)
			}
			if i%20 == 10 {
				peers[random.IntN(len(peers))].breakLinks(random.IntN(2) == 0)
			}
			time.Sleep(time.Duration(random.IntN(int(20 * time.Millisecond))))
		}
		for _, p := range peers[1:] {
			p.eventually(10*time.Second, "all broadcasts came", func() bool { return len(p.bodies("alice")) >= len(want) })
			got := p.bodies("alice")
			slices.Sort(got)
			sorted := slices.Sorted(slices.Values(want))
			if !slices.Equal(got, sorted) {
				t.Errorf("%s got %s", p.ID(), brief(got))
			}
		}
	})
}
