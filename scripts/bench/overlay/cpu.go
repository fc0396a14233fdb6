package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// processTime is the CPU time of this process so far, which is that of all nodes.
func processTime() time.Duration {
	var usage syscall.Rusage
	// It fails for wrong arguments only.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// competition watches how much of the machine other programs take. All nodes share the rest:
// an apparently slow network may be a busy machine.
type competition struct {
	begin     time.Time
	busy, own time.Duration
}

func watchOthers() competition { return competition{time.Now(), machineTime(), processTime()} }

// share is the part of all CPUs that others have had since, 0 if that can't be known.
func (c competition) share() float64 {
	others := machineTime() - c.busy - (processTime() - c.own)
	all := time.Since(c.begin) * time.Duration(runtime.NumCPU())
	return max(0, others.Seconds()/all.Seconds())
}

// machineTime is the CPU time of all programs so far, on Linux; elsewhere nothing.
func machineTime() time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	// See proc_stat(5): user and nice, system, idle and waiting, interrupts, and
	// what a hypervisor has taken for others. In hundredths of a second.
	var user, nice, system, idle, wait, irq, softirq, steal int64
	if _, err := fmt.Sscanf(string(stat), "cpu %d %d %d %d %d %d %d %d",
		&user, &nice, &system, &idle, &wait, &irq, &softirq, &steal); err != nil {
		return 0
	}
	return time.Duration(user+nice+system+irq+softirq+steal) * 10 * time.Millisecond
}
