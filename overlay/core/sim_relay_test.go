package core_test

import (
	"bufio"
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/coretest"
	"quicpeer/pb"
)

// TestSimRelay: in networks in which some peers can't reach each other a letter arrives whenever
// a stable path exists, one of 1 MiB as well; and when a peer on the path crashes it takes
// another.
func TestSimRelay(t *testing.T) {
	eachSeed(t, 40, 8, relayed)
}

func relayed(t *testing.T, seed uint64) {
	w := newWorld(t, seed, 0)
	s := []shape{shapeRandom, shapeRandom, shapeRing, shapeLine, shapeStar}[w.Rand.IntN(5)]
	for i := range 4 + w.Rand.IntN(s.widest()-3) {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take(s)
	w.Loss = []float64{0, 0.01, 0.05}[w.Rand.IntN(3)]
	if s == shapeLine || s == shapeRing {
		w.Loss /= 5
	}
	w.note("", fmt.Sprintf("a %v of %d, loss %v", s, len(w.Machines), w.Loss))
	w.build(len(w.Machines), w.Between(0, 3*time.Second))
	w.Run(w.Between(2*time.Second, 10*time.Second))
	number := 0
	for range 3 {
		w.writeTo(number, 1000+w.Rand.IntN(50_000), 1)
		number++
	}
	w.writeTo(number, pb.MaxBody+4<<10, 1)
	number++
	if p := w.Living()[w.Rand.IntN(len(w.Machines))]; w.spare(p, false) {
		p.Crash()
		w.writeTo(number, 1000, 6)
		number++
		w.Run(4 * time.Second)
		w.settle(30 * time.Second)
		w.writeTo(number, 100_000, 1)
	}
}

// TestSimCarried: the ways of carried packets, and the search where they fail, lead to everybody
// within 3 s after a peer has crashed, if a path is left.
func TestSimCarried(t *testing.T) {
	var found, all atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		eachSeed(t, 40, 8, func(t *testing.T, seed uint64) { carriedEverywhere(t, seed, &found, &all) })
	})
	t.Logf("%d of %d ways are found without a search", found.Load(), all.Load())
	if !t.Failed() && found.Load() < all.Load()*9/10 {
		t.Errorf("only %d of %d ways are found without a search", found.Load(), all.Load())
	}
}

func carriedEverywhere(t *testing.T, seed uint64, found, all *atomic.Int64) {
	w := newWorld(t, seed, 0)
	s := []shape{shapeFull, shapeRandom, shapeRandom, shapeRing, shapeLine, shapeStar}[w.Rand.IntN(6)]
	for i := range 4 + w.Rand.IntN(min(s.widest(), 20)-3) {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take(s)
	w.note("", fmt.Sprintf("a %v of %d", s, len(w.Machines)))
	w.build(len(w.Machines), w.Between(0, 3*time.Second))
	w.settle(10 * time.Second)
	w.Run(5 * time.Second)
	everywhere := func(after string) {
		for _, from := range w.Living() {
			for _, to := range w.Living() {
				packet := fmt.Sprint(from.ID, to.ID, after)
				if from == to {
					continue
				}
				all.Add(1)
				if from.LeadsTo(to.Machine) {
					found.Add(1)
					continue
				}
				from.Search(to.Machine, packet)
				if _, ok := w.runUntil(2*time.Second, func() bool { return to.HasPacket(packet) }); !ok {
					w.fatal("%s has no way to %s, and a search finds none", from.ID, to.ID)
				}
			}
		}
	}
	everywhere("")
	if p := w.Living()[w.Rand.IntN(len(w.Machines))]; w.spare(p, false) {
		p.Crash()
		w.Run(3 * time.Second)
		everywhere(" after the crash")
	}
}

// writeTo sends a letter between two peers that can't reach each other, if any, at most so many
// times, and waits for its receipt.
func (w *world) writeTo(number, size, times int) {
	w.t.Helper()
	living := w.Living()
	var from, to *process
	for range 50 {
		from, to = living[w.Rand.IntN(len(living))], living[w.Rand.IntN(len(living))]
		if from != to && !w.Reach(from.Machine, to.Machine) {
			break
		}
	}
	if from == to {
		return
	}
	from.Relay(to.Machine, number, size, times)
	took, ok := w.runUntil(time.Duration(times)*2*time.Second+2*time.Second, func() bool { return from.HasReceipt(to.Machine, number) })
	if !ok {
		w.fatal("no receipt of %s for number %d of %s in %v", to.ID, number, from.ID, took)
	}
}

// TestSimSwallower: a member that everybody can reach passes nothing of others on, and says that it is next to
// all. Letters that are sent again each two seconds arrive, and are answered, wherever a path of the others
// exists. This does not hold without exception: where the honest hang together by one relay that has not found
// the liar out, few receipts get past it. (Measured: with seed 19, 5 letters had no receipt in 40 s; with 99
// other seeds none of some 13,000.) The bound, 1 in 200, only keeps that from growing. After half a minute few
// need a second try, since by then most have found it out. Nobody who is there is shown as gone.
func TestSimSwallower(t *testing.T) {
	var letters, again, unanswered atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		eachSeed(t, 24, 6, func(t *testing.T, seed uint64) { swallowed(t, seed, &letters, &again, &unanswered) })
	})
	t.Logf("%d letters, %d of them sent again, %d not answered", letters.Load(), again.Load(), unanswered.Load())
	if unanswered.Load() > letters.Load()/200 {
		t.Errorf("of %d letters %d were not answered", letters.Load(), unanswered.Load())
	}
	if !t.Failed() && again.Load() > letters.Load()/20 {
		t.Errorf("of %d letters %d were sent again", letters.Load(), again.Load())
	}
}

