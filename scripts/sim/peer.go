package main

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

// firstEpoch is that of a peer's first run: milliseconds of some day of 2026.
const firstEpoch = 1_790_000_000_000

// exitWithin is how long a process that leaves waits for its links to close, as the driver does.
const exitWithin = 3 * time.Second

// peer is a machine: an address and a key. It runs at most one process at a
// time, whose core is the real one; the rest is what the driver does for it.
type peer struct {
	w        *world
	index    int32
	life     int32 // counts its processes
	side     uint8 // of a cut
	id       certs.ID
	identity *certs.Identity
	key      certs.PublicKey
	address  string
	epoch    uint64

	core     *core.Core // nil: down
	ends     []*end     // in the order in which they came to be
	lastLink core.LinkID
	tickAt   time.Duration
	leaving  bool
	exitBy   time.Duration
	isReady  bool
	started  time.Duration
	readyAt  time.Duration
	letIn    time.Duration // when a door said OK to this run; 0: none has

	there  set // by its events
	behind set // of these, whose run has ended since, whatever runs now
}

func idOf(i int32) certs.ID { return certs.ID(fmt.Sprintf("p%06d", i)) }

// byID finds the machine of an ID.
func (w *world) byID(id certs.ID) *peer {
	i := 0
	for _, c := range id[1:] {
		i = i*10 + int(c-'0')
	}
	return w.peers[i]
}

// identityOf is the identity of a machine.
func identityOf(seed uint64, i int32) *certs.Identity {
	return certs.NewIdentity(seedOf(seed, uint64(i)))
}

// living says that it runs and means to stay.
func (p *peer) living() bool { return p.core != nil && !p.leaving }

// nonce is that of the process that runs or ran last, or of the first.
func (p *peer) nonce() uint64 { return uint64(p.index+1)<<32 | uint64(max(1, p.life)) }

// begin starts a process with the configuration that lacks what all have in common.
func (p *peer) begin(cfg core.Config) {
	w := p.w
	if p.core != nil {
		panic("sim: it runs already")
	}
	p.life++
	p.started, p.isReady, p.readyAt, p.letIn, p.leaving = w.now, false, 0, 0, false
	p.there, p.behind, p.lastLink, p.ends = nil, nil, 0, nil
	cfg.ID, cfg.Identity, cfg.Network, cfg.Software = p.id, p.identity, network, "sim"
	cfg.Addresses, cfg.Epoch = []netip.AddrPort{netip.MustParseAddrPort(p.address)}, p.epoch
	cfg.Nonce = p.nonce()
	cfg.Rand = rand.New(rand.NewPCG(w.seed, uint64(p.index)<<20|uint64(p.life)))
	w.share(&cfg)
	p.core = core.New(cfg, w.now)
	p.drain()
	p.planTick(w.between(0, 250*time.Millisecond))
}

// network is the name of the simulated one.
const network = "sim"

// join starts a process that joins by these peers.
func (p *peer) join(doors ...*peer) {
	var cfg core.Config
	for _, d := range doors {
		cfg.Join = append(cfg.Join, d.address)
	}
	p.epoch++
	p.begin(cfg)
}

// planTick plans the driver's timer: a goroutine wakes up to 2 ms late (a guess).
func (p *peer) planTick(late time.Duration) {
	p.tickAt = max(p.core.Next(), p.w.now) + late
	p.w.queue.push(event{at: p.tickAt, kind: happensTick, peer: p, life: p.life})
}

// replan plans an earlier tick if the last input has made one necessary.
func (p *peer) replan() {
	if p.core != nil && p.core.Next() < p.tickAt-3*time.Millisecond {
		p.planTick(p.w.between(0, 2*time.Millisecond))
	}
}

// tick is the driver's timer: what was heard of the links is told, then the core ticks.
func (p *peer) tick() {
	w := p.w
	var start time.Time
	if w.timed {
		start = time.Now()
	}
	life := p.life
	for i := 0; i < len(p.ends); i++ {
		if e := p.ends[i]; e.open && !e.listen() {
			i--
		}
		if p.core == nil || p.life != life {
			return
		}
	}
	p.core.Tick(w.now)
	if w.timed {
		w.count.ticking += time.Since(start)
		w.count.ticks++
	}
	p.drain()
	if p.core != nil && p.life == life {
		p.planTick(w.between(0, 2*time.Millisecond))
	}
}

