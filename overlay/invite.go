package overlay

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// Tickets as their issuer has them. The issuer alone decides whether one is good, and it stores who
// has used it before it answers: so a ticket is good once, whatever crashes.

// Bounds of tickets, guesses.
const (
	ticketFor   = 24 * time.Hour      // by the issuer's own clock
	ticketKept  = 30 * 24 * time.Hour // beyond that, so that whoever comes too late is told so
	maxTickets  = 1024                // within ticketFor that nobody has used
	maxRefusals = 8                   // of one ticket that the program is told of
)

// Errors of Invite, Uninvite and Remove.
var (
	ErrNotPrivate = errors.New("this network is open: whoever reaches a peer can join; a private one is made with --private")
	errNoTicket   = errors.New("no ticket for that ID waits to be used")
)

// Invitation is what Invite has made: a ticket for ID, good until Expires. Admin: who uses it
// becomes an admin. LANOnly: no peer in it can be dialled from outside.
type Invitation struct {
	ID             certs.ID
	Ticket         string
	Expires        time.Time
	Admin, LANOnly bool
}

// issuer holds the tickets that this peer has given. All of it belongs to the loop.
type issuer struct {
	tickets map[certs.PublicKey]*issued
	last    uint64 // the number of the last grant
}

// issued is a ticket that was given.
type issued struct {
	id        certs.ID
	admin     bool
	ends      time.Time
	key       certs.PublicKey // of who has used it; zero: nobody yet
	pass      *pb.Pass
	withdrawn bool
	refusals  int
}

// loadTickets loads the tickets of earlier runs.
func loadTickets(disk *messaging.Disk) (is issuer, err error) {
	is.tickets = make(map[certs.PublicKey]*issued)
	err = disk.Load(store.Tickets, func(key, value []byte) error {
		s := new(pb.StoredTicket)
		if err := proto.Unmarshal(value, s); err != nil || len(key) != pb.KeySize || len(s.GetKey()) != 0 && len(s.GetKey()) != pb.KeySize {
			return damaged("ticket", errors.New("it can't be read"))
		}
		t := &issued{id: certs.ID(s.GetId()), admin: s.GetAdmin(), ends: time.Unix(0, s.GetEnds()), pass: s.GetPass(), withdrawn: s.GetWithdrawn()}
		copy(t.key[:], s.GetKey())
		if t.pass != nil {
			grant, err := pb.ParseGrant(t.pass.GetGrant())
			if err != nil {
				return damaged("ticket", err)
			}
			is.last = max(is.last, grant.GetNumber())
		}
		is.tickets[certs.PublicKey(key)] = t
		return nil
	})
	return is, err
}

// storeTicket stores a ticket, and calls done when that is safe.
func (l *loop) storeTicket(public certs.PublicKey, t *issued, done func()) {
	s := &pb.StoredTicket{Id: string(t.id), Admin: t.admin, Ends: t.ends.UnixNano(), Pass: t.pass, Withdrawn: t.withdrawn}
	if t.key != (certs.PublicKey{}) {
		s.Key = t.key[:]
	}
	value, err := proto.Marshal(s)
	if err != nil {
		panic("overlay: a ticket that can't be encoded: " + err.Error()) // its ID was checked
	}
	l.node.disk.Write(done, store.Op{Bucket: store.Tickets, Key: public[:], Value: value})
}

// guest finds a member that we have let in, of whom the table may know nothing now.
func (l *loop) guest(id certs.ID) (m core.Member, ok bool) {
	for _, t := range l.issuer.tickets {
		if t.id == id && t.pass != nil && !l.isOut(t.key) && !m.Admin { // a member may have become an admin
			m, ok = core.Member{ID: id, Key: t.key, Admin: t.admin}, true
		}
	}
	return m, ok
}

// Invite makes a ticket, which lets one peer into this private network, once, as ID, until it
// expires and while this peer is here. With admin whoever uses it can let in and remove members in
// turn; a member becomes an admin by using such a ticket. It returns when the ticket is safe on disk.
// Errors: ErrNotPrivate, *NotAdminError, a malformed ID, a member that has the ID, too many tickets,
// ErrClosed, that of ctx.
func (n *Node) Invite(ctx context.Context, id certs.ID, admin bool) (Invitation, error) {
	if _, err := certs.ParseID(string(id)); err != nil {
		return Invitation{}, err
	}
	done := make(chan invited, 1)
	n.post(invite{id, admin, done})
	out, err := awaitDone(ctx, &n.mailbox, done)
	return out.Invitation, cmp.Or(err, out.err)
}

