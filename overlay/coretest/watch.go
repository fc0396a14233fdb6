package coretest

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
)

// sight is whom the process shows as here.
type sight struct {
	there, behind Set
	aliased       Set // of those there: called by a longer name than their ID
}

// Living reports whether the process runs and means to stay.
func (p *Process) Living() bool { return p != nil && !p.Dead && !p.Leaving }

// shows returns the peer that the process shows by a name.
func (p *Process) shows(name certs.ID) (number int32, ok bool) {
	id := name.Claimed()
	for _, i := range p.World.names.byID[id] {
		alias := p.aliased.Has(i)
		if p.there.Has(i) && alias == (name != id) && (!alias || name == certs.Alias(id, p.World.names.list[i].key)) {
			return i, true
		}
	}
	return 0, false
}

// KeyOf is the key of the peer that the process shows as here by a name.
func (p *Process) KeyOf(name certs.ID) (key certs.PublicKey, ok bool) {
	i, ok := p.shows(name)
	if ok {
		key = p.World.names.list[i].key
	}
	return key, ok
}

// Shows reports whether the process shows the machine's peer as here.
func (p *Process) Shows(m *Machine) bool { return p.there.Has(m.number) }

// Others counts the peers that the process shows as here.
func (p *Process) Others() int { return p.there.Len() }

// see takes an event and judges it: no peer comes or goes twice, and no living peer is shown as
// lost.
func (p *Process) see(event base.Event) {
	w := p.World
	switch e := event.(type) {
	case base.Ready:
		if p.IsReady {
			w.Odd("%s is ready twice", p.ID)
		}
		p.IsReady, p.Ready = true, w.Now
	case base.Joined:
		i := w.names.of(e.ID.Claimed(), e.Key)
		w.hash(traceEvent, uint64(p.Index)<<1, uint64(i))
		if _, ok := p.shows(e.ID); ok || !p.IsReady || e.ID == p.ID {
			w.Odd("%s sees a second join of %s", p.ID, e.ID)
		}
		p.there.Add(i)
		if p.aliased.Remove(i); e.ID != e.ID.Claimed() {
			p.aliased.Add(i)
		}
		if m := w.names.list[i].machine; m != nil && !m.Process.Living() {
			p.behind.Add(i) // old news
		}
		w.LastSeen = w.Now
	case base.Left:
		i, ok := p.shows(e.ID)
		w.hash(traceEvent, uint64(p.Index)<<1|1, uint64(i))
		if !ok {
			w.Odd("%s sees %s leave, who is not there", p.ID, e.ID)
			break
		}
		if m := w.names.list[i].machine; m != nil && m.Process.Living() {
			if w.Gone != nil {
				w.Gone(p, m.Process)
			}
			if !e.Farewell && !e.Removed && !p.behind.Has(i) && p.Living() {
				w.doubted = append(w.doubted, m)
			}
		}
		p.there.Remove(i)
		p.behind.Remove(i)
		w.LastSeen = w.Now
	case base.Broadcasted:
		w.hash(traceEvent, uint64(p.Index), e.Number)
		if !e.Hidden {
			p.recollect(e.Content.GetRoom(), e.Signed)
		}
	case base.Recalled:
		for _, b := range e.List {
			p.recollect(b.Content.GetRoom(), b.Signed)
		}
	}
	if w.Story != nil {
		p.tell("shows", event)
	}
	if w.Shown != nil {
		w.Shown(p, event)
	}
}

// judgeDoubted judges living peers that were shown as lost, once all events of the moment are
// known: a peer shown again by the next event was restarted.
func (p *Process) judgeDoubted() {
	for _, m := range p.World.doubted {
		if !p.there.Has(m.number) && p.World.Lost != nil {
			p.World.Lost(p, m.Process)
		}
	}
	p.World.doubted = p.World.doubted[:0]
}

// isGone records, for all that show the peer, that its run has ended.
func (w *World) isGone(gone *Process) {
	for _, m := range w.Machines {
		if p := m.Process; p != nil && p.there.Has(gone.number) {
			p.behind.Add(gone.number)
		}
	}
}

// Living lists the processes that are in the network or want to be.
func (w *World) Living() []*Process {
	var list []*Process
	for _, m := range w.Machines {
		if m.Process.Living() {
			list = append(list, m.Process)
		}
	}
	return list
}

// Wrong counts the errors in all tables as their users see them: peers shown that are gone, peers
// there but not shown, and runs that are over. Nobody is there across a cut. It stops counting at
// most.
func (w *World) Wrong(most int) (n int) {
	var sides Set
	for _, m := range w.Machines {
		if !sides.Has(int32(m.side)) {
			sides.Add(int32(m.side))
			n += w.WrongOn(m.side, most)
		}
	}
	return n
}

// WrongOn counts them for one side of a cut.
func (w *World) WrongOn(side uint8, most int) int {
	var want Set
	for _, m := range w.Machines {
		if m.Process.Living() && m.side == side {
			want.Add(m.number)
		}
	}
	n := 0
	for _, m := range w.Machines {
		p := m.Process
		if !p.Living() || m.side != side {
			continue
		}
		want.Remove(m.number)
		n += p.there.differences(want)
		want.Add(m.number)
		if !p.IsReady || p.behind.Len() > 0 {
			n++
		}
		if n >= most {
			break
		}
	}
	return n
}

// Right reports whether all tables are right.
func (w *World) Right() bool { return w.Wrong(1) == 0 }

// Settle waits until all tables are right, and returns how long from now the last change to any
// took; Never if they are not right within limit.
func (w *World) Settle(limit time.Duration) time.Duration {
	start := w.Now
	if !w.Until(50*time.Millisecond, limit, w.Right) {
		return Never
	}
	return max(0, w.LastSeen-start)
}

// Piece lists the living processes that can be reached from one of them over links between
// neighbours, without passing a given one, which may be nil.
func (w *World) Piece(from, without *Process) []*Process {
	var seen Set
	seen.Add(int32(from.Index))
	list := []*Process{from}
	for i := 0; i < len(list); i++ {
		for _, id := range list[i].Core.Neighbours() {
			for _, number := range w.names.byID[id] {
				m := w.names.list[number].machine
				if m == nil || seen.Has(int32(m.Index)) || !m.Process.Living() || m.Process == without || !w.Reach(list[i].Machine, m) {
					continue
				}
				seen.Add(int32(m.Index))
				list = append(list, m.Process)
			}
		}
	}
	return list
}

// Component is the size of the largest piece of the living.
func (w *World) Component() (largest int) {
	var seen Set
	for _, p := range w.Living() {
		if seen.Has(int32(p.Index)) {
			continue
		}
		piece := w.Piece(p, nil)
		for _, q := range piece {
			seen.Add(int32(q.Index))
		}
		largest = max(largest, len(piece))
	}
	return largest
}
