package link

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

func idOf(i int) certs.ID { return certs.ID(fmt.Sprint("p", i)) }

func recordOf(i int) *base.Record {
	return &base.Record{ID: idOf(i), Key: certs.PublicKey{1, byte(i)}, Epoch: 1, Tag: base.TagOf(idOf(i))}
}

// newLinks are those of a peer that knows so many others.
func newLinks(members int) *Links {
	en := &base.Env{Cfg: base.Config{ID: "self", Rand: rand.New(rand.NewPCG(1, 2))}}
	t := &table.Table{Env: en}
	var records []*base.Record
	for i := range members {
		records = append(records, recordOf(i))
	}
	t.Load(records, 0)
	t.Self = table.NewEntry(&base.Record{ID: "self", Tag: base.TagOf("self")}, pb.AnnouncementType_JOIN, 0)
	t.Insert(t.Self)
	return NewLinks(en, t)
}

func (ls *Links) entry(i int) *table.Entry { return ls.table.Get(idOf(i), recordOf(i).Key) }

// add is a link to a peer that is up.
func (ls *Links) add(i int) *Link {
	id := base.LinkID(1)
	if n := len(ls.List); n > 0 {
		id = ls.List[n-1].ID + 1
	}
	l := &Link{ID: id, State: LinkUp, Peer: idOf(i), Key: recordOf(i).Key, Entry: ls.entry(i), Bond: Bond{Slot: -1}}
	ls.List = append(ls.List, l)
	return l
}

// addNeighbour is a link to a neighbour.
func (ls *Links) addNeighbour(i int) *Link {
	l := ls.add(i)
	l.Neighbour, l.Slot = true, ls.TakeSlot()
	ls.Reroute(l.Entry)
	return l
}

// TestTwinLinks: of two links to a peer the newest that is up is used, and the peer counts once.
func TestTwinLinks(t *testing.T) {
	ls := newLinks(3)
	first, second := ls.add(0), ls.add(0)
	ls.add(1)
	key := first.Key
	first.Neighbour, second.Asked = true, true
	if ls.LinkTo(key) != second || ls.LinkToID(idOf(0)) != first || ls.Degree() != 1 || ls.LinksUp() != 3 || ls.Neighbours() != 1 {
		t.Errorf("uses %v; the degree is %d", ls.LinkTo(key), ls.Degree())
	}
	ls.Close(second, base.CloseDuplicate, "")
	if ls.LinkTo(key) != first || ls.Degree() != 1 || ls.LinksUp() != 2 || second.Asked {
		t.Errorf("then uses %v", ls.LinkTo(key))
	}
	ls.Close(second, base.CloseBye, "again")
	ls.Close(first, base.CloseDead, "")
	if ls.LinkTo(key) != nil || ls.LinkToID(idOf(0)) != nil || ls.Degree() != 0 || len(ls.Out.Closes) != 2 {
		t.Errorf("at last uses %v, closes %v", ls.LinkTo(key), ls.Out.Closes)
	}
	for _, l := range ls.List {
		if ls.Link(l.ID) != l {
			t.Errorf("does not find link %d", l.ID)
		}
	}
	if ls.Link(0) != nil || ls.Link(9) != nil {
		t.Error("finds a link that is not there")
	}
}

// TestDoorIsLost: whoever joined by a door hears once that its link has ended, unless another
// link serves it.
func TestDoorIsLost(t *testing.T) {
	for reason, lost := range map[base.CloseReason]string{base.CloseDuplicate: "", base.CloseProtocol: "broke the protocol: x", base.CloseDead: "x"} {
		ls := newLinks(1)
		l := ls.add(0)
		l.Door = &Target{}
		door := l.Door
		ls.Close(l, reason, "x")
		ls.LeaveDoor(l, "again")
		if want := (DoorLost{door, lost}); len(ls.Events) != min(1, len(lost)) || lost != "" && ls.Events[0] != base.Happening(want) {
			t.Errorf("closed for %v: %v", reason, ls.Events)
		}
	}
}

