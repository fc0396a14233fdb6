package lines

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"quicpeer/internal/terminal"
	"quicpeer/overlay"
)

const (
	// Patience is how long the next line waits for a message to be accepted. A
	// guess: a slow receiver is rarely so late, and somebody who types hardly notices.
	Patience = 100 * time.Millisecond
	// MaxBacklog is how many messages may wait behind one that is not accepted (a
	// guess). Then reading stops until there is room, which holds up whoever writes
	// the input.
	MaxBacklog = 256
	// maxBacklogBytes bounds what they hold (a guess).
	maxBacklogBytes = 8 << 20 // about as much as the longest line
	// So many addresses are joined at once; the line after them waits, and those behind it.
	maxJoins = 8
)

// Input is where lines come from. An [ErrLong] is followed by more lines.
type Input interface{ Next() ([]byte, error) }

// Listener obeys lines, in their order and on the goroutine that reads them, as
// long as messages are accepted at once. One that isn't becomes the first of a
// backlog, which a goroutine sends in order: further messages wait behind it,
// while lines that send nothing are obeyed as they come.
type Listener struct {
	node    Node
	speaker Speaker
	input   Input
	typed   bool // somebody has typed the lines, and seen which were refused
	log     *slog.Logger
	leave   context.CancelCauseFunc // called when standard output is broken

	obeying sync.Mutex // held while a line is obeyed

	// Of the goroutine that reads: how many lines it has read, and a context that
	// the timer ends.
	read  int
	soon  context.Context
	timer *time.Timer

	mu      sync.Mutex
	backlog []Message // the first is being sent
	bytes   int
	drained chan struct{} // closed when the backlog is empty
	room    chan struct{} // holds a token when the backlog may have got room
	refused Refused

	joins   sync.WaitGroup
	joining chan struct{} // a token for each
}

// NewListener makes a listener that has n obey the lines of input, which the speaker
// understands. Of lines that were not typed those that are refused are logged and
// counted. It calls leave when standard output turns out to be broken later.
func NewListener(n Node, speaker Speaker, input Input, typed bool, log *slog.Logger, leave context.CancelCauseFunc) *Listener {
	l := &Listener{node: n, speaker: speaker, input: input, typed: typed, log: log, leave: leave, drained: make(chan struct{}), room: make(chan struct{}, 1), joining: make(chan struct{}, maxJoins)}
	close(l.drained)
	return l
}

// Listen obeys lines until one of them, or their end, says to leave (nil), or
// standard output is broken. At the end of input every message has been accepted
// or refused, unless ctx has ended: by that those that wait are refused, since
// this peer is leaving.
func (l *Listener) Listen(ctx context.Context) error {
	began := time.Now() // reading, so that a long joining does not hide a short input
	for ctx.Err() == nil {
		line, err := l.input.Next()
		l.read++
		switch {
		case errors.Is(err, ErrLong):
		case errors.Is(err, io.EOF):
			if ctx.Err() == nil && time.Since(began) < time.Second {
				l.log.Info("standard input has ended, so this peer leaves; --no-input makes it stay")
			}
			l.await()
			return nil
		case err != nil:
			l.log.Warn("standard input can't be read, so this peer leaves", "error", err)
			l.await()
			return nil
		}
		if leave, err := l.obey(ctx, line, err); leave || err != nil {
			return err
		}
	}
	return nil
}

// obey does what a line says, unless a problem with it is known already.
func (l *Listener) obey(ctx context.Context, line []byte, problem error) (leave bool, err error) {
	l.obeying.Lock()
	defer l.obeying.Unlock()
	var m Message
	if problem == nil {
		m, leave, err = l.speaker.Obey(l.node, line)
	}
	if bad, ok := errors.AsType[Bad](err); ok {
		problem, err = bad, nil
	}
	m.Line, m.number = line, l.read
	if problem != nil {
		return false, l.refuse(m, problem)
	}
	if m.Join != "" {
		return false, l.join(ctx, m)
	}
	if err != nil || m.To == "" {
		return leave, err
	}
	select {
	case <-l.empty():
		problem, late := l.try(ctx, m)
		if !late {
			return false, l.refuse(m, problem)
		}
	default:
	}
	l.wait(ctx, m)
	return false, nil
}

