package core

import (
	"flag"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/broadcast"
	"quicpeer/overlay/core/custody"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/neighbours"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// The parts of a core that the simulations, which are of package core_test, look into.

// SimSeeds makes simulations longer.
var SimSeeds = flag.Int("sim.seeds", 0, "run each simulation with so many seeds")

const (
	WantHolders  = custody.WantHolders
	QuietAfter   = link.QuietAfter
	HealEvery    = neighbours.HealEvery
	LostBackoff  = base.LostBackoff
	DialTimeout  = reach.DialTimeout
	RememberLeft = table.RememberLeft
	VisitFor     = visitFor
	GuestSilent  = guestSilent
	HoldFor      = broadcast.HoldFor
)

// LinkView is a link.
type LinkView struct {
	Peer          certs.ID
	Key           certs.PublicKey
	Up, Neighbour bool
}

// View is one of the links; zero if the number is not known.
func (c *Core) View(id base.LinkID) LinkView {
	l := c.links.Link(id)
	if l == nil {
		return LinkView{}
	}
	return LinkView{l.Peer, l.Key, l.State == link.LinkUp, l.Neighbour}
}

// Degree counts neighbours; crowded says that they are more than usual although one can be spared.
func (c *Core) Degree() (neighbours int, crowded bool) {
	n := c.links.Degree()
	return n, n > table.MaxNeighbours && c.neighbourhood.Spare() != nil
}

func (c *Core) Linked(key certs.PublicKey) bool { return c.links.LinkTo(key) != nil }
func (c *Core) HasWay(id certs.ID) bool {
	return c.routes.NextHop(&pb.Routed{To: string(id)}) != nil
}

// EntryView is an entry of the table.
type EntryView struct {
	*base.Record
	Alive bool
}

func (c *Core) Entries() (list []EntryView) {
	for _, e := range c.table.Entries {
		list = append(list, EntryView{e.Record, e.Alive()})
	}
	return list
}

// EpochOf is the epoch of the run of a peer in the table.
func (c *Core) EpochOf(id certs.ID, key certs.PublicKey) uint64 {
	if e := c.table.Get(id, key); e != nil {
		return e.Record.Epoch
	}
	return 0
}

// Said is what the peer announces about itself.
func (c *Core) Said() *pb.Announcement { return c.gossip.Announcement(c.table.Self) }

// Knows reports whether the peer at the other end of a link has named a feature.
func (c *Core) Knows(id base.LinkID, feature uint32) bool {
	return c.links.Link(id).Foreign.Knows(feature)
}

func Encode(content proto.Message) []byte { return base.Encode(content) }

func InventedField(size int) []byte { return inventedField(size) }
