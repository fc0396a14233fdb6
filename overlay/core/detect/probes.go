package detect

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Times and numbers of probes. Those of witnesses are of the membership study of the design; the
// others are guesses.
const (
	witnessRound      = 800 * time.Millisecond // for an answer; after two a witness no longer counts
	enoughWitnesses   = 3                      // silent ones, where there are so many
	pingTimeout       = 700 * time.Millisecond
	pingAgain         = 3 * time.Second // the second of a probe that nothing has prompted
	probeTime         = 20 * time.Second
	MaxProbes         = 256 // at once
	MaxAskers         = 16  // peers that wait for the end of a probe
	maxStrangerRounds = 5   // of witnesses that have no link to the subject
	askedAtOnce       = 8   // witnesses in the first round; all in the next
)

// Probes finds out whether peers are alive, as SWIM does: it pings them, and asks witnesses that
// should hear them.
type Probes struct {
	*base.Env
	table  *table.Table
	links  *link.Links
	routes *route.Routes
	doubt  *link.Doubt
	reach  *reach.Reach
	List   []*probe
}

// NewProbes returns probes, of which none is under way.
func NewProbes(en *base.Env, t *table.Table, ls *link.Links, rt *route.Routes, db *link.Doubt, re *reach.Reach) *Probes {
	return &Probes{Env: en, table: t, links: ls, routes: rt, doubt: db, reach: re}
}

// probe is the state of finding out whether one peer is alive. It ends when we or a witness hear
// the peer, or with LOST.
type probe struct {
	subject *table.Entry
	about   *base.Record
	began   time.Duration
	urgent  bool // pings are repeated at once
	ended   bool

	// Our own evidence: a silent link, or pings and a dial without an answer.
	own    bool
	number uint64      // of the pings
	over   base.LinkID // the first one has gone
	tries  int
	next   time.Duration // the next try

	witnesses []witness
	nextRound time.Duration
	asked     int     // rounds of questions so far
	rounds    int     // rounds of strangers so far
	Askers    []Asker // peers that wait for the outcome
	fresh     time.Duration
}

// Asker is a peer that has asked about another, and how its question has come.
type Asker struct {
	ID   certs.ID
	Over base.LinkID // the link
	Back []string    // see route.WayBack
}

// witness is a peer that is asked about another.
type witness struct {
	id         certs.ID
	unanswered int  // questions in a row
	quiet      bool // it does not reach the peer either
}

// start begins a probe; nil if one is under way or there are too many. A probe of a lost peer
// serves those that do not believe it lost yet.
func (pr *Probes) start(e *table.Entry, urgent bool) *probe {
	if pr.of(e) != nil || len(pr.List) >= MaxProbes || e == pr.table.Self || e.IsGuest() || pr.Visiting || pr.Leaving {
		return nil
	}
	p := &probe{subject: e, about: e.Record, began: pr.Now, urgent: urgent, number: pr.Cfg.Rand.Uint64(), fresh: -link.FreshWithin}
	pr.List = append(pr.List, p)
	pr.Wake(pr.Now)
	return p
}

// Check begins a probe that nothing has prompted; false if there can be none.
func (pr *Probes) Check(e *table.Entry) bool { return pr.start(e, false) != nil }

// IsProbed reports whether a probe of a peer is under way.
func (pr *Probes) IsProbed(e *table.Entry) bool { return pr.of(e) != nil }

func (pr *Probes) of(e *table.Entry) *probe {
	for _, p := range pr.List {
		if p.subject == e && !p.ended {
			return p
		}
	}
	return nil
}

// Pursue advances all probes.
func (pr *Probes) Pursue() {
	for i := 0; i < len(pr.List); i++ { // a step may append
		if p := pr.List[i]; !p.ended {
			pr.step(p)
		}
	}
	pr.List = slices.DeleteFunc(pr.List, func(p *probe) bool { return p.ended })
}

func (pr *Probes) step(p *probe) {
	e := p.subject
	l := pr.links.LinkTo(e.Record.Key)
	switch {
	case e.Record.Tie != p.about.Tie || e.Over() || pr.Leaving:
		p.ended = true
		return
	case pr.Now > p.began+probeTime+pr.slowness():
		p.ended = true
		if l == nil && p.own && e.Alive() && p.fresh < 0 {
			pr.Happen(Missed{e}) // no witness knows anything about it
		}
		return
	}
	if l != nil && !l.Quiet {
		pr.heardOf(p)
		return
	}
	if pr.doubt.Doubtful() {
		return
	}
	if !p.own {
		pr.try(p)
	}
	switch {
	case !p.own:
	case e.Alive():
		pr.weigh(p)
	default: // another has been quicker
		p.ended = true
		pr.Happen(Accused{e})
	}
}

// slowness is how much longer answers may take because of our slowest link, over which all of them
// may come: a line of 64 kbit/s whose queue is full takes 8 s each way. A peer that is slow on
// purpose at most doubles the time of a probe.
func (pr *Probes) slowness() (most time.Duration) {
	for _, l := range pr.links.List {
		if l.State == link.LinkUp {
			most = max(most, l.Slowness())
		}
	}
	return min(most, probeTime)
}

