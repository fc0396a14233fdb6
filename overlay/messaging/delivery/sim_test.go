package delivery

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// The simulator runs the two machines of several peers over pretended paths: links that break
// in the middle of a batch, others that lose, repeat and overtake, and holders; and over a
// pretended disk. Processes are killed between any two writes, at any moment in between, and
// start again from the disk, or from an earlier state of it. Everything follows from the seed.

var (
	simSeed  = flag.Uint64("sim.seed", 0, "run this seed alone")
	simSeeds = flag.Uint64("sim.seeds", seedsByDefault, "how many seeds to run")
)

// world is the peers, the paths between them and the history.
type world struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	moods *rand.Rand // of those who ignore others; nil: nobody does
	now   time.Duration
	peers []*simPeer
	cut   [][]bool // no direct link
	bag   []envelope
	held  []heldParcel // left with holders
	log   []string

	sent   map[[16]byte]*simMessage
	order  []*simMessage
	kills  int
	passed bool // positions may be passed over in this run
	// restores: disks are put back to what they were, epochs included.
	restores int
	reused   int // receipts that say so
	backups  bool
}

// simMessage is a message that was taken, and what has become of it.
type simMessage struct {
	id       [16]byte
	from, to int
	at       Position
	nonce    uint64
	reported bool // as sent
	shown    int
	repeats  int // right after a kill of the receiver
	failed   bool
	ignored  bool // its receiver has refused it for that
	// cancelled was reported; a copy may be on its way, or left with a holder.
	cancelled bool
	ended     bool // delivered, failed or cancelled was reported
	// When a disk was restored: no promise holds for a message that its sender has lost by it,
	// and one that its receiver has forgotten is shown again.
	abandoned bool
	again     int
}

// simPeer is a peer: a disk, and a process or none.
type simPeer struct {
	w     *world
	index int
	id    certs.ID
	key   certs.PublicKey
	epoch uint64
	nonce uint64 // of the run
	disk  disk
	saved *backup // nil: none was made
	p     *simProcess
	last  map[int]Position // by sender: the last shown in all runs
	// unnoted are lines that a kill followed before they were noted.
	unnoted map[[16]byte]bool
	// undone are those that a restored disk has no note of.
	undone   map[[16]byte]bool
	restored bool
	ignores  [8]bool // by sender
}

// disk is what was written. Notes of what was shown are in the kernel's hands at once.
type disk struct {
	outbox map[Position]stored
	marks  map[int]simMark
	gaps   map[int][]Gap
}

// simMark is how far each run of a sender was shown.
type simMark struct {
	runs []Run
	hash uint32
}

// backup is a copy of a disk, and what the peer had been shown by then.
type backup struct {
	disk  disk
	epoch uint64
	last  map[int]Position
}

type stored struct {
	m  Outgoing
	to int
}

// envelope is a parcel or a receipt that travels alone.
type envelope struct {
	at       time.Duration
	from, to int
	parcel   *Parcel
	receipts []*pb.Receipt
	relayed  bool
}

// heldParcel is left with a holder.
type heldParcel struct {
	holder, from, to int
	parcel           Parcel
}

// simProcess is the state that a kill destroys.
type simProcess struct {
	counter uint64
	outbox  []*Outbox // by receiver
	inbox   []*Inbox  // by sender
	again   []time.Duration
	writes  []func()  // queued for the disk, one after the other
	program []program // messages that the program has not looked at
	passing [8]bool   // by sender: a gap is being stored, nothing is taken
	keeping [8]bool   // the same for those of an ignored sender: nothing is shown
	link    []*simLink
}

type program struct {
	from int
	m    *pb.Message
}

// simLink carries direct messages to one receiver while it lives.
type simLink struct {
	queue []*pb.Message
	owed  []owedReceipt // taken, without a receipt
}

type owedReceipt struct {
	m       *pb.Message
	refused string
}

func keyOf(i int) certs.PublicKey { return certs.PublicKey{byte(i + 1)} }

