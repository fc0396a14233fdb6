package core

import (
	"fmt"
	"math"
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
)

// syncer makes tables equal, range by range (see ranges.go), over the links to other peers:
//
//	asker                                  other side
//	   | Reconcile(fingerprint of all) ------->|
//	   |<------------- Reconcile(answer), without ranges: equal; else
//	   |<------------- Reconcile(answer), what it has in the parts that differ
//	   | Reconcile(...) and Propagation ------>| what we have there, and what it lacks
//	   |<------------- Reconcile(answer) with announcements, then with what is left
//
// and so on until an answer leaves nothing. Only the asker has a state: the other side answers
// each question by itself. Of two new neighbours the one whose request was accepted asks; by
// then both flood to each other, so that no change meanwhile is lost. A newcomer asks doors in
// the same way, and is ready when one of these exchanges is over; a second door sends what the
// first has not brought.
//
// An exchange ends whatever the other side says: an answer may describe only parts of what was
// asked about, and leave something open only behind maxAnswer announcements. It has at most
// twice as many, each behind the last in the order of tables, and an exchange maxFetched. No
// more is asked for until most of them are verified.
type syncer struct {
	*env
	table  *table
	links  *links
	gossip *gossip

	batches     map[VerifyID]*batch // what is being verified
	judged      map[uint64]*Record  // the records in them, by tie
	lastVerify  VerifyID
	nextCompare time.Duration
	compareAll  bool // with every neighbour, now
}

// Bounds of an exchange, and its times (guesses).
const (
	maxVerifying  = 8                      // batches; no more is asked for until fewer are being verified
	comparedBurst = 10 * maxEntries        // entries of ours in questions of one link, at once
	comparedEach  = 100 * time.Microsecond // and later
	compareEvery  = time.Minute            // with one random neighbour, in case a flood has missed us
)

// compareTables has our table compared with a neighbour's, once an exchange under way is over.
func (sy *syncer) compareTables(l *link) {
	l.due = true
	sy.beginDue(l)
}

func (sy *syncer) beginDue(l *link) {
	if l.due && l.neighbour && sy.ready && l.exchange == nil {
		l.due = false
		l.exchange = &exchange{began: sy.now, moved: sy.now}
		sy.put(l, sy.table.everything())
	}
}

// put asks a question.
func (sy *syncer) put(l *link, ranges ...*pb.TableRange) {
	l.exchange.asked = ranges
	sy.links.send(l, &pb.Reconcile{Ranges: ranges})
}

// receiveReconcile takes a question, or a part of an answer. News in it is verified off the
// loop, so that a large table stalls nothing, and then merged.
func (sy *syncer) receiveReconcile(l *link, m *pb.Reconcile) {
	if !m.GetAnswer() {
		sy.answer(l, m.GetRanges())
		return
	}
	x := l.exchange
	if x == nil || x.asked == nil {
		sy.links.violation(l, "a table that was not asked for")
		return
	}
	b := &batch{link: l.id}
	for _, a := range m.GetAnnouncements() {
		n, ok := sy.gossip.open(l, a)
		if !ok {
			return
		}
		if n.record == nil {
			continue
		}
		if !x.follows(n.record) {
			sy.links.violation(l, "a piece of a table that does not go on")
			return
		}
		if sy.gossip.isNews(l, n) && !sy.isJudged(n) {
			b.add(n)
		}
	}
	x.moved, x.piece = sy.now, x.piece+len(m.GetAnnouncements())
	switch {
	case x.piece > 2*maxAnswer:
		sy.links.violation(l, "a piece of a table that has no end")
		return
	case slices.ContainsFunc(m.GetRanges(), x.isForeign):
		sy.links.violation(l, "a range of a table that was not asked about")
		return
	case len(m.GetAnnouncements()) == 0:
		x.open = slices.Concat(m.GetRanges(), x.open)
		x.asked, x.last, x.piece = nil, nil, 0
	}
	sy.verify(l, b)
}

