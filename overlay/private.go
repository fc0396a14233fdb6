package overlay

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
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
	// ErrNoDoor: the ticket names no peer to dial, and neither does Join.
	ErrNoDoor = errors.New("the ticket names no peer that can be dialled: name one to --join as well")
	// ErrTwoTickets: a peer joins by one ticket.
	ErrTwoTickets = errors.New("there can be only one ticket to join by")
)

// place is the network that a configuration leads to.
type place struct {
	network certs.Network
	door    *certs.Door        // of a private one; nil: it is open
	ticket  *certs.Ticket      // to join by; nil: none
	pinned  map[string][8]byte // the keys of the ticket's doors, see base.Membership
}

// takeTicket takes the ticket out of the addresses to join, and puts its doors there.
func (c *Config) takeTicket() error {
	var rest []string
	for _, address := range c.Join {
		if !certs.IsTicket(address) {
			rest = append(rest, address)
			continue
		}
		t, err := certs.ParseTicket(address)
		switch {
		case err != nil:
			return err
		case c.place.ticket != nil:
			return ErrTwoTickets
		}
		c.place.ticket = t
	}
	if t := c.place.ticket; t != nil {
		c.place.pinned = make(map[string][8]byte)
		for _, d := range t.Doors {
			rest = append(rest, d.Address)
			c.place.pinned[d.Address] = d.Key
		}
	}
	c.Join = rest
	return nil
}

// findPlace finds out which network the node with this key is in, and makes it if it is to.
func (c *Config) findPlace(own certs.PublicKey) error {
	stored, known := c.State.Membership()
	private := known && stored.Network.IsPrivate()
	ticket, at := c.place.ticket, &c.place
	if private {
		if _, err := base.OpenPass(stored.Pass, c.State.ID, own); err != nil {
			return &DamagedError{Path: c.State.NetworkPath(), Err: errors.New("its pass is for another ID or key")}
		}
	}
	switch {
	case c.Private && (len(c.Join) > 0 || ticket != nil):
		return ErrPrivateJoin
	case c.Private && c.State.Dir == "":
		return ErrUnkept
	case ticket != nil && ticket.ID != c.State.ID:
		return &TicketIDError{Ticket: ticket.ID, Wanted: c.State.ID}
	case private && (c.Network == "" || c.Network == stored.Network.Name || c.Network == stored.Network.Label()):
		at.network = stored.Network
	case c.Private:
		if err := certs.CheckPrivateName(c.Network); err != nil {
			return err
		}
		switch {
		case private:
			return &OtherNetworkError{Dir: c.State.Dir, Stored: stored.Network.Label(), Wanted: c.Network}
		case known:
			return &OpenStateError{Dir: c.State.Dir, Network: stored.Network.Name}
		}
		if err := c.State.Found(c.Network, uint64(max(0, c.wall().UnixMilli()))); err != nil {
			return err
		}
		stored, _ = c.State.Membership()
		at.network = stored.Network
	default:
		at.network = certs.Network{Name: c.Network}
	}
	if ticket != nil {
		if c.Network != "" && c.Network != ticket.Name {
			return &OtherNetworkError{Dir: c.State.Dir, Stored: ticket.Name, Wanted: c.Network}
		}
		at.network = certs.Network{Name: ticket.Name, Key: ticket.Network}
		if !private && len(c.Join) == 0 && !c.Discover {
			return ErrNoDoor
		}
	}
	if at.network.IsPrivate() {
		at.door = certs.NewDoor(at.network.Key)
	}
	return c.State.CheckNetwork(at.network)
}

// members is what a node knows of its private network outside the core: its own pass, and whose
// passes count in letters, by the removals that the core has taken.
type members struct {
	state   *State
	network certs.Network

	granted map[certs.PublicKey]map[base.StatementName]bool // by each admin, as far as we have met members; of the loop
	shown   map[certs.PublicKey]*pb.Pass                    // of members met, at most maxPasses; of the loop

	mu     sync.Mutex // of the rest, since letters are opened elsewhere than on the loop
	passes *base.Passes
	out    map[outKey]*base.Record
}

// outKey names a peer that was removed.
type outKey struct {
	id  certs.ID
	key certs.PublicKey
}

func newMembers(state *State, network certs.Network) *members {
	return &members{
		state: state, network: network,
		granted: make(map[certs.PublicKey]map[base.StatementName]bool), shown: make(map[certs.PublicKey]*pb.Pass),
		passes: base.NewPasses(network.Key, base.Claim.Valid), out: make(map[outKey]*base.Record),
	}
}

// forMessages is what messages need to know of it; nil in an open network.
func (ms *members) forMessages() *messaging.Members {
	if !ms.network.IsPrivate() {
		return nil
	}
	return &messaging.Members{Own: ms.ownPass, Admit: ms.admit}
}

