package core

import (
	"quicpeer/pb"
	"time"
)

// change is what the table has learnt of a peer.
type change struct {
	entry *entry
	news  news
	from  *link // that it came by; nil: none

	// What the table had before; of a peer that it did not have, nothing.
	old      *Record
	was      version
	said     time.Duration
	wasAlive bool // or suspect

	evicted *entry // that had to make room; nil: none
}

// begins says that the run is new to us.
func (ch *change) begins() bool { return ch.old == nil || ch.news.record.Epoch > ch.was.epoch }

// refutes says that the peer was called lost and is here.
func (ch *change) refutes() bool {
	return ch.was.state == pb.AnnouncementType_LOST && ch.news.state == pb.AnnouncementType_JOIN
}
