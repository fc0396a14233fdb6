package core

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// TestOpenBytes: attack 23. What a peer of an open network says is, to the byte, what it said before
// there were private ones.
func TestOpenBytes(t *testing.T) {
	r := newRig(t, func(c *base.Config) { c.Join, c.Features = []string{"10.0.0.1:5000"}, []uint32{1} })
	l := r.outbound(r.out.Dials[0].ID, 1)
	start := r.out.Frames[0].Data
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(1, "one", pb.AnnouncementType_JOIN, 1000, 0)})
	in := r.inbound(2)
	r.receive(in, &pb.HandshakeStart{Version: 1, Network: "net", Id: "two", Record: signed(2, "two", pb.AnnouncementType_JOIN, 1000, 0)})
	response := r.out.Frames[0].Data
	r.c.Step(r.now, Leave{})
	r.drain()
	goodbye := r.out.Frames[0].Data
	for i, want := range []string{"a0ecbed7e792588c", "ba8d92eec1e3de7d", "d3946fbc1a254b46"} {
		data := [][]byte{start, response, goodbye}[i]
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:8]) != want {
			t.Errorf("frame %d of %d bytes has the hash %x, not %s", i, len(data), sum[:8], want)
		}
	}
}

// TestOpenIgnoresPasses: in an open network passes mean nothing, and nobody can be removed: what says
// otherwise is skipped, as everything of newer versions is.
func TestOpenIgnoresPasses(t *testing.T) {
	r := newRig(t, func(c *base.Config) { c.Removals = []*pb.Announcement{removal(alice, 7, "bob")} })
	one := r.neighbour(1, "one")
	withPass := func(pass *pb.Pass, identity, epoch uint64) *pb.Announcement {
		key := testIdentity(identity).Key()
		return &pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: testIdentity(identity).SignRecord(&pb.Record{
			Type: pb.AnnouncementType_JOIN, Id: "bob", Key: key[:], Network: "net", Epoch: epoch, Addresses: []string{"10.1.1.1:5000"}, Pass: pass,
		})}
	}
	r.receive(one, propagation(withPass(&pb.Pass{}, 7, 5), withPass(adminPass(8, "bob"), 8, 6)))
	owner := r.c.table.Owner("bob", r.now)
	if len(r.c.table.Of("bob")) != 2 || owner.Record.Key != testIdentity(7).Key() || owner.Record.Rank() != base.RankMember || len(r.out.Closes) > 0 {
		t.Errorf("bob is %v, closes %v", owner, r.out.Closes)
	}
	before := string(r.c.table.Digest())
	r.receive(one, propagation(removal(alice, 7, "bob"), removal(root, 7, "bob"), removal(root, 0, "self")))
	if string(r.c.table.Digest()) != before || len(r.out.Closes) > 0 || len(r.out.Frames) > 0 || r.out.Err != nil {
		t.Errorf("a removal counts: closes %v, says %v", r.out.Closes, r.frames())
	}
	r.receive(one, &pb.Routed{From: "one", To: "self", Passed: []string{"one"}, Parents: []byte{0}, Content: &pb.Routed_Redeem{Redeem: redemption(900, 0, 9, "eve")}})
	if len(r.out.Redeem) > 0 {
		t.Errorf("asks about %v", r.out.Redeem)
	}
	hello := start(9, "eve", 1000)
	hello.Redemption = redemption(900, 0, 9, "eve")
	l := r.inbound(9)
	if r.receive(l, hello); len(r.out.Redeem) > 0 || r.answerOn(l).GetCode() != pb.HandshakeCode_OK {
		t.Errorf("asks about %v, answers %v", r.out.Redeem, r.answerOn(l))
	}
	if reply := r.c.Step(r.now, Remove{Proof: removal(root, 7, "bob")}); reply.OK || string(r.c.table.Digest()) == before {
		t.Error("somebody can be removed, or eve is not in")
	}
	r = newRig(t, func(c *base.Config) { c.Join = []string{"10.0.0.1:5000", "10.0.0.2:5000"} })
	l = r.outbound(r.out.Dials[0].ID, 1)
	if r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_REMOVED_FROM_NETWORK, Removal: removal(root, 0, "self")}); r.out.Err != nil || len(r.c.table.Entries) != 1 {
		t.Errorf("a door says that we are out, and we end with %v", r.out.Err)
	}
}
