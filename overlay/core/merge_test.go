package core

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// everyStatement returns all statements about a few peers.
func everyStatement() []*pb.Announcement {
	var list []*pb.Announcement
	for key := range uint64(3) {
		for _, id := range []string{"a", "b"} {
			for epoch := range uint64(2) {
				for seq := range uint32(3) {
					for _, kind := range []pb.AnnouncementType{pb.AnnouncementType_JOIN, pb.AnnouncementType_LOST, pb.AnnouncementType_LEAVE} {
						list = append(list, say(kind, 10+key, id, 1+epoch, seq))
					}
				}
			}
		}
	}
	return list
}

// TestMergeOrder: whatever the order in which statements arrive and however often, the table is
// the same; and repeated statements are not passed on.
func TestMergeOrder(t *testing.T) {
	all := everyStatement()
	trusting := func(c *base.Config) {
		c.Verify = func(base.Claim) bool { return true }
	}
	rapid.Check(t, func(rt *rapid.T) {
		chosen := rapid.SliceOfN(rapid.SampledFrom(all), 1, 30).Draw(rt, "said")
		var digests [][]byte
		for range 2 {
			r := newRig(t, trusting)
			l := r.neighbour(1, "teller")
			r.neighbour(2, "listener")
			for _, a := range rapid.Permutation(chosen).Draw(rt, "order") {
				r.receive(l, propagation(a))
				if rapid.Bool().Draw(rt, "twice") {
					before := r.c.table.Digest()
					r.receive(l, propagation(a))
					if !bytes.Equal(before, r.c.table.Digest()) {
						rt.Fatalf("a second time makes a difference")
					}
				}
			}
			for _, a := range chosen {
				r.receive(l, propagation(a))
				for _, f := range r.out.Frames {
					if f.Link != l {
						rt.Fatalf("passed on again: %v", a)
					}
				}
			}
			digests = append(digests, r.c.table.Digest())
		}
		if !bytes.Equal(digests[0], digests[1]) {
			rt.Fatalf("the order makes a difference")
		}
	})
}

// TestKeysInTurn: one key after the other has an ID, as when the peer never keeps its key. Each
// finds room, and owns the ID unless the one before was just lost; those that have gone do not come back.
func TestKeysInTurn(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "one")
	lost := false
	for i := range uint64(20) {
		r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 1000+i, "turn", 100+i, 0)))
		e := r.c.table.Get("turn", testIdentity(1000+i).Key())
		if owner := r.c.table.Owner("turn", r.now); e == nil || lost == (owner == e) {
			t.Fatalf("key %d has no room, or the ID belongs to %v", i, owner)
		}
		gone := pb.AnnouncementType_LEAVE
		if lost = lost || i%3 == 0; i%3 == 0 {
			gone = pb.AnnouncementType_LOST
		}
		r.receive(l, propagation(say(gone, 1000+i, "turn", 100+i, 1)))
		r.pass(table.SuspectAlone + tickEvery)
		if r.has("turn") {
			t.Fatalf("key %d is still here", i)
		}
	}
	for i := range uint64(15) {
		r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 1000+i, "turn", 100+i, 0)))
	}
	if slices.ContainsFunc(r.c.table.Of("turn"), (*table.Entry).Alive) {
		t.Errorf("one of the past is back")
	}
}

// TestKeysChaseEachOther: in a ring of tables that each pass their news to the next, statements
// about more keys than a table holds come to an end.
func TestKeysChaseEachOther(t *testing.T) {
	trusting := func(c *base.Config) { c.Verify = func(base.Claim) bool { return true } }
	var said []*pb.Announcement
	for key := range uint64(7) {
		for _, kind := range []pb.AnnouncementType{pb.AnnouncementType_JOIN, pb.AnnouncementType_LOST, pb.AnnouncementType_LEAVE} {
			said = append(said, say(kind, 1000+key, "crowd", 1+key/2, 0))
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		const peers = 4
		var ring [peers]*rig
		for i := range ring {
			ring[i] = newRig(t, trusting)
			ring[i].neighbour(1, "before")
			ring[i].neighbour(2, "behind")
		}
		type word struct {
			to, link int
			data     []byte
		}
		var way []word
		for _, a := range rapid.SliceOfN(rapid.SampledFrom(said), 1, 25).Draw(rt, "said") {
			way = append(way, word{rapid.IntRange(0, peers-1).Draw(rt, "to"), 1, base.Encode(propagation(a))})
		}
		for n := 0; len(way) > 0; n++ {
			if n > 20_000 {
				rt.Fatal("does not end")
			}
			i := rapid.IntRange(0, min(len(way)-1, 3)).Draw(rt, "next")
			next := way[i]
			way = slices.Delete(way, i, i+1)
			m, err := decode(next.data)
			if err != nil {
				rt.Fatal(err)
			}
			r := ring[next.to]
			r.c.Step(0, Received{Link: base.LinkID(next.link), Frame: m})
			r.drain()
			for _, f := range r.out.Frames { // link 2 leads to the next's link 1
				step := map[base.LinkID]int{1: peers - 1, 2: 1}[f.Link]
				way = append(way, word{(next.to + step) % peers, int(3 - f.Link), f.Data})
			}
		}
	})
}
