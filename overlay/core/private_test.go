package core

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// The private network of these tests: its key, two admins, and that of another network of the same
// name.
const (
	root, alice, carol, foreignRoot = 800, 801, 802, 803
)

var (
	private  = certs.Network{Name: "net", Key: testIdentity(root).Key()}
	adminIDs = map[uint64]string{alice: "alice", carol: "carol"}
)

// grant is a grant signed by an identity.
func grant(by, to uint64, id string, number uint64, admin bool) *pb.Signed {
	key := testIdentity(to).Key()
	return testIdentity(by).SignGrant(private.Key, &pb.Grant{Id: id, Key: key[:], Number: number, Admin: admin})
}

func adminPass(to uint64, id string) *pb.Pass { return &pb.Pass{Grant: grant(root, to, id, 1, true)} }

// memberPass is a member's, by one of the admins.
func memberPass(by, to uint64, id string, number uint64) *pb.Pass {
	return &pb.Pass{Grant: grant(by, to, id, number, false), Issuer: adminPass(by, adminIDs[by]).GetGrant()}
}

// removal is one by an admin, or by the network's key.
func removal(by, of uint64, id string, keep ...*pb.Signed) *pb.Announcement {
	key := testIdentity(of).Key()
	r := &pb.Removal{Id: id, Key: key[:]}
	for _, s := range keep {
		name := base.NameOf(s)
		r.Keep = append(r.Keep, name[:])
	}
	a := &pb.Announcement{Type: pb.AnnouncementType_REMOVED, Record: testIdentity(by).SignRemoval(private.Key, r)}
	if by != root {
		a.Issuer = adminPass(by, adminIDs[by]).GetGrant()
	}
	return a
}

// recordWith is a record that shows a pass.
func recordWith(pass *pb.Pass, kind pb.AnnouncementType, identity uint64, id string, epoch uint64, seq uint32) *pb.Signed {
	key := testIdentity(identity).Key()
	r := &pb.Record{Type: kind, Id: id, Key: key[:], Epoch: epoch, Seq: seq, Pass: pass}
	if kind == pb.AnnouncementType_JOIN {
		r.Addresses = []string{"10.1.1.1:5000"}
	}
	return testIdentity(identity).SignRecord(r)
}

// sayWith is say in the private network.
func sayWith(pass *pb.Pass, kind pb.AnnouncementType, identity uint64, id string, epoch uint64, seq uint32) *pb.Announcement {
	record := kind
	if kind == pb.AnnouncementType_LOST {
		record = pb.AnnouncementType_JOIN
	}
	a := &pb.Announcement{Type: kind, Record: recordWith(pass, record, identity, id, epoch, seq)}
	if kind == pb.AnnouncementType_LOST {
		a.Accusers = []string{"alice"}
	}
	return a
}

func startWith(pass *pb.Pass, identity uint64, id string, epoch uint64) *pb.HandshakeStart {
	return &pb.HandshakeStart{Version: 1, Network: private.Label(), Id: id, Record: recordWith(pass, pb.AnnouncementType_JOIN, identity, id, epoch, 0)}
}

// privateRig is a member of the private network, by alice.
func privateRig(t *testing.T, change func(*base.Config)) *rig {
	return newRig(t, func(c *base.Config) {
		c.Network, c.Key, c.Pass = private.Label(), private.Key, memberPass(alice, 0, "self", 5)
		if change != nil {
			change(c)
		}
	})
}

// comes is an inbound link of a member.
func (r *rig) comes(identity uint64, id string) base.LinkID {
	r.t.Helper()
	pass := memberPass(alice, identity, id, identity)
	if adminIDs[identity] == id {
		pass = adminPass(identity, id)
	}
	l := r.inbound(identity)
	r.receive(l, startWith(pass, identity, id, 1000))
	if r.c.links.Link(l) == nil || r.c.links.Link(l).State != link.LinkUp {
		r.t.Fatalf("%s was not let in: %v", id, r.frames())
	}
	return l
}

// neighbouring is one that has become a neighbour.
func (r *rig) neighbouring(identity uint64, id string) base.LinkID {
	l := r.comes(identity, id)
	r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
	return l
}

