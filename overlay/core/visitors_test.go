package core

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// visitorSays is a statement of a visitor about itself.
func visitorSays(kind pb.AnnouncementType, identity uint64, id string, seq uint32) *pb.Announcement {
	a := say(kind, identity, id, 1000, seq)
	record, err := pb.ParseRecord(a.Record)
	if err != nil {
		panic(err)
	}
	record.Visitor = true
	a.Record = testIdentity(identity).SignRecord(record)
	return a
}

// guest is an inbound link of a visitor.
func (r *rig) guest(identity uint64, id string) LinkID {
	l := r.inbound(identity)
	hello := start(identity, id, 1000)
	hello.Record = visitorSays(pb.AnnouncementType_JOIN, identity, id, 0).Record
	r.receive(l, hello)
	return l
}

// tells returns the links with frames of the last input that mention a peer in any way.
func (r *rig) tells(id string) []LinkID {
	var list []LinkID
	for i, m := range r.frames() {
		f := r.out.Frames[i]
		if bytes.Contains(f.Data, []byte(id)) || slices.Contains(m.GetRoutes().GetPeers(), shortTag(tagOf(certs.ID(id)))) {
			list = append(list, f.Link)
		}
	}
	return list
}

// TestGuest: a visitor is let in, and its door announces it to nobody, neither while it is here
// nor when it goes, in good order or not. It hears everything that others hear.
func TestGuest(t *testing.T) {
	for name, goes := range map[string]func(r *rig, l LinkID){
		"leaves": func(r *rig, l LinkID) {
			r.receive(l, propagation(visitorSays(pb.AnnouncementType_LEAVE, 5, "guest", 1)))
		},
		"crashes": func(r *rig, l LinkID) {
			r.passWith(guestSilent+2*tickEvery, func(id LinkID) bool { return id != l })
		},
		"its link breaks": func(r *rig, l LinkID) {
			r.c.Step(r.now, Disconnected{Link: l, Why: "reset"})
			r.pass(guestSilent + tickEvery)
		},
	} {
		r := newRig(t, nil)
		bob, carol := r.neighbour(1, "bob"), r.neighbour(2, "carol")
		r.pass(2 * time.Second)
		before := r.c.table.digest()
		l := r.guest(5, "guest")
		if !r.has("guest") || len(r.out.Events) != 1 || !slices.Equal(r.tells("guest"), nil) {
			t.Fatalf("%s: on arrival events %v, told to %v", name, r.out.Events, r.tells("guest"))
		}
		for _, m := range r.frames() {
			if m.GetNeighbour() != nil {
				t.Errorf("%s: it is asked for neighbourhood", name)
			}
		}
		if r.receive(l, allHeld()); len(r.frames()[0].GetReconcile().GetAnnouncements()) != 3 {
			t.Errorf("%s: gets the table %v", name, r.frames())
		}
		r.receive(bob, propagation(say(pb.AnnouncementType_JOIN, 6, "six", 1000, 0)))
		if told := r.tells("six"); !slices.Equal(told, []LinkID{carol, l}) {
			t.Errorf("%s: a join is told to %v", name, told)
		}
		r.receive(bob, saidBroadcast(6, "six", 1000, 1, "to all"))
		if told := r.tells("to all"); !slices.Equal(told, []LinkID{carol, l}) {
			t.Errorf("%s: a broadcast is told to %v", name, told)
		}
		r.receive(bob, propagation(say(pb.AnnouncementType_LEAVE, 6, "six", 1000, 1)))
		newcomer := r.linked(7, "seven")
		if r.receive(newcomer, allHeld()); len(r.tells("guest")) > 0 {
			t.Errorf("%s: a newcomer gets it", name)
		}
		if r.c.door.others(); slices.ContainsFunc(r.c.door.others(), func(s *pb.Signed) bool { return bytes.Contains(s.Payload, []byte("guest")) }) {
			t.Errorf("%s: named as another door", name)
		}
		r.receive(newcomer, propagation(say(pb.AnnouncementType_LEAVE, 7, "seven", 1000, 1)))
		r.c.Step(r.now, Disconnected{Link: newcomer, Friendly: true, Why: "bye"})
		r.drain()
		r.passWith(time.Second, func(LinkID) bool { return true })
		if len(r.tells("guest")) > 0 {
			t.Errorf("%s: it is told to %v", name, r.tells("guest"))
		}
		goes(r, l)
		gone := Left{ID: "guest", Farewell: name == "leaves"}
		if len(r.out.Events) != 1 || r.out.Events[0] != gone || len(r.tells("guest")) > 0 {
			t.Errorf("%s: when it goes events %v, told to %v", name, r.out.Events, r.tells("guest"))
		}
		r.jump(rememberLeft + time.Minute)
		if len(r.tells("guest")) > 0 || !bytes.Equal(r.c.table.digest(), before) || len(r.c.table.of("guest")) > 0 {
			t.Errorf("%s: something is left of it", name)
		}
		if len(r.c.table.tombstones.ring) != 2 { // six and seven
			t.Errorf("%s: %d runs are remembered", name, len(r.c.table.tombstones.ring))
		}
	}
}

