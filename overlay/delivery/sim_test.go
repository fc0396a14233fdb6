package delivery

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/pb"
)

// The simulator runs the two machines of several peers over pretended ways: links
// that break in the middle of a batch, others that lose, repeat and overtake, holders;
// and over a pretended disk. Processes are killed between any two writes, at any
// moment in between, and start again from what was written. Everything follows from
// the seed.

var (
	simSeed  = flag.Uint64("sim.seed", 0, "run this seed alone")
	simSeeds = flag.Uint64("sim.seeds", 500, "how many seeds to run")
)

// world is the peers, the ways between them and what has happened.
type world struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
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
}

// simMessage is a message that was taken, and what has become of it.
type simMessage struct {
	id       [16]byte
	from, to int
	at       Position
	reported bool // as sent
	shown    int
	repeats  int // right after a kill of the receiver
	failed   bool
	ended    bool // delivered or failed was reported
}

// simPeer is a peer: a disk, and a process or none.
type simPeer struct {
	w     *world
	index int
	id    certs.ID
	key   certs.PublicKey
	epoch uint64
	disk  disk
	p     *simProcess
	last  map[int]Position // by sender: the last shown in all runs
	// unnoted are lines behind which a kill came, before they were noted.
	unnoted map[[16]byte]bool
}

