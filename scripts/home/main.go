// Command home restarts all peers of a network, real processes on loopback, in random orders, and prints how
// long after the last start they are one network again. Nobody has an address to join.
//
//	go run ./scripts/home -program ./quicpeer [-orders 20] [-peers 10] [-seed 1]
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"quicpeer/scripts/internal/harness"
)

// bar is how long it may take.
const bar = 10 * time.Second

// peer is a process, and whom it knows.
type peer struct {
	cmd   *exec.Cmd
	input io.Closer
	done  chan struct{}

	mu    sync.Mutex
	ready bool
	knows map[string]bool
}

func main() {
	program := flag.String("program", "./quicpeer", "the program")
	orders, size := flag.Int("orders", 20, "how many orders"), flag.Int("peers", 10, "how many peers")
	seed := flag.Uint64("seed", 1, "of the orders")
	flag.Parse()
	var took []time.Duration
	for i := range *orders {
		d, err := restart(*program, *size, rand.New(rand.NewPCG(*seed, uint64(i))))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("order %2d: %v\n", i, d.Round(time.Millisecond))
		took = append(took, d)
	}
	slices.Sort(took)
	worst := took[len(took)-1]
	fmt.Printf("median %v, worst %v, bar %v\n", took[len(took)/2].Round(time.Millisecond), worst.Round(time.Millisecond), bar)
	if worst > bar {
		os.Exit(1)
	}
}

// restart plays one order.
func restart(program string, size int, rnd *rand.Rand) (time.Duration, error) {
	dir, err := os.MkdirTemp("", "home")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	addresses, err := harness.FreeAddresses(size)
	if err != nil {
		return 0, err
	}
	peers := make([]*peer, size)
	defer func() {
		for _, p := range peers {
			if p != nil {
				p.stop(true)
			}
		}
	}()
	begin := func(i int, words ...string) error {
		p, err := start(program, dir, fmt.Sprint("p", i), addresses[i], words...)
		peers[i] = p
		return err
	}
	for i := range size {
		var join []string
		if i > 0 {
			join = []string{"--join", addresses[0]}
		}
		if err := begin(i, join...); err != nil {
			return 0, err
		}
	}
	if _, err := isOne(peers); err != nil {
		return 0, err
	}
	moves, stays := rnd.IntN(2) == 0, rnd.IntN(size)
	for next := range slices.Chunk(rnd.Perm(size), []int{1, 3, size}[rnd.IntN(3)]) {
		for _, i := range next {
			peers[i].stop(rnd.IntN(2) == 0)
		}
		rnd.Shuffle(len(next), func(i, j int) { next[i], next[j] = next[j], next[i] })
		for _, i := range next {
			if moves && i != stays && rnd.IntN(2) == 0 {
				addresses[i] = "127.0.0.1:0"
			}
			if err := begin(i); err != nil {
				return 0, err
			}
			time.Sleep(time.Duration(rnd.IntN(200)) * time.Millisecond)
		}
	}
	return isOne(peers)
}

// start starts a peer, which keeps its state in dir.
func start(program, dir, id, address string, words ...string) (*peer, error) {
	words = append([]string{"--json", "--id", id, "--state-dir", filepath.Join(dir, id), "--listen", address, "--log-level", "error"}, words...)
	p := &peer{cmd: exec.Command(program, words...), done: make(chan struct{}), knows: make(map[string]bool)}
	p.cmd.Stderr = os.Stderr
	input, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.input = input
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.read(output)
	return p, nil
}

// read follows the events of a peer until its end.
func (p *peer) read(output io.Reader) {
	defer close(p.done)
	for lines := bufio.NewScanner(output); lines.Scan(); {
		var e struct{ Event, ID string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		p.mu.Lock()
		switch e.Event {
		case "ready":
			p.ready = true
		case "peer_joined":
			p.knows[e.ID] = true
		case "peer_left":
			delete(p.knows, e.ID)
		}
		p.mu.Unlock()
	}
	_ = p.cmd.Wait() // killed, or not
}

// stop ends a peer, by a goodbye or at once.
func (p *peer) stop(kill bool) {
	if kill {
		_ = p.cmd.Process.Kill() // it may have ended
	} else {
		_ = p.input.Close()
	}
	<-p.done
}

// isOne waits until each peer knows all others, and returns how long that took.
func isOne(peers []*peer) (time.Duration, error) {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		one := true
		for _, p := range peers {
			p.mu.Lock()
			one = one && p.ready && len(p.knows) == len(peers)-1
			p.mu.Unlock()
		}
		switch took := time.Since(began); {
		case one:
			return took, nil
		case took > 5*time.Minute:
			return 0, fmt.Errorf("not one network after %v", took)
		}
	}
}
