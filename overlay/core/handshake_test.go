package core

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

func TestDoor(t *testing.T) {
	const newcomer = 1
	change := func(f func(*pb.HandshakeStart)) *pb.HandshakeStart {
		s := start(newcomer, "new", 1000)
		f(s)
		return s
	}
	record := func(f func(*pb.Record)) *pb.HandshakeStart {
		return change(func(s *pb.HandshakeStart) {
			r, err := pb.ParseRecord(s.GetRecord())
			if err != nil {
				t.Fatal(err)
			}
			f(r)
			s.Record = testIdentity(newcomer).SignRecord(r)
		})
	}
	other := testIdentity(2).Key()
	for name, test := range map[string]struct {
		before func(*rig)
		start  *pb.HandshakeStart
		code   pb.HandshakeCode
		holder string // whose record comes with it
	}{
		"a newcomer":                          {nil, change(func(*pb.HandshakeStart) {}), pb.HandshakeCode_OK, "self"},
		"version":                             {nil, change(func(s *pb.HandshakeStart) { s.Version = 2 }), pb.HandshakeCode_VERSION, ""},
		"a version without what this one has": {nil, &pb.HandshakeStart{Version: 2, Id: strings.Repeat("x", 1000)}, pb.HandshakeCode_VERSION, ""},
		"network":                             {nil, change(func(s *pb.HandshakeStart) { s.Network = "other" }), pb.HandshakeCode_NETWORK, ""},
		"ID":                                  {nil, change(func(s *pb.HandshakeStart) { s.Id = "a b" }), pb.HandshakeCode_MALFORMED, ""},
		"long ID":                             {nil, change(func(s *pb.HandshakeStart) { s.Id = strings.Repeat("a", 65) }), pb.HandshakeCode_MALFORMED, ""},
		"no record": {nil, change(func(s *pb.HandshakeStart) { s.Record.Payload = []byte("x") }),
			pb.HandshakeCode_MALFORMED, ""},
		"a LEAVE": {nil, record(func(r *pb.Record) { r.Type = pb.AnnouncementType_LEAVE }), pb.HandshakeCode_MALFORMED, ""},
		"another key's record": {nil, record(func(r *pb.Record) { r.Key = other[:] }),
			pb.HandshakeCode_MALFORMED, ""},
		"another ID's record": {nil, record(func(r *pb.Record) { r.Id = "old" }), pb.HandshakeCode_MALFORMED, ""},
		"another network's record": {nil, record(func(r *pb.Record) { r.Network = "other" }),
			pb.HandshakeCode_MALFORMED, ""},
		"a broken signature": {nil, change(func(s *pb.HandshakeStart) { s.Record.Signature[0] ^= 1 }),
			pb.HandshakeCode_MALFORMED, ""},
		"an ID in use": {func(r *rig) { r.linked(2, "new") }, start(newcomer, "new", 1), pb.HandshakeCode_DUPLICATE_ID, "new"},
		"our own ID":   {nil, start(newcomer, "self", 1), pb.HandshakeCode_DUPLICATE_ID, "self"},
		"an ID that has left": {func(r *rig) {
			r.receive(r.linked(2, "new"), propagation(say(pb.AnnouncementType_LEAVE, 2, "new", 1000, 1)))
		}, start(newcomer, "new", 1000), pb.HandshakeCode_OK, "self"},
		"an ID whose holder is suspected": {func(r *rig) {
			r.receive(r.linked(2, "new"), propagation(say(pb.AnnouncementType_LOST, 2, "new", 1000, 0)))
		}, start(newcomer, "new", 1000), pb.HandshakeCode_DUPLICATE_ID, "new"},
		"an ID whose holder is lost": {func(r *rig) {
			r.receive(r.linked(2, "new"), propagation(say(pb.AnnouncementType_LOST, 2, "new", 1000, 0)))
			r.pass(2 * suspectFor)
		}, start(newcomer, "new", 1000), pb.HandshakeCode_OK, "self"},
		"a second connection": {func(r *rig) { r.linked(newcomer, "new") }, start(newcomer, "new", 1000), pb.HandshakeCode_OK, "self"},
		"a later run":         {func(r *rig) { r.linked(newcomer, "new") }, start(newcomer, "new", 1001), pb.HandshakeCode_OK, "self"},
		"an earlier run":      {func(r *rig) { r.linked(newcomer, "new") }, start(newcomer, "new", 999), pb.HandshakeCode_STALE, "new"},
		"a run that has left": {func(r *rig) {
			r.receive(r.linked(newcomer, "new"), propagation(say(pb.AnnouncementType_LEAVE, newcomer, "new", 1000, 1)))
		}, start(newcomer, "new", 1000), pb.HandshakeCode_STALE, "new"},
		"a member with a younger twin here": {func(r *rig) {
			l := r.linked(newcomer, "new")
			r.receive(l, propagation(say(pb.AnnouncementType_LOST, newcomer, "new", 1000, 0)))
			r.pass(2 * suspectFor)
			r.receive(l, propagation(say(pb.AnnouncementType_JOIN, 2, "new", 2000, 0)))
		}, start(newcomer, "new", 1000), pb.HandshakeCode_OK, "self"},
		"full": {func(r *rig) {
			for i := range maxLinks {
				r.linked(100+uint64(i), fmt.Sprint("p", i))
			}
		}, start(newcomer, "new", 1000), pb.HandshakeCode_FULL, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			if test.before != nil {
				test.before(r)
			}
			l := r.inbound(newcomer)
			r.receive(l, test.start)
			response := r.frames()[0].GetHandshakeResponse()
			if response.GetCode() != test.code {
				t.Fatalf("%v %q, not %v", response.GetCode(), response.GetReason(), test.code)
			}
			if test.holder != "" {
				holder, err := pb.ParseRecord(response.GetRecord())
				if err != nil || holder.GetId() != test.holder || !certs.VerifyRecord(certs.PublicKey(holder.GetKey()), response.GetRecord()) {
					t.Errorf("comes with the record %v: %v", holder, err)
				}
			}
			if test.code == pb.HandshakeCode_FULL && len(response.GetCandidates()) != pb.MaxCandidates {
				t.Errorf("%d candidates", len(response.GetCandidates()))
			}
			closed := slices.ContainsFunc(r.out.Closes, func(c Close) bool { return c.Link == l && c.Reason == CloseRefused })
			up := slices.ContainsFunc(r.out.Up, func(u LinkUp) bool { return u.Link == l })
			if ok := test.code == pb.HandshakeCode_OK; up != ok || closed == ok {
				t.Errorf("up %v, closed %v", up, closed)
			}
			if ok := test.code == pb.HandshakeCode_OK; ok && !r.has("new") {
				t.Errorf("not in the table")
			}
		})
	}
}

