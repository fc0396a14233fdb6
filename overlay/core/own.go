package core

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/gossip"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Bounds of what we say of ourselves, guesses unless said otherwise.
const (
	refuteEvery = 200 * time.Millisecond // well below SuspectFor
	renewEvery  = 8 * time.Hour
	renewPause  = 1 * time.Second // between two records for new addresses, rooms or tags
	// nearRoundTrip is a round trip that need not be told: the time to refute covers it.
	nearRoundTrip = 100 * time.Millisecond
	measureFirst  = 2 * time.Second  // from our start until we say how far away we are
	measureEvery  = 30 * time.Second // and later
	// twinsFor is how long after its admission a peer stops for another that has started when it has:
	// a flood takes a second at most, and the wait for a silent door 3 s.
	twinsFor   = 10 * time.Second
	twinsApart = 60_000 // milliseconds between the epochs of the two, whose clocks may differ
	maxRivals  = 8      // that are logged
)

// own handles what we announce about ourselves.
type own struct {
	*base.Env
	table  *table.Table
	links  *link.Links
	routes *route.Routes
	where  *reach.Whereabouts
	gossip *gossip.Gossip

	refuting    bool
	refuteTo    base.LinkID // the link that last brought a LOST of us; 0: none in particular
	refuteAbove uint32      // the seq that it named
	nextRefute  time.Duration
	renewAt     time.Duration
	changeAt    time.Duration // when our addresses, rooms and tags may be announced next
	pending     bool          // they may have to be, once that is possible
	far         time.Duration // the round trip that our record says
	least       time.Duration // the least since it was judged; 0: nothing was measured
	measureAt   time.Duration // when it is judged next

	admitted time.Duration     // when a door has let us in, or we have begun a network
	rivals   []certs.PublicKey // that claim our ID, as the log has said
}

// setOwnRecord signs a new statement about ourselves and puts it into the table.
func (ow *own) setOwnRecord(state pb.AnnouncementType, seq uint32) {
	key := ow.Cfg.Identity.Key()
	record := &pb.Record{
		Type: state, Id: string(ow.Cfg.ID), Key: key[:], Network: ow.Cfg.InRecords(),
		Epoch: ow.Cfg.Epoch, Nonce: ow.Cfg.Nonce, Seq: seq, Visitor: ow.Visiting, Pass: ow.Cfg.Pass,
	}
	if state == pb.AnnouncementType_JOIN {
		addresses, observed := ow.where.Reachable()
		record.Addresses, record.Observed = reach.Texts(addresses), reach.Texts(observed)
		sealing := ow.Cfg.Identity.SealingKey()
		record.SealingKey = sealing[:]
		record.Rooms, record.Tags, record.RoundTrip = ow.Cfg.Rooms, []byte(ow.Cfg.Tags), uint32(ow.far.Milliseconds())
		if slices.Contains(ow.Cfg.Features, pb.FeatureData) {
			record.Features = []uint32{pb.FeatureData}
		}
	}
	if ow.Cfg.Invent != nil {
		ow.Cfg.Invent(record)
	}
	if ow.Cfg.Pass != nil {
		record.Id, record.Key = "", nil // as in the pass
	}
	signed := ow.Cfg.Identity.SignRecord(record)
	record.Id, record.Key = string(ow.Cfg.ID), key[:]
	r := base.NewRecord(record, signed)
	if ow.Cfg.Pass != nil {
		r.Standing, _ = base.OpenPass(ow.Cfg.Pass, ow.Cfg.ID, key) // it was checked when we got it
	}
	if ow.table.Self == nil {
		ow.table.Self = table.NewEntry(r, state, ow.Now)
		ow.table.Insert(ow.table.Self)
	}
	ow.table.Set(ow.table.Self, r, state)
	ow.table.Self.Said = ow.Now
	if seq == 0 {
		ow.table.Self.Began = ow.Now
	}
}

// learnOfSelf takes a statement about ourselves that is greater than ours, and not ours or not of
// this run. To a LOST we answer by a higher seq, SWIM's incarnation. A later epoch is a newer run
// if we are a member already; else a run from before the clock went back. The sender is answered
// even if it is not a neighbour.
func (ow *own) learnOfSelf(from *link.Link, n link.News) {
	if ow.Leaving {
		return
	}
	if n.State == pb.AnnouncementType_REMOVED {
		ow.Happen(base.Failed{Why: &base.RemovedError{By: n.Record.Standing.By}})
		return
	}
	epoch := n.Record.Epoch
	later := epoch > ow.Cfg.Epoch || n.State == pb.AnnouncementType_JOIN || // of this epoch, and not by us
		ow.Untried && n.Record.Nonce != ow.Cfg.Nonce
	switch {
	case later && ow.Accepted && !ow.Untried:
		ow.Happen(base.Failed{Why: &base.StartedElsewhereError{}})
	case later:
		ow.raiseEpoch(epoch) // others know of us before a door has let us in
		ow.gossip.Flood(from, ow.table.Self)
		if from != nil {
			ow.gossip.AnnounceTo(from, ow.table.Self)
		}
	default:
		ow.refuteAbove = max(ow.refuteAbove, n.Record.Seq)
		ow.refuting = true
		if from != nil {
			ow.refuteTo = from.ID
		}
		ow.refute()
	}
}

// refute announces that we are alive, at most once in refuteEvery: a peer that says LOST without
// end must not make us flood without end.
func (ow *own) refute() {
	if !ow.refuting || ow.Leaving {
		return
	}
	if ow.Now < ow.nextRefute {
		ow.Wake(ow.nextRefute)
		return
	}
	ow.Tell(base.Debug, base.Refutation, "refuting")
	ow.nextRefute = ow.Now + refuteEvery
	ow.setOwnRecord(pb.AnnouncementType_JOIN, max(ow.refuteAbove, ow.table.Self.Record.Seq)+1)
	from := ow.links.Link(ow.refuteTo)
	ow.refuting, ow.refuteTo = false, 0
	ow.gossip.Flood(from, ow.table.Self)
	if from != nil && from.State == link.LinkUp {
		ow.gossip.AnnounceTo(from, ow.table.Self)
	}
}

