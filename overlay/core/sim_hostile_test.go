package core_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/coretest"
	"quicpeer/pb"
)

// hostilePeers are the liars of a network, with the material of their lies.
type hostilePeers struct {
	said []*pb.Announcement // what they may replay
	last int
}

// arrived sees each frame that arrives at a peer.
func (w *world) arrived(e *coretest.End, m *pb.PeerMessage) {
	if w.hostile != nil {
		w.overhear(m)
	}
	w.newer.arrived(m.GetRouted(), e.Process.Machine)
}

// overhear keeps what the hostile peer may replay.
func (w *world) overhear(m *pb.PeerMessage) {
	h := w.hostile
	keep := func(a *pb.Announcement) {
		a = proto.CloneOf(a)
		if len(h.said) < 200 {
			h.said = append(h.said, a)
		} else {
			h.said[h.last%200] = a
		}
		h.last++
	}
	for _, a := range m.GetPropagation().GetAnnouncements() {
		keep(a)
	}
	for _, a := range m.GetReconcile().GetAnnouncements() {
		keep(a)
	}
}

// lie makes the peer hostile: it is in the network and sends what it likes,
// some lies that can be proved to be lies and some that can't.
func (w *world) lie(p *process, every time.Duration, proven bool) {
	p.Hostile = true
	var again func()
	again = func() {
		if p.Dead {
			return
		}
		if m := w.aLie(p, proven); m != nil {
			data := core.Encode(m)
			for _, e := range p.Ends {
				if e.Open && !e.Ending() && p.Core.View(e.ID).Up && w.Rand.IntN(2) == 0 {
					e.Inject(data)
				}
			}
		}
		w.At(w.Now+w.Between(0, every), again)
	}
	again()
}

// aLie makes up a frame. A lie that can be proved costs the liar its link.
func (w *world) aLie(p *process, proven bool) proto.Message {
	entries := p.Core.Entries()
	victim := entries[w.Rand.IntN(len(entries))]
	if victim.Key == p.Key || victim.Type == pb.AnnouncementType_REMOVED {
		return nil
	}
	own := p.Identity
	propagate := func(list ...*pb.Announcement) proto.Message {
		return &pb.PropagationMessage{Announcements: list}
	}
	if w.Root != nil && w.Rand.IntN(2) == 0 {
		if proven {
			return propagate(w.aPrivateLie(p, victim))
		}
		return nil
	}
	if !proven || w.Rand.IntN(3) > 0 {
		switch w.Rand.IntN(3) {
		case 0: // everybody is lost
			var list []*pb.Announcement
			accusers := []string{string(entries[w.Rand.IntN(len(entries))].ID), string(entries[w.Rand.IntN(len(entries))].ID)} // whoever is slandered
			for _, e := range entries {
				if e.Alive && len(list) < pb.MaxAnnouncements {
					list = append(list, &pb.Announcement{Type: pb.AnnouncementType_LOST, Record: e.Signed, Hops: 1, Accusers: accusers})
				}
			}
			return propagate(list...)
		case 1: // a statement that was once true
			if len(w.hostile.said) > 0 {
				return propagate(w.hostile.said[w.Rand.IntN(len(w.hostile.said))])
			}
		case 2: // another key for a member's ID, from a later epoch
			if w.Root != nil {
				return nil
			}
			key := coretest.Identity(1<<40 + uint64(w.Rand.IntN(6)))
			k := key.Key()
			return propagate(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: key.SignRecord(&pb.Record{
				Type: pb.AnnouncementType_JOIN, Id: string(victim.ID), Key: k[:], Network: "sim",
				Addresses: []string{p.Address}, Epoch: 1 << 40,
			})})
		}
		return nil
	}
	parse := pb.ParseRecord
	if w.Root != nil {
		parse = pb.ParseMember
	}
	forged, err := parse(victim.Signed)
	if err != nil {
		w.fatal("%v", err)
	}
	switch w.Rand.IntN(5) {
	case 0: // a member leaves
		forged.Type, forged.Addresses, forged.Seq = pb.AnnouncementType_LEAVE, nil, forged.GetSeq()+1
		return propagate(&pb.Announcement{Type: pb.AnnouncementType_LEAVE, Record: own.SignRecord(forged)})
	case 1: // a member was restarted elsewhere
		forged.Epoch++
		forged.Type, forged.Addresses = pb.AnnouncementType_JOIN, []string{p.Address}
		return propagate(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: own.SignRecord(forged)})
	case 2: // a member is lost, with a signature that can't be checked later
		broken := proto.CloneOf(victim.Signed)
		broken.Signature[3] ^= 1
		return propagate(&pb.Announcement{Type: pb.AnnouncementType_LOST, Record: broken})
	case 3: // a peer that never existed
		k := coretest.Identity(1 << 41).Key()
		return propagate(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: own.SignRecord(&pb.Record{
			Type: pb.AnnouncementType_JOIN, Id: "nobody", Key: k[:], Network: "sim", Epoch: 5,
		})})
	}
	prefix := certs.MessagePrefix(victim.Key, victim.Epoch, victim.Nonce)
	return &pb.Broadcast{Content: own.SignBroadcast(&pb.BroadcastContent{
		Id: append(prefix[:], 0x80, 0, 0, 0, 0, 0, 1, byte(w.Rand.IntN(256))), Sender: string(victim.ID), Key: victim.Key[:],
		Network: "sim", Content: "forged",
	})}
}

