// Package past decides which rooms' broadcasts this peer shows, and brings what was said in them,
// and to everyone, before it came: from the histories of up to three peers that it has links to,
// each once.
package past

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// How the past comes.
//
//	newcomer                 a link with a history
//	   | PastWanted(room, have) ->|
//	   |<------------ PastGiven ... PastGiven(end): what it lacks, each signed by its author
//
// Three givers are asked, one after the other, each for what the others have not given: so the whole
// comes once over the wire, and a giver that has little, or lies, is made up for by the next. What
// they give is shown in one piece, ordered by the times at which it was said and, for each author,
// as it said it. Live messages meanwhile are shown as they come.
//
// A message is shown once, whether live or as the past: what was shown is remembered by its tag, a
// hash of its author's key and its ID, so that nobody can make another author's message look as if
// it was shown. Signatures are checked against the key in the message. The ID beside it is proved
// only if the table, or a pass, says that it is that key's, and no other key has the ID now.

// Bounds, all guesses but what package pb says of an answer.
const (
	Givers     = 3
	graceFor   = 500 * time.Millisecond // how long others are waited for, when there are fewer links
	answerFor  = 4 * time.Second        // for an answer to come, all of it; then another link is asked
	KeepFor    = 7 * 24 * time.Hour     // how old a message may be
	AheadFor   = 10 * time.Minute       // of our clock, that an author's may be
	maxShown   = 1 << 14                // messages remembered as shown in this run
	maxOpen    = 256                    // questions without an answer; then none is put
	maxFrame   = 96 << 10               // bytes in a part of an answer; one broadcast is sent in any case
	maxGiven   = 512                    // askers that were answered lately; others get nothing
	givenBurst = 2                      // a third answer about a room, and one in every
	givenEvery = time.Minute
	askedBurst = pb.MaxRooms // answers to one asker beyond the first, and one in every; about all rooms and Everyone at once
	askedEvery = 10 * time.Second
	MaxReading = 16 // questions for which the history is read, or waits to be; others get nothing
	ofOne      = 2  // of these by one link: an honest peer waits for its answer
)

// Past is a peer's rooms and their past.
type Past struct {
	*base.Env
	table *table.Table
	links *link.Links

	rooms map[string]bool // that we are in
	shown shown
	asks  []*ask
	open  []*question
	given map[certs.PublicKey]*given
	reads []base.LinkID // whose questions the driver has not answered yet
	wall  int64         // the time of day at 0 of our time, nanoseconds since 1970
}

// New returns the past of a peer in the rooms of its configuration.
func New(en *base.Env, t *table.Table, ls *link.Links) *Past {
	p := &Past{
		Env: en, table: t, links: ls, rooms: make(map[string]bool), shown: shown{has: make(map[uint64]bool)},
		given: make(map[certs.PublicKey]*given), wall: en.Cfg.Wall - int64(en.Now),
	}
	for _, r := range en.Cfg.Past {
		p.Enter(r)
	}
	return p
}

// ask is the search for the past of one room.
type ask struct {
	room     string
	have     []uint64 // tags: the last that were shown in earlier runs, or before we left the room
	known    []uint64 // the same, in order
	until    int64    // all that was said up to then was shown, or is older than what an answer has; 0: nothing
	got      []Piece
	asked    []certs.PublicKey
	again    []certs.PublicKey // those whose link ended before they could answer
	awaits   *question         // nil: no answer is awaited
	till     time.Duration     // then another link is asked
	began    time.Duration     // when the first link was asked
	shownYet uint64            // how many messages had been shown by then
}

// knows reports whether a message was shown in an earlier run, or before we left the room.
func (a *ask) knows(tag uint64) bool {
	_, found := slices.BinarySearch(a.known, tag)
	return found
}