// answers returns the announcements of the last input's frames on a link.
func (r *rig) told(l base.LinkID) (list []*pb.Announcement) {
	for i, m := range r.frames() {
		if r.out.Frames[i].Link == l {
			list = append(list, m.GetPropagation().GetAnnouncements()...)
		}
	}
	return list
}

// wrongPasses are passes of bob, whose key is 7, that are not valid.
func wrongPasses() map[string]*pb.Pass {
	good := memberPass(alice, 7, "bob", 9)
	broken := proto.CloneOf(good)
	broken.Grant.Signature[3] ^= 1
	brokenIssuer := proto.CloneOf(good)
	brokenIssuer.Issuer.Signature[3] ^= 1
	swapped := &pb.Pass{Grant: good.GetGrant(), Issuer: adminPass(carol, "carol").GetGrant()}
	noKey := testIdentity(alice).SignGrant(private.Key, &pb.Grant{Id: "alice", Key: make([]byte, 32), Admin: true})
	bob := testIdentity(7).Key()
	out := testIdentity(alice).SignRemoval(private.Key, &pb.Removal{Id: "bob", Key: bob[:]})
	elsewhere := certs.Network{Key: testIdentity(foreignRoot).Key()}
	foreignAlice := testIdentity(foreignRoot).SignGrant(elsewhere.Key, &pb.Grant{Id: "bob", Key: bob[:], Admin: true})
	return map[string]*pb.Pass{
		"no pass":                   nil,
		"an empty pass":             {},
		"the pass of another key":   memberPass(alice, 8, "bob", 9),
		"the pass of another ID":    memberPass(alice, 7, "robert", 9),
		"a pass of another network": {Grant: foreignAlice},
		"a pass by a plain member":  {Grant: grant(1, 7, "bob", 9, false), Issuer: memberPass(alice, 1, "one", 1).GetGrant()},
		"a pass by whom the network's key has not made an admin": {Grant: grant(1, 7, "bob", 9, false), Issuer: grant(root, 1, "one", 1, false)},
		"a pass by an admin that one has made":                   {Grant: grant(1, 7, "bob", 9, false), Issuer: grant(alice, 1, "one", 1, true)},
		"an admin's pass that an admin has made":                 {Grant: grant(alice, 7, "bob", 9, true), Issuer: adminPass(alice, "alice").GetGrant()},
		"an admin's pass that an admin has made, alone":          {Grant: grant(alice, 7, "bob", 9, true)},
		"an admin's pass that it has made itself":                {Grant: grant(7, 7, "bob", 9, true)},
		"a member's grant by the network's key":                  {Grant: grant(root, 7, "bob", 9, false)},
		"a member's grant alone":                                 {Grant: good.GetGrant()},
		"a grant with a broken signature":                        broken,
		"an issuer with a broken signature":                      brokenIssuer,
		"a known grant, as if by another admin":                  swapped,
		"an issuer whose key is zero":                            {Grant: good.GetGrant(), Issuer: noKey},
		"an issuer whose key is zero, by the network's key":      {Grant: grant(root, 7, "bob", 9, false), Issuer: noKey},
		"a removal for a grant":                                  {Grant: out, Issuer: adminPass(alice, "alice").GetGrant()},
		"a grant signed as a record":                             {Grant: testIdentity(alice).SignRecord(&pb.Record{Id: "bob", Key: bob[:]}), Issuer: adminPass(alice, "alice").GetGrant()},
		"a pass that is too large":                               {Grant: good.GetGrant(), Issuer: &pb.Signed{Payload: make([]byte, 400), Signature: make([]byte, 64)}},
	}
}

