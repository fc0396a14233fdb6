// Command overlay measures what it costs to know who is in the network, and how
// that grows with the network: quicpeer beside memberlist.
//
// All nodes of a network run in this process and talk over loopback, each with a socket of its own.
// Those of quicpeer are real ones: keys, TLS, QUIC, events. All join through one node, and a
// measure is over when all tables are right: everybody knows exactly the others. The two systems
// take turns, since a machine's speed drifts; figures are medians over the rounds.
//
//	joining    all at once; later one more
//	leaving    with a goodbye
//	crashing   one; a tenth of all at once. Without a goodbye: quicpeer's socket
//	           goes deaf and dumb, memberlist is shut down without Leave
//	idling     the cost for each node of knowing that the others are still there
//
// Two cores do the work of all nodes, so times in which they compute, joining at
// once above all, are far above those of nodes that have their own machines. The
// ratio of the two systems, and how each grows, hold.
//
//	make bench-overlay
//	make bench-overlay FLAGS='-n 10,100'
//	make bench-overlay FLAGS='-alone -rounds 0 -runs 10 -n 100'   # joining, ten times
//
// The exit status is 1 if quicpeer misses one of its bars.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"quicpeer/scripts/bench/command"
)

// options are the flags.
type options struct {
	sizes        []int
	rounds, runs int
	idle         time.Duration
	alone        bool
}

func main() {
	o := options{sizes: []int{10, 30, 100, 300}}
	flag.Func("n", "sizes of the networks (default 10,30,100,300)", func(s string) (err error) {
		o.sizes, err = parseSizes(s)
		return err
	})
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of all measures; 0: only joining, see -runs")
	flag.IntVar(&o.runs, "runs", 0, "how often all nodes of quicpeer join at once, if more often than -rounds")
	flag.DurationVar(&o.idle, "idle", 20*time.Second, "how long an idle network is watched")
	flag.BoolVar(&o.alone, "alone", false, "quicpeer without memberlist")
	command.Main("bench-overlay", func() error { return o.do() })
}

// tolerable is how much of the CPUs others may have without a warning. A guess:
// it is within what times differ by anyway, from run to run.
const tolerable = 0.1

// parseSizes reads "10,30,100".
func parseSizes(s string) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 3 {
			return nil, errors.New("give numbers of at least 3, with commas between them: 10,30,100")
		}
		list = append(list, n)
	}
	return list, nil
}

func (o options) do() error {
	if missed := o.report(os.Stdout, o.measure()); missed {
		return fmt.Errorf("%w: see the lines with \"missed\"", command.ErrMissed)
	}
	return nil
}

// measure runs all networks.
func (o options) measure() samples {
	all := samples{}
	fmt.Printf("%s; %d rounds, idle for %v\n", command.Machine(), o.rounds, o.idle)
	systems := []system{ours, theirs}
	if o.alone {
		systems = systems[:1]
	}
	for round := range max(o.rounds, o.runs) {
		full := round < o.rounds
		for _, n := range o.sizes {
			for _, s := range systems {
				if full || s.name == ours.name {
					o.one(s, n, round, full, all)
				}
			}
		}
	}
	return all
}

// one runs one network, reports its results and adds them to all.
func (o options) one(s system, n, round int, full bool, all samples) {
	// This one is not to pay for the garbage of the one before.
	runtime.GC()
	debug.FreeOSMemory()
	others := watchOthers()
	r := &run{system: s, n: n, idle: o.idle, result: samples{}}
	err := r.measure(full)
	share := others.share()
	fmt.Fprintf(os.Stderr, "%d %s %d:", round+1, s.name, n)
	for _, m := range measures {
		if list := r.result.of(s.name, n, m.name); len(list) > 0 {
			fmt.Fprintf(os.Stderr, " %s %s", m.name, format(command.Median(list)))
		}
	}
	fmt.Fprintf(os.Stderr, "; others had %.0f %% of the CPUs\n", 100*share)
	if share > tolerable {
		fmt.Fprintln(os.Stderr, "  the machine is busy: don't trust these times, measure again when it is quiet")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%d %s %d: given up: %v\n", round+1, s.name, n, err)
	}
	for of, values := range r.result {
		all[of] = append(all[of], values...)
	}
}