// TestGuestStays: a guest that says that it stays is announced like any other peer.
func TestGuestStays(t *testing.T) {
	r := newRig(t, nil)
	bob, carol := r.neighbour(1, "bob"), r.neighbour(2, "carol")
	l := r.guest(5, "guest")
	r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "guest", 1000, 1)))
	if told := r.tells("guest"); !slices.Equal(told, []LinkID{bob, carol}) || len(r.out.Events) > 0 {
		t.Errorf("told to %v, events %v", told, r.out.Events)
	}
	newcomer := r.linked(7, "seven")
	if r.receive(newcomer, allHeld()); len(r.tells("guest")) == 0 {
		t.Error("it is not in the table")
	}
	// A guest that fell silent and was dropped comes back by others.
	late := r.guest(6, "late")
	r.passWith(2*guestSilent, func(id LinkID) bool { return id != late })
	if r.has("late") {
		t.Fatal("it is still here")
	}
	if r.receive(bob, propagation(say(pb.AnnouncementType_JOIN, 6, "late", 1000, 1))); !r.has("late") {
		t.Error("it is not back")
	}
}

// TestVisitorsSpeakForThemselves: no peer can call another one a visitor.
func TestVisitorsSpeakForThemselves(t *testing.T) {
	r := newRig(t, nil)
	bob := r.neighbour(1, "bob")
	for _, kind := range []pb.AnnouncementType{pb.AnnouncementType_JOIN, pb.AnnouncementType_LOST, pb.AnnouncementType_LEAVE} {
		r.receive(bob, propagation(visitorSays(kind, 5, "five", 0)))
		if len(r.out.Events)+len(r.out.Closes) > 0 || len(r.c.table.of("five")) > 0 {
			t.Errorf("%v: events %v, closes %v", kind, r.out.Events, r.out.Closes)
		}
	}
	r.guest(5, "five")
	for _, kind := range []pb.AnnouncementType{pb.AnnouncementType_LOST, pb.AnnouncementType_LEAVE} {
		r.receive(bob, propagation(visitorSays(kind, 5, "five", 1)))
		if r.pass(time.Second); !r.has("five") {
			t.Errorf("%v of another is taken", kind)
		}
	}
}

// visiting is a visitor whose door has let it in, at link 1.
func visiting(t *testing.T) *rig {
	r := newRig(t, func(c *Config) { c.Visitor, c.Join, c.JoinTimeout = true, []string{"door:1"}, 10*time.Second })
	l := r.outbound(r.out.Dials[0].ID, 1)
	record, err := OpenRecord(r.frames()[0].GetHandshakeStart().GetRecord())
	if err != nil || !record.Visitor {
		t.Fatalf("comes with %v, %v", record, err)
	}
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "door", pb.AnnouncementType_JOIN, 1000, 0)})
	for _, m := range r.frames() {
		if m.GetNeighbour() != nil {
			t.Error("a visitor asks for neighbourhood")
		}
	}
	r.brings(l, say(pb.AnnouncementType_JOIN, 1, "door", 1000, 0), say(pb.AnnouncementType_JOIN, 2, "bob", 1000, 0))
	if !r.c.ready {
		t.Fatal("not ready")
	}
	return r
}

// says returns the statements about ourselves, and the requests, in the frames of the last input
// on the link.
func (r *rig) says(l LinkID) (list []string) {
	for i, m := range r.frames() {
		if r.out.Frames[i].Link != l {
			continue
		}
		for _, a := range m.GetPropagation().GetAnnouncements() {
			record, err := OpenRecord(a.GetRecord())
			if err != nil || record.ID != "self" {
				r.t.Fatalf("says %v, %v", record, err)
			}
			kind := record.Type.String()
			if record.Visitor {
				kind += " of a visitor"
			}
			list = append(list, kind)
		}
		if m.GetNeighbour().GetType() == pb.NeighbourType_REQUEST {
			list = append(list, "REQUEST")
		}
		if m.GetBroadcast() != nil {
			list = append(list, "broadcast")
		}
	}
	return list
}

