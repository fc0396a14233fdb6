package core

import (
	"slices"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/gossip"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/neighbours"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// A visitor keeps no identity, so nobody will look for it once it has gone: a script that says a
// line and leaves. It is not announced. Its door, and the peers it speaks to, hold it as a guest:
// an entry that their users see come and go like any other, but that no flood, table, digest,
// distance or list of neighbours mentions; and only the visitor itself can say that it is one.
// Its hosts flood announcements to it, but it is nobody's neighbour.
//
//	visitor                       door                     everyone else
//	   | HandshakeStart(visitor) -->|                           |
//	   |<-- table, announcements, broadcasts                    |
//	   | JOIN, when it stays ------>|-------------------------->|  flooded
//
// It stays when it is still here after a while, when it broadcasts, when what it sends can't go
// directly, and when somebody comes in through it. Then it says so by a new record, over all its
// links, and is a member like any other; so everybody is shown that it has joined before anything
// that it says.
const (
	visitFor = 2 * time.Second // a guess: a script is gone by then
	// guestSilent is how long a guest may be silent before it counts as gone: nobody else can be
	// asked about it. A guess: as long as it takes to believe that we hear nobody.
	guestSilent = link.IsolatedAfter
)

// visit handles visitors: whether we are one, and those that are our guests.
type visit struct {
	*base.Env
	table         *table.Table
	links         *link.Links
	doubt         *link.Doubt
	gossip        *gossip.Gossip
	neighbourhood *neighbours.Neighbourhood
	own           *own
	roll          *roll

	until  time.Duration // then we stay; 0: not ready yet
	stayed time.Duration // when we began to stay
	guests []guest
}

// guest is a visitor that has a link to us, or had one just now.
type guest struct {
	entry *table.Entry
	heard time.Duration
}

// stay makes a visitor a member.
func (vs *visit) stay() {
	if !vs.Visiting || vs.Leaving || vs.Ended {
		return
	}
	vs.Visiting, vs.stayed = false, vs.Now
	vs.Note(base.Debug, "stays, and is announced to all")
	vs.own.setOwnRecord(pb.AnnouncementType_JOIN, vs.table.Self.Record.Seq+1)
	for _, l := range vs.links.List {
		if l.State == link.LinkUp {
			vs.gossip.AnnounceTo(l, vs.table.Self)
		}
	}
	for _, l := range vs.links.List {
		if l.State == link.LinkUp && !l.Quiet && !l.LeadsToGuest() && neighbours.Short(vs.links.Degree()) > 0 {
			vs.neighbourhood.AskNeighbour(l)
		}
	}
}

// checkVisits lets us stay when it is time, and drops guests that have fallen silent. A guest
// that lives but has lost its link says soon that it stays.
func (vs *visit) checkVisits() {
	if vs.Visiting && vs.Ready {
		if vs.Now >= vs.until || vs.links.LinksUp() == 0 {
			vs.stay()
		} else {
			vs.Wake(vs.until)
		}
	}
	guests := vs.guests
	vs.guests = nil
	for _, g := range guests {
		e := g.entry
		if !e.IsGuest() || e.Buried() || vs.table.Lookup(e.Record.Tag, e.Record.ID, e.Record.Key) != e {
			continue
		}
		patience := vs.doubt.Stretch(guestSilent)
		if l := vs.links.LinkTo(e.Record.Key); l != nil {
			g.heard = max(g.heard, l.Heard)
			patience += l.Slowness()
		}
		if vs.doubt.Doubtful() || vs.Now-g.heard < patience {
			vs.guests = append(vs.guests, g)
			continue
		}
		vs.Note(base.Debug, "a visitor is not heard any more", "peer", string(e.Record.ID))
		vs.roll.evict(e)
		vs.Happen(departed{e})
	}
}

// told records a guest, or that one stays.
func (vs *visit) told(ch link.Change) {
	e := ch.Entry
	if e.IsGuest() && !e.Buried() && !slices.ContainsFunc(vs.guests, func(g guest) bool { return g.entry == e }) {
		vs.guests = append(vs.guests, guest{e, vs.Now})
	}
}

// departed: a guest has gone and left the table.
type departed struct{ entry *table.Entry }
