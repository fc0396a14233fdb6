package transport_test

import (
	"testing"
	"testing/synctest"

	"quicpeer/transport"
)

// TestManyLinksThatDoNotRead: a host that reads nothing on many links costs no more than all links
// together may, and itself: a slow reader elsewhere, with a longer queue than each of those, keeps its
// link and gets all.
func TestManyLinksThatDoNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		victim := w.endpoint("victim")
		slow, fromSlow := w.connect(w.endpoint("slow"), victim, "victim")
		bad := w.endpoint("bad")
		var links []*transport.Link
		for range 60 {
			_, l := w.connect(bad, victim, "victim")
			links = append(links, l)
		}
		const size = 64 << 10
		for i := range 30 {
			send(t, fromSlow, numbered(i, size))
		}
		for i := range 20 * len(links) {
			_ = links[i%len(links)].Send(numbered(0, size)) // it may have been cut off
			if most := 25 << 20; victim.Queued() > most+size {
				synctest.Wait() // until those that are cut off have ended
				if n := victim.Queued(); n > most {
					t.Fatalf("%d bytes wait after %d frames", n, i)
				}
			}
		}
		for i := range 30 {
			receive(t, slow, numbered(i, size))
		}
		ended := 0
		for _, l := range links {
			if l.Context().Err() != nil {
				ended++
			}
		}
		if ended < 30 || ended == len(links) {
			t.Errorf("%d of %d links were cut off", ended, len(links))
		}
		synctest.Wait()
		if n := victim.Queued(); n > 24<<20 {
			t.Errorf("%d bytes wait in the end", n)
		}
	})
}
