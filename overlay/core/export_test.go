package core

import (
	"flag"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// The parts of a core that the simulations, which are of package core_test, look into.

// SimSeeds makes simulations longer.
var SimSeeds = flag.Int("sim.seeds", 0, "run each simulation with so many seeds")

const (
	WantHolders  = wantHolders
	QuietAfter   = quietAfter
	HealEvery    = healEvery
	LostBackoff  = lostBackoff
	DialTimeout  = dialTimeout
	RememberLeft = rememberLeft
	VisitFor     = visitFor
	GuestSilent  = guestSilent
	HoldFor      = holdFor
)

// LinkView is a link.
type LinkView struct {
	Peer          certs.ID
	Key           certs.PublicKey
	Up, Neighbour bool
}

// View is one of the links; zero if the number is not known.
func (c *Core) View(id LinkID) LinkView {
	l := c.links.link(id)
	if l == nil {
		return LinkView{}
	}
	return LinkView{l.peer, l.key, l.state == linkUp, l.neighbour}
}

// Degree counts neighbours; crowded says that they are more than usual although one can be spared.
func (c *Core) Degree() (neighbours int, crowded bool) {
	n := c.links.degree()
	return n, n > MaxNeighbours && c.neighbourhood.spare() != nil
}

func (c *Core) Linked(key certs.PublicKey) bool { return c.links.linkTo(key) != nil }
func (c *Core) HasWay(id certs.ID) bool {
	return c.routes.nextHop(&pb.Routed{To: string(id)}) != nil
}

// EntryView is an entry of the table.
type EntryView struct {
	*Record
	Alive bool
}

func (c *Core) Entries() (list []EntryView) {
	for _, e := range c.table.entries {
		list = append(list, EntryView{e.record, e.alive()})
	}
	return list
}

// EpochOf is the epoch of the run of a peer in the table.
func (c *Core) EpochOf(id certs.ID, key certs.PublicKey) uint64 {
	if e := c.table.get(id, key); e != nil {
		return e.record.Epoch
	}
	return 0
}

// Said is what the peer announces about itself.
func (c *Core) Said() *pb.Announcement { return c.gossip.announcement(c.table.self) }

// Invent makes a peer one of a future version.
func (c *Config) Invent(feature uint32, record func(*pb.Record)) {
	c.features, c.invent = []uint32{feature}, record
}

// Knows reports whether the peer at the other end of a link has named a feature.
func (c *Core) Knows(id LinkID, feature uint32) bool { return c.links.link(id).foreign.knows(feature) }

func Encode(content proto.Message) []byte { return encode(content) }

func InventedField(size int) []byte { return inventedField(size) }
