package core

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/route"
	"quicpeer/pb"
)

// sealedBytes returns n bytes that look sealed.
func sealedBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	src.Read(b)
	return b
}

// sentOver returns the routed frames of the last input on a link.
func (r *rig) sentOver(l base.LinkID) []*pb.Routed {
	r.t.Helper()
	var list []*pb.Routed
	for i, m := range r.frames() {
		if routed := m.GetRouted(); routed != nil && r.out.Frames[i].Link == l {
			big := routed.GetEnvelope() != nil || routed.GetCollected() != nil || routed.GetContent() == nil || proto.Size(routed) > route.MaxSmall
			if r.out.Frames[i].Envelope != big {
				r.t.Fatalf("%.200v: marked %v", routed, r.out.Frames[i].Envelope)
			}
			list = append(list, routed)
		}
	}
	return list
}

// envelopePart is a part of an envelope on its way over bob.
func envelopePart(from, to string, number uint64, part, parts int, sealed []byte) *pb.Routed {
	return &pb.Routed{
		From: from, To: to, Passed: []string{from, "bob"}, Parents: []byte{0, 0},
		Content: &pb.Routed_Envelope{Envelope: &pb.Envelope{Number: number, Part: uint32(part), Parts: uint32(parts), Sealed: sealed}},
	}
}

// route is Route, drained.
func (r *rig) route(to certs.ID, number uint64, sealed []byte) bool {
	over := r.c.Step(r.now, Route{To: to, Number: number, Sealed: sealed}).Over
	r.drain()
	return over != 0
}

// An envelope comes complete, in whatever order its parts come.
func TestRoute(t *testing.T) {
	for _, size := range []int{1, pb.MaxPart - 1, pb.MaxPart, pb.MaxPart + 1, pb.MaxBody + 4<<10, pb.MaxPart * pb.MaxParts} {
		r := newRig(t, nil)
		bob := r.neighbour(1, "bob")
		r.receive(bob, propagation(say(pb.AnnouncementType_JOIN, 2, "carol", 1000, 0)))
		sealed := sealedBytes(1, size)
		if !r.route("carol", 7, sealed) {
			t.Fatalf("%d bytes: nowhere to send it", size)
		}
		parts := r.sentOver(bob)
		if want := (size + pb.MaxPart - 1) / pb.MaxPart; len(parts) != want || parts[0].GetTo() != "carol" || parts[0].GetFrom() != "self" {
			t.Fatalf("%d bytes: %d parts, not %d", size, len(parts), want)
		}
		q := newRig(t, func(c *base.Config) { c.ID, c.Identity = "carol", testIdentity(2) })
		back := q.neighbour(1, "bob")
		for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(len(parts)) {
			if len(q.out.Envelopes) > 0 {
				t.Fatalf("%d bytes: whole before the last part", size)
			}
			q.receive(back, parts[i])
		}
		if len(q.out.Envelopes) != 1 || !bytes.Equal(q.out.Envelopes[0].Sealed, sealed) || q.out.Envelopes[0].From != "self" || q.out.Envelopes[0].Number != 7 {
			t.Errorf("%d bytes: %d envelopes came", size, len(q.out.Envelopes))
		}
		if len(q.c.relay.Partials) != 0 || q.c.relay.Bytes != 0 {
			t.Errorf("%d bytes: something is left", size)
		}
	}
}

// A link may have us carry so many bytes a second, and all together twice that; the sender gets a
// refusal now and then. Small routed frames do not count.
func TestCarryingIsBounded(t *testing.T) {
	r := newRig(t, nil)
	links := []base.LinkID{r.neighbour(1, "bob"), r.neighbour(2, "carol"), r.neighbour(3, "dave")}
	eve := r.neighbour(4, "eve")
	part := sealedBytes(1, pb.MaxPart)
	carry := func(l base.LinkID, peer string) (carried, refused int) {
		for range 400 { // 12.5 MiB
			m := envelopePart("from", "eve", 5, 0, 2, part)
			m.Passed[1] = peer
			r.receive(l, m)
			for _, m := range r.sentOver(eve) {
				if m.GetEnvelope() != nil {
					carried += len(m.GetEnvelope().GetSealed()) + route.CarryBase
				}
			}
			for _, m := range r.frames() {
				if m.GetRouted().GetRefusal().GetNumber() == 5 && m.GetRouted().GetTo() == "from" {
					refused++
				}
			}
		}
		return carried, refused
	}
	for i, most := range []int{route.CarryLink, route.CarryLink, 0} {
		if carried, refused := carry(links[i], []string{"bob", "carol", "dave"}[i]); carried < most-2*(pb.MaxPart+route.CarryBase) || carried > most+2*(pb.MaxPart+route.CarryBase) || refused != 1 {
			t.Errorf("link %d: %d bytes, %d refusals", i, carried, refused)
		}
	}
	m := envelopePart("x", "eve", 0, 0, 1, []byte("x"))
	m.Content = &pb.Routed_Ping{Ping: &pb.Ping{Key: make([]byte, 32)}}
	if r.receive(links[0], m); len(r.sentOver(eve)) != 1 {
		t.Error("a ping is not passed on")
	}
	m.Content = &pb.Routed_Collected{Collected: &pb.Collected{Content: signed(1, "bob", pb.AnnouncementType_JOIN, 1, 0)}}
	if r.receive(links[0], m); len(r.sentOver(eve)) != 0 {
		t.Error("a Collected does not count")
	}
	r.pass(2 * time.Second)
	if carried, _ := carry(links[2], "dave"); carried < route.CarryLink-2*(pb.MaxPart+route.CarryBase) {
		t.Errorf("later: %d bytes", carried)
	}
}

