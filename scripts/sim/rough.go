package main

import (
	"time"

	"quicpeer/overlay/coretest"
)

// rough has the calamities happen while packets are lost as well, in a network of
// half the usual size: half of it crashes, a cut and its heal, fast churn.
func rough(s settings) []row {
	n := s.n / 2
	w := s.network(n, lossy)
	for _, p := range w.some(n / 2) {
		p.Process.Crash()
	}
	rows := []row{within("20 % loss, half crashes: all tables right", w.Settle(time.Minute), 8*time.Second, rivalCrash)}
	lost := w.count.falseLost

	w = s.network(n, lossy)
	apart, together, early, late := w.apart(w.some(n/2), 30*time.Second)
	rows = append(rows,
		within("20 % loss, cut in halves: all tables right", apart, 8*time.Second, rivalCrash),
		within("the same, healed after 30 s", together, 4*time.Second, rivalHeal),
		info("own half shown as lost, before the heal and after", "%d, %d", early, late),
	)

	w = s.network(n, lossy)
	ended := w.replace(2*time.Minute, 4*time.Minute, 0.5)
	return w.figures(append(rows,
		within("20 % loss, fast churn: all tables right after the last", w.Settle(time.Minute), 4*time.Second, ""),
		info("sessions ended, half of them by a crash", "%d", ended),
		atMost("living peers shown as lost, but for the heal", float64(lost+w.count.falseLost), 0, "", ""),
	)...)
}

// minority cuts a tenth off for two minutes. To those few most peers are lost, and few
// are left to find that out: the study's rule took 40 s.
func minority(s settings) []row {
	n := s.n
	w := s.network(n, 0)
	few := w.some(n / 10)
	sides := w.sides(few)
	w.Cut(sides)
	began := w.Now
	most := w.settleOn(0, 30*time.Second)
	fewRight := never
	if w.until(50*time.Millisecond, 2*time.Minute, func() bool { return w.WrongOn(1, 1) == 0 }) {
		fewRight = w.Now - began
	}
	wrong := w.WrongOn(1, 1<<30)
	w.Run(max(0, began+2*time.Minute-w.Now))
	w.Heal()
	together := w.Settle(time.Minute)
	return w.figures(
		within("nine tenths right after a tenth is cut off", most, 6*time.Second, rivalCrash),
		within("the tenth right", fewRight, 40*time.Second, rivalCrash),
		info("entries wrong there in the end", "%d of %d", wrong, len(few)*(n-1)),
		within("all tables right after the heal", together, 3*time.Second, rivalHeal),
		atMost("living peers shown as lost by the nine tenths", float64(w.count.falseLost), 0, "", ""),
	)
}

// sides puts these peers on the far side of a cut.
func (w *world) sides(far []*peer) func(i int) uint8 {
	var there coretest.Set
	for _, p := range far {
		there.Add(int32(p.Index))
	}
	return func(i int) uint8 {
		if there.Has(int32(i)) {
			return 1
		}
		return 0
	}
}

// apart cuts these peers off for a time. It says how long until all tables were right then,
// and after the heal, and how many were shown as lost to peers of their own side in each time.
func (w *world) apart(far []*peer, d time.Duration) (cut, healed time.Duration, early, late int64) {
	lost := func() int64 { return w.count.falseLost + w.count.cutLost }
	start := lost()
	began := w.Now
	w.Cut(w.sides(far))
	cut = w.Settle(min(d, time.Minute))
	w.Run(max(0, began+d-w.Now))
	early = lost() - start
	w.Heal()
	healed = w.Settle(time.Minute)
	w.Run(5 * time.Second)
	return cut, healed, early, lost() - start - early
}
