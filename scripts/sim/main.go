// Command sim runs networks of up to 10,000 real cores (quicpeer/overlay/core, the
// code of the binary) over a simulated network, and prints what users would see: how
// long until everybody knows, how much of it is false, and what it costs.
//
//	go run ./scripts/sim                       # or: make sim
//	go run ./scripts/sim -only crash,join -seed 7
//	go run ./scripts/sim -only half -seed 3 -follow p000583
//
// # How it works
//
// The network and the driver of its cores are those of quicpeer/overlay/coretest, whose
// package comment says what is modelled and what is left out. The same seed gives the
// same run to the last byte.
//
// "All tables are right" means that each living peer's events show exactly the other
// living peers. Each scenario prints its figures beside a bar, the limit that the design
// allows; the exit status is 1 if one is missed. Beside them stands what
// hashicorp/memberlist does with its defaults for a LAN, as far as it is known (rivals.go).
//
// The largest networks, of 100,000 peers, are beyond real cores with full tables. kernel.go
// simulates the two mechanisms that matter there, flood and comparison of tables, without the rest.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// settings are what the command line says.
type settings struct {
	seed  uint64
	n     int // peers, in the scenarios that don't say otherwise
	hours float64
	quick bool
	// private makes the networks private ones.
	private bool
	only    string
	follow  string // an ID
	log     io.Writer
}

// memoryLimit makes the collector work harder before the bar of the largest scenario is reached.
const memoryLimit = 23 << 29 // 11.5 GiB

func main() {
	var s settings
	flag.Uint64Var(&s.seed, "seed", 1, "seed of all that is random")
	flag.IntVar(&s.n, "n", 0, "peers, in the scenarios of 1000; 0: 1000, or 100 if quick")
	flag.Float64Var(&s.hours, "hours", 1, "hours of quiet in the scenario \"false\"")
	flag.BoolVar(&s.quick, "quick", false, "small networks, short times, few repeats; the bars mean little")
	flag.StringVar(&s.only, "only", "", "run these scenarios only: "+strings.Join(names(), ","))
	flag.StringVar(&s.follow, "follow", "", "print to standard error what the peer with this ID does and what others say of it")
	flag.Parse()
	s.log = os.Stderr
	if s.n == 0 {
		s.n = pick(s, 100, 1000)
	}
	debug.SetMemoryLimit(memoryLimit)
	list, err := chosen(s.only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(2)
	}
	if !print(os.Stdout, s.seed, s.run(list)) {
		os.Exit(1)
	}
}

// run runs scenarios and returns their figures.
func (s settings) run(list []scenario) []row {
	results := make([][]row, len(list))
	// Two networks at once, each on one processor, the longest first; then those that
	// measure the time of single steps, one after the other.
	var shared, alone []int
	for i, sc := range list {
		if sc.alone {
			alone = append(alone, i)
		} else {
			shared = append(shared, i)
		}
	}
	var wg sync.WaitGroup
	next := make(chan int)
	for range 2 {
		wg.Go(func() {
			for i := range next {
				results[i] = s.play(list[i])
			}
		})
	}
	for _, i := range shared {
		next <- i
	}
	close(next)
	wg.Wait()
	for _, i := range alone {
		debug.FreeOSMemory()
		results[i] = s.play(list[i])
	}
	return slices.Concat(results...)
}

// play runs one scenario.
func (s settings) play(sc scenario) []row {
	start := time.Now()
	rows := sc.run(s)
	for i := range rows {
		rows[i].scenario = sc.name
	}
	fmt.Fprintf(s.log, "%s: %.1f s\n", sc.name, time.Since(start).Seconds())
	return rows
}
