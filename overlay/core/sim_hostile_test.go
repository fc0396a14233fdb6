package core

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// overhear keeps what the hostile peer may replay.
func (w *world) overhear(m *pb.PeerMessage) {
	keep := func(a *pb.Announcement) {
		a = proto.CloneOf(a)
		if len(w.said) < 200 {
			w.said = append(w.said, a)
		} else {
			w.said[w.saidLast%200] = a
		}
		w.saidLast++
	}
	for _, a := range m.GetPropagation().GetAnnouncements() {
		keep(a)
	}
	for _, a := range m.GetSyncReply().GetAnnouncements() {
		keep(a)
	}
}

// lie makes the peer hostile: it is in the network and sends what it likes,
// some lies that can be proved to be lies and some that can't.
func (p *process) lie(every time.Duration, proven bool) {
	w := p.node.world
	p.hostile = true
	var again func()
	again = func() {
		if p.dead {
			return
		}
		if m := p.aLie(proven); m != nil {
			data := encode(m)
			for _, e := range p.ends {
				if l := p.core.links.link(e.id); e.open && !e.closing && l != nil && l.state == linkUp && w.rng.IntN(2) == 0 {
					e.send(parcel{kind: parcelFrame, data: data})
				}
			}
		}
		w.at(w.now+w.between(0, every), again)
	}
	again()
}

// aLie makes up a frame. Proven lies cost the liar its link.
func (p *process) aLie(proven bool) proto.Message {
	w := p.node.world
	entries := p.core.table.entries
	victim := entries[w.rng.IntN(len(entries))]
	if victim == p.core.table.self {
		return nil
	}
	own := p.node.identity
	propagate := func(list ...*pb.Announcement) proto.Message {
		return &pb.PropagationMessage{Announcements: list}
	}
	if !proven || w.rng.IntN(3) > 0 {
		switch w.rng.IntN(3) {
		case 0: // everybody is lost
			var list []*pb.Announcement
			for _, e := range entries {
				if e.alive() && len(list) < pb.MaxAnnouncements {
					list = append(list, &pb.Announcement{Type: pb.AnnouncementType_LOST, Record: e.record.Signed, Hops: 1, Testimonies: p.twoTestimonies(e)})
				}
			}
			return propagate(list...)
		case 1: // what was once true
			if len(w.said) > 0 {
				return propagate(w.said[w.rng.IntN(len(w.said))])
			}
		case 2: // another key for somebody's ID, from a later epoch
			key := testIdentity(1<<40 + uint64(w.rng.IntN(6)))
			k := key.Key()
			return propagate(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: key.SignRecord(&pb.Record{
				Type: pb.AnnouncementType_JOIN, Id: string(victim.record.ID), Key: k[:], Network: "sim",
				Addresses: []string{p.node.address}, Epoch: 1 << 40,
			})})
		}
		return nil
	}
	forged, err := pb.ParseRecord(victim.record.Signed)
	if err != nil {
		w.fatal("%v", err)
	}
	switch w.rng.IntN(5) {
	case 0: // somebody leaves
		forged.Type, forged.Addresses, forged.Seq = pb.AnnouncementType_LEAVE, nil, forged.GetSeq()+1
		return propagate(&pb.Announcement{Type: pb.AnnouncementType_LEAVE, Record: own.SignRecord(forged)})
	case 1: // somebody was restarted, elsewhere
		forged.Epoch++
		forged.Type, forged.Addresses = pb.AnnouncementType_JOIN, []string{p.node.address}
		return propagate(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: own.SignRecord(forged)})
	case 2: // somebody is lost, with a signature that nobody can check later
		broken := proto.CloneOf(victim.record.Signed)
		broken.Signature[3] ^= 1
		return propagate(&pb.Announcement{Type: pb.AnnouncementType_LOST, Record: broken})
	case 3: // somebody who never was
		k := testIdentity(1 << 41).Key()
		return propagate(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: own.SignRecord(&pb.Record{
			Type: pb.AnnouncementType_JOIN, Id: "nobody", Key: k[:], Network: "sim", Epoch: 5,
		})})
	}
	prefix := certs.MessagePrefix(victim.record.Key, victim.record.Epoch, victim.record.Nonce)
	return &pb.Broadcast{Content: own.SignBroadcast(&pb.BroadcastContent{
		Id: append(prefix[:], 0x80, 0, 0, 0, 0, 0, 1, byte(w.rng.IntN(256))), Sender: string(victim.record.ID), Key: victim.record.Key[:],
		Network: "sim", Content: "forged",
	})}
}

// twoTestimonies are the liar's own, and one of a peer that it runs beside.
func (p *process) twoTestimonies(e *entry) []*pb.Signed {
	var list []*pb.Signed
	for _, n := range p.node.world.accomplices {
		key := n.identity.Key()
		list = append(list, n.identity.SignTestimony(&pb.Testimony{
			Subject: e.record.Key[:], Epoch: e.record.Epoch, Seq: e.record.Seq, Witness: string(n.id), Key: key[:],
		}))
	}
	return list
}

// TestSimHostile has a member that forges records, claims the IDs of others,
// replays what was, and says of all that they are lost. Peers come and go
// meanwhile, and the honest must be right all the time.
func TestSimHostile(t *testing.T) {
	eachSeed(t, 16, 4, hostile)
}

func hostile(t *testing.T, seed uint64) {
	w := newWorld(t, seed, 3+int(seed%9))
	w.said = []*pb.Announcement{}
	w.build(len(w.nodes), time.Second)
	liar := w.addNode("liar", 1<<20).start(w.nodes[0].address)
	second := w.addNode("second", 1<<20+1).start(w.nodes[0].address)
	w.accomplices = []*node{liar.node, second.node}
	w.settle(30 * time.Second)
	liar.lie(w.between(200*time.Millisecond, 2*time.Second), seed%2 == 0)
	for i := range 4 {
		p := w.nodes[w.rng.IntN(len(w.nodes)-2)].process
		if p != nil && p.isReady && !p.leaving {
			p.broadcast(fmt.Sprint(i))
		}
		w.run(w.between(0, 10*time.Second))
		n := w.nodes[1+w.rng.IntN(len(w.nodes)-3)]
		switch {
		case n.process == nil && w.now > n.runs[len(n.runs)-1].stopped+15*time.Second:
			n.rejoin()
		case n.process == nil || !n.process.isReady:
		case len(w.living()) > 3 && i%2 == 0:
			n.process.leave()
		case i%2 == 1:
			n.process.crash()
			w.run(w.between(0, 2*time.Second))
			n.rejoin()
		}
	}
	w.run(30 * time.Second)
	for _, p := range w.living() {
		if p.hostile {
			continue
		}
		for _, q := range w.living() {
			if q.hostile || p == q {
				continue
			}
			if p.there[q.node.id] != q.node.identity.Key() {
				w.fatal("%s does not have %s", p.node.id, q.node.id)
			}
		}
		if _, ok := p.there[certs.ID("nobody")]; ok {
			w.fatal("%s believes a forged record", p.node.id)
		}
		for _, s := range p.log {
			if b, ok := s.event.(Broadcasted); ok && b.Content.GetContent() == "forged" {
				w.fatal("%s believes a forged broadcast", p.node.id)
			}
		}
	}
	w.checkBroadcasts()
	liar.crash()
	// Peers that it made up go as all without a link go: by two failing probes.
	w.settle(3 * time.Minute)
}
