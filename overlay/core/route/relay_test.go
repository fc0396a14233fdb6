package route

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// sealedBytes returns n bytes that look sealed.
func sealedBytes(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func envelope(number uint64, part, parts int, sealed []byte) *pb.Envelope {
	return &pb.Envelope{Number: number, Part: uint32(part), Parts: uint32(parts), Sealed: sealed}
}

// sent takes the routed frames, by the peer to which they go next; those that count as carried
// are marked.
func (x *node) sent(t *testing.T) map[certs.ID][]*pb.Routed {
	t.Helper()
	list := make(map[certs.ID][]*pb.Routed)
	for _, f := range x.Out.Frames {
		m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
		if err != nil {
			t.Fatal(err)
		}
		r := m.GetRouted()
		big := r.GetEnvelope() != nil || r.GetCarried() != nil || r.GetCollected() != nil || r.GetContent() == nil || proto.Size(r) > maxSmall
		if f.Envelope != big {
			t.Fatalf("%.200v: marked %v", r, f.Envelope)
		}
		to := x.links.Link(f.Link).Peer
		list[to] = append(list[to], r)
	}
	x.Out.Frames = nil
	return list
}

// TestRoute: an envelope comes complete, in whatever order its parts come.
func TestRoute(t *testing.T) {
	for _, size := range []int{1, pb.MaxPart - 1, pb.MaxPart, pb.MaxPart + 1, pb.MaxBody + 4<<10, pb.MaxPart * pb.MaxParts} {
		x, y := newNode(0, 3), newNode(2, 3)
		x.linkTo(1)
		x.Out.Frames = nil
		sealed := sealedBytes(1, size)
		if !x.Route("p2", 7, sealed, 0, 0) {
			t.Fatalf("%d bytes have no way", size)
		}
		parts := x.sent(t)["p1"]
		if want := (size + pb.MaxPart - 1) / pb.MaxPart; len(parts) != want || parts[0].GetTo() != "p2" || parts[0].GetFrom() != "p0" {
			t.Fatalf("%d bytes: %d parts, not %d", size, len(parts), want)
		}
		for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(len(parts)) {
			if len(y.Out.Envelopes) > 0 {
				t.Fatalf("%d bytes: whole before the last part", size)
			}
			y.ReceiveEnvelope(1, "p0", parts[i].GetEnvelope())
		}
		if len(y.Out.Envelopes) != 1 || !bytes.Equal(y.Out.Envelopes[0].Sealed, sealed) || y.Out.Envelopes[0].From != "p0" || y.Out.Envelopes[0].Number != 7 {
			t.Errorf("%d bytes: %d envelopes came", size, len(y.Out.Envelopes))
		}
		if len(y.Partials) != 0 || y.Bytes != 0 {
			t.Errorf("%d bytes: something is left", size)
		}
	}
}

// TestCarryingIsBounded: a link may have us carry so many bytes a second, and all together twice
// that. Small routed frames do not count.
func TestCarryingIsBounded(t *testing.T) {
	x := newNode(0, 5)
	for i := range 4 {
		x.linkTo(i + 1)
	}
	x.Out.Frames = nil
	part := sealedBytes(1, pb.MaxPart)
	pass := func(by int, content *pb.Routed) map[certs.ID][]*pb.Routed {
		content.From, content.To, content.Passed, content.Parents = "far", "p4", []string{"far", string(idOf(by))}, []byte{0, 0}
		x.PassOn(x.links.LinkToID(idOf(by)), content)
		return x.sent(t)
	}
	carry := func(by int) (carried int) {
		for range 400 { // 12.5 MiB
			for to, list := range pass(by, &pb.Routed{Content: &pb.Routed_Envelope{Envelope: envelope(5, 0, 2, part)}}) {
				for _, m := range list {
					if to != "p4" {
						t.Fatalf("%s gets %v", to, m)
					}
					carried += len(m.GetEnvelope().GetSealed()) + CarryBase
				}
			}
		}
		return carried
	}
	for i, most := range []int{CarryLink, CarryLink, 0} {
		if carried := carry(i + 1); carried < most-2*(pb.MaxPart+CarryBase) || carried > most+2*(pb.MaxPart+CarryBase) {
			t.Errorf("link %d: %d bytes", i, carried)
		}
	}
	if got := pass(1, &pb.Routed{Content: &pb.Routed_Ping{Ping: &pb.Ping{Key: make([]byte, pb.KeySize)}}}); len(got["p4"]) != 1 {
		t.Error("a ping is not passed on")
	}
	collected := &pb.Collected{Content: &pb.Signed{Payload: []byte("x"), Signature: make([]byte, 64)}}
	if got := pass(1, &pb.Routed{Content: &pb.Routed_Collected{Collected: collected}}); len(got["p4"]) != 0 {
		t.Error("a Collected does not count")
	}
	if got := pass(1, &pb.Routed{Content: &pb.Routed_Carried{Carried: []byte("packet")}}); len(got["p4"]) != 0 {
		t.Error("a carried packet does not count")
	}
	x.Now += 2 * time.Second
	for _, l := range x.links.List {
		l.Heard = x.Now
	}
	if carried := carry(3); carried < CarryLink-2*(pb.MaxPart+CarryBase) {
		t.Errorf("later: %d bytes", carried)
	}
}

// TestPartialsAreBounded: parts of any kind cost a bounded memory for a bounded time.
func TestPartialsAreBounded(t *testing.T) {
	x := newNode(0, 2)
	part := sealedBytes(1, pb.MaxPart)
	receive := func(from string, e *pb.Envelope) {
		t.Helper()
		x.ReceiveEnvelope(1, certs.ID(from), e)
		bytes, of := 0, make(map[certs.ID]int)
		for _, p := range x.Partials {
			bytes += p.Bytes
			if of[p.from]++; of[p.from] > partialsOfID {
				t.Fatalf("%d of %s", of[p.from], p.from)
			}
		}
		if bytes != x.Bytes || bytes > MaxPartialsB || len(x.Partials) > maxPartials {
			t.Fatalf("%d with %d bytes, counted %d", len(x.Partials), bytes, x.Bytes)
		}
	}
	for i := range 500 {
		receive(fmt.Sprint("many", i), envelope(1, 1, 2, []byte("x")))
	}
	for i := range 2000 {
		receive(fmt.Sprint("big", i%10), envelope(uint64(i/100), i%39, 40, part))
	}
	for i := range uint64(6) {
		receive("carol", envelope(i, 0, 2, part))
	}
	for _, i := range []uint64{5, 4, 3, 2, 1, 0} {
		receive("carol", envelope(i, 1, 2, []byte("end")))
		if whole := len(x.Out.Envelopes) == 1; whole != (i >= 2) {
			t.Errorf("number %d of six of one sender: whole %v", i, whole)
		}
		x.Out.Envelopes = nil
	}
	x.Now += partialFor
	if x.ExpirePartials(); len(x.Partials) != 0 || x.Bytes != 0 {
		t.Errorf("%d are kept for ever", len(x.Partials))
	}
}

// TestPartsThatLie: parts with false headings never make a wrong whole, and count only for the
// sender that they name.
func TestPartsThatLie(t *testing.T) {
	type said struct {
		from certs.ID
		part *pb.Envelope
	}
	full := sealedBytes(1, pb.MaxPart)
	for name, parts := range map[string][]said{
		"another count":  {{"carol", envelope(1, 0, 2, full)}, {"carol", envelope(1, 1, 3, full)}},
		"a short part":   {{"carol", envelope(1, 0, 2, []byte("x"))}, {"carol", envelope(1, 1, 2, []byte("x"))}},
		"one twice":      {{"carol", envelope(1, 0, 2, full)}, {"carol", envelope(1, 0, 2, full)}},
		"of two numbers": {{"carol", envelope(1, 0, 2, full)}, {"carol", envelope(2, 1, 2, full)}},
		"of two senders": {{"carol", envelope(1, 0, 2, full)}, {"dave", envelope(1, 1, 2, full)}},
	} {
		x := newNode(0, 2)
		for _, p := range parts {
			if x.ReceiveEnvelope(1, p.from, p.part); len(x.Out.Envelopes) != 0 {
				t.Errorf("%s: %d come whole", name, len(x.Out.Envelopes))
			}
		}
	}
	x := newNode(0, 2)
	x.ReceiveEnvelope(1, "carol", envelope(1, 0, 2, full))
	x.ReceiveEnvelope(1, "carol", envelope(1, 0, 2, sealedBytes(2, pb.MaxPart)))
	if x.ReceiveEnvelope(1, "carol", envelope(1, 1, 2, []byte("end"))); len(x.Out.Envelopes) != 1 ||
		!bytes.Equal(x.Out.Envelopes[0].Sealed, slices.Concat(full, []byte("end"))) {
		t.Error("a later part takes the place of the first")
	}
}
