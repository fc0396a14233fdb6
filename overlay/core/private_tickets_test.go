package core

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// redemption is that of a ticket by an issuer, for a key.
func redemption(ticket, issuer, identity uint64, id string) *pb.Signed {
	public, key := testIdentity(ticket).Key(), testIdentity(identity).Key()
	return testIdentity(ticket).SignRedemption(private.Key, &pb.Redemption{
		Ticket: public[:], Key: key[:], Id: id, Issuer: base.TagOfKey(testIdentity(issuer).Key()),
	})
}

// redeems has a newcomer come with a ticket, and returns its link and the answer, if there is one.
func (r *rig) redeems(identity uint64, s *pb.Signed) (base.LinkID, *pb.HandshakeResponse) {
	l := r.inbound(identity)
	hello := startWith(nil, identity, "bob", 1000)
	hello.Redemption = s
	r.receive(l, hello)
	return l, r.answerOn(l)
}

func (r *rig) answerOn(l base.LinkID) *pb.HandshakeResponse {
	for i, m := range r.frames() {
		if r.out.Frames[i].Link == l && m.GetHandshakeResponse() != nil {
			return m.GetHandshakeResponse()
		}
	}
	return nil
}

// redeemedBy is the issuer's answer to a door.
func redeemedBy(from string, ticket uint64, pass *pb.Pass) *pb.Routed {
	public := testIdentity(ticket).Key()
	a := &pb.Redeemed{Ticket: public[:], Code: pb.HandshakeCode_GRANTED, Pass: pass}
	if pass == nil {
		a.Code, a.Reason = pb.HandshakeCode_NOT_INVITED, "no"
	}
	return &pb.Routed{From: from, To: "self", Passed: []string{from}, Parents: []byte{0}, Content: &pb.Routed_Redeemed{Redeemed: a}}
}

// TestPrivateDoorAndTickets: attack 5, at a door: only the key of the certificate redeems, only the
// issuer's answer counts, and those who hold places do not keep others out.
func TestPrivateDoorAndTickets(t *testing.T) {
	r := privateRig(t, nil)
	if _, a := r.redeems(7, redemption(900, alice, 7, "bob")); a.GetCode() != pb.HandshakeCode_AWAY {
		t.Errorf("the issuer is not here, and the answer is %v", a)
	}
	issuer := r.neighbouring(alice, "alice")
	one := r.neighbouring(1, "one")
	if _, a := r.redeems(8, redemption(900, alice, 7, "bob")); a.GetCode() != pb.HandshakeCode_MALFORMED {
		t.Errorf("another key redeems, and the answer is %v", a)
	}
	if _, a := r.redeems(8, redemption(900, 1, 8, "bob")); a.GetCode() != pb.HandshakeCode_AWAY {
		t.Errorf("a plain member is the issuer, and the answer is %v", a)
	}

	l, a := r.redeems(7, redemption(900, alice, 7, "bob"))
	if a != nil || len(r.c.tickets.waiting) != 1 {
		t.Fatalf("the answer is %v before the issuer's, %d wait", a, len(r.c.tickets.waiting))
	}
	for _, lie := range []*pb.Routed{redeemedBy("one", 900, nil), redeemedBy("alice", 901, nil), redeemedBy("one", 900, memberPass(alice, 7, "bob", 9))} {
		if r.receive(one, lie); r.answerOn(l) != nil {
			t.Errorf("a word of another is passed on: %v", r.answerOn(l))
		}
	}
	r.receive(issuer, redeemedBy("alice", 900, memberPass(alice, 7, "bob", 9)))
	if a := r.answerOn(l); a.GetCode() != pb.HandshakeCode_GRANTED || a.GetPass() == nil || len(r.out.Closes) != 1 || len(r.c.tickets.waiting) != 0 {
		t.Errorf("the answer is %v, closes %v", a, r.out.Closes)
	}
	r.receive(issuer, redeemedBy("alice", 900, nil))
	if len(r.out.Frames) != 0 {
		t.Errorf("a second answer is passed on")
	}

	// A link has one place; who has gone has none; and places end.
	l, _ = r.redeems(7, redemption(900, alice, 7, "bob"))
	hello := startWith(nil, 7, "bob", 1000)
	hello.Redemption = redemption(902, alice, 7, "bob")
	if r.receive(l, hello); len(r.out.Closes) != 1 || r.out.Closes[0].Reason != base.CloseProtocol {
		t.Errorf("a second ticket on a link: closes %v", r.out.Closes)
	}
	r.c.Step(r.now, Disconnected{Link: l, Why: "closed"})
	for range 3 * maxRedeemed {
		l, a := r.redeems(7, redemption(900, alice, 7, "bob"))
		if a != nil {
			t.Fatalf("who has gone holds a place: %v", a)
		}
		r.c.Step(r.now, Disconnected{Link: l, Why: "gone"})
	}
	for range maxRedeemed {
		r.redeems(7, redemption(900, alice, 7, "bob"))
	}
	if _, a := r.redeems(7, redemption(900, alice, 7, "bob")); a.GetCode() != pb.HandshakeCode_AWAY || len(r.c.tickets.waiting) != maxRedeemed {
		t.Errorf("one too many: %v", a)
	}
	r.pass(redeemFor + time.Second)
	if _, a := r.redeems(8, redemption(900, alice, 8, "bob")); a != nil {
		t.Errorf("the places do not end: %v", a)
	}
}