// answer answers a question, unless the link has asked too many: then its exchange ends, as the
// answer does not come.
func (sy *syncer) answer(l *link, ranges []*pb.TableRange) {
	hashed := 0
	for _, r := range ranges {
		if r.GetKind() != pb.RangeKind_HELD { // of which few are looked at
			hashed += len(sy.table.in(r.GetFirst(), r.GetLast()))
		}
	}
	if !l.compared.spend(sy.now, comparedBurst*comparedEach, time.Duration(hashed)*comparedEach) {
		sy.note(Debug, "too many questions about our table from one link, dropped", "peer", string(l.peer))
		return
	}
	end := &pb.Reconcile{Answer: true}
	var list []*entry
	for _, r := range ranges {
		if len(list) >= maxAnswer {
			end.Ranges = append(end.Ranges, &pb.TableRange{First: r.GetFirst(), Last: r.GetLast()})
			continue
		}
		lacks, back := sy.table.compare(r, maxAnswer-len(list))
		list, end.Ranges = append(list, lacks...), append(end.Ranges, back...)
	}
	said := sy.gossip.announcements(list)
	for len(said) > 0 {
		n := takeBatch(said)
		sy.links.send(l, &pb.Reconcile{Answer: true, Announcements: said[:n]})
		said = said[n:]
	}
	sy.links.send(l, end)
}

// continueSync goes on with an exchange, now that some of what came is merged: it asks about the
// ranges that are open, and announces what the other side lacks in them, at most so much at once
// as an answer does. Without any the exchange is over, and a newcomer is ready.
func (sy *syncer) continueSync(l *link) {
	x := l.exchange
	if x == nil || x.asked != nil || l.verifying >= maxVerifying {
		return
	}
	var ask []*pb.TableRange
	for said, parts := 0, 0; len(x.open) > 0 && parts < pb.MaxTableRanges/2 && (said < maxAnswer || parts == 0); {
		lacks, back := sy.table.compare(x.open[0], maxAnswer-said)
		x.open = x.open[1:]
		for _, e := range lacks {
			sy.gossip.announceTo(l, e)
		}
		said += len(lacks)
		for _, r := range back {
			if r.GetKind() == pb.RangeKind_OPEN {
				r = sy.table.describe(r.GetFirst(), r.GetLast())
			}
			ask = append(ask, r)
			if parts++; r.GetKind() == pb.RangeKind_FINGERPRINTS {
				parts += len(r.GetHashes()) - 1
			}
		}
	}
	switch {
	case len(ask) > 0:
		sy.put(l, ask...)
	case l.verifying == 0:
		l.exchange = nil
		if !sy.ready {
			sy.happen(tableTaken{})
		}
		sy.beginDue(l)
	}
}

// batch is news from a table that is being verified.
type batch struct {
	link   LinkID
	news   []news
	claims []Claim
}

func (b *batch) add(n news) {
	b.news = append(b.news, n)
	b.claims = append(b.claims, n.claim())
}

// verify has the signatures of a batch judged, off the loop.
func (sy *syncer) verify(l *link, b *batch) {
	l.verifying++
	if len(b.claims) == 0 {
		sy.happen(judged{b, nil})
		return
	}
	for _, n := range b.news {
		if n.state == n.record.Type { // a LOST is not the JOIN that it carries
			sy.judged[n.record.tie] = n.record
		}
	}
	sy.lastVerify++
	sy.batches[sy.lastVerify] = b
	sy.out.Verify = append(sy.out.Verify, Verify{sy.lastVerify, b.claims})
}

// verified takes a batch whose signatures have been judged; nil if the name is not known.
func (sy *syncer) verified(id VerifyID) *batch {
	b := sy.batches[id]
	if b == nil {
		return nil
	}
	delete(sy.batches, id)
	for _, n := range b.news {
		delete(sy.judged, n.record.tie)
	}
	return b
}

// isJudged reports whether the very same statement is being verified already: a newcomer hears
// everything from several sides at once.
func (sy *syncer) isJudged(n news) bool {
	r := sy.judged[n.record.tie]
	return r != nil && n.state == r.Type && (r == n.record || proto.Equal(r.Signed, n.record.Signed))
}

