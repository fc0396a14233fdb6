package main

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"time"

	"quicpeer/scripts/internal/harness"
)

// pipes are a process's standard input and output, or their other ends.
type pipes struct {
	io.ReadCloser
	io.WriteCloser
}

func (p pipes) Close() error { return errors.Join(p.WriteCloser.Close(), p.ReadCloser.Close()) }

// serve is a process: it does what it is asked for until its input ends.
func serve(name string) error {
	p, err := newPeer(name)
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.RegisterName("peer", p); err != nil {
		return err
	}
	server.ServeConn(pipes{os.Stdin, os.Stdout})
	return nil
}

// Address says where the peer listens.
func (p *peer) Address(_ int, address *string) error {
	*address = p.address
	return nil
}

// process is another process, this program with the flag -serve.
type process struct {
	*rpc.Client
	cmd *exec.Cmd
}

func start(name string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-serve", name)
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{rpc.NewClient(pipes{output, input}), cmd}, nil
}

// network is the processes by their names.
type network map[string]*process

// startNetwork starts b, the relay, and these others, and connects them. Its result is to be
// closed in any case.
func startNetwork(others ...string) (network, error) {
	n, at := make(network), make(map[string]string)
	for _, name := range append([]string{b, relay}, others...) {
		p, err := start(name)
		if err != nil {
			return n, err
		}
		n[name] = p
		var address string
		if err := p.Call("peer.Address", 0, &address); err != nil {
			return n, fmt.Errorf("%s: %w", name, err)
		}
		at[name] = address
	}
	var errs []error
	dial := func(from, to, address string) {
		errs = append(errs, n[from].Call("peer.Dial", Dial{to, address}, new(int)))
	}
	dial(relay, b, at[b])
	dial(a, b, at[b])
	dial(a, relay, at[relay])
	dial(a, b, "")
	if n[c] != nil {
		dial(c, relay, at[relay])
		dial(a, c, "")
	}
	if n[hostile] != nil {
		errs = append(errs, n[hostile].Call("peer.Open", at[relay], new(int)))
	}
	return n, errors.Join(errs...)
}

// close ends the processes by the ends of their inputs.
func (n network) close() {
	for _, p := range n {
		_ = p.Close() // it may have ended
		_ = p.cmd.Wait()
	}
}

// usage is what some of the processes have used so far.
func (n network) usage(names ...string) ([]Usage, error) {
	list := make([]Usage, len(names))
	for i, name := range names {
		if err := n[name].Call("peer.Usage", 0, &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// cpu is what all have used.
func (n network) cpu() (sum time.Duration, err error) {
	for name := range n {
		list, err := n.usage(name)
		if err != nil {
			return 0, err
		}
		sum += list[0].CPU
	}
	return sum, nil
}

// packets is how many have arrived at both ends of a carried link.
func (n network) packets(from, to string) (uint64, error) {
	list, err := n.usage(from, to)
	if err != nil {
		return 0, err
	}
	return list[0].Packets[to] + list[1].Packets[from], nil
}

// watchMemory watches the memory of a process until the function is called, which says by how much
// it has grown at most.
func watchMemory(pid int) (stop func() (bytes int64)) {
	before := harness.Memory(pid)
	end, most := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		peak := before
		for {
			select {
			case <-tick.C:
				peak = max(peak, harness.Memory(pid))
			case <-end:
				most <- peak
				return
			}
		}
	}()
	return func() int64 {
		close(end)
		return <-most - before
	}
}
