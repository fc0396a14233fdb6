package delivery

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// start starts a process from what is on the disk.
func (p *simPeer) start() {
	p.epoch++
	p.nonce = p.w.rng.Uint64()
	n := len(p.w.peers)
	if n == 0 || p.index >= n {
		n = 8
	}
	proc := &simProcess{}
	for i := range 8 {
		proc.outbox = append(proc.outbox, &Outbox{})
		mark := p.disk.marks[i]
		in := NewInbox(Mark{mark.runs, mark.hash, p.disk.gaps[i]})
		proc.inbox = append(proc.inbox, &in)
		proc.again, proc.link = append(proc.again, 0), append(proc.link, nil)
	}
	positions := make([]Position, 0, len(p.disk.outbox))
	for at := range p.disk.outbox {
		positions = append(positions, at)
	}
	slices.SortFunc(positions, Position.Compare)
	for _, at := range positions {
		s := p.disk.outbox[at]
		m := s.m
		m.Stored, m.Receipt, m.Cancelled = true, nil, false
		proc.outbox[s.to].Add(&m)
	}
	p.p = proc
	p.w.note("%s starts with %d messages", p.id, len(positions))
}

// kill ends the process at this point.
func (p *simPeer) kill() {
	p.w.note("%s is killed", p.id)
	p.w.kills++
	p.p = nil
	for _, q := range p.w.peers {
		if q.p != nil {
			q.breakLink(p.index)
		}
	}
}

// breakLink ends the link to a receiver: messages on it are lost.
func (p *simPeer) breakLink(to int) {
	if p.p.link[to] != nil {
		p.p.link[to] = nil
		p.p.outbox[to].Rewind(Direct)
	}
}

// send is a message of the program.
func (p *simPeer) send(to int) {
	w := p.w
	p.p.counter++
	at := Position{p.epoch, p.p.counter}
	m := &Outgoing{Position: at, Nonce: p.nonce, Body: fmt.Sprint(p.id, at, p.nonce), Taken: w.now}
	prefix := certs.MessagePrefix(p.key, p.epoch, p.nonce)
	copy(m.ID[:], prefix[:])
	for i := range 8 {
		m.ID[8+i] = byte(at.Counter >> (56 - 8*i))
	}
	s := &simMessage{id: m.ID, from: p.index, to: to, at: at, nonce: p.nonce}
	w.note("%s sends %v to p%d", p.id, at, to)
	w.sent[m.ID] = s
	w.order = append(w.order, s)
	p.p.outbox[to].Add(m)
	p.write(func() {
		p.disk.outbox[at] = stored{*m, to}
		m.Stored, s.reported = true, true
		if m.Receipt != nil {
			p.settled(m, to, *m.Receipt)
		}
	})
}

// write queues a write for the disk, done included: a kill comes before or behind it.
func (p *simPeer) write(do func()) { p.p.writes = append(p.p.writes, do) }

// receipt takes a receipt, from whatever way.
func (p *simPeer) receipt(from int, r *pb.Receipt, relayed bool) {
	o := p.p.outbox[from]
	at, ok := o.PositionOf([16]byte(r.GetId()))
	if !ok {
		return
	}
	m := o.At(at)
	if m.Cancelled {
		return
	}
	o.Settle(at)
	r2 := Receipt{Refused: r.GetCode() != pb.ReceiptCode_DELIVERED, Reason: r.GetReason(), Relayed: relayed}
	if !m.Stored {
		m.Receipt = &r2
		return
	}
	p.settled(m, from, r2)
}

func (p *simPeer) settled(m *Outgoing, _ int, r Receipt) {
	s := p.w.sent[m.ID]
	refused := s.failed // once before
	s.ended, s.failed = true, refused || r.Refused
	if r.Reason == Reused {
		p.w.reused++
	}
	q := p.w.peers[s.to]
	// The receiver can't know that it has shown it, or has refused it, if its disk was
	// restored since; and a message that was withdrawn before the disk was restored goes
	// behind later ones.
	forgotten := q.unnoted[s.id] || q.restored
	undone := refused && q.restored || s.cancelled && p.restored
	if r.Refused && s.shown > 0 && !forgotten || !r.Refused && s.shown == 0 && !undone {
		p.w.fatal("the message %v of p%d to p%d was shown %d times, and its receipt is %+v", s.at, s.from, s.to, s.shown, r)
	}
	p.write(func() { delete(p.disk.outbox, m.Position) })
}

