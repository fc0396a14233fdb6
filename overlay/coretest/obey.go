package coretest

import (
	"time"

	"quicpeer/overlay/core"
	"quicpeer/pb"
)

// effect is one kind of what a core wants, and what the pretend driver does for it.
type effect struct {
	name string // of the field of core.Effects
	// obey does it, and says how many there were.
	obey func(p *Process, out *core.Effects) int
}

// effects are all of them, in the order of the fields, in which they are to be obeyed. A
// test compares the names, and wants each of them to occur.
var effects = [...]effect{
	{"Epoch", func(p *Process, out *core.Effects) int {
		if out.Epoch == 0 {
			return 0
		}
		p.Epoch, p.Machine.Epoch = out.Epoch, out.Epoch
		return 1
	}},
	{"Events", func(p *Process, out *core.Effects) int {
		for _, e := range out.Events {
			p.see(e)
		}
		p.judgeDoubted()
		return len(out.Events)
	}},
	{"Custody", func(p *Process, out *core.Effects) int {
		for _, c := range out.Custody {
			p.store(c)
		}
		return len(out.Custody)
	}},
	{"Up", func(p *Process, out *core.Effects) int {
		for _, up := range out.Up {
			p.linkUp(up)
		}
		return len(out.Up)
	}},
	{"Frames", func(p *Process, out *core.Effects) int {
		p.sendFrames(out.Frames)
		return len(out.Frames)
	}},
	{"Closes", func(p *Process, out *core.Effects) int {
		for _, c := range out.Closes {
			p.World.hash(traceClose, uint64(p.Index), uint64(c.Link))
			if e := p.End(c.Link); e != nil {
				p.tell("closes", c.Link, e.Other.Process.ID, c.Text)
				e.close(c.Reason, c.Text)
			}
		}
		return len(out.Closes)
	}},
	{"Dials", func(p *Process, out *core.Effects) int {
		for _, d := range out.Dials {
			p.World.hash(traceDial, uint64(p.Index), uint64(d.ID))
			p.tell("dials", d.ID, d.Candidates)
			p.dial(d)
		}
		return len(out.Dials)
	}},
	{"Cancels", func(p *Process, out *core.Effects) int {
		for _, id := range out.Cancels {
			p.tell("cancels", id)
			delete(p.races, id)
		}
		return len(out.Cancels)
	}},
	{"Verify", func(p *Process, out *core.Effects) int {
		p.verify(out.Verify)
		return len(out.Verify)
	}},
	{"Unreachable", func(p *Process, out *core.Effects) int {
		for _, id := range out.Unreachable {
			p.tell("does not reach", id)
			p.again(id, direct)
		}
		return len(out.Unreachable)
	}},
	{"Envelopes", func(p *Process, out *core.Effects) int {
		for _, e := range out.Envelopes {
			p.takeEnvelope(e)
		}
		return len(out.Envelopes)
	}},
	{"Refused", func(p *Process, out *core.Effects) int {
		for _, r := range out.Refused {
			p.World.hash(traceLetter, uint64(p.Index), r.Number)
			p.tell("is refused", r.By, r.Number, r.Reason)
		}
		return len(out.Refused)
	}},
	{"Releave", func(p *Process, out *core.Effects) int {
		for _, id := range out.Releave {
			p.tell("leaves anew what has expired", id)
			p.again(id, left)
		}
		return len(out.Releave)
	}},
	{"Joined", func(p *Process, out *core.Effects) int {
		p.Joined = append(p.Joined, out.Joined...)
		return len(out.Joined)
	}},
	{"Withdrawn", func(p *Process, out *core.Effects) int {
		for _, id := range out.Withdrawn {
			p.tell("leaves anew what stands behind a withdrawn one", id)
			p.again(id, left)
		}
		return len(out.Withdrawn)
	}},
	{"Notes", func(p *Process, out *core.Effects) int {
		for _, n := range out.Notes {
			p.tell(n.Text, n.Args...)
			if p.World.Noted != nil {
				p.World.Noted(p, n)
			}
		}
		return len(out.Notes)
	}},
	{"Err", func(p *Process, out *core.Effects) int {
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

// obey does what the core wants, and whatever follows from that at once.
func (p *Process) obey(out *core.Effects) {
	for i, kind := range p.World.driver {
		if p.Dead {
			return
		}
		p.World.Obeyed[i] += int64(kind.obey(p, out))
	}
	if p.owesDrain {
		p.owesDrain = false
		p.Drain()
	}
	if !p.Dead && p.Core.Next() < p.tickAt-3*time.Millisecond {
		p.planTick(p.World.Between(0, 2*time.Millisecond))
	}
}

// tell adds to the story of the machine.
func (p *Process) tell(what string, args ...any) {
	if p.World.Story != nil {
		p.World.Story(p.Machine, what, args...)
	}
}

// sendFrames puts frames on their links. One for many links is read once.
func (p *Process) sendFrames(list []core.Frame) {
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

func (p *Process) sendFrame(link core.LinkID, x *parcel) {
	w := p.World
	w.hash(traceFrame, uint64(p.Index)<<16|uint64(link), uint64(x.sum))
	e := p.End(link)
	if e == nil || e.closing {
		return
	}
	w.Count.Frames++
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
func (p *Process) verify(wishes []core.Verify) {
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
