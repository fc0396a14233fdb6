package core

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// process is one run of a peer: its core and what the driver does for it.
type process struct {
	node     *node
	core     *Core
	epoch    uint64
	ends     []*end
	lastLink LinkID
	inbox    []func() // what waits for a frozen process

	started time.Duration
	isReady bool
	ready   time.Duration
	stopped time.Duration // when it crashed or began to leave
	crashed bool
	leaving bool
	dead    bool
	frozen  bool
	err     error
	hostile bool
	// jumpy: it has been cut off or frozen, so that others may have missed it.
	jumpy bool

	there    map[certs.ID]certs.PublicKey // by the events
	races    map[DialID]int               // addresses or groups of them being dialled
	log      []seen
	got      map[[pb.MessageIDSize]byte]int
	expelled time.Duration     // when a link of it was ended last since it broke the protocol
	last     map[string]uint64 // the counter of the last broadcast of a run
}

// seen is an event and its time.
type seen struct {
	at    time.Duration
	event Event
}

// sentBroadcast is a broadcast, and who must get it.
type sentBroadcast struct {
	id     [pb.MessageIDSize]byte
	at     time.Duration
	author *process
	must   []*process
	// knows are those whose run the author knew, be they here to it or not.
	knows []*process
}

// start runs a peer on the machine.
func (n *node) start(join ...string) *process { return n.startAt(n.epoch+1, join...) }

func (n *node) startAt(epoch uint64, join ...string) *process {
	w := n.world
	if n.process != nil {
		panic("it runs already")
	}
	n.epoch = epoch
	p := &process{
		node: n, epoch: epoch, started: w.now,
		there: make(map[certs.ID]certs.PublicKey), races: make(map[DialID]int), got: make(map[[pb.MessageIDSize]byte]int),
		last: make(map[string]uint64),
	}
	n.process, n.runs = p, append(n.runs, p)
	w.note(n.id, "start", "epoch", epoch, "join", join)
	cfg := Config{
		ID: n.id, Identity: n.identity, Network: "sim", Software: "sim", Addresses: []netip.AddrPort{netip.MustParseAddrPort(n.own())},
		Epoch: epoch, Nonce: uint64(n.index+1)<<32 | uint64(len(n.runs)), Join: join, Met: n.met, Visitor: n.visitor, Verify: w.verify, Custody: n.keeps(),
		Rand: rand.New(rand.NewPCG(w.seed, uint64(n.index)<<32|uint64(len(n.runs)))),
	}
	if n.newer {
		cfg.features, cfg.invent = []uint32{inventedFeature}, inventRecord
	}
	p.core = New(cfg, w.now)
	p.drain()
	p.planTick()
	return p
}

func (p *process) planTick() {
	w := p.node.world
	w.at(p.core.Next()+w.between(0, 2*time.Millisecond), func() { p.input(p.tick) })
}

// tick is the driver's timer: links are reported, then the core ticks.
func (p *process) tick() {
	if p.dead {
		return
	}
	for _, e := range slices.Clone(p.ends) {
		if e.open {
			e.listen()
		}
	}
	p.core.Step(p.node.world.now, Tick{})
	p.drain()
	p.planTick()
	if n := p.core.links.neighbours() - p.core.links.dependants(); n > maxNeighbours {
		p.node.world.fatal("%s has %d neighbours", p.node.id, n)
	}
}

// input does what happens to the process, later if it is frozen and never if it is dead.
func (p *process) input(do func()) {
	switch {
	case p.dead:
	case p.frozen:
		p.inbox = append(p.inbox, do)
	default:
		do()
		if !p.dead {
			p.drain()
		}
	}
}

// receive is a frame: read and checked as the driver does.
func (p *process) receive(e *end, data []byte) {
	w := p.node.world
	m, err := decode(data)
	if errors.As(err, new(*pb.UnknownError)) {
		p.skipped(data) // as the driver does
		return
	}
	if err != nil {
		if !e.other.process.hostile {
			w.fatal("%s sends a frame that is refused: %v", e.other.process.node.id, err)
		}
		e.close(CloseProtocol, err.Error())
		return
	}
	if !e.open || e.closing {
		return
	}
	if w.said != nil {
		w.overhear(m)
	}
	w.newer.arrived(m.GetRouted(), p.node)
	p.core.Step(w.now, Received{Link: e.id, Frame: m})
	p.drain()
}

// drain does what the core wants.
func (p *process) drain() {
	w := p.node.world
	out := p.core.Drain()
	if out.Epoch != 0 {
		p.epoch, p.node.epoch = out.Epoch, out.Epoch
		w.hash("epoch", out.Epoch)
	}
	for _, e := range out.Events {
		w.hash(p.node.index, e)
		w.note(p.node.id, "event", e)
		p.see(e)
	}
	for _, f := range out.Frames {
		w.frames++
		w.hash(p.node.index, f.Link, crc32.ChecksumIEEE(f.Data))
		e := p.end(f.Link)
		if e == nil || e.closing {
			continue
		}
		said := [][]byte{f.Data}
		if p.node.newer {
			said = p.newFrames(f)
		}
		for _, data := range said {
			e.send(parcel{kind: parcelFrame, data: data})
		}
	}
	for _, v := range out.Verify {
		w.judge(p, v)
	}
	for _, c := range out.Closes {
		w.hash(p.node.index, c)
		w.note(p.node.id, "close", c.Link, c.Text)
		if e := p.end(c.Link); e != nil {
			e.close(c.Reason, c.Text)
		}
	}
	for _, d := range out.Dials {
		w.hash(p.node.index, d.ID, d.Candidates)
		w.note(p.node.id, "dial", d.ID, d.Candidates)
		p.dial(d)
	}
	p.takeLetters(out)
	for _, n := range out.Notes {
		w.note(p.node.id, n.Text, n.Args...)
		w.told[n.Kind]++
		if n.Kind == Violation && !w.anyHostile() {
			w.fatal("%s: %s %v", p.node.id, n.Text, n.Args)
		}
	}
	if out.Err != nil {
		w.hash(p.node.index, out.Err.Error())
		w.note(p.node.id, "error", out.Err)
		p.err = out.Err
		p.exit()
	}
}

