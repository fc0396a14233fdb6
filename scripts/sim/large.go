package main

import (
	"fmt"
	"runtime"
	"time"

	"quicpeer/scripts/internal/harness"
)

// large takes all peers through the usual life at ten times the usual size. It spares keepalives:
// at this size they would be most of the work, and they do not depend on the size of the network.
func large(s settings) []row {
	start := time.Now()
	n := pick(s, 300, 10*s.n)
	hugePages(100 * int64(n) * int64(n)) // what the tables take, and a little more
	w := s.world(0)
	w.Oracle = true
	w.load(n)
	rested := w.rest()
	setup := time.Since(start)
	rows := []row{must(fmt.Sprintf("%d peers at rest", n), rested, "%s of simulated time", seconds(w.Now))}

	times := func(measure string, began time.Time) {
		fmt.Fprintf(s.log, "large: %s: %.1f s\n", measure, time.Since(began).Seconds())
		rows = append(rows, info("wall time of "+measure, "%.1f s", time.Since(began).Seconds()))
	}
	times("setting up", start)
	began := time.Now()
	each, _, ready := w.arrival(30 * time.Second)
	rows = append(rows, within("join known by all", each.max(), 2*time.Second, ""), info("newcomer ready", "%s", seconds(ready)))
	leaver := w.someone()
	_, last := w.gone(leaver, 10*time.Second, leaver.Process.Leave)
	rows = append(rows, within("leave known by all", last, 2*time.Second, ""))
	times("a join and a leave", began)

	began = time.Now()
	for _, p := range w.some(n / 100) {
		p.Process.Crash()
	}
	rows = append(rows, within("all tables right after 1 % has crashed", w.Settle(time.Minute), 6*time.Second, rivalCrashLarge))
	times("the crashes", began)

	began = time.Now()
	few := w.some(n / 100)
	w.Cut(w.sides(few))
	cutAt := w.Now
	apart := w.settleOn(0, 30*time.Second)
	w.Run(cutAt + 30*time.Second - w.Now)
	small := w.WrongOn(1, 1<<30)
	w.Heal()
	together := w.Settle(time.Minute)
	rows = append(rows,
		within("99 % right after 1 % is cut off", apart, 6*time.Second, rivalCrashLarge),
		info("entries wrong at the 1 %, 30 s later", "%d of %d", small, len(few)*(n-1)),
		within("all tables right after the heal, 30 s later", together, 6*time.Second, rivalHeal),
		atMost("living peers shown as lost, not by the 1 %", float64(w.count.falseLost), 0, "", ""),
	)
	times("the cut", began)
	memory := harness.PeakMemory("self")
	if memory == 0 { // what Go has got from the system, where that does not tell
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		memory = int64(m.Sys)
	}
	return w.figures(append(rows,
		atMost("wall time without setting up", (time.Since(start)-setup).Minutes(), 10, "min", ""),
		atMost("memory at its peak", float64(memory)/(1<<30), 12, "GiB", ""),
	)...)
}
