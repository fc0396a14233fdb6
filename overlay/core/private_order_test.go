package core

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// everyPrivateStatement returns statements of all ranks about a few peers, who have passes by alice,
// by carol, or by the network's key; and about carol, whom only that can remove.
func everyPrivateStatement() (list []*pb.Announcement) {
	var carols []*pb.Signed
	for key := uint64(10); key < 12; key++ {
		for _, id := range []string{"a", "b"} {
			byCarol := memberPass(carol, key, id, 20+key)
			carols = append(carols, byCarol.GetGrant())
			for _, pass := range []*pb.Pass{memberPass(alice, key, id, 30-key), byCarol, adminPass(key, id)} {
				for epoch := range uint64(2) {
					for _, kind := range []pb.AnnouncementType{pb.AnnouncementType_JOIN, pb.AnnouncementType_LOST, pb.AnnouncementType_LEAVE} {
						list = append(list, sayWith(pass, kind, key, id, 1+epoch, uint32(epoch)))
					}
				}
			}
			byCarols := removal(carol, key, id)
			carols = append(carols, byCarols.GetRecord())
			list = append(list, removal(alice, key, id), byCarols, removal(root, key, id))
		}
	}
	return append(list,
		sayWith(adminPass(carol, "carol"), pb.AnnouncementType_JOIN, carol, "carol", 1, 0),
		removal(alice, carol, "carol"),
		removal(root, carol, "carol"), removal(root, carol, "carol", carols[:3]...), removal(root, carol, "carol", carols...))
}

// disk is what a driver has stored of removals.
type removalsOnDisk map[string]*pb.Announcement

func (d removalsOnDisk) store(t *rapid.T, list []base.RemovalWrite) {
	for _, w := range list {
		name := fmt.Sprint(w.ID, w.Key)
		if d[name] != nil == !w.Lifted {
			t.Fatalf("stored or deleted twice: %s", name)
		}
		if d[name] = w.Proof; w.Lifted {
			delete(d, name)
		}
	}
}

// TestPrivateMergeOrder: attack 13. Whatever the order in which statements of all ranks arrive and
// however often, the tables are the same once each has been heard after the last removal of an admin,
// or the last admin's pass, which is what comparisons of tables bring about; before it a statement may
// have given way to one that counts no more. The removed stay so whatever they say, all that the table holds counts, and
// the disk has the removals of the table: a restart makes no difference.
func TestPrivateMergeOrder(t *testing.T) {
	all := everyPrivateStatement()
	trusting := func(c *base.Config) { c.Verify = func(base.Claim) bool { return true } }
	rapid.Check(t, func(rt *rapid.T) {
		chosen := rapid.SliceOfN(rapid.SampledFrom(all), 1, 30).Draw(rt, "said")
		var digests [][]byte
		for range 2 {
			disk := make(removalsOnDisk)
			r := privateRig(t, trusting)
			l := r.neighbouring(alice, "alice")
			listener := r.neighbouring(2, "listener")
			hear := func(a *pb.Announcement) {
				r.receive(l, propagation(a))
				disk.store(rt, r.out.Removals)
				r.checkOutcasts(rt, disk)
			}
			for range 2 {
				for _, a := range rapid.Permutation(chosen).Draw(rt, "order") {
					hear(a)
				}
			}
			digest := r.c.table.Digest()
			for _, a := range chosen {
				hear(a)
				for _, f := range r.out.Frames {
					if f.Link == listener {
						rt.Fatalf("passed on again: %v", a)
					}
				}
			}
			if !bytes.Equal(digest, r.c.table.Digest()) {
				rt.Fatalf("a repetition makes a difference")
			}
			digests = append(digests, digest)

			again := privateRig(t, func(c *base.Config) {
				trusting(c)
				c.Epoch = 1000
				for _, name := range slices.Sorted(maps.Keys(disk)) {
					c.Removals = append(c.Removals, disk[name])
				}
			})
			l = again.neighbouring(alice, "alice")
			again.neighbouring(2, "listener")
			for range 2 {
				for _, a := range chosen {
					again.receive(l, propagation(a))
				}
			}
			digests = append(digests, again.c.table.Digest())
		}
		for _, d := range digests[1:] {
			if !bytes.Equal(digests[0], d) {
				rt.Fatalf("the order makes a difference")
			}
		}
	})
}

