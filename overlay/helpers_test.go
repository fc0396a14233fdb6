package overlay

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/replay"
	"quicpeer/transport/simtest"
)

// latency is the one-way latency of the tests' networks: 40 ms round trip.
const latency = 20 * time.Millisecond

// simulate runs a test in a bubble, on a simulated network.
func simulate(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t, 1)) })
}

// world is a simulated network with nodes, made in a bubble.
type world struct {
	*simtest.Network
	t      *testing.T
	log    *logBuffer
	states map[string]*State

	recordings map[string]*replay.Recording // of the nodes with these names

	noHistory bool              // the nodes that are started keep none
	noCustody string            // the name of a node to start with NoCustody
	older     string            // the name of one that knows no features
	door      *certs.Door       // of the nodes that are started from now on
	qlog      string            // of the nodes that are started from now on
	wall      func() time.Time  // the clock of tickets; nil: the bubble's
	steps     func(string) bool // of the disk of the node that is started, see store.OpenWith
	dead      *atomic.Bool      // set by steps when it ends the node
	reported  bool
}

// keeping gives the nodes of these names a state directory each, which a later node of
// the name finds again.
func (w *world) keeping(names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.states[name] = state(name, name)
		w.states[name].Dir = w.t.TempDir()
	}
}

// kill ends a node without a goodbye; the events that it has shown until then count.
func (w *world) kill(p *peer) {
	w.t.Helper()
	w.Crash(string(p.ID()))
	_ = p.Close() // its socket is broken
	<-p.done
}

func newWorld(t *testing.T, seed uint64) *world { return newWorldAt(t, seed, latency) }

func newWorldAt(t *testing.T, seed uint64, latency time.Duration) *world {
	w := &world{Network: simtest.New(seed, latency), t: t, log: new(logBuffer), states: map[string]*State{}}
	t.Cleanup(w.Close)
	return w
}

// report shows the log of a test that has failed, up to the failure.
func (w *world) report() {
	if w.t.Failed() && !w.reported {
		w.reported = true
		w.t.Log("the log's end:\n" + w.log.tail(60))
	}
}

// config returns the configuration of the node with this name, which is its ID too. It joins
// the others. A second node of the name is a restart of the first.
func (w *world) config(name string, join ...string) Config {
	if w.states[name] == nil {
		w.states[name] = state(name, name)
	}
	cfg := Config{
		State:     w.states[name],
		Conn:      w.Node(name),
		History:   HistoryConfig{Off: w.noHistory},
		NoCustody: name == w.noCustody,
		Qlog:      w.qlog,
		older:     name == w.older,
		place:     place{door: w.door},
		step:      w.steps,
		wall:      w.wall,
		recording: w.recordings[name],
		Log:       slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", name),
	}
	for _, other := range join {
		cfg.Join = append(cfg.Join, w.Addr(other).String())
	}
	return cfg
}

// state returns the state of a peer whose key follows from the seed.
func state(id, seed string) *State {
	return NewState(certs.ID(id), certs.NewIdentity([]byte(strings.Repeat(seed+" ", 32)[:32])))
}

// start starts a node whose events are collected.
func (w *world) start(name string, join ...string) *peer {
	w.t.Helper()
	p := w.startDeaf(name, join...)
	p.listen()
	return p
}

// startDeaf starts a node that does not read its events before listen.
func (w *world) startDeaf(name string, join ...string) *peer {
	w.t.Helper()
	n, err := Start(w.t.Context(), w.config(name, join...))
	if err != nil {
		w.t.Fatalf("starting %s: %v", name, err)
	}
	p := w.peer(n)
	p.dead = w.dead
	return p
}

// network starts these nodes, all joining the first, and waits until each knows all others.
func (w *world) network(names ...string) []*peer {
	w.t.Helper()
	var peers []*peer
	for i, name := range names {
		peers = append(peers, w.start(name, names[:min(i, 1)]...))
	}
	for _, p := range peers {
		p.eventually(5*time.Second, "everybody is known", func() bool { return len(p.here()) == len(names)-1 })
	}
	return peers
}

// peer is a node and the events it has had.
type peer struct {
	*Node
	t    *testing.T
	done chan struct{} // closed when Events has ended; nil before listen
	dead *atomic.Bool  // its process has ended at a write of its disk; may be nil
	// putBack: its memory was put back, and it uses numbers again.
	putBack bool

	mu      sync.Mutex
	events  []Event
	changed chan struct{} // closed and made anew with each event
}

func (w *world) peer(n *Node) *peer {
	p := &peer{Node: n, t: w.t, changed: make(chan struct{})}
	w.t.Cleanup(func() {
		w.report()
		_ = p.Close() // a test that expects an error has checked Err
		if p.done == nil {
			p.listen()
		}
		<-p.done
		if !w.t.Failed() {
			p.checkEvents()
		}
	})
	return p
}

