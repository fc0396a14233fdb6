package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// Private networks: which one a node is in, by its state directory, by a ticket, or because it makes
// one; and who belongs to it, for what does not pass through the core.

// Errors of a wrong configuration.
var (
	// ErrUnkept: a private network is made by a peer whose state is not kept.
	ErrUnkept = errors.New("a private network needs a state directory: its key must be kept")
	// ErrPrivateJoin: a private network can't be made and joined at the same time.
	ErrPrivateJoin = errors.New("a peer either makes a private network or joins one")
	// ErrTwoTickets: a peer joins by one ticket.
	ErrTwoTickets = errors.New("there can be only one ticket to join by")
)

// TicketIDError: the ticket is for another ID.
type TicketIDError struct{ Ticket, Wanted certs.ID }

func (e *TicketIDError) Error() string {
	return fmt.Sprintf("the ticket is for the ID %s, not %s", e.Ticket, e.Wanted)
}

// IsTicket reports whether an address to join is meant to be a ticket.
func IsTicket(address string) bool {
	address = strings.TrimSpace(address)
	return len(address) > 3 && strings.EqualFold(address[:3], "qp1")
}

// takeTicket takes the ticket out of the addresses to join, nil if there is none.
func (c *Config) takeTicket() (*certs.Ticket, error) {
	var ticket *certs.Ticket
	var rest []string
	for _, address := range c.Join {
		if !IsTicket(address) {
			rest = append(rest, address)
			continue
		}
		t, err := certs.ParseTicket(address)
		switch {
		case err != nil:
			return nil, err
		case ticket != nil:
			return nil, ErrTwoTickets
		}
		ticket = t
	}
	if ticket != nil {
		c.pinned = make(map[string][8]byte)
		for _, d := range ticket.Doors {
			rest = append(rest, d.Address)
			c.pinned[d.Address] = d.Key
		}
	}
	c.Join = rest
	return ticket, nil
}

// chooseNetwork finds out which network the node is in.
func (c *Config) chooseNetwork(ticket *certs.Ticket) error {
	stored, known := c.State.Membership()
	private := known && stored.Network.IsPrivate()
	switch {
	case c.Private && (len(c.Join) > 0 || ticket != nil):
		return ErrPrivateJoin
	case c.Private && c.State.Dir == "":
		return ErrUnkept
	case ticket != nil && ticket.ID != c.State.ID:
		return &TicketIDError{Ticket: ticket.ID, Wanted: c.State.ID}
	case private && (c.Network == "" || c.Network == stored.Network.Name || c.Network == stored.Network.Label()):
		c.network = stored.Network
	case c.Private:
		if err := certs.CheckPrivateName(c.Network); err != nil {
			return err
		}
		if known {
			return &OtherNetworkError{Dir: c.State.Dir, Stored: stored.Network.Label(), Wanted: c.Network}
		}
		if err := c.State.Found(c.Network, uint64(time.Now().UnixMilli())); err != nil {
			return err
		}
		stored, _ = c.State.Membership()
		c.network, c.founded = stored.Network, true
	default:
		c.network = certs.Network{Name: c.Network}
	}
	if ticket != nil {
		if c.Network != "" && c.Network != ticket.Name {
			return &OtherNetworkError{Dir: c.State.Dir, Stored: ticket.Name, Wanted: c.Network}
		}
		c.network = certs.Network{Name: ticket.Name, Key: ticket.Network}
		c.ticket = ticket
	}
	if c.network.IsPrivate() {
		c.door = certs.NewDoor(c.network.Key)
	}
	return c.State.CheckNetwork(c.network)
}

// redemption is what turns the ticket into a pass, nil without a ticket.
func (c *Config) redemption() *pb.Signed {
	if c.ticket == nil {
		return nil
	}
	t := c.ticket.Identity()
	public, key := t.Key(), c.State.Identity.Key()
	return t.SignRedemption(c.network.Key, &pb.Redemption{
		Ticket: public[:], Key: key[:], Id: string(c.State.ID), Issuer: base.TagOfBytes(c.ticket.Issuer),
	})
}

// ownPass is this node's pass; nil: it has none, or the network is open.
func (n *Node) ownPass() *pb.Pass {
	m, _ := n.cfg.State.Membership()
	return m.Pass
}

// roster judges the passes of letters, which do not go through the core: by the removals that the
// core has taken.
type roster struct {
	mu     sync.Mutex
	passes *base.Passes
	taken  map[removedKey]*base.Record
}

type removedKey struct {
	id  certs.ID
	key certs.PublicKey
}

func newRoster(network certs.PublicKey) *roster {
	return &roster{passes: base.NewPasses(network, base.Claim.Valid), taken: make(map[removedKey]*base.Record)}
}