// Uninvite makes the tickets for an ID void that nobody has used. The error says that there are none,
// or is as of Invite.
func (n *Node) Uninvite(ctx context.Context, id certs.ID) error {
	done := make(chan error, 1)
	n.post(uninvite{id, done})
	problem, err := awaitDone(ctx, &n.mailbox, done)
	return cmp.Or(err, problem)
}

// Remove takes the member of an ID out of this private network for good: everywhere, and whatever
// becomes of it. What waits for it fails, and a new ticket for the ID can be given to another key. To
// remove an admin takes the network's key; those whom it has let in stay, unless all is set, and what
// it does from then on counts nowhere. Ref comes back in the event Removed. Errors are as of Invite.
func (n *Node) Remove(ctx context.Context, id certs.ID, all bool, ref string) error {
	done := make(chan error, 1)
	n.post(remove{id, all, ref, done})
	problem, err := awaitDone(ctx, &n.mailbox, done)
	return cmp.Or(err, problem)
}

type invite struct {
	id    certs.ID
	admin bool
	done  chan invited
}

type invited struct {
	Invitation
	err error
}

func (in invite) handle(l *loop) {
	ticket, t, err := l.newTicket(in)
	if err != nil {
		in.done <- invited{err: err}
		return
	}
	public := ticket.Identity().Key()
	l.issuer.tickets[public] = t
	out := Invitation{ID: in.id, Ticket: ticket.Text(), Expires: t.ends, Admin: in.admin, LANOnly: isLANOnly(ticket)}
	l.storeTicket(public, t, func() { in.done <- invited{Invitation: out} })
}

// newTicket makes a ticket, if this peer may.
func (l *loop) newTicket(in invite) (*certs.Ticket, *issued, error) {
	n := l.node
	if err := l.mayAdmit(); err != nil {
		return nil, nil, err
	}
	if in.admin {
		if _, err := l.rootKey(); err != nil {
			return nil, nil, err
		}
	}
	if m, err := l.memberOf(in.id); err == nil && (!in.admin || m.Admin) {
		return nil, nil, fmt.Errorf("%s is a member (%v); /remove %s first", in.id, m.Key, in.id)
	}
	now := n.cfg.wall()
	open := 0
	for public, t := range l.issuer.tickets {
		switch {
		case now.After(t.ends.Add(ticketKept)) && (t.pass == nil || l.isOut(t.key)):
			delete(l.issuer.tickets, public)
			n.disk.Write(nil, store.Op{Bucket: store.Tickets, Key: public[:]})
		case t.pass == nil && now.Before(t.ends): // the withdrawn too, since they are remembered as long
			open++
		}
	}
	if open >= maxTickets {
		return nil, nil, fmt.Errorf("%d tickets were given that nobody has used, the most within %v: try again when one has ended", open, ticketFor)
	}
	ticket := &certs.Ticket{Network: n.members.network.Key, Name: n.members.network.Name, Issuer: certs.KeyTag(n.Key()), ID: in.id, Doors: l.doors()}
	rand.Read(ticket.Seed[:]) // never fails, see crypto/rand
	return ticket, &issued{id: in.id, admin: in.admin, ends: now.Add(ticketFor)}, nil
}

// mayAdmit says why this peer can't let in or remove members; nil: it can.
func (l *loop) mayAdmit() error {
	n := l.node
	pass := n.members.ownPass()
	switch {
	case !n.members.network.IsPrivate():
		return ErrNotPrivate
	case pass.GetIssuer() != nil:
		return &NotAdminError{Admins: l.core.Roster().Admins()}
	case !n.disk.Keeps():
		return ErrUnkept
	}
	return nil
}

// doors are where a newcomer can dial: this peer from outside, two others from outside, then this
// peer on its LAN.
func (l *loop) doors() (list []certs.TicketDoor) {
	var near []certs.TicketDoor
	for _, d := range l.core.Roster().Doors() {
		door := certs.TicketDoor{Address: d.Address, Key: certs.KeyTag(d.Key)}
		switch {
		case len(list) < certs.MaxTicketDoors-1 && isPublic(d.Address):
			list = append(list, door)
		case d.Key == l.node.Key() && !isPublic(d.Address):
			near = append(near, door)
		}
	}
	list = append(list, near...)
	return list[:min(len(list), certs.MaxTicketDoors)]
}

// isPublic reports whether an address can be dialled from everywhere.
func isPublic(address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && a.Addr().IsGlobalUnicast() && !a.Addr().IsPrivate()
}