// question is an answer that is to come. It may come when nobody waits for it any more.
type question struct {
	link   base.LinkID
	room   string
	parts  int
	count  int
	bytes  int                          // passes too
	shows  int                          // passes
	passes map[certs.PublicKey]certs.ID // that were valid, in any of its parts
}

// given limits what an asker is given, of each room and of all.
type given struct {
	rooms map[string]base.Limiter
	all   base.Limiter
}

// Enter shows the broadcasts of a room from now on, and asks for its past if it may have one that is
// not known.
func (p *Past) Enter(r base.Room) {
	p.rooms[r.Name] = true
	if r.Settled || slices.ContainsFunc(p.asks, func(a *ask) bool { return a.room == r.Name }) {
		return
	}
	a := &ask{room: r.Name, have: slices.Clone(r.Shown[max(0, len(r.Shown)-pb.MaxPast):]), known: slices.Sorted(slices.Values(r.Shown)), until: r.Until}
	for _, tag := range a.have {
		p.shown.add(tag) // of all of them it would forget what is shown live
	}
	a.shownYet = p.shown.count
	p.asks = append(p.asks, a)
}

// Exit ends Enter.
func (p *Past) Exit(room string) {
	delete(p.rooms, room)
	p.asks = slices.DeleteFunc(p.asks, func(a *ask) bool { return a.room == room })
}

// Hides reports whether a broadcast is not to be shown: we are not in its room, or it was shown as
// the past. If it is shown, it will not be again.
func (p *Past) Hides(c *pb.BroadcastContent) bool {
	tag := base.TagOfBroadcast(c)
	if c.GetRoom() != "" && !p.rooms[c.GetRoom()] || p.shown.has[tag] {
		return true
	}
	p.shown.add(tag)
	return false
}

// Slept says that the time of day has run on while our time stood.
func (p *Past) Slept(d time.Duration) { p.wall += int64(d) }

// today is the time of day.
func (p *Past) today() int64 { return p.wall + int64(p.Now) }

// Pursue puts the questions that can be put, and shows what is complete.
func (p *Past) Pursue() {
	p.open = slices.DeleteFunc(p.open, func(q *question) bool { return p.links.Link(q.link) == nil })
	if !p.Ready || p.Visiting || p.Leaving {
		return
	}
	p.asks = slices.DeleteFunc(p.asks, p.over)
}

// over carries a search on, and reports whether it has ended.
func (p *Past) over(a *ask) bool {
	if q := a.awaits; q != nil && p.Now < a.till {
		if l := p.links.Link(q.link); l != nil && l.State == link.LinkUp {
			p.Wake(a.till)
			return false
		}
		a.retry()
	}
	a.awaits = nil
	if len(a.asked) < Givers {
		if l := p.giver(a); l != nil {
			p.question(a, l)
			return false
		}
		switch grace := a.began + graceFor; {
		case len(a.asked)+len(a.again) == 0:
			return false // there may be somebody later
		case p.Now < grace:
			p.Wake(grace)
			return false
		}
	}
	p.show(a)
	return true
}

// retry lets a peer be asked again whose link has ended before the answer: as a rule it has another one, which
// both have chosen to keep.
func (a *ask) retry() {
	last := len(a.asked) - 1
	if len(a.again) < Givers && !slices.Contains(a.again, a.asked[last]) {
		a.again = append(a.again, a.asked[last])
		a.asked = a.asked[:last]
	}
}

// giver is the link to ask next: to a peer that is in the room, or to any if nobody is, each peer once, and
// one question at a time. One that nobody waits for any more stands in the way of the same room alone,
// whose answers could not be told apart. Nil: there is none now.
func (p *Past) giver(a *ask) (best *link.Link) {
	if len(p.open) >= maxOpen {
		return nil
	}
	for _, l := range p.links.List {
		busy := slices.ContainsFunc(p.open, func(q *question) bool { return q.link == l.ID && (q.room == a.room || p.awaited(q)) })
		if l.State != link.LinkUp || busy || !l.Foreign.Knows(pb.FeaturePast) || slices.Contains(a.asked, l.Key) {
			continue
		}
		if best == nil || isIn(l, a.room) && !isIn(best, a.room) {
			best = l
		}
	}
	if best != nil && !isIn(best, a.room) && p.inhabited(a.room) {
		return nil // a link to one of these comes
	}
	return best
}