// checkOutcasts checks that the table holds nothing that removals bar, and counts it.
func (r *rig) checkOutcasts(t *rapid.T, disk removalsOnDisk) {
	gone, out := 0, 0
	for _, e := range r.c.table.Entries {
		if by := r.c.env.Passes.Barred(e.Record); by != nil {
			t.Fatalf("%s, %v is in the table, whom the removal of %s bars", e.Record.ID, e.State, by.ID)
		}
		switch {
		case e.Removed():
			if out++; disk[fmt.Sprint(e.Record.ID, e.Record.Key)] == nil {
				t.Fatalf("the removal of %s is not on the disk", e.Record.ID)
			}
			if e.Alive() || e.Suspect(r.now) || e.Shown != nil {
				t.Fatalf("%s is out and here", e.Record.ID)
			}
		case e.Buried():
			gone++
		}
	}
	if len(disk) != out || r.c.table.Gone != gone || r.c.table.Living() != len(r.c.table.Entries)-gone-out {
		t.Fatalf("%d are out, %d on the disk; %d are gone, counted %d", out, len(disk), gone, r.c.table.Gone)
	}
}

// TestPrivateRemovedStaysRemoved: attack 13. No epoch, seq, state or ID brings back who was removed;
// only an admin's pass does, from a removal by an admin.
func TestPrivateRemovedStaysRemoved(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		by := rapid.SampledFrom([]uint64{alice, root}).Draw(rt, "by")
		r := privateRig(t, func(c *base.Config) { c.Verify = func(base.Claim) bool { return true } })
		l := r.neighbouring(alice, "alice")
		r.receive(l, propagation(removal(by, 7, "bob")))
		id := rapid.SampledFrom([]string{"bob", "robert"}).Draw(rt, "id")
		admin := rapid.Bool().Draw(rt, "admin")
		pass := memberPass(carol, 7, id, rapid.Uint64().Draw(rt, "number"))
		if admin {
			pass = adminPass(7, id)
		}
		kind := rapid.SampledFrom([]pb.AnnouncementType{pb.AnnouncementType_JOIN, pb.AnnouncementType_LOST, pb.AnnouncementType_LEAVE}).Draw(rt, "kind")
		epoch, seq := rapid.Uint64Min(1).Draw(rt, "epoch"), rapid.Uint32().Draw(rt, "seq")
		r.receive(l, propagation(sayWith(pass, kind, 7, id, epoch, seq)))
		e := r.c.table.Get(certs.ID(id), testIdentity(7).Key())
		if back := admin && by == alice; back != (e != nil && !e.Removed()) {
			rt.Fatalf("%v of epoch %d: %v", kind, epoch, e)
		}
		if !r.removedIs(7, by == root || !admin || id != "bob") {
			rt.Fatalf("the removal is kept or lifted")
		}
		in := r.inbound(7)
		r.receive(in, startWith(pass, 7, id, epoch))
		code := r.frames()[0].GetHandshakeResponse().GetCode()
		if refused := code == pb.HandshakeCode_REMOVED_FROM_NETWORK; refused == (admin && by == alice) {
			rt.Fatalf("the door answers %v", code)
		}
	})
}

func (r *rig) removedIs(key uint64, out bool) bool {
	return (r.c.env.Passes.Removal(testIdentity(key).Key()) != nil) == out
}

