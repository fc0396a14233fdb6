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
	minTestimonies    = 2                      // of an accusation: the accuser's and another
	pingTimeout       = 700 * time.Millisecond
	pingAgain         = 3 * time.Second // the second of a probe that nothing has prompted
	probeTime         = 20 * time.Second
	refutedAtOnce     = 3 * time.Second // by a peer that was never gone
	refutedOften      = 4
	ignoreFor         = time.Minute
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
	about   version
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
	testimony *pb.Signed // our own
}

// witness is a peer that is asked about another.
type witness struct {
	id         certs.ID
	unanswered int // questions in a row
	said       *pb.Signed
}

// start begins a probe; nil if one is under way or there are too many. A probe of a lost peer
// serves those that do not believe it lost yet.
func (pr *probes) start(e *entry, urgent bool) *probe {
	if pr.of(e) != nil || len(pr.list) >= maxProbes || e == pr.table.self || e.isGuest() || pr.visiting || pr.leaving {
		return nil
	}
	p := &probe{subject: e, about: e.version(), began: pr.now, urgent: urgent, number: pr.cfg.Rand.Uint64(), fresh: -freshWithin}
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
	case e.version() != p.about || pr.leaving:
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
	default:
		p.ended = true
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
		for _, asker := range p.askers {
			pr.testify(p, asker)
		}
		p.askers = nil
	}
	p.tries++
	p.next = pr.now + pause
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
	for _, asker := range p.askers {
		pr.routes.sendRouted(asker, &pb.Routed{Content: &pb.Routed_Answer{Answer: p.answer(nil)}})
	}
}

