package overlay

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/replay"
	"quicpeer/pb"
)

// driver is all that touches the core: it tells it one thing after the other, each with its
// time, and keeps the last of them for the log.
type driver struct {
	clock
	core      *core.Core
	trail     trail
	recording *replay.Recording // of everything, in tests; else nil
}

// step tells the core that something happens.
func (d *driver) step(in core.Input) core.Reply {
	now := d.now()
	d.trail.remember(now, in)
	reply := d.core.Step(now, in)
	if d.recording != nil {
		d.recording.Told(now, in, reply)
	}
	return reply
}

// drain is what the core wants now.
func (d *driver) drain() core.Effects {
	out := d.core.Drain()
	if d.recording != nil {
		d.recording.Wanted(out)
	}
	return out
}

// told is an input for the core, as it is.
type told struct{ core.Input }

func (t told) handle(l *loop) { l.step(t.Input) }

// Bounds of what is kept for the log: so many inputs, and so many bytes of what is in them.
// Of an input with more than trailPart of these only the size is kept, and nothing of Heard,
// of which there are very many. Guesses.
const (
	trailInputs = 256
	trailBytes  = 64 << 10
	trailPart   = 8 << 10
	trailLine   = 400 // characters of a line in the log
	trailShort  = 16  // lines, where nothing is wrong with us
)

// trail is the last that the core was told.
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

// inputBytes is about what an input holds beside its few fields.
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

// tail is a line for each of the last inputs. What people have said to everyone is left out.
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
