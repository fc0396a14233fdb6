// Command files measures how fast files go from peer to peer, the memory they take, and what becomes of messages meanwhile.
// All peers are real processes on loopback with state directories; the files are on a disk.
//
//	make bench-files
//	make bench-files FLAGS='-only a,d -size 256 -rounds 5 -croc ~/bin/croc'
//
// The parts are
//
//	a  one large file directly, from file_accept to file_done, beside a bare quic-go stream, scp and croc
//	b  the same over one other peer, beside a bare stream over such a connection
//	c  memory of sender and receiver: the large file, and many small ones
//	d  messages every 20 ms, idle and while the large file is sent at full speed, directly and over one other peer, from its sender
//	   and from its receiver
//	e  two transfers at once, and three receivers at once: how even they are, and their sum
//
// The bare stream is this program in two processes. One reads the file and writes each MiB with its SHA-256; the other
// reads, compares and writes the file. It ends with fsync, as everything here does. Over one other peer it is a stream of
// package transport, with the routes set by hand; there the sender has only an IPv4 address and the receiver only an IPv6
// one, so that neither reaches the other. (A cut file would do that too, but slows down the socket.)
//
// scp goes through an sshd that is started with keys of its own, croc through its own relay. Either is skipped, with a
// word, if it is missing.
//
// Rivals run in turn, after a round that warms up; before each run the disk is synced. Figures are medians over
// the rounds. A ratio is the median of the ratios of each round. All processes share the processors and the disk, and the
// file is in the page cache when it is sent.
//
// The exit status is 1 if a bar is missed: 0.85 of the rate of the bare stream, and more than croc's; 0.8 of it over one
// other peer; at most 64 MiB of memory above idle; a p99 of messages of at most 3 times the idle one.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"quicpeer/scripts/bench/command"
	"quicpeer/scripts/internal/harness"
)

// options are the flags.
type options struct {
	command.Dir
	megabytes   int // MiB
	small       int
	rounds      int
	only        string
	croc, sshd  string
	role        string
	program     string // quicpeer
	work, large string // the working directory, and the large file in it
}

func main() {
	var o options
	flag.IntVar(&o.megabytes, "size", 1024, "`MiB` of the file")
	flag.IntVar(&o.small, "small", 100_000, "how many small files, of 0 to 8 KiB")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of each measure, besides one that warms up")
	flag.StringVar(&o.only, "only", "a,b,c,d,e", "these `parts`, separated by commas")
	flag.StringVar(&o.croc, "croc", "croc", "the `program` croc")
	flag.StringVar(&o.sshd, "sshd", "/usr/sbin/sshd", "the `program` sshd")
	flag.StringVar(&o.role, "serve", "", "internal: be the process of this `role`")
	o.Flag()
	command.Main("bench-files", func() error {
		if o.role != "" {
			return serve(o.role)
		}
		if o.megabytes < 1 || o.small < 1 || o.rounds < 1 {
			return errors.New("-size, -small and -rounds must be at least 1")
		}
		return o.Run(o.bench)
	})
}

// parts are the parts of -only.
var parts = map[string]func(options, *results) error{"a": options.direct, "b": options.carried, "c": options.memory, "d": options.chat, "e": options.even}

func (o options) bench(dir string) (err error) {
	// quic-go complains of the socket's buffers; the processes inherit this.
	os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	o.work, o.large = dir, filepath.Join(dir, "large.bin")
	list := strings.Split(o.only, ",")
	for _, name := range list {
		if parts[name] == nil {
			return fmt.Errorf("-only %s: unknown part %q", o.only, name)
		}
	}
	if o.program, err = harness.Build(dir, false); err != nil {
		return err
	}
	if err := harness.MakeFile(o.large, o.size(), 1); err != nil {
		return err
	}
	fmt.Printf("%s; a file of %d MiB in %s; medians of %d rounds\n\n", command.Machine(), o.megabytes, o.Name, o.rounds)
	fmt.Printf("| measure | figure | bar | |\n| --- | --- | --- | --- |\n")
	r := &results{}
	for _, name := range list {
		if err := parts[name](o, r); err != nil {
			return fmt.Errorf("part %s: %w", name, err)
		}
	}
	if r.missed {
		return command.ErrMissed
	}
	return nil
}

func (o options) size() int64 { return int64(o.megabytes) << 20 }

// rate is the rate in MiB/s of the large file.
func (o options) rate(took time.Duration) float64 { return float64(o.megabytes) / took.Seconds() }

// results prints the figures and notes whether a bar was missed.
type results struct{ missed bool }

// row prints a figure for information.
func (r *results) row(what, format string, args ...any) {
	fmt.Printf("| %s | %s | | |\n", what, fmt.Sprintf(format, args...))
}

// bar prints a figure that must be at least the limit, or at most if most is set.
func (r *results) bar(what string, value, limit float64, most bool) {
	sign, ok, word := "≥", value >= limit, "ok"
	if most {
		sign, ok = "≤", value <= limit
	}
	if !ok {
		word, r.missed = "missed", true
	}
	fmt.Printf("| %s | %.2f | %s %g | %s |\n", what, value, sign, limit, word)
}