// try gathers evidence of our own: a ping, then a second one and a dial.
func (pr *Probes) try(p *probe) {
	if pr.Now < p.next {
		pr.Wake(p.next)
		return
	}
	pause := pingTimeout
	switch p.tries {
	case 0:
		pr.ping(p)
		if !p.urgent {
			pause = pingAgain
		}
	case 1:
		pr.ping(p)
		pr.reach.DialEntry(p.subject)
	default:
		p.own = true
		pr.answerAll(p, false)
	}
	p.tries++
	p.next = pr.Now + pr.doubt.Stretch(pause)
	pr.Wake(p.next)
}

func (pr *Probes) ping(p *probe) {
	m := &pb.Ping{Number: p.number, Key: p.subject.Record.Key[:]}
	over := pr.routes.SendAround(p.subject.Record.ID, &pb.Routed{Content: &pb.Routed_Ping{Ping: m}}, p.tries)
	if p.tries == 0 {
		p.over = over
	}
}

// ReceivePong takes the answer to a ping. One that comes by another way than that of the first ping answers
// the second.
func (pr *Probes) ReceivePong(over base.LinkID, from certs.ID, m *pb.Ping) {
	for _, p := range pr.List {
		if !p.ended && p.number == m.GetNumber() && p.subject.Record.ID == from {
			if p.tries > 1 && p.over != over {
				pr.routes.Swallowed(p.over)
			}
			pr.heardOf(p)
		}
	}
}

// heardOf ends a probe, since the peer is alive, and answers those that have asked.
func (pr *Probes) heardOf(p *probe) {
	p.ended = true
	if e := p.subject; e.Alive() && pr.Now-e.Said >= table.Lease {
		e.Said = pr.Now // it has not renewed it, or somebody has lied about its age
	}
	pr.answerAll(p, true)
	pr.Happen(Lives{p.subject})
}

// weigh asks the witnesses, round by round, until enough of them have not heard the peer either
// and none has.
func (pr *Probes) weigh(p *probe) {
	quiet, counted := 0, 0
	for _, w := range p.witnesses {
		if w.quiet {
			quiet++
		}
		if w.quiet || w.unanswered < 2 || pr.Now < p.nextRound {
			counted++
		}
	}
	switch {
	case pr.Now-p.fresh < link.FreshWithin:
		pr.Wake(p.fresh + link.FreshWithin)
		return // a witness hears it, so the fault lies with our link
	case quiet > 0 && quiet >= min(enoughWitnesses, counted):
		p.ended = true
		pr.Tell(base.Debug, base.Accusation, "lost", "peer", string(p.subject.Record.ID), "key", p.subject.Record.Key.String())
		pr.Happen(Accused{p.subject})
		return
	case pr.Now < p.nextRound:
		pr.Wake(p.nextRound)
		return
	}
	if counted == quiet { // no witness is left to ask
		pr.askStrangers(p)
	}
	pr.askAll(p)
}

// askNeighbours makes the peer's other neighbours the witnesses.
func (pr *Probes) askNeighbours(p *probe) {
	p.addWitnesses(p.subject.Our().Neighbours)
	pr.Cfg.Rand.Shuffle(len(p.witnesses), func(i, j int) { p.witnesses[i], p.witnesses[j] = p.witnesses[j], p.witnesses[i] })
	p.witnesses = slices.DeleteFunc(p.witnesses, func(w witness) bool { return w.id == pr.Cfg.ID })
}

func (p *probe) addWitnesses(list []certs.ID) {
	for _, id := range list {
		if !slices.ContainsFunc(p.witnesses, func(w witness) bool { return w.id == id }) && id != p.subject.Record.ID {
			p.witnesses = append(p.witnesses, witness{id: id})
		}
	}
}

// strangersAsked is how many strangers are asked in a round. After a cut in halves all three are
// on the far side one time in eight, and the round is lost, which costs 1.6 s: that is the tail
// of the time until a cut is known. Each stranger more begins a probe of its own, which at 20 %
// loss calls more of the living lost than the tail is worth (rough, 300 peers, seeds 1 to 3,
// pairs of peers: 0, 0, 48 with three; 42, 7, 43 with four; 34, 64, 112 with six).
const strangersAsked = 3

// askStrangers adds peers that have no link to the subject, as far as we know: they gather
// evidence of their own. They are taken at random and not from our neighbours, whose paths are
// ours.
func (pr *Probes) askStrangers(p *probe) {
	if p.rounds >= maxStrangerRounds {
		return
	}
	if p.rounds == 0 {
		pr.reach.DialEntry(p.subject)
	}
	p.rounds++
	for range strangersAsked {
		e := pr.table.Pick(func(e *table.Entry) bool {
			return e.Alive() && e != pr.table.Self && !e.IsGuest() && e != p.subject && pr.of(e) == nil &&
				!slices.ContainsFunc(p.witnesses, func(w witness) bool { return w.id == e.Record.ID })
		})
		if e != nil {
			p.addWitnesses([]certs.ID{e.Record.ID})
		}
	}
}