// TestPrivateAttack8Passes: attack 8. Whoever shows a pass that is not valid gets in nowhere: not at
// a door, and not in the announcements, tables and candidates of others, who lose their link for it.
// The valid grant is known all the time, since caches must not make a difference.
func TestPrivateAttack8Passes(t *testing.T) {
	for name, pass := range wrongPasses() {
		t.Run(name, func(t *testing.T) {
			r := privateRig(t, nil)
			r.neighbouring(carol, "carol")
			one := r.neighbouring(1, "one")
			r.receive(one, propagation(
				sayWith(memberPass(alice, 7, "bob", 9), pb.AnnouncementType_JOIN, 7, "bob", 1, 0),
				sayWith(memberPass(alice, 7, "bob", 9), pb.AnnouncementType_LEAVE, 7, "bob", 1, 1)))

			l := r.inbound(7)
			r.receive(l, startWith(pass, 7, "bob", 2000))
			frames := r.frames()
			if code := frames[0].GetHandshakeResponse().GetCode(); len(frames) != 1 || code != pb.HandshakeCode_NOT_INVITED && code != pb.HandshakeCode_MALFORMED {
				t.Errorf("the door answers %v", frames)
			}
			joins := sayWith(pass, pb.AnnouncementType_JOIN, 7, "bob", 2000, 0)
			for _, how := range []string{"flooded", "in a table"} {
				l, content := r.comes(20, "flooder"), proto.Message(propagation(joins))
				if how == "in a table" {
					l, content = r.comes(21, "teller"), piece(joins)
					r.c.links.Link(l).Exchange = asking()
				}
				before := string(r.c.table.Digest())
				if r.receive(l, content); len(r.out.Closes) != 1 || r.out.Closes[0].Reason != base.CloseProtocol || string(r.c.table.Digest()) != before {
					t.Errorf("%s: closes %v, table unchanged: %v", how, r.out.Closes, string(r.c.table.Digest()) == before)
				}
			}
			if r.c.table.Get("bob", testIdentity(7).Key()).Alive() || len(r.c.table.Of("robert")) > 0 {
				t.Errorf("bob is here")
			}
		})
	}
}

// TestPrivateAttack8Doors: whatever shows no valid pass is not taken for a door, and it can't name others.
func TestPrivateAttack8Doors(t *testing.T) {
	for name, pass := range wrongPasses() {
		r := privateRig(t, func(c *base.Config) { c.Join = []string{"10.0.0.1:5000", "10.0.0.2:5000"} })
		l := r.outbound(r.out.Dials[0].ID, 7)
		r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: recordWith(pass, pb.AnnouncementType_JOIN, 7, "bob", 1000, 0)})
		if r.c.env.Accepted || len(r.out.Closes) != 1 || len(r.c.table.Of("bob")) > 0 {
			t.Errorf("%s: it takes the door's word, closes %v", name, r.out.Closes)
		}
	}
	for name, pass := range wrongPasses() {
		r := privateRig(t, func(c *base.Config) { c.Join = []string{"10.0.0.1:5000", "10.0.0.2:5000"} })
		l := r.outbound(r.out.Dials[0].ID, 7)
		r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_FULL, Candidates: []*pb.Signed{recordWith(pass, pb.AnnouncementType_JOIN, 7, "bob", 1000, 0)}})
		if len(r.out.Dials) > 0 {
			t.Errorf("%s: it dials %v", name, r.dialled())
		}
	}
	broken := memberPass(alice, 7, "self", 1)
	broken.Grant.Signature[3] ^= 1
	for i, holder := range []*pb.Pass{memberPass(alice, 7, "self", 1), memberPass(alice, 7, "bob", 1), broken} {
		r := privateRig(t, func(c *base.Config) { c.Join = []string{"10.0.0.1:5000"} })
		l := r.outbound(r.out.Dials[0].ID, 1)
		r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_DUPLICATE_ID, Record: recordWith(holder, pb.AnnouncementType_JOIN, 7, "self", 1, 0)})
		if (r.out.Err != nil) != (i == 0) {
			t.Errorf("%d: a door says that another has our ID, and we end with %v", i, r.out.Err)
		}
	}
}

