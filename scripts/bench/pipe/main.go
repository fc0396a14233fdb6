// Command pipe pipes a million lines into a quicpeer that sends each as a message to another one,
// whose standard output it reads. Both are real processes with state directories.
//
//	make bench-pipe
//	make bench-pipe FLAGS='-lines 100000 -mute 0,30s'
//
// It does so twice: reading what the receiver prints from the beginning, and only
// after a while, in which everything has to wait without taking more memory. The
// figures are the time to the end of the sender, which waits for the last receipt,
// and the most memory that each of the two had (VmHWM, Linux only).
//
// The exit status is 1 if a message was lost, doubled or out of order, if the sender
// did not end with status 0, or if one of the two had more than 100 MiB.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"quicpeer/scripts/bench/command"
	"quicpeer/scripts/internal/harness"
)

// memoryBar is the most memory that each may have.
const memoryBar = 100 << 20

// options are the flags.
type options struct {
	command.Dir
	lines int
	mutes []time.Duration
}

func main() {
	o := options{mutes: []time.Duration{0, 10 * time.Second}}
	flag.IntVar(&o.lines, "lines", 1_000_000, "how many")
	o.Flag()
	flag.Func("mute", "how long nobody reads what the receiver prints, for each run (default 0s,10s)", func(s string) error {
		o.mutes = nil
		for word := range strings.SplitSeq(s, ",") {
			d, err := time.ParseDuration(word)
			if err != nil {
				return err
			}
			o.mutes = append(o.mutes, d)
		}
		return nil
	})
	command.Main("bench-pipe", func() error { return o.Run(o.bench) })
}

func (o options) bench(dir string) error {
	path, err := harness.Build(dir, false)
	if err != nil {
		return err
	}
	fmt.Printf("%s; %d lines of %d bytes, state directories in %s\n\n", command.Machine(), o.lines, len(line(0)), o.Name)
	fmt.Printf("%-14s %8s %9s   %-19s\n", "", "", "", "most memory, MiB")
	fmt.Printf("%-14s %8s %9s   %9s %9s\n", "not read for", "time", "lines/s", "sender", "receiver")
	missed := false
	for _, mute := range o.mutes {
		place, err := os.MkdirTemp(dir, "")
		if err != nil {
			return err
		}
		r, err := run(path, place, o.lines, mute)
		if err != nil {
			return err
		}
		fmt.Printf("%-14v %7.1fs %9.0f   %9.1f %9.1f\n", mute, r.time.Seconds(), float64(o.lines)/r.time.Seconds(),
			float64(r.sender)/(1<<20), float64(r.receiver)/(1<<20))
		missed = missed || r.sender > memoryBar || r.receiver > memoryBar
	}
	if missed {
		return command.ErrMissed
	}
	return nil
}