// joining is a rig that has dialled one address, and the link to it.
func joining(t *testing.T) (*rig, LinkID) {
	r := newRig(t, func(c *Config) { c.Join, c.JoinTimeout = []string{"door:1"}, 10*time.Second })
	l := r.outbound(r.out.Dials[0].ID, 1)
	if s := r.frames()[0].GetHandshakeStart(); s.GetId() != "self" || s.GetNetwork() != "net" {
		t.Fatalf("begins with %v", s)
	}
	return r, l
}

func TestRefused(t *testing.T) {
	r, l := joining(t)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_DUPLICATE_ID, Record: signed(5, "self", pb.AnnouncementType_JOIN, 1, 0)})
	var duplicate *DuplicateIDError
	if !errors.As(r.out.Err, &duplicate) || duplicate.Holder != testIdentity(5).Key() {
		t.Errorf("DUPLICATE_ID ends with %v", r.out.Err)
	}

	r, l = joining(t)
	broken := signed(5, "self", pb.AnnouncementType_JOIN, 1, 0)
	broken.Signature[0] ^= 1
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_DUPLICATE_ID, Record: broken})
	if r.out.Err != nil {
		t.Errorf("DUPLICATE_ID without proof ends with %v", r.out.Err)
	}

	r, l = joining(t)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_STALE, Record: signed(0, "self", pb.AnnouncementType_JOIN, 5000, 3)})
	if r.out.Epoch != 5001 || r.c.Epoch() != 5001 || r.out.Err != nil {
		t.Errorf("STALE gives epoch %d, error %v", r.out.Epoch, r.out.Err)
	}
	r.pass(2 * tickEvery)
	if len(r.out.Dials) != 1 {
		t.Fatalf("STALE: %d dials", len(r.out.Dials))
	}
	r.outbound(r.out.Dials[0].ID, 1)
	record, err := pb.ParseRecord(r.frames()[0].GetHandshakeStart().GetRecord())
	if err != nil || record.GetEpoch() != 5001 {
		t.Errorf("after STALE asks with %v, %v", record, err)
	}

	r, l = joining(t)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_FULL, Candidates: []*pb.Signed{
		signed(7, "seven", pb.AnnouncementType_JOIN, 1, 0), signed(0, "self", pb.AnnouncementType_JOIN, 1, 0),
	}})
	if len(r.out.Dials) != 1 || r.out.Dials[0].Key != testIdentity(7).Key() || r.out.Dials[0].Candidates[0].Address != "10.1.1.1:5000" {
		t.Errorf("FULL dials %v", r.out.Dials)
	}

	for _, code := range []pb.HandshakeCode{pb.HandshakeCode_VERSION, pb.HandshakeCode_NETWORK, pb.HandshakeCode_MALFORMED} {
		r, l = joining(t)
		r.receive(l, &pb.HandshakeResponse{Code: code, Reason: "no"})
		r.pass(time.Second)
		var join *JoinError
		if !errors.As(r.out.Err, &join) || join.Refusal.GetCode() != code || join.Address != "door:1" {
			t.Errorf("%v ends with %v", code, r.out.Err)
		}
	}

	r, l = joining(t)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_LEAVING})
	r.pass(2 * time.Second)
	if r.out.Err != nil || len(r.out.Dials) == 0 {
		t.Errorf("LEAVING ends with %v, %d dials", r.out.Err, len(r.out.Dials))
	}
}

