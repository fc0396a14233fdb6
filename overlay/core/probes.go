package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// Times and numbers of probes. Those of witnesses are of the membership study of the design; the
// others are guesses.
const (
	witnessRound      = 800 * time.Millisecond // for an answer; after two a witness no longer counts
	enoughWitnesses   = 3                      // silent ones, where there are so many
	pingTimeout       = 700 * time.Millisecond
	pingAgain         = 3 * time.Second // the second of a probe that nothing has prompted
	probeTime         = 20 * time.Second
	maxProbes         = 256 // at once
	maxAskers         = 16  // peers that wait for the end of a probe
	maxStrangerRounds = 5   // of witnesses that have no link to the subject
	askedAtOnce       = 8   // witnesses in the first round; all in the next
)

// probes finds out whether peers are alive, as SWIM does: it pings them, and asks witnesses that
// should hear them.
type probes struct {
	*env
	table  *table
	links  *links
	routes *routes
	doubt  *doubt
	gossip *gossip
	reach  *reach
	list   []*probe
}

// probe is the state of finding out whether one peer is alive. It ends when we or a witness hear
// the peer, or with LOST.
type probe struct {
	subject *entry
	about   *Record
	began   time.Duration
	urgent  bool // pings are repeated at once
	ended   bool

	// Our own evidence: a silent link, or pings and a dial without an answer.
	own    bool
	number uint64 // of the pings
	tries  int
	next   time.Duration // the next try

	witnesses []witness
	nextRound time.Duration
	asked     int        // rounds of questions so far
	rounds    int        // rounds of strangers so far
	askers    []certs.ID // peers that wait for the outcome
	fresh     time.Duration
}

// witness is a peer that is asked about another.
type witness struct {
	id         certs.ID
	unanswered int  // questions in a row
	quiet      bool // it does not reach the peer either
}

// start begins a probe; nil if one is under way or there are too many. A probe of a lost peer
// serves those that do not believe it lost yet.
func (pr *probes) start(e *entry, urgent bool) *probe {
	if pr.of(e) != nil || len(pr.list) >= maxProbes || e == pr.table.self || e.isGuest() || pr.visiting || pr.leaving {
		return nil
	}
	p := &probe{subject: e, about: e.record, began: pr.now, urgent: urgent, number: pr.cfg.Rand.Uint64(), fresh: -freshWithin}
	pr.list = append(pr.list, p)
	pr.wake(pr.now)
	return p
}

func (pr *probes) of(e *entry) *probe {
	for _, p := range pr.list {
		if p.subject == e && !p.ended {
			return p
		}
	}
	return nil
}

// pursue advances all probes.
func (pr *probes) pursue() {
	for i := 0; i < len(pr.list); i++ { // a step may append
		if p := pr.list[i]; !p.ended {
			pr.step(p)
		}
	}
	pr.list = slices.DeleteFunc(pr.list, func(p *probe) bool { return p.ended })
}

func (pr *probes) step(p *probe) {
	e := p.subject
	l := pr.links.linkTo(e.record.Key)
	switch {
	case e.record.tie != p.about.tie || e.state == pb.AnnouncementType_LEAVE || pr.leaving:
		p.ended = true
		return
	case pr.now > p.began+probeTime:
		p.ended = true
		if l == nil && p.own && e.alive() && p.fresh < 0 {
			pr.happen(missed{e}) // no witness knows anything about it
		}
		return
	}
	if l != nil && !l.quiet {
		pr.heardOf(p)
		return
	}
	if pr.doubt.doubtful() {
		return
	}
	if !p.own {
		pr.try(p)
	}
	switch {
	case !p.own:
	case e.alive():
		pr.weigh(p)
	default: // another has been quicker
		p.ended = true
		pr.happen(accused{e})
	}
}

