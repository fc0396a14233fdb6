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
// transport.Cut keeps peers from reaching each other; its packets go out one by one, without the
// help that the kernel gives to others. All peers of a line share the processors of this machine:
// on machines of their own they do not wait for each other.
//
//	make bench
//	make bench FLAGS='-rounds 9 -time 2s -dir /mnt/disk'
//
// The exit status is 1 if quicpeer misses its bar: stored at half of the rate of
// quicpeer, with 128 in flight.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	"quicpeer/scripts/bench/command"
)

// body is the size of a message's text, in bytes.
const body = 100

// storedBar is the least rate of stored, as a part of quicpeer's, with many in flight.
const storedBar = 0.5

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
	missed := false
	for _, inFlight := range []int{1, 16, 128} {
		trials, err := o.runAll(clients, inFlight)
		if err != nil {
			return err
		}
		printRows(inFlight, trials)
		missed = inFlight == 128 && len(trials) > storedKind && medianRatio(trials[storedKind], trials[peerKind], rateOf) < storedBar
	}
	if missed {
		return command.ErrMissed
	}
	return nil
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
