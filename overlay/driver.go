package overlay

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/replay"
	"quicpeer/pb"
)

// driver is the only code that touches the core: it steps it with one input after the other,
// each with its time, and keeps the last inputs for the log.
type driver struct {
	clock
	core      *core.Core
	trail     trail
	recording *replay.Recording // of everything, in tests; else nil
}

// step gives the core an input.
func (d *driver) step(in core.Input) core.Reply {
	now := d.now()
	d.trail.remember(now, in)
	reply := d.core.Step(now, in)
	if d.recording != nil {
		d.recording.Told(now, in, reply)
	}
	return reply
}

// drain takes the core's pending effects.
func (d *driver) drain() base.Effects {
	out := d.core.Drain()
	if d.recording != nil {
		d.recording.Wanted(out)
	}
	return out
}

// coreInput is an input that goes to the core unchanged.
type coreInput struct{ core.Input }

func (c coreInput) handle(l *loop) { l.step(c.Input) }

// Bounds of what is kept for the log: the number of inputs, and the bytes of their contents.
// Of an input with more than trailPart bytes only the size is kept, and nothing of Heard,
// which comes very often. Guesses.
const (
	trailInputs = 256
	trailBytes  = 64 << 10
	trailPart   = 8 << 10
	trailLine   = 400 // characters of a line in the log
	trailShort  = 16  // lines, when the fault is not ours
)

// trail holds the last inputs of the core.
type trail struct {
	steps []trailStep
	bytes int
}

type trailStep struct {
	at    time.Duration
	in    core.Input // nil: it was too large
	kind  string     // then
	bytes int
}

func (t *trail) remember(at time.Duration, in core.Input) {
	if _, often := in.(core.Heard); often {
		return
	}
	s := trailStep{at: at, in: in, bytes: inputBytes(in)}
	if s.bytes > trailPart {
		s.in, s.kind = nil, fmt.Sprintf("%T", in)
	} else {
		t.bytes += s.bytes
	}
	t.steps = append(t.steps, s)
	for len(t.steps) > trailInputs || t.bytes > trailBytes {
		if t.steps[0].in != nil {
			t.bytes -= t.steps[0].bytes
		}
		t.steps[0] = trailStep{} // the slice goes on to hold its beginning
		t.steps = t.steps[1:]
	}
}

// inputBytes estimates the size of an input's contents, beside its few fields.
func inputBytes(in core.Input) int {
	switch in := in.(type) {
	case core.Received:
		return proto.Size(in.Frame)
	case core.Broadcast:
		return len(in.Body)
	case core.Route:
		return len(in.Sealed)
	case core.Deposit:
		return proto.Size(in.Deposit)
	case core.Collect:
		return proto.Size(in.Collected)
	case core.Verified:
		return len(in.Valid)
	}
	return 0
}

// tail prints a line for each of the last inputs, without the text of broadcasts.
func (t *trail) tail(most int) string {
	var b strings.Builder
	for _, s := range t.steps[max(0, len(t.steps)-most):] {
		line := s.words()
		if len(line) > trailLine {
			line = line[:trailLine] + "…"
		}
		fmt.Fprintf(&b, "\n%v %s", s.at, strings.ToValidUTF8(line, ""))
	}
	return b.String()
}

func (s trailStep) words() string {
	if s.in == nil {
		return fmt.Sprintf("%s of %d bytes", s.kind, s.bytes)
	}
	switch in := s.in.(type) {
	case core.Broadcast:
		return fmt.Sprintf("%T of %d bytes", in, s.bytes)
	case core.Received:
		if in.Frame.GetType() == pb.PeerMessageType_BROADCAST {
			return fmt.Sprintf("%T on %d: a broadcast of %d bytes", in, in.Link, s.bytes)
		}
	}
	return fmt.Sprintf("%T%+v", s.in, s.in)
}