// cancel withdraws one of the messages to a receiver. It keeps its place until that is on the
// disk; then the messages left with holders are left anew, without it.
func (p *simPeer) cancel(to int) {
	o := p.p.outbox[to]
	if o.Len() == 0 {
		return
	}
	m := o.All()[p.w.rng.IntN(o.Len())]
	if m.Cancelled {
		return
	}
	m.Cancelled = true
	p.w.note("%s withdraws %v", p.id, m.Position)
	s := p.w.sent[m.ID]
	p.write(func() {
		delete(p.disk.outbox, m.Position)
		s.ended, s.cancelled = true, true
		before := o.Flying(Left)
		o.Settle(m.Position)
		if o.Flying(Left) < before {
			o.Rewind(Left)
		}
	})
}

func (p *simPeer) message(m *Outgoing, to int) *pb.Message {
	return &pb.Message{Id: m.ID[:], Sender: string(p.id), Receiver: string(p.w.peers[to].id), Content: m.Body, Epoch: m.Epoch, Nonce: m.Nonce}
}

// take gives the program a message.
func (p *simPeer) take(from int, m *pb.Message) {
	p.p.program = append(p.p.program, program{from, m})
	p.p.inbox[from].Take(StampOf(m))
}

// letIn gives the program a fresh message, unless its sender is ignored. False says that it has
// to wait for the disk.
func (p *simPeer) letIn(from int, m *pb.Message) (refused string, ok bool) {
	in := p.p.inbox[from]
	fresh, refused := in.Judge(StampOf(m))
	switch {
	case !fresh:
	case p.ignores[from]:
		p.w.note("%s ignores %v of p%d", p.id, PositionOf(m), from)
		p.w.sent[[16]byte(m.GetId())].ignored = true
		in.Ignore(PositionOf(m))
		p.keepGaps(from)
		return Ignored, true
	case p.p.keeping[from]:
		return "", false
	default:
		p.take(from, m)
	}
	return refused, true
}

// keepGaps stores what was refused of an ignored sender.
func (p *simPeer) keepGaps(from int) {
	gaps, upTo, ok := p.p.inbox[from].ToKeep()
	if !ok || p.p.keeping[from] {
		return
	}
	p.p.keeping[from] = true
	p.write(func() {
		p.disk.gaps[from] = gaps
		p.p.keeping[from] = false
		for _, parcel := range p.p.inbox[from].Keep(upTo) {
			p.answer(from, parcel)
		}
		p.keepGaps(from)
	})
}

// takeParcel takes a parcel that is ready, and those that have waited for it.
func (p *simPeer) takeParcel(from int, parcel *Parcel) {
	in := p.p.inbox[from]
	for ; parcel != nil; parcel = in.Next() {
		for i, m := range parcel.Messages {
			refused, ok := p.letIn(from, m)
			if !ok {
				return
			}
			parcel.Refuse(i, refused)
		}
		if in.Owe(parcel) {
			p.answer(from, parcel)
		}
	}
}

// answer sends the receipts of a parcel; a holder forgets it, and passes them on.
func (p *simPeer) answer(from int, parcel *Parcel) {
	w := p.w
	receipts := parcel.Receipts()
	if parcel.Deposit != nil {
		w.held = slices.DeleteFunc(w.held, func(h heldParcel) bool {
			return h.from == from && h.to == p.index && h.parcel.last() == parcel.last() && certs.ID(fmt.Sprint("p", h.holder)) == parcel.Answer
		})
	}
	w.put(envelope{from: p.index, to: from, receipts: receipts, relayed: true}, parcel.Deposit != nil)
}

