// Command bench measures direct messages between two processes on loopback,
// through the public API with all events consumed, against the floor: bare
// quic-go with the same TLS, a bidirectional stream for each message and an
// acknowledgement on it. Both run in turn, so that a ratio holds on a machine
// whose speed drifts; figures are medians over the rounds.
//
//	make bench
//	go -C scripts/bench run ./messages -rounds 9 -time 2s
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// body is what a message carries, in bytes.
const body = 100

// trial is one run of one kind: how many messages came back in what time each.
type trial struct {
	perSecond float64
	p50, p99  time.Duration
}

// client sends messages for a time, so many in flight at once.
type client interface {
	run(inFlight int, d time.Duration) (trial, error)
	close()
}

func main() {
	serve := flag.String("serve", "", "internal: be the other process, \"floor\" or \"quicpeer\"")
	rounds := flag.Int("rounds", 5, "rounds of each kind")
	length := flag.Duration("time", time.Second, "time of each run")
	flag.Parse()
	var err error
	switch *serve {
	case "":
		err = bench(*rounds, *length)
	case "floor":
		err = serveFloor()
	case "quicpeer":
		err = servePeer()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench runs both kinds in turn and prints the table.
func bench(rounds int, length time.Duration) error {
	floor, err := start("floor", newFloorClient)
	if err != nil {
		return err
	}
	defer floor.close()
	peer, err := start("quicpeer", newPeerClient)
	if err != nil {
		return err
	}
	defer peer.close()
	fmt.Printf("%s/%s, %d CPUs, %s; %d bytes a message, medians of %d rounds of %v\n\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), body, rounds, length)
	fmt.Println("in flight        msg/s             p50             p99     rate / floor     p50 / floor")
	for _, inFlight := range []int{1, 16, 128} {
		if err := compare(floor, peer, inFlight, rounds, length); err != nil {
			return err
		}
	}
	return nil
}

// compare prints the rows of one number in flight. The first round warms up.
func compare(floor, peer client, inFlight, rounds int, length time.Duration) error {
	var floors, peers []trial
	for round := range rounds + 1 {
		f, err := floor.run(inFlight, length)
		if err != nil {
			return fmt.Errorf("floor: %w", err)
		}
		p, err := peer.run(inFlight, length)
		if err != nil {
			return fmt.Errorf("quicpeer: %w", err)
		}
		if round > 0 {
			floors, peers = append(floors, f), append(peers, p)
		}
	}
	var rate, latency []float64
	for i := range floors {
		rate = append(rate, peers[i].perSecond/floors[i].perSecond)
		latency = append(latency, float64(peers[i].p50)/float64(floors[i].p50))
	}
	row("floor", inFlight, floors)
	fmt.Println()
	row("quicpeer", inFlight, peers)
	fmt.Printf("  %15.2f %15.2f\n", median(rate), median(latency))
	return nil
}

func row(name string, inFlight int, trials []trial) {
	var rate, p50, p99 []float64
	for _, t := range trials {
		rate = append(rate, t.perSecond)
		p50, p99 = append(p50, float64(t.p50)), append(p99, float64(t.p99))
	}
	fmt.Printf("%3d %-8s %10.0f %15v %15v", inFlight, name, median(rate),
		time.Duration(median(p50)).Round(time.Microsecond), time.Duration(median(p99)).Round(time.Microsecond))
}

func median(list []float64) float64 {
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// summary turns the times of a run's messages into a trial.
func summary(times []time.Duration, took time.Duration) trial {
	slices.Sort(times)
	at := func(q float64) time.Duration { return times[int(q*float64(len(times)-1))] }
	return trial{float64(len(times)) / took.Seconds(), at(0.5), at(0.99)}
}

// process is the other process of a client; it ends with its standard input.
type process struct {
	command *exec.Cmd
	stdin   io.Closer
}

func (p *process) close() {
	p.stdin.Close()
	p.command.Wait()
}

// start starts the other process of a kind, whose first line is its address, and
// the client that talks to it.
func start(kind string, newClient func(address string, p *process) (client, error)) (client, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(self, "-serve", kind)
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &process{command, stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.close()
		return nil, fmt.Errorf("%s: no address from the other process: %w", kind, err)
	}
	return newClient(strings.TrimSpace(line), p)
}

// untilInputEnds waits for the end of the parent.
func untilInputEnds() { io.Copy(io.Discard, os.Stdin) }
