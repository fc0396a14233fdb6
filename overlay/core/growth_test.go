package core

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// inventedField is an unknown field of so many bytes.
func inventedField(size int) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 900, protowire.BytesType), make([]byte, size))
}

// unreadable is an announcement with a kind of record that this version can't read.
func unreadable() *pb.Announcement {
	a := say(pb.AnnouncementType_JOIN, 7, "seven", 1000, 0)
	a.Record.Signature = make([]byte, 3309)
	return a
}

// TestUnreadableIsDropped: unreadable announcements are dropped and not passed on, the link that
// brought them stays, and everything next to them counts.
func TestUnreadableIsDropped(t *testing.T) {
	kind := func(a *pb.Announcement, change func(*pb.Announcement)) *pb.Announcement {
		change(a)
		return a
	}
	for name, a := range map[string]*pb.Announcement{
		"another signature": unreadable(),
		"another state":     kind(say(pb.AnnouncementType_JOIN, 2, "two", 1000, 1), func(a *pb.Announcement) { a.Type = 99 }),
		"no state":          kind(say(pb.AnnouncementType_JOIN, 2, "two", 1000, 1), func(a *pb.Announcement) { a.Type = 0 }),
		"another kind of record": {Type: pb.AnnouncementType_JOIN, Record: testIdentity(2).SignRecord(&pb.Record{
			Type: 99, Id: "two", Key: make([]byte, 32), Network: "net", Epoch: 2000,
		})},
		"another key": {Type: pb.AnnouncementType_JOIN, Record: testIdentity(2).SignRecord(&pb.Record{
			Type: pb.AnnouncementType_JOIN, Id: "two", Key: make([]byte, 1952), Network: "net", Epoch: 2000,
		})},
		"garbage":                    {Type: pb.AnnouncementType_JOIN, Record: &pb.Signed{Payload: []byte("x"), Signature: make([]byte, 64)}},
		"a loss without an accuser":  {Type: pb.AnnouncementType_LOST, Record: signed(2, "two", pb.AnnouncementType_JOIN, 1000, 0)},
		"an accuser of another kind": {Type: pb.AnnouncementType_LOST, Record: signed(2, "two", pb.AnnouncementType_JOIN, 1000, 0), Accusers: []string{"a b"}},
	} {
		for _, table := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " in a table ", table), func(t *testing.T) {
				r := newRig(t, nil)
				two := r.neighbour(2, "two")
				one := r.linked(1, "one")
				list := []*pb.Announcement{a, say(pb.AnnouncementType_JOIN, 9, "nine", 1, 0), a}
				if table {
					r.c.links.Link(one).Exchange = asking()
					r.brings(one, list...)
				} else {
					r.receive(one, propagation(list...))
				}
				if len(r.out.Closes) != 0 || r.c.links.Link(one).State != link.LinkUp {
					t.Errorf("closes %v", r.out.Closes)
				}
				if !r.has("nine") || !r.has("two") || r.has("seven") {
					t.Errorf("the table is %v", r.c.Peers())
				}
				for i, m := range r.frames() {
					for _, b := range m.GetPropagation().GetAnnouncements() {
						if r.out.Frames[i].Link == two && proto.Equal(b.GetRecord(), a.GetRecord()) {
							t.Errorf("it is passed on: %v", b)
						}
					}
				}
			})
		}
	}
	r := newRig(t, nil)
	one := r.neighbour(1, "one")
	for _, content := range []proto.Message{
		&pb.Broadcast{Content: &pb.Signed{Payload: []byte("x"), Signature: make([]byte, 64)}},
		&pb.Broadcast{Content: &pb.Signed{Payload: saidBroadcast(1, "one", 1000, 1, "x").GetContent().GetPayload(), Signature: make([]byte, 3309)}},
		&pb.Neighbour{Type: 99}, &pb.Neighbour{}, &pb.Observed{Address: "relay.example/one"}, &pb.Observed{},
	} {
		r.receive(one, content)
		if len(r.out.Closes) != 0 || !r.c.links.Link(one).Neighbour || len(r.out.Events) != 0 {
			t.Errorf("%v: closes %v, events %v", content, r.out.Closes, r.out.Events)
		}
	}
}

