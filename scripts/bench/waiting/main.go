// Command waiting measures how soon a peer that comes back has the messages that have waited for
// it, when their sender is there and when it has gone and others keep them. All are real processes
// with state directories: a sender, a receiver, and three others.
//
//	make bench-waiting
//	make bench-waiting FLAGS='-rounds 9 -pace 5ms'
//
// The time is counted from the start of the receiver's process, and from the moment at which it has
// joined (ready), to the last message. Figures are medians over the rounds, and the longest.
//
// The exit status is 1 if a message was lost, doubled or out of order, or if a
// median from the start is above 2 s.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"quicpeer/scripts/bench/command"
	"quicpeer/scripts/internal/harness"
)

// bar is the longest time from the start.
const bar = 2 * time.Second

// options are the flags.
type options struct {
	command.Dir
	messages, rounds int
	pace             time.Duration
}

func main() {
	var o options
	flag.IntVar(&o.messages, "messages", 1000, "how many wait")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of both")
	flag.DurationVar(&o.pace, "pace", 0, "pause between two messages: from a few ms on each is left with others by itself")
	o.Flag()
	command.Main("bench-waiting", func() error { return o.Run(o.bench) })
}

func (o options) bench(dir string) error {
	if o.messages < 1 {
		return errors.New("-messages must be at least 1")
	}
	path, err := harness.Build(dir, false)
	if err != nil {
		return err
	}
	results := map[bool][]result{} // by whether the sender had gone
	for range o.rounds {
		for _, senderGone := range []bool{false, true} {
			place, err := os.MkdirTemp(dir, "")
			if err != nil {
				return err
			}
			r, err := o.round(path, place, senderGone)
			if err != nil {
				return err
			}
			results[senderGone] = append(results[senderGone], r)
		}
	}
	fmt.Printf("%s; %d messages of %d bytes wait, sent %v apart, medians and longest of %d rounds,\nstate directories in %s\n\n",
		command.Machine(), o.messages, len(bodyOf(0)), o.pace, o.rounds, o.Name)
	fmt.Printf("%-12s   %-17s   %-17s\n", "", "from the start", "from ready")
	fmt.Printf("%-12s   %8s %8s   %8s %8s\n", "sender", "median", "longest", "median", "longest")
	missed := print("here", results[false]) > bar
	if print("gone", results[true]) > bar || missed {
		return command.ErrMissed
	}
	return nil
}

// print prints a row and returns the median from the start.
func print(name string, results []result) time.Duration {
	var started, ready []time.Duration
	for _, r := range results {
		started, ready = append(started, r.fromStart), append(ready, r.fromReady)
	}
	middle := command.Median(started)
	fmt.Printf("%-12s   %8v %8v   %8v %8v\n", name, ms(middle), ms(slices.Max(started)), ms(command.Median(ready)), ms(slices.Max(ready)))
	return middle
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
