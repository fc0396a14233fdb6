package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// TestDescribe: rooms and tags are announced to each linked peer, once, and at most once a second
// however many changes there are; what comes back to what it was is not news.
func TestDescribe(t *testing.T) {
	r := newRig(t, func(cfg *base.Config) { cfg.Rooms, cfg.Tags = []string{"#a"}, "begin" })
	if said := r.c.table.Self.Record; !slices.Equal(said.Rooms, []string{"#a"}) || said.Tags != "begin" || said.TakesData {
		t.Errorf("it begins with %v", said)
	}
	linked, neighbour := r.seeing(1, "one", "10.9.9.9:5000"), r.neighbour(2, "two")
	describe := func(tags string, rooms ...string) {
		r.c.Step(r.now, Describe{Rooms: rooms, Tags: tags})
		r.drain()
	}
	says := func(what, tags string, rooms ...string) {
		t.Helper()
		for _, l := range []base.LinkID{linked, neighbour} {
			if got := r.own(l); string(got.GetTags()) != tags || !slices.Equal(got.GetRooms(), rooms) {
				t.Errorf("%s: it says %q and %q, not %q and %q", what, got.GetTags(), got.GetRooms(), tags, rooms)
			}
		}
	}
	r.pass(renewPause)
	describe("begin", "#a")
	says("nothing new", "")
	describe("two", "#a", "#b")
	says("a change", "two", "#a", "#b")
	for i := range 100 {
		describe(fmt.Sprint(i), "#c")
		says("too soon", "")
	}
	r.pass(renewPause + tickEvery)
	says("a second later", "99", "#c")
	describe("100", "#c")
	describe("99", "#c")
	r.pass(renewPause + tickEvery)
	if r.own(neighbour) != nil {
		t.Error("a change that was taken back is announced")
	}
	if n := r.c.table.Self.Record.Seq; n != 2 {
		t.Errorf("%d records", n)
	}
	describe("99", "#d")
	says("other rooms alone", "99", "#d")
	r.pass(renewPause)
	describe("tags", "#d")
	says("other tags alone", "tags", "#d")
	r.pass(renewPause)
	list := []string{"#x"}
	describe("kept", list...)
	r.pass(renewPause + tickEvery)
	list[0] = "#y"
	if r.pass(renewPause + tickEvery); r.c.table.Self.Record.Rooms[0] != "#x" {
		t.Error("the caller can change the rooms")
	}
}

// TestLargestOwnRecord: whatever a peer has to say of itself, in any kind of network, others can read
// its record.
func TestLargestOwnRecord(t *testing.T) {
	var rooms []string
	for i := range pb.MaxRooms {
		rooms = append(rooms, fmt.Sprintf("#%02d%s", i, strings.Repeat("r", pb.MaxRoom-2)))
	}
	record := func() *pb.Record {
		return &pb.Record{
			Type: pb.AnnouncementType_JOIN, Id: strings.Repeat("i", pb.MaxID), Key: make([]byte, pb.KeySize), Network: strings.Repeat("n", pb.MaxNetwork),
			Addresses: slices.Repeat([]string{"[fe80:1111:2222:3333:4444:5555:6666:7777%somewhere-else]:65535"}, pb.MaxAddresses),
			Observed:  slices.Repeat([]string{"[fe80:1111:2222:3333:4444:5555:6666:7777%somewhere-else]:65535"}, pb.MaxObserved),
			Epoch:     1<<64 - 1, Seq: 1<<32 - 1, SealingKey: make([]byte, pb.KeySize), Nonce: 1<<64 - 1, Visitor: true,
			Rooms: rooms, Tags: make([]byte, pb.MaxTags), Features: []uint32{pb.FeatureData},
		}
	}
	open := record()
	if r, err := pb.ParseRecord(testIdentity(0).SignRecord(open)); err != nil || len(r.Addresses) != pb.MaxAddresses || len(r.Rooms) != pb.MaxRooms || len(r.Tags) != pb.MaxTags {
		t.Errorf("open: %v, %d addresses, %d rooms, %d bytes of tags", err, len(r.GetAddresses()), len(r.GetRooms()), len(r.GetTags()))
	}
	member := record()
	member.Id, member.Key, member.Network = "", nil, ""
	grant := func() *pb.Signed { return &pb.Signed{Payload: make([]byte, 160), Signature: make([]byte, 64)} }
	member.Pass = &pb.Pass{Grant: grant(), Issuer: grant()}
	if n := len(testIdentity(0).SignRecord(member).GetPayload()); n > 4<<10 {
		t.Errorf("private: %d bytes", n)
	}
}