// TestPrivateIssuer: an issuer asks its driver, and answers the newcomer at its own door, or the other
// door, once.
func TestPrivateIssuer(t *testing.T) {
	r := privateRig(t, func(c *base.Config) {
		c.ID, c.Identity, c.Pass = "alice", testIdentity(alice), adminPass(alice, "alice")
	})
	one := r.neighbouring(1, "one")
	l, _ := r.redeems(7, redemption(900, alice, 7, "bob"))
	ask := r.out.Redeem
	routed := &pb.Routed{From: "one", To: "alice", Passed: []string{"one"}, Parents: []byte{0}, Content: &pb.Routed_Redeem{Redeem: redemption(901, alice, 8, "dave")}}
	r.receive(one, routed)
	ask = append(ask, r.out.Redeem...)
	routed.Content = &pb.Routed_Redeem{Redeem: redemption(901, carol, 8, "dave")} // not ours
	r.receive(one, routed)
	if ask = append(ask, r.out.Redeem...); len(ask) != 2 {
		t.Fatalf("asks about %d tickets", len(ask))
	}
	for i, n := range []uint64{900, 901, 900} {
		public := testIdentity(n).Key()
		r.c.Step(r.now, Redeemed{Number: ask[i%2].Number, Answer: &pb.Redeemed{Ticket: public[:], Code: pb.HandshakeCode_GRANTED, Pass: memberPass(alice, 7, "bob", 9)}})
		r.drain()
		switch direct := r.answerOn(l); {
		case i == 0 && direct.GetCode() != pb.HandshakeCode_GRANTED, i > 0 && direct != nil:
			t.Errorf("%d: the newcomer is told %v", i, direct)
		case i == 1 && (len(r.frames()) != 1 || r.frames()[0].GetRouted().GetRedeemed().GetCode() != pb.HandshakeCode_GRANTED):
			t.Errorf("the door is told %v", r.frames())
		}
	}
}

