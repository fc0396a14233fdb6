package core

import (
	"bytes"
	"math/bits"
	"testing"

	"pgregory.net/rapid"

	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// TestReconcile: whatever two neighbours hold, and whatever changes on either side while they
// find out what differs, both end with the greater of each entry. It takes steps as the logarithm
// of the table, besides those for what has to be sent, and bytes as the difference.
func TestReconcile(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 1<<rapid.IntRange(4, 12).Draw(rt, "bits")).Draw(rt, "n")
		share := func(what string) int {
			return rapid.IntRange(0, min(n/4, 1<<rapid.IntRange(0, 10).Draw(rt, what+" bits"))).Draw(rt, what)
		}
		d := difference{share("only left"), share("only right"), share("newer left"), share("newer right")}
		left, right := d.tables(n)
		w, p, q, size := pair(t, left, right)
		steps := 0
		w.watch = func(_, _ *wired, m *pb.PeerMessage, n int) {
			*size += n
			if isQuestion(m) {
				steps++
			}
		}
		p.c.sync.CompareTables(makeNeighbours(p, q))
		w.drain(p)
		changes := rapid.IntRange(0, 20).Draw(rt, "changes")
		for i := 0; len(w.way) > 0; i++ {
			if i < changes {
				change := link.News{Record: manyMember(rapid.IntRange(0, n+1).Draw(rt, "changed"), uint32(10+rapid.IntRange(0, 3).Draw(rt, "seq"))), State: pb.AnnouncementType_JOIN}
				side := w.peers[rapid.IntRange(0, 1).Draw(rt, "side")]
				if side.c.gossip.IsNews(nil, change) {
					side.c.accept(nil, change)
					side.c.gossip.Flood(nil, side.c.table.Lookup(change.Record.Tag, change.Record.ID, change.Record.Key)) // however often it changes
				}
				w.drain(side)
			}
			w.deliverOne()
		}
		if !bytes.Equal(p.c.Digest(), q.c.Digest()) {
			rt.Fatalf("%d entries that differ as %+v: the tables are not equal", n, d)
		}
		most := 3 + bits.Len(uint(n))/4 + d.total()/100
		if steps > most {
			rt.Errorf("%d entries that differ as %+v: %d steps, at most %d", n, d, steps, most)
		}
		if most := 200 + (d.total()+changes)*4_000; *size > most {
			rt.Errorf("%d entries that differ as %+v: %d bytes, at most %d", n, d, *size, most)
		}
	})
}