// put puts something on its way over others: it may be lost, doubled and overtaken.
func (w *world) put(e envelope, surely bool) {
	for range 1 + w.rng.IntN(2) {
		if surely || w.rng.IntN(4) > 0 {
			e.at = w.now + time.Duration(w.rng.Int64N(int64(3*time.Second)))
			w.bag = append(w.bag, e)
		}
	}
}

// show has the program look at its next message: a line, and then the note of it. A
// kill can come in between.
func (p *simPeer) show(kill bool) {
	w := p.w
	if len(p.p.program) == 0 {
		return
	}
	next := p.p.program[0]
	p.p.program = p.p.program[1:]
	s := w.sent[[16]byte(next.m.GetId())]
	w.note("%s shows %v of p%d", p.id, s.at, s.from)
	at := PositionOf(next.m)
	switch {
	case s.shown == 0 && at.Compare(p.last[s.from]) <= 0:
		w.fatal("%s shows %v of p%d behind %v", p.id, at, s.from, p.last[s.from])
	case s.shown > 0 && p.unnoted[s.id]:
		s.repeats++
		delete(p.unnoted, s.id)
	case s.shown > 0 && p.undone[s.id]:
		s.again++
		delete(p.undone, s.id)
	case s.shown > 0:
		w.fatal("%s shows %v of p%d twice", p.id, at, s.from)
	}
	if s.to != p.index || s.failed && !p.restored && !w.peers[s.from].restored {
		w.fatal("%s shows %v of p%d, which is for p%d and has failed: %v", p.id, at, s.from, s.to, s.failed)
	}
	s.shown++
	if kill {
		p.unnoted[s.id] = true
		p.kill()
		return
	}
	if p.last[s.from].Before(at) {
		p.last[s.from] = at
	}
	stamp := StampOf(next.m)
	p.disk.marks[next.from] = p.disk.marks[next.from].with(stamp)
	p.write(func() { // the kernel's word that it is on the disk
		for _, parcel := range p.p.inbox[next.from].Show(stamp) {
			p.answer(next.from, parcel)
		}
	})
}

// with is the mark with one more message, of the last run or a new one.
func (m simMark) with(s Stamp) simMark {
	runs := slices.Clone(m.runs)
	if n := len(runs); n == 0 || runs[n-1].Epoch != s.Epoch || runs[n-1].Nonce != s.Nonce {
		runs = append(runs, s.Run)
	}
	runs[len(runs)-1] = s.Run
	return simMark{runs[max(0, len(runs)-MaxRuns):], s.Hash}
}

// knows says whether a message was shown, according to the mark.
func (m simMark) knows(at Position, nonce uint64) bool {
	return slices.ContainsFunc(m.runs, func(r Run) bool {
		return r.Epoch == at.Epoch && r.Nonce == nonce && at.Counter <= r.Counter
	})
}

func (d disk) clone() disk {
	return disk{maps.Clone(d.outbox), maps.Clone(d.marks), maps.Clone(d.gaps)}
}

// save makes a backup of the disk as it is.
func (p *simPeer) save() {
	p.saved = &backup{p.disk.clone(), p.epoch, maps.Clone(p.last)}
	p.w.note("the disk of %s is saved", p.id)
}

// restore puts the disk back to the last backup. The epochs go back with it, and the clock
// does not help.
func (p *simPeer) restore() {
	w := p.w
	w.restores++
	w.note("the disk of %s is put back", p.id)
	p.restored = true
	p.disk, p.epoch, p.last = p.saved.disk.clone(), p.saved.epoch, maps.Clone(p.saved.last)
	for _, s := range w.order {
		if _, kept := p.disk.outbox[s.at]; s.from == p.index && !s.ended && (!kept || p.disk.outbox[s.at].m.ID != s.id) {
			s.abandoned = true
		}
		if s.to == p.index && s.shown > 0 && !p.disk.marks[s.from].knows(s.at, s.nonce) {
			p.undone[s.id] = true
		}
	}
}
