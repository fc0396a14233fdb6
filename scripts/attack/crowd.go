package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
	"quicpeer/transport"
)

// crowdSize is how many peers live.
const crowdSize = 40_000

// crowd: no attack, but a network as large as one would make it: a door with a table of 40,000 peers that
// all answer.
var crowd = &attack{
	name: "crowd", about: "F3 40,000 living", bar: "a newcomer is ready ≤ 10 s, and one by that newcomer",
	hosts: []string{"a", "b"},
	play: func(p *player) error {
		members := make([]*base.Record, crowdSize)
		for i, a := range invent("member", crowdSize) {
			r, err := base.OpenRecord(a.GetRecord())
			if err != nil {
				return err
			}
			members[i] = r
		}
		l := newLiar("door")
		if err := p.open(l); err != nil {
			return err
		}
		d := &crowdDoor{inputs: make(chan core.Input), links: make(map[base.LinkID]*transport.Link), began: time.Now()}
		d.core = core.New(base.Config{
			ID: l.id, Identity: l.identity, Software: "crowd", Epoch: l.epoch, Nonce: l.nonce, Members: members, Features: pb.Features(),
			Addresses: []netip.AddrPort{l.endpoint.Addr()}, Rand: rand.New(rand.NewPCG(1, 2)),
		}, 0)
		go d.accept(p, l)
		p.say("open", map[string]any{"address": l.address()})
		d.run(p)
		return nil
	},
	run: func(s *stage) (string, bool, error) {
		open, err := s.play("open", 2*time.Minute)
		if err != nil {
			return "", false, err
		}
		door, held := open.Field("address"), true
		var took [2]time.Duration
		for i, host := range []string{"a", "b"} {
			began := time.Now()
			p, err := s.start(host, host, "--join", door, "--join-timeout", "60s")
			if err == nil {
				err = p.ready(time.Minute)
			}
			if err != nil {
				return "", false, err
			}
			took[i], door = time.Since(began), p.at
			held = held && took[i] <= 10*time.Second
		}
		s.begin()
		return fmt.Sprintf("ready after %.1f and %.1f s", took[0].Seconds(), took[1].Seconds()), held, nil
	},
}

// crowdDoor drives a core whose members are many: it lets in newcomers, and answers pings of the members.
type crowdDoor struct {
	core   *core.Core
	inputs chan core.Input
	began  time.Time

	mu    sync.Mutex
	links map[base.LinkID]*transport.Link
	last  base.LinkID
}

// accept takes connections, and reads them.
func (d *crowdDoor) accept(p *player, l *liar) {
	for {
		link, err := l.endpoint.Accept(p.ctx)
		if err != nil {
			return
		}
		d.mu.Lock()
		d.last++
		id := d.last
		d.links[id] = link
		d.mu.Unlock()
		go func() {
			var in core.Input = core.Connected{Link: id, Key: link.Peer(), Address: link.RemoteAddr().String()}
			for over := false; !over; {
				select {
				case d.inputs <- in:
				case <-p.ctx.Done():
					return
				}
				_, over = in.(core.Disconnected)
				if m, err := link.Receive(); err != nil {
					in = core.Disconnected{Link: id, Friendly: true, Why: "closed"}
				} else {
					in = core.Received{Link: id, Frame: m}
				}
			}
		}()
	}
}

// link finds a connection.
func (d *crowdDoor) link(id base.LinkID) *transport.Link {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.links[id]
}

// run steps the core until the attack is over.
func (d *crowdDoor) run(p *player) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case in := <-d.inputs:
			if got, ok := in.(core.Received); ok && d.answers(got) {
				continue
			}
			d.core.Step(time.Since(d.began), in)
		case <-ticker.C:
			now := time.Since(d.began)
			for id := range d.last + 1 {
				d.core.Step(now, core.Heard{Link: id, Heard: now})
			}
			d.core.Step(now, core.Tick{})
		case <-p.ctx.Done():
			return
		}
		d.obey(d.core.Drain())
	}
}

// obey does what a door does.
func (d *crowdDoor) obey(out base.Effects) {
	for ; !out.Empty(); out = d.core.Drain() {
		for _, f := range out.Frames {
			if link := d.link(f.Link); link != nil {
				_ = link.Send(f.Data) // the reader notices its end
			}
		}
		for _, c := range out.Closes {
			if link := d.link(c.Link); link != nil {
				link.Abort(transport.CodeBye, c.Text)
			}
		}
		for _, w := range out.Verify {
			d.core.Step(time.Since(d.began), core.Verified{ID: w.ID, Valid: make([]bool, len(w.Claims))})
		}
		for _, dial := range out.Dials {
			d.core.Step(time.Since(d.began), core.DialFailed{Dial: dial.ID, Why: "nobody is there"})
		}
	}
}

// answers answers a ping of a member.
func (d *crowdDoor) answers(in core.Received) bool {
	answer := pong(in.Frame, "door")
	if answer == nil || answer.GetFrom() == "door" {
		return false
	}
	_ = send(d.link(in.Link), answer)
	return true
}
