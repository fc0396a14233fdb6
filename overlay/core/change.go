package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"time"
)

// change is one update of the table, told to every machine.
type change struct {
	entry *entry
	news  news
	from  *link // it came by; nil: none

	// The entry before the update; zero if there was none.
	old      *Record
	was      version
	said     time.Duration
	wasAlive bool // or suspect

	waiting []LinkID // those that wait for a refutation, see tellAccused
	evicted *entry   // that had to make room; nil: none
}

// begins reports whether the run is new to us.
func (ch *change) begins() bool { return ch.old == nil || ch.news.record.Epoch > ch.was.epoch }

// refutes reports whether a peer that was called lost is here.
func (ch *change) refutes() bool {
	return ch.was.state == pb.AnnouncementType_LOST && ch.news.state == pb.AnnouncementType_JOIN
}

// news is an announcement that has been opened.
type news struct {
	record   *Record
	state    pb.AnnouncementType
	hops     uint32
	said     time.Duration
	accusers []certs.ID // members that do not reach a lost peer
	ours     bool       // found by a probe of our own
	// broadcasts is how many broadcasts of the run the sender has had.
	broadcasts uint64
}

func (n *news) version() version { return version{n.record.Epoch, n.record.Seq, n.state, n.record.tie} }

// began is when the run begins, if this is its first announcement; else 0.
func (n *news) began() time.Duration {
	if n.state == pb.AnnouncementType_JOIN && n.record.Seq == 0 {
		return n.said
	}
	return 0
}

func (n *news) claim() Claim { return Claim{Key: n.record.Key, Signed: n.record.Signed} }

// credible reports whether an announcement of a visitor comes from the visitor itself; all others
// are credible. So no peer can make another one visible to a single peer by calling it that
// peer's visitor.
func (n *news) credible(from *link) bool {
	return !n.record.Visitor || from != nil && from.key == n.record.Key && n.state != pb.AnnouncementType_LOST
}

// suspectFrom begins the suspicion of a peer that is called lost, and ends that of others.
func (ch *change) suspectFrom(db *doubt) {
	e := ch.entry
	ch.waiting = e.our().waiting
	switch lost := e.state == pb.AnnouncementType_LOST; {
	case lost:
		e.with().suspicion = suspicion{accusers: ch.news.accusers, ours: ch.news.ours}
		if ch.wasAlive {
			e.side.since = db.now
			db.giveTime(e)
		}
	case e.side != nil:
		e.side.suspicion = suspicion{}
	}
}
