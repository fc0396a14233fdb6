// Command waiting measures how soon a peer that comes back has the messages that
// have waited for it, when their sender is there and when it has gone and others
// keep them. All are real processes with state directories: a sender, a receiver,
// and three others.
//
//	make bench-waiting
//	make bench-waiting FLAGS='-rounds 9 -pace 5ms'
//
// The time is counted from the start of the receiver's process, and from the moment
// at which it has joined (ready), to the last message. Figures are medians over the
// rounds, and the longest.
//
// The exit status is 1 if a message was lost, doubled or out of order, or if a
// median from the start is above 2 s.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"quicpeer/scripts/bench/program"
)

// bar is the longest time from the start.
const bar = 2 * time.Second

var errMissed = errors.New("quicpeer has missed its bar")

// options are the flags.
type options struct {
	messages, rounds int
	pace             time.Duration
	dir              string
}

func main() {
	var o options
	flag.IntVar(&o.messages, "messages", 1000, "how many wait")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of both")
	flag.DurationVar(&o.pace, "pace", 0, "pause between two messages: from a few ms on each is left with others by itself")
	flag.StringVar(&o.dir, "dir", "/var/tmp", "where the state directories are made, and removed: on a disk, as /tmp may be memory")
	flag.Parse()
	if err := o.bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-waiting:", err)
		os.Exit(1)
	}
}

func (o options) bench() error {
	dir, err := os.MkdirTemp(o.dir, "quicpeer-waiting-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path, err := program.Build(dir)
	if err != nil {
		return err
	}
	var here, gone []result
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
			if senderGone {
				gone = append(gone, r)
			} else {
				here = append(here, r)
			}
		}
	}
	fmt.Printf("%s/%s, %d CPUs, %s; %d messages of %d bytes wait, sent %v apart, medians and longest of %d rounds,\nstate directories in %s\n\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), o.messages, len(bodyOf(0)), o.pace, o.rounds, o.dir)
	fmt.Printf("%-12s   %-17s   %-17s\n", "", "from the start", "from ready")
	fmt.Printf("%-12s   %8s %8s   %8s %8s\n", "sender", "median", "longest", "median", "longest")
	missed := print("here", here) > bar
	if print("gone", gone) > bar || missed {
		return errMissed
	}
	return nil
}

// print prints a row and returns the median from the start.
func print(name string, results []result) time.Duration {
	var started, ready []time.Duration
	for _, r := range results {
		started, ready = append(started, r.fromStart), append(ready, r.fromReady)
	}
	middle := median(started)
	fmt.Printf("%-12s   %8v %8v   %8v %8v\n", name, ms(middle), ms(slices.Max(started)), ms(median(ready)), ms(slices.Max(ready)))
	return middle
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}