// receive is a frame, as it left the reader of the link.
func (p *peer) receive(e *end, m *pb.PeerMessage) {
	w := p.w
	w.count.received++
	if w.timed {
		start := time.Now()
		p.core.Receive(w.now, e.id, m)
		p.drainTimed(start)
		return
	}
	p.core.Receive(w.now, e.id, m)
	p.drain()
}

func (p *peer) drainTimed(start time.Time) {
	out := p.core.Drain()
	p.w.count.receiving += time.Since(start)
	p.carryOut(&out)
}

// drain does what the core wants.
func (p *peer) drain() {
	out := p.core.Drain()
	p.carryOut(&out)
}

func (p *peer) carryOut(out *core.Effects) {
	w := p.w
	if out.Epoch != 0 {
		p.epoch = out.Epoch
	}
	if w.follow != "" {
		p.print(out)
	}
	for _, e := range out.Events {
		p.see(e)
	}
	if len(w.doubted) > 0 {
		p.judgeDoubted()
	}
	var last []byte
	var shared *parcel
	for _, f := range out.Frames {
		if len(last) != len(f.Data) || &last[0] != &f.Data[0] {
			m, sum := w.memory.decode(f.Data)
			last, shared = f.Data, &parcel{kind: carriesFrame, message: m, size: len(f.Data), sum: sum}
		}
		p.sendFrame(f.Link, shared)
	}
	for _, c := range out.Closes {
		w.hash(happensClosed, uint64(p.index), uint64(c.Link))
		if e := p.end(c.Link); e != nil {
			e.close(c.Reason)
		}
	}
	for _, d := range out.Dials {
		w.hash(happensAttempt, uint64(p.index), uint64(d.ID))
		p.dial(d)
	}
	for _, n := range out.Notes {
		p.note(n)
	}
	p.verify(out.Verify)
	if out.Err != nil {
		w.count.errors++
		w.odd("%s ends: %v", p.id, out.Err)
		p.exit()
	}
	p.replan()
}

func (p *peer) sendFrame(link core.LinkID, x *parcel) {
	w := p.w
	w.hash(happensArrival, uint64(p.index)<<16|uint64(link), uint64(x.sum))
	e := p.end(link)
	if e == nil || e.closing {
		return
	}
	w.count.sent(x.message, x.size)
	if r := x.message.GetHandshakeResponse(); r != nil && r.GetCode() == pb.HandshakeCode_OK && e.other.peer.letIn == 0 {
		e.other.peer.letIn = w.now
	}
	e.send(x)
}

// end finds a link by its number.
func (p *peer) end(id core.LinkID) *end {
	for _, e := range p.ends {
		if e.open && e.id == id {
			return e
		}
	}
	return nil
}

// crash kills the process: it sends nothing more. What is on its way arrives.
func (p *peer) crash() {
	w := p.w
	w.isGone(p)
	for _, e := range p.ends {
		e.advance()
		e.died(w.now)
	}
	p.core, p.ends = nil, nil
	p.life++ // what was planned for it does not happen
}

// leave is a graceful end.
func (p *peer) leave() {
	p.core.Leave(p.w.now)
	p.drain()
	p.exit()
}

// exit ends the process once its links are closed.
func (p *peer) exit() {
	if p.leaving || p.core == nil {
		return
	}
	p.w.isGone(p)
	p.leaving, p.exitBy = true, p.w.now+exitWithin
	for _, e := range slices.Clone(p.ends) {
		e.close(core.CloseBye)
	}
	p.lookToExit()
}

func (p *peer) lookToExit() {
	w := p.w
	if len(p.ends) == 0 || w.now >= p.exitBy {
		for _, e := range p.ends {
			e.died(w.now)
		}
		p.core, p.ends, p.leaving = nil, nil, false
		p.life++
		return
	}
	w.queue.push(event{at: w.now + 10*time.Millisecond, kind: happensExit, peer: p, life: p.life})
}