// met remembers by which grant a member belongs, for when its admin is removed: it may be away then.
func (ms *members) met(r *base.Record) {
	if s := r.Standing; s != nil && (len(ms.shown) < maxPasses || ms.shown[r.Key] != nil) {
		ms.shown[r.Key] = s.Pass
	}
	if s := r.Standing; s != nil && s.Issuer != (certs.PublicKey{}) {
		if ms.granted[s.Issuer] == nil {
			ms.granted[s.Issuer] = make(map[base.StatementName]bool)
		}
		if len(ms.granted[s.Issuer]) < pb.MaxKeep { // no removal keeps more, and an admin may sign without end
			ms.granted[s.Issuer][s.Name] = true
		}
	}
}

// maxPasses bounds the passes of members met that are remembered, for what they have said: it is
// proved to newcomers after they have left (a guess).
const maxPasses = 1024

// passesOfMet are those passes.
func (ms *members) passesOfMet() []*pb.Pass { return slices.Collect(maps.Values(ms.shown)) }

// signedBy adds to what the table has of an admin's statements those of members met, up to as many as
// a removal keeps.
func (ms *members) signedBy(admin certs.PublicKey, names [][]byte) [][]byte {
	for name := range ms.granted[admin] {
		if len(names) < pb.MaxKeep && !slices.ContainsFunc(names, func(b []byte) bool { return base.StatementName(b) == name }) {
			names = append(names, slices.Clone(name[:]))
		}
	}
	return names
}

// ownPass is this node's pass; nil: it has none, or the network is open.
func (ms *members) ownPass() *pb.Pass {
	m, _ := ms.state.Membership()
	return m.Pass
}

// admit judges the author of a letter.
func (ms *members) admit(id certs.ID, key certs.PublicKey, pass *pb.Pass) error {
	standing, err := base.OpenPass(pass, id, key)
	if err != nil {
		return err
	}
	author := &base.Record{ID: id, Key: key, Type: pb.AnnouncementType_JOIN, Standing: standing}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	barred, err := ms.passes.PassOf(author)
	claim := ms.passes.Claim(author)
	switch {
	case err != nil:
		return err
	case barred != nil:
		return fmt.Errorf("%s was removed from the network", id)
	case claim.And != nil && !claim.And.Valid():
		return errors.New("a pass that no admin has signed")
	}
	ms.passes.Learn(author)
	return nil
}

// note takes a removal, or takes one back.
func (ms *members) note(w base.RemovalWrite) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	k := outKey{w.ID, w.Key}
	if was := ms.out[k]; was != nil {
		ms.passes.Lift(was)
		delete(ms.out, k)
	}
	if w.Lifted {
		return
	}
	if record, err := base.OpenRemoval(w.Proof.GetRecord(), w.Proof.GetIssuer()); err == nil {
		ms.passes.Note(record)
		ms.out[k] = record
	}
}

// loadRemovals loads what earlier runs have heard of.
func loadRemovals(n *Node) (list []*pb.Announcement, err error) {
	err = n.disk.Load(store.Removed, func(_, value []byte) error {
		a := new(pb.Announcement)
		err := proto.Unmarshal(value, a)
		if err == nil {
			err = pb.CheckAnnouncement(a)
		}
		var r *base.Record
		if err == nil {
			r, err = base.OpenRemoval(a.GetRecord(), a.GetIssuer())
		}
		if err != nil {
			return damaged("removal", err)
		}
		list = append(list, a)
		n.members.note(base.RemovalWrite{ID: r.ID, Key: r.Key, Proof: a})
		n.expelled = append(n.expelled, outKey{r.ID, r.Key})
		return nil
	})
	return list, err
}

// storeRemoval stores a removal. The messages for whoever is out fail: at once, or when the program
// has had Ready.
func (l *loop) storeRemoval(w base.RemovalWrite) {
	n := l.node
	n.members.note(w)
	op := store.Op{Bucket: store.Removed, Key: slices.Concat(w.Key[:], []byte(w.ID))}
	n.expelled = slices.DeleteFunc(n.expelled, func(o outKey) bool { return o == outKey{w.ID, w.Key} })
	if w.Lifted {
		n.messages.Directory().Readmit(w.ID, w.Key)
	} else {
		value, err := proto.Marshal(w.Proof)
		if err != nil {
			return // it was read from the wire
		}
		op.Value = value
		n.expelled = append(n.expelled, outKey{w.ID, w.Key})
	}
	n.disk.Write(nil, op)
	select {
	case <-n.ready:
		l.expelWaiting()
	default:
	}
}

// expelWaiting has the messages fail for all who are out by now.
func (l *loop) expelWaiting() {
	n := l.node
	for _, o := range n.expelled {
		if n.messages.Directory().Expel(o.id, o.key) {
			n.disk.Write(nil, store.Op{Bucket: store.Peers, Key: []byte(o.id)})
		}
	}
	n.expelled = nil
}
