// Package replay keeps what a core was told and what it wanted, and tells it to another
// core. A core has no clock and no randomness but what it is given, so one that begins with
// the same configuration and the same seed wants the same again: what has gone wrong once
// goes wrong again, as often as it takes to understand it.
//
// A recording grows without bound, so it is for tests; what a node logs of its last inputs is
// bounded (see package overlay). A file of one has no key in it, but all that was said to the
// peer; who reads it gives the Setup.
package replay

import (
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// Setup is what a core begins with.
type Setup struct {
	Config base.Config // without Rand
	Seed   [32]byte    // of that
	Start  time.Duration
}

// New makes the core.
func (s Setup) New() *core.Core {
	s.Config.Rand = rand.New(rand.NewChaCha8(s.Seed))
	return core.New(s.Config, s.Start)
}

// Recording is what happened to a core since it was made, in order.
type Recording struct {
	Setup Setup
	Steps []Step
}

// Step is an input, or the moment at which the driver asked what the core wants.
type Step struct {
	At    time.Duration
	Input core.Input // nil: the driver asked
	Reply core.Reply // to the input
	Wants string     // the effects, as JSON; empty: none
}

// Told notes an input and its reply.
func (r *Recording) Told(at time.Duration, in core.Input, reply core.Reply) {
	r.Steps = append(r.Steps, Step{At: at, Input: in, Reply: reply})
}

// Wanted notes what came of a Drain, before anything is done with it.
func (r *Recording) Wanted(out base.Effects) {
	r.Steps = append(r.Steps, Step{Wants: inWords(out)})
}

func inWords(out base.Effects) string {
	if out.Empty() {
		return ""
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic("replay: effects that can't be written: " + err.Error())
	}
	return string(b)
}

// Run tells a fresh core what was recorded. The error names the first step at which it
// answers or wants something else.
func (r *Recording) Run() error {
	c := r.Setup.New()
	for i, s := range r.Steps {
		if s.Input == nil {
			if wants := inWords(c.Drain()); wants != s.Wants {
				return fmt.Errorf("step %d: the core wants\n%s\nand wanted\n%s", i, wants, s.Wants)
			}
		} else if reply := c.Step(s.At, s.Input); reply != s.Reply {
			return fmt.Errorf("step %d, at %v: the core answers %+v to %T, and answered %+v", i, s.At, reply, s.Input, s.Reply)
		}
	}
	return nil
}

// written is a step in a file. Messages of the protocol stand beside their input.
type written struct {
	Step
	Message []byte
}

// names registers the inputs with gob.
var names = sync.OnceFunc(func() {
	for _, in := range []core.Input{
		core.Connected{}, core.Received{}, core.Disconnected{}, core.Heard{}, core.Stuck{}, core.Seen{}, core.DialFailed{},
		core.Verified{}, core.Want{}, core.Broadcast{}, core.EnterRoom{}, core.ExitRoom{}, core.Recalled{}, core.Route{}, core.Carry{}, core.Deposit{}, core.Withdraw{}, core.Collect{},
		core.Found{}, core.Join{}, core.Ping{}, core.Moved{}, core.Mapped{}, core.Describe{}, core.Slept{}, core.Leave{}, core.Tick{},
	} {
		gob.Register(in)
	}
})

// Write writes the steps.
func (r *Recording) Write(to io.Writer) error {
	names()
	file := gob.NewEncoder(to)
	for _, s := range r.Steps {
		w := written{Step: s}
		var m proto.Message
		switch in := s.Input.(type) {
		case core.Received:
			m, w.Input = in.Frame, core.Received{Link: in.Link}
		case core.Deposit:
			m, w.Input = in.Deposit, core.Deposit{}
		case core.Collect:
			m, w.Input = in.Collected, core.Collect{Holder: in.Holder}
		}
		if m != nil {
			var err error
			if w.Message, err = proto.Marshal(m); err != nil {
				return err
			}
		}
		if err := file.Encode(w); err != nil {
			return err
		}
	}
	return nil
}

// Read reads what Write has written.
func Read(from io.Reader) (*Recording, error) {
	names()
	file, r := gob.NewDecoder(from), new(Recording)
	for {
		var w written
		if err := file.Decode(&w); err == io.EOF {
			return r, nil
		} else if err != nil {
			return nil, err
		}
		var err error
		switch in := w.Input.(type) {
		case core.Received:
			in.Frame = new(pb.PeerMessage)
			w.Input, err = in, proto.Unmarshal(w.Message, in.Frame)
		case core.Deposit:
			in.Deposit = new(pb.Deposit)
			w.Input, err = in, proto.Unmarshal(w.Message, in.Deposit)
		case core.Collect:
			in.Collected = new(pb.Collected)
			w.Input, err = in, proto.Unmarshal(w.Message, in.Collected)
		}
		if err != nil {
			return nil, err
		}
		r.Steps = append(r.Steps, w.Step)
	}
}