func swallowed(t *testing.T, seed uint64, letters, again, unanswered *atomic.Int64) {
	w := newWorld(t, seed, 0)
	for i := range 5 + w.Rand.IntN(10) {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take(shapeRandom)
	for i := range w.Machines[1:] { // the liar reaches all
		w.Sever(w.Machines[0], w.Machines[i+1], false)
	}
	w.build(len(w.Machines), w.Between(0, 3*time.Second))
	w.settle(30 * time.Second)
	liar := w.Machines[0].Process
	if !w.spare(liar, false) {
		return // some reach the others over it alone
	}
	w.hostile = &hostilePeers{}
	liar.Hostile = true
	w.Rewrite = func(from *coretest.End, f base.Frame) [][]byte {
		m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
		switch {
		case from.Process != liar || err != nil:
		case m.GetRouted() != nil && m.GetRouted().GetFrom() != string(liar.ID):
			return nil
		case m.GetRoutes() != nil:
			return [][]byte{core.Encode(&pb.Routes{Peers: m.GetRoutes().GetPeers(), Hops: make([]byte, len(m.GetRoutes().GetHops()))})}
		}
		return [][]byte{f.Data}
	}
	lie := &pb.Routes{}
	for _, n := range w.Machines[1:] {
		lie.Peers, lie.Hops = append(lie.Peers, base.ShortTag(base.TagOf(n.ID))), append(lie.Hops, 0)
	}
	for _, e := range liar.Ends {
		if e.Open && !e.Ending() {
			e.Inject(core.Encode(lie))
		}
	}
	w.Run(30 * time.Second)
	number := 0
	write := func(from, to *process) {
		t.Helper()
		number++
		letters.Add(1)
		from.Relay(to.Machine, number, 1000, 20)
		took, ok := w.runUntil(40*time.Second, func() bool { return from.HasReceipt(to.Machine, number) })
		if !ok {
			unanswered.Add(1)
			t.Logf("no receipt of %s for number %d of %s in %v; the letter has come: %v", to.ID, number, from.ID, took, to.HasLetter(from.Machine, number))
		}
		if took >= 2*time.Second {
			again.Add(1)
		}
	}
	for _, from := range w.Living() {
		for _, to := range w.Living() {
			if from != to && from != liar && to != liar && !w.Reach(from.Machine, to.Machine) {
				write(from, to)
				write(from, to)
				write(to, from)
			}
		}
	}
	w.Run(20 * time.Second)
}