func newSim(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), sent: make(map[[16]byte]*simMessage)}
	if moods := rand.New(rand.NewPCG(seed, 8)); moods.IntN(3) == 0 {
		w.moods = moods
	}
	n := 2 + w.rng.IntN(3)
	w.passed = w.rng.IntN(4) == 0
	w.backups = w.rng.IntN(3) == 0
	for i := range n {
		w.peers = append(w.peers, &simPeer{
			w: w, index: i, id: certs.ID(fmt.Sprintf("p%d", i)), key: keyOf(i), last: make(map[int]Position), unnoted: make(map[[16]byte]bool), undone: make(map[[16]byte]bool),
			disk: disk{outbox: make(map[Position]stored), marks: make(map[int]simMark), gaps: make(map[int][]Gap)},
		})
		w.cut = append(w.cut, make([]bool, n))
	}
	for _, p := range w.peers {
		p.start()
	}
	return w
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%v ", w.now)+fmt.Sprintf(format, args...))
}

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	for _, line := range w.log {
		w.t.Log(line)
	}
	w.t.Fatalf("seed %d (-sim.seed=%d): %s", w.seed, w.seed, fmt.Sprintf(format, args...))
}

// settle lets the run end well: no kills, no cuts.
func (w *world) settle() {
	for i := range w.cut {
		clear(w.cut[i])
	}
	for range 400_000 {
		if w.done() {
			return
		}
		w.step(false)
	}
	w.fatal("it does not end: %s", w.open())
}

func (w *world) open() string {
	for _, p := range w.peers {
		if p.p == nil {
			return fmt.Sprintf("%s is down", p.id)
		}
		if len(p.p.writes)+len(p.p.program) > 0 {
			return fmt.Sprintf("%s has %d writes, %d messages to show", p.id, len(p.p.writes), len(p.p.program))
		}
		for to, o := range p.p.outbox {
			if o.Len() > 0 {
				return fmt.Sprintf("%s has %d messages for p%d, from %v on", p.id, o.Len(), to, o.Oldest().Position)
			}
		}
	}
	return ""
}

func (w *world) done() bool { return w.open() == "" }

// check compares the history with the promise.
func (w *world) check() {
	repeats := 0
	for _, s := range w.order {
		repeats += s.repeats
		switch {
		case s.shown-s.repeats-s.again > 1:
			w.fatal("%v of p%d was shown %d times", s.at, s.from, s.shown)
		case s.abandoned:
		case s.reported && s.shown == 0 && !s.failed && !s.cancelled:
			w.fatal("%v of p%d to p%d is lost", s.at, s.from, s.to)
		case s.reported && !s.ended:
			w.fatal("of %v of p%d nothing was said", s.at, s.from)
		case s.failed && !s.ignored && !w.passed && !w.peers[s.from].restored && !w.peers[s.to].restored:
			w.fatal("%v of p%d has failed", s.at, s.from)
		}
	}
	if repeats > w.kills {
		w.fatal("%d repeats after %d kills", repeats, w.kills)
	}
	for _, p := range w.peers {
		if len(p.disk.outbox) > 0 {
			w.fatal("%s still keeps %d messages", p.id, len(p.disk.outbox))
		}
	}
}

// TestSimulation: whatever is killed, cut, lost, doubled and overtaken, each message is shown
// once, in order, or has failed, or was withdrawn; messages behind a withdrawn one are not
// held up, or the run would not end; a line is repeated at most once for each kill.
func TestSimulation(t *testing.T) {
	first, last := uint64(1), *simSeeds
	if *simSeed != 0 {
		first, last = *simSeed, *simSeed
	}
	if testing.Short() {
		last = min(last, first+49)
	}
	var messages, kills, repeats, failed, ignored, cancelled, restores, reused int
	for seed := first; seed <= last; seed++ {
		w := newSim(t, seed)
		for range 4000 {
			w.step(true)
		}
		w.settle()
		w.check()
		messages += len(w.order)
		kills += w.kills
		restores += w.restores
		reused += w.reused
		for _, s := range w.order {
			repeats += s.repeats
			failed += btoi(s.failed && !s.ignored)
			ignored += btoi(s.ignored)
			cancelled += btoi(s.cancelled && s.shown == 0)
		}
	}
	t.Logf("%d seeds: %d messages, %d kills, %d repeats, %d failed, %d were ignored, %d cancelled before they were shown, %d disks put back, %d numbers used twice",
		last-first+1, messages, kills, repeats, failed, ignored, cancelled, restores, reused)
	if *simSeed == 0 && (kills == 0 || repeats == 0 || failed == 0 || ignored == 0 || cancelled == 0 || restores == 0 || reused == 0) {
		t.Error("nothing was put to the test")
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
