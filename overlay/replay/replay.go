// Package replay keeps what a core was told and what it wanted, and tells it to another
// core. A core has no clock and no randomness but what it is given, so one that begins with
// the same configuration and the same seed wants the same again: what has gone wrong once
// goes wrong again, as often as it takes to understand it.
//
// A recording grows without bound, so it is for tests; what a node logs of its last inputs is
// bounded (see package overlay). Package file writes and reads one.
package replay

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
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
