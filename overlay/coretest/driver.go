package coretest

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// exitWithin is how long a process that leaves waits for its links to close, as the real driver
// does.
const exitWithin = 3 * time.Second

// network is the name of the simulated network.
const network = "sim"

// Machine is an address, a key and a disk. It runs at most one process at a time.
type Machine struct {
	World    *World
	Index    int
	ID       certs.ID
	Identity *certs.Identity
	Key      certs.PublicKey
	Address  string // where others reach it
	// Far is how much longer than others packets to and from it take, one way. Its links, and no others,
	// report their round trips.
	Far     time.Duration
	NAT     NAT
	Epoch   uint64 // of the last run
	Process *Process
	Runs    []*Process              // all that ever ran
	History map[string][]*pb.Signed // what it has shown, by room, for those who come; nil: it keeps none
	disk    disk
	membership
	number int32 // of its ID and key, see watch.go
	side   uint8 // of a cut
}

// Process is one run of a peer: its core, and the driver's part for it.
type Process struct {
	*Machine
	Core   *core.Core // nil when it is dead
	Number int        // of all processes of the world
	Epoch  uint64
	Ends   []*End // in the order in which they were made

	Started  time.Duration
	Ready    time.Duration
	Stopped  time.Duration // when it crashed or began to leave
	LetIn    time.Duration // when a door let it in; 0: none has
	Expelled time.Duration // when one of its links was last ended for a breach of the protocol
	IsReady  bool
	Crashed  bool
	Leaving  bool
	Dead     bool
	Frozen   bool
	Hostile  bool // it may send invalid frames
	Err      error
	outcomes

	sight
	races     map[base.DialID]*race
	lastLink  base.LinkID
	tickAt    time.Duration
	inbox     []func() // inputs that wait while the process is frozen
	owesDrain bool     // obeying the last effects has led to new ones
}

// outcomes are those of Joins and Pings.
type outcomes struct {
	Joined []base.Joining
	Pongs  []base.Pong
}

// Start runs a peer on the machine that joins at these addresses, or begins a network.
func (m *Machine) Start(join ...string) *Process { return m.StartAt(m.Epoch+1, join...) }

// StartAt is Start in an epoch.
func (m *Machine) StartAt(epoch uint64, join ...string) *Process {
	m.Epoch = epoch
	return m.begin(base.Config{Join: join})
}

// begin starts a process, and completes its configuration.
func (m *Machine) begin(cfg base.Config) *Process {
	w := m.World
	if m.Process != nil {
		panic("coretest: it runs already")
	}
	p := &Process{Machine: m, Number: w.processes, Epoch: m.Epoch, Started: w.Now, races: make(map[base.DialID]*race)}
	w.processes++
	m.Process, m.Runs = p, append(m.Runs, p)
	cfg.ID, cfg.Identity, cfg.Network, cfg.Software = m.ID, m.Identity, network, "sim"
	cfg.Features = pb.Features()
	cfg.Addresses, cfg.Epoch = []netip.AddrPort{netip.MustParseAddrPort(m.interfaceAddress())}, m.Epoch
	cfg.Nonce, cfg.Custody = m.nonce(), m.kept()
	cfg.Rand = rand.New(rand.NewPCG(w.Seed, uint64(m.Index)<<20|uint64(len(m.Runs))))
	cfg.Open, cfg.Verify = w.memory.open, w.memory.verify
	m.join(&cfg)
	if w.Configure != nil {
		w.Configure(m, &cfg)
	}
	if w.Story != nil {
		w.Story(m, "starts", cfg.Epoch, cfg.Join)
	}
	p.Core = core.New(cfg, w.Now)
	p.Drain()
	p.planTick(w.Between(0, 250*time.Millisecond))
	return p
}

// nonce is the nonce of the latest process, or of the first to come.
func (m *Machine) nonce() uint64 { return uint64(m.Index+1)<<32 | uint64(max(1, len(m.Runs))) }

// input gives the process an input: later if it is frozen, never if it is dead.
func (p *Process) input(do func()) {
	switch {
	case p.Dead:
	case p.Frozen:
		p.inbox = append(p.inbox, do)
	default:
		do()
		p.Drain()
	}
}

// planTick plans the driver's timer: a goroutine wakes up to 2 ms late (a guess).
func (p *Process) planTick(late time.Duration) {
	if p.Dead {
		return
	}
	at := max(p.Core.Next(), p.World.Now) + late
	p.tickAt = at
	p.World.At(at, func() {
		switch {
		case p.Dead || p.tickAt != at:
		case p.Frozen:
			p.inbox = append(p.inbox, p.tick)
		default:
			p.tick()
		}
	})
}

