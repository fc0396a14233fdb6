package core

import (
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// inquiries finds out whether others are still here, by asking those who should hear them.
type inquiries struct {
	*env
	table  *table
	links  *links
	routes *routes
	doubt  *doubt
	gossip *gossip
	reach  *reach
	list   []*inquiry
}

// inquiry is how far we are in finding out whether a peer is here. It ends when
// the peer is heard, when somebody has heard it, or with LOST.
type inquiry struct {
	subject *entry
	about   version
	began   time.Duration
	urgent  bool // pings are repeated at once
	ended   bool

	// Our own evidence: a silent link, or pings and a dial that reached nobody.
	own    bool
	number uint64 // of the pings
	tries  int
	next   time.Duration // the next try

	witnesses []witness
	nextRound time.Duration
	asked     int        // times that they were
	rounds    int        // of strangers asked
	askers    []certs.ID // who want to know as well
	fresh     time.Duration
	testimony *pb.Signed // our own
}

// witness is somebody who is asked about a peer.
type witness struct {
	id         certs.ID
	unanswered int // questions in a row
	said       *pb.Signed
}

// inquire begins an inquiry; nil if one is under way or there are too many. Of
// somebody lost it serves those who do not believe that yet.
func (iq *inquiries) inquire(e *entry, urgent bool) *inquiry {
	if iq.inquiryFor(e) != nil || len(iq.list) >= maxInquiries || e == iq.table.self || e.isGuest() || iq.visiting || iq.leaving {
		return nil
	}
	q := &inquiry{subject: e, about: e.version(), began: iq.now, urgent: urgent, number: iq.cfg.Rand.Uint64(), fresh: -freshWithin}
	iq.list = append(iq.list, q)
	iq.wake(iq.now)
	return q
}

func (iq *inquiries) inquiryFor(e *entry) *inquiry {
	for _, q := range iq.list {
		if q.subject == e && !q.ended {
			return q
		}
	}
	return nil
}

// pursue takes all inquiries a step further.
func (iq *inquiries) pursue() {
	for i := 0; i < len(iq.list); i++ { // what a step adds comes behind
		if q := iq.list[i]; !q.ended {
			iq.step(q)
		}
	}
	iq.list = slices.DeleteFunc(iq.list, func(q *inquiry) bool { return q.ended })
}

func (iq *inquiries) step(q *inquiry) {
	e := q.subject
	l := iq.links.linkTo(e.record.Key)
	switch {
	case e.version() != q.about || iq.leaving:
		q.ended = true
		return
	case iq.now > q.began+inquiryTime:
		q.ended = true
		if l == nil && q.own && e.alive() && q.fresh < 0 {
			iq.happen(missed{e}) // nobody else knows anything of it
		}
		return
	}
	if l != nil && !l.quiet {
		iq.heardOf(q)
		return
	}
	if iq.doubt.doubtful() {
		return
	}
	if !q.own {
		iq.try(q)
	}
	switch {
	case !q.own:
	case e.alive():
		iq.weigh(q)
	default:
		q.ended = true
	}
}

// try looks for evidence of our own: a ping, then a second one and a dial.
func (iq *inquiries) try(q *inquiry) {
	if iq.now < q.next {
		iq.wake(q.next)
		return
	}
	pause := pingTimeout
	switch q.tries {
	case 0:
		iq.ping(q)
		if !q.urgent {
			pause = pingAgain
		}
	case 1:
		iq.ping(q)
		iq.reach.dialEntry(q.subject)
	default:
		q.own = true
		for _, asker := range q.askers {
			iq.testify(q, asker)
		}
		q.askers = nil
	}
	q.tries++
	q.next = iq.now + pause
	iq.wake(q.next)
}

func (iq *inquiries) ping(q *inquiry) {
	iq.routes.sendRouted(q.subject.record.ID, &pb.Routed{Content: &pb.Routed_Ping{Ping: &pb.Ping{Number: q.number, Key: q.subject.record.Key[:]}}})
}

func (iq *inquiries) receivePong(from certs.ID, m *pb.Ping) {
	for _, q := range iq.list {
		if !q.ended && q.number == m.GetNumber() && q.subject.record.ID == from {
			iq.heardOf(q)
		}
	}
}

// heardOf ends an inquiry: the peer is here. Who has asked is told.
func (iq *inquiries) heardOf(q *inquiry) {
	q.ended = true
	for _, asker := range q.askers {
		iq.routes.sendRouted(asker, &pb.Routed{Content: &pb.Routed_Answer{Answer: q.answer(nil)}})
	}
}

// weigh asks the witnesses, round after round, until enough of them have not heard
// the peer either and none has.
func (iq *inquiries) weigh(q *inquiry) {
	quiet, counted := 0, 0
	for _, w := range q.witnesses {
		if w.said != nil {
			quiet++
		}
		if w.said != nil || w.unanswered < 2 || iq.now < q.nextRound {
			counted++
		}
	}
	switch {
	case iq.now-q.fresh < freshWithin:
		iq.wake(q.fresh + freshWithin)
		return // somebody hears it: it is our link that is silent
	case quiet > 0 && quiet >= min(enoughWitnesses, counted):
		iq.accuse(q)
		return
	case iq.now < q.nextRound:
		iq.wake(q.nextRound)
		return
	}
	if counted == quiet { // nobody is left to be asked
		iq.askStrangers(q)
	}
	iq.askAll(q)
}

// askNeighbours makes the peer's other neighbours the witnesses.
func (iq *inquiries) askNeighbours(q *inquiry) {
	q.addWitnesses(q.subject.our().neighbours)
	iq.cfg.Rand.Shuffle(len(q.witnesses), func(i, j int) { q.witnesses[i], q.witnesses[j] = q.witnesses[j], q.witnesses[i] })
	q.witnesses = slices.DeleteFunc(q.witnesses, func(w witness) bool { return w.id == iq.cfg.ID })
}

func (q *inquiry) addWitnesses(list []certs.ID) {
	for _, id := range list {
		if !slices.ContainsFunc(q.witnesses, func(w witness) bool { return w.id == id }) && id != q.subject.record.ID {
			q.witnesses = append(q.witnesses, witness{id: id})
		}
	}
}

// strangersAsked are those of a round. After a cut in halves all of three are on the far side
// one time in eight, and the round is lost, which costs 1.6 s: that is the tail of the time
// in which a cut is known. Each more begins an inquiry of its own, and at 20 % loss that calls
// more of the living lost than the tail is worth (rough, 300 peers, seeds 1 to 3, pairs of
// peers: 0, 0, 48 with three; 42, 7, 43 with four; 34, 64, 112 with six).
const strangersAsked = 3

// askStrangers adds peers that have no link to the subject, as far as we know:
// they look for evidence of their own. They are taken at random, and not from our
// neighbours, whose ways are ours.
func (iq *inquiries) askStrangers(q *inquiry) {
	if q.rounds >= maxStrangerRounds {
		return
	}
	if q.rounds == 0 {
		iq.reach.dialEntry(q.subject)
	}
	q.rounds++
	for range strangersAsked {
		e := iq.table.pick(func(e *entry) bool {
			return e.alive() && e != iq.table.self && !e.isGuest() && e != q.subject && iq.inquiryFor(e) == nil &&
				!slices.ContainsFunc(q.witnesses, func(w witness) bool { return w.id == e.record.ID })
		})
		if e != nil {
			q.addWitnesses([]certs.ID{e.record.ID})
		}
	}
}

// askAll asks the witnesses that have not said anything: some, then all.
func (iq *inquiries) askAll(q *inquiry) {
	q.nextRound = iq.now + witnessRound
	iq.wake(q.nextRound)
	most := len(q.witnesses)
	if q.asked++; q.asked == 1 {
		most = askedAtOnce
	}
	for i := range q.witnesses {
		w := &q.witnesses[i]
		if w.said != nil || w.unanswered >= 2 {
			continue
		}
		if most--; most < 0 {
			return
		}
		w.unanswered++
		r := q.subject.record
		iq.routes.sendRouted(w.id, &pb.Routed{Content: &pb.Routed_Question{Question: &pb.Question{
			Subject: r.Key[:], Id: string(r.ID), Epoch: r.Epoch, Seq: r.Seq,
		}}}, r.ID)
	}
}

// receiveQuestion answers by what we hear of the peer ourselves: over a link, or
// after an inquiry of our own.
func (iq *inquiries) receiveQuestion(from certs.ID, m *pb.Question) {
	e := iq.table.get(certs.ID(m.GetId()), certs.PublicKey(m.GetSubject()))
	if e == nil || e.state == pb.AnnouncementType_LEAVE || e.record.Epoch != m.GetEpoch() || e.record.Seq != m.GetSeq() || iq.doubt.doubtful() {
		return // who has later news hears it by the flood, who has none can't know
	}
	l := iq.links.linkTo(e.record.Key)
	switch {
	case e == iq.table.self || l != nil && iq.now-l.heard <= freshWithin+iq.doubt.leniency()+l.slowness():
		a := &pb.Answer{Subject: m.Subject, Epoch: m.Epoch, Seq: m.Seq, Fresh: true}
		iq.routes.sendRouted(from, &pb.Routed{Content: &pb.Routed_Answer{Answer: a}})
	case l != nil:
		q := &inquiry{subject: e}
		iq.testify(q, from)
	default:
		q := iq.inquiryFor(e)
		if q == nil {
			q = iq.inquire(e, true)
		}
		switch {
		case q == nil:
		case q.own:
			iq.testify(q, from)
		case len(q.askers) < maxAskers && !slices.Contains(q.askers, from):
			q.askers = append(q.askers, from)
			if !q.urgent {
				q.urgent, q.next = true, iq.now
				iq.wake(iq.now)
			}
		}
	}
}

// testify answers that we don't reach the peer either.
func (iq *inquiries) testify(q *inquiry, to certs.ID) {
	iq.routes.sendRouted(to, &pb.Routed{Content: &pb.Routed_Answer{Answer: q.answer(iq.ownTestimony(q))}}, q.subject.record.ID)
}

// ownTestimony signs, once for each inquiry, what we say.
func (iq *inquiries) ownTestimony(q *inquiry) *pb.Signed {
	if q.testimony == nil {
		r, key := q.subject.record, iq.cfg.Identity.Key()
		q.testimony = iq.cfg.Identity.SignTestimony(&pb.Testimony{
			Subject: r.Key[:], Epoch: r.Epoch, Seq: r.Seq, Witness: string(iq.cfg.ID), Key: key[:],
		})
	}
	return q.testimony
}

func (q *inquiry) answer(testimony *pb.Signed) *pb.Answer {
	r := q.subject.record
	return &pb.Answer{Subject: r.Key[:], Epoch: r.Epoch, Seq: r.Seq, Fresh: testimony == nil, Testimony: testimony}
}

// receiveAnswer takes what a witness says.
func (iq *inquiries) receiveAnswer(from certs.ID, m *pb.Answer) {
	i := slices.IndexFunc(iq.list, func(q *inquiry) bool {
		r := q.subject.record
		return !q.ended && r.Key == certs.PublicKey(m.GetSubject()) && r.Epoch == m.GetEpoch() && r.Seq == m.GetSeq()
	})
	if i < 0 {
		return
	}
	q := iq.list[i]
	k := slices.IndexFunc(q.witnesses, func(w witness) bool { return w.id == from })
	if k < 0 {
		return // we have not asked
	}
	w := &q.witnesses[k]
	w.unanswered = 0
	if m.GetFresh() {
		w.said = nil
		q.fresh = iq.now
		if iq.links.linkTo(q.subject.record.Key) == nil {
			iq.heardOf(q)
		} else {
			iq.reach.dialEntry(q.subject) // the path to it may have changed
		}
		return
	}
	t, err := pb.ParseTestimony(m.GetTestimony())
	if err != nil || certs.ID(t.GetWitness()) != from || string(t.GetSubject()) != string(m.GetSubject()) ||
		t.GetEpoch() != m.GetEpoch() || t.GetSeq() != m.GetSeq() {
		return
	}
	if !iq.mayTestify(t) || !iq.cfg.Verify(Claim{Testimony: true, Key: certs.PublicKey(t.GetKey()), Signed: m.GetTestimony()}) {
		return
	}
	w.said = m.GetTestimony()
	iq.step(q)
}

// mayTestify says that the witness is a member whose word counts.
func (iq *inquiries) mayTestify(t *pb.Testimony) bool {
	e := iq.table.get(certs.ID(t.GetWitness()), certs.PublicKey(t.GetKey()))
	return e != nil && iq.now >= e.our().ignoredTill
}

// believes says that enough members whose word counts stand behind a LOST.
func (iq *inquiries) believes(n news) bool {
	count := 0
	for _, t := range n.witnesses {
		if iq.mayTestify(t) {
			count++
		}
	}
	return count >= minTestimonies
}

// accuse says that the peer is lost, with our testimony and that of a witness.
func (iq *inquiries) accuse(q *inquiry) {
	q.ended = true
	e := q.subject
	iq.tell(Debug, Accusation, "lost", "peer", string(e.record.ID), "key", e.record.Key.String())
	proof := []*pb.Signed{iq.ownTestimony(q)}
	for _, w := range q.witnesses {
		if w.said != nil && len(proof) < minTestimonies {
			proof = append(proof, w.said)
		}
	}
	iq.happen(accused{e, proof})
}

// countRefuted remembers who has accused a peer that has refuted at once: who is
// refuted so several times is not believed for a while. A refutation that comes
// later may be true as the accusation was: the peer was cut off.
func (iq *inquiries) countRefuted(e *entry, said time.Duration) {
	if iq.now > said+refutedAtOnce {
		return
	}
	for _, signed := range e.our().proof {
		t, err := pb.ParseTestimony(signed)
		if err != nil {
			continue // open has judged it
		}
		accuser := iq.table.get(certs.ID(t.GetWitness()), certs.PublicKey(t.GetKey()))
		if accuser == nil {
			continue
		}
		d := accuser.with()
		if iq.now > d.refutedAt+ignoreFor {
			d.refuted = 0
		}
		d.refuted, d.refutedAt = d.refuted+1, iq.now
		if d.refuted >= refutedOften {
			d.ignoredTill = iq.now + ignoreFor
			iq.note(Info, "its accusations are not believed for a while", "peer", t.GetWitness(), "refuted", d.refuted)
		}
	}
}

// told keeps what stands behind a LOST, and what became of it.
func (iq *inquiries) told(ch change) {
	e := ch.entry
	if ch.refutes() && !ch.begins() {
		iq.countRefuted(e, ch.said)
		d := e.with()
		if iq.now > d.revivedAt+patienceFor {
			d.revived = 0
		}
		d.revived, d.revivedAt = min(d.revived+1, 5), iq.now
	}
	if ch.news.proof != nil || e.side != nil {
		e.with().proof = ch.news.proof
	}
}
