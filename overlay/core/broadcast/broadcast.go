// Package broadcast brings messages to everyone, once and in the order of each author, and
// recovers those that a peer has missed while it was cut off.
package broadcast

import (
	"encoding/binary"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/past"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// How broadcasts reach everybody, once and in the order of their author.
//
// The author numbers them from 1 on. A new one is passed on at once, over links that keep the
// order: as long as no link comes or goes everybody gets an author's broadcasts in order, since a
// peer that passes one on has passed on those before it over the same links. Each peer remembers
// those of the last minutes.
//
//	BroadcastsHeld ──▶                 how far I have come in each run
//	               ◀── BroadcastsWanted   the next ones, from the peer that is behind
//	Broadcast ... ──▶, BroadcastsHeld
//
// Two peers tell each other their positions when they have become neighbours, and now and then
// after that; the one that is behind pulls what it lacks. So do the peers of Scuttlebutt (van
// Renesse, Dumitriu, Gough, Thomas 2008), by the highest number of each author. A peer that finds
// a hole asks a random neighbour. Pulled broadcasts are not flooded, since most have them: the
// other neighbours are told the new positions, as by Plumtree's lazy push (Leitão, Pereira,
// Rodrigues 2007).
//
// One that comes before its predecessors is held back until they have come, or for HoldFor since
// the last that did; then they are passed over and never shown. A lost author may come back, and
// with it the missing ones: they are waited for as long as there is memory. Nobody signs a
// position, so it decides only what is waited for.

// Bounds, all guesses.
const (
	MemoryFor  = 5 * time.Minute
	MaxRecent  = 4096
	maxRecentB = 8 << 20 // bytes; a broadcast held back takes twice its size
	MaxOfOne   = MaxRecent / 2
	MaxOfOneB  = maxRecentB / 2
	HoldFor    = 7 * time.Second // many round trips; by then a peer that was cut off is called lost

	RecentFor = 5 * time.Second // how long a broadcast waits for a record, which may come by another way
	MaxEarly  = 64

	AskAgain     = 1 * time.Second       // without an answer, or for a hole to close by itself
	tellAfter    = 50 * time.Millisecond // to collect what else is pulled
	TellAgain    = 2 * time.Second       // to a new neighbour, which has all records by then as a rule
	tellEvery    = time.Minute
	LastWordsFor = 2 * time.Second // how long the end of a peer is not shown while some are missing
	lateFor      = 1 * time.Second // how long an author that has gone is shown as here after a late one
	answerB      = 256 << 10       // bytes in an answer, a small part of what may wait on a link
	AnswerMost   = 256             // broadcasts in an answer, which take 13 ms to verify

	// Rate limit of a link's positions and questions: everything there is at once, and a little
	// afterwards.
	PositionBurst = 64
	positionEvery = 100 * time.Millisecond

	broadcastID = 1 << 63 // the counters of broadcasts have this bit
)

// Broadcasts floods messages to everyone, and shows those of each author once and in its order.
type Broadcasts struct {
	*base.Env
	table *table.Table
	links *link.Links
	doubt *link.Doubt
	past  *past.Past

	Said        uint64                   // by us
	Runs        map[uint64]*table.Run    // with remembered broadcasts, by name
	Recent      []*table.RecentBroadcast // in the order in which they came
	RecentBytes int
	Behind      []*table.Run // that lack some, or hold some back
	Early       []earlyBroadcast
	late        []*table.Run // of authors that have gone, shown as here again for their last broadcasts
}

// New returns the broadcasts of a peer that has heard none.
func New(en *base.Env, t *table.Table, ls *link.Links, db *link.Doubt, pa *past.Past) *Broadcasts {
	return &Broadcasts{Env: en, table: t, links: ls, doubt: db, past: pa, Runs: make(map[uint64]*table.Run)}
}

// earlyBroadcast waits for its author's record.
type earlyBroadcast struct {
	at      time.Duration
	link    base.LinkID
	author  certs.ID
	message *pb.Broadcast
}

// Say handles Broadcast: it completes the content, signs it and sends it to all.
func (bc *Broadcasts) Say(c *pb.BroadcastContent) [pb.MessageIDSize]byte {
	bc.Said++
	key := bc.Cfg.Identity.Key()
	prefix := certs.MessagePrefix(key, bc.Cfg.Epoch, bc.Cfg.Nonce)
	id := binary.BigEndian.AppendUint64(prefix[:], broadcastID|bc.Said)
	c.Id, c.Sender, c.Key, c.Network = id, string(bc.Cfg.ID), key[:], bc.Cfg.Network
	content := bc.Cfg.Identity.SignBroadcast(c)
	r := bc.runOf(bc.table.Self)
	r.Next, r.Known, r.Heard = bc.Said+1, bc.Said, true
	bc.remember(&table.RecentBroadcast{Run: r, Number: bc.Said, At: bc.Now, Said: bc.Now, Signed: content})
	bc.keepBounds(r)
	bc.spread(nil, content, 0, bc.Now)
	return [pb.MessageIDSize]byte(id)
}

// Last is our latest broadcast.
func (bc *Broadcasts) Last() *pb.Signed {
	r := bc.runOf(bc.table.Self)
	if len(r.Recent) == 0 {
		return nil
	}
	return r.Recent[len(r.Recent)-1].Signed
}

// spread sends a broadcast to all neighbours and guests except the one that it came from. A peer
// without neighbours uses whatever links it has.
func (bc *Broadcasts) spread(from *link.Link, content *pb.Signed, hops uint32, said time.Duration) {
	if hops > pb.MaxHops {
		return
	}
	alone := bc.links.Neighbours() == 0
	var data []byte
	for _, l := range bc.links.List {
		if l == from || l.State != link.LinkUp || !l.Neighbour && !l.LeadsToGuest() && !alone {
			continue
		}
		bc.links.FlushLink(l)
		if data == nil {
			data = base.Encode(&pb.Broadcast{Content: content, Hops: hops, Age: base.ToAge(bc.Now - said)})
		}
		bc.Out.Frames = append(bc.Out.Frames, base.Frame{Link: l.ID, Data: data, Relayed: from != nil})
	}
}

// ReceiveBroadcast takes a broadcast: a new one is kept, passed on at once, and shown when its
// turn comes.
func (bc *Broadcasts) ReceiveBroadcast(l *link.Link, m *pb.Broadcast) {
	content, err := pb.ParseBroadcast(m.GetContent())
	if err != nil {
		bc.links.Skip(l, err)
		return
	}
	if content.GetNetwork() != bc.Cfg.Network {
		bc.links.Violation(l, "a broadcast of another network")
		return
	}
	id, key := certs.ID(content.GetSender()), certs.PublicKey(content.GetKey())
	if key == bc.Cfg.Identity.Key() {
		return
	}
	e := bc.table.Get(id, key)
	if bc.Passes.Removal(key) != nil && (e == nil || e.Removed()) {
		return
	}
	if e == nil || [8]byte(content.GetId()[:8]) != certs.MessagePrefix(key, e.Record.Epoch, e.Record.Nonce) {
		// A run that we don't know may be over, or about to be announced.
		if len(bc.Early) < MaxEarly {
			bc.Early = append(bc.Early, earlyBroadcast{bc.Now, l.ID, id, m})
		}
		return
	}
	counter := binary.BigEndian.Uint64(content.GetId()[8:])
	r := bc.runOf(e)
	number := counter &^ broadcastID
	if counter&broadcastID == 0 || !r.Audible() || r.Has(number) {
		return
	}
	if !bc.Cfg.Verify(base.Claim{As: base.AsBroadcast, Key: key, Signed: m.GetContent()}) {
		bc.links.Violation(l, "a broadcast that its author has not signed")
		return
	}
	hops, said := min(m.GetHops()+1, pb.MaxHops), bc.Now-min(base.FromAge(m.GetAge()), MemoryFor)
	bc.remember(&table.RecentBroadcast{
		Run: r, Number: number, At: bc.Now, Said: said, Signed: m.GetContent(), Hops: hops, Content: content, Direct: l.Key == key,
	})
	r.Await(number)
	if !bc.answers(l, r, number) {
		bc.spread(l, m.GetContent(), m.GetHops()+1, said)
	}
	bc.showBroadcasts(r)
	bc.keepBounds(r)
}

// ReleaseEarly is called once the user has been shown that the author is here: the broadcasts
// that came before its record, and those held back, follow.
func (bc *Broadcasts) ReleaseEarly(author *table.Entry) {
	waiting := bc.Early
	bc.Early = nil
	for _, b := range waiting {
		if b.author != author.Record.ID {
			bc.Early = append(bc.Early, b)
		} else if l := bc.links.Link(b.link); l != nil && l.State == link.LinkUp {
			bc.ReceiveBroadcast(l, b.message)
		}
	}
	if r := author.Our().Run; r != nil {
		r.Advanced = bc.Now // what is missing may come with its author
		bc.showBroadcasts(r)
	}
}

// RepeatBroadcasts sends our latest broadcasts over a link to a peer that is not our neighbour,
// so that our goodbye overtakes none of them.
func (bc *Broadcasts) RepeatBroadcasts(l *link.Link) {
	since := l.Since()
	for _, b := range bc.Recent {
		if b.Run.Entry == bc.table.Self && b.Said >= since && bc.Now <= b.At+RecentFor {
			bc.links.Send(l, &pb.Broadcast{Content: b.Signed, Age: base.ToAge(bc.Now - b.Said)})
		}
	}
}

// ExpireBroadcasts forgets broadcasts whose time is over, pulls what is lacking, and tells the
// neighbours how far we have come.
func (bc *Broadcasts) ExpireBroadcasts() {
	for len(bc.Recent) > 0 && bc.Now > bc.Recent[0].At+MemoryFor {
		bc.ForgetBroadcast(bc.Recent[0])
	}
	bc.Early = slices.DeleteFunc(bc.Early, func(b earlyBroadcast) bool { return bc.Now > b.at+RecentFor })
	bc.Behind = slices.DeleteFunc(bc.Behind, func(r *table.Run) bool { return !bc.pursue(r) })
	bc.dismissLate()
	for _, l := range bc.links.List {
		if l.Neighbour && bc.Now >= l.TellAt {
			bc.tell(l)
		}
	}
}

// Told ends the old run of a peer and begins the new one: at the number that the sender says, or
// at the first if we were here when the run began and all of it may still be remembered.
func (bc *Broadcasts) Told(ch link.Change) {
	if !ch.Begins() {
		if r := ch.Entry.Our().Run; r != nil && ch.Refutes() {
			r.Advanced = bc.Now // what is missing may come with its author
		}
		return
	}
	if ch.Old != nil {
		bc.lastWords(ch.Entry)
	}
	began := ch.Entry.Began
	if n := ch.News.Broadcasts; n > 0 && (began <= bc.table.Self.Began || bc.Now > began+MemoryFor) {
		if r := bc.runOf(ch.Entry); !r.Heard && len(r.Recent) == 0 {
			r.Next = max(n, r.Floor) + 1
		}
	}
}

// runOf returns the run that the record of a peer belongs to.
func (bc *Broadcasts) runOf(e *table.Entry) *table.Run {
	d := e.With()
	if d.Run == nil || !d.Run.IsOf(e.Record) {
		prefix := certs.MessagePrefix(e.Record.Key, e.Record.Epoch, e.Record.Nonce)
		name := binary.BigEndian.Uint64(prefix[:])
		d.Run = bc.Runs[name]
		if d.Run == nil {
			floor := bc.Cfg.Shown[base.ShownBroadcasts{Author: e.Record.Key, Epoch: e.Record.Epoch, Nonce: e.Record.Nonce}]
			d.Run = &table.Run{Epoch: e.Record.Epoch, Nonce: e.Record.Nonce, Name: name, Floor: floor, Next: floor + 1}
		}
		d.Run.Entry = e
	}
	return d.Run
}

// showBroadcasts shows the next broadcasts of a run.
func (bc *Broadcasts) showBroadcasts(r *table.Run) {
	for b := r.Held(); b != nil && b.Number == r.Next && bc.reachesUser(b); b = r.Held() {
		bc.Out.Events = append(bc.Out.Events, base.Broadcasted{
			Content: b.Content, Signed: b.Signed, Hidden: bc.past.Hides(b.Content), Direct: b.Direct, Epoch: r.Epoch, Nonce: r.Nonce, Number: b.Number,
		})
		b.Content = nil
		r.Next, r.Heard, r.Advanced = r.Next+1, true, bc.Now
	}
	if r.Held() != nil {
		bc.fallBehind(r)
	}
}

// reachesUser reports whether a broadcast can be shown: its author has to be here. One that has
// gone may have said it while our user was cut off. Then the author is shown as here again until
// lateFor after the last of them: once it has left or, called lost, has not come back for a while.
func (bc *Broadcasts) reachesUser(b *table.RecentBroadcast) bool {
	r, e := b.Run, b.Run.Entry
	if !r.Here() {
		gone := e.State == pb.AnnouncementType_LEAVE || e.State == pb.AnnouncementType_LOST && bc.Now >= b.At+HoldFor && !e.Suspect(bc.Now)
		if !bc.Ready || !gone || e.Seen != r.Epoch || !r.IsOf(e.Record) || bc.table.Owner(e.Record.ID, bc.Now) != nil {
			return false
		}
		e.Shown = e.Record
		bc.Out.Events = append(bc.Out.Events, e.Record.Comes(e.Record.ID, bc.links.ToldBy(e))...)
		bc.late = append(bc.late, r)
	}
	r.LateTill = bc.Now + lateFor
	return true
}

// dismissLate shows the authors as gone whose late broadcasts have been shown.
func (bc *Broadcasts) dismissLate() {
	bc.late = slices.DeleteFunc(bc.late, func(r *table.Run) bool {
		over := !r.Here() || !r.Entry.Buried() // gone again, or really back
		if !over && bc.Now >= r.LateTill {
			bc.ShowGone(r.Entry)
			over = true
		}
		return over
	})
}

// fallBehind puts a run among those that lack some.
func (bc *Broadcasts) fallBehind(r *table.Run) {
	if !r.Behind {
		r.Behind, r.Advanced = true, bc.Now
		bc.Behind = append(bc.Behind, r)
	}
}

// pursue asks for what a run lacks, and passes it over after HoldFor. It reports whether the run
// still lacks something.
func (bc *Broadcasts) pursue(r *table.Run) bool {
	bc.showBroadcasts(r) // its author may have gone meanwhile
	b, since := r.Held(), r.Advanced
	if b != nil {
		since = max(since, b.At)
	}
	switch {
	case bc.doubt.Deaf:
		r.Advanced = bc.Now // no link, so nothing can come
	case bc.Now < since+AskAgain: // what is missing may be on its way
	case bc.Now < since+HoldFor:
		bc.askAnybody(r)
	case b == nil:
		r.Known = 0 // nobody had what somebody said to have
	case r.Entry.Over() || r.Here() && !r.Entry.Buried():
		bc.passOver(r, b.Number) // but of a lost author, which may come back
	}
	first, last := r.Lack(0, pb.MaxNumber)
	r.Behind = r.Held() != nil || first <= last
	return r.Behind
}

// passOver stops waiting for the broadcasts missing below a number. The held ones up to it are
// shown now, or never if their author is not here.
func (bc *Broadcasts) passOver(r *table.Run, number uint64) {
	advanced := r.Advanced
	for b := r.Held(); b != nil && b.Number <= number; b = r.Held() {
		if missed := b.Number - r.Next; missed > 0 && r.Heard {
			bc.Note(base.Warn, "broadcasts were missed", "of", string(r.Entry.Record.ID), "how many", missed)
		}
		r.Next = b.Number
		if bc.showBroadcasts(r); r.Next == b.Number {
			r.Next, r.Heard = r.Next+1, true
			b.Content = nil
		}
	}
	r.Advanced = advanced // the next gap does not begin now
}

// lastWords shows the broadcasts held back of a run that has ended. A lost author may come back,
// and so may the missing broadcasts.
func (bc *Broadcasts) lastWords(e *table.Entry) {
	if r := e.Our().Run; r != nil && r.Here() {
		bc.passOver(r, pb.MaxNumber)
	}
}

// remember keeps a broadcast.
func (bc *Broadcasts) remember(b *table.RecentBroadcast) {
	r := b.Run
	i, _ := r.Search(b.Number)
	r.Recent = slices.Insert(r.Recent, i, b)
	bc.Recent = append(bc.Recent, b)
	r.Bytes += len(b.Signed.GetPayload())
	bc.RecentBytes += len(b.Signed.GetPayload())
	bc.Runs[r.Name] = r
}

// keepBounds forgets the oldest broadcasts when there are too many. No author takes more than
// half of the room.
func (bc *Broadcasts) keepBounds(r *table.Run) {
	for len(r.Recent) > MaxOfOne || r.Bytes > MaxOfOneB {
		bc.ForgetBroadcast(r.Recent[0])
	}
	for len(bc.Recent) > MaxRecent || bc.RecentBytes > maxRecentB {
		bc.ForgetBroadcast(bc.Recent[0])
	}
}

func (bc *Broadcasts) ForgetBroadcast(b *table.RecentBroadcast) {
	r := b.Run
	if b.Number >= r.Next {
		bc.passOver(r, b.Number) // now or never
	}
	if i, found := r.Search(b.Number); found {
		r.Recent = slices.Delete(r.Recent, i, i+1)
	}
	if i := slices.Index(bc.Recent, b); i == 0 {
		bc.Recent[0] = nil
		bc.Recent = bc.Recent[1:]
	} else if i > 0 {
		bc.Recent = slices.Delete(bc.Recent, i, i+1)
	}
	r.Bytes -= len(b.Signed.GetPayload())
	bc.RecentBytes -= len(b.Signed.GetPayload())
	if len(r.Recent) == 0 {
		delete(bc.Runs, r.Name)
	}
}

// ShowGone tells the user that the run of a peer that was shown is over.
func (bc *Broadcasts) ShowGone(e *table.Entry) {
	farewell := e.State == pb.AnnouncementType_LEAVE && e.Record.Epoch == e.Shown.Epoch
	if farewell {
		bc.lastWords(e)
	}
	bc.Out.Events = append(bc.Out.Events, base.Left{ID: e.Name(), Farewell: farewell, Removed: e.Removed(), Visitor: e.Shown.Visitor})
	e.Shown = nil
	if e.Side != nil {
		e.Side.Called = ""
	}
	if !farewell && !e.Removed() {
		bc.Counts.Lost++
	}
}

// Greet tells a new neighbour how far we have come.
func (bc *Broadcasts) Greet(l *link.Link) {
	bc.tell(l)
	l.TellAt = bc.Now + TellAgain
}

// tell tells a neighbour how far we have come in the runs of others, but for what was said before
// it came.
func (bc *Broadcasts) tell(l *link.Link) {
	l.TellAt = bc.Now + tellEvery
	since := l.Since()
	var list []*pb.BroadcastRange
	for _, b := range bc.Recent {
		if r := b.Run; b == r.Recent[0] && r.Entry.Record.Key != l.Key {
			list = r.AppendPosition(list, since)
		}
	}
	bc.sendHeld(l, list)
}

func (bc *Broadcasts) sendHeld(l *link.Link, list []*pb.BroadcastRange) {
	for part := range slices.Chunk(list, pb.MaxRanges) {
		bc.links.Send(l, &pb.BroadcastsHeld{Ranges: part})
	}
}

// ReceiveHeld takes a peer's positions, and pulls what we lack. They also end an answer: if it
// has brought something, the rest can be asked for.
func (bc *Broadcasts) ReceiveHeld(l *link.Link, m *pb.BroadcastsHeld) {
	if !l.Positions.Take(bc.Now, PositionBurst, positionEvery) {
		return
	}
	var wants []*pb.BroadcastRange
	for _, o := range table.Rising(m.GetRanges()) {
		r := bc.runNamed(o)
		if r == nil {
			continue
		}
		r.Await(o.GetFirst())
		r.Known = max(r.Known, o.GetLast())
		if l.Answered && r.Asked == l.ID {
			r.AskedTill = 0
		}
		wants = bc.question(wants, l, r, o.GetFirst(), o.GetLast(), true)
		bc.showBroadcasts(r)
	}
	l.Answered = false
	bc.ask(l, wants)
}

// runNamed finds the run that a position names, of a peer that we know or that our user knew.
func (bc *Broadcasts) runNamed(o *pb.BroadcastRange) *table.Run {
	i, _ := slices.BinarySearch(bc.table.Tags, o.GetAuthor())
	for ; i < len(bc.table.Tags) && bc.table.Tags[i] == o.GetAuthor(); i++ {
		e := bc.table.Entries[i]
		if e == bc.table.Self {
			continue
		}
		if r := bc.runOf(e); r.Name == o.GetRun() && r.Audible() {
			return r
		}
	}
	return nil
}

// question appends what we lack of a run within a range to the questions for a link. One peer is
// asked at a time, and the next after AskAgain without an answer; but one that says to have it at
// once, if a guess is under way, unless it has said so before.
func (bc *Broadcasts) question(list []*pb.BroadcastRange, l *link.Link, r *table.Run, from, to uint64, says bool) []*pb.BroadcastRange {
	first, last := r.Lack(from, to)
	if first > last {
		return list
	}
	bc.fallBehind(r)
	if asked := bc.links.Link(r.Asked); bc.Now < r.AskedTill && asked != nil && asked.State == link.LinkUp && (!says || r.Asked == r.Sayer || l.ID == r.Sayer) {
		return list
	}
	r.Asked, r.AskedLast, r.AskedTill = l.ID, last, bc.Now+AskAgain
	if says {
		r.Sayer = l.ID
	}
	return append(list, &pb.BroadcastRange{Author: r.Entry.Record.Tag, Run: r.Name, First: first, Last: last})
}

func (bc *Broadcasts) ask(l *link.Link, list []*pb.BroadcastRange) {
	if len(list) > 0 {
		bc.links.Send(l, &pb.BroadcastsWanted{Ranges: list})
	}
}

// AwaitsLastWords reports whether the end of a peer is not shown yet because we know that we lack
// some of its broadcasts: word of its end may have taken a faster way. Each run is waited for
// once.
func (bc *Broadcasts) AwaitsLastWords(e *table.Entry) bool {
	r := e.Our().Run
	if r == nil || !e.Buried() || !r.Here() || !r.IsOf(e.Record) {
		return false
	}
	first, last := r.Lack(0, pb.MaxNumber)
	if first <= last && r.EndTill == 0 {
		r.EndTill = bc.Now + LastWordsFor
	}
	return first <= last && bc.Now < r.EndTill
}

// askAnybody asks a random neighbour for what is missing in a run.
func (bc *Broadcasts) askAnybody(r *table.Run) {
	var list []*link.Link
	for _, l := range bc.links.List {
		if l.Neighbour {
			list = append(list, l)
		}
	}
	if len(list) > 0 {
		l := list[bc.Cfg.Rand.IntN(len(list))]
		bc.ask(l, bc.question(nil, l, r, 0, pb.MaxNumber, false))
	}
}

// answers reports whether a broadcast answers a question that we put to this link. If so, others
// may lack it too, and are told that we have it.
func (bc *Broadcasts) answers(l *link.Link, r *table.Run, number uint64) bool {
	if r.Asked != l.ID || number > r.AskedLast || bc.Now >= r.AskedTill {
		return false
	}
	l.Answered, r.AskedTill = true, bc.Now+AskAgain
	for _, other := range bc.links.List {
		other.TellAt = min(other.TellAt, bc.Now+tellAfter)
	}
	bc.Wake(bc.Now + tellAfter)
	return true
}

// ReceiveWanted sends broadcasts that a peer lacks, as many as one answer holds, and our
// positions, which end it.
func (bc *Broadcasts) ReceiveWanted(l *link.Link, m *pb.BroadcastsWanted) {
	if !l.Answers.Take(bc.Now, PositionBurst, positionEvery) {
		bc.Note(base.Debug, "too many questions for broadcasts from one link, dropped", "peer", string(l.Peer))
		return
	}
	since := l.Since()
	sent, bytes := 0, 0
	var list []*pb.BroadcastRange
	told := make(map[*table.Run]bool)
	for _, o := range table.Rising(m.GetRanges()) {
		r := bc.Runs[o.GetRun()]
		if r == nil {
			continue
		}
		if !told[r] {
			told[r], list = true, r.AppendPosition(list, since)
		}
		for i, _ := r.Search(o.GetFirst()); i < len(r.Recent) && r.Recent[i].Number <= o.GetLast() && sent < AnswerMost && bytes <= answerB; i++ {
			b := r.Recent[i]
			if b.Said < since {
				continue
			}
			sent, bytes = sent+1, bytes+len(b.Signed.GetPayload())
			bc.links.Send(l, &pb.Broadcast{Content: b.Signed, Hops: b.Hops, Age: base.ToAge(bc.Now - b.Said)})
			bc.Out.Frames[len(bc.Out.Frames)-1].Relayed = true
		}
	}
	bc.sendHeld(l, list)
}