// TestSimHostile has a member that forges records, claims the IDs of others, replays old
// statements, and calls everybody lost. Peers come and go meanwhile, and the honest must be right
// all the time.
func TestSimHostile(t *testing.T) {
	eachSeed(t, 16, 4, hostile)
}

func hostile(t *testing.T, seed uint64) { liesIn(newWorld(t, seed, 3+int(seed%9))) }

// TestSimPrivateHostile is the same in a private network, in which the liar also shows passes and
// removals that are not valid, and says again what a removed member has said.
func TestSimPrivateHostile(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 3+int(seed%9))
		w.MakePrivate()
		liesIn(w)
	})
}

// aPrivateLie is a pass or a removal that is not valid.
func (w *world) aPrivateLie(p *process, victim core.EntryView) *pb.Announcement {
	another := coretest.Identity(1<<40 + uint64(w.Rand.IntN(6)))
	key := another.Key()
	record := &pb.Record{Type: pb.AnnouncementType_JOIN, Id: string(victim.ID), Key: key[:], Network: w.Network.Label(), Epoch: 1, Pass: p.Pass}
	removed := &pb.Announcement{
		Type:   pb.AnnouncementType_REMOVED,
		Record: p.Identity.SignRemoval(w.Network.Key, &pb.Removal{Id: string(victim.ID), Key: victim.Key[:]}),
	}
	switch w.Rand.IntN(6) {
	case 0: // the ID of a member
	case 1: // with the pass of that
		record.Pass = victim.Standing.Pass
	case 2: // by our own word
		record.Pass = &pb.Pass{Grant: p.Identity.SignGrant(w.Network.Key, &pb.Grant{Id: string(victim.ID), Key: key[:]}), Issuer: p.Pass.GetIssuer()}
	case 3: // a member is out, as we say
		return removed
	case 4: // as an admin says
		removed.Issuer = p.Pass.GetIssuer()
		return removed
	case 5: // an admin's removal, as if by the network's key
		for _, a := range w.hostile.said {
			if a.GetType() == pb.AnnouncementType_REMOVED {
				removed.Record = a.GetRecord()
			}
		}
		return removed
	}
	return &pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: another.SignRecord(record)}
}

// removedOne has a member of a private network come and be removed.
func (w *world) removedOne() {
	out := w.addNode("outcast", 1<<21)
	out.Start(w.Machines[0].Address)
	w.settle(30 * time.Second)
	w.strict = false // it is there until it hears of it
	w.Machines[0].Remove(w.RemovalOf(out.ID, out.Key, w.Machines[0]))
	w.Run(5 * time.Second)
	w.strict = true
}

func liesIn(w *world) {
	w.hostile = &hostilePeers{}
	seed := w.Seed
	w.build(len(w.Machines), time.Second)
	members := len(w.Machines)
	if w.Root != nil {
		w.removedOne()
	}
	liar := w.addNode("liar", 1<<20).Start(w.Machines[0].Address)
	w.settle(30 * time.Second)
	w.lie(liar, w.Between(200*time.Millisecond, 2*time.Second), seed%2 == 0)
	for i := range 4 {
		p := w.Machines[w.Rand.IntN(members)].Process
		if p != nil && p.IsReady && !p.Leaving {
			w.broadcast(p, fmt.Sprint(i))
		}
		w.Run(w.Between(0, 10*time.Second))
		n := w.Machines[1+w.Rand.IntN(members-1)]
		switch {
		case n.Process == nil && w.Now > n.Runs[len(n.Runs)-1].Stopped+15*time.Second:
			n.Rejoin()
		case n.Process == nil || !n.Process.IsReady:
		case len(w.Living()) > 3 && i%2 == 0:
			n.Process.Leave()
		case i%2 == 1:
			n.Process.Crash()
			w.Run(w.Between(0, 2*time.Second))
			n.Rejoin()
		}
	}
	w.Run(30 * time.Second)
	for _, p := range w.Living() {
		if p.Hostile {
			continue
		}
		for _, q := range w.Living() {
			if q.Hostile || p == q {
				continue
			}
			if !p.Shows(q.Machine) {
				w.fatal("%s does not have %s", p.ID, q.ID)
			}
		}
		for _, id := range []certs.ID{"nobody", "outcast"} {
			if _, ok := p.KeyOf(id); ok {
				w.fatal("%s believes that %s is here", p.ID, id)
			}
		}
		for _, s := range w.diary(p).log {
			if b, ok := s.event.(base.Broadcasted); ok && b.Content.GetContent() == "forged" {
				w.fatal("%s believes a forged broadcast", p.ID)
			}
		}
	}
	w.checkBroadcasts()
	liar.Crash()
	// Peers that it made up go like all peers without a link: by two failing probes.
	w.settle(3 * time.Minute)
}
