// Command lab puts real quicpeer processes behind NATs, made by the kernel in network
// namespaces, and measures how they reach each other:
//
//	make lab
//	make lab FLAGS='-pairs symmetric -repeat 5'
//	make lab FLAGS='-loss 10'
//
// For each pair of NATs it starts three peers: one with a public address, through which the other
// two join. It measures the time until the receipt of the first message from one to the other, and
// until they have a connection, both from the moment each knows of the other. Then 20 messages each
// way must be shown, once and in order. Incidents follow, each in the middle of a conversation: a
// router that forgets its mappings, one that makes others, a host that gets another address, and
// the death of the public peer. There it measures the longest silence between two messages.
//
// It takes Linux with iproute2 and nftables, and root or the right to make user namespaces. Nothing
// is left over, however it ends. The exit status is 1 if a bar is missed.
//
// For experiments of your own it builds such an internet that stays, which takes root:
//
//	go build ./scripts/lab
//	sudo ./lab up restricted symmetric
//	sudo ./lab exec pub ./quicpeer -id pub -listen :5000
//	sudo ./lab down
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"

	"quicpeer/scripts/netlab"
)

// Ends of a lab: it has measured everything, or was told to stop.
var (
	errMissed      = errors.New("a bar is missed")
	errInterrupted = errors.New("interrupted")
)

func main() {
	var only regexp.Regexp
	loss := flag.Int("loss", 0, "lose this `percent` of the packets at both hosts' access, each way")
	flag.TextVar(&only, "pairs", regexp.MustCompile("."), "only the pairs and incidents whose names match this `regexp`")
	repeat := flag.Int("repeat", 1, "trials of each pair")
	verbose := flag.Bool("v", false, "show the end of the peers' logs after each trial, not only after a fault")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: lab [flags], or lab COMMAND: lab help lists them")
		flag.PrintDefaults()
	}
	flag.Parse()
	var err error
	switch {
	case flag.NArg() > 0:
		err = standing(flag.Arg(0), flag.Args()[1:])
	case *repeat < 1 || *loss < 0 || *loss > 90:
		fmt.Fprintln(os.Stderr, "lab: wrong flags; lab -help explains them")
		os.Exit(2)
	default:
		err = run(&only, *loss, *repeat, *verbose)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// buildable says what is missing here for an internet.
func buildable() error {
	if err := netlab.Missing("nft"); err != nil {
		return fmt.Errorf("it can't be built here: it needs %w", err)
	}
	return nil
}

// run measures all that the pattern names.
func run(pattern *regexp.Regexp, loss, repeat int, verbose bool) error {
	if err := buildable(); err != nil {
		return err
	}
	// Ctrl-C ends the build or the peers as well, and so the trial; then the folder is removed.
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "quicpeer-lab-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := newLab(dir)
	if err != nil {
		return err
	}
	l.debug = verbose
	try := func(t *table, name string, once func() result, verdict func(result) string) {
		if pattern.MatchString(name) && !l.try(interrupted, t, name, repeat, once, verdict) {
			err = errMissed
		}
	}
	t := &table{head: []string{"pair", "first message, ms", "its path", "connection, ms", "path of the last", "as it should be"}, columns: []int{0, 1, 2, 3, 4, 5}}
	for _, p := range pairs() {
		try(t, p.name, func() result { return l.measure(p, loss) }, func(r result) string { return r.verdict(p, loss) })
	}
	if interrupted.Err() != nil {
		return errInterrupted
	}
	if loss > 0 {
		return err
	}
	t = &table{head: []string{"in the middle of a conversation", "longest silence, ms", "path of the last", "as it should be"}, columns: []int{0, 1, 4, 5}}
	for _, in := range incidents() {
		try(t, in.name, func() result { return l.live(in) }, in.verdict)
	}
	if interrupted.Err() != nil {
		return errInterrupted
	}
	return err
}

// try does an experiment so often, and prints a line of what came of it, unless ctx ends. The
// verdict is what is wrong with a result; empty: nothing.
func (l *lab) try(ctx context.Context, t *table, name string, repeat int, once func() result, verdict func(result) string) (ok bool) {
	var results []result
	var faults []string
	for range repeat {
		if ctx.Err() != nil {
			return false
		}
		r := once()
		fault := verdict(r)
		if fault != "" {
			faults = append(faults, fault)
		}
		if ctx.Err() == nil && (fault != "" || l.debug) {
			l.showLogs(os.Stderr)
		}
		results = append(results, r)
	}
	if ctx.Err() == nil {
		t.print(name, results, faults)
	}
	return len(faults) == 0
}
