package overlay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// carriedTo says that a peer has a link over others to another one.
func (p *peer) carriedTo(id certs.ID) bool {
	return slices.ContainsFunc(p.Net().Peers, func(w Way) bool { return w.ID == id && w.How == HowRelayed && !w.Since.IsZero() })
}

// opening is how many messages open a link over others.
const opening = 20

func (p *peer) openCarried(to certs.ID) {
	p.t.Helper()
	for range opening {
		p.send(to, "first")
		time.Sleep(20 * time.Millisecond)
	}
	p.eventually(5*time.Second, "there is a link over others", func() bool { return p.carriedTo(to) })
	p.eventually(5*time.Second, "they are delivered", func() bool { return len(all[Delivered](p)) == opening })
	time.Sleep(3 * time.Second)
}

// pathLatency is that of a path of two links, whose round trip takes 100 ms.
const pathLatency = 50 * time.Millisecond

// TestCarriedFirst: the first message to a peer goes as a letter, those that follow soon over a
// link of their own, and a lone one costs none.
func TestCarriedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldAt(t, 1, pathLatency/2)
		peers := w.line("alice", "bob", "carol")
		alice, carol := peers[0], peers[2]
		shown := func(body string) time.Duration {
			t0 := time.Now()
			alice.send("carol", body)
			carol.eventually(10*time.Second, "it is shown", func() bool { return slices.Contains(carol.bodies("alice"), body) })
			return time.Since(t0)
		}
		if took := shown("one"); took > 250*time.Millisecond {
			t.Errorf("the first was shown after %v", took)
		}
		time.Sleep(5 * time.Second)
		if alice.carriedTo("carol") {
			t.Error("a lone message has opened a link")
		}
		for i := range 20 {
			alice.send("carol", fmt.Sprint(i))
			time.Sleep(20 * time.Millisecond)
		}
		alice.eventually(time.Second, "there is a link", func() bool { return alice.carriedTo("carol") && carol.carriedTo("alice") })
		if took := shown("fast"); took > 80*time.Millisecond {
			t.Errorf("over the link one was shown after %v", took)
		}
		time.Sleep(70 * time.Second)
		if alice.carriedTo("carol") || carol.carriedTo("alice") {
			t.Error("an idle link stays")
		}
		if took := shown("again"); took > 250*time.Millisecond {
			t.Errorf("after the end of the link one was shown after %v", took)
		}
	})
}

// TestLongCarriedLoss: steady messages with packets lost. The bars are those of the letters that
// carried links have replaced.
func TestLongCarriedLoss(t *testing.T) {
	for loss, bar := range map[float64]time.Duration{0.05: 300 * time.Millisecond, 0.2: 700 * time.Millisecond} {
		var took []time.Duration
		for seed := range uint64(3) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldAt(t, seed, pathLatency/2)
				peers := w.line("alice", "bob", "carol")
				alice := peers[0]
				alice.openCarried("carol")
				w.Lose(loss)
				const n = 600
				for i := range n {
					alice.send("carol", fmt.Sprint(i))
					time.Sleep(100 * time.Millisecond)
				}
				alice.eventually(time.Minute, "all are delivered", func() bool { return len(all[Delivered](alice)) == n+opening })
				for _, d := range all[Delivered](alice)[opening:] {
					took = append(took, d.RTT)
				}
			})
		}
		slices.Sort(took)
		p99 := took[len(took)*99/100]
		t.Logf("%v lost: %v (median), %v (99 %%), %v (longest)", loss, took[len(took)/2], p99, took[len(took)-1])
		if p99 > bar {
			t.Errorf("%v lost: 99 %% after %v", loss, p99)
		}
	}
}

// longestSilence sends a message each 20 ms, crashes a peer on the way, and returns the longest time in
// which nothing came.
func longestSilence(w *world, from, to *peer, crash string) (longest time.Duration) {
	w.t.Helper()
	from.openCarried(to.ID())
	const n = 600
	had, at := len(all[Message](to)), time.Now()
	for i := range n {
		if i == 100 {
			w.Crash(crash)
		}
		from.send(to.ID(), fmt.Sprint(i))
		for range 4 {
			time.Sleep(5 * time.Millisecond)
			if now := len(all[Message](to)); now > had {
				longest = max(longest, time.Since(at))
				had, at = now, time.Now()
			}
		}
	}
	from.eventually(time.Minute, "all are delivered", func() bool { return len(all[Delivered](from)) == n+opening })
	longest = max(longest, time.Since(at)-5*time.Millisecond)
	w.t.Logf("when %s crashed, nothing came for %v", crash, longest)
	return longest
}