func TestJoinFails(t *testing.T) {
	var join *JoinError
	two := func(c *Config) { c.Join, c.JoinTimeout = []string{"a:1", "b:1"}, 4*time.Second }

	r := newRig(t, two)
	for r.out.Err == nil && r.now < time.Minute {
		for _, d := range r.out.Dials {
			r.c.Step(r.now, DialFailed{Dial: d.ID, Why: "timeout"})
		}
		r.pass(tickEvery)
	}
	if !errors.As(r.out.Err, &join) || r.now < 4*time.Second || r.now > 5*time.Second || len(join.Failures) != 2 ||
		join.Failures[0] != "a:1: timeout" || join.Refusal != nil {
		t.Errorf("nobody there: %v after %v", r.out.Err, r.now)
	}

	r = newRig(t, two)
	for _, d := range r.out.Dials {
		r.c.Step(r.now, DialFailed{Dial: d.ID, Obstacle: ObstacleSelf, Self: true, Why: "that is this peer itself"})
	}
	r.pass(2 * tickEvery)
	if !errors.As(r.out.Err, &join) || !slices.Equal(join.Obstacles, []Obstacle{ObstacleSelf}) {
		t.Errorf("only own addresses: %v", r.out.Err)
	}

	r = newRig(t, two)
	for a := ObstacleName; r.out.Err == nil && r.now < time.Minute; a = ObstacleProtocol {
		for _, d := range r.out.Dials {
			by := ObstacleSilence
			if d.Candidates[0].Address == "a:1" {
				by = a
			}
			r.c.Step(r.now, DialFailed{Dial: d.ID, Obstacle: by, Why: "no"})
		}
		r.pass(tickEvery)
	}
	if !errors.As(r.out.Err, &join) || !slices.Equal(join.Obstacles, []Obstacle{ObstacleProtocol, ObstacleSilence}) {
		t.Errorf("the last of each: %v", join.Obstacles)
	}

	r, l := joining(t)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_FULL})
	for r.out.Err == nil && r.now < time.Minute {
		r.pass(time.Second)
	}
	if !errors.As(r.out.Err, &join) || !slices.Equal(join.Obstacles, []Obstacle{ObstacleFull}) {
		t.Errorf("full: %v", r.out.Err)
	}

	r = newRig(t, func(c *Config) { c.Join = []string{"a:1"} })
	for range 100 {
		for _, d := range r.out.Dials {
			r.c.Step(r.now, DialFailed{Dial: d.ID, Why: "timeout"})
		}
		r.pass(time.Minute)
	}
	if r.out.Err != nil || len(r.out.Dials) == 0 {
		t.Errorf("without a limit it ends with %v", r.out.Err)
	}
}

// TestJoin follows a newcomer frame by frame.
func TestJoin(t *testing.T) {
	r, l := joining(t)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "door", pb.AnnouncementType_JOIN, 7, 0)})
	frames := r.frames()
	if len(frames) != 2 || frames[0].GetSyncRequest() == nil || frames[1].GetNeighbour().GetType() != pb.NeighbourType_REQUEST || len(r.out.Events) != 0 {
		t.Fatalf("after OK: %v, events %v", frames, r.out.Events)
	}
	r.receive(l, &pb.SyncReply{Announcements: []*pb.Announcement{say(pb.AnnouncementType_JOIN, 4, "four", 1, 0)}})
	if len(r.out.Frames) != 0 {
		t.Fatalf("within a piece: %v", r.frames())
	}
	r.receive(l, &pb.SyncReply{Last: true, Announcements: []*pb.Announcement{say(pb.AnnouncementType_JOIN, 2, "two", 1, 0)}})
	if frames = r.frames(); len(frames) != 1 || frames[0].GetSyncRequest().GetAfterId() != "two" {
		t.Fatalf("after a piece: %v", frames)
	}
	r.receive(l, &pb.SyncReply{Done: true, Announcements: []*pb.Announcement{say(pb.AnnouncementType_LOST, 3, "three", 1, 0)}})
	want := []Event{ // the door is not a neighbour yet, but we know it all from the door
		Ready{}, Joined{ID: "door", Key: testIdentity(1).Key()},
		Joined{ID: "four", Key: testIdentity(4).Key(), Via: "door"}, Joined{ID: "two", Key: testIdentity(2).Key(), Via: "door"},
	}
	if !slices.Equal(r.out.Events, want) {
		t.Errorf("events %v", r.out.Events)
	}
	r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
	if frames = r.frames(); len(frames) != 2 || frames[0].GetRoutes() == nil || !proto.Equal(frames[1].GetSyncDigest(), &pb.SyncDigest{Root: r.c.table.digest()}) {
		t.Errorf("after ACCEPT: %v", frames)
	}
}
