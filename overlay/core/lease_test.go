package core

import (
	"testing"
	"time"

	"quicpeer/pb"
)

// jump lets time pass in steps of a minute, while all links are heard.
func (r *rig) jump(d time.Duration) {
	var all Effects
	for until := r.now + d; r.now < until; {
		r.now = min(until, r.now+time.Minute)
		for _, l := range r.c.links.list {
			r.c.Step(r.now, Heard{Link: l.id, Heard: r.now, Used: r.now, RoundTrip: 0})
		}
		r.c.nextTick = r.now // it has ticked all the time
		r.c.Step(r.now, Tick{})
		r.drain()
		for i, m := range r.frames() {
			if isQuestion(m) && r.c.ready {
				r.c.Step(r.now, Received{Link: r.out.Frames[i].Link, Frame: pb.Wrap(piece())})
			}
		}
		all.add(r.out)
	}
	r.out = all
}

// aged is an announcement that was first said so long ago.
func aged(a *pb.Announcement, age time.Duration) *pb.Announcement {
	a.Age = toAge(age)
	return a
}

// TestLease: a JOIN holds for 24 hours from when it was signed, however often and by whomever it
// is repeated; then its peer is gone, unless it has renewed it.
func TestLease(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "bob")
	join := func(seq uint32, age time.Duration) {
		r.receive(l, propagation(aged(say(pb.AnnouncementType_JOIN, 5, "five", 10, seq), age)))
		r.drain()
	}
	// Only the table knows whether the peer is still there, since pings stay unanswered.
	holds := func() bool { return len(r.c.table.of("five")) > 0 }
	join(0, lease)
	if holds() {
		t.Error("a JOIN of a day ago is taken")
	}
	join(0, lease-time.Hour)
	if !r.has("five") {
		t.Fatal("a JOIN of 23 hours ago is not taken")
	}
	r.jump(30 * time.Minute)
	join(0, 0) // by a peer that makes it look young again
	if !holds() {
		t.Error("gone before its time")
	}
	r.jump(35 * time.Minute)
	if holds() {
		t.Error("still there after 24 hours")
	}
	join(0, lease-time.Hour)
	r.jump(30 * time.Minute)
	join(1, 0)
	r.jump(23 * time.Hour)
	if !holds() {
		t.Error("renewed, and gone before its time")
	}
}

// TestLeaseOfAPeerThatIsHere: a peer that is shown when its lease ends is shown as lost.
func TestLeaseOfAPeerThatIsHere(t *testing.T) {
	r := newRig(t, nil)
	l := r.neighbour(1, "bob")
	r.receive(l, propagation(aged(say(pb.AnnouncementType_JOIN, 5, "five", 10, 0), lease-time.Second)))
	r.now += 2 * time.Second
	r.c.roll.nextForget = r.now
	r.c.nextTick = r.now
	r.c.Step(r.now, Tick{})
	r.drain()
	if r.has("five") || len(r.out.Events) != 1 || r.out.Events[0] != (Left{ID: "five"}) {
		t.Errorf("events %v", r.out.Events)
	}
}

// TestRenewal: a peer renews its JOIN three times a day, and all its neighbours hear it.
func TestRenewal(t *testing.T) {
	r := newRig(t, nil)
	one, two := r.neighbour(1, "one"), r.neighbour(2, "two")
	for i := range uint64(3) {
		before := r.c.table.self.record.Seq
		r.jump(renewEvery)
		if n := r.c.table.self.record.Seq - before; n != 1 || !r.c.table.self.alive() {
			t.Fatalf("in period %d it says so %d times", i, n)
		}
		heard := make(map[LinkID]bool)
		for k, m := range r.frames() {
			for _, a := range m.GetPropagation().GetAnnouncements() {
				if record := mustRecord(t, a); record.GetId() == "self" && record.GetSeq() == before+1 && a.GetAge() == 0 {
					heard[r.out.Frames[k].Link] = true
				}
			}
		}
		if !heard[one] || !heard[two] {
			t.Errorf("in period %d heard by %v", i, heard)
		}
	}
	if a := r.c.gossip.announcement(r.c.table.self); fromAge(a.GetAge()) > renewEvery {
		t.Errorf("its own record is %d ms old", a.GetAge())
	}
}

// TestBurialOutlives: an old JOIN brings no peer back, whenever it comes, since a burial is
// remembered for longer than a JOIN holds.
func TestBurialOutlives(t *testing.T) {
	for _, kind := range []pb.AnnouncementType{pb.AnnouncementType_LEAVE, pb.AnnouncementType_LOST} {
		r := newRig(t, nil)
		l := r.neighbour(1, "bob")
		r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", 10, 0)))
		r.receive(l, propagation(say(kind, 5, "five", 10, 0)))
		r.pass(suspectAlone + tickEvery)
		if r.has("five") {
			t.Fatalf("%v: still here", kind)
		}
		began := r.now
		for range 60 {
			r.jump(30 * time.Minute)
			r.receive(l, propagation(aged(say(pb.AnnouncementType_JOIN, 5, "five", 10, 0), r.now-began)))
			if r.has("five") {
				t.Fatalf("%v: is back after %v", kind, r.now-began)
			}
			if age := r.now - began; kind == pb.AnnouncementType_LOST && age < rememberFor && len(r.c.table.of("five")) == 0 {
				t.Errorf("forgotten after %v", age)
			}
		}
		if len(r.c.table.of("five")) > 0 {
			t.Errorf("%v: is remembered for ever", kind)
		}
	}
}

// TestClocks: a clock that is wrong by decades does not keep a peer out: the epoch of a run is
// only compared with others of its key, and ages are not computed from it.
func TestClocks(t *testing.T) {
	for _, epoch := range []uint64{1, 1000, 1 << 62} {
		r := newRig(t, nil)
		l := r.neighbour(1, "bob")
		r.neighbour(2, "carol")
		far := r.inbound(5)
		r.receive(far, start(5, "five", epoch))
		if !r.has("five") || r.frames()[0].GetHandshakeResponse().GetCode() != pb.HandshakeCode_OK {
			t.Fatalf("epoch %d: is not let in", epoch)
		}
		r.receive(l, propagation(say(pb.AnnouncementType_LOST, 5, "five", epoch, 0)))
		r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 5, "five", epoch, 1)))
		if !r.has("five") || len(r.out.Events) > 0 {
			t.Errorf("epoch %d: its refutation is not heard: %v", epoch, r.out.Events)
		}
		r.jump(lease - time.Hour)
		if len(r.c.table.of("five")) != 1 {
			t.Errorf("epoch %d: its lease is shorter", epoch)
		}
		r.receive(l, propagation(say(pb.AnnouncementType_LEAVE, 5, "five", epoch, 2), say(pb.AnnouncementType_JOIN, 5, "five", epoch+1, 0)))
		if owner := r.c.table.owner("five", r.now); owner == nil || owner.record.Epoch != epoch+1 {
			t.Errorf("epoch %d: its next run is not the later one", epoch)
		}
	}
	own := newRig(t, func(c *Config) { c.Epoch = 1 })
	bob := own.neighbour(1, "bob")
	own.receive(bob, propagation(say(pb.AnnouncementType_LOST, 0, "self", 1, 0)))
	if own.c.table.self.record.Seq != 1 || own.out.Err != nil {
		t.Errorf("with an epoch of 1970 it refutes by %d, %v", own.c.table.self.record.Seq, own.out.Err)
	}
}