// TestPrivateNewcomer: a newcomer with a ticket takes a pass that is valid and its own, and comes again
// with it; so does a member that becomes an admin.
func TestPrivateNewcomer(t *testing.T) {
	for name, test := range map[string]struct {
		has, gets *pb.Pass
		takes     bool
	}{
		"a pass":                    {nil, memberPass(alice, 0, "self", 9), true},
		"an admin's pass":           {memberPass(alice, 0, "self", 5), adminPass(0, "self"), true},
		"of another ID":             {nil, memberPass(alice, 0, "bob", 9), false},
		"of another key":            {nil, memberPass(alice, 7, "self", 9), false},
		"by an admin of one":        {nil, &pb.Pass{Grant: grant(1, 0, "self", 9, false), Issuer: grant(alice, 1, "one", 1, true)}, false},
		"not by the issuer":         {nil, &pb.Pass{Grant: grant(1, 0, "self", 9, false), Issuer: adminPass(alice, "alice").GetGrant()}, false},
		"an admin's, by an admin":   {nil, &pb.Pass{Grant: grant(alice, 0, "self", 9, true)}, false},
		"a grant without an issuer": {nil, &pb.Pass{Grant: grant(root, 0, "self", 9, false)}, false},
	} {
		r := privateRig(t, func(c *base.Config) {
			c.Join, c.Pass, c.Redemption = []string{"10.0.0.1:5000", "10.0.0.2:5000"}, test.has, redemption(900, alice, 0, "self")
		})
		l := r.outbound(r.out.Dials[0].ID, 1)
		if s := r.frames()[0].GetHandshakeStart(); s.GetRedemption() == nil {
			t.Fatalf("%s: it shows no ticket", name)
		}
		r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_GRANTED, Pass: test.gets})
		if (r.out.Pass != nil) != test.takes {
			t.Errorf("%s: it stores %v", name, r.out.Pass)
		}
		if !test.takes {
			continue
		}
		r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "closed"})
		r.pass(time.Second)
		if len(r.out.Dials) == 0 {
			t.Fatalf("%s: it does not come again", name)
		}
		r.outbound(r.out.Dials[0].ID, 1)
		s := r.frames()[0].GetHandshakeStart()
		if record, err := pb.ParseMember(s.GetRecord()); err != nil || !proto.Equal(record.GetPass(), test.gets) || s.GetRedemption() != nil {
			t.Errorf("%s: it comes again with %v, %v", name, record, err)
		}
	}
	r := privateRig(t, func(c *base.Config) { c.Join = []string{"10.0.0.1:5000"} })
	l := r.outbound(r.out.Dials[0].ID, 1)
	if r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_GRANTED, Pass: memberPass(carol, 0, "self", 9)}); r.out.Pass != nil {
		t.Error("a member takes a pass that it has not asked for")
	}
}

// TestPrivatePinnedDoor: attack 20, the door that answers is the one that the ticket names, or none.
func TestPrivatePinnedDoor(t *testing.T) {
	for key, pinned := range map[uint64]bool{1: true, 2: false} {
		r := privateRig(t, func(c *base.Config) {
			c.Join, c.Pinned = []string{"10.0.0.1:5000"}, map[string][8]byte{"10.0.0.1:5000": {}}
			c.Pinned["10.0.0.1:5000"] = tagOf(1)
		})
		l := r.outbound(r.out.Dials[0].ID, key)
		if open := r.c.links.Link(l).State == link.LinkOpening && len(r.out.Frames) == 1; open != pinned || open == (len(r.out.Closes) > 0) {
			t.Errorf("key %d: frames %v, closes %v", key, r.frames(), r.out.Closes)
		}
	}
}