// compareNow compares tables with one random neighbour now and then, in case a flood has missed
// us, with all of them after we have found missing peers, and with those due.
func (sy *syncer) compareNow() {
	var list []*link
	for _, l := range sy.links.list {
		if l.neighbour {
			l.due = l.due || sy.compareAll
			list = append(list, l)
		}
	}
	if len(list) == 0 {
		return
	}
	if !sy.compareAll && sy.now >= sy.nextCompare {
		sy.nextCompare = sy.now + compareEvery/2 + sy.jitter(compareEvery)
		list[sy.cfg.Rand.IntN(len(list))].due = true
	}
	sy.compareAll = false
	for _, l := range list {
		sy.beginDue(l)
	}
}

// Times of the taking of a table by a newcomer. A slow, stuck or hostile door must not keep it from a good one: so the
// next door is asked when those asked so far bring nothing, or take long. The user notices the
// first of these; the others are guesses.
const (
	stuckAfter   = 2 * time.Second  // without an answer, before the next door is asked
	longAtIt     = 10 * time.Second // before a second door is asked as well; after twice that a third, and so on
	mostOvertime = 10 * time.Minute // above the time to join, while a table comes: 35 MB at 512 kbit/s
)

// minPace is how many entries of a table have to come in a second, in the mean, once the time
// to join is over: 64 kbit/s are 2 of the largest records, or 20 of the usual ones.
const minPace = 2

// requestTable asks one door for its table, and the next one when that is due. Peers that have
// dialled us come after those that we have dialled, since they may be newcomers too. When the
// time to join is over all are asked.
func (sy *syncer) requestTable() {
	for {
		next, asked, stuck := (*link)(nil), 0, true
		newest := time.Duration(0)
		for _, l := range sy.links.list {
			switch x := l.exchange; {
			case l.state != linkUp:
			case x != nil:
				asked++
				newest = max(newest, x.began)
				stuck = stuck && l.verifying == 0 && sy.now >= x.moved+stuckAfter
			case (next == nil || next.dial == nil && l.dial != nil) && sy.exchangeWith(l.key) == nil:
				next = l
			}
		}
		due := asked == 0 || stuck || sy.now >= newest+longAtIt<<min(asked-1, 16) || sy.joinBy != 0 && sy.now >= sy.joinBy
		if next == nil || !due {
			return
		}
		next.exchange = &exchange{began: sy.now, moved: sy.now}
		sy.put(next, sy.table.describe(0, math.MaxUint64))
	}
}

// exchangeWith is the exchange with a peer, over whichever link to it; nil if none is under way.
func (sy *syncer) exchangeWith(key certs.PublicKey) *exchange {
	for _, l := range sy.links.list {
		if l.key == key && l.state == linkUp && l.exchange != nil {
			return l.exchange
		}
	}
	return nil
}

// tableComes reports whether a table is coming fast enough to wait for it although the time to
// join is over.
func (sy *syncer) tableComes() bool {
	for _, l := range sy.links.list {
		x := l.exchange
		switch {
		case l.state != linkUp || x == nil || sy.now >= sy.joinBy+mostOvertime:
		case l.verifying > 0, x.entries == 0 && sy.now < x.began+stuckAfter:
			return true
		case x.entries > 0 && sy.now < x.moved+syncTimeout && x.entries >= minPace*int((sy.now-x.began)/time.Second):
			return true
		}
	}
	return false
}

// tableSoFar describes, for the user, what a door has done since it let us in.
func (sy *syncer) tableSoFar(t *target) string {
	for _, l := range sy.links.list {
		if l.state != linkUp || l.door != t {
			continue
		}
		switch x := sy.exchangeWith(l.key); {
		case x == nil:
			return "let us in, and was not asked for its table"
		case x.entries > 0:
			return fmt.Sprintf("let us in, and sent %d entries of its table, but not all of it", x.entries)
		}
	}
	return "let us in, and its table did not come"
}

// judged: signatures of a piece of a table have been judged.
type judged struct {
	batch *batch
	valid []bool // each of its claims
}