// Parts of any kind cost a bounded memory for a bounded time.
func TestPartialsAreBounded(t *testing.T) {
	r := newRig(t, nil)
	bob := r.neighbour(1, "bob")
	part := sealedBytes(1, pb.MaxPart)
	bounded := func(what string) {
		t.Helper()
		bytes, of := 0, make(map[certs.ID]int)
		for _, p := range r.c.relay.Partials {
			bytes += p.Bytes
			of[p.From]++
			if of[p.From] > route.PartialsOfID {
				t.Fatalf("%s: %d of %s", what, of[p.From], p.From)
			}
		}
		if bytes != r.c.relay.Bytes || bytes > route.MaxPartialsB || len(r.c.relay.Partials) > route.MaxPartials {
			t.Fatalf("%s: %d with %d bytes, counted %d", what, len(r.c.relay.Partials), bytes, r.c.relay.Bytes)
		}
	}
	for i := range 500 {
		r.receive(bob, envelopePart(fmt.Sprint("many", i), "self", 1, 1, 2, []byte("x")))
		bounded("many senders")
	}
	for i := range 2000 {
		r.receive(bob, envelopePart(fmt.Sprint("big", i%10), "self", uint64(i/100), i%39, 40, part))
		bounded("large ones")
	}
	for i := range uint64(6) {
		r.receive(bob, envelopePart("carol", "self", i, 0, 2, part))
		bounded("many of one")
	}
	for _, i := range []uint64{5, 4, 3, 2, 1, 0} {
		r.receive(bob, envelopePart("carol", "self", i, 1, 2, []byte("end")))
		if whole := len(r.out.Envelopes) == 1; whole != (i >= 2) {
			t.Errorf("number %d of six of one sender: whole %v", i, whole)
		}
	}
	r.pass(route.PartialFor + time.Second)
	if len(r.c.relay.Partials) != 0 || r.c.relay.Bytes != 0 {
		t.Errorf("%d are kept for ever", len(r.c.relay.Partials))
	}
}

// Parts with false headings never make a wrong whole, and count only for the sender that they
// name.
func TestPartsThatLie(t *testing.T) {
	full := sealedBytes(1, pb.MaxPart)
	for name, parts := range map[string][]*pb.Routed{
		"another count":      {envelopePart("carol", "self", 1, 0, 2, full), envelopePart("carol", "self", 1, 1, 3, full)},
		"a short part":       {envelopePart("carol", "self", 1, 0, 2, []byte("x")), envelopePart("carol", "self", 1, 1, 2, []byte("x"))},
		"one twice":          {envelopePart("carol", "self", 1, 0, 2, full), envelopePart("carol", "self", 1, 0, 2, full)},
		"of two numbers":     {envelopePart("carol", "self", 1, 0, 2, full), envelopePart("carol", "self", 2, 1, 2, full)},
		"of two senders":     {envelopePart("carol", "self", 1, 0, 2, full), envelopePart("dave", "self", 1, 1, 2, full)},
		"under our own name": {envelopePart("self", "self", 1, 0, 1, full)},
	} {
		r := newRig(t, nil)
		bob := r.neighbour(1, "bob")
		for _, m := range parts {
			if r.receive(bob, m); len(r.out.Envelopes) != 0 || len(r.out.Closes) != 0 {
				t.Errorf("%s: %d come whole, %v", name, len(r.out.Envelopes), r.out.Closes)
			}
		}
	}
	r := newRig(t, nil)
	bob := r.neighbour(1, "bob")
	r.receive(bob, envelopePart("carol", "self", 1, 0, 2, full))
	r.receive(bob, envelopePart("carol", "self", 1, 0, 2, sealedBytes(2, pb.MaxPart)))
	if r.receive(bob, envelopePart("carol", "self", 1, 1, 2, []byte("end"))); len(r.out.Envelopes) != 1 ||
		!bytes.Equal(r.out.Envelopes[0].Sealed, slices.Concat(full, []byte("end"))) {
		t.Error("a later part takes the place of the first")
	}
}

// Frames under forged names are treated like others: a refusal goes to the peer named, and a
// frame that claims to be ours and has come back becomes a hint for the driver.
func TestForgedSender(t *testing.T) {
	r := newRig(t, nil)
	bob := r.neighbour(1, "bob")
	for i := range 1000 {
		m := envelopePart("self", "nobody", uint64(i), 0, 1, make([]byte, pb.MaxPart))
		m.Passed = []string{"self", "bob"}
		r.receive(bob, m)
		if len(r.out.Frames) != 0 || len(r.out.Closes) != 0 || len(r.out.Refused) > 1 {
			t.Fatalf("%d frames, %v", len(r.out.Frames), r.out.Refused)
		}
	}
}
