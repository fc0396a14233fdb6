package core

import (
	"bytes"

	"quicpeer/certs"
	"quicpeer/pb"
)

// requestSync asks for the other side's whole table, a piece at a time. The
// pieces are asked for, so that a table of any size never waits in a queue.
// While that is under way it is noted to be done again: what the other side
// learns before it takes us for its neighbour comes neither with the pieces that
// it has sent nor by itself.
func (c *Core) requestSync(l *link) {
	if l.syncing {
		l.syncAgain = true
		return
	}
	l.syncing, l.syncAgain, l.synced = true, false, c.now
	c.send(l, &pb.SyncRequest{Digest: c.table.digest()})
}

// receiveSyncRequest sends the next piece of our table, or says that the asker
// has the same.
func (c *Core) receiveSyncRequest(l *link, request *pb.SyncRequest) {
	var rest []*entry
	switch {
	case len(request.GetAfterKey()) != 0:
		rest = c.table.after(certs.ID(request.GetAfterId()), certs.PublicKey(request.GetAfterKey()))
	case !bytes.Equal(request.GetDigest(), c.table.digest()):
		rest = c.table.entries
	}
	piece := make([]*pb.Announcement, 0, min(len(rest), pb.MaxAnnouncements))
	for _, e := range rest[:min(len(rest), pb.MaxAnnouncements)] {
		piece = append(piece, c.announcement(e, c.hops(e)))
	}
	n := takeBatch(piece)
	c.send(l, &pb.SyncReply{Announcements: piece[:n], Done: n == len(rest)})
}

// receiveSyncReply merges a piece and asks for the next. With the last one a
// newcomer is ready.
func (c *Core) receiveSyncReply(l *link, reply *pb.SyncReply) {
	if !l.syncing {
		c.violation(l, "a table that was not asked for")
		return
	}
	l.synced = c.now
	for _, a := range reply.GetAnnouncements() {
		if !c.learn(l, a) || c.ended {
			return
		}
	}
	if reply.GetDone() {
		l.syncing = false
		if l.syncAgain {
			c.requestSync(l)
		}
		c.becomeReady()
		return
	}
	if len(reply.GetAnnouncements()) == 0 {
		c.violation(l, "an empty piece of a table that is not the last")
		return
	}
	last, err := pb.ParseRecord(reply.GetAnnouncements()[len(reply.GetAnnouncements())-1].GetRecord())
	if err != nil {
		return // learn has judged it
	}
	c.send(l, &pb.SyncRequest{AfterId: last.GetId(), AfterKey: last.GetKey()})
}