// weigh asks the witnesses, round by round, until enough of them have not heard the peer either
// and none has.
func (pr *probes) weigh(p *probe) {
	quiet, counted := 0, 0
	for _, w := range p.witnesses {
		if w.said != nil {
			quiet++
		}
		if w.said != nil || w.unanswered < 2 || pr.now < p.nextRound {
			counted++
		}
	}
	switch {
	case pr.now-p.fresh < freshWithin:
		pr.wake(p.fresh + freshWithin)
		return // a witness hears it, so the fault lies with our link
	case quiet > 0 && quiet >= min(enoughWitnesses, counted):
		pr.accuse(p)
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
	p.nextRound = pr.now + witnessRound
	pr.wake(p.nextRound)
	most := len(p.witnesses)
	if p.asked++; p.asked == 1 {
		most = askedAtOnce
	}
	for i := range p.witnesses {
		w := &p.witnesses[i]
		if w.said != nil || w.unanswered >= 2 {
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
	case e == pr.table.self || l != nil && pr.now-l.heard <= freshWithin+pr.doubt.leniency()+l.slowness():
		a := &pb.Answer{Subject: m.Subject, Epoch: m.Epoch, Seq: m.Seq, Fresh: true}
		pr.routes.sendRouted(from, &pb.Routed{Content: &pb.Routed_Answer{Answer: a}})
	case l != nil:
		p := &probe{subject: e}
		pr.testify(p, from)
	default:
		p := pr.of(e)
		if p == nil {
			p = pr.start(e, true)
		}
		switch {
		case p == nil:
		case p.own:
			pr.testify(p, from)
		case len(p.askers) < maxAskers && !slices.Contains(p.askers, from):
			p.askers = append(p.askers, from)
			if !p.urgent {
				p.urgent, p.next = true, pr.now
				pr.wake(pr.now)
			}
		}
	}
}

// testify answers that we don't reach the peer either.
func (pr *probes) testify(p *probe, to certs.ID) {
	pr.routes.sendRouted(to, &pb.Routed{Content: &pb.Routed_Answer{Answer: p.answer(pr.ownTestimony(p))}}, p.subject.record.ID)
}

// ownTestimony signs our testimony, once for each probe.
func (pr *probes) ownTestimony(p *probe) *pb.Signed {
	if p.testimony == nil {
		r, key := p.subject.record, pr.cfg.Identity.Key()
		p.testimony = pr.cfg.Identity.SignTestimony(&pb.Testimony{
			Subject: r.Key[:], Epoch: r.Epoch, Seq: r.Seq, Witness: string(pr.cfg.ID), Key: key[:],
		})
	}
	return p.testimony
}

func (p *probe) answer(testimony *pb.Signed) *pb.Answer {
	r := p.subject.record
	return &pb.Answer{Subject: r.Key[:], Epoch: r.Epoch, Seq: r.Seq, Fresh: testimony == nil, Testimony: testimony}
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
	w.unanswered = 0
	if m.GetFresh() {
		w.said = nil
		p.fresh = pr.now
		if pr.links.linkTo(p.subject.record.Key) == nil {
			pr.heardOf(p)
		} else {
			pr.reach.dialEntry(p.subject) // the path to it may have changed
		}
		return
	}
	t, err := pb.ParseTestimony(m.GetTestimony())
	if err != nil || certs.ID(t.GetWitness()) != from || string(t.GetSubject()) != string(m.GetSubject()) ||
		t.GetEpoch() != m.GetEpoch() || t.GetSeq() != m.GetSeq() {
		return
	}
	if !pr.mayTestify(t) || !pr.cfg.Verify(Claim{Testimony: true, Key: certs.PublicKey(t.GetKey()), Signed: m.GetTestimony()}) {
		return
	}
	w.said = m.GetTestimony()
	pr.step(p)
}

// mayTestify reports whether the witness is a member whose testimony counts.
func (pr *probes) mayTestify(t *pb.Testimony) bool {
	e := pr.table.get(certs.ID(t.GetWitness()), certs.PublicKey(t.GetKey()))
	return e != nil && pr.now >= e.our().ignoredTill
}

// believes reports whether a LOST has testimonies of enough such members.
func (pr *probes) believes(n news) bool {
	count := 0
	for _, t := range n.witnesses {
		if pr.mayTestify(t) {
			count++
		}
	}
	return count >= minTestimonies
}

// accuse announces that the peer is lost, with our testimony and that of a witness.
func (pr *probes) accuse(p *probe) {
	p.ended = true
	e := p.subject
	pr.tell(Debug, Accusation, "lost", "peer", string(e.record.ID), "key", e.record.Key.String())
	proof := []*pb.Signed{pr.ownTestimony(p)}
	for _, w := range p.witnesses {
		if w.said != nil && len(proof) < minTestimonies {
			proof = append(proof, w.said)
		}
	}
	pr.happen(accused{e, proof})
}

// countRefuted records who has accused a peer that refuted at once: a peer refuted several times
// is not believed for a while. After a later refutation the accusation may have been true, since
// the peer may have been cut off.
func (pr *probes) countRefuted(e *entry, said time.Duration) {
	if pr.now > said+refutedAtOnce {
		return
	}
	for _, signed := range e.our().proof {
		t, err := pb.ParseTestimony(signed)
		if err != nil {
			continue // open has judged it
		}
		accuser := pr.table.get(certs.ID(t.GetWitness()), certs.PublicKey(t.GetKey()))
		if accuser == nil {
			continue
		}
		d := accuser.with()
		if pr.now > d.refutedAt+ignoreFor {
			d.refuted = 0
		}
		d.refuted, d.refutedAt = d.refuted+1, pr.now
		if d.refuted >= refutedOften {
			d.ignoredTill = pr.now + ignoreFor
			pr.note(Info, "its accusations are not believed for a while", "peer", t.GetWitness(), "refuted", d.refuted)
		}
	}
}

// told stores the testimonies of a LOST, and counts what became of it.
func (pr *probes) told(ch change) {
	e := ch.entry
	if ch.refutes() && !ch.begins() {
		pr.countRefuted(e, ch.said)
		d := e.with()
		if pr.now > d.revivedAt+patienceFor {
			d.revived = 0
		}
		d.revived, d.revivedAt = min(d.revived+1, 5), pr.now
	}
	if ch.news.proof != nil || e.side != nil {
		e.with().proof = ch.news.proof
	}
}