// TestPrivateOwnRemoval: a peer ends when it is out, and says why, whoever tells it and at whatever
// stage; and no lie ends it.
func TestPrivateOwnRemoval(t *testing.T) {
	forged := removal(alice, 0, "self")
	forged.Record.Signature[7] ^= 1
	own := memberPass(alice, 0, "self", 5).GetGrant()
	for name, test := range map[string]struct {
		told  *pb.Announcement
		pass  *pb.Pass // nil: a member's by alice
		by    string   // "": it stays
		admin bool     // it is the admin that was removed
	}{
		"by an admin":                         {removal(carol, 0, "self"), nil, "carol", false},
		"by the network's key":                {removal(root, 0, "self"), nil, "", false},
		"under another ID":                    {removal(carol, 0, "former"), nil, "carol", false},
		"the issuer, by the network's key":    {removal(root, alice, "alice"), nil, "alice", true},
		"the issuer, by an admin":             {removal(carol, alice, "alice"), nil, "no", false},
		"the issuer, who keeps us":            {removal(root, alice, "alice", own), nil, "no", false},
		"another":                             {removal(alice, 7, "bob"), nil, "no", false},
		"a lie":                               {forged, nil, "no", false},
		"an admin by an admin":                {removal(alice, 0, "self"), adminPass(0, "self"), "no", false},
		"an admin by the network's key":       {removal(root, 0, "self"), adminPass(0, "self"), "", false},
		"an admin by an admin, by another ID": {removal(alice, 0, "former"), adminPass(0, "self"), "no", false},
	} {
		for _, stage := range []string{"member", "newcomer", "alone"} {
			r := privateRig(t, func(c *base.Config) {
				if test.pass != nil {
					c.Pass = test.pass
				}
				switch stage {
				case "newcomer":
					c.Join = []string{"10.0.0.1:5000", "10.0.0.2:5000"}
				case "alone":
					c.Met = []base.Acquaintance{{ID: "one", Key: testIdentity(1).Key(), Addresses: []string{"10.0.0.1:5000"}}}
				}
			})
			if stage == "member" {
				r.receive(r.neighbouring(1, "one"), propagation(test.told))
			} else {
				l := r.outbound(r.out.Dials[0].ID, 1)
				r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_REMOVED_FROM_NETWORK, Removal: test.told})
			}
			e, ended := errors.AsType[*base.RemovedError](r.out.Err)
			switch {
			case test.by == "no" && r.out.Err != nil:
				t.Errorf("%s, %s: ends with %v", name, stage, r.out.Err)
			case test.by == "no":
			case !ended || !test.admin && string(e.By) != test.by || test.admin && string(e.Issuer) != test.by:
				t.Errorf("%s, %s: ends with %v", name, stage, r.out.Err)
			}
		}
	}
}

// TestPrivateOwnRemovalOnDisk: a peer that was removed in an earlier run hears so when it meets others;
// one whose admin was removed for good knows it, and may begin anew with a ticket or pass of another.
func TestPrivateOwnRemovalOnDisk(t *testing.T) {
	known := removal(carol, 0, "self")
	r := privateRig(t, func(c *base.Config) {
		c.Join, c.Removals = []string{"10.0.0.1:5000"}, []*pb.Announcement{known}
	})
	l := r.outbound(r.out.Dials[0].ID, 1)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_REMOVED_FROM_NETWORK, Removal: known})
	if _, ended := errors.AsType[*base.RemovedError](r.out.Err); !ended {
		t.Errorf("it ends with %v", r.out.Err)
	}
	own := memberPass(alice, 0, "self", 5).GetGrant()
	for _, test := range []struct {
		known  *pb.Announcement
		ticket *pb.Signed
		ends   bool
	}{
		{removal(root, alice, "alice"), nil, true},
		{removal(root, alice, "alice", own), nil, false},
		{removal(root, alice, "alice"), redemption(900, carol, 0, "self"), false},
	} {
		r := privateRig(t, func(c *base.Config) {
			c.Join, c.Removals, c.Redemption = []string{"10.0.0.1:5000"}, []*pb.Announcement{test.known}, test.ticket
		})
		if removed, ended := errors.AsType[*base.RemovedError](r.out.Err); ended != test.ends || ended && removed.Issuer != "alice" {
			t.Errorf("it ends with %v", r.out.Err)
		}
	}
	r = privateRig(t, func(c *base.Config) {
		c.Pass, c.Removals = memberPass(carol, 0, "self", 7), []*pb.Announcement{removal(root, alice, "alice"), removal(alice, 7, "bob")}
	})
	r.pass(time.Second)
	if r.out.Err != nil || r.c.env.Passes.Removal(testIdentity(7).Key()) != nil || r.c.env.Passes.Removal(testIdentity(alice).Key()) == nil {
		t.Errorf("with a pass of carol it ends with %v", r.out.Err)
	}
}