// tick is the driver's timer: it reports what the links have heard, then ticks the core.
func (p *Process) tick() {
	w := p.World
	var start time.Time
	if w.Timed {
		start = time.Now()
	}
	for i := 0; i < len(p.Ends); i++ {
		e := p.Ends[i]
		if !e.Open {
			continue
		}
		if why := e.listen(); why != "" {
			e.finish(false, why)
			i--
		} else {
			p.Core.Step(w.Now, core.Heard{Link: e.ID, Heard: e.alive.heard, RoundTrip: e.roundTrip()})
		}
		if p.Dead {
			return
		}
	}
	p.Core.Step(w.Now, core.Tick{})
	if w.Timed {
		w.Count.Ticking += time.Since(start)
		w.Count.Ticks++
	}
	p.Drain()
	p.planTick(w.Between(0, 2*time.Millisecond))
	if w.Ticked != nil && !p.Dead {
		w.Ticked(p)
	}
}

// receive takes a frame from the reader of a link.
func (p *Process) receive(e *End, m *pb.PeerMessage) {
	w := p.World
	w.Count.Received++
	if !w.Timed {
		p.Core.Step(w.Now, core.Received{Link: e.ID, Frame: m})
		p.Drain()
		return
	}
	start := time.Now()
	p.Core.Step(w.Now, core.Received{Link: e.ID, Frame: m})
	out := p.Core.Drain()
	w.Count.Receiving += time.Since(start)
	p.obey(out)
}

// Drain obeys the core's effects. Call it after every method of the core.
func (p *Process) Drain() {
	if p.Dead {
		return
	}
	p.obey(p.Core.Drain())
}

// End finds a link by its number.
func (p *Process) End(id base.LinkID) *End {
	for _, e := range p.Ends {
		if e.Open && e.ID == id {
			return e
		}
	}
	return nil
}

// stop ends the process. Packets on their way still arrive.
func (p *Process) stop() {
	for _, e := range p.Ends {
		e.advance()
		e.died(p.World.Now)
	}
	p.Dead, p.Frozen = true, false
	p.World.changes++
	p.Core, p.Ends, p.races, p.inbox, p.there, p.behind = nil, nil, nil, nil, nil, nil
	p.Machine.Process = nil
}

// Crash kills the process: it sends nothing more.
func (p *Process) Crash() {
	p.World.isGone(p)
	if p.World.Story != nil {
		p.World.Story(p.Machine, "crashes")
	}
	p.Crashed, p.Stopped = true, p.World.Now
	p.stop()
}

// Leave ends the process gracefully.
func (p *Process) Leave() {
	p.Core.Step(p.World.Now, core.Leave{})
	p.Drain()
	p.exit()
}

// Remove has the machine announce a removal.
func (m *Machine) Remove(proof *pb.Announcement) bool {
	reply := m.Process.Core.Step(m.World.Now, core.Remove{Proof: proof})
	m.Process.Drain()
	return reply.OK
}

// exit ends the process once its links are closed.
func (p *Process) exit() {
	w := p.World
	if p.Leaving || p.Dead {
		return
	}
	w.isGone(p)
	if w.Story != nil {
		w.Story(p.Machine, "leaves")
	}
	p.Leaving, p.Stopped = true, w.Now
	for _, e := range slices.Clone(p.Ends) {
		e.close(base.CloseBye, "exit")
	}
	deadline := w.Now + exitWithin
	var look func()
	look = func() {
		switch {
		case p.Dead:
		case len(p.Ends) == 0 || w.Now >= deadline:
			p.stop()
		default:
			w.At(w.Now+10*time.Millisecond, look)
		}
	}
	look()
}

// Freeze stops the process for a while, as a laptop's lid does.
func (p *Process) Freeze(d time.Duration) {
	w := p.World
	if w.Story != nil {
		w.Story(p.Machine, "freezes", d)
	}
	for _, e := range p.Ends {
		e.advance()
	}
	p.Frozen = true
	w.changes++
	w.At(w.Now+d, p.thaw)
}

// thaw ends a freeze: everything that has waited comes at once.
func (p *Process) thaw() {
	if p.Dead {
		return
	}
	w := p.World
	if w.Story != nil {
		w.Story(p.Machine, "thaws")
	}
	for _, e := range p.Ends {
		e.advance()
		e.alive.probe, e.alive.ping = 0, w.Now
	}
	p.Frozen = false
	for _, e := range slices.Clone(p.Ends) {
		e.release()
	}
	waiting := p.inbox
	p.inbox = nil
	for _, do := range waiting {
		p.input(do)
	}
}

