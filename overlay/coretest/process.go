package coretest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/pb"
)

// exitWithin is how long a process that leaves waits for its links to close, as the driver does.
const exitWithin = 3 * time.Second

// network is the name of the simulated one.
const network = "sim"

// Machine is an address, a key and a disk. It runs at most one process at a time.
type Machine struct {
	World    *World
	Index    int
	ID       certs.ID
	Identity *certs.Identity
	Key      certs.PublicKey
	Address  string // where others reach it
	NAT      NAT
	Epoch    uint64 // of the last run
	Process  *Process
	Runs     []*Process // all that ever ran
	disk     disk
	number   int32 // of its ID and key, see watch.go
	side     uint8 // of a cut
}

// Process is one run of a peer: its core, and what the driver does for it.
type Process struct {
	*Machine
	Core   *core.Core // nil when it is dead
	Number int        // of all processes of the world
	Epoch  uint64
	Ends   []*End // in the order in which they came to be

	Started  time.Duration
	Ready    time.Duration
	Stopped  time.Duration // when it crashed or began to leave
	LetIn    time.Duration // when a door said OK to it; 0: none has
	Expelled time.Duration // when a link of it was ended last since it broke the protocol
	IsReady  bool
	Crashed  bool
	Leaving  bool
	Dead     bool
	Frozen   bool
	Hostile  bool // it may send what is refused
	Err      error
	Joined   []core.Joining

	there, behind Set
	races         map[core.DialID]*race
	lastLink      core.LinkID
	tickAt        time.Duration
	inbox         []func() // what waits for a frozen process
	owesDrain     bool     // what was obeyed has given the core something to do
}

// Start runs a peer on the machine that joins by these addresses, or begins a network.
func (m *Machine) Start(join ...string) *Process { return m.StartAt(m.Epoch+1, join...) }

// StartAt is Start in an epoch.
func (m *Machine) StartAt(epoch uint64, join ...string) *Process {
	m.Epoch = epoch
	return m.begin(core.Config{Join: join})
}

// begin starts a process with the configuration that lacks what all have in common.
func (m *Machine) begin(cfg core.Config) *Process {
	w := m.World
	if m.Process != nil {
		panic("coretest: it runs already")
	}
	p := &Process{Machine: m, Number: w.processes, Epoch: m.Epoch, Started: w.Now, races: make(map[core.DialID]*race)}
	w.processes++
	m.Process, m.Runs = p, append(m.Runs, p)
	cfg.ID, cfg.Identity, cfg.Network, cfg.Software = m.ID, m.Identity, network, "sim"
	cfg.Addresses, cfg.Epoch = []netip.AddrPort{netip.MustParseAddrPort(m.interfaceAddress())}, m.Epoch
	cfg.Nonce, cfg.Custody = m.nonce(), m.kept()
	cfg.Rand = rand.New(rand.NewPCG(w.Seed, uint64(m.Index)<<20|uint64(len(m.Runs))))
	cfg.Open, cfg.Verify = w.memory.open, w.memory.verify
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

// nonce is that of the process that runs or ran last, or of the first.
func (m *Machine) nonce() uint64 { return uint64(m.Index+1)<<32 | uint64(max(1, len(m.Runs))) }

// Living says that it runs and means to stay.
func (p *Process) Living() bool { return p != nil && !p.Dead && !p.Leaving }

// input does what happens to the process, later if it is frozen and never if it is dead.
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

// tick is the driver's timer: what was heard of the links is told, then the core ticks.
func (p *Process) tick() {
	w := p.World
	var start time.Time
	if w.Timed {
		start = time.Now()
	}
	for i := 0; i < len(p.Ends); i++ {
		if e := p.Ends[i]; e.Open && !e.listen() {
			i--
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

// receive is a frame, as it left the reader of the link.
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
	p.obey(&out)
}

// Drain does what the core wants. Whoever calls a method of it calls this next.
func (p *Process) Drain() {
	if p.Dead {
		return
	}
	out := p.Core.Drain()
	p.obey(&out)
}

// End finds a link by its number.
func (p *Process) End(id core.LinkID) *End {
	for _, e := range p.Ends {
		if e.Open && e.ID == id {
			return e
		}
	}
	return nil
}

// stop is the end of the process. What is on its way arrives.
func (p *Process) stop() {
	for _, e := range p.Ends {
		e.advance()
		e.died(p.World.Now)
	}
	p.Dead, p.Frozen = true, false
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

// Leave is a graceful end.
func (p *Process) Leave() {
	p.Core.Step(p.World.Now, core.Leave{})
	p.Drain()
	p.exit()
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
		e.close(core.CloseBye, "exit")
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
	w.At(w.Now+d, p.thaw)
}

// thaw is the end of that: what has waited comes at once.
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

// Doors are addresses that the machine can join at: some of the running ones that it
// can reach, at most three, none if there are none.
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

// Rejoin starts a machine again if there is a door for it.
func (m *Machine) Rejoin() {
	if doors := m.Doors(); m.Process == nil && len(doors) > 0 {
		m.Start(doors...)
	}
}

func (m *Machine) String() string { return fmt.Sprintf("%s (%s)", m.ID, m.Key) }
