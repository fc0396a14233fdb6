// Command messages measures direct messages between two processes on loopback,
// through the public API with all events consumed:
//
//	floor     bare quic-go with the same TLS, a bidirectional stream for each
//	          message and an acknowledgement on it
//	quicpeer  without state directories: messages wait in memory
//	stored    sender and receiver have state directories, so each message is on
//	          the disk before it is called sent, and noted there before its receipt
//	1 hop     sender and receiver can't reach each other, and have one peer
//	3 hops    between them, or a line of three: processes of their own
//
// All run in turn, so that a ratio holds on a machine whose speed drifts; figures
// are medians over the rounds. Ratios are of the kinds of one round.
//
// Server and client of one hop speak different versions of IP; of three hops transport.Cut keeps peers
// from reaching each other: its packets go out one by one, without the help that the kernel gives
// to others. All peers of a line share the processors of this machine:
// on machines of their own they do not wait for each other.
//
//	make bench
//	make bench FLAGS='-rounds 9 -time 2s -dir /mnt/disk'
//
// The exit status is 1 if quicpeer misses a bar: its rate to that of the floor, 1.15, 1.9 and 2.7
// with 1, 16 and 128 in flight, and its median latency with 1, 0.95; with 128 the rate of stored, 0.6
// of quicpeer's and 1.5 of the floor's; and over one peer the median latency with 1, 2.0 of
// quicpeer's, and the rate with 128, 0.5 of it.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"quicpeer/scripts/bench/command"
)

// body is the size of a message's text, in bytes.
const body = 100

// client sends messages for a time, so many in flight at once.
type client interface {
	run(inFlight int, d time.Duration) (trial, error)
	close()
}

// kind is one of the measured programs. dir is for its files.
type kind struct {
	name  string
	start func(dir string) (client, error)
}

// all are the kinds. Ratios are to the first two.
var all = []kind{
	{"floor", startFloor},
	{"quicpeer", func(dir string) (client, error) { return startLine(dir, 0, false) }},
	{"stored", func(dir string) (client, error) { return startLine(dir, 0, true) }},
	{"1 hop", func(dir string) (client, error) { return startLine(dir, 1, false) }},
	{"3 hops", func(dir string) (client, error) { return startLine(dir, 3, false) }},
}

const (
	floorKind = iota
	peerKind
	storedKind
	hopKind
)

// options are the flags.
type options struct {
	command.Dir
	rounds int
	length time.Duration
	kinds  []kind
}

func main() {
	o := options{kinds: all}
	var other *peerOptions
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each kind")
	flag.DurationVar(&o.length, "time", time.Second, "time of each run")
	flag.Func("only", "the first `N` kinds only, at least one", func(n string) error {
		count, err := strconv.Atoi(n)
		if err != nil || count < 1 || count > len(all) {
			return fmt.Errorf("not a number from 1 to %d", len(all))
		}
		o.kinds = all[:count]
		return nil
	})
	o.Flag()
	flag.Func("serve", "internal: be another process, which is as this says", func(role string) error {
		return json.Unmarshal([]byte(role), &other)
	})
	command.Main("bench", func() error {
		switch {
		case other == nil:
			return o.Run(o.bench)
		case other.ID == "":
			return serveFloor()
		default:
			return other.serve()
		}
	})
}

// bench runs all kinds in turn and prints the table.
func (o options) bench(dir string) error {
	sync, err := syncTime(dir)
	if err != nil {
		return err
	}
	var clients []client
	for _, k := range o.kinds {
		place, err := os.MkdirTemp(dir, "")
		if err != nil {
			return err
		}
		c, err := k.start(place)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		defer c.close()
		clients = append(clients, c)
	}
	fmt.Printf("%s; %d bytes a message, medians of %d rounds of %v\n", command.Machine(), body, o.rounds, o.length)
	fmt.Printf("state directories in %s, where a short write and its fsync take %v\n\n", o.Name, sync.Round(time.Microsecond))
	printHead()
	var missed []string
	for _, inFlight := range []int{1, 16, 128} {
		trials, err := o.runAll(clients, inFlight)
		if err != nil {
			return err
		}
		printRows(inFlight, trials)
		for _, b := range bars {
			if b.inFlight == inFlight && b.kind < len(trials) && !b.holds(trials) {
				missed = append(missed, b.name)
			}
		}
	}
	if len(missed) > 0 {
		fmt.Printf("\nmissed: %s\n", strings.Join(missed, "; "))
		return command.ErrMissed
	}
	return nil
}

// bar is what a ratio has to keep to.
type bar struct {
	name       string
	inFlight   int
	kind, base int
	of         func(trial) float64
	limit      float64
	most       bool // the limit is the greatest, not the least
}

var bars = []bar{
	{"rate at 1 to floor 1.15", 1, peerKind, floorKind, rateOf, 1.15, false},
	{"p50 at 1 to floor 0.95", 1, peerKind, floorKind, p50Of, 0.95, true},
	{"rate at 16 to floor 1.9", 16, peerKind, floorKind, rateOf, 1.9, false},
	{"rate at 128 to floor 2.7", 128, peerKind, floorKind, rateOf, 2.7, false},
	{"stored to quicpeer 0.6", 128, storedKind, peerKind, rateOf, 0.6, false},
	{"stored to floor 1.5", 128, storedKind, floorKind, rateOf, 1.5, false},
	{"p50 at 1 over one peer to quicpeer 2.0", 1, hopKind, peerKind, p50Of, 2.0, true},
	{"rate at 128 over one peer to quicpeer 0.5", 128, hopKind, peerKind, rateOf, 0.5, false},
}

func (b bar) holds(trials [][]trial) bool {
	ratio := medianRatio(trials[b.kind], trials[b.base], b.of)
	if b.most {
		return ratio <= b.limit
	}
	return ratio >= b.limit
}

// runAll gives the trials of each kind, round by round. The first round warms up.
func (o options) runAll(clients []client, inFlight int) ([][]trial, error) {
	trials := make([][]trial, len(clients))
	for round := range o.rounds + 1 {
		for i, c := range clients {
			t, err := c.run(inFlight, o.length)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
			if round > 0 {
				trials[i] = append(trials[i], t)
			}
		}
	}
	return trials, nil
}
