package core

import (
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
