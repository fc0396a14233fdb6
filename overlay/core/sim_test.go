package core

import (
	"bufio"
	"bytes"
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// The simulator runs many Cores over a pretended network: an event heap, a
// seeded generator, no real time and no goroutine. sim_link_test.go holds
// connections, sim_process_test.go what the driver does for one peer.

// Timing of the pretended network, as of quic-go with the driver's settings.
const (
	simMinLatency = 5 * time.Millisecond // one way
	simMaxLatency = 50 * time.Millisecond
	simKeepalive  = 500 * time.Millisecond
	simIdle       = 15 * time.Second // then QUIC ends a silent connection
	simMostFrames = 200_000          // in one simulation; those that end well need half
	simMostLines  = 1_000_000        // of the trace that are kept for people
)

// world is a network and the time in it.
type world struct {
	t      testing.TB
	seed   uint64
	rng    *rand.Rand
	now    time.Duration
	order  uint64
	events eventHeap
	nodes  []*node

	edge    [][]bool // who can ever reach whom
	cut     [][]bool // and can't for now
	latency [][]time.Duration
	loss    float64                  // of a packet
	holes   map[[2]int]time.Duration // when one has sent to another; nil: there are no NATs
	resets  bool                     // a restarted process answers packets of its forerunner by a stateless reset

	verified    map[string]bool
	said        []*pb.Announcement // what the hostile peer may replay
	saidLast    int
	accomplices []*node // of the liar, itself included
	frames      int     // sent
	told        [Refutation + 1]int
	dials       int
	sent        []*sentBroadcast
	trace       hash.Hash64
	tail        []traceLine
	tailNext    int
	strict      bool // events of a living peer's being lost are wrong
	newer       newer
}

// node is a machine: an address and a key. It runs at most one process.
type node struct {
	world    *world
	index    int
	id       certs.ID
	identity *certs.Identity
	address  string // where others reach it
	nat      simNAT
	newer    bool // of a version to come, see sim_newer_test.go
	epoch    uint64
	visitor  bool
	process  *process   // nil: down
	runs     []*process // all that ever ran
	disk     disk
	met      []Acquaintance // of earlier runs
}

type simEvent struct {
	at    time.Duration
	order uint64
	do    func()
}

type eventHeap []simEvent

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(simEvent)) }
func (h *eventHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last].do = nil
	*h = (*h)[:last]
	return e
}

type traceLine struct {
	at   time.Duration
	who  certs.ID
	what string
	args []any
}

// newWorld makes a network of n machines named n00, n01, ..., all down, each of
// which can reach every other.
func newWorld(t testing.TB, seed uint64, n int) *world {
	w := &world{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)),
		verified: make(map[string]bool), trace: fnv.New64a(),
		strict: true,
	}
	for i := range n {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	return w
}

// addNode adds a machine that every other can reach.
func (w *world) addNode(id string, keySeed uint64) *node {
	i := len(w.nodes)
	n := &node{
		world: w, index: i, id: certs.ID(id), identity: testIdentity(keySeed),
		address: fmt.Sprintf("10.0.0.%d:5000", i+1), epoch: 1000,
	}
	w.nodes = append(w.nodes, n)
	w.edge, w.cut = append(w.edge, nil), append(w.cut, nil)
	w.latency = append(w.latency, nil)
	for j := range w.nodes {
		l := simMinLatency + time.Duration(w.rng.Int64N(int64(simMaxLatency-simMinLatency)))
		if j < i {
			w.edge[j], w.cut[j] = append(w.edge[j], true), append(w.cut[j], false)
			w.latency[j] = append(w.latency[j], l)
		}
		w.edge[i], w.cut[i] = append(w.edge[i], j != i), append(w.cut[i], false)
		w.latency[i] = append(w.latency[i], l)
	}
	return n
}

var (
	identitiesMu sync.Mutex
	identities   = make(map[uint64]*certs.Identity)
)

// testIdentity is the identity of a small number.
func testIdentity(seed uint64) *certs.Identity {
	identitiesMu.Lock()
	defer identitiesMu.Unlock()
	if identities[seed] == nil {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, seed))
		identities[seed] = certs.NewIdentity(sum[:])
	}
	return identities[seed]
}

// verify is Claim.Valid with a memory.
func (w *world) verify(claim Claim) bool {
	k := fmt.Sprint(claim.Testimony, claim.Broadcast) + string(claim.Key[:]) + string(claim.Signed.GetSignature()) + string(claim.Signed.GetPayload())
	ok, known := w.verified[k]
	if !known {
		ok = claim.Valid()
		w.verified[k] = ok
	}
	return ok
}