// try sends a message, unless that takes longer than Patience or ctx ends:
// then it is late, and was not accepted.
func (l *Listener) try(ctx context.Context, m Message) (problem error, late bool) {
	if l.timer == nil {
		soon, cancel := context.WithCancel(ctx)
		l.soon, l.timer = soon, time.AfterFunc(Patience, cancel)
	} else {
		l.timer.Reset(Patience)
	}
	problem = m.send(l.soon, l.node)
	if !l.timer.Stop() { // the context has ended, or will in this moment
		l.timer = nil
	}
	return problem, errors.Is(problem, context.Canceled)
}

// refuse tells of a line that was not accepted, if there is a problem. What is
// refused because this peer leaves is not counted: that was asked for.
func (l *Listener) refuse(m Message, problem error) error {
	if problem == nil {
		return nil
	}
	leaving := errors.Is(problem, context.Canceled) || errors.Is(problem, overlay.ErrClosed)
	if !l.typed && !leaving {
		why, beginning := Problem(problem, m.To == overlay.Everyone), Excerpt(string(cut(m.Line, maxQuote)))
		l.log.Warn("a line of standard input was refused", "number", m.number, "line", beginning, "why", why)
		l.mu.Lock()
		if l.refused.Count++; l.refused.Count == 1 || m.number < l.refused.Number {
			l.refused.Number, l.refused.Line, l.refused.Why = m.number, beginning, why
		}
		l.mu.Unlock()
	}
	return l.speaker.Refuse(m, problem)
}

// Refused are the lines of an input that nobody has typed that were not done.
type Refused struct {
	Count  int
	Number int // of the first
	Line   string
	Why    string
}

// Refused returns which lines were refused until now.
func (l *Listener) Refused() Refused {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// wait puts a message behind those that wait, when there is room. If it is the
// first it starts the goroutine that sends them.
func (l *Listener) wait(ctx context.Context, m Message) {
	m.Line = bytes.Clone(cut(m.Line, maxQuote)) // the line goes with the next one
	for !l.add(ctx, m) {
		<-l.room // soon after the end of ctx, too
	}
}

// add is false if there is no room.
func (l *Listener) add(ctx context.Context, m Message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := len(l.backlog) >= MaxBacklog || l.bytes+m.size() > maxBacklogBytes
	if len(l.backlog) > 0 && full {
		return false
	}
	l.backlog = append(l.backlog, m)
	l.bytes += m.size()
	if len(l.backlog) == 1 {
		l.drained = make(chan struct{})
		go terminal.Guarded(func() { l.drain(ctx, m) })
	}
	return true
}

// drain sends the messages of the backlog, of which m is the first, until it is
// empty. At the end of ctx none is accepted any more.
func (l *Listener) drain(ctx context.Context, m Message) {
	for more := true; more; m, more = l.advance() {
		problem := ctx.Err()
		if problem == nil {
			problem = m.send(ctx, l.node)
		}
		if err := l.refuse(m, problem); err != nil {
			l.leave(err)
		}
	}
}

// advance takes the first message off the backlog and returns the one behind it.
func (l *Listener) advance() (m Message, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes -= l.backlog[0].size()
	l.backlog[0] = Message{} // its memory isn't held
	l.backlog = l.backlog[1:]
	select {
	case l.room <- struct{}{}:
	default:
	}
	if len(l.backlog) == 0 {
		close(l.drained)
		return Message{}, false
	}
	return l.backlog[0], true
}

// empty returns a channel that is closed when the backlog is empty.
func (l *Listener) empty() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drained
}

// join has an address joined, which may take as long as a dial, while the lines behind
// are obeyed.
func (l *Listener) join(ctx context.Context, m Message) error {
	select {
	case l.joining <- struct{}{}:
	case <-ctx.Done():
		return l.refuse(m, ctx.Err())
	}
	m.Line = bytes.Clone(cut(m.Line, maxQuote)) // the line goes with the next one
	l.joins.Go(func() {
		terminal.Guarded(func() {
			defer func() { <-l.joining }()
			id, problem := l.node.Join(ctx, m.Join)
			err := l.refuse(m, problem)
			if problem == nil {
				err = l.speaker.Joined(m, id)
			}
			if err != nil {
				l.leave(err)
			}
		})
	})
	return nil
}

// await waits until every line that was read has been done or refused.
func (l *Listener) await() {
	<-l.empty()
	l.joins.Wait()
}

// Settled returns a channel that is closed when the line that is being obeyed,
// and every message before it, has been accepted or refused. After the end of the
// context that only takes somebody who reads standard output.
func (l *Listener) Settled() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.obeying.Lock()
		defer l.obeying.Unlock()
		l.await()
	}()
	return done
}