func isLANOnly(t *certs.Ticket) bool {
	return !slices.ContainsFunc(t.Doors, func(d certs.TicketDoor) bool { return isPublic(d.Address) })
}

type uninvite struct {
	id   certs.ID
	done chan error
}

func (u uninvite) handle(l *loop) {
	n := l.node
	if err := l.mayAdmit(); err != nil {
		u.done <- err
		return
	}
	found := false
	for public, t := range l.issuer.tickets {
		if t.id == u.id && t.pass == nil && !t.withdrawn {
			t.withdrawn, found = true, true
			l.storeTicket(public, t, nil)
		}
	}
	if !found {
		u.done <- errNoTicket
		return
	}
	n.disk.Write(func() { u.done <- nil })
}

// redeemTicket answers a peer that uses a ticket of ours.
func (l *loop) redeemTicket(w base.Redeem) {
	n := l.node
	r, err := pb.ParseRedemption(w.Redemption)
	if err != nil {
		return // the core has checked it
	}
	public := certs.PublicKey(r.GetTicket())
	t := l.issuer.tickets[public]
	answer := func(code pb.HandshakeCode, reason string, pass *pb.Pass) {
		l.step(core.Redeemed{Number: w.Number, Answer: &pb.Redeemed{Ticket: r.GetTicket(), Code: code, Reason: reason, Pass: pass}})
	}
	if t == nil || !certs.VerifyRedemption(n.members.network.Key, public, w.Redemption) {
		answer(pb.HandshakeCode_NOT_INVITED, "this ticket is not known here; ask for another", nil)
		return
	}
	key := certs.PublicKey(r.GetKey())
	if code, why := l.judgeTicket(t, certs.ID(r.GetId()), key); why != "" {
		if t.refusals++; t.refusals <= maxRefusals {
			n.messages.Queue().Push(Redeemed{ID: t.id, Key: key, Why: why})
		}
		answer(code, why, nil)
		return
	}
	if t.pass != nil { // behind the write of the first answer, should that be under way
		again := core.Redeemed{Number: w.Number, Answer: &pb.Redeemed{Ticket: r.GetTicket(), Code: pb.HandshakeCode_GRANTED, Pass: t.pass}}
		n.disk.Write(func() { n.post(coreInput{again}) })
		return
	}
	pass, err := l.grant(t, key)
	if err != nil {
		answer(pb.HandshakeCode_AWAY, string(n.id)+" has not the network's key at hand now", nil)
		n.log.Warn("a ticket for an admin can't be redeemed", "id", string(t.id), "error", err)
		return
	}
	t.key, t.pass = key, pass
	l.storeTicket(public, t, func() { n.post(granted{w.Number, public, t.id, key, pass}) })
}

// granted: the pass for a ticket is safe on disk.
type granted struct {
	number uint64
	ticket certs.PublicKey
	id     certs.ID
	key    certs.PublicKey
	pass   *pb.Pass
}

func (g granted) handle(l *loop) {
	l.node.messages.Queue().Push(Redeemed{ID: g.id, Key: g.key})
	l.step(core.Redeemed{Number: g.number, Answer: &pb.Redeemed{Ticket: g.ticket[:], Code: pb.HandshakeCode_GRANTED, Pass: g.pass}})
}

// judgeTicket says why a ticket is not good for a key; empty: it is.
func (l *loop) judgeTicket(t *issued, id certs.ID, key certs.PublicKey) (pb.HandshakeCode, string) {
	n := l.node
	switch {
	case l.isOut(key) && !(t.admin && l.mayComeBack(key)):
		return pb.HandshakeCode_NOT_INVITED, "this peer was removed from the network"
	case id != t.id:
		return pb.HandshakeCode_NOT_INVITED, fmt.Sprintf("the ticket is for the ID %s, not %s", t.id, id)
	case t.pass != nil && t.key != key:
		return pb.HandshakeCode_NOT_INVITED, fmt.Sprintf("this ticket has been used by %v; if that wasn't you, tell %s", t.key, n.id)
	case t.pass != nil:
		return 0, ""
	case t.withdrawn || !n.cfg.wall().Before(t.ends):
		return pb.HandshakeCode_NOT_INVITED, fmt.Sprintf("this ticket has ended; ask %s for another", n.id)
	}
	if m, err := l.memberOf(t.id); err == nil && m.Key != key {
		return pb.HandshakeCode_NOT_INVITED, fmt.Sprintf("the ID %s has been given to %v; ask %s for another", t.id, m.Key, n.id)
	}
	if l.mayAdmit() != nil {
		return pb.HandshakeCode_NOT_INVITED, fmt.Sprintf("%s is not an admin any more; ask another one for a ticket", n.id)
	}
	return 0, ""
}

