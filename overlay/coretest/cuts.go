package coretest

import "time"

// gaps is what keeps packets from arriving.
type gaps struct {
	severed map[[2]int]bool
	holes   map[[2]int]time.Duration // when one has sent to another; nil: there are no NATs
}

// Cut puts each machine on the side that side returns: no packet crosses a border.
func (w *World) Cut(side func(i int) uint8) {
	w.change(func() {
		for i, m := range w.Machines {
			m.side = side(i)
		}
	})
}

// Side is the machine's side of the last cut.
func (m *Machine) Side() uint8 { return m.side }

// Sever separates two machines for good, or ends that.
func (w *World) Sever(a, b *Machine, cut bool) {
	w.change(func() { w.severed[pairOf(a, b)] = cut })
}

// Heal ends all cuts except those of Sever.
func (w *World) Heal() { w.Cut(func(int) uint8 { return 0 }) }

// change changes which machines reach each other. Everything held back comes with QUIC's next
// probe, at most 2 s later.
func (w *World) change(do func()) {
	for _, m := range w.Machines {
		if m.Process != nil {
			for _, e := range m.Process.Ends {
				e.advance()
			}
		}
	}
	do()
	w.changes++
	for _, m := range w.Machines {
		if m.Process == nil {
			continue
		}
		for _, e := range m.Process.Ends {
			if len(e.held) > 0 && w.Reach(m, e.Other.Process.Machine) {
				w.At(w.Now+w.Between(0, 2*time.Second), e.release)
			}
		}
	}
}
