// Package reconcile makes the tables of two peers equal over a link: a newcomer takes its table
// from a door, and neighbours compare theirs.
package reconcile

import (
	"fmt"
	"math"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/gossip"
	"quicpeer/overlay/core/hearsay"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Syncer makes tables equal, range by range (see overlay/core/table/ranges.go), over the links to other peers:
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
// asked about, and leave something open only behind MaxAnswer announcements. It has at most
// twice as many, each behind the last in the order of tables, and an exchange maxFetched. No
// more is asked for until most of them are verified.
type Syncer struct {
	*base.Env
	table  *table.Table
	links  *link.Links
	gossip *gossip.Gossip
	heard  *hearsay.Hearsay

	Batches     map[base.VerifyID]*Batch // what is being verified
	judged      map[uint64]*base.Record  // the records in them, by tie
	lastVerify  base.VerifyID
	NextCompare time.Duration
	CompareAll  bool // with every neighbour, now
}

// New returns a syncer of this table, with no exchange under way.
func New(en *base.Env, t *table.Table, ls *link.Links, g *gossip.Gossip, hs *hearsay.Hearsay) *Syncer {
	return &Syncer{Env: en, table: t, links: ls, gossip: g, heard: hs, Batches: make(map[base.VerifyID]*Batch), judged: make(map[uint64]*base.Record)}
}

// Bounds of an exchange, and its times (guesses).
const (
	maxVerifying  = 8                      // batches; no more is asked for until fewer are being verified
	comparedBurst = 10 * table.MaxEntries  // entries of ours in questions of one link, at once
	comparedEach  = 100 * time.Microsecond // and later
	CompareEvery  = time.Minute            // with one random neighbour, in case a flood has missed us
)

// CompareTables has our table compared with a neighbour's, once an exchange under way is over.
func (sy *Syncer) CompareTables(l *link.Link) {
	l.Due = true
	sy.beginDue(l)
}

func (sy *Syncer) beginDue(l *link.Link) {
	if l.Due && l.Neighbour && sy.Ready && l.Exchange == nil {
		l.Due = false
		l.Exchange = &link.Exchange{Began: sy.Now, Moved: sy.Now}
		sy.put(l, sy.table.Everything())
	}
}

// put asks a question.
func (sy *Syncer) put(l *link.Link, ranges ...*pb.TableRange) {
	l.Exchange.Asked = ranges
	sy.links.Send(l, &pb.Reconcile{Ranges: ranges})
}

// ReceiveReconcile takes a question, or a part of an answer. News in it is verified off the
// loop, so that a large table stalls nothing, and then merged.
func (sy *Syncer) ReceiveReconcile(l *link.Link, m *pb.Reconcile) {
	if !m.GetAnswer() {
		sy.answer(l, m.GetRanges())
		return
	}
	x := l.Exchange
	if x == nil || x.Asked == nil {
		sy.links.Violation(l, "a table that was not asked for")
		return
	}
	b := &Batch{Link: l.ID}
	for _, a := range m.GetAnnouncements() {
		n, ok := sy.gossip.Open(l, a)
		if !ok {
			return
		}
		if n.Record == nil {
			continue
		}
		if !x.Follows(n.Record) {
			sy.links.Violation(l, "a piece of a table that does not go on")
			return
		}
		if sy.gossip.IsNews(l, n) && !sy.IsJudged(n) && !sy.heard.Refuses(l, n) {
			b.add(n, sy.Passes.Claim(n.Record))
		}
	}
	x.Moved, x.Piece = sy.Now, x.Piece+len(m.GetAnnouncements())
	switch {
	case x.Piece > 2*table.MaxAnswer:
		sy.links.Violation(l, "a piece of a table that has no end")
		return
	case slices.ContainsFunc(m.GetRanges(), x.IsForeign):
		sy.links.Violation(l, "a range of a table that was not asked about")
		return
	case len(m.GetAnnouncements()) == 0:
		x.Open = slices.Concat(m.GetRanges(), x.Open)
		x.Asked, x.Last, x.Piece = nil, nil, 0
	}
	sy.verify(l, b)
}

// answer answers a question, unless the link has asked too many: then its exchange ends, as the
// answer does not come.
func (sy *Syncer) answer(l *link.Link, ranges []*pb.TableRange) {
	hashed := 0
	for _, r := range ranges {
		if r.GetKind() != pb.RangeKind_HELD { // of which few are looked at
			hashed += len(sy.table.In(r.GetFirst(), r.GetLast()))
		}
	}
	if !l.Compared.Spend(sy.Now, comparedBurst*comparedEach, time.Duration(hashed)*comparedEach) {
		sy.Note(base.Debug, "too many questions about our table from one link, dropped", "peer", string(l.Peer))
		return
	}
	end := &pb.Reconcile{Answer: true}
	var list []*table.Entry
	for _, r := range ranges {
		if len(list) >= table.MaxAnswer {
			end.Ranges = append(end.Ranges, &pb.TableRange{First: r.GetFirst(), Last: r.GetLast()})
			continue
		}
		lacks, back := sy.table.Compare(r, table.MaxAnswer-len(list))
		list, end.Ranges = append(list, lacks...), append(end.Ranges, back...)
	}
	said := sy.gossip.Announcements(list)
	for len(said) > 0 {
		n := base.TakeBatch(said)
		sy.links.Send(l, &pb.Reconcile{Answer: true, Announcements: said[:n]})
		said = said[n:]
	}
	sy.links.Send(l, end)
}

// ContinueSync goes on with an exchange, now that some of what came is merged: it asks about the
// ranges that are open, and announces what the other side lacks in them, at most so much at once
// as an answer does. Without any the exchange is over, and a newcomer is ready.
func (sy *Syncer) ContinueSync(l *link.Link) {
	x := l.Exchange
	if x == nil || x.Asked != nil || l.Verifying >= maxVerifying {
		return
	}
	var ask []*pb.TableRange
	for said, parts := 0, 0; len(x.Open) > 0 && parts < pb.MaxTableRanges/2 && (said < table.MaxAnswer || parts == 0); {
		lacks, back := sy.table.Compare(x.Open[0], table.MaxAnswer-said)
		x.Open = x.Open[1:]
		for _, e := range lacks {
			sy.gossip.AnnounceTo(l, e)
		}
		said += len(lacks)
		for _, r := range back {
			if r.GetKind() == pb.RangeKind_OPEN {
				r = sy.table.Describe(r.GetFirst(), r.GetLast())
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
	case l.Verifying == 0:
		l.Exchange = nil
		if !sy.Ready {
			sy.Happen(base.TableTaken{})
		}
		sy.beginDue(l)
	}
}

// Batch is news from a table that is being verified.
type Batch struct {
	Link   base.LinkID
	News   []link.News
	claims []base.Claim
}

func (b *Batch) add(n link.News, claim base.Claim) {
	b.News = append(b.News, n)
	b.claims = append(b.claims, claim)
}

// verify has the signatures of a batch judged, off the loop.
func (sy *Syncer) verify(l *link.Link, b *Batch) {
	l.Verifying++
	if len(b.claims) == 0 {
		sy.Happen(Judged{b, nil})
		return
	}
	for _, n := range b.News {
		if n.State == n.Record.Type { // a LOST is not the JOIN that it carries
			sy.judged[n.Record.Tie] = n.Record
		}
	}
	sy.lastVerify++
	sy.Batches[sy.lastVerify] = b
	sy.Out.Verify = append(sy.Out.Verify, base.Verify{ID: sy.lastVerify, Claims: b.claims})
}

// Verified takes a batch whose signatures have been judged; nil if the name is not known.
func (sy *Syncer) Verified(id base.VerifyID) *Batch {
	b := sy.Batches[id]
	if b == nil {
		return nil
	}
	delete(sy.Batches, id)
	for _, n := range b.News {
		delete(sy.judged, n.Record.Tie)
	}
	return b
}

// IsJudged reports whether the very same statement is being verified already: a newcomer hears
// everything from several sides at once.
func (sy *Syncer) IsJudged(n link.News) bool {
	r := sy.judged[n.Record.Tie]
	return r != nil && n.State == r.Type && r.IsSame(n.Record)
}

// CompareNow compares tables with one random neighbour now and then, in case a flood has missed
// us, with all of them after we have found missing peers, and with those due.
func (sy *Syncer) CompareNow() {
	var list []*link.Link
	for _, l := range sy.links.List {
		if l.Neighbour {
			l.Due = l.Due || sy.CompareAll
			list = append(list, l)
		}
	}
	if len(list) == 0 {
		return
	}
	if !sy.CompareAll && sy.Now >= sy.NextCompare {
		sy.NextCompare = sy.Now + CompareEvery/2 + sy.Jitter(CompareEvery)
		list[sy.Cfg.Rand.IntN(len(list))].Due = true
	}
	sy.CompareAll = false
	for _, l := range list {
		sy.beginDue(l)
	}
}

// Times of the taking of a table by a newcomer. A slow, stuck or hostile door must not keep it from a good one: so the
// next door is asked when those asked so far bring nothing, or take long. The user notices the
// first of these; the others are guesses.
const (
	stuckAfter   = 2 * time.Second  // without an answer, before the next door is asked
	LongAtIt     = 10 * time.Second // before a second door is asked as well; after twice that a third, and so on
	MostOvertime = 10 * time.Minute // above the time to join, while a table comes: 35 MB at 512 kbit/s
)

// minPace is how many entries of a table have to come in a second, in the mean, once the time
// to join is over: 64 kbit/s are 2 of the largest records, or 20 of the usual ones.
const minPace = 2

// RequestTable asks one door for its table, and the next one when that is due. Peers that have
// dialled us come after those that we have dialled, since they may be newcomers too. When the
// time to join is over all are asked.
func (sy *Syncer) RequestTable() {
	for {
		next, asked, stuck := (*link.Link)(nil), 0, true
		newest := time.Duration(0)
		for _, l := range sy.links.List {
			switch x := l.Exchange; {
			case l.State != link.LinkUp:
			case x != nil:
				asked++
				newest = max(newest, x.Began)
				stuck = stuck && l.Verifying == 0 && sy.Now >= x.Moved+stuckAfter
			case (next == nil || next.Dial == nil && l.Dial != nil) && sy.exchangeWith(l.Key) == nil:
				next = l
			}
		}
		due := asked == 0 || stuck || sy.Now >= newest+LongAtIt<<min(asked-1, 16) || sy.JoinBy != 0 && sy.Now >= sy.JoinBy
		if next == nil || !due {
			return
		}
		next.Exchange = &link.Exchange{Began: sy.Now, Moved: sy.Now}
		sy.put(next, sy.table.Describe(0, math.MaxUint64))
	}
}

// exchangeWith is the exchange with a peer, over whichever link to it; nil if none is under way.
func (sy *Syncer) exchangeWith(key certs.PublicKey) *link.Exchange {
	for _, l := range sy.links.List {
		if l.Key == key && l.State == link.LinkUp && l.Exchange != nil {
			return l.Exchange
		}
	}
	return nil
}

// TableComes reports whether a table is coming fast enough to wait for it although the time to
// join is over.
func (sy *Syncer) TableComes() bool {
	for _, l := range sy.links.List {
		x := l.Exchange
		switch {
		case l.State != link.LinkUp || x == nil || sy.Now >= sy.JoinBy+MostOvertime:
		case l.Verifying > 0, x.Entries == 0 && sy.Now < x.Began+stuckAfter:
			return true
		case x.Entries > 0 && sy.Now < x.Moved+link.SyncTimeout && x.Entries >= minPace*int((sy.Now-x.Began)/time.Second):
			return true
		}
	}
	return false
}

// TableSoFar describes, for the user, what a door has done since it let us in.
func (sy *Syncer) TableSoFar(t *link.Target) string {
	for _, l := range sy.links.List {
		if l.State != link.LinkUp || l.Door != t {
			continue
		}
		switch x := sy.exchangeWith(l.Key); {
		case x == nil:
			return "let us in, and was not asked for its table"
		case x.Entries > 0:
			return fmt.Sprintf("let us in, and sent %d entries of its table, but not all of it", x.Entries)
		}
	}
	return "let us in, and its table did not come"
}

// Judged: signatures of a piece of a table have been judged.
type Judged struct {
	Batch *Batch
	Valid []bool // each of its claims
}
