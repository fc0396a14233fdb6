// Command attack plays what a stranger, a member or a host of the LAN may do to others: each attack
// against real quicpeer processes, in network namespaces of their own, bounded in number and time.
//
//	make attack
//	make attack FLAGS='-only claim'
//	make attack FLAGS='-against OLD/quicpeer'     the same against another build
//
// It prints a line for each: the figure that the attack is about beside its bar; and of the honest
// peers, the worst of them each: memory in megabytes before and at its most, processor time,
// how often a living honest peer was shown as lost, and how many have stopped. The exit status is 1
// if a bar is missed.
//
// The attackers are made of the project's own packages and speak its protocol; they have no other
// network than the namespaces. It takes Linux with iproute2, and root or the right to make user
// namespaces. Nothing is left over, however it ends.
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

	"quicpeer/scripts/internal/harness"
	"quicpeer/scripts/netlab"
)

// attack is one of them.
type attack struct {
	name  string   // for -only, and of its player
	about string   // with the fault's number
	bar   string   // in words
	hosts []string // of the LAN, besides the first, "x", which is the attacker's
	short bool     // it is played in the tests too
	// play is the attacker: a process of its own on its host. It ends when its input does, or earlier.
	play func(p *player) error
	// run plays the attack, and returns the figure that the bar is about. It ends with the attack's end.
	run func(s *stage) (figure string, held bool, err error)
}

var errMissed = errors.New("a bar is missed")

func main() {
	if played, err := play(); played {
		fail(err)
		return
	}
	var only regexp.Regexp
	flag.TextVar(&only, "only", regexp.MustCompile("."), "only the attacks whose names match this `regexp`")
	against := flag.String("against", "", "attack this `program` instead of building quicpeer")
	verbose := flag.Bool("v", false, "show the end of the peers' logs")
	list := flag.Bool("list", false, "list the attacks")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "attack: wrong flags; attack -help explains them")
		os.Exit(2)
	}
	if *list {
		for _, a := range attacks {
			fmt.Printf("%-14s %s: %s\n", a.name, a.about, a.bar)
		}
		return
	}
	fail(runAll(&only, *against, *verbose))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

// runAll plays all attacks that the pattern names.
func runAll(only *regexp.Regexp, program string, verbose bool) (err error) {
	if err := netlab.Missing("tc"); err != nil {
		return fmt.Errorf("it can't be played here: it needs %w", err)
	}
	// Ctrl-C ends the peers as well, and so the attack; then the folder is removed.
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "quicpeer-attack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if program == "" {
		if program, err = harness.Build(dir, false); err != nil {
			return err
		}
	}
	fmt.Println("| attack | measured | bar | memory, MB | processor, s | shown as lost | stopped | |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, a := range attacks {
		if interrupted.Err() != nil {
			return errors.New("interrupted")
		}
		if !only.MatchString(a.name) {
			continue
		}
		if r := a.try(program, dir, verbose); !r.held {
			err = errMissed
		}
	}
	return err
}

// try plays one attack and prints its line.
func (a *attack) try(program, dir string, verbose bool) result {
	r := a.once(program, dir)
	fmt.Println(r.line(a))
	if verbose || r.err != nil {
		fmt.Fprint(os.Stderr, r.logs)
	}
	return r
}
