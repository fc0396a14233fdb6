package core_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/coretest"
	"quicpeer/pb"
)

// The simulations run networks of package coretest, and check what must hold at every moment and
// once everything has come to rest (sim_check_test.go).

var simSeed = flag.Uint64("sim.seed", 0, "run the simulations with this seed only")

// eachSeed runs a simulation with many seeds, or the one asked for.
func eachSeed(t *testing.T, seeds, short int, simulate func(t *testing.T, seed uint64)) {
	first, count := uint64(1), seeds
	if testing.Short() {
		count = short
	}
	if core.Race {
		count = 1
	}
	if *core.SimSeeds != 0 {
		count = *core.SimSeeds
	}
	if *simSeed != 0 {
		first, count = *simSeed, 1
	}
	for i := range count {
		seed := first + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			simulate(t, seed)
		})
	}
}

// Bounds of a simulation.
const (
	simMostFrames = 200_000   // those that end well need half
	simMostLines  = 1_000_000 // of the story, for people
)

type (
	node    = coretest.Machine
	process = coretest.Process
)

// world is a network with what its peers have seen.
type world struct {
	*coretest.World
	t        testing.TB
	strict   bool // no living peer may be shown as lost
	diaries  []*diary
	sent     []*sentBroadcast
	told     [base.Refutation + 1]int // notes of each kind
	cuts     [][2]*node
	visitors map[*node]bool
	met      map[*node][]base.Acquaintance // in earlier runs
	owners   map[*process]certs.PublicKey  // see noteMet
	hostile  *hostilePeers                 // nil: there are none
	newer    newer
	story    []storyLine
	storyEnd int
}

// diary records what a process has been shown.
type diary struct {
	log  []shown
	got  map[[pb.MessageIDSize]byte]int
	last map[string]uint64 // the counter of the last broadcast of a run
	// jumpy: it has been cut off or frozen, so that others may have missed it.
	jumpy bool
}

// shown is an event and its time.
type shown struct {
	at    time.Duration
	event base.Event
}

// sentBroadcast is a broadcast, and the peers that must get it.
type sentBroadcast struct {
	id     [pb.MessageIDSize]byte
	at     time.Duration
	author *process
	must   []*process
	// knows are the runs that the author knew, whether or not it showed them as here.
	knows []*process
}

type storyLine struct {
	at   time.Duration
	who  certs.ID
	what string
	args []any
}

// newWorld makes a network of n machines named n00, n01, ..., all down, each of
// which can reach every other.
func newWorld(t testing.TB, seed uint64, n int) *world {
	w := &world{t: t, strict: true, visitors: make(map[*node]bool), met: make(map[*node][]base.Acquaintance), newer: newNewer()}
	w.World = coretest.NewWorld(seed, 0, coretest.Hooks{
		Odd: w.fatal, Configure: w.configure, Shown: w.shown, Gone: w.gone, Noted: w.noted,
		Ticked: func(p *process) {
			if n, crowded := p.Core.Degree(); crowded {
				w.fatal("%s has %d neighbours", p.ID, n)
			}
		},
		Sent: func(*coretest.End, *pb.PeerMessage, int) {
			if n := w.Count.Frames; n > simMostFrames && (w.hostile == nil || n > 10*simMostFrames) {
				w.fatal("%d frames: a flood does not end", n)
			}
		},
		Arrived: w.arrived,
		Story:   func(who *node, what string, args ...any) { w.note(who.ID, what, args...) },
	})
	// More than two losses in a row are not simulated: they take longer than the time to refute,
	// so users would rightly see them.
	w.MostLosses = 2
	w.DriverDelay = 50 * time.Millisecond
	w.NoResets = true
	for i := range n {
		w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
	}
	return w
}

// addNode adds a machine that every other can reach.
func (w *world) addNode(id string, keySeed uint64) *node {
	return w.Add(certs.ID(id), coretest.Identity(keySeed), 1000)
}

func (w *world) configure(n *node, cfg *base.Config) {
	cfg.Visitor, cfg.Met = w.visitors[n], w.met[n]
	if w.newer.machines[n] {
		cfg.Features, cfg.Invent = []uint32{inventedFeature}, inventRecord
	}
}

func (w *world) diary(p *process) *diary {
	for len(w.diaries) <= p.Number {
		w.diaries = append(w.diaries, &diary{got: make(map[[pb.MessageIDSize]byte]int), last: make(map[string]uint64)})
	}
	return w.diaries[p.Number]
}