// TestTableWithUnreadable: a newcomer takes what it can read of a table, whatever part of it is
// unreadable, and does not ask in circles.
func TestTableWithUnreadable(t *testing.T) {
	r, l := joining(t)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "door", pb.AnnouncementType_JOIN, 7, 0)})
	nine := say(pb.AnnouncementType_JOIN, 9, "nine", 1, 0)
	r.receive(l, piece(nine, unreadable()))
	for range table.MaxAnswer {
		r.receive(l, piece(unreadable()))
	}
	r.receive(l, leftFrom(nine))
	frames := r.frames()
	if len(frames) != 1 || !proto.Equal(frames[0].GetReconcile().GetRanges()[0], r.c.table.Describe(base.TagOf("nine")+1, math.MaxUint64)) {
		t.Fatalf("it goes on with %v", frames)
	}
	r.brings(l, unreadable(), unreadable())
	if len(r.out.Frames) != 0 || !slices.Contains(r.out.Events, base.Event(base.Ready{})) || !r.has("nine") {
		t.Errorf("asks for %v, events %v", r.frames(), r.out.Events)
	}
	if len(r.out.Closes) != 0 {
		t.Errorf("closes %v", r.out.Closes)
	}
}

// leftFrom ends an answer that leaves open what lies behind an entry.
func leftFrom(a *pb.Announcement) *pb.Reconcile {
	record, err := base.OpenRecord(a.Record)
	if err != nil {
		panic(err)
	}
	return &pb.Reconcile{Answer: true, Ranges: []*pb.TableRange{{First: record.Tag + 1, Last: math.MaxUint64}}}
}

// TestUnknownRefusal: a refusal that this version doesn't know is final, with its reason, and
// does not count as a peer that can't be reached.
func TestUnknownRefusal(t *testing.T) {
	for _, code := range []pb.HandshakeCode{0, 99} {
		r, l := joining(t)
		r.receive(l, &pb.HandshakeResponse{Code: code, Reason: "only by invitation"})
		if len(r.out.Closes) != 1 || r.out.Closes[0].Reason != base.CloseRefused {
			t.Errorf("code %d: closes %v", code, r.out.Closes)
		}
		r.pass(tickEvery)
		var refused *base.JoinError
		if !errors.As(r.out.Err, &refused) || refused.Refusal.GetCode() != code || refused.Refusal.GetReason() != "only by invitation" {
			t.Errorf("code %d ends with %v", code, r.out.Err)
		}
	}
}

// TestFeatures: each side learns which features the other knows, and uses one only with peers
// that have named it.
func TestFeatures(t *testing.T) {
	r := newRig(t, nil)
	one, two := r.inbound(1), r.linked(2, "two")
	s := start(1, "one", 1000)
	s.Features = []uint32{900, 7}
	r.receive(one, s)
	if !r.c.links.Link(one).Foreign.Knows(900) || !r.c.links.Link(one).Foreign.Knows(7) || r.c.links.Link(one).Foreign.Knows(8) || r.c.links.Link(two).Foreign.Knows(900) {
		t.Error("their features are not those that they have named")
	}
	r, l := joining(t)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "door", pb.AnnouncementType_JOIN, 7, 0), Features: []uint32{900}})
	if !r.c.links.Link(l).Foreign.Knows(900) {
		t.Error("the features of the door are not stored")
	}
	r = newRig(t, func(c *base.Config) { c.Features = []uint32{900}; c.Join = []string{"door:1"} })
	r.outbound(r.out.Dials[0].ID, 1)
	if s := r.frames()[0].GetHandshakeStart(); !slices.Equal(s.GetFeatures(), []uint32{900}) {
		t.Errorf("the dialer names %v", s.GetFeatures())
	}
	r.receive(r.inbound(2), start(2, "two", 1000))
	if a := r.frames()[0].GetHandshakeResponse(); !slices.Equal(a.GetFeatures(), []uint32{900}) {
		t.Errorf("the answering side names %v", a.GetFeatures())
	}
}