// grant signs a pass.
func (l *loop) grant(t *issued, key certs.PublicKey) (*pb.Pass, error) {
	n := l.node
	l.issuer.last = max(l.issuer.last+1, uint64(max(0, n.cfg.wall().UnixMilli())))
	g := &pb.Grant{Id: string(t.id), Key: key[:], Number: l.issuer.last, Admin: t.admin}
	if t.admin {
		root, err := l.rootKey()
		if err != nil {
			return nil, err
		}
		return &pb.Pass{Grant: root.SignGrant(n.members.network.Key, g)}, nil
	}
	return &pb.Pass{Grant: n.cfg.State.Identity.SignGrant(n.members.network.Key, g), Issuer: n.members.ownPass().GetGrant()}, nil
}

// membership is what the core starts from.
func membership(n *Node, removals []*pb.Announcement) base.Membership {
	own, at := n.members.ownPass(), n.cfg.place
	m := base.Membership{Key: at.network.Key, Pass: own, Removals: removals, Pinned: at.pinned}
	if at.ticket != nil {
		t := at.ticket.Identity()
		public, key := t.Key(), n.cfg.State.Identity.Key()
		m.Redemption = t.SignRedemption(at.network.Key, &pb.Redemption{
			Ticket: public[:], Key: key[:], Id: string(n.id), Issuer: base.TagOfBytes(at.ticket.Issuer),
		})
	}
	return m
}

// remove: the program removes a member.
type remove struct {
	id   certs.ID
	all  bool
	ref  string
	done chan error // it has room for one
}

func (r remove) handle(l *loop) { r.done <- l.removeMember(r) }

// removeMember signs the removal of a member, and has the core announce it.
func (l *loop) removeMember(r remove) error {
	n := l.node
	if err := l.mayAdmit(); err != nil {
		return err
	}
	member, err := l.memberOf(r.id)
	if err != nil && r.all { // what a removed admin has done shall fall after all
		for _, m := range l.core.Roster().Of(r.id) {
			if m.Out && m.Admin {
				member, err = m, nil
			}
		}
	}
	switch {
	case err != nil:
		return err
	case member.Key == n.Key():
		return errors.New("you can't remove yourself: another admin can, or just leave")
	}
	key := member.Key
	removal := &pb.Removal{Id: string(r.id), Key: key[:]}
	proof := &pb.Announcement{Type: pb.AnnouncementType_REMOVED}
	if member.Admin {
		root, err := l.rootKey()
		if err != nil {
			return err
		}
		if !r.all {
			removal.Keep = n.members.signedBy(key, l.core.Roster().SignedBy(key))
		}
		proof.Record = root.SignRemoval(n.members.network.Key, removal)
	} else {
		proof.Record, proof.Issuer = n.cfg.State.Identity.SignRemoval(n.members.network.Key, removal), n.members.ownPass().GetGrant()
	}
	l.refs[key] = r.ref // until the event
	if !l.step(core.Remove{Proof: proof}).OK {
		delete(l.refs, key)
		return fmt.Errorf("%s can't be removed: there are %d removals, the most that a network takes, or this one is known", r.id, len(n.members.out))
	}
	return nil
}

// rootKey is the network's key, if it is here.
func (l *loop) rootKey() (*certs.Identity, error) {
	state := l.node.cfg.State
	root, err := state.RootKey()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("only the network's key makes and removes admins: put it back at %s", state.RootPath())
	}
	if err == nil && root.Key() != l.node.members.network.Key {
		return nil, fmt.Errorf("%s is the key of another network", state.RootPath())
	}
	return root, err
}

// memberOf finds the member of an ID: in the table, else among those that we have let in.
func (l *loop) memberOf(id certs.ID) (core.Member, error) {
	for _, m := range l.core.Roster().Of(id) {
		if !m.Out {
			return m, nil
		}
	}
	if m, ok := l.guest(id); ok {
		return m, nil
	}
	return core.Member{}, fmt.Errorf("no member of the name %s is known", id)
}

// isOut reports whether a key was removed, under whichever ID.
func (l *loop) isOut(key certs.PublicKey) bool {
	_, out := l.core.Roster().Removal(key)
	return out
}

// mayComeBack reports whether a removed key can be made an admin: an admin has removed it, and not the
// network's key.
func (l *loop) mayComeBack(key certs.PublicKey) bool {
	byNetwork, out := l.core.Roster().Removal(key)
	return out && !byNetwork
}