// contender is a way to send the large file.
type contender struct {
	name string
	run  func() (time.Duration, error)
}

// compete runs all in turn, and returns the times of each.
func (o options) compete(all []contender) (times [][]time.Duration, err error) {
	times = make([][]time.Duration, len(all))
	for round := range o.rounds + 1 {
		for i, c := range all {
			settle()
			took, err := c.run()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			if round > 0 {
				times[i] = append(times[i], took)
			}
		}
	}
	return times, nil
}

// settle waits until everything is on the disk.
func settle() { syscall.Sync() }

// ratio is the median over the rounds of how much faster one was than the other.
func ratio(times, than []time.Duration) float64 {
	var list []float64
	for i := range times {
		list = append(list, than[i].Seconds()/times[i].Seconds())
	}
	return command.Median(list)
}

// direct is part a.
func (o options) direct(r *results) error {
	n, err := o.start(false, 1)
	if err != nil {
		return err
	}
	defer n.close()
	all := []contender{n.quicpeer(), {"bare stream", o.bare}}
	for _, start := range []func() (*rival, error){o.startSCP, o.startCroc} {
		v, err := start()
		if err != nil {
			return err
		}
		defer v.close()
		if v.missing != "" {
			r.row("without "+v.name, "%s", v.missing)
		} else {
			all = append(all, contender{v.name, v.run})
		}
	}
	times, err := o.compete(all)
	if err != nil {
		return err
	}
	for i, c := range all {
		r.row("directly, "+c.name, "%.0f MiB/s", o.rate(command.Median(times[i])))
	}
	r.bar("rate directly to the bare stream's", ratio(times[0], times[1]), 0.85, false)
	for i, c := range all[2:] {
		if c.name == croc {
			r.bar("rate directly to croc's", ratio(times[0], times[i+2]), 1, false)
		} else {
			r.row("rate directly to "+c.name+"'s", "%.2f", ratio(times[0], times[i+2]))
		}
	}
	return nil
}

// carried is part b.
func (o options) carried(r *results) error {
	n, err := o.start(true, 1)
	if err != nil {
		return err
	}
	defer n.close()
	times, err := o.compete([]contender{n.quicpeer(), {"bare stream", o.bareCarried}})
	if err != nil {
		return err
	}
	r.row("over one other peer, quicpeer", "%.0f MiB/s", o.rate(command.Median(times[0])))
	r.row("over one other peer, bare stream", "%.0f MiB/s", o.rate(command.Median(times[1])))
	r.bar("rate over one other peer to the bare stream's", ratio(times[0], times[1]), 0.8, false)
	return nil
}

// memory is part c.
func (o options) memory(r *results) error {
	small := filepath.Join(o.work, "small")
	size, err := harness.MakeFiles(small, o.small, 8<<10, 2)
	if err != nil {
		return err
	}
	for _, what := range []struct{ name, path string }{
		{fmt.Sprintf("%d MiB", o.megabytes), o.large},
		{fmt.Sprintf("%d small files", o.small), small},
	} {
		n, err := o.start(false, 1)
		if err != nil {
			return err
		}
		before := n.peaks()
		settle()
		took, err := n.transfer(what.path)
		after := n.peaks()
		err = errors.Join(err, n.check())
		n.close()
		if err != nil {
			return err
		}
		if what.path == small {
			r.row(what.name+" of together "+fmt.Sprint(size>>20)+" MiB", "%.1f s, %.0f MiB/s", took.Seconds(), float64(size)/(1<<20)/took.Seconds())
		}
		for i, who := range []string{"sender", "receiver"} {
			r.bar(fmt.Sprintf("%s: memory of the %s above idle (%.1f), MiB", what.name, who, before[i]), after[i]-before[i], 64, true)
		}
	}
	return nil
}

// even is part e.
func (o options) even(r *results) error {
	n, err := o.start(false, 1)
	if err != nil {
		return err
	}
	second := filepath.Join(o.work, "second.bin")
	if err := harness.MakeFile(second, o.size(), 3); err != nil {
		return err
	}
	err = n.together(r, "two transfers at once", receiverName(0), o.large, second)
	n.close()
	if err != nil {
		return err
	}
	if err := os.Remove(second); err != nil {
		return err
	}
	if n, err = o.start(false, 3); err != nil {
		return err
	}
	defer n.close()
	return n.together(r, "three receivers at once", everyone, o.large)
}

// together measures transfers that start at the same moment.
func (n *network) together(r *results, what, to string, paths ...string) error {
	var apart, rates []float64
	for round := range n.rounds + 1 {
		settle()
		times, err := n.transfers(to, paths...)
		if err = errors.Join(err, n.check()); err != nil {
			return err
		}
		slowest, fastest := times[0], times[0]
		for _, t := range times {
			slowest, fastest = max(slowest, t), min(fastest, t)
		}
		if round > 0 {
			apart, rates = append(apart, slowest.Seconds()/fastest.Seconds()), append(rates, n.rate(slowest)*float64(len(times)))
		}
	}
	r.row(what+": slowest to fastest", "%.2f", command.Median(apart))
	r.row(what+": together", "%.0f MiB/s", command.Median(rates))
	return nil
}
