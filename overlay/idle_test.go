package overlay

import (
	"testing"
	"time"
)

// Links that serve direct messages alone are closed when idle, and made again when needed,
// even at the very moment at which they are being closed.
func TestLongIdleLinksAreClosed(t *testing.T) {
	if raceDetector {
		t.Skip("minutes of quiet: what the goroutines do in them is in the other tests, too")
	}
	const rounds = 4
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13")
		time.Sleep(time.Minute) // then all have the neighbours that they want, and seek no more
		p, q := unlinked(t, peers)
		// Each round begins with a link, at the same distance from the next tick.
		begin := time.Now()
		round := func() (start time.Time) {
			talk(p, q)
			time.Sleep(tick - time.Since(begin)%tick)
			talk(p, q)
			return time.Now()
		}
		start := round()
		link := p.linkTo(q.Key())
		if link == 0 {
			t.Fatal("there is no link")
		}
		time.Sleep(time.Minute - 2*time.Second)
		for p.linkTo(q.Key()) == link && time.Since(start) < 2*time.Minute {
			time.Sleep(5 * time.Millisecond)
		}
		gone := time.Since(start)
		if gone < time.Minute-time.Second || gone > time.Minute+time.Second {
			t.Fatalf("the link was closed after %v", gone)
		}
		for before := range rounds {
			time.Sleep(gone - time.Since(round()) - time.Duration(before)*20*time.Millisecond)
			id := p.send(q.ID(), "still there?")
			awaitEvent(p, time.Second, func(d Delivered) bool { return d.Message == id })
		}
	})
}

// tick is how often the loop looks at its links.
const tick = 250 * time.Millisecond

// unlinked waits until some two peers have no link to each other.
func unlinked(t *testing.T, peers []*peer) (p, q *peer) {
	for range 1000 {
		for i, p := range peers {
			for _, q := range peers[:i] {
				if p.linkTo(q.Key()) == 0 {
					return p, q
				}
			}
		}
		time.Sleep(time.Second)
	}
	t.Fatal("all have links to all")
	return nil, nil
}
