// Command broadcast measures messages to everyone: quicpeer beside gossipsub, the router of
// go-libp2p for messages to many, over QUIC as well.
//
// All nodes of a network run in one process on 127.0.0.1, without state directories. Those of quicpeer
// are this program once more; those of gossipsub the one in ../gossip, which is built here
// because its version of quic-go is another one. The two take turns, since a machine's speed drifts,
// and never run at the same time. Each is watched idle and then has two workloads of 100 messages of
// 200 bytes by random nodes: one message every 100 ms, and all at once.
//
//	p50, p99        from the call that sends a message to each node that shows it
//	last node       the same to the last of them, median of the messages
//	CPU a delivery  of the whole process, from the first call to a second after the
//	                last delivery; what it takes when it is idle is part of it
//
// Two cores do the work of all nodes, so a burst takes longer than on machines of their own.
// The ratio of the two holds.
//
//	make bench-broadcast
//	make bench-broadcast FLAGS='-n 20 -rounds 9'
//
// Figures are medians over the rounds, ratios those of the ratios of each round. The exit
// status is 1 if quicpeer misses its bar: each figure at most 0.7 of gossipsub's, all delivered.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"quicpeer/scripts/bench/command"
	"quicpeer/scripts/bench/crowd"
)

// options are the flags.
type options struct {
	n, rounds int
	peers     bool
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 50, "nodes of each network")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of both")
	flag.BoolVar(&o.peers, "peers", false, "internal: be the nodes of quicpeer")
	command.Main("bench-broadcast", func() error {
		switch {
		case o.n < 3 || o.rounds < 1:
			return errors.New("-n must be at least 3, -rounds at least 1")
		case o.peers:
			return crowd.Measure(o.n, startPeers)
		}
		return o.bench()
	})
}

// bench runs both in turn and prints the table.
func (o options) bench() error {
	dir, err := os.MkdirTemp("", "quicpeer-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rival, err := build(dir)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var ours, theirs []crowd.Result
	for round := range o.rounds {
		us, err := o.run(self, "-peers")
		if err != nil {
			return fmt.Errorf("quicpeer: %w", err)
		}
		them, err := o.run(rival)
		if err != nil {
			return fmt.Errorf("gossipsub: %w", err)
		}
		ours, theirs = append(ours, us), append(theirs, them)
		fmt.Fprintf(os.Stderr, "round %d\nquicpeer   %+v\ngossipsub  %+v\n", round+1, us, them)
	}
	fmt.Printf("%s; %d nodes, medians of %d rounds; 2 times %d messages of %d bytes\n\n",
		command.Machine(), o.n, o.rounds, crowd.Messages, crowd.Body)
	if missed := report(os.Stdout, ours, theirs); missed {
		return fmt.Errorf("%w: see the lines with \"missed\"", command.ErrMissed)
	}
	return nil
}

// build builds gossipsub's side, which lies beside this module's go.mod.
func build(dir string) (program string, err error) {
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "quicpeer/scripts/bench").Output()
	if err != nil {
		return "", fmt.Errorf("where the module of the benchmarks is: %w", err)
	}
	program = filepath.Join(dir, "gossip")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
	cmd.Dir = filepath.Join(strings.TrimSpace(string(module)), "gossip")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building gossipsub's side in %s: %w\n%s", cmd.Dir, err, out)
	}
	return program, nil
}

// run has a program measure its network.
func (o options) run(program string, args ...string) (r crowd.Result, err error) {
	cmd := exec.Command(program, append(args, "-n", strconv.Itoa(o.n))...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(out, &r)
}
