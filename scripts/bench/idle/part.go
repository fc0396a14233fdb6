package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// part says which peers a process has.
type part struct {
	Number, Count int
	Door          string // the address of the first peer of all; empty for the process that has it
}

// report is what a process says of itself and its peers.
type report struct {
	Memory     int64 // resident, bytes
	CPU        time.Duration
	Goroutines int
	Lost       int64 // PeerLeft events that say that a peer was lost
	Links      int
	Least      int // peers in the emptiest table
}

// serve starts the peers one after the other, and then answers each line of the input with a
// report. It ends with its input.
func (p part) serve() error {
	var nodes []*overlay.Node
	var lost atomic.Int64
	var readers sync.WaitGroup
	defer func() {
		for _, n := range nodes {
			n.Close()
		}
		readers.Wait()
	}()
	for i := range p.Count {
		cfg := overlay.Config{ID: certs.ID(fmt.Sprintf("p%d-%d", p.Number, i)), Listen: "127.0.0.1:0"}
		if p.Door != "" {
			cfg.Join = []string{p.Door}
		}
		node, err := overlay.Start(context.Background(), cfg)
		if err != nil {
			return err
		}
		nodes = append(nodes, node)
		ready := make(chan overlay.Ready, 1)
		readers.Go(func() {
			for event := range node.Events() {
				switch e := event.(type) {
				case overlay.Ready:
					ready <- e
				case overlay.PeerLeft:
					if e.Reason == overlay.ReasonLost {
						lost.Add(1)
					}
				}
			}
		})
		if r := <-ready; p.Door == "" {
			p.Door = r.Listen[0]
		}
	}
	out := json.NewEncoder(os.Stdout)
	fmt.Println(p.Door)
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		r := report{Memory: resident(), CPU: processTime(), Goroutines: runtime.NumGoroutine(), Lost: lost.Load(), Least: 1 << 30}
		for _, n := range nodes {
			r.Least = min(r.Least, len(n.Peers()))
			for _, way := range n.Net().Peers {
				if !way.Since.IsZero() {
					r.Links++
				}
			}
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	return input.Err()
}

// processTime is the CPU time of this process so far.
func processTime() time.Duration {
	var usage syscall.Rusage
	// It fails for wrong arguments only.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// resident is the memory of this process, on Linux; elsewhere 0.
func resident() (bytes int64) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// process is another process, this program with the flag -serve.
type process struct {
	cmd   *exec.Cmd
	input interface{ Close() error }
	ask   *json.Encoder
	lines *bufio.Reader
}

// start starts a process, and waits until its peers are ready. It returns the door's address.
func start(p part) (*process, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	role, err := json.Marshal(p)
	if err != nil {
		return nil, "", err
	}
	cmd := exec.Command(self, "-serve", string(role))
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	started := &process{cmd, input, json.NewEncoder(input), bufio.NewReader(output)}
	line, err := started.lines.ReadString('\n')
	if err != nil {
		started.close()
		return nil, "", fmt.Errorf("process %d: %w", p.Number, err)
	}
	return started, strings.TrimSpace(line), nil
}

func (p *process) report() (r report, err error) {
	if err := p.ask.Encode("report"); err != nil {
		return r, err
	}
	line, err := p.lines.ReadBytes('\n')
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(line, &r)
}

// close ends the process by the end of its input.
func (p *process) close() {
	_ = p.input.Close() // it may have ended
	_ = p.cmd.Wait()
}
