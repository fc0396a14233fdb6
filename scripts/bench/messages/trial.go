package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"quicpeer/scripts/bench/command"
)

// trial is one run of one kind: how many messages came back, in what time each.
type trial struct {
	count     int
	perSecond float64
	p50, p99  time.Duration
	cpu       time.Duration // of all processes, a message; 0 for the floor, and where there is no /proc
}

// summary turns the times of a run's messages into a trial.
func summary(times []time.Duration, took time.Duration) trial {
	slices.Sort(times)
	at := func(q float64) time.Duration { return times[int(q*float64(len(times)-1))] }
	return trial{count: len(times), perSecond: float64(len(times)) / took.Seconds(), p50: at(0.5), p99: at(0.99)}
}

// The figures of a trial.
func rateOf(t trial) float64 { return t.perSecond }
func p50Of(t trial) float64  { return float64(t.p50) }
func p99Of(t trial) float64  { return float64(t.p99) }
func cpuOf(t trial) float64  { return float64(t.cpu) }

func medianOf(trials []trial, of func(trial) float64) float64 {
	var list []float64
	for _, t := range trials {
		list = append(list, of(t))
	}
	return command.Median(list)
}

// medianRatio is the median of the ratios of each round.
func medianRatio(trials, base []trial, of func(trial) float64) float64 {
	var list []float64
	for i := range trials {
		list = append(list, of(trials[i])/of(base[i]))
	}
	return command.Median(list)
}

func printHead() {
	fmt.Printf("%-13s %8s %11s %11s %9s   %-13s   %-13s\n", "", "", "", "", "", "to floor", "to quicpeer")
	fmt.Printf("%-13s %8s %11s %11s %9s   %6s %6s   %6s %6s\n", "in flight", "msg/s", "p50", "p99", "CPU", "rate", "p50", "rate", "p50")
}

// printRows prints the figures of the kinds with so many in flight.
func printRows(inFlight int, trials [][]trial) {
	for i, list := range trials {
		rounded := func(of func(trial) float64) time.Duration {
			return time.Duration(medianOf(list, of)).Round(time.Microsecond)
		}
		fmt.Printf("%3d %-9s %8.0f %11v %11v %9v", inFlight, all[i].name, medianOf(list, rateOf), rounded(p50Of), rounded(p99Of), rounded(cpuOf))
		for base := floorKind; base <= peerKind && base < i; base++ {
			fmt.Printf("   %6.2f %6.2f", medianRatio(list, trials[base], rateOf), medianRatio(list, trials[base], p50Of))
		}
		fmt.Println()
	}
}

// syncTime is how long a short write and its fsync take in a directory.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var list []float64
	for range 50 {
		began := time.Now()
		if _, err := f.Write(make([]byte, body)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		list = append(list, float64(time.Since(began)))
	}
	return time.Duration(command.Median(list)), nil
}