// TestPrivateShownRemoved: users see once that a peer was removed, whatever it was before, and nothing
// of it afterwards: no return, no broadcast.
func TestPrivateShownRemoved(t *testing.T) {
	for _, before := range []string{"here", "suspect", "lost", "left", "missing", "fallen", "restarted"} {
		r := privateRig(t, nil)
		teller := r.neighbouring(1, "one")
		r.neighbouring(alice, "alice")
		pass := memberPass(carol, 7, "bob", 9)
		say := func(kind pb.AnnouncementType, epoch uint64, seq uint32) {
			r.receive(teller, propagation(sayWith(pass, kind, 7, "bob", epoch, seq)))
		}
		say(pb.AnnouncementType_JOIN, 1000, 0)
		gone := before == "lost" || before == "left"
		switch before {
		case "lost", "suspect":
			say(pb.AnnouncementType_LOST, 1000, 0)
		case "left":
			say(pb.AnnouncementType_LEAVE, 1000, 1)
		case "missing":
			r.c.view.unsure()
		case "restarted":
			say(pb.AnnouncementType_JOIN, 2000, 0)
		}
		if before == "lost" {
			r.pass(5 * time.Second)
		}
		out := removal(alice, 7, "bob")
		if before == "fallen" {
			out = removal(root, carol, "carol")
		}
		var events []base.Event
		hear := func(content proto.Message) {
			r.receive(teller, content)
			events = append(events, r.out.Events...)
		}
		hear(broadcastOf(7, "bob", 1000, 2, "held back"))
		events = nil
		hear(propagation(out))
		for epoch := uint64(1000); epoch < 4000; epoch += 1000 {
			hear(broadcastOf(7, "bob", epoch, 1, "late"))
			hear(propagation(sayWith(pass, pb.AnnouncementType_JOIN, 7, "bob", epoch, 5)))
			hear(broadcastOf(7, "bob", epoch, 3, "late"))
		}
		r.pass(time.Minute)
		events = append(events, r.out.Events...)
		lefts, removals := 0, 0
		for _, e := range events {
			switch e := e.(type) {
			case base.Left:
				if lefts++; e.ID != "bob" || !e.Removed || e.Farewell {
					t.Errorf("%s: shows %+v", before, e)
				}
			case base.Removed:
				removals++
			default:
				t.Errorf("%s: shows %T %+v", before, e, e)
			}
		}
		if removals != 1 || (lefts == 1) == gone || lefts > 1 {
			t.Errorf("%s: shows %d removals, and %d times that it goes", before, removals, lefts)
		}
	}
}

// TestPrivateCustodyOfRemoved: nothing is kept for who is out, of its own, or left with others for it.
func TestPrivateCustodyOfRemoved(t *testing.T) {
	r := privateRig(t, nil)
	one := r.neighbouring(1, "one")
	bob := r.comes(7, "bob")
	key := testIdentity(7).Key()
	forBob := &pb.Deposit{Receiver: "bob", ReceiverKey: key[:], Sealed: []byte("for bob")}
	dave := testIdentity(8).Key()
	r.receive(one, forBob)
	r.receive(bob, &pb.Deposit{Receiver: "dave", ReceiverKey: dave[:], Sealed: []byte("by bob")})
	r.receive(one, &pb.Deposit{Receiver: "dave", ReceiverKey: dave[:], Sealed: []byte("by one")})
	r.receive(one, propagation(sayWith(memberPass(alice, 7, "bob", 7), pb.AnnouncementType_LEAVE, 7, "bob", 1000, 1)))
	if reply := r.c.Step(r.now, Deposit{Deposit: forBob}); !reply.OK {
		t.Fatal("nothing can be left for bob")
	}
	r.receive(one, propagation(removal(alice, 7, "bob")))
	if len(r.out.Custody) != 2 || r.out.Custody[0].Kept != nil || len(r.c.custody.Shelves) != 1 || len(r.c.custody.Absentees) != 0 || r.c.custody.Own != 0 {
		t.Errorf("stores %v, has %d shelves and %d absentees", r.out.Custody, len(r.c.custody.Shelves), len(r.c.custody.Absentees))
	}
	if reply := r.c.Step(r.now, Deposit{Deposit: forBob}); reply.OK {
		t.Error("something is left for bob")
	}
	r.drain()
	if r.receive(one, forBob); len(r.out.Custody) > 0 {
		t.Error("something is kept for bob")
	}
}