// disk is what was written. Notes of what was shown are in the kernel's hands at once.
type disk struct {
	outbox map[Position]stored
	marks  map[int]Position
	gaps   map[int][]Gap
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

// simProcess is what a kill takes away.
type simProcess struct {
	counter uint64
	outbox  []*Outbox // by receiver
	inbox   []*Inbox  // by sender
	again   []time.Duration
	writes  []func()  // queued for the disk, one after the other
	program []program // messages that the program has not looked at
	passing [8]bool   // by sender: a gap is being stored, nothing is taken
	link    []*simLink
}

type program struct {
	from int
	m    *pb.Message
}

// simLink carries direct messages to one receiver while it lives.
type simLink struct {
	queue []*pb.Message
	owed  []*pb.Message // taken, without a receipt
}

func keyOf(i int) certs.PublicKey { return certs.PublicKey{byte(i + 1)} }

func newSim(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), sent: make(map[[16]byte]*simMessage)}
	n := 2 + w.rng.IntN(3)
	w.passed = w.rng.IntN(4) == 0
	for i := range n {
		w.peers = append(w.peers, &simPeer{
			w: w, index: i, id: certs.ID(fmt.Sprintf("p%d", i)), key: keyOf(i), last: make(map[int]Position), unnoted: make(map[[16]byte]bool),
			disk: disk{outbox: make(map[Position]stored), marks: make(map[int]Position), gaps: make(map[int][]Gap)},
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

// start starts a process from what is on the disk.
func (p *simPeer) start() {
	p.epoch++
	n := len(p.w.peers)
	if n == 0 || p.index >= n {
		n = 8
	}
	proc := &simProcess{}
	for i := range 8 {
		proc.outbox = append(proc.outbox, &Outbox{})
		in := NewInbox(p.disk.marks[i], p.disk.gaps[i])
		proc.inbox = append(proc.inbox, &in)
		proc.again, proc.link = append(proc.again, 0), append(proc.link, nil)
	}
	positions := make([]Position, 0, len(p.disk.outbox))
	for at := range p.disk.outbox {
		positions = append(positions, at)
	}
	slices.SortFunc(positions, Position.Compare)
	for _, at := range positions {
		s := p.disk.outbox[at]
		m := s.m
		m.Stored, m.Receipt = true, nil
		proc.outbox[s.to].Add(&m)
	}
	p.p = proc
	p.w.note("%s starts with %d messages", p.id, len(positions))
}

// kill ends the process here and now.
func (p *simPeer) kill() {
	p.w.note("%s is killed", p.id)
	p.w.kills++
	p.p = nil
	for _, q := range p.w.peers {
		if q.p != nil {
			q.breakLink(p.index)
		}
	}
}

// breakLink is the end of the link to a receiver: what is on it is lost.
func (p *simPeer) breakLink(to int) {
	if p.p.link[to] != nil {
		p.p.link[to] = nil
		p.p.outbox[to].Rewind(Direct)
	}
}

// send is a message of the program.
func (p *simPeer) send(to int) {
	w := p.w
	p.p.counter++
	at := Position{p.epoch, p.p.counter}
	m := &Outgoing{Position: at, Body: fmt.Sprint(p.id, at), Taken: w.now}
	prefix := core.MessagePrefix(p.key, p.epoch)
	copy(m.ID[:], prefix[:])
	for i := range 8 {
		m.ID[8+i] = byte(at.Counter >> (56 - 8*i))
	}
	s := &simMessage{id: m.ID, from: p.index, to: to, at: at}
	w.sent[m.ID] = s
	w.order = append(w.order, s)
	p.p.outbox[to].Add(m)
	p.write(func() {
		p.disk.outbox[at] = stored{*m, to}
		m.Stored, s.reported = true, true
		if m.Receipt != nil {
			p.settled(m, to, *m.Receipt)
		}
	})
}

// write queues a write for the disk, done included: a kill comes before or behind it.
func (p *simPeer) write(do func()) { p.p.writes = append(p.p.writes, do) }

// receipt takes a receipt, from whatever way.
func (p *simPeer) receipt(from int, r *pb.Receipt, relayed bool) {
	o := p.p.outbox[from]
	at, ok := o.PositionOf([16]byte(r.GetId()))
	if !ok {
		return
	}
	m := o.Settle(at)
	r2 := Receipt{Refused: r.GetCode() != pb.ReceiptCode_DELIVERED, Reason: r.GetReason(), Relayed: relayed}
	if !m.Stored {
		m.Receipt = &r2
		return
	}
	p.settled(m, from, r2)
}

func (p *simPeer) settled(m *Outgoing, _ int, r Receipt) {
	s := p.w.sent[m.ID]
	s.ended, s.failed = true, r.Refused
	forgotten := p.w.peers[s.to].unnoted[s.id] // the receiver can't know that it has shown it
	if r.Refused && s.shown > 0 && !forgotten || !r.Refused && s.shown == 0 {
		p.w.fatal("the message %v was shown %d times, and its receipt is %+v", s.at, s.shown, r)
	}
	p.write(func() { delete(p.disk.outbox, m.Position) })
}

func (p *simPeer) message(m *Outgoing, to int) *pb.Message {
	return &pb.Message{Id: m.ID[:], Sender: string(p.id), Receiver: string(p.w.peers[to].id), Content: m.Body, Epoch: m.Epoch}
}

// take gives the program a message.
func (p *simPeer) take(from int, m *pb.Message) {
	p.p.program = append(p.p.program, program{from, m})
	if in := p.p.inbox[from]; in.Take(PositionOf(m)) {
		gaps := in.Gaps()
		p.write(func() { p.disk.gaps[from] = gaps })
	}
}

// takeParcel takes a parcel that is ready, and those that have waited for it.
func (p *simPeer) takeParcel(from int, parcel *Parcel) {
	in := p.p.inbox[from]
	for ; parcel != nil; parcel = in.Next() {
		for _, m := range parcel.Messages {
			if in.Fresh(PositionOf(m)) {
				p.take(from, m)
			}
		}
		if in.Owe(parcel) {
			p.answer(from, parcel)
		}
	}
}

// answer sends the receipts of a parcel; a holder forgets it, and passes them on.
func (p *simPeer) answer(from int, parcel *Parcel) {
	w := p.w
	receipts := p.p.inbox[from].Receipts(parcel)
	if parcel.Deposit != nil {
		w.held = slices.DeleteFunc(w.held, func(h heldParcel) bool {
			return h.from == from && h.to == p.index && h.parcel.last() == parcel.last() && certs.ID(fmt.Sprint("p", h.holder)) == parcel.Answer
		})
	}
	w.put(envelope{from: p.index, to: from, receipts: receipts, relayed: true}, parcel.Deposit != nil)
}

// put puts something on its way over others: it may be lost, doubled and overtaken.
func (w *world) put(e envelope, surely bool) {
	for range 1 + w.rng.IntN(2) {
		if surely || w.rng.IntN(4) > 0 {
			e.at = w.now + time.Duration(w.rng.Int64N(int64(3*time.Second)))
			w.bag = append(w.bag, e)
		}
	}
}

// show has the program look at its next message: a line, and then the note of it. A
// kill can come in between.
func (p *simPeer) show(kill bool) {
	w := p.w
	if len(p.p.program) == 0 {
		return
	}
	next := p.p.program[0]
	p.p.program = p.p.program[1:]
	s := w.sent[[16]byte(next.m.GetId())]
	w.note("%s shows %v of p%d", p.id, s.at, s.from)
	at := PositionOf(next.m)
	switch {
	case s.shown == 0 && at.Compare(p.last[s.from]) <= 0:
		w.fatal("%s shows %v of p%d behind %v", p.id, at, s.from, p.last[s.from])
	case s.shown > 0 && p.unnoted[s.id]:
		s.repeats++
		delete(p.unnoted, s.id)
	case s.shown > 0:
		w.fatal("%s shows %v of p%d twice", p.id, at, s.from)
	}
	if s.to != p.index || s.failed {
		w.fatal("%s shows %v of p%d, which is for p%d and has failed: %v", p.id, at, s.from, s.to, s.failed)
	}
	s.shown++
	if p.last[s.from].Before(at) {
		p.last[s.from] = at
	}
	if kill {
		p.unnoted[s.id] = true
		p.kill()
		return
	}
	p.disk.marks[next.from] = at
	p.write(func() { // the kernel's word that it is on the disk
		due, changed := p.p.inbox[next.from].Show(at)
		if changed {
			w.fatal("shown before it was taken")
		}
		for _, parcel := range due {
			p.answer(next.from, parcel)
		}
	})
}

// settle lets everything end well: no kills, no cuts.
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

// check holds what has happened against the promise.
func (w *world) check() {
	repeats := 0
	for _, s := range w.order {
		repeats += s.repeats
		switch {
		case s.shown-s.repeats > 1:
			w.fatal("%v of p%d was shown %d times", s.at, s.from, s.shown)
		case s.reported && s.shown == 0 && !s.failed:
			w.fatal("%v of p%d to p%d is lost", s.at, s.from, s.to)
		case s.reported && !s.ended:
			w.fatal("of %v of p%d nothing was said", s.at, s.from)
		case s.failed && !w.passed:
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

// TestSimulation: whatever is killed, cut, lost, doubled and overtaken, each message is
// shown once, in order, or has failed; a line is repeated at most once for each kill.
func TestSimulation(t *testing.T) {
	first, last := uint64(1), *simSeeds
	if *simSeed != 0 {
		first, last = *simSeed, *simSeed
	}
	if testing.Short() {
		last = min(last, first+49)
	}
	var messages, kills, repeats, failed int
	for seed := first; seed <= last; seed++ {
		w := newSim(t, seed)
		for range 4000 {
			w.step(true)
		}
		w.settle()
		w.check()
		messages += len(w.order)
		kills += w.kills
		for _, s := range w.order {
			repeats += s.repeats
			failed += cmp.Compare(btoi(s.failed), 0)
		}
	}
	t.Logf("%d seeds: %d messages, %d kills, %d repeats, %d failed", last-first+1, messages, kills, repeats, failed)
	if *simSeed == 0 && (kills == 0 || repeats == 0 || failed == 0) {
		t.Error("nothing was put to the test")
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
