package main

import (
	"bytes"
	"math/bits"
	"time"

	"quicpeer/overlay/core"
)

// set is a set of machines by their index.
type set []uint64

func (s set) has(i int32) bool { return int(i>>6) < len(s) && s[i>>6]&(1<<(i&63)) != 0 }

func (s *set) add(i int32) {
	for len(*s) <= int(i>>6) {
		*s = append(*s, 0)
	}
	(*s)[i>>6] |= 1 << (i & 63)
}

func (s set) remove(i int32) {
	if int(i>>6) < len(s) {
		s[i>>6] &^= 1 << (i & 63)
	}
}

func (s set) empty() bool {
	for _, x := range s {
		if x != 0 {
			return false
		}
	}
	return true
}

// differences counts the machines that are in one of the two only.
func (s set) differences(t set) int {
	n := 0
	for i := range max(len(s), len(t)) {
		var a, b uint64
		if i < len(s) {
			a = s[i]
		}
		if i < len(t) {
			b = t[i]
		}
		n += bits.OnesCount64(a ^ b)
	}
	return n
}

// see notes an event and judges it: nobody comes twice or goes twice, and nobody is
// said to be lost who lives and could be reached.
func (p *peer) see(event core.Event) {
	w := p.w
	switch e := event.(type) {
	case core.Ready:
		p.isReady, p.readyAt = true, w.now
	case core.Joined:
		q := w.byID(e.ID)
		w.hash(happensNothing, uint64(p.index), uint64(q.index))
		if p.there.has(q.index) || q.key != e.Key {
			w.count.violations++
			w.odd("%s sees a second join of %s", p.id, e.ID)
		}
		p.there.add(q.index)
		if q.core == nil || q.leaving {
			p.behind.add(q.index) // old news
		}
		w.lastSeen = w.now
		if w.saw != nil {
			w.saw(p, q, true)
		}
	case core.Left:
		q := w.byID(e.ID)
		w.hash(happensNothing, uint64(p.index)<<1|1, uint64(q.index))
		if !p.there.has(q.index) {
			w.count.violations++
			w.odd("%s sees %s leave that is not there", p.id, e.ID)
		}
		if q.living() && !e.Farewell && !p.behind.has(q.index) && p.living() && w.reach(p, q) {
			w.doubted = append(w.doubted, q)
		}
		p.there.remove(q.index)
		p.behind.remove(q.index)
		w.lastSeen = w.now
		if w.saw != nil {
			w.saw(p, q, false)
		}
	}
}

// judgeDoubted looks at those who live and were said to be lost, once all events of
// the moment are known: who is back with the next word was restarted.
func (p *peer) judgeDoubted() {
	w := p.w
	for _, q := range w.doubted {
		switch {
		case p.there.has(q.index):
		case p.side != 0:
			w.count.cutLost++
		default:
			w.count.falseLost++
			w.odd("%s says that %s is lost, which lives", p.id, q.id)
		}
	}
	w.doubted = w.doubted[:0]
}

// isGone notes for all who show the peer that its run has ended.
func (w *world) isGone(gone *peer) {
	for _, p := range w.peers {
		if p.core != nil && p.there.has(gone.index) {
			p.behind.add(gone.index)
		}
	}
}

// alive lists the peers that live.
func (w *world) alive() []*peer {
	var list []*peer
	for _, p := range w.peers {
		if p.living() {
			list = append(list, p)
		}
	}
	return list
}

// wrong counts what is wrong in all tables as their users see them: who is shown
// and is not there, who is there and not shown, and runs that are over. Across a
// cut nobody is there. It stops counting at most.
func (w *world) wrong(most int) int { return w.wrongOn(0, most) + w.wrongOn(1, most) }

// wrongOn counts it for one side of a cut.
func (w *world) wrongOn(side uint8, most int) int {
	var want set
	for _, p := range w.peers {
		if p.living() && p.side == side {
			want.add(p.index)
		}
	}
	n := 0
	for _, p := range w.peers {
		if !p.living() || p.side != side {
			continue
		}
		want.remove(p.index)
		n += p.there.differences(want)
		want.add(p.index)
		if !p.isReady || !p.behind.empty() {
			n++
		}
		if n >= most {
			break
		}
	}
	return n
}

// right says that all tables are.
func (w *world) right() bool { return w.wrong(1) == 0 }

// agree says that all tables are equal, down to which run of a peer they know.
func (w *world) agree() bool {
	var first []byte
	for _, p := range w.peers {
		if !p.living() {
			continue
		}
		d := p.core.Digest()
		if first == nil {
			first = d
		}
		if !bytes.Equal(first, d) {
			return false
		}
	}
	return true
}

// settle waits until all tables are right, and says how long the last change to
// any took from now; never if they are not right after limit.
func (w *world) settle(limit time.Duration) time.Duration {
	start := w.now
	if !w.until(50*time.Millisecond, limit, w.right) {
		return never
	}
	return max(0, w.lastSeen-start)
}

// settleOn is settle for one side of a cut, to 50 ms.
func (w *world) settleOn(side uint8, limit time.Duration) time.Duration {
	start := w.now
	if !w.until(50*time.Millisecond, limit, func() bool { return w.wrongOn(side, 1) == 0 }) {
		return never
	}
	return w.now - start
}

// component is the size of the largest piece that links between neighbours make of the living.
func (w *world) component() int {
	seen := make(set, len(w.peers)/64+1)
	largest := 0
	for _, p := range w.peers {
		if !p.living() || seen.has(p.index) {
			continue
		}
		todo := []*peer{p}
		seen.add(p.index)
		size := 0
		for len(todo) > 0 {
			q := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			size++
			for _, id := range q.core.Neighbours() {
				r := w.byID(id)
				if r.living() && w.reach(q, r) && !seen.has(r.index) {
					seen.add(r.index)
					todo = append(todo, r)
				}
			}
		}
		largest = max(largest, size)
	}
	return largest
}

// degrees are the least, the mean and the greatest number of neighbours.
func (w *world) degrees() (least int, mean float64, most int) {
	n, sum := 0, 0
	least = 1 << 30
	for _, p := range w.peers {
		if p.living() {
			d := len(p.core.Neighbours())
			least, most, sum, n = min(least, d), max(most, d), sum+d, n+1
		}
	}
	return least, float64(sum) / float64(max(n, 1)), most
}
