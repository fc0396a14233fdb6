// Package crowd measures broadcasts among many nodes in one process: those of quicpeer and those of
// gossipsub by the same code. It is a module of its own, which needs no other: the two want
// different versions of quic-go, so two modules import it.
package crowd

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Body is the size of a message's text, in bytes.
const Body = 200

// Messages is how many a workload has.
const Messages = 100

// pace is the time between two messages of the steady workload.
const pace = 100 * time.Millisecond

const (
	// Before anything is measured: gossipsub's meshes form by its heartbeats, one a second,
	// and quicpeer's peers look for neighbours. A guess; both are seconds at most.
	settling = 5 * time.Second
	// How long the idle network is watched.
	idling = 5 * time.Second
	// How long CPU time is counted after the last delivery: copies are still on their way, and
	// gossipsub tells with its next heartbeat what it has.
	echo = time.Second
	// patience bounds the wait for the last delivery. Later ones count as if they came then.
	patience = 10 * time.Second
)

// Figures are those of one workload.
type Figures struct {
	P50, P99            time.Duration // of all deliveries, from the call that publishes
	Last                time.Duration // until a message is at the last node, median of the messages
	CPU                 time.Duration // of the whole process, for each delivery
	Delivered, Expected int
}

// Result is what a program prints, in JSON.
type Result struct {
	Steady, Burst Figures
	Idle          float64 // CPU of all nodes together, as a part of a core
}

// Network is a network whose nodes all run. Say has a node send a message to all others.
type Network interface {
	Say(from int, body string) error
}

// Start starts a network of n nodes, which is complete when it returns. Each message that a node
// is given by others goes to heard.
type Start func(n int, heard func(at int, body string)) (Network, error)

// Measure measures a network and prints the Result.
func Measure(n int, start Start) error {
	c := &crowd{n: n}
	network, err := start(n, c.heard)
	if err != nil {
		return err
	}
	time.Sleep(settling)
	var r Result
	cpu := processTime()
	time.Sleep(idling)
	r.Idle = (processTime() - cpu).Seconds() / idling.Seconds()
	if r.Steady, err = c.workload(network, pace); err != nil {
		return err
	}
	if r.Burst, err = c.workload(network, 0); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// crowd knows what its nodes have said and heard.
type crowd struct {
	n       int
	mu      sync.Mutex
	posts   []*post // of all workloads, by their numbers
	first   int     // of this workload
	missing int     // deliveries of this workload
}

// post is a message and its way.
type post struct {
	author int
	sent   time.Time
	took   []time.Duration // until it was at each node; 0: it isn't, or the node is the author
}

// workload has random nodes say Messages, at this pace.
func (c *crowd) workload(network Network, pace time.Duration) (Figures, error) {
	c.mu.Lock()
	c.first, c.missing = len(c.posts), Messages*(c.n-1)
	c.mu.Unlock()
	cpu, begin := processTime(), time.Now()
	said := make(chan error, Messages)
	for i := range Messages {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * pace)))
		author, body := c.post()
		go func() { said <- network.Say(author, body) }()
	}
	for range Messages {
		if err := <-said; err != nil {
			return Figures{}, err
		}
	}
	for wait := time.Now(); !c.complete() && time.Since(wait) < patience; {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(echo)
	return c.figures(processTime() - cpu), nil
}

// complete reports whether all of this workload is delivered.
func (c *crowd) complete() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.missing == 0
}

// post is a new message of a random node.
func (c *crowd) post() (author int, body string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	number := strconv.Itoa(len(c.posts)) + " "
	p := &post{author: rand.IntN(c.n), took: make([]time.Duration, c.n)}
	c.posts = append(c.posts, p)
	p.sent = time.Now()
	return p.author, number + strings.Repeat("x", Body-len(number))
}

// heard notes that a message has come to a node.
func (c *crowd) heard(at int, body string) {
	now := time.Now()
	number, _, _ := strings.Cut(body, " ")
	i, err := strconv.Atoi(number)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || i >= len(c.posts) || len(body) != Body {
		panic(fmt.Sprintf("nobody has said %q", body))
	}
	p := c.posts[i]
	if at == p.author || p.took[at] > 0 {
		return
	}
	p.took[at] = now.Sub(p.sent)
	if i >= c.first {
		c.missing--
	}
}
