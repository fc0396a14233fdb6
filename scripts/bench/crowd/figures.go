package crowd

import (
	"slices"
	"syscall"
	"time"
)

// figures sums up this workload, which has taken so much CPU time.
func (c *crowd) figures(cpu time.Duration) Figures {
	c.mu.Lock()
	defer c.mu.Unlock()
	var f Figures
	var all, last []time.Duration
	for _, p := range c.posts[c.first:] {
		var times []time.Duration
		for at, took := range p.took {
			switch {
			case at == p.author:
				continue
			case took > 0:
				f.Delivered++
			default:
				took = patience
			}
			times = append(times, took)
		}
		all, last = append(all, times...), append(last, slices.Max(times))
	}
	f.P50, f.P99, f.Last = quantile(all, 0.5), quantile(all, 0.99), quantile(last, 0.5)
	f.CPU, f.Expected = cpu/time.Duration(max(1, f.Delivered)), len(all)
	return f
}

// quantile is the time below which this part of a list is.
func quantile(list []time.Duration, q float64) time.Duration {
	slices.Sort(list)
	return list[int(q*float64(len(list)-1))]
}

// processTime is the CPU time of this process so far, which is that of all nodes.
func processTime() time.Duration {
	var usage syscall.Rusage
	// It fails for wrong arguments only.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