// inhabited reports whether some peer says that it is in a room: then only such ones give its past.
func (p *Past) inhabited(room string) bool {
	return slices.ContainsFunc(p.table.Entries, func(e *table.Entry) bool {
		return e != p.table.Self && e.Alive() && slices.Contains(e.Record.Rooms, room)
	})
}

// awaited reports whether the answer to a question still counts.
func (p *Past) awaited(q *question) bool {
	return slices.ContainsFunc(p.asks, func(a *ask) bool { return a.awaits == q })
}

// isIn reports whether the peer at the other end says that it is in a room.
func isIn(l *link.Link, room string) bool {
	return l.Entry != nil && slices.Contains(l.Entry.Record.Rooms, room)
}

// question asks a link for what we lack of a room.
func (p *Past) question(a *ask, l *link.Link) {
	if len(a.asked)+len(a.again) == 0 {
		a.began = p.Now
	}
	a.awaits = &question{link: l.ID, room: a.room, passes: make(map[certs.PublicKey]certs.ID)}
	a.asked, a.till, p.open = append(a.asked, l.Key), p.Now+answerFor, append(p.open, a.awaits)
	have := slices.Clone(a.have)
	for _, g := range a.got {
		have = append(have, g.tag)
	}
	p.links.Send(l, &pb.PastWanted{Room: a.room, Have: have[max(0, len(have)-pb.MaxHave):]})
	p.Wake(a.till)
}

// ReceiveGiven takes a part of an answer.
func (p *Past) ReceiveGiven(l *link.Link, m *pb.PastGiven) {
	i := slices.IndexFunc(p.open, func(q *question) bool { return q.link == l.ID && q.room == m.GetRoom() })
	if i < 0 {
		p.links.Violation(l, "an answer about the past that was not asked for")
		return
	}
	q := p.open[i]
	q.add(m)
	if q.parts > pb.MaxPast || q.count > pb.MaxPast || q.shows > pb.MaxPasses || q.bytes > pb.MaxPastBytes {
		p.refuse(l, q, "more about the past than an answer holds")
		return
	}
	if j := slices.IndexFunc(p.asks, func(a *ask) bool { return a.awaits == q }); j >= 0 {
		a := p.asks[j]
		p.judge(q, m.GetPasses())
		for _, s := range m.GetBroadcasts() {
			if wrong := p.accept(a, l, s); wrong != "" {
				p.refuse(l, q, wrong)
				return
			}
			if l.State != link.LinkUp {
				return
			}
		}
	}
	if m.GetEnd() {
		p.open = slices.DeleteFunc(p.open, func(o *question) bool { return o == q })
		for _, a := range p.asks {
			if a.awaits == q {
				a.awaits, a.till = nil, 0
			}
		}
		p.Pursue()
	}
}

// add counts what a part has: parts without a message too, or they would never end.
func (q *question) add(m *pb.PastGiven) {
	q.parts++
	q.count += len(m.GetBroadcasts())
	q.shows += len(m.GetPasses())
	for _, s := range m.GetBroadcasts() {
		q.bytes += size(s)
	}
	for _, pass := range m.GetPasses() {
		q.bytes += proto.Size(pass)
	}
}

// refuse ends the link to a giver that lies, and forgets what it has given.
func (p *Past) refuse(l *link.Link, q *question, why string) {
	p.open = slices.DeleteFunc(p.open, func(o *question) bool { return o == q })
	for _, a := range p.asks {
		a.got = slices.DeleteFunc(a.got, func(g Piece) bool { return g.from == q })
		if a.awaits == q {
			a.awaits = nil
		}
	}
	p.links.Violation(l, why)
	p.Pursue()
}