// Doors returns addresses that the machine can join at: up to three of the running machines that
// it can reach.
func (m *Machine) Doors() []string {
	w := m.World
	var list []string
	for _, i := range w.Rand.Perm(len(w.Machines)) {
		if o := w.Machines[i]; o.Process.Living() && w.Reach(m, o) && len(list) < 3 {
			list = append(list, o.Address)
		}
	}
	return list
}

// Rejoin starts a machine again if it has a door.
func (m *Machine) Rejoin() {
	if doors := m.Doors(); m.Process == nil && len(doors) > 0 {
		m.Start(doors...)
	}
}

// takeMessage takes a letter or a receipt that has come over a link.
func (p *Process) takeMessage(e *End, data []byte) {
	if receipt := p.open(data); receipt != nil {
		e.send(&parcel{kind: carriesMessage, data: receipt})
	}
}

// effect is one kind of effect of a core, and how the pretend driver obeys it.
type effect struct {
	name string // of the field of core.Effects
	// obey does it, and returns how many there were.
	obey func(p *Process, out *base.Effects) int
}

// effects lists all kinds in the order of the fields, in which they have to be obeyed. A test
// compares the names, and requires each kind to occur.
var effects = [...]effect{
	{"Epoch", func(p *Process, out *base.Effects) int {
		if out.Epoch == 0 {
			return 0
		}
		p.Epoch, p.Machine.Epoch = out.Epoch, out.Epoch
		return 1
	}},
	{"Pass", func(p *Process, out *base.Effects) int {
		if out.Pass == nil {
			return 0
		}
		p.Pass = out.Pass
		return 1
	}},
	{"Events", func(p *Process, out *base.Effects) int {
		for _, e := range out.Events {
			p.see(e)
		}
		p.judgeDoubted()
		return len(out.Events)
	}},
	{"Custody", func(p *Process, out *base.Effects) int {
		for _, c := range out.Custody {
			p.store(c)
		}
		return len(out.Custody)
	}},
	{"Removals", func(p *Process, out *base.Effects) int {
		for _, r := range out.Removals {
			p.noteRemoval(r)
		}
		return len(out.Removals)
	}},
	{"Redeem", func(p *Process, out *base.Effects) int {
		for _, r := range out.Redeem {
			p.redeem(r)
		}
		return len(out.Redeem)
	}},
	{"Up", func(p *Process, out *base.Effects) int {
		for _, up := range out.Up {
			p.linkUp(up)
		}
		return len(out.Up)
	}},
	{"Frames", func(p *Process, out *base.Effects) int {
		p.sendFrames(out.Frames)
		return len(out.Frames)
	}},
	{"Closes", func(p *Process, out *base.Effects) int {
		for _, c := range out.Closes {
			p.World.hash(traceClose, uint64(p.Index), uint64(c.Link))
			if e := p.End(c.Link); e != nil {
				p.tell("closes", c.Link, e.Other.Process.ID, c.Text)
				e.close(c.Reason, c.Text)
			}
		}
		return len(out.Closes)
	}},
	{"Dials", func(p *Process, out *base.Effects) int {
		for _, d := range out.Dials {
			p.World.hash(traceDial, uint64(p.Index), uint64(d.ID))
			p.tell("dials", d.ID, d.Candidates)
			p.dial(d)
		}
		return len(out.Dials)
	}},
	{"Cancels", func(p *Process, out *base.Effects) int {
		for _, id := range out.Cancels {
			p.tell("cancels", id)
			delete(p.races, id)
		}
		return len(out.Cancels)
	}},
	{"Verify", func(p *Process, out *base.Effects) int {
		p.verify(out.Verify)
		return len(out.Verify)
	}},
	{"Unreachable", func(p *Process, out *base.Effects) int {
		for _, id := range out.Unreachable {
			p.tell("does not reach", id)
			p.again(id, direct)
		}
		return len(out.Unreachable)
	}},
	{"Envelopes", func(p *Process, out *base.Effects) int {
		for _, e := range out.Envelopes {
			p.takeEnvelope(e)
		}
		return len(out.Envelopes)
	}},
	{"Carried", func(p *Process, out *base.Effects) int {
		for _, c := range out.Carried {
			p.World.hash(traceLetter, uint64(p.Index), c.From)
			p.tell("has a packet carried", c.From, len(c.Packet))
			if p.disk.packets == nil {
				p.disk.packets = make(map[string]bool)
			}
			p.disk.packets[string(c.Packet)] = true
		}
		return len(out.Carried)
	}},
	{"CarriedWanted", func(p *Process, out *base.Effects) int {
		for _, id := range out.CarriedWanted {
			p.tell("wants a link over others to", id) // it makes none, so the ping goes by the way of letters
		}
		return len(out.CarriedWanted)
	}},
	{"Pongs", func(p *Process, out *base.Effects) int {
		p.Pongs = append(p.Pongs, out.Pongs...)
		return len(out.Pongs)
	}},
	{"Releave", func(p *Process, out *base.Effects) int {
		for _, id := range out.Releave {
			p.tell("leaves the rest anew", id)
			p.again(id, left)
		}
		return len(out.Releave)
	}},
	{"Recalls", func(p *Process, out *base.Effects) int {
		for _, r := range out.Recalls {
			p.tell("looks into its history", r.Link, r.Room)
			p.Core.Step(p.World.Now, core.Recalled{For: r, History: p.History[r.Room]})
			p.owesDrain = true
		}
		return len(out.Recalls)
	}},
	{"Joined", func(p *Process, out *base.Effects) int {
		p.Joined = append(p.Joined, out.Joined...)
		return len(out.Joined)
	}},
	{"Tried", func(p *Process, out *base.Effects) int {
		for _, j := range out.Tried {
			p.tell("tries to join", j.Address, j.ID, j.Why)
		}
		return len(out.Tried)
	}},
	{"Notes", func(p *Process, out *base.Effects) int {
		for _, n := range out.Notes {
			p.tell(n.Text, n.Args...)
			if p.World.Noted != nil {
				p.World.Noted(p, n)
			}
		}
		return len(out.Notes)
	}},
	{"Err", func(p *Process, out *base.Effects) int {
		if out.Err == nil {
			return 0
		}
		p.tell("ends", out.Err)
		p.Err = out.Err
		if p.World.Ended != nil {
			p.World.Ended(p)
		}
		p.exit()
		return 1
	}},
}