// askAll asks the witnesses that have not answered: some of them, in the next round all.
func (pr *Probes) askAll(p *probe) {
	p.nextRound = pr.Now + pr.doubt.Stretch(witnessRound)
	pr.Wake(p.nextRound)
	most := len(p.witnesses)
	if p.asked++; p.asked == 1 {
		most = askedAtOnce
	}
	for i := range p.witnesses {
		w := &p.witnesses[i]
		if w.quiet || w.unanswered >= 2 {
			continue
		}
		if most--; most < 0 {
			return
		}
		r := p.subject.Record
		pr.routes.SendAround(w.id, &pb.Routed{Content: &pb.Routed_Question{Question: &pb.Question{
			Subject: r.Key[:], Id: string(r.ID), Epoch: r.Epoch, Seq: r.Seq,
		}}}, w.unanswered, r.ID)
		w.unanswered++
	}
}

// ReceiveQuestion answers whether we hear the peer: over a link, or by a probe of our own.
func (pr *Probes) ReceiveQuestion(by Asker, m *pb.Question) {
	e := pr.table.Get(certs.ID(m.GetId()), certs.PublicKey(m.GetSubject()))
	if e == nil || e.Over() || e.Record.Epoch != m.GetEpoch() || e.Record.Seq != m.GetSeq() || pr.doubt.Doubtful() {
		return // the flood brings later news to the asker; without the entry we can't know
	}
	l := pr.links.LinkTo(e.Record.Key)
	switch {
	case e == pr.table.Self || l != nil && l.HeardLately(pr.Now):
		pr.answer(by, e.Record, true)
	case l != nil && pr.mayHear(l): // perhaps we can't hear: others have to say
	case l != nil:
		pr.answer(by, e.Record, false)
	default:
		p := pr.of(e)
		if p == nil {
			p = pr.start(e, true)
		}
		switch {
		case p == nil:
		case p.own:
			pr.answer(by, e.Record, false)
		case len(p.Askers) < MaxAskers && !slices.ContainsFunc(p.Askers, func(a Asker) bool { return a.ID == by.ID }):
			p.Askers = append(p.Askers, by)
			if !p.urgent {
				p.urgent, p.next = true, pr.Now
				pr.Wake(pr.Now)
			}
		}
	}
}

// mayHear reports whether a link's peer may have sent something lately that waits with us.
func (pr *Probes) mayHear(l *link.Link) bool {
	return pr.Now-l.Heard <= pr.doubt.Stretch(link.FreshWithin)+l.Slowness()
}

// answer tells a peer that has asked whether we hear the subject.
func (pr *Probes) answer(to Asker, r *base.Record, fresh bool) {
	var avoid []certs.ID
	if !fresh {
		avoid = append(avoid, r.ID)
	}
	pr.routes.SendBack(to.Over, to.ID, &pb.Routed{Back: to.Back, Content: &pb.Routed_Answer{Answer: &pb.Answer{
		Subject: r.Key[:], Epoch: r.Epoch, Seq: r.Seq, Fresh: fresh,
	}}}, avoid...)
}

// answerAll answers all that wait for the outcome of a probe.
func (pr *Probes) answerAll(p *probe, fresh bool) {
	for _, asker := range p.Askers {
		pr.answer(asker, p.subject.Record, fresh)
	}
	p.Askers = nil
}

// ReceiveAnswer takes the answer of a witness.
func (pr *Probes) ReceiveAnswer(from certs.ID, m *pb.Answer) {
	i := slices.IndexFunc(pr.List, func(p *probe) bool {
		r := p.subject.Record
		return !p.ended && r.Key == certs.PublicKey(m.GetSubject()) && r.Epoch == m.GetEpoch() && r.Seq == m.GetSeq()
	})
	if i < 0 {
		return
	}
	p := pr.List[i]
	k := slices.IndexFunc(p.witnesses, func(w witness) bool { return w.id == from })
	if k < 0 {
		return // we have not asked
	}
	w := &p.witnesses[k]
	w.unanswered, w.quiet = 0, !m.GetFresh()
	if m.GetFresh() {
		if p.own && p.fresh < 0 {
			pr.doubt.AtLeast(pr.doubt.Score + 1)
		}
		if pr.links.LinkTo(p.subject.Record.Key) == nil {
			pr.heardOf(p)
			return
		}
		p.fresh = pr.Now
		pr.reach.DialEntry(p.subject) // the path to it may have changed
		return
	}
	pr.step(p)
}

// Told lets our own evidence confirm that a peer is lost.
func (pr *Probes) Told(ch link.Change) {
	e := ch.Entry
	if l := pr.links.LinkTo(e.Record.Key); e.Suspect(pr.Now) && l != nil && !pr.mayHear(l) && !pr.doubt.Doubtful() {
		pr.Happen(Accused{e})
	} else if e.Suspect(pr.Now) && pr.of(e) != nil {
		pr.Wake(pr.Now)
	}
}

// Lives: we or a witness have heard a peer that was probed.
type Lives struct{ Entry *table.Entry }

// Missed: no witness knows anything about a peer.
type Missed struct{ Entry *table.Entry }

// Accused: we have found a peer lost, before others or after them.
type Accused struct{ Entry *table.Entry }
