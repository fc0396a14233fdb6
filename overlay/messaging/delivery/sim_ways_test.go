package delivery

import (
	"slices"
	"time"

	"quicpeer/pb"
)

// step is one event of the simulation.
func (w *world) step(chaos bool) {
	w.now += time.Duration(w.rng.Int64N(int64(20 * time.Millisecond)))
	p := w.peers[w.rng.IntN(len(w.peers))]
	if chaos && w.backups && w.rng.IntN(400) == 0 {
		p.save()
	}
	if p.p == nil {
		if chaos && p.saved != nil && w.rng.IntN(60) == 0 {
			p.restore()
		}
		if !chaos || w.rng.IntN(20) == 0 {
			p.start()
		}
		return
	}
	other := w.peers[w.rng.IntN(len(w.peers))]
	if chaos && w.moods != nil && w.moods.IntN(100) == 0 {
		p.ignores[other.index] = !p.ignores[other.index]
		w.note("%s ignores %s: %v", p.id, other.id, p.ignores[other.index])
	}
	switch action := w.rng.IntN(100); {
	case chaos && action < 1:
		p.kill()
	case chaos && action < 2:
		a, b := p.index, other.index
		w.cut[a][b] = !w.cut[a][b]
		w.cut[b][a] = w.cut[a][b]
	case chaos && action < 4:
		p.breakLink(other.index)
	case chaos && action < 12 && other != p:
		p.send(other.index)
	case chaos && action < 13 && other != p:
		p.cancel(other.index)
	case action < 30:
		p.flush(chaos)
	case action < 45:
		p.show(chaos && w.rng.IntN(100) == 0)
	case action < 65 && other != p:
		p.direct(other)
	case action < 75 && other != p:
		p.relay(other)
	case action < 80 && other != p:
		p.leave(other, chaos)
	case action < 85:
		w.handOver()
	case w.passed && action < 86 && other != p:
		p.passOver(other.index)
	default:
		w.deliver()
	}
}

// flush lets the next write reach the disk; a kill may come before or after it.
func (p *simPeer) flush(chaos bool) {
	if len(p.p.writes) == 0 {
		return
	}
	if chaos && p.w.rng.IntN(60) == 0 {
		p.kill()
		return
	}
	do := p.p.writes[0]
	p.p.writes = p.p.writes[1:]
	do()
	if chaos && p.p != nil && p.w.rng.IntN(60) == 0 {
		p.kill()
	}
}

// direct moves something on the link to a receiver, which begins and breaks.
func (p *simPeer) direct(q *simPeer) {
	w := p.w
	if q.p == nil || w.cut[p.index][q.index] {
		p.breakLink(q.index)
		return
	}
	l := p.p.link[q.index]
	if l == nil {
		l = &simLink{}
		p.p.link[q.index] = l
	}
	switch w.rng.IntN(3) {
	case 0:
		batch, _ := p.p.outbox[q.index].Take(Direct, Limits{Messages: 3, Bytes: 1000, FlightBytes: 1000, Flight: 8})
		for _, m := range batch {
			l.queue = append(l.queue, p.message(m, q.index))
		}
	case 1:
		if len(l.queue) > 0 && !q.p.passing[p.index] {
			m := l.queue[0]
			refused, ok := q.letIn(p.index, m)
			if !ok {
				break
			}
			l.queue = l.queue[1:]
			q.takeParcel(p.index, q.p.inbox[p.index].Next())
			l.owed = append(l.owed, owedReceipt{m, refused})
		}
	default:
		for len(l.owed) > 0 {
			o := l.owed[0]
			if !q.p.inbox[p.index].Due(PositionOf(o.m), o.refused) {
				break
			}
			r := new(pb.Receipt)
			Answer(r, o.m.GetId(), o.refused)
			p.receipt(q.index, r, false)
			l.owed = l.owed[1:]
		}
	}
}

// relay sends messages to a receiver over others, again after a while.
func (p *simPeer) relay(q *simPeer) {
	o := p.p.outbox[q.index]
	if o.Flying(Relayed) > 0 && p.w.now >= p.p.again[q.index] {
		o.Rewind(Relayed)
	}
	if o.Flying(Relayed) == 0 {
		p.p.again[q.index] = p.w.now + 3*time.Second
	}
	if batch, after := o.Take(Relayed, Limits{Messages: 3, Bytes: 1000, FlightBytes: 1000, Flight: 12}); batch != nil {
		parcel := &Parcel{After: after}
		for _, m := range batch {
			parcel.Messages = append(parcel.Messages, p.message(m, q.index))
		}
		p.w.put(envelope{from: p.index, to: q.index, parcel: parcel, relayed: true}, false)
	}
}

// leave leaves messages for an absent peer with a holder, which may forget.
func (p *simPeer) leave(q *simPeer, chaos bool) {
	w := p.w
	o := p.p.outbox[q.index]
	if q.p != nil {
		o.Rewind(Left)
		return
	}
	next := o.Next(Left)
	if next == nil || !next.Stored || len(w.peers) < 3 {
		return
	}
	batch, after := o.Take(Left, Limits{Messages: 1, Bytes: 1000, FlightBytes: 1000, Flight: 100})
	holder := (max(p.index, q.index) + 1) % len(w.peers)
	if holder == p.index || holder == q.index || chaos && w.passed && w.rng.IntN(5) == 0 {
		return
	}
	w.held = append(w.held, heldParcel{holder, p.index, q.index, Parcel{Messages: []*pb.Message{p.message(batch[0], q.index)}, After: after}})
}

// handOver makes a holder hand over the messages it keeps for a peer that is here.
func (w *world) handOver() {
	if len(w.held) == 0 {
		return
	}
	h := w.held[w.rng.IntN(len(w.held))]
	if w.peers[h.to].p == nil {
		return
	}
	parcel := h.parcel
	parcel.Answer, parcel.Deposit = w.peers[h.holder].id, []byte{1}
	w.put(envelope{from: h.from, to: h.to, parcel: &parcel, relayed: true}, false)
}

// deliver delivers something that went over others.
func (w *world) deliver() {
	for i, e := range w.bag {
		if e.at > w.now && w.rng.IntN(3) > 0 {
			continue
		}
		w.bag = slices.Delete(w.bag, i, i+1)
		q := w.peers[e.to]
		switch {
		case q.p == nil || e.parcel != nil && q.p.passing[e.from]:
		case e.parcel != nil:
			copied := *e.parcel
			if q.p.inbox[e.from].Offer(&copied, w.now, true) {
				q.takeParcel(e.from, &copied)
			}
		default:
			for _, r := range e.receipts {
				q.receipt(e.from, r, true)
			}
		}
		return
	}
}

// passOver gives up on missing messages.
func (p *simPeer) passOver(from int) {
	in := p.p.inbox[from]
	g, ok := in.Overdue(p.w.now - 2*time.Second)
	if !ok || p.p.passing[from] || p.p.keeping[from] {
		return
	}
	gaps := in.WithGap(g)
	p.p.passing[from] = true
	p.write(func() {
		p.disk.gaps[from] = gaps
		p.p.passing[from] = false
		p.p.inbox[from].PassOver(g)
		p.w.note("%s passes over %v of p%d", p.id, g, from)
		p.takeParcel(from, p.p.inbox[from].Next())
	})
}