// try gathers evidence of our own: a ping, then a second one and a dial.
func (pr *probes) try(p *probe) {
	if pr.now < p.next {
		pr.wake(p.next)
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
		pr.reach.dialEntry(p.subject)
	default:
		p.own = true
		pr.answerAll(p, false)
	}
	p.tries++
	p.next = pr.now + pr.doubt.stretch(pause)
	pr.wake(p.next)
}

func (pr *probes) ping(p *probe) {
	pr.routes.sendRouted(p.subject.record.ID, &pb.Routed{Content: &pb.Routed_Ping{Ping: &pb.Ping{Number: p.number, Key: p.subject.record.Key[:]}}})
}

func (pr *probes) receivePong(from certs.ID, m *pb.Ping) {
	for _, p := range pr.list {
		if !p.ended && p.number == m.GetNumber() && p.subject.record.ID == from {
			pr.heardOf(p)
		}
	}
}

// heardOf ends a probe, since the peer is alive, and answers those that have asked.
func (pr *probes) heardOf(p *probe) {
	p.ended = true
	pr.answerAll(p, true)
}

// weigh asks the witnesses, round by round, until enough of them have not heard the peer either
// and none has.
func (pr *probes) weigh(p *probe) {
	quiet, counted := 0, 0
	for _, w := range p.witnesses {
		if w.quiet {
			quiet++
		}
		if w.quiet || w.unanswered < 2 || pr.now < p.nextRound {
			counted++
		}
	}
	switch {
	case pr.now-p.fresh < freshWithin:
		pr.wake(p.fresh + freshWithin)
		return // a witness hears it, so the fault lies with our link
	case quiet > 0 && quiet >= min(enoughWitnesses, counted):
		p.ended = true
		pr.tell(Debug, Accusation, "lost", "peer", string(p.subject.record.ID), "key", p.subject.record.Key.String())
		pr.happen(accused{p.subject})
		return
	case pr.now < p.nextRound:
		pr.wake(p.nextRound)
		return
	}
	if counted == quiet { // no witness is left to ask
		pr.askStrangers(p)
	}
	pr.askAll(p)
}

// askNeighbours makes the peer's other neighbours the witnesses.
func (pr *probes) askNeighbours(p *probe) {
	p.addWitnesses(p.subject.our().neighbours)
	pr.cfg.Rand.Shuffle(len(p.witnesses), func(i, j int) { p.witnesses[i], p.witnesses[j] = p.witnesses[j], p.witnesses[i] })
	p.witnesses = slices.DeleteFunc(p.witnesses, func(w witness) bool { return w.id == pr.cfg.ID })
}