// TestDistances: whatever neighbours come, go and say, each has a slot of its own while there are
// some; the distance of a peer is one more than that of the nearest neighbour, which is the way to
// it; none is at distance 0 of another peer, whatever it says; and exactly the entries whose distance is not
// the one told wait to be told.
func TestDistances(t *testing.T) {
	const members = table.MaxNeighbours + 4
	rapid.Check(t, func(rt *rapid.T) {
		ls := newLinks(members)
		says := make(map[*Link]map[int]uint32) // of neighbours with a slot
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			i := rapid.IntRange(0, members-1).Draw(rt, "peer")
			l := ls.LinkTo(recordOf(i).Key)
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				if l == nil {
					if l = ls.addNeighbour(i); l.Slot >= 0 {
						says[l] = make(map[int]uint32)
					}
				}
			case 1:
				if l != nil {
					delete(says, l)
					ls.Close(l, base.CloseBye, "")
					ls.Reroute(l.Entry)
				}
			default:
				if l != nil {
					about, hops := rapid.IntRange(0, members-1).Draw(rt, "about"), rapid.Uint32Range(0, table.NoWay+1).Draw(rt, "hops")
					ls.SetHops(ls.entry(about), l, hops)
					if about != i {
						hops = max(hops, 1)
					}
					if says[l] != nil {
						says[l][about] = hops
					}
				}
			}
		}
		ls.SetHops(ls.table.Self, ls.addNeighbour(0), 5)
		slots := make(map[int]bool)
		for l := range says {
			if slots[l.Slot] {
				rt.Fatalf("two have the slot %d", l.Slot)
			}
			slots[l.Slot] = true
		}
		if ls.Distance(ls.table.Self) != 0 {
			rt.Fatalf("we are %d links away", ls.Distance(ls.table.Self))
		}
		for i := range members {
			e, nearest := ls.entry(i), uint32(table.NoWay)
			for _, hops := range says {
				if h, ok := hops[i]; ok {
					nearest = min(nearest, h)
				}
			}
			want := uint8(min(nearest+1, table.NoWay))
			linked := ls.LinkTo(e.Record.Key) != nil
			if linked {
				want = 1
			}
			if got := ls.Distance(e); got != want {
				rt.Fatalf("%s is %d links away, not %d", e.Record.ID, got, want)
			}
			via := ls.Via(e)
			if nearest == table.NoWay || linked {
				if via != "" {
					rt.Fatalf("goes to %s via %s", e.Record.ID, via)
				}
			} else if l := ls.LinkToID(via); l == nil || says[l][i] != nearest {
				rt.Fatalf("goes to %s via %q, which is not a nearest one", e.Record.ID, via)
			}
			if e.Stale() != slices.Contains(ls.Stale, e) || !e.Stale() && ls.Distance(e) != e.Told() && ls.Distance(e) < table.NoWay {
				rt.Fatalf("%s: stale %v, told %d, is %d", e.Record.ID, e.Stale(), e.Told(), ls.Distance(e))
			}
		}
	})
}

// TestBatches: pending announcements go out in frames that a receiver takes, each as full as
// possible.
func TestBatches(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var list []*pb.Announcement
		for _, size := range rapid.SliceOfN(rapid.IntRange(1, 4<<10), 1, 200).Draw(rt, "sizes") {
			list = append(list, &pb.Announcement{
				Type:   pb.AnnouncementType_JOIN,
				Record: &pb.Signed{Payload: make([]byte, size), Signature: make([]byte, 64)}, Hops: pb.MaxHops,
			})
		}
		ls := newLinks(0)
		ls.FlushLink(&Link{Pending: slices.Clone(list)})
		n := 0
		for i, f := range ls.Out.Frames {
			m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
			if err != nil {
				rt.Fatalf("frame %d: %v", i, err)
			}
			batch := m.GetPropagation().GetAnnouncements()
			n += len(batch)
			if i+1 < len(ls.Out.Frames) && len(batch) < pb.MaxAnnouncements && len(f.Data)+4<<10+100 < base.MaxBatch {
				rt.Fatalf("frame %d has %d bytes and could take more", i, len(f.Data))
			}
		}
		if n != len(list) {
			rt.Fatalf("%d of %d", n, len(list))
		}
	})
}