// TestVisitor: the reasons for which a visitor becomes a member, and its announcements then.
func TestVisitor(t *testing.T) {
	member := []string{"JOIN", "REQUEST"}
	for name, test := range map[string]struct {
		what func(r *rig)
		says []string
	}{
		"nothing":    {func(r *rig) { r.pass(visitFor - 2*tickEvery) }, nil},
		"time":       {func(r *rig) { r.pass(visitFor) }, member},
		"leaving":    {func(r *rig) { r.c.Step(r.now, Leave{}); r.drain() }, []string{"LEAVE of a visitor"}},
		"broadcast":  {func(r *rig) { r.c.Step(r.now, Broadcast{Body: "all", SentAt: 0}); r.drain() }, append(slices.Clone(member), "broadcast")},
		"dialled":    {func(r *rig) { r.c.Step(r.now, Want{To: "bob"}); r.drain() }, nil},
		"no way":     {func(r *rig) { r.c.Step(r.now, Want{To: "bob"}); r.drain(); r.fail("timeout") }, member},
		"not direct": {func(r *rig) { r.c.Step(r.now, Route{To: "bob", Number: 1, Sealed: []byte("sealed")}); r.drain() }, member},
		"deposit": {func(r *rig) {
			key := testIdentity(9).Key()
			r.c.Step(r.now, Deposit{Deposit: &pb.Deposit{Receiver: "zoe", ReceiverKey: key[:], Sealed: []byte("sealed")}})
			r.drain()
		}, member},
		"a door": {func(r *rig) {
			r.receive(r.inbound(8), start(8, "eight", 1000))
			record, err := OpenRecord(r.frames()[len(r.frames())-1].GetHandshakeResponse().GetRecord())
			for _, m := range r.frames() {
				if h := m.GetHandshakeResponse(); h != nil {
					record, err = OpenRecord(h.GetRecord())
				}
			}
			if err != nil || record.Visitor {
				r.t.Errorf("answers with %v, %v", record, err)
			}
		}, nil},
		"asked": {func(r *rig) { r.receive(1, &pb.Neighbour{Type: pb.NeighbourType_REQUEST}) }, member},
	} {
		r := visiting(t)
		test.what(r)
		says := r.says(1)
		if name == "a door" {
			says = nil // among others
			if r.c.visiting || !r.c.links.linkTo(testIdentity(1).Key()).asked {
				t.Errorf("%s: is a visitor still", name)
			}
		}
		if !slices.Equal(says, test.says) {
			t.Errorf("%s: says %q, not %q", name, says, test.says)
		}
	}
	alone := newRig(t, func(c *Config) { c.Visitor = true })
	if alone.c.table.self.record.Visitor {
		t.Error("a visitor that begins a network remains one")
	}
	found := newRig(t, func(c *Config) { c.Visitor, c.Discover = true, true })
	if found.pass(discoverFor + time.Second); found.c.table.self.record.Visitor || !found.c.ready {
		t.Error("a visitor that finds nobody remains one")
	}
}

// fail makes all dials of the last input fail.
func (r *rig) fail(why string) {
	for _, d := range r.out.Dials {
		r.c.Step(r.now, DialFailed{Dial: d.ID, Why: why})
	}
	r.drain()
}

// TestVisitorStaysWhileJoining: a visitor that becomes a member during a handshake says so over
// that link too.
func TestVisitorStaysWhileJoining(t *testing.T) {
	r := visiting(t)
	r.c.Step(r.now, Want{To: "bob"})
	r.drain()
	l := r.outbound(r.out.Dials[0].ID, 2)
	r.pass(visitFor)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(2, "bob", pb.AnnouncementType_JOIN, 1000, 0)})
	if says := r.says(l); len(says) == 0 || says[0] != "JOIN" {
		t.Errorf("says %q", says)
	}
}

// TestDoorWithGuests: a peer whose only links are to guests asks none of them for anything.
func TestDoorWithGuests(t *testing.T) {
	r := newRig(t, nil)
	r.pass(time.Minute)
	l := r.guest(5, "guest")
	r.pass(visitFor)
	for _, m := range r.frames() {
		if m.GetNeighbour() != nil || m.GetRouted() != nil || m.GetReconcile() != nil {
			t.Errorf("says %v", m)
		}
	}
	r.c.Step(r.now, Broadcast{Body: "all", SentAt: 0})
	if r.drain(); !slices.Equal(r.tells("all"), []LinkID{l}) {
		t.Errorf("a broadcast goes to %v", r.tells("all"))
	}
}
