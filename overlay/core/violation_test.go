package core

import (
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// TestViolations: a peer that breaks the protocol loses its link; the others keep theirs, and the
// table is unchanged.
func TestViolations(t *testing.T) {
	forged := func(kind pb.AnnouncementType) *pb.PropagationMessage {
		a := say(kind, 2, "two", 1000, 5)
		a.Record = &pb.Signed{Payload: a.GetRecord().GetPayload(), Signature: make([]byte, 64)}
		return propagation(a)
	}
	known := say(pb.AnnouncementType_LOST, 2, "two", 1000, 0)
	known.Record.Signature[5] ^= 1
	foreign := testIdentity(2).Key()
	other := testIdentity(2).SignRecord(&pb.Record{
		Type: pb.AnnouncementType_JOIN, Id: "two", Key: foreign[:], Network: "other", Epoch: 9999,
	})
	mixed := say(pb.AnnouncementType_JOIN, 2, "two", 1000, 5)
	mixed.Type = pb.AnnouncementType_LEAVE
	lostLeave := say(pb.AnnouncementType_LEAVE, 2, "two", 1000, 5)
	lostLeave.Type, lostLeave.Accusers = pb.AnnouncementType_LOST, []string{"w1"}
	broadcast := saidBroadcast(2, "two", 1000, 1, "x")
	broadcast.Content.Signature[0] ^= 1
	for name, content := range map[string]proto.Message{
		"a second handshake":               start(1, "one", 1000),
		"an answer that nobody asked for":  &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "one", pb.AnnouncementType_JOIN, 1000, 0)},
		"a message on the control stream":  &pb.Message{Id: make([]byte, 16), Sender: "one", Receiver: "self"},
		"a forged JOIN":                    forged(pb.AnnouncementType_JOIN),
		"a forged LEAVE":                   forged(pb.AnnouncementType_LEAVE),
		"a forged LOST":                    forged(pb.AnnouncementType_LOST),
		"LOST with a broken signature":     propagation(known),
		"LEAVE with a JOIN record":         propagation(mixed),
		"LOST with a LEAVE record":         propagation(lostLeave),
		"another network":                  propagation(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: other}),
		"a table that was not asked for":   piece(),
		"ACCEPT without a request":         &pb.Neighbour{Type: pb.NeighbourType_ACCEPT},
		"REFUSE without a request":         &pb.Neighbour{Type: pb.NeighbourType_REFUSE},
		"a forged broadcast":               broadcast,
		"a broadcast of another network":   &pb.Broadcast{Content: testIdentity(2).SignBroadcast(&pb.BroadcastContent{Id: make([]byte, 16), Sender: "two", Key: foreign[:], Network: "other"})},
		"news, then a forged announcement": propagation(say(pb.AnnouncementType_JOIN, 2, "two", 1000, 0), forged(pb.AnnouncementType_JOIN).GetAnnouncements()[0]),
		"a forged announcement in a table": piece(forged(pb.AnnouncementType_JOIN).GetAnnouncements()...),
		"a table left open too early":      &pb.Reconcile{Answer: true, Ranges: []*pb.TableRange{{First: 5, Last: math.MaxUint64}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			for i := range uint64(table.WantNeighbours) {
				r.neighbour(20+i, string(rune('a'+i)))
			}
			two := r.neighbour(2, "two")
			one := r.linked(1, "one")
			if _, sync := content.(*pb.Reconcile); sync && name != "a table that was not asked for" {
				r.c.links.Link(one).Exchange = asking()
			}
			r.knowAccuser(content)
			before := string(r.c.table.Digest())
			r.receive(one, content)
			if len(r.out.Closes) != 1 || r.out.Closes[0].Link != one || r.out.Closes[0].Reason != base.CloseProtocol {
				t.Errorf("closes %v", r.out.Closes)
			}
			if string(r.c.table.Digest()) != before || len(r.out.Events) != 0 || !r.c.links.Link(two).Neighbour {
				t.Errorf("makes a difference: %v", r.out.Events)
			}
			r.receive(one, propagation(say(pb.AnnouncementType_JOIN, 9, "nine", 1, 0)))
			if r.has("nine") {
				t.Errorf("is still heard")
			}
		})
	}
}
