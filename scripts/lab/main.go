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
	"flag"
	"fmt"
	"os"
	"regexp"

	"quicpeer/scripts/netlab"
)

func main() {
	loss := flag.Int("loss", 0, "lose this `percent` of the packets at both hosts' access, each way")
	only := flag.String("pairs", ".", "only the pairs and incidents whose names match this `regexp`")
	repeat := flag.Int("repeat", 1, "trials of each pair")
	verbose := flag.Bool("v", false, "show the end of the peers' logs after each trial, not only after a fault")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: lab [flags], or lab COMMAND: lab help lists them")
		flag.PrintDefaults()
	}
	flag.Parse()
	fatal := func(err error) {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
	if flag.NArg() > 0 {
		if err := standing(flag.Arg(0), flag.Args()[1:]); err != nil {
			fatal(err)
		}
		return
	}
	pattern, err := regexp.Compile(*only)
	if err != nil || *repeat < 1 || *loss < 0 || *loss > 90 {
		fmt.Fprintln(os.Stderr, "lab: wrong flags; lab -help explains them")
		os.Exit(2)
	}
	if err := netlab.Missing("nft"); err != nil {
		fatal(fmt.Errorf("it can't be built here: it needs %w", err))
	}
	ok, err := run(pattern, *loss, *repeat, *verbose)
	if err != nil {
		fatal(err)
	}
	if !ok {
		os.Exit(1)
	}
}

// run measures all that the pattern names; false says that a bar was missed.
func run(pattern *regexp.Regexp, loss, repeat int, verbose bool) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "quicpeer-lab-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	l, err := newLab(dir)
	if err != nil {
		return false, err
	}
	l.debug = verbose
	ok = true
	try := func(t *table, name string, once func() result, verdict func(result) string) {
		if pattern.MatchString(name) {
			ok = l.try(t, name, repeat, once, verdict) && ok
		}
	}
	t := &table{head: []string{"pair", "first message, ms", "its path", "connection, ms", "path of the last", "as it should be"}, columns: []int{0, 1, 2, 3, 4, 5}}
	for _, p := range pairs() {
		try(t, p.name, func() result { return l.measure(p, loss) }, func(r result) string { return r.verdict(p, loss) })
	}
	if loss > 0 {
		return ok, nil
	}
	t = &table{head: []string{"in the middle of a conversation", "longest silence, ms", "path of the last", "as it should be"}, columns: []int{0, 1, 4, 5}}
	for _, in := range incidents() {
		try(t, in.name, func() result { return l.live(in) }, in.verdict)
	}
	return ok, nil
}

// try does an experiment so often, and prints a line of what came of it. The verdict is what
// is wrong with a result; empty: nothing.
func (l *lab) try(t *table, name string, repeat int, once func() result, verdict func(result) string) (ok bool) {
	var results []result
	var faults []string
	for range repeat {
		r := once()
		fault := verdict(r)
		if fault != "" {
			faults = append(faults, fault)
		}
		if fault != "" || l.debug {
			l.showLogs(os.Stderr)
		}
		results = append(results, r)
		l.forget()
	}
	t.print(name, results, faults)
	return len(faults) == 0
}

// forget removes the state of a trial's peers.
func (l *lab) forget() {
	for _, id := range []string{"pub", "a", "b"} {
		_ = os.RemoveAll(l.dir + "/state-" + id) // else the next trial says so
	}
}