// TestPrivateAttack7: attack 7. Whoever passes on the handshake of another, with its pass, gets
// nothing for it.
func TestPrivateAttack7(t *testing.T) {
	r := privateRig(t, nil)
	l := r.inbound(8)
	r.receive(l, startWith(memberPass(alice, 7, "bob", 9), 7, "bob", 1000))
	if a := r.answerOn(l); a.GetCode() != pb.HandshakeCode_MALFORMED || len(r.c.table.Of("bob")) > 0 {
		t.Errorf("the door answers %v", a)
	}
	r = privateRig(t, func(c *base.Config) { c.Join = []string{"10.0.0.1:5000"} })
	l = r.outbound(r.out.Dials[0].ID, 8)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: recordWith(memberPass(alice, 7, "bob", 9), pb.AnnouncementType_JOIN, 7, "bob", 1000, 0)})
	if r.c.env.Accepted || len(r.out.Closes) != 1 {
		t.Errorf("a door passes on another's answer, closes %v", r.out.Closes)
	}
}

// TestPrivateAttack9: attack 9. Of two keys with passes for an ID the one with the smaller number has
// it, whatever epochs they claim; an admin comes first. A member has no ID but that of its pass.
func TestPrivateAttack9(t *testing.T) {
	for _, epoch := range []uint64{1, 1000, pb.MaxToldEpoch, 1<<64 - 1} {
		for _, first := range []uint64{7, 8} {
			r := privateRig(t, nil)
			l := r.neighbouring(1, "one")
			passes := map[uint64]*pb.Pass{7: memberPass(alice, 7, "bob", 9), 8: memberPass(carol, 8, "bob", 10)}
			for _, key := range []uint64{first, 15 - first} {
				of := epoch
				if key == 7 {
					of = 1 << 50
				}
				r.receive(l, propagation(sayWith(passes[key], pb.AnnouncementType_JOIN, key, "bob", of, 3)))
			}
			if owner := r.c.table.Owner("bob", r.now); owner == nil || owner.Record.Key != testIdentity(7).Key() {
				t.Errorf("epoch %d, key %d first: bob is %v", epoch, first, owner)
			}
			in := r.inbound(8)
			r.receive(in, startWith(memberPass(carol, 8, "bob", 10), 8, "bob", epoch/2+2))
			if a := r.answerOn(in); a.GetCode() != pb.HandshakeCode_DUPLICATE_ID && a.GetCode() != pb.HandshakeCode_STALE {
				t.Errorf("epoch %d: the door answers %v", epoch, a)
			}
			r.receive(l, propagation(sayWith(&pb.Pass{Grant: grant(root, 9, "bob", 99, true)}, pb.AnnouncementType_JOIN, 9, "bob", epoch, 3)))
			if owner := r.c.table.Owner("bob", r.now); owner.Record.Key != testIdentity(9).Key() {
				t.Errorf("epoch %d: an admin does not come first", epoch)
			}
		}
	}
	// We lose our own ID to an earlier pass, and not to an earlier epoch.
	for number, ends := range map[uint64]bool{4: true, 6: false} {
		r := privateRig(t, nil)
		r.receive(r.neighbouring(1, "one"), propagation(sayWith(memberPass(carol, 8, "self", number), pb.AnnouncementType_JOIN, 8, "self", 1, 0)))
		if _, duplicate := errors.AsType[*base.DuplicateIDError](r.out.Err); duplicate != ends {
			t.Errorf("another has number %d, and we end with %v", number, r.out.Err)
		}
	}
}