func (p *probe) addWitnesses(list []certs.ID) {
	for _, id := range list {
		if !slices.ContainsFunc(p.witnesses, func(w witness) bool { return w.id == id }) && id != p.subject.record.ID {
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
func (pr *probes) askStrangers(p *probe) {
	if p.rounds >= maxStrangerRounds {
		return
	}
	if p.rounds == 0 {
		pr.reach.dialEntry(p.subject)
	}
	p.rounds++
	for range strangersAsked {
		e := pr.table.pick(func(e *entry) bool {
			return e.alive() && e != pr.table.self && !e.isGuest() && e != p.subject && pr.of(e) == nil &&
				!slices.ContainsFunc(p.witnesses, func(w witness) bool { return w.id == e.record.ID })
		})
		if e != nil {
			p.addWitnesses([]certs.ID{e.record.ID})
		}
	}
}

// askAll asks the witnesses that have not answered: some of them, in the next round all.
func (pr *probes) askAll(p *probe) {
	p.nextRound = pr.now + pr.doubt.stretch(witnessRound)
	pr.wake(p.nextRound)
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
		w.unanswered++
		r := p.subject.record
		pr.routes.sendRouted(w.id, &pb.Routed{Content: &pb.Routed_Question{Question: &pb.Question{
			Subject: r.Key[:], Id: string(r.ID), Epoch: r.Epoch, Seq: r.Seq,
		}}}, r.ID)
	}
}

// receiveQuestion answers whether we hear the peer: over a link, or by a probe of our own.
func (pr *probes) receiveQuestion(from certs.ID, m *pb.Question) {
	e := pr.table.get(certs.ID(m.GetId()), certs.PublicKey(m.GetSubject()))
	if e == nil || e.state == pb.AnnouncementType_LEAVE || e.record.Epoch != m.GetEpoch() || e.record.Seq != m.GetSeq() || pr.doubt.doubtful() {
		return // the flood brings later news to the asker; without the entry we can't know
	}
	l := pr.links.linkTo(e.record.Key)
	switch {
	case e == pr.table.self || l != nil && pr.hears(l):
		pr.answer(from, e.record, true)
	case l != nil:
		pr.answer(from, e.record, false)
	default:
		p := pr.of(e)
		if p == nil {
			p = pr.start(e, true)
		}
		switch {
		case p == nil:
		case p.own:
			pr.answer(from, e.record, false)
		case len(p.askers) < maxAskers && !slices.Contains(p.askers, from):
			p.askers = append(p.askers, from)
			if !p.urgent {
				p.urgent, p.next = true, pr.now
				pr.wake(pr.now)
			}
		}
	}
}

// hears reports whether a link's peer was heard just now.
func (pr *probes) hears(l *link) bool {
	return pr.now-l.heard <= pr.doubt.stretch(freshWithin)+l.slowness()
}

// answer tells a peer that has asked whether we hear the subject.
func (pr *probes) answer(to certs.ID, r *Record, fresh bool) {
	var avoid []certs.ID
	if !fresh {
		avoid = append(avoid, r.ID)
	}
	pr.routes.sendRouted(to, &pb.Routed{Content: &pb.Routed_Answer{Answer: &pb.Answer{
		Subject: r.Key[:], Epoch: r.Epoch, Seq: r.Seq, Fresh: fresh,
	}}}, avoid...)
}

// answerAll answers all that wait for the outcome of a probe.
func (pr *probes) answerAll(p *probe, fresh bool) {
	for _, asker := range p.askers {
		pr.answer(asker, p.subject.record, fresh)
	}
	p.askers = nil
}

// receiveAnswer takes the answer of a witness.
func (pr *probes) receiveAnswer(from certs.ID, m *pb.Answer) {
	i := slices.IndexFunc(pr.list, func(p *probe) bool {
		r := p.subject.record
		return !p.ended && r.Key == certs.PublicKey(m.GetSubject()) && r.Epoch == m.GetEpoch() && r.Seq == m.GetSeq()
	})
	if i < 0 {
		return
	}
	p := pr.list[i]
	k := slices.IndexFunc(p.witnesses, func(w witness) bool { return w.id == from })
	if k < 0 {
		return // we have not asked
	}
	w := &p.witnesses[k]
	w.unanswered, w.quiet = 0, !m.GetFresh()
	if m.GetFresh() {
		if p.own && p.fresh < 0 {
			pr.doubt.atLeast(pr.doubt.score + 1)
		}
		p.fresh = pr.now
		if pr.links.linkTo(p.subject.record.Key) == nil {
			pr.heardOf(p)
		} else {
			pr.reach.dialEntry(p.subject) // the path to it may have changed
		}
		return
	}
	pr.step(p)
}

// told lets our own evidence confirm that a peer is lost.
func (pr *probes) told(ch change) {
	e := ch.entry
	if l := pr.links.linkTo(e.record.Key); e.suspect(pr.now) && l != nil && !pr.hears(l) && !pr.doubt.doubtful() {
		pr.happen(accused{e})
	} else if e.suspect(pr.now) && pr.of(e) != nil {
		pr.wake(pr.now)
	}
}

// missed: no witness knows anything about a peer.
type missed struct{ entry *entry }

// accused: we have found a peer lost, before others or after them.
type accused struct{ entry *entry }