// listen begins to collect events.
func (p *peer) listen() {
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		for e := range p.Events() {
			if p.dead != nil && p.dead.Load() {
				continue // no program would see it any more
			}
			p.mu.Lock()
			p.events = append(p.events, e)
			close(p.changed)
			p.changed = make(chan struct{})
			p.mu.Unlock()
		}
	}()
}

// all returns the events of one type so far.
func all[E Event](p *peer) []E {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []E
	for _, e := range p.events {
		if e, ok := e.(E); ok {
			list = append(list, e)
		}
	}
	return list
}

// here lists the peers that are present according to the events.
func (p *peer) here() []certs.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []certs.ID
	for _, e := range p.events {
		switch e := e.(type) {
		case PeerJoined:
			list = append(list, e.ID)
		case PeerLeft:
			list = slices.DeleteFunc(list, func(id certs.ID) bool { return id == e.ID })
		}
	}
	return list
}

// bodies are the texts of the messages from a peer so far.
func (p *peer) bodies(from certs.ID) []string {
	list := []string{}
	for _, m := range all[Message](p) {
		if m.From == from {
			list = append(list, m.Body)
		}
	}
	return list
}

// eventually waits for events until the condition holds, and fails if that takes
// longer than the limit.
func (p *peer) eventually(limit time.Duration, what string, condition func() bool) {
	p.t.Helper()
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if condition() {
			return
		}
		select {
		case <-changed:
			time.Sleep(5 * time.Millisecond) // many events come at once
		case <-late.C:
			if !condition() {
				p.t.Fatalf("%s: not within %v that %s; it had %s", p.ID(), limit, what, p.summary())
			}
			return
		}
	}
}

// awaitEvent waits for an event that matches and returns the first.
func awaitEvent[E Event](p *peer, limit time.Duration, match func(E) bool) (found E) {
	p.t.Helper()
	p.eventually(limit, fmt.Sprintf("a fitting %T came", found), func() bool {
		list := all[E](p)
		i := slices.IndexFunc(list, match)
		if i >= 0 {
			found = list[i]
		}
		return i >= 0
	})
	return found
}

// awaitBodies waits until exactly these texts have come from a peer, in order.
func (p *peer) awaitBodies(limit time.Duration, from certs.ID, want ...string) {
	p.t.Helper()
	p.eventually(limit, fmt.Sprintf("%d messages came from %s", len(want), from), func() bool {
		return len(p.bodies(from)) >= len(want)
	})
	if got := p.bodies(from); !slices.Equal(got, want) {
		p.t.Fatalf("%s got from %s %s, not the %d messages in order", p.ID(), from, brief(got), len(want))
	}
}

// send sends a message that must be accepted.
func (p *peer) send(to certs.ID, body string) MessageID {
	p.t.Helper()
	id, err := p.Send(p.t.Context(), to, body, "")
	if err != nil {
		p.t.Fatalf("%s: sending to %s: %v", p.ID(), to, err)
	}
	return id
}

// talk fails unless messages go both ways between the two without delay.
func talk(p, q *peer) {
	p.t.Helper()
	for _, d := range [][2]*peer{{p, q}, {q, p}} {
		id := d[0].send(d[1].ID(), "talk")
		awaitEvent(d[1], 2*time.Second, func(m Message) bool { return m.ID == id })
		awaitEvent(d[0], 2*time.Second, func(r Delivered) bool { return r.Message == id })
	}
}

// onLoop is an input that runs a function on the loop's goroutine.
type onLoop func(l *loop)

func (f onLoop) handle(l *loop) { f(l) }

// linkIDs are the numbers of the node's links.
func (p *peer) linkIDs() []base.LinkID {
	list := make(chan []base.LinkID, 1)
	p.post(onLoop(func(l *loop) {
		var ids []base.LinkID
		for id := range l.links.all {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		list <- ids
	}))
	return <-list
}

// numbers are the texts "0" to "n-1".
func numbers(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	return list
}

// within returns a context that ends after this time.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// logBuffer collects a log. The zero value is ready.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) tail(lines int) string {
	list := strings.Split(l.String(), "\n")
	return strings.Join(list[max(0, len(list)-lines):], "\n")
}

// stuckTo says that what is written on a link to a peer does not get through.
func (p *peer) stuckTo(key certs.PublicKey) bool {
	answer := make(chan bool, 1)
	p.post(onLoop(func(l *loop) {
		stuck := false
		for _, nl := range l.links.all {
			stuck = stuck || nl.Peer() == key && nl.Stuck()
		}
		answer <- stuck
	}))
	return <-answer
}

// linkTo is the number of the node's newest link to a peer, 0 without one.
func (p *peer) linkTo(key certs.PublicKey) base.LinkID {
	newest := make(chan base.LinkID, 1)
	p.post(onLoop(func(l *loop) {
		var found base.LinkID
		for id, nl := range l.links.all {
			if nl.Peer() == key {
				found = max(found, id)
			}
		}
		newest <- found
	}))
	return <-newest
}
