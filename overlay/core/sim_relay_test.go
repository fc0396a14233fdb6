package core

import (
	"fmt"
	"testing"
	"time"

	"quicpeer/pb"
)

// TestSimRelay: in networks in which some can't reach each other a letter arrives
// whenever there is a way that holds still, one of 1 MiB as well; and when a peer on the
// way crashes it takes another one.
func TestSimRelay(t *testing.T) {
	eachSeed(t, 40, 8, relayed)
}

func relayed(t *testing.T, seed uint64) {
	w := newWorld(t, seed, 0)
	s := []shape{shapeRandom, shapeRandom, shapeRing, shapeLine, shapeStar}[w.rng.IntN(5)]
	for i := range 4 + w.rng.IntN(s.widest()-3) {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	w.take(s)
	w.loss = []float64{0, 0.01, 0.05}[w.rng.IntN(3)]
	if s == shapeLine || s == shapeRing {
		w.loss /= 5
	}
	w.note("", fmt.Sprintf("a %v of %d, loss %v", s, len(w.nodes), w.loss))
	w.build(len(w.nodes), w.between(0, 3*time.Second))
	w.run(w.between(2*time.Second, 10*time.Second))
	number := 0
	for range 3 {
		w.writeTo(number, 1000+w.rng.IntN(50_000), 1)
		number++
	}
	w.writeTo(number, pb.MaxBody+4<<10, 1)
	number++
	if p := w.living()[w.rng.IntN(len(w.nodes))]; w.spare(p, false) {
		p.crash()
		w.writeTo(number, 1000, 6)
		number++
		w.run(4 * time.Second)
		w.settle(30 * time.Second)
		w.writeTo(number, 100_000, 1)
	}
}

// writeTo sends a letter from somebody to somebody whom it can't reach, if there are
// such, at most so many times, and waits for its receipt.
func (w *world) writeTo(number, size, times int) {
	w.t.Helper()
	living := w.living()
	var from, to *process
	for range 50 {
		from, to = living[w.rng.IntN(len(living))], living[w.rng.IntN(len(living))]
		if from != to && !w.reach(from.node.index, to.node.index) {
			break
		}
	}
	if from == to {
		return
	}
	from.write(to.node, number, size, times)
	took, ok := w.runUntil(time.Duration(times)*2*time.Second+2*time.Second, func() bool { return from.node.disk.receipts[fmt.Sprint(to.node.id, number)] })
	if !ok {
		w.fatal("no receipt of %s for number %d of %s in %v", to.node.id, number, from.node.id, took)
	}
}
