package link

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Change is one update of the table, told to every machine.
type Change struct {
	Entry *table.Entry
	News  News
	From  *Link // it came by; nil: none

	// The entry before the update; zero if there was none.
	Old      *base.Record
	Was      base.Version
	Said     time.Duration
	WasAlive bool // or suspect

	Waiting []base.LinkID // those that wait for a refutation, see TellAccused
	Evicted *table.Entry  // that had to make room; nil: none
}

// Begins reports whether the run is new to us.
func (ch *Change) Begins() bool { return ch.Old == nil || ch.News.Record.Epoch > ch.Was.Epoch }

// Refutes reports whether a peer that was called lost is here.
func (ch *Change) Refutes() bool {
	return ch.Was.State == pb.AnnouncementType_LOST && ch.News.State == pb.AnnouncementType_JOIN
}

// News is an announcement that has been opened.
type News struct {
	Record   *base.Record
	State    pb.AnnouncementType
	Hops     uint32
	Said     time.Duration
	Accusers []certs.ID // members that do not reach a lost peer
	Ours     bool       // found by a probe of our own
	// Broadcasts is how many broadcasts of the run the sender has had.
	Broadcasts uint64
	Later      bool // we are joining, and the door has met another key of the ID before
}

func (n *News) Version() base.Version {
	return base.Version{Rank: n.Record.Rank(), Epoch: n.Record.Epoch, Seq: n.Record.Seq, State: n.State, Tie: n.Record.Tie}
}

// Began is when the run begins, if this is its first announcement; else 0.
func (n *News) Began() time.Duration {
	if n.State == pb.AnnouncementType_JOIN && n.Record.Seq == 0 {
		return n.Said
	}
	return 0
}

// Credible reports whether an announcement of a visitor comes from the visitor itself; all others
// are credible. So no peer can make another one visible to a single peer by calling it that
// peer's visitor.
func (n *News) Credible(from *Link) bool {
	return !n.Record.Visitor || from != nil && from.Key == n.Record.Key && n.State != pb.AnnouncementType_LOST
}

// SuspectFrom begins the suspicion of a peer that is called lost, and ends that of others.
func (ch *Change) SuspectFrom(db *Doubt) {
	e := ch.Entry
	ch.Waiting = e.Our().Waiting
	switch lost := e.State == pb.AnnouncementType_LOST; {
	case lost:
		e.With().Suspicion = table.Suspicion{Accusers: ch.News.Accusers, Ours: ch.News.Ours}
		if ch.WasAlive {
			e.Side.Since = db.Now
			db.GiveTime(e)
		}
	case e.Side != nil:
		e.Side.Suspicion = table.Suspicion{}
		if ch.Refutes() && db.Now < ch.Said+table.SuspectAlone+base.MaxRoundTrip { // it was not away
			e.Side.Refuted = db.Now
		}
	}
}