// shown takes an event, and checks that broadcasts come once and in the order of their author.
func (w *world) shown(p *process, event base.Event) {
	d := w.diary(p)
	d.log = append(d.log, shown{w.Now, event})
	e, ok := event.(base.Broadcasted)
	if !ok {
		return
	}
	sender := certs.ID(e.Content.GetSender())
	_, ok = p.KeyOf(sender)
	if _, alias := p.KeyOf(certs.Alias(sender, certs.PublicKey(e.Content.GetKey()))); !ok && !alias {
		w.fatal("%s gets a broadcast of %s, who is not there", p.ID, e.Content.GetSender())
	}
	id := [pb.MessageIDSize]byte(e.Content.GetId())
	d.got[id]++
	if d.got[id] > 1 {
		w.fatal("%s gets a broadcast twice: %v", p.ID, e)
	}
	prefix, counter := string(id[:8]), binary.BigEndian.Uint64(id[8:])
	if counter <= d.last[prefix] {
		w.fatal("%s gets a broadcast out of order: %v", p.ID, e)
	}
	d.last[prefix] = counter
}

// gone judges a living peer shown as gone: that must not happen to a peer that was never cut off,
// not even for a moment.
func (w *world) gone(p, q *process) {
	// A peer whose links were just ended for its lies misses the news of that moment.
	expelled := p.Hostile && p.Expelled > 0 && w.Now < p.Expelled+time.Second
	if w.strict && !w.diary(p).jumpy && !expelled && !w.diary(q).jumpy && !q.Hostile && len(q.Runs) == 1 {
		w.fatal("%s shows %s as gone, who is there", p.ID, q.ID)
	}
}

func (w *world) noted(p *process, n base.Note) {
	w.told[n.Kind]++
	if n.Kind == base.Violation && w.hostile == nil {
		w.fatal("%s: %s %v", p.ID, n.Text, n.Args)
	}
}

// runUntil lets time pass until ok, which is asked ten times a second, or until limit, and
// returns how long that was.
func (w *world) runUntil(limit time.Duration, ok func() bool) (time.Duration, bool) {
	start := w.Now
	came := w.Until(100*time.Millisecond, limit, ok)
	return w.Now - start, came
}

// setCut cuts two machines from each other, or heals that.
func (w *world) setCut(a, b *node, cut bool) {
	w.Sever(a, b, cut)
	if cut {
		w.cuts = append(w.cuts, [2]*node{a, b})
	}
}

// split cuts every pair whose two groups differ.
func (w *world) split(group func(int) int) { w.Cut(func(i int) uint8 { return uint8(group(i)) }) }

// heal ends all cuts.
func (w *world) heal() {
	for _, pair := range w.cuts {
		w.Sever(pair[0], pair[1], false)
	}
	w.cuts = nil
	w.Heal()
}

// broadcast sends a message to everyone and records the peers that must get it.
func (w *world) broadcast(p *process, body string) {
	id := p.Core.Step(w.Now, core.Broadcast{Body: body, SentAt: int64(w.Now)}).Message
	b := &sentBroadcast{id: id, at: w.Now, author: p}
	for _, q := range w.Living() {
		if q == p || !q.IsReady {
			continue
		}
		if _, ok := q.KeyOf(p.ID); ok {
			b.must = append(b.must, q)
		}
		if p.Core.EpochOf(q.ID, q.Key) == q.Epoch {
			b.knows = append(b.knows, q)
		}
	}
	w.sent = append(w.sent, b)
	w.note(p.ID, "broadcast", body)
	p.Drain()
}

// note adds a line to the story.
func (w *world) note(who certs.ID, what string, args ...any) {
	line := storyLine{w.Now, who, what, args}
	if len(w.story) < simMostLines {
		w.story = append(w.story, line)
		return
	}
	w.story[w.storyEnd%len(w.story)] = line
	w.storyEnd++
}

// fatal ends the test and shows the end of the story.
func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	var b strings.Builder
	for i := range w.story {
		l := w.story[(w.storyEnd+i)%len(w.story)]
		fmt.Fprintf(&b, "%12v %-6s %s %v\n", l.at, l.who, l.what, l.args)
	}
	w.t.Fatalf("%sat %v, seed %d (go test -run %s -sim.seed=%d): %s", b.String(), w.Now, w.Seed,
		strings.Split(w.t.Name(), "/")[0], w.Seed, fmt.Sprintf(format, args...))
}
