package coretest

import (
	"bytes"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// Private networks: the world holds the network's key, so a test can give passes and removals of any
// kind, and each machine keeps its pass, the removals it has heard of, and the tickets it has given.

// private is a world's private network; zero: it is open.
type private struct {
	Root    *certs.Identity // its key
	Network certs.Network
	grants  uint64
}

// membership is what a machine has on its disk of a private network.
type membership struct {
	Pass     *pb.Pass
	Ticket   *certs.Ticket // to join by, until there is a pass
	Removals []base.RemovalWrite
	tickets  []*ticket // that it has given
}

// ticket is one that was given, and who has used it.
type ticket struct {
	public certs.PublicKey
	id     certs.ID
	key    certs.PublicKey
	pass   *pb.Pass
}

// MakePrivate makes the world's network a private one. Each machine that starts without a ticket
// gets the pass of a member from the first, which is the first admin.
func (w *World) MakePrivate() {
	seed := bytes.Repeat([]byte{byte(w.Seed)}, 32)
	seed[31] = 1 // not that of a machine
	w.Root = certs.NewIdentity(seed)
	w.Network = certs.Network{Name: network, Key: w.Root.Key()}
	w.memory.private = true
	w.Machines[0].Pass = w.Admin(w.Machines[0])
}

// Admin is the pass of an admin for a machine.
func (w *World) Admin(m *Machine) *pb.Pass {
	return &pb.Pass{Grant: w.Root.SignGrant(w.Network.Key, &pb.Grant{Id: string(m.ID), Key: m.Key[:], Number: w.number(), Admin: true})}
}

// Member is the pass of a member, by an admin.
func (m *Machine) Member(id certs.ID, key certs.PublicKey) *pb.Pass {
	w := m.World
	return &pb.Pass{
		Grant:  m.Identity.SignGrant(w.Network.Key, &pb.Grant{Id: string(id), Key: key[:], Number: w.number()}),
		Issuer: m.Pass.GetGrant(),
	}
}

// number is that of the next grant.
func (w *World) number() uint64 {
	w.grants++
	return w.grants
}

// RemovalOf is an announcement of a removal: by the machine, or by the network's key if by is nil.
func (w *World) RemovalOf(id certs.ID, key certs.PublicKey, by *Machine, keep ...[]byte) *pb.Announcement {
	removal := &pb.Removal{Id: string(id), Key: key[:], Keep: keep}
	a := &pb.Announcement{Type: pb.AnnouncementType_REMOVED}
	if by == nil {
		a.Record = w.Root.SignRemoval(w.Network.Key, removal)
	} else {
		a.Record, a.Issuer = by.Identity.SignRemoval(w.Network.Key, removal), by.Pass.GetGrant()
	}
	return a
}

// Invite gives a ticket for an ID.
func (m *Machine) Invite(id certs.ID) *certs.Ticket {
	t := &certs.Ticket{Network: m.World.Network.Key, Name: m.World.Network.Name, Issuer: certs.KeyTag(m.Key), ID: id}
	m.World.number()
	t.Seed[0], t.Seed[1] = byte(m.World.grants), byte(m.Index)
	m.tickets = append(m.tickets, &ticket{public: t.Identity().Key(), id: id})
	return t
}

// join puts the machine's membership into the configuration of a process.
func (m *Machine) join(cfg *base.Config) {
	w := m.World
	if w.Root == nil {
		return
	}
	cfg.Network, cfg.Key, cfg.Pass = w.Network.Label(), w.Network.Key, m.ownPass()
	if m.Ticket != nil && m.Pass == nil {
		cfg.Redemption = m.Redemption(m.Ticket)
	}
	for _, r := range m.Removals {
		cfg.Removals = append(cfg.Removals, r.Proof)
	}
}

// ownPass is that of the machine: a member's by the first one, unless it has been given another, or a
// ticket.
func (m *Machine) ownPass() *pb.Pass {
	if m.World.Root != nil && m.Pass == nil && m.Ticket == nil {
		m.Pass = m.World.Machines[0].Member(m.ID, m.Key)
	}
	return m.Pass
}

// Redemption is what the machine shows of a ticket.
func (m *Machine) Redemption(t *certs.Ticket) *pb.Signed {
	public := t.Identity().Key()
	return t.Identity().SignRedemption(t.Network, &pb.Redemption{
		Ticket: public[:], Key: m.Key[:], Id: string(m.ID), Issuer: base.TagOfBytes(t.Issuer),
	})
}

// noteRemoval writes a removal to the disk.
func (m *Machine) noteRemoval(w base.RemovalWrite) {
	for i, r := range m.Removals {
		if r.ID == w.ID && r.Key == w.Key {
			m.Removals = append(m.Removals[:i], m.Removals[i+1:]...)
			break
		}
	}
	if !w.Lifted {
		m.Removals = append(m.Removals, w)
	}
}

// redeem judges a redemption as an issuer does, and answers.
func (m *Machine) redeem(r base.Redeem) {
	w := m.World
	answer := &pb.Redeemed{Code: pb.HandshakeCode_NOT_INVITED, Reason: "this ticket is not known"}
	if parsed, err := pb.ParseRedemption(r.Redemption); err == nil {
		answer.Ticket = parsed.GetTicket()
		key := certs.PublicKey(parsed.GetKey())
		for _, t := range m.tickets {
			if t.public != certs.PublicKey(parsed.GetTicket()) || !certs.VerifyRedemption(w.Network.Key, t.public, r.Redemption) {
				continue
			}
			if t.pass == nil && t.id == certs.ID(parsed.GetId()) {
				t.key, t.pass = key, m.Member(t.id, key)
			}
			if t.key == key {
				answer = &pb.Redeemed{Ticket: parsed.GetTicket(), Code: pb.HandshakeCode_GRANTED, Pass: t.pass}
			}
		}
	}
	m.Process.Core.Step(w.Now, core.Redeemed{Number: r.Number, Answer: answer})
	m.Process.owesDrain = true
}
