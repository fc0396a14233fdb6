package core

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// wire connects cores by links that lose nothing and take no time. Only the test makes links:
// peers have no address, so no core dials by itself.
type wire struct {
	t     testing.TB
	now   time.Duration
	peers []*wired
	way   []wireFrame
	// watch sees each frame as it arrives.
	watch func(from, to *wired, m *pb.PeerMessage, size int)
}

// wired is a core on the wire.
type wired struct {
	c      *Core
	id     certs.ID
	last   base.LinkID
	ends   map[base.LinkID]wireEnd
	events []base.Event
	closes []base.Close
	err    error
	deaf   bool // nothing comes in or goes out
}

type wireEnd struct {
	to   *wired
	link base.LinkID
}

type wireFrame struct {
	from, to *wired
	link     base.LinkID // of to
	data     []byte
}

func newWire(t testing.TB) *wire { return &wire{t: t} }

// wireID is the ID of the peer of this number.
func wireID(i int) certs.ID { return certs.ID(fmt.Sprintf("p%d", i)) }

// wireRecord is the JOIN of the peer of this number, whose signature is not judged.
func wireRecord(i int) *base.Record {
	key := testIdentity(uint64(i)).Key()
	return unsigned(&pb.Record{Type: pb.AnnouncementType_JOIN, Id: string(wireID(i)), Key: key[:], Network: "net", Epoch: 1000})
}

// unsigned is a record with a made-up signature.
func unsigned(r *pb.Record) *base.Record {
	payload, err := proto.Marshal(r)
	if err != nil {
		panic(err)
	}
	return base.NewRecord(r, &pb.Signed{Payload: payload, Signature: make([]byte, 64)})
}

// add starts the core of the peer of this number.
func (w *wire) add(i int, change func(*base.Config)) *wired {
	cfg := base.Config{
		ID: wireID(i), Identity: testIdentity(uint64(i)), Network: "net", Epoch: 1000,
		Rand: rand.New(rand.NewPCG(uint64(i), 7)), Verify: func(base.Claim) bool { return true },
	}
	if change != nil {
		change(&cfg)
	}
	p := &wired{c: New(cfg, w.now), id: cfg.ID, ends: make(map[base.LinkID]wireEnd)}
	w.peers = append(w.peers, p)
	w.drain(p)
	return p
}

// network starts n peers that know each other and have no links.
func (w *wire) network(n int) {
	records := make([]*base.Record, n)
	for i := range records {
		records[i] = wireRecord(i)
	}
	for i := range n {
		w.add(i, func(c *base.Config) { c.Members = append(append(c.Members, records[:i]...), records[i+1:]...) })
	}
}

// connect makes a link, and the two neighbours.
func (w *wire) connect(p, q *wired) {
	w.link(p, q)
	p.c.neighbourhood.AskNeighbour(p.c.links.LinkTo(q.c.env.Cfg.Identity.Key()))
	w.drain(p)
	w.deliver()
}

// link makes a link that p has dialled, with a complete handshake.
func (w *wire) link(p, q *wired) {
	d := &link.Dial{Peer: q.id, Key: q.c.env.Cfg.Identity.Key()}
	p.c.reach.StartDial(d)
	p.c.env.Out.Dials = nil
	w.answer(p, q, d.ID)
}

// answer makes the link that a dial has asked for.
func (w *wire) answer(p, q *wired, dial base.DialID) {
	p.last++
	q.last++
	p.ends[p.last], q.ends[q.last] = wireEnd{q, q.last}, wireEnd{p, p.last}
	q.c.Step(w.now, Connected{Link: q.last, Dial: 0, Key: p.c.env.Cfg.Identity.Key(), Address: string(p.id)})
	p.c.Step(w.now, Connected{Link: p.last, Dial: dial, Key: q.c.env.Cfg.Identity.Key(), Address: string(q.id)})
	w.drain(q)
	w.drain(p)
	w.deliver()
}

// between returns the number that the link between two has at p, 0 if there is none.
func (w *wire) between(p, q *wired) base.LinkID {
	for l := p.last; l > 0; l-- {
		if p.ends[l].to == q {
			return l
		}
	}
	return 0
}

// disconnect breaks all links between two.
func (w *wire) disconnect(p, q *wired) {
	for l := w.between(p, q); l != 0; l = w.between(p, q) {
		w.end(p, l, false)
	}
}

func (w *wire) end(p *wired, l base.LinkID, friendly bool) {
	e, ok := p.ends[l]
	if !ok {
		return
	}
	delete(p.ends, l)
	delete(e.to.ends, e.link)
	p.c.Step(w.now, Disconnected{Link: l, Friendly: friendly, Why: "ended"})
	w.drain(p)
	e.to.c.Step(w.now, Disconnected{Link: e.link, Friendly: friendly, Why: "ended"})
	w.drain(e.to)
}

// drain takes what a core wants.
func (w *wire) drain(p *wired) {
	out := p.c.Drain()
	p.events = append(p.events, out.Events...)
	p.closes = append(p.closes, out.Closes...)
	if out.Err != nil {
		p.err = out.Err
	}
	for _, f := range out.Frames {
		if e, ok := p.ends[f.Link]; ok {
			w.way = append(w.way, wireFrame{p, e.to, e.link, f.Data})
		}
	}
	for _, v := range out.Verify {
		valid := make([]bool, len(v.Claims))
		for i, claim := range v.Claims {
			valid[i] = p.c.env.Cfg.Verify(claim)
		}
		p.c.Step(w.now, Verified{ID: v.ID, Valid: valid})
		w.drain(p)
	}
	for _, c := range out.Closes {
		w.deliver()
		w.end(p, c.Link, c.Reason != base.CloseBye)
	}
}

// deliver hands over the frames under way, and those that follow from them.
func (w *wire) deliver() {
	for n := 0; len(w.way) > 0; n++ {
		w.deliverOne()
		if n > 1_000_000 {
			w.t.Fatal("does not end")
		}
	}
}

// deliverOne hands over the next frame under way.
func (w *wire) deliverOne() {
	f := w.way[0]
	w.way = w.way[1:]
	if _, ok := f.to.ends[f.link]; !ok || f.to.deaf || f.from.deaf {
		return
	}
	m, err := decode(f.data)
	if err != nil {
		w.t.Fatalf("%s sends an invalid frame: %v", f.from.id, err)
	}
	if w.watch != nil {
		w.watch(f.from, f.to, m, len(f.data))
	}
	f.to.c.Step(w.now, Received{Link: f.link, Frame: m})
	w.drain(f.to)
}

// pass lets time go by.
func (w *wire) pass(d time.Duration) {
	for until := w.now + d; w.now < until; {
		w.now = min(until, w.now+tickEvery/5)
		for _, p := range w.peers {
			if w.now < p.c.Next() {
				continue
			}
			for l, e := range p.ends {
				if !p.deaf && !e.to.deaf {
					p.c.Step(w.now, Heard{Link: l, Heard: w.now})
				}
			}
			p.c.Step(w.now, Tick{})
			w.drain(p)
		}
		w.deliver()
	}
}

// there reports whether a peer is shown as here.
func (p *wired) there(id certs.ID) bool {
	there := false
	for _, e := range p.events {
		switch e := e.(type) {
		case base.Joined:
			there = there || e.ID == id
		case base.Left:
			there = there && e.ID != id
		}
	}
	return there
}