// TestTooMuchUnreadable: a flood of announcements that can't be read ends the link; what an honest
// network brings together does not.
func TestTooMuchUnreadable(t *testing.T) {
	ls := newLinks(1)
	l, n := ls.add(0), 0
	for why := errors.New("x"); ls.Skip(l, why); n++ {
		if n > 10*unreadBurst {
			t.Fatal("goes on for ever")
		}
	}
	if n < unreadBurst || n > unreadBurst+1 || len(ls.Out.Closes) != 1 || ls.Out.Closes[0].Reason != base.CloseProtocol {
		t.Errorf("after %d: closes %v", n, ls.Out.Closes)
	}
	l = ls.add(0)
	for range 3 * unreadBurst {
		if ls.Now += unreadEvery; !ls.Skip(l, errors.New("x")) {
			t.Fatalf("closes %v", ls.Out.Closes)
		}
	}
	if len(ls.Out.Notes) != 3 { // one of each link, and the violation
		t.Errorf("notes %v", ls.Out.Notes)
	}
}

// TestHandshakeInTime: a connection has so long for its handshake; a link that is up has all time.
func TestHandshakeInTime(t *testing.T) {
	ls := newLinks(2)
	l := ls.add(0)
	ls.add(1)
	l.State = LinkOpening
	ls.Now = HandshakeTimeout - 1
	if ls.CheckHandshakes(); len(ls.Out.Closes) > 0 {
		t.Errorf("before its time closes %v", ls.Out.Closes)
	}
	ls.Now++
	if ls.CheckHandshakes(); len(ls.Out.Closes) != 1 || ls.Out.Closes[0] != (base.Close{Link: l.ID, Reason: base.CloseTimeout, Text: ls.Out.Closes[0].Text}) {
		t.Errorf("closes %v", ls.Out.Closes)
	}
}

// TestFeatures: the features that the other side has named are known, so many at most.
func TestFeatures(t *testing.T) {
	var f foreign
	many := make([]uint32, 10_000)
	for i := range many {
		many[i] = uint32(i)
	}
	for _, test := range []struct {
		names          []uint32
		known, unknown uint32
	}{
		{[]uint32{900, 7}, 900, 8}, {[]uint32{8}, 8, 900}, {many, maxFeatures - 1, maxFeatures},
	} {
		if f.Name(test.names); !f.Knows(test.known) || f.Knows(test.unknown) {
			t.Errorf("of %d knows %v", len(test.names), f.features)
		}
	}
}

// TestCredible: a visitor is told of by itself alone, and called lost by nobody.
func TestCredible(t *testing.T) {
	visitor, member := recordOf(1), recordOf(2)
	visitor.Visitor = true
	own, other := &Link{Key: visitor.Key}, &Link{Key: member.Key}
	for _, test := range []struct {
		name     string
		n        News
		from     *Link
		credible bool
	}{
		{"a visitor", News{Record: visitor, State: pb.AnnouncementType_JOIN}, own, true},
		{"a visitor that leaves", News{Record: visitor, State: pb.AnnouncementType_LEAVE}, own, true},
		{"a visitor, by another", News{Record: visitor, State: pb.AnnouncementType_JOIN}, other, false},
		{"a visitor, by nobody", News{Record: visitor, State: pb.AnnouncementType_JOIN}, nil, false},
		{"a lost visitor", News{Record: visitor, State: pb.AnnouncementType_LOST}, own, false},
		{"a member, by another", News{Record: member, State: pb.AnnouncementType_LOST}, own, true},
		{"a member, by nobody", News{Record: member, State: pb.AnnouncementType_JOIN}, nil, true},
	} {
		if test.n.Credible(test.from) != test.credible {
			t.Errorf("%s: is credible: %v", test.name, !test.credible)
		}
	}
}