// TestPrivateAttack8Removals: attack 8, the same of removals. An admin's removal of bob is known, and
// so is one of dave, whom the admin could not have removed as a member.
func TestPrivateAttack8Removals(t *testing.T) {
	key := testIdentity(7).Key()
	broken := removal(alice, 7, "bob")
	broken.Record.Signature[5] ^= 1
	cut := removal(alice, 9, "dave")
	cut.Issuer = nil
	other := removal(alice, 9, "dave")
	other.Issuer = adminPass(carol, "carol").GetGrant()
	otherOfBob := removal(alice, 7, "bob")
	otherOfBob.Issuer = other.Issuer
	asGrant := removal(alice, 7, "bob")
	asGrant.Record = grant(alice, 7, "bob", 9, false)
	asRecord := removal(alice, 7, "bob")
	asRecord.Record = recordWith(memberPass(alice, 7, "bob", 9), pb.AnnouncementType_LEAVE, 7, "bob", 1000, 5)
	byMember := &pb.Announcement{Type: pb.AnnouncementType_REMOVED, Record: testIdentity(1).SignRemoval(private.Key, &pb.Removal{Id: "bob", Key: key[:]}), Issuer: memberPass(alice, 1, "one", 1).GetGrant()}
	bySelfMade := proto.CloneOf(byMember)
	bySelfMade.Issuer = grant(1, 1, "one", 1, true)
	byNobody := proto.CloneOf(byMember)
	byNobody.Issuer = nil
	zero := removal(root, 7, "bob")
	zero.Issuer = testIdentity(1).SignGrant(private.Key, &pb.Grant{Id: "one", Key: make([]byte, 32), Admin: true})
	elsewhere := removal(alice, 7, "bob")
	elsewhere.Record = testIdentity(alice).SignRemoval(testIdentity(foreignRoot).Key(), &pb.Removal{Id: "bob", Key: key[:]})
	mixed := removal(alice, 7, "bob")
	mixed.Type = pb.AnnouncementType_LEAVE
	for name, a := range map[string]*pb.Announcement{
		"a broken signature":                              broken,
		"by an admin, as if by the network's key":         cut,
		"by an admin, as if by another":                   otherOfBob,
		"a known one, as if by another":                   other,
		"a grant for a removal":                           asGrant,
		"by a plain member":                               byMember,
		"by an admin that has made itself":                bySelfMade,
		"by a member, as if by the network's key":         byNobody,
		"by the network's key, as if by an admin of none": zero,
		"of another network":                              elsewhere,
		"as a LEAVE":                                      mixed,
		"a LEAVE for a removal":                           asRecord,
	} {
		t.Run(name, func(t *testing.T) {
			for _, how := range []string{"flooded", "in a table"} {
				r := privateRig(t, nil)
				r.neighbouring(carol, "carol")
				r.neighbouring(7, "bob")
				one := r.neighbouring(1, "one")
				r.receive(one, propagation(removal(alice, 9, "dave")))
				before := string(r.c.table.Digest())
				content := proto.Message(propagation(a))
				if how == "in a table" {
					content, r.c.links.Link(one).Exchange = piece(a), asking()
				}
				r.receive(one, content)
				// Of a newer version, for all we know; and the last was known.
				unread := name == "a LEAVE for a removal" || name == "as a LEAVE" || name == "a known one, as if by another"
				if !unread && (len(r.out.Closes) != 1 || r.out.Closes[0].Reason != base.CloseProtocol) || string(r.c.table.Digest()) != before || !r.has("bob") {
					t.Errorf("%s: closes %v, bob is here: %v", how, r.out.Closes, r.has("bob"))
				}
				if e := r.c.table.Get("dave", testIdentity(9).Key()); e.Record.Rank() != base.RankRemoved {
					t.Errorf("%s: the removal of dave has rank %d", how, e.Record.Rank())
				}
			}
			// By a door's refusal.
			r := privateRig(t, func(c *base.Config) { c.Join = []string{"10.0.0.1:5000", "10.0.0.2:5000"} })
			l := r.outbound(r.out.Dials[0].ID, 1)
			r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_REMOVED_FROM_NETWORK, Removal: a})
			if r.out.Err != nil || len(r.c.table.Entries) != 1 {
				t.Errorf("a door's word is taken: %v", r.out.Err)
			}
		})
	}
}

// broadcastOf is saidBroadcast in the private network.
func broadcastOf(identity uint64, id string, epoch, n uint64, text string) *pb.Broadcast {
	key := testIdentity(identity).Key()
	prefix := certs.MessagePrefix(key, epoch, 0)
	return &pb.Broadcast{Content: testIdentity(identity).SignBroadcast(&pb.BroadcastContent{
		Id: append(prefix[:], 0x80, 0, 0, 0, 0, 0, byte(n>>8), byte(n)), Sender: id, Key: key[:], Network: private.Label(), Content: text,
	})}
}

func tagOf(identity uint64) [8]byte { return certs.KeyTag(testIdentity(identity).Key()) }