// obey does what the core wants, and at once whatever follows from that.
func (p *Process) obey(out base.Effects) {
	if !out.Empty() {
		some := out // most are empty, and stay off the heap
		for i, kind := range p.World.driver {
			if p.Dead {
				return
			}
			p.World.Obeyed[i] += int64(kind.obey(p, &some))
		}
	}
	if p.owesDrain {
		p.owesDrain = false
		p.Drain()
	}
	if !p.Dead && p.Core.Next() < p.tickAt-3*time.Millisecond {
		p.planTick(p.World.Between(0, 2*time.Millisecond))
	}
}

// sendFrames puts frames on their links. A frame for many links is parsed once.
func (p *Process) sendFrames(list []base.Frame) {
	w := p.World
	var last []byte
	var shared *parcel
	for _, f := range list {
		if w.Rewrite != nil {
			if e := p.End(f.Link); e != nil && !e.closing {
				for _, data := range w.Rewrite(e, f) {
					p.sendFrame(f.Link, w.memory.frame(data))
				}
			}
			continue
		}
		if len(last) != len(f.Data) || &last[0] != &f.Data[0] {
			last, shared = f.Data, w.memory.frame(f.Data)
		}
		p.sendFrame(f.Link, shared)
	}
}

func (p *Process) sendFrame(link base.LinkID, x *parcel) {
	w := p.World
	w.hash(traceFrame, uint64(p.Index)<<16|uint64(link), uint64(x.sum))
	w.Count.Frames++
	if w.Rewrite == nil && !p.Hostile && (x.err != nil || x.rest > 0) {
		w.Odd("%s sends %d bytes that are not one frame: %v", p.ID, len(x.data), x.err)
	}
	e := p.End(link)
	if e == nil || e.closing {
		return
	}
	w.Count.Bytes += int64(len(x.data))
	if to := e.Other.Process; to.LetIn == 0 && x.message.GetHandshakeResponse().GetCode() == pb.HandshakeCode_OK {
		to.LetIn = w.Now
	}
	if w.Sent != nil {
		w.Sent(e, x.message, len(x.data))
	}
	e.send(x)
}

// judging is the time that one signature takes: Ed25519 on one core (measured).
const judging = 55 * time.Microsecond

// verify has signatures judged, one after the other, beside the loop.
func (p *Process) verify(wishes []base.Verify) {
	n := 0
	for _, v := range wishes {
		n += len(v.Claims)
	}
	if len(wishes) == 0 {
		return
	}
	w := p.World
	w.At(w.Now+time.Duration(n)*judging, func() {
		for _, v := range wishes {
			p.input(func() {
				valid := make([]bool, len(v.Claims))
				for i, c := range v.Claims {
					valid[i] = w.memory.verify(c)
				}
				p.Core.Step(w.Now, core.Verified{ID: v.ID, Valid: valid})
			})
		}
	})
}