// accept judges a message that a giver says was said in the room. What may be nobody's fault, such as
// a clock that is wrong, a member that was removed, or a form that we can't read, is left out; the
// answer is what only a liar would have sent.
func (p *Past) accept(a *ask, l *link.Link, s *pb.Signed) (wrong string) {
	c, err := pb.ParseBroadcast(s)
	if err != nil {
		p.links.Skip(l, err)
		return ""
	}
	room := c.GetRoom()
	if room == "" {
		room = pb.Everyone
	}
	switch {
	case c.GetNetwork() != p.Cfg.Network:
		return "the past of another network"
	case room != a.room:
		return "the past of another room than was asked for"
	}
	id, key := certs.ID(c.GetSender()), certs.PublicKey(c.GetKey())
	tag := base.TagOfBroadcast(c)
	e, owner := p.table.Get(id, key), p.table.Owner(id, p.Now)
	known := e != nil && !e.Removed()
	switch age := time.Duration(p.today() - c.GetSentAt()); {
	case key == p.Cfg.Identity.Key(), age > KeepFor, age < -AheadFor, c.GetSentAt() < 0, a.until != 0 && c.GetSentAt() <= a.until:
		return ""
	case p.shown.has[tag] || a.knows(tag) || slices.ContainsFunc(a.got, func(g Piece) bool { return g.tag == tag }):
		return ""
	case p.Passes.Removal(key) != nil && !known, p.Passes.Private() && !known && a.awaits.passes[key] != id:
		return ""
	case !p.Cfg.Verify(base.Claim{As: base.AsBroadcast, Key: key, Signed: s}):
		return "a broadcast of the past that its author has not signed"
	}
	piece := newPiece(c, s)
	piece.Proved = (known || p.Passes.Private()) && (owner == nil || owner.Record.Key == key)
	piece.from = a.awaits
	a.got = append(a.got, piece)
	return ""
}

// judge notes whose passes are valid, and for which IDs. The others do not count: a removal may have
// come to us alone. A pass comes once, before the first message of its owner, which may say more in
// later parts.
func (p *Past) judge(q *question, list []*pb.Pass) {
	if !p.Passes.Private() {
		return
	}
	for _, pass := range list {
		grant, err := pb.ParseGrant(pass.GetGrant())
		if err != nil {
			continue
		}
		r := &base.Record{ID: certs.ID(grant.GetId()), Key: certs.PublicKey(grant.GetKey()), Type: pb.AnnouncementType_JOIN}
		if r.Standing, err = base.OpenPass(pass, r.ID, r.Key); err != nil {
			continue
		}
		barred, err := p.Passes.PassOf(r)
		if claim := p.Passes.Claim(r).And; err != nil || barred != nil || claim != nil && !p.Cfg.Verify(*claim) {
			continue
		}
		p.Passes.Learn(r)
		q.passes[r.Key] = r.ID
	}
}

// show hands what was found to the user.
func (p *Past) show(a *ask) {
	if p.shown.count-a.shownYet > maxShown {
		p.Note(base.Warn, "so much was said meanwhile that what was said before is not shown", "room", a.room)
		return
	}
	list := slices.DeleteFunc(a.got, func(g Piece) bool { return p.shown.has[g.tag] })
	Order(list)
	list = list[max(0, len(list)-pb.MaxPast):]
	if len(list) == 0 {
		return
	}
	event := base.Recalled{Room: a.room}
	for _, g := range list {
		p.shown.add(g.tag)
		event.List = append(event.List, g.Bygone)
	}
	p.Out.Events = append(p.Out.Events, event)
}

// size is what a broadcast counts in an answer.
func size(s *pb.Signed) int { return len(s.GetPayload()) + len(s.GetSignature()) }