// raiseEpoch makes this run later than the given epoch.
func (ow *own) raiseEpoch(above uint64) {
	ow.Cfg.Epoch = above + 1
	ow.Out.Epoch = ow.Cfg.Epoch
	ow.setOwnRecord(pb.AnnouncementType_JOIN, 0)
}

// accepted: a door has let us in, or we have begun a network.
func (ow *own) accepted() {
	if !ow.Accepted {
		ow.Accepted, ow.admitted = true, ow.Now
	}
}

// checkOwnID judges another living key that claims our ID. In a private network passes say whose it
// is. In an open one a claim proves nothing, so both stay, each known by the ID to those that met it
// first; but of two that have started at the same time, at two doors that could not know of each
// other, the younger stops.
func (ow *own) checkOwnID(e *table.Entry) {
	if e.Record.ID != ow.Cfg.ID || e == ow.table.Self || !e.Alive() || ow.Leaving {
		return
	}
	rival := e.Record
	if private := ow.Passes.Private(); private || ow.isTwin(rival) {
		if base.Older(rival, ow.table.Self.Record) {
			ow.Note(base.Warn, "another peer owns this ID", "id", string(rival.ID), "key", rival.Key.String())
			ow.Happen(base.Failed{Why: &base.DuplicateIDError{Holder: rival.Key}})
			return
		}
		ow.gossip.Flood(nil, ow.table.Self)
		return
	}
	if !slices.Contains(ow.rivals, rival.Key) && len(ow.rivals) < maxRivals {
		ow.rivals = append(ow.rivals, rival.Key)
		ow.Note(base.Warn, "another peer calls itself as this one does: each is known by the ID to those who met it first, and to others by a longer name", "id", string(rival.ID), "key", rival.Key.String())
	}
}

// isTwin reports whether a peer that claims our ID has started when we have: we hear of it moments
// after we were let in, and it says so itself.
func (ow *own) isTwin(rival *base.Record) bool {
	apart := max(rival.Epoch, ow.Cfg.Epoch) - min(rival.Epoch, ow.Cfg.Epoch)
	return (!ow.Accepted || ow.Now <= ow.admitted+twinsFor) && apart <= twinsApart
}

// describe announces our rooms and tags.
func (ow *own) describe(rooms []string, tags string) {
	ow.Cfg.Rooms, ow.Cfg.Tags = slices.Clone(rooms), tags
	ow.renewChanged()
}

// renewChanged announces what our record says of us if that has changed.
func (ow *own) renewChanged() {
	ow.pending = !ow.Accepted
	if ow.table.Self == nil || ow.Ended || ow.Leaving || !ow.Accepted {
		return
	}
	addresses, observed := ow.where.Reachable()
	said := ow.table.Self.Record
	if slices.Equal(reach.Texts(addresses), said.Addresses) && slices.Equal(reach.Texts(observed), said.Observed) &&
		slices.Equal(ow.Cfg.Rooms, said.Rooms) && ow.Cfg.Tags == said.Tags && ow.far == said.RoundTrip {
		return
	}
	if ow.Now < ow.changeAt {
		ow.pending = true
		ow.Wake(ow.changeAt)
		return
	}
	ow.changeAt = ow.Now + renewPause
	ow.setOwnRecord(pb.AnnouncementType_JOIN, said.Seq+1)
	for _, l := range ow.links.List { // peers that are not neighbours dial us as well
		if l.State == link.LinkUp {
			ow.gossip.AnnounceTo(l, ow.table.Self)
		}
	}
}

// measure finds out how far away we are from the others, and tells them when that has changed. It is the
// least of a while that counts. Round trips rise with the load as well, and a new record is one more
// signature for everybody to verify: were it told at once, a busy network would make itself busier.
func (ow *own) measure() {
	if median := ow.medianRoundTrip(); median > 0 && (ow.least == 0 || median < ow.least) {
		ow.least = median
	}
	if ow.Now < ow.measureAt {
		return
	}
	ow.measureAt = ow.Now + measureEvery
	if ow.least > 0 {
		ow.far = toldRoundTrip(ow.least, ow.far)
	}
	ow.least = 0
	ow.renewChanged()
}

// medianRoundTrip is that of our links; 0: there are none.
func (ow *own) medianRoundTrip() time.Duration {
	var all []time.Duration
	for _, l := range ow.links.List {
		if l.State == link.LinkUp && l.RoundTrip > 0 {
			all = append(all, l.RoundTrip)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

// toldRoundTrip is what a record says of a round trip, where the last one has said that: the next power of
// two, so that it seldom changes.
func toldRoundTrip(measured, said time.Duration) time.Duration {
	switch {
	case measured <= said && measured > said/4:
		return said
	case measured <= nearRoundTrip:
		return 0
	}
	step := 2 * nearRoundTrip
	for step < measured && step < base.MaxRoundTrip {
		step *= 2
	}
	return min(step, base.MaxRoundTrip)
}

// renew prolongs the lease of our JOIN.
func (ow *own) renew() {
	if ow.Now >= ow.renewAt && !ow.Leaving {
		ow.renewAt = ow.Now + renewEvery
		ow.setOwnRecord(pb.AnnouncementType_JOIN, ow.table.Self.Record.Seq+1)
		ow.gossip.Flood(nil, ow.table.Self)
	}
}