// TestPrivateAttack10: attack 10. What an admin can put into a table over one link is bounded, and
// falls with it.
func TestPrivateAttack10(t *testing.T) {
	r := privateRig(t, func(c *base.Config) { c.Verify = func(base.Claim) bool { return true } })
	l := r.neighbouring(carol, "carol")
	invented := func(n, count int) (list []*pb.Announcement) {
		for i := range count {
			id, key := fmt.Sprint("x", n*64+i), make([]byte, 32)
			key[0], key[1], key[2], key[3] = byte(i), byte(n), byte(n>>8), 1
			g, _ := proto.Marshal(&pb.Grant{Id: id, Key: key, Number: 1})
			pass := &pb.Pass{Grant: &pb.Signed{Payload: g, Signature: make([]byte, 64)}, Issuer: adminPass(carol, "carol").GetGrant()}
			p, _ := proto.Marshal(&pb.Record{Type: pb.AnnouncementType_JOIN, Id: id, Key: key, Epoch: 1, Pass: pass})
			list = append(list, &pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: &pb.Signed{Payload: p, Signature: make([]byte, 64)}})
		}
		return list
	}
	for n := range 160 {
		r.receive(l, propagation(invented(n, 64)...))
	}
	if got := len(r.c.table.Entries); got > 80 || got < 64 {
		t.Errorf("%d entries of 10,240", got)
	}
	r.receive(l, propagation(removal(root, carol, "carol")))
	if len(r.c.table.Entries) != 2 || r.c.table.Living() != 1 {
		t.Errorf("%d entries are left", len(r.c.table.Entries))
	}
}

// TestPrivateAttack11: attack 11. A removed peer that comes to a door which has missed the removal is
// let in, and is out again with the first answer to its JOIN, which it is told.
func TestPrivateAttack11(t *testing.T) {
	r := privateRig(t, nil)
	one := r.neighbouring(1, "one")
	bob := r.comes(7, "bob")
	if r.out.Frames[len(r.out.Frames)-1].Link != one {
		t.Fatalf("it does not pass on that bob is here: %v", r.frames())
	}
	r.receive(one, propagation(removal(alice, 7, "bob")))
	told := r.told(bob)
	if len(r.out.Closes) != 1 || r.out.Closes[0].Link != bob || len(told) != 1 || told[0].GetType() != pb.AnnouncementType_REMOVED || told[0].GetIssuer() == nil || r.has("bob") {
		t.Errorf("bob is told %v, closes %v", told, r.out.Closes)
	}
	// Dialled by a peer that knows, it is told as well.
	e := sayWith(memberPass(alice, 8, "dave", 9), pb.AnnouncementType_JOIN, 8, "dave", 1000, 0)
	r.receive(one, propagation(e))
	r.c.Step(r.now, Want{To: "dave"})
	r.drain()
	l := r.outbound(r.out.Dials[0].ID, 8)
	r.receive(one, propagation(removal(alice, 8, "dave")))
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: e.GetRecord()})
	if l := r.c.links.Link(l); l != nil && l.State != link.LinkClosing {
		t.Error("a link to dave stands")
	}
}