// TestPrivateBatch: statements that came together, or while signatures were judged, are not taken if
// one of them bars another.
func TestPrivateBatch(t *testing.T) {
	said := []*pb.Announcement{
		removal(alice, 7, "bob"), sayWith(memberPass(alice, 7, "robert", 3), pb.AnnouncementType_JOIN, 7, "robert", 5, 0),
		removal(root, carol, "carol"), sayWith(memberPass(carol, 8, "dave", 3), pb.AnnouncementType_JOIN, 8, "dave", 5, 0),
		removal(carol, 9, "eve"), sayWith(memberPass(alice, 9, "eve", 3), pb.AnnouncementType_JOIN, 9, "eve", 5, 0),
	}
	rapid.Check(t, func(rt *rapid.T) {
		r := privateRig(t, nil)
		l := r.comes(1, "one")
		other := r.neighbouring(2, "two")
		r.c.links.Link(l).Exchange = asking()
		order := rapid.Permutation(said).Draw(rt, "order")
		in := rapid.IntRange(0, len(order)).Draw(rt, "in the batch")
		slices.SortStableFunc(order[:in], func(a, b *pb.Announcement) int {
			return cmp.Compare(base.TagOf(idOf(a)), base.TagOf(idOf(b)))
		})
		m, err := decode(base.Encode(piece(order[:in]...)))
		if err != nil || in == 0 {
			return
		}
		r.c.Step(r.now, Received{Link: l, Frame: m})
		judged := r.c.Drain()
		if len(judged.Closes) > 0 {
			return // eve twice
		}
		r.receive(other, propagation(order[in:]...))
		for _, v := range judged.Verify {
			valid := make([]bool, len(v.Claims))
			for i := range valid {
				valid[i] = true
			}
			r.c.Step(r.now, Verified{ID: v.ID, Valid: valid})
		}
		r.drain()
		r.receive(other, propagation(said...))
		if r.has("robert") || r.has("dave") || !r.has("eve") || r.has("bob") {
			rt.Fatalf("in the table: %v", r.c.Peers())
		}
	})
}

// TestPrivateRoomOfTheLiving: a full table without the removals is not full with them.
func TestPrivateRoomOfTheLiving(t *testing.T) {
	r := privateRig(t, nil)
	tb := r.c.table
	for i := range table.MaxEntries - 1 {
		state := pb.AnnouncementType_JOIN
		if i < 10 {
			state = pb.AnnouncementType_REMOVED
		}
		id := certs.ID(fmt.Sprint("x", i))
		e := table.NewEntry(&base.Record{ID: id, Type: state, Tag: uint64(i) << 40, Standing: &base.Standing{}, Signed: &pb.Signed{}}, state, 0)
		tb.Insert(e)
	}
	newcomer := &base.Record{ID: "bob", Tag: base.TagOf("bob")}
	if _, ok := tb.Room(newcomer, pb.AnnouncementType_JOIN, tb.Self, 0); !ok || tb.Full(0) {
		t.Error("removals take the room of a newcomer")
	}
	for i := range 10 {
		tb.Insert(table.NewEntry(&base.Record{ID: certs.ID(fmt.Sprint("y", i)), Tag: 1<<63 + uint64(i), Signed: &pb.Signed{}}, pb.AnnouncementType_JOIN, 0))
	}
	if _, ok := tb.Room(newcomer, pb.AnnouncementType_JOIN, tb.Self, 0); ok || !tb.Full(0) {
		t.Error("a table has no bound")
	}
}

func idOf(a *pb.Announcement) certs.ID {
	removal, _ := pb.ParseRemoval(a.GetRecord())
	if a.GetType() != pb.AnnouncementType_REMOVED {
		r, _ := pb.ParseMember(a.GetRecord())
		return certs.ID(r.GetId())
	}
	return certs.ID(removal.GetId())
}

