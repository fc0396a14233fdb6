// Command idle measures what peers cost that only sit there: real peers on loopback, some in each
// process, that have joined one after the other through the first. From when all know all it
// watches for a time, and prints for each peer: memory, CPU time, goroutines; and how many living
// peers were called lost.
//
//	make bench-idle                                                one peer a process, five of them: four links each
//	make bench-idle FLAGS='-processes 10 -each 100 -time 10m'      1000 peers
//
// The exit status is 1 if a bar is missed: with one peer in each process, 14 MB, 0.15 % of a core
// and 60 goroutines for each; with more, 2.5 MB and 0.1 % of a core for each; and nobody may be called lost.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"time"

	"quicpeer/scripts/bench/command"
)

// options are the flags.
type options struct {
	processes, each int
	length, wait    time.Duration
}

func main() {
	var o options
	var role *part
	flag.IntVar(&o.processes, "processes", 5, "processes")
	flag.IntVar(&o.each, "each", 1, "peers in each")
	flag.DurationVar(&o.length, "time", 30*time.Second, "how long they are watched")
	flag.DurationVar(&o.wait, "wait", 15*time.Second, "how long they are left alone before that")
	flag.Func("serve", "internal: be another process, which is as this says", func(s string) error {
		return json.Unmarshal([]byte(s), &role)
	})
	command.Main("bench-idle", func() error {
		if role != nil {
			return role.serve()
		}
		return o.bench()
	})
}

// bars of the mean over all peers.
type bars struct{ megabytes, percent, goroutines float64 }

func (o options) bars() bars {
	if o.each == 1 {
		return bars{14, 0.15, 60}
	}
	return bars{2.5, 0.1, 60}
}

func (o options) bench() error {
	if o.processes < 1 || o.each < 1 {
		return errors.New("-processes and -each must be at least 1")
	}
	began := time.Now()
	var list []*process
	door := ""
	for i := range o.processes {
		p, first, err := start(part{Number: i, Count: o.each, Door: door})
		if err != nil {
			return err
		}
		defer p.close()
		if door == "" {
			door = first
		}
		list = append(list, p)
	}
	n := o.processes * o.each
	if _, err := reports(list, func(r report) bool { return r.Least == n-1 }); err != nil {
		return err
	}
	fmt.Printf("%s; %d peers in %d processes, all know all after %v\n", command.Machine(), n, o.processes, time.Since(began).Round(100*time.Millisecond))
	time.Sleep(o.wait)
	before, err := reports(list, nil)
	if err != nil {
		return err
	}
	time.Sleep(o.length)
	after, err := reports(list, nil)
	if err != nil {
		return err
	}
	fmt.Printf("watched for %v, from %v after the last had joined\n\n", o.length, o.wait)
	return o.judge(before, after)
}

// judge prints the figures.
func (o options) judge(before, after []report) error {
	n := float64(o.processes * o.each)
	var memory, cpu, goroutines, lost, links float64
	least := after[0].Least
	for i, r := range after {
		memory += float64(r.Memory) / 1e6
		cpu += float64(r.CPU-before[i].CPU) / float64(o.length) * 100
		goroutines += float64(r.Goroutines)
		lost += float64(r.Lost)
		links += float64(r.Links)
		least = min(least, r.Least)
	}
	bar, missed := o.bars(), false
	row := func(what string, value, most float64) {
		word := ""
		if value > most {
			word, missed = "missed", true
		}
		fmt.Printf("%-40s %10.3g %10.3g  %s\n", what, value, most, word)
	}
	fmt.Printf("%-40s %10s %10s\n", "of each peer", "mean", "bar")
	row("resident memory, MB", memory/n, bar.megabytes)
	row("CPU, % of a core", cpu/n, bar.percent)
	row("goroutines", goroutines/n, bar.goroutines)
	fmt.Printf("%-40s %10.3g\n", "links", links/n)
	fmt.Printf("\n%-40s %10.3g\n", "of all: memory, MB", memory)
	fmt.Printf("%-40s %10.3g\n", "CPU, % of a core", cpu)
	row("living peers called lost", lost, 0)
	row("peers missing from the emptiest table", n-1-float64(least), 0)
	if missed {
		return command.ErrMissed
	}
	return nil
}

// reports asks all processes, again and again until each satisfies done.
func reports(list []*process, done func(report) bool) ([]report, error) {
	deadline := time.Now().Add(5 * time.Minute)
	all := make([]report, len(list))
	for i, p := range list {
		for {
			r, err := p.report()
			if err != nil {
				return nil, err
			}
			if all[i] = r; done == nil || done(r) {
				break
			}
			if time.Now().After(deadline) {
				return nil, fmt.Errorf("after five minutes a peer of process %d knows only %d", i, r.Least)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	return all, nil
}