// TestPrivateAttack15: attack 15. Of a removed admin's word counts what the removal keeps, by its hash:
// no grant with an old number, and no kept key under another ID.
func TestPrivateAttack15(t *testing.T) {
	kept := memberPass(carol, 7, "bob", 9)
	removedByCarol, alsoByCarol := removal(carol, 9, "eve"), removal(carol, 10, "fay")
	r := privateRig(t, nil)
	l := r.neighbouring(1, "one")
	r.receive(l, propagation(
		sayWith(kept, pb.AnnouncementType_JOIN, 7, "bob", 1000, 0), sayWith(memberPass(carol, 8, "dave", 8), pb.AnnouncementType_JOIN, 8, "dave", 1000, 0),
		removedByCarol, alsoByCarol, removal(root, carol, "carol", kept.GetGrant(), removedByCarol.GetRecord())))
	if !r.has("bob") || r.has("dave") || !r.removedIs(9, true) || !r.removedIs(10, false) {
		t.Errorf("the wrong ones stay: %v", r.c.Peers())
	}
	for _, late := range []*pb.Announcement{
		sayWith(memberPass(carol, 8, "dave", 1), pb.AnnouncementType_JOIN, 8, "dave", 2000, 0),
		sayWith(memberPass(carol, 7, "robert", 9), pb.AnnouncementType_JOIN, 7, "robert", 2000, 0),
		sayWith(memberPass(carol, 11, "bob", 9), pb.AnnouncementType_JOIN, 11, "bob", 2000, 0),
		removal(carol, 1, "one"),
	} {
		before := string(r.c.table.Digest())
		r.receive(l, propagation(late))
		if told := r.told(l); string(r.c.table.Digest()) != before || len(r.out.Closes) > 0 || len(told) != 1 || told[0].GetType() != pb.AnnouncementType_REMOVED {
			t.Errorf("a late word of carol counts, or is not answered: %v, closes %v", told, r.out.Closes)
		}
	}
	r.receive(l, propagation(sayWith(memberPass(alice, 10, "fay", 3), pb.AnnouncementType_JOIN, 10, "fay", 1000, 0), sayWith(memberPass(alice, 9, "eve", 3), pb.AnnouncementType_JOIN, 9, "eve", 1000, 0)))
	if !r.has("fay") || r.has("eve") {
		t.Errorf("whom carol had removed: %v", r.c.Peers())
	}
}

// TestPrivateOldRemoval: a removal holds however long ago it was said, and the removed accuse nobody.
func TestPrivateOldRemoval(t *testing.T) {
	r := privateRig(t, nil)
	l := r.neighbouring(1, "one")
	old := removal(alice, 7, "bob")
	old.Age = uint32((40 * 24 * time.Hour).Milliseconds())
	r.receive(l, propagation(sayWith(memberPass(alice, 7, "bob", 9), pb.AnnouncementType_JOIN, 7, "bob", 1000, 0), sayWith(memberPass(alice, 8, "dave", 9), pb.AnnouncementType_JOIN, 8, "dave", 1000, 0), old))
	if r.has("bob") || !r.removedIs(7, true) {
		t.Error("an old removal does not count")
	}
	lost := sayWith(memberPass(alice, 8, "dave", 9), pb.AnnouncementType_LOST, 8, "dave", 1000, 0)
	lost.Accusers = []string{"bob"}
	r.receive(l, propagation(lost))
	if e := r.c.table.Get("dave", testIdentity(8).Key()); !e.Alive() {
		t.Error("who is out accuses a member")
	}
}

// TestPrivateEarlierPass: who has the earlier pass for an ID is let in although another has it, and that
// one loses it.
func TestPrivateEarlierPass(t *testing.T) {
	r := privateRig(t, nil)
	r.receive(r.neighbouring(1, "one"), propagation(sayWith(memberPass(carol, 8, "bob", 10), pb.AnnouncementType_JOIN, 8, "bob", 1, 0)))
	r.comes(7, "bob")
	if owner := r.c.table.Owner("bob", r.now); owner.Record.Key != testIdentity(7).Key() {
		t.Errorf("bob is %v", owner)
	}
}