// TestUnknownIsCarried: a frame routed to another peer is passed on as it came, whatever is in
// it, within the bytes that a link may have us carry; one for us is dropped.
func TestUnknownIsCarried(t *testing.T) {
	routed := func(to string, m *pb.Routed) *pb.Routed {
		m.From, m.To, m.Passed, m.Parents = "from", to, []string{"from", "bob"}, []byte{0, 0}
		return m
	}
	contents := map[string]func() *pb.Routed{
		"a content that nobody knows": func() *pb.Routed {
			m := &pb.Routed{}
			m.ProtoReflect().SetUnknown(inventedField(30_000))
			return m
		},
		"a ping with more in it": func() *pb.Routed {
			p := &pb.Ping{Number: 5, Key: make([]byte, 32)}
			p.ProtoReflect().SetUnknown(inventedField(30))
			return &pb.Routed{Content: &pb.Routed_Ping{Ping: p}}
		},
		"a question about a longer key": func() *pb.Routed {
			return &pb.Routed{Content: &pb.Routed_Question{Question: &pb.Question{Subject: make([]byte, 1952), Id: "x"}}}
		},
		"an envelope of many parts": func() *pb.Routed {
			return &pb.Routed{Content: &pb.Routed_Envelope{Envelope: &pb.Envelope{Number: 1, Part: 99, Parts: 1000, Sealed: []byte("x")}}}
		},
	}
	for name, content := range contents {
		r := newRig(t, nil)
		bob, eve := r.neighbour(1, "bob"), r.neighbour(4, "eve")
		r.receive(bob, routed("eve", content()))
		list := r.sentOver(eve)
		want := routed("eve", content())
		want.Passed, want.Parents = append(want.Passed, "self"), append(want.Parents, 1)
		if len(list) != 1 || !proto.Equal(list[0], want) {
			t.Errorf("%s: %.200v goes on", name, list)
		}
		r.receive(bob, routed("self", content()))
		if len(r.out.Closes)+len(r.out.Envelopes) != 0 || r.c.links.Link(bob).State != link.LinkUp {
			t.Errorf("%s, to us: closes %v, envelopes %v", name, r.out.Closes, r.out.Envelopes)
		}
	}
	for _, name := range []string{"a content that nobody knows", "a ping with more in it"} {
		r := newRig(t, nil)
		bob, eve := r.neighbour(1, "bob"), r.neighbour(4, "eve")
		carried := 0
		for range 1000 {
			m := routed("eve", contents[name]())
			m.ProtoReflect().SetUnknown(inventedField(30_000))
			r.receive(bob, m)
			for range r.sentOver(eve) {
				carried += 30_000
			}
		}
		if carried < route.CarryLink*9/10 || carried > route.CarryLink {
			t.Errorf("%s: %d bytes are carried at once", name, carried)
		}
	}
	// Unknown parts of an accusation are not kept or passed on.
	r := newRig(t, nil)
	bob := r.neighbour(1, "bob")
	a := say(pb.AnnouncementType_LOST, 0, "self", 1000, 0)
	a.Record = proto.CloneOf(r.c.table.Self.Record.Signed)
	a.ProtoReflect().SetUnknown(inventedField(1000))
	a.Record.ProtoReflect().SetUnknown(inventedField(1000))
	r.receive(bob, propagation(a))
	refuted := false
	for i, m := range r.frames() {
		refuted = refuted || len(m.GetPropagation().GetAnnouncements()) > 0
		if bytes.Contains(r.out.Frames[i].Data, inventedField(1000)) {
			t.Errorf("%v is passed on with unknown parts", m)
		}
	}
	if !refuted {
		t.Error("it does not refute")
	}
}

// TestRecordOfANewerPeer: a peer whose record has more in it than this version knows is let in,
// shown, passed on byte for byte, and dialled at the addresses that are known.
func TestRecordOfANewerPeer(t *testing.T) {
	r := newRig(t, nil)
	two := r.neighbour(2, "two")
	key := testIdentity(1).Key()
	record := &pb.Record{Type: pb.AnnouncementType_JOIN, Id: "one", Key: key[:], Network: "net", Epoch: 1000, SealingKey: make([]byte, 1216)}
	record.Addresses = []string{"quic://relay.example/one"}
	for i := range 20 {
		record.Addresses = append(record.Addresses, fmt.Sprintf("192.0.2.%d:5000", i))
	}
	record.ProtoReflect().SetUnknown(inventedField(100))
	signed := testIdentity(1).SignRecord(record)
	one := r.inbound(1)
	r.receive(one, &pb.HandshakeStart{Version: 1, Network: "net", Id: "one", Record: signed})
	if !r.has("one") || r.c.links.Link(one).State != link.LinkUp {
		t.Fatalf("it is not let in: %v", r.frames())
	}
	passed := false
	for i, m := range r.frames() {
		for _, a := range m.GetPropagation().GetAnnouncements() {
			passed = passed || r.out.Frames[i].Link == two && proto.Equal(a.GetRecord(), signed)
		}
	}
	if !passed {
		t.Error("its record is not passed on as it was signed")
	}
	e := r.c.table.Get("one", key)
	if e.Record.Sealing != [32]byte{} || len(e.Record.Addresses) != pb.MaxAddresses || e.Record.Addresses[0] != "192.0.2.0:5000" {
		t.Errorf("of its record %v is used", e.Record)
	}
	if list := r.c.where.Candidates(e, true, []string{r.c.where.Mapped.String()}); len(list) == 0 {
		t.Error("it can't be dialled")
	}
}
