package core

import (
	"fmt"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// A newcomer takes the whole table of one peer, a piece at a time. A door that is slow, or
// stuck, or worse, must not keep it from another that is none of these: so the next door is
// asked when those that were asked bring nothing, or are long at it, and the first table that
// is whole is enough. What came of the others is kept: it is signed.

// Times of it. The first is what a user notices; the others are guesses.
const (
	stuckAfter   = 2 * time.Second  // without a piece: the next door is asked
	longAtIt     = 10 * time.Second // then the next is asked as well; after twice that the third, and so on
	mostOvertime = 10 * time.Minute // above the time to join, while a table comes: 35 MB at 512 kbit/s
)

// minPace is how many entries of a table have to come in a second, in the mean, once the time
// to join is over: 64 kbit/s are 2 of the largest records, or 20 of the usual ones.
const minPace = 2

// maxFetched is more entries than any table has, which maxEntries bounds.
const maxFetched = 2 * maxEntries

// fetch is the taking of a whole table over a link.
type fetch struct {
	asked   time.Duration   // for the first piece
	moved   time.Duration   // when an entry came
	last    *Record         // the last entry that came; nil: none yet
	after   *Record         // behind which the piece is that was asked for last
	entries int             // that came
	next    *pb.SyncRequest // to be sent when less waits to be verified
	all     bool            // the last piece has come
}

// follows notes the next entry that comes, and says whether it lies behind all before it in
// the order of tables: who sends the same again and again gets nowhere.
func (f *fetch) follows(r *Record, now time.Duration) bool {
	if f.last != nil && compareNames(r, f.last) <= 0 || f.entries == maxFetched {
		return false
	}
	f.last, f.moved = r, now
	f.entries++
	return true
}

// requestTable asks for the whole table: one door, and the next one when that is due. Who has
// dialled us comes after those that we have dialled: it may be a newcomer like us. When the
// time to join is over all are asked.
func (sy *syncer) requestTable() {
	for {
		next, asked, stuck := (*link)(nil), 0, true
		newest := time.Duration(0)
		for _, l := range sy.links.list {
			switch {
			case l.state != linkUp:
			case l.fetch != nil:
				asked++
				newest = max(newest, l.fetch.asked)
				stuck = stuck && l.verifying == 0 && sy.now >= l.fetch.moved+stuckAfter
			case (next == nil || next.dial == nil && l.dial != nil) && sy.fetchFrom(l.key) == nil:
				next = l
			}
		}
		due := asked == 0 || stuck || sy.now >= newest+longAtIt<<min(asked-1, 16) || sy.joinBy != 0 && sy.now >= sy.joinBy
		if next == nil || !due {
			return
		}
		next.fetch = &fetch{asked: sy.now, moved: sy.now}
		sy.links.send(next, &pb.SyncRequest{})
	}
}

// fetchFrom is the taking of a peer's table, over whichever link to it; nil: it is not taken.
func (sy *syncer) fetchFrom(key certs.PublicKey) *fetch {
	for _, l := range sy.links.list {
		if l.key == key && l.state == linkUp && l.fetch != nil {
			return l.fetch
		}
	}
	return nil
}

// tableComes says that a table is on its way to us, fast enough to be waited for although the
// time to join is over.
func (sy *syncer) tableComes() bool {
	for _, l := range sy.links.list {
		f := l.fetch
		switch {
		case l.state != linkUp || f == nil || sy.now >= sy.joinBy+mostOvertime:
		case l.verifying > 0:
			return true
		case f.entries == 0:
			if sy.now < f.asked+stuckAfter {
				return true
			}
		case sy.now < f.moved+syncTimeout && f.entries >= minPace*int((sy.now-f.asked)/time.Second):
			return true
		}
	}
	return false
}

// receiveFetched notes what to ask for next of a whole table: what is behind the last that
// could be read. Where nothing in an answer could be, the rest can't be asked for.
func (sy *syncer) receiveFetched(l *link, reply *pb.SyncReply) {
	f := l.fetch
	n := len(reply.GetAnnouncements())
	switch {
	case reply.GetDone():
		f.all = true
	case n == 0:
		sy.links.violation(l, "an empty piece of a table that is not the last")
	case reply.GetLast() && f.last == f.after:
		f.all = true
	case reply.GetLast():
		f.next, f.after = &pb.SyncRequest{AfterId: string(f.last.ID), AfterKey: f.last.Key[:]}, f.last
	}
}

// continueFetch asks for more of a whole table, now that some of it is merged. With all of it
// a newcomer is ready, and takes no other to its end.
func (sy *syncer) continueFetch(l *link) {
	f := l.fetch
	switch {
	case f.all && l.verifying == 0:
		l.fetch = nil
		sy.happen(tableTaken{})
	case f.next != nil && sy.ready:
		l.fetch = nil
	case f.next != nil && l.verifying < maxVerifying:
		sy.links.send(l, f.next)
		f.next = nil
	}
	if l.fetch == nil && l.compareThen && l.neighbour {
		l.compareThen = false
		sy.compareTables(l)
	}
}

// doorEnded is the end of a link to a door that has let us in, if that was before we had a
// table. One that does not give us any is dialled again, more and more seldom.
func (jn *joiner) doorEnded(t *target, did string) {
	if jn.ready || jn.ended {
		return
	}
	t.broken++
	t.next = jn.now + jn.backoff(t.broken, maxBackoff)
	t.why = "let us in, and " + did
}

// tableSoFar says to people what a door that has let us in has done since then.
func (sy *syncer) tableSoFar(t *target) string {
	for _, l := range sy.links.list {
		if l.state != linkUp || l.door != t {
			continue
		}
		switch f := sy.fetchFrom(l.key); {
		case f == nil:
			return "let us in, and was not asked for its table"
		case f.entries > 0:
			return fmt.Sprintf("let us in, and sent %d entries of its table, but not all of it", f.entries)
		}
	}
	return "let us in, and its table did not come"
}