// at plans something.
func (w *world) at(when time.Duration, do func()) {
	w.order++
	heap.Push(&w.events, simEvent{max(when, w.now), w.order, do})
}

// run lets so much time pass.
func (w *world) run(d time.Duration) {
	until := w.now + d
	for len(w.events) > 0 && w.events[0].at <= until {
		e := heap.Pop(&w.events).(simEvent)
		w.now = e.at
		e.do()
		if w.frames > simMostFrames && (!w.anyHostile() || w.frames > 10*simMostFrames) {
			w.fatal("%d frames: a flood does not end", w.frames)
		}
	}
	w.now = until
}

// runUntil lets time pass until ok, which is asked ten times a second, and
// returns how much has; it gives up after limit.
func (w *world) runUntil(limit time.Duration, ok func() bool) (time.Duration, bool) {
	start := w.now
	for !ok() {
		if w.now-start >= limit {
			return limit, false
		}
		w.run(100 * time.Millisecond)
	}
	return w.now - start, true
}

// pause is the time that a packet takes from one machine to another, lost ones
// repeated by QUIC's probe timer. A third loss in a row is not pretended: it takes
// longer than the time to refute, and so is seen by users, as it must be.
func (w *world) pause(a, b int) time.Duration {
	d := w.latency[a][b]
	pto := 3*w.latency[a][b] + 25*time.Millisecond // 1.5 round trips and the ack delay
	for i := 0; i < 2 && w.loss > 0 && w.rng.Float64() < w.loss; i++ {
		d += pto
		pto *= 2
	}
	return d
}

// between is a random duration.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rng.Int64N(int64(most-least)+1))
}

func (w *world) reach(a, b int) bool { return w.edge[a][b] && !w.cut[a][b] }

// setCut cuts two machines from each other, or heals that. What stalled comes
// with QUIC's next probe.
func (w *world) setCut(a, b int, cut bool) {
	if w.cut[a][b] == cut {
		return
	}
	w.cut[a][b], w.cut[b][a] = cut, cut
	if cut {
		return
	}
	for _, pair := range [][2]int{{a, b}, {b, a}} {
		p := w.nodes[pair[0]].process
		if p == nil {
			continue
		}
		for _, e := range p.ends {
			if e.other.process.node.index == pair[1] && len(e.queue) > 0 {
				w.at(w.now+w.between(0, 2*time.Second), e.deliver)
			}
		}
	}
}

// split cuts every pair whose two groups differ.
func (w *world) split(group func(int) int) {
	for a := range w.nodes {
		for b := range a {
			w.setCut(a, b, group(a) != group(b))
		}
	}
}

func (w *world) heal() { w.split(func(int) int { return 0 }) }

// byAddress finds a machine.
func (w *world) byAddress(address string) *node {
	for _, n := range w.nodes {
		if n.answersAt(address) {
			return n
		}
	}
	return nil
}

// living lists the processes that are in the network, or want to be.
func (w *world) living() []*process {
	var list []*process
	for _, n := range w.nodes {
		if n.process != nil && !n.process.leaving {
			list = append(list, n.process)
		}
	}
	return list
}

// note adds a line to the trace, for people; hash adds to what must repeat.
func (w *world) note(who certs.ID, what string, args ...any) {
	line := traceLine{w.now, who, what, args}
	if len(w.tail) < simMostLines {
		w.tail = append(w.tail, line)
		return
	}
	w.tail[w.tailNext%len(w.tail)] = line
	w.tailNext++
}

func (w *world) hash(parts ...any) {
	fmt.Fprint(w.trace, w.now, parts, ";")
}

// fatal ends the test and shows the end of the trace.
func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	var b strings.Builder
	for i := range w.tail {
		l := w.tail[(w.tailNext+i)%len(w.tail)]
		fmt.Fprintf(&b, "%12v %-6s %s %v\n", l.at, l.who, l.what, l.args)
	}
	w.t.Fatalf("%sat %v, seed %d (go test -run %s -sim.seed=%d): %s", b.String(), w.now, w.seed,
		strings.Split(w.t.Name(), "/")[0], w.seed, fmt.Sprintf(format, args...))
}

// decode reads the one frame that data is, as a receiver does.
func decode(data []byte) (*pb.PeerMessage, error) {
	return pb.Read(bufio.NewReaderSize(bytes.NewReader(data), 512), pb.MaxControlFrame)
}