// TestCarriedWayDies: of two peers on the way one crashes; in a ring the short way does. The
// longest silence has a bar.
func TestCarriedWayDies(t *testing.T) {
	const bar = 2 * time.Second
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			w.Cut("alice", "dave")
			peers := w.network("bob", "carol", "alice", "dave")
			if longest := longestSilence(w, peers[2], peers[3], []string{"bob", "carol"}[seed%2]); longest > bar {
				t.Errorf("seed %d: one of two crashed: silent for %v", seed, longest)
			}
		})
	}
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			names := []string{"alice", "bob", "carol", "dave", "zoe", "yan", "xu"}
			for i := range names {
				for j := range i {
					if d := i - j; d != 1 && d != len(names)-1 {
						w.Cut(names[i], names[j])
					}
				}
			}
			var peers []*peer
			for i, name := range names {
				peers = append(peers, w.start(name, names[max(0, i-1):i]...))
			}
			time.Sleep(20 * time.Second)
			if longest := longestSilence(w, peers[0], peers[3], "carol"); longest > bar {
				t.Errorf("seed %d: a ring lost its short way: silent for %v", seed, longest)
			}
		})
	}
}

// TestCarriedOlder: where a peer on the way, or at one end, does not know of links over others, all
// messages go as letters.
func TestCarriedOlder(t *testing.T) {
	for _, older := range []string{"alice", "bob", "carol"} {
		simulate(t, func(t *testing.T, w *world) {
			w.older = older
			peers := w.line("alice", "bob", "carol")
			alice, carol := peers[0], peers[2]
			want := numbers(60)
			want[30] += strings.Repeat("x", 100<<10)
			for _, body := range want {
				alice.send("carol", body)
				carol.send("alice", body)
				time.Sleep(20 * time.Millisecond)
			}
			carol.awaitBodies(30*time.Second, "alice", want...)
			alice.awaitBodies(30*time.Second, "carol", want...)
			alice.eventually(10*time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == len(want) })
			if alice.carriedTo("carol") || carol.carriedTo("alice") {
				t.Errorf("%s is older, and there is a link over others", older)
			}
			if b := all[Buffered](alice); len(b) != 0 {
				t.Errorf("%s is older: buffered: %+v", older, b[0])
			}
			w.report()
		})
	}
}

// TestCarriedOtherID: a peer whose key is the right one, but which says another ID, gets no messages
// for the one that was meant.
func TestCarriedOtherID(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.line("alice", "bob", "carol")
		alice := peers[0]
		alice.openCarried("carol")
		alice.post(onLoop(func(l *loop) {
			for id, nl := range l.links.all {
				if nl.Carried() {
					l.linkUp(base.LinkUp{Link: id, ID: "other", Key: nl.Peer(), Carried: true})
				}
			}
		}))
		alice.eventually(time.Second, "the link has ended", func() bool { return !alice.carriedTo("carol") })
		alice.send("carol", "still for you")
		peers[2].eventually(10*time.Second, "it arrives", func() bool { return slices.Contains(peers[2].bodies("alice"), "still for you") })
	})
}

// TestEater: a peer on the way drops all that it should carry, and says that it is the nearest to the
// receiver. Letters and links over others find another way.
func TestEater(t *testing.T) {
	for _, older := range []string{"", "alice"} {
		simulate(t, func(t *testing.T, w *world) {
			w.older = older
			for _, pair := range [][2]string{{"alice", "bob"}, {"alice", "dave"}, {"carol", "bob"}} { // else another is as near
				w.Cut(pair[0], pair[1])
			}
			alice, _, dave, bob := w.start("alice"), w.start("carol", "alice"), w.start("dave", "carol"), w.start("bob", "dave")
			for _, p := range []*peer{alice, dave, bob} {
				p.eventually(10*time.Second, "all are here", func() bool { return len(p.here()) == 3 })
			}
			time.Sleep(5 * time.Second)
			w.eater(alice, "bob")
			shown := func(body string) time.Duration {
				t0 := time.Now()
				alice.send("bob", body)
				bob.eventually(10*time.Second, "it is shown", func() bool { return slices.Contains(bob.bodies("alice"), body) })
				return time.Since(t0)
			}
			if took := shown("first"); took < 900*time.Millisecond || took > 2*time.Second {
				t.Errorf("the first was shown after %v", took)
			}
			for i := range 20 {
				if took := shown(fmt.Sprint(i)); took > 2*time.Second {
					t.Errorf("%d was shown after %v", i, took)
				}
			}
			if older == "" {
				alice.eventually(5*time.Second, "there is a link over others", func() bool { return alice.carriedTo("bob") })
			}
			for i := range 100 {
				if took := shown(fmt.Sprint("then ", i)); took > 300*time.Millisecond {
					t.Errorf("%d was shown after %v", i, took)
				}
				time.Sleep(50 * time.Millisecond)
			}
			for _, way := range alice.Net().Peers {
				if older == "" && way.ID == "bob" && way.Via != "carol" {
					t.Errorf("packets go to bob via %s", way.Via)
				}
			}
		})
	}
}

// eater is a neighbour that drops what it should carry, and says that it has a link to a peer.
func (w *world) eater(of *peer, near certs.ID) {
	w.t.Helper()
	s := w.stranger("mallory")
	s.answer = pb.NeighbourType_ACCEPT
	s.dial(of)
	h := s.hello()
	h.Features = pb.Features()
	s.say(h)
	time.Sleep(time.Second)
	s.say(&pb.Neighbour{Type: pb.NeighbourType_REQUEST})
	time.Sleep(time.Second)
	s.say(&pb.Routes{Peers: []uint32{base.ShortTag(base.TagOf(near))}, Hops: []byte{0}})
	time.Sleep(time.Second)
}