// TestPrivateRemovedOnce: an admin can't have the same removal flooded and stored again and again, by
// signing it in other words.
func TestPrivateRemovedOnce(t *testing.T) {
	r := privateRig(t, nil)
	r.neighbouring(2, "two")
	l := r.neighbouring(carol, "carol")
	key := testIdentity(7).Key()
	news := 0
	for i := range 20 {
		a := removal(carol, 7, "bob")
		a.Record = testIdentity(carol).SignRemoval(private.Key, &pb.Removal{Id: "bob", Key: key[:], Keep: [][]byte{bytes.Repeat([]byte{byte(i)}, pb.KeepSize)}})
		if r.receive(l, propagation(a)); len(r.out.Removals) > 0 || len(r.out.Frames) > 0 {
			news++
		}
	}
	if news != 1 {
		t.Errorf("a removal was news %d times", news)
	}
}

// TestPrivateSecondThought: of two removals of an admin by the network's key the one counts, in any
// order, that keeps less.
func TestPrivateSecondThought(t *testing.T) {
	key := testIdentity(carol).Key()
	with := func(keep int) *pb.Announcement {
		removal := &pb.Removal{Id: "carol", Key: key[:]}
		for i := range keep {
			removal.Keep = append(removal.Keep, bytes.Repeat([]byte{byte(i)}, pb.KeepSize))
		}
		return &pb.Announcement{Type: pb.AnnouncementType_REMOVED, Record: testIdentity(root).SignRemoval(private.Key, removal)}
	}
	for least := range 4 {
		for more := least + 1; more < 8; more++ {
			for _, order := range [][2]int{{least, more}, {more, least}} {
				r := privateRig(t, nil)
				for _, keep := range order {
					r.c.Step(r.now, Remove{Proof: with(keep)})
				}
				held, err := pb.ParseRemoval(r.c.table.Get("carol", key).Record.Signed)
				if err != nil || len(held.GetKeep()) != least {
					t.Errorf("%v: it keeps %d, %v", order, len(held.GetKeep()), err)
				}
			}
		}
	}
}

// TestPrivateRoom: removals have a room of their own, of which an admin can't take what the network's
// key needs; and they take no room of others.
func TestPrivateRoom(t *testing.T) {
	r := privateRig(t, func(c *base.Config) { c.Verify = func(base.Claim) bool { return true } })
	tb := r.c.table
	for i := range table.MaxRemovals {
		tb.Insert(table.NewEntry(&base.Record{
			ID: certs.ID(fmt.Sprint("x", i)), Key: certs.PublicKey{byte(i), byte(i >> 8), 9}, Type: pb.AnnouncementType_REMOVED,
			Tag: base.TagOf(certs.ID(fmt.Sprint("x", i))), Standing: &base.Standing{Rank: base.RankRemoved}, Signed: &pb.Signed{},
		}, pb.AnnouncementType_REMOVED, 0))
	}
	if reply := r.c.Step(r.now, Remove{Proof: removal(alice, 7, "bob")}); reply.OK || tb.Get("bob", testIdentity(7).Key()) != nil {
		t.Errorf("there is room for one more")
	}
	if reply := r.c.Step(r.now, Remove{Proof: removal(root, carol, "carol")}); !reply.OK {
		t.Errorf("an admin can't be removed for want of room")
	}
	r.drain()
	if l := r.comes(7, "bob"); l == 0 || tb.Gone != 0 || tb.Living() != 2 {
		t.Errorf("%d are gone, %d live", tb.Gone, tb.Living())
	}
	if reply := r.c.Step(r.now, Remove{Proof: removal(alice, 7, "bob")}); !reply.OK {
		t.Errorf("who is known can't be removed")
	}
	for range 3 {
		r.c.env.Now += 20 * time.Hour
		r.c.forget()
	}
	if tb.Get("x1", certs.PublicKey{1, 0, 9}) == nil || tb.Get("bob", testIdentity(7).Key()) == nil {
		t.Errorf("a removal is forgotten")
	}
}