// judge answers a wish to verify, after the time that it takes.
func (w *world) judge(p *process, v Verify) {
	w.at(w.now+time.Duration(len(v.Claims))*50*time.Microsecond, func() {
		p.input(func() {
			valid := make([]bool, len(v.Claims))
			for i, claim := range v.Claims {
				valid[i] = w.verify(claim)
			}
			p.core.Step(w.now, Verified{ID: v.ID, Valid: valid})
		})
	})
}

func (w *world) anyHostile() bool { return w.said != nil }

func (p *process) end(id LinkID) *end {
	for _, e := range p.ends {
		if e.open && e.id == id {
			return e
		}
	}
	return nil
}

// see notes an event and checks what holds for each: IDs come and go in turn,
// and broadcasts come once and in the order of their author.
func (p *process) see(event Event) {
	w := p.node.world
	p.log = append(p.log, seen{w.now, event})
	switch e := event.(type) {
	case Ready:
		if p.isReady {
			w.fatal("%s is ready twice", p.node.id)
		}
		p.isReady, p.ready = true, w.now
	case Joined:
		if _, ok := p.there[e.ID]; ok || !p.isReady || e.ID == p.node.id {
			w.fatal("%s sees a second join: %v", p.node.id, e)
		}
		p.there[e.ID] = e.Key
	case Left:
		key, ok := p.there[e.ID]
		if !ok {
			w.fatal("%s sees a second leave: %v", p.node.id, e)
		}
		delete(p.there, e.ID)
		p.checkLeft(e, key)
	case Broadcasted:
		if _, ok := p.there[certs.ID(e.Content.GetSender())]; !ok {
			w.fatal("%s gets a broadcast of %s, who is not there", p.node.id, e.Content.GetSender())
		}
		id := [pb.MessageIDSize]byte(e.Content.GetId())
		p.got[id]++
		if p.got[id] > 1 {
			w.fatal("%s gets a broadcast twice: %v", p.node.id, e)
		}
		prefix, counter := string(id[:8]), binary.BigEndian.Uint64(id[8:])
		if counter <= p.last[prefix] {
			w.fatal("%s gets a broadcast out of order: %v", p.node.id, e)
		}
		p.last[prefix] = counter
	}
}

// checkLeft judges an event at once: a living peer that nothing has ever cut off is never lost.
func (p *process) checkLeft(e Left, key certs.PublicKey) {
	w := p.node.world
	// Whose links have just been ended for its lies misses what was said meanwhile.
	expelled := p.hostile && p.expelled > 0 && w.now < p.expelled+time.Second
	if !w.strict || p.jumpy || expelled {
		return
	}
	for _, n := range w.nodes {
		if n.id != e.ID || n.identity.Key() != key {
			continue
		}
		q := n.process
		if q != nil && !q.leaving && !q.jumpy && !q.hostile && len(n.runs) == 1 {
			w.fatal("%s sees %v, who is there", p.node.id, e)
		}
	}
}

// crash kills the process: nothing is sent any more.
func (p *process) crash() {
	p.node.world.note(p.node.id, "crash")
	p.dead, p.crashed, p.stopped = true, true, p.node.world.now
	p.ends = nil
	p.node.process = nil
}

// leave is a graceful exit.
func (p *process) leave() {
	p.node.world.note(p.node.id, "leave")
	p.core.Step(p.node.world.now, Leave{})
	p.drain()
	p.exit()
}

// exit ends the process once its links are closed.
func (p *process) exit() {
	if p.leaving || p.dead {
		return
	}
	w := p.node.world
	p.leaving, p.stopped = true, w.now
	for _, e := range slices.Clone(p.ends) {
		e.close(CloseBye, "exit")
	}
	deadline := w.now + 3*time.Second
	var wait func()
	wait = func() {
		switch {
		case p.dead:
		case len(p.ends) == 0 || w.now >= deadline:
			p.dead = true
			p.node.process = nil
		default:
			w.at(w.now+10*time.Millisecond, wait)
		}
	}
	wait()
}

// freeze stops the process for a while, as a laptop's lid does.
func (p *process) freeze(d time.Duration) {
	w := p.node.world
	w.note(p.node.id, "freeze", d)
	p.frozen = true
	w.at(w.now+d, func() {
		if p.dead {
			return
		}
		w.note(p.node.id, "thaw")
		p.frozen = false
		for _, e := range slices.Clone(p.ends) {
			e.deliver()
		}
		waiting := p.inbox
		p.inbox = nil
		for _, do := range waiting {
			p.input(do)
		}
	})
}

// broadcast sends a message to everyone and notes who must get it.
func (p *process) broadcast(body string) {
	w := p.node.world
	id := p.core.Step(w.now, Broadcast{Body: body, SentAt: int64(w.now)}).Message
	b := &sentBroadcast{id: id, at: w.now, author: p}
	for _, q := range w.living() {
		if _, ok := q.there[p.node.id]; q != p && q.isReady && ok {
			b.must = append(b.must, q)
		}
		if e := p.core.table.get(q.node.id, q.node.identity.Key()); q != p && q.isReady && e != nil && e.record.Epoch == q.epoch {
			b.knows = append(b.knows, q)
		}
	}
	w.sent = append(w.sent, b)
	w.note(p.node.id, "broadcast", body)
	p.drain()
}