// admit judges the author of a letter.
func (r *roster) admit(id certs.ID, key certs.PublicKey, pass *pb.Pass) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	standing, err := base.OpenPass(pass, id, key)
	if err != nil {
		return err
	}
	author := &base.Record{ID: id, Key: key, Type: pb.AnnouncementType_JOIN, Standing: standing}
	barred, err := r.passes.PassOf(author)
	claim := r.passes.Claim(author)
	switch {
	case err != nil:
		return err
	case barred != nil:
		return fmt.Errorf("%s was removed from the network", id)
	case claim.And != nil && !claim.And.Valid():
		return errors.New("a pass that no admin has signed")
	}
	r.passes.Learn(author)
	return nil
}

// take takes a removal, or takes one back.
func (r *roster) take(w base.RemovalWrite, network string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := removedKey{w.ID, w.Key}
	if was := r.taken[k]; was != nil {
		r.passes.Lift(was)
		delete(r.taken, k)
	}
	if w.Lifted {
		return
	}
	if record, err := base.OpenRemoval(w.Proof.GetRecord(), w.Proof.GetIssuer(), network); err == nil {
		r.passes.Note(record)
		r.taken[k] = record
	}
}

// loadRemovals loads what earlier runs have heard of.
func (n *Node) loadRemovals() (list []*pb.Announcement, err error) {
	err = n.disk.Load(store.Removed, func(_, value []byte) error {
		a := new(pb.Announcement)
		err := proto.Unmarshal(value, a)
		if err == nil {
			err = pb.CheckAnnouncement(a)
		}
		if err != nil {
			return damaged("removal", err)
		}
		r, err := base.OpenRemoval(a.GetRecord(), a.GetIssuer(), n.network.Label())
		if err != nil {
			return damaged("removal", err)
		}
		list = append(list, a)
		n.roster.take(base.RemovalWrite{ID: r.ID, Key: r.Key, Proof: a}, n.network.Label())
		n.expelled = append(n.expelled, removedKey{r.ID, r.Key})
		return nil
	})
	return list, err
}

// removed carries out what follows from a removal, outside the core.
func (n *Node) removed(w base.RemovalWrite) {
	n.roster.take(w, n.network.Label())
	key := slices.Concat(w.Key[:], []byte(w.ID))
	if w.Lifted {
		n.disk.Write(nil, store.Op{Bucket: store.Removed, Key: key})
		return
	}
	value, err := proto.Marshal(w.Proof)
	if err != nil {
		return // it was read from the wire
	}
	n.disk.Write(nil, store.Op{Bucket: store.Removed, Key: key, Value: value})
	n.expel(w.ID, w.Key)
}

// expel has the messages for a removed peer fail: at once, or when the program has had Ready.
func (n *Node) expel(id certs.ID, key certs.PublicKey) {
	select {
	case <-n.ready:
		n.messages.Expel(id, key)
	default:
		n.expelled = append(n.expelled, removedKey{id, key})
	}
}

// expelWaiting does that for the removals of before Ready.
func (n *Node) expelWaiting() {
	for _, r := range n.expelled {
		n.messages.Expel(r.id, r.key)
	}
	n.expelled = nil
}

// remove: the program removes a member.
type remove struct {
	id   certs.ID
	all  bool
	ref  string
	done chan error // it has room for one
}

func (r remove) handle(l *loop) { r.done <- l.remove(r) }

func (l *loop) remove(r remove) error {
	n := l.node
	pass := n.ownPass()
	if err := l.mayAdmit(); err != nil {
		return err
	}
	member, err := l.memberOf(r.id)
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
		root, err := n.cfg.State.RootKey()
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is an admin, whom only the network's key can remove: put it back at %s", r.id, n.cfg.State.RootPath())
		} else if err != nil {
			return err
		}
		if !r.all {
			removal.Keep = l.core.SignedBy(key)
		}
		proof.Record = root.SignRemoval(n.network.Key, removal)
	} else {
		proof.Record, proof.Issuer = n.cfg.State.Identity.SignRemoval(n.network.Key, removal), pass.GetGrant()
	}
	l.refs[key] = r.ref
	defer delete(l.refs, key)
	if !l.step(core.Remove{Proof: proof}).OK {
		return fmt.Errorf("%s can't be removed: the network has %d removals, or knows of this one", r.id, len(n.roster.taken))
	}
	l.settle()
	return nil
}

// memberOf finds the member of an ID: in the table, else among those that we have let in.
func (l *loop) memberOf(id certs.ID) (core.Member, error) {
	for _, m := range l.core.Members(id) {
		if !m.Out {
			return m, nil
		}
	}
	if m, ok := l.guest(id); ok {
		return m, nil
	}
	return core.Member{}, fmt.Errorf("no member of the name %s is known", id)
}

func (l *loop) isOut(id certs.ID, key certs.PublicKey) bool {
	return slices.ContainsFunc(l.core.Members(id), func(m core.Member) bool { return m.Out && m.Key == key })
}
