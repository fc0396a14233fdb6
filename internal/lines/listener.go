package lines

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/terminal"
	"quicpeer/overlay"
)

const (
	// Patience is how long a message may keep the next line waiting before it goes to
	// the backlog. A guess: slow receivers rarely take longer, and a person typing
	// hardly notices.
	Patience = 100 * time.Millisecond
	// MaxBacklog is how many messages may wait to be accepted (a guess). When it is
	// full, reading stops until there is room, which blocks the writer of the input.
	MaxBacklog = 256
	// maxBacklogBytes bounds their size (a guess).
	maxBacklogBytes = 8 << 20 // about as much as the longest line
	// maxJoins is how many addresses are joined, peers pinged, files offered and named, at once; a further one
	// blocks the lines behind it.
	maxJoins = 8
)

// Input is a source of lines. After [ErrLong] more lines follow.
type Input interface{ Next() ([]byte, error) }

// Listener executes lines in order, on the goroutine that reads them, as long as
// messages are accepted at once. One that isn't starts a backlog, which a goroutine
// sends in order: further messages queue behind it, while lines that send nothing are
// executed as they come.
type Listener struct {
	node  Node
	front Frontend
	input Input
	typed bool // a person types the lines, and sees which are refused
	log   *slog.Logger
	leave context.CancelCauseFunc // called when writing to standard output fails

	executing sync.Mutex // held while a line is executed

	// Owned by the reading goroutine: how many lines it has read, and a context that
	// the timer cancels.
	read  int
	soon  context.Context
	timer *time.Timer

	mu      sync.Mutex
	backlog []Message // the first is being sent
	bytes   int
	drained chan struct{} // closed when the backlog is empty
	room    chan struct{} // holds a token when there may be room again
	refused Refused

	joins   sync.WaitGroup
	joining chan struct{} // a token for each join and the like in progress
}

// NewListener returns a listener that executes the lines of input on n, as front
// understands them. Refused lines are logged and counted unless they were typed.
// When a write to standard output fails in the background, it calls leave.
func NewListener(n Node, front Frontend, input Input, typed bool, log *slog.Logger, leave context.CancelCauseFunc) *Listener {
	l := &Listener{node: n, front: front, input: input, typed: typed, log: log, leave: leave, drained: make(chan struct{}), room: make(chan struct{}, 1), joining: make(chan struct{}, maxJoins)}
	close(l.drained)
	return l
}

// Listen executes lines until one says to leave or the input ends (nil), or writing
// to standard output fails. At the end of input it waits until every message has been
// accepted or refused. When ctx ends, waiting messages are refused, since the peer is
// leaving.
func (l *Listener) Listen(ctx context.Context) error {
	began := time.Now() // counted from the first read, so that slow joining does not hide a short input
	for ctx.Err() == nil {
		line, err := l.input.Next()
		l.read++
		switch {
		case errors.Is(err, ErrLong):
		case errors.Is(err, io.EOF):
			if ctx.Err() == nil && time.Since(began) < time.Second {
				level := slog.LevelInfo
				if l.read == 1 { // there was nothing to send, so leaving can hardly be meant
					level = slog.LevelWarn
				}
				l.log.Log(ctx, level, "standard input has ended, so this peer leaves; --no-input makes it stay")
			}
			l.await()
			return nil
		case err != nil:
			l.log.Warn("standard input can't be read, so this peer leaves", "error", err)
			l.await()
			return nil
		}
		if leave, err := l.execute(ctx, line, err); leave || err != nil {
			return err
		}
	}
	return nil
}

// execute carries out a line, unless the reader has found a problem with it.
func (l *Listener) execute(ctx context.Context, line []byte, problem error) (leave bool, err error) {
	l.executing.Lock()
	defer l.executing.Unlock()
	var m Message
	if problem == nil {
		m, leave, err = l.front.Execute(ctx, l.node, line)
	}
	if _, ok := errors.AsType[Bad](err); ok {
		problem, err = err, nil
	}
	m.Line, m.number = line, l.read
	if problem != nil {
		return false, l.refuse(m, problem)
	}
	if m.Join != "" {
		return false, l.join(ctx, m)
	}
	if m.Ping != "" {
		return false, l.ping(ctx, m)
	}
	if m.Act.Verb != "" {
		return false, l.act(ctx, m)
	}
	if m.Offer.To != "" {
		return false, l.offer(ctx, m)
	}
	if m.Names != 0 {
		return false, l.names(ctx, m)
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

// try sends a message. It is late, and not accepted, if that takes longer than
// Patience or ctx ends.
func (l *Listener) try(ctx context.Context, m Message) (problem error, late bool) {
	if l.timer == nil {
		soon, cancel := context.WithCancel(ctx)
		l.soon, l.timer = soon, time.AfterFunc(Patience, cancel)
	} else {
		l.timer.Reset(Patience)
	}
	problem = m.send(l.soon, l.node)
	if !l.timer.Stop() { // the context has ended, or is about to
		l.timer = nil
	}
	return problem, errors.Is(problem, context.Canceled)
}

// refuse reports a line that was not accepted, if there is a problem. Lines refused
// because the peer is leaving are not counted: the user asked it to leave.
func (l *Listener) refuse(m Message, problem error) error {
	if problem == nil {
		return nil
	}
	leaving := errors.Is(problem, context.Canceled) || errors.Is(problem, overlay.ErrClosed)
	if !l.typed && !leaving {
		why, beginning := Problem(problem, m.IsWide()), Excerpt(certs.HideTickets(string(cut(m.Line, maxQuote))))
		l.log.Warn("a line of standard input was refused", "number", m.number, "line", beginning, "why", why)
		l.mu.Lock()
		if l.refused.Count++; l.refused.Count == 1 || m.number < l.refused.Number {
			l.refused.Number, l.refused.Line, l.refused.Why = m.number, beginning, why
		}
		l.mu.Unlock()
	}
	return l.front.Refuse(m, problem)
}

// Refused counts the lines that were not executed, of an input that was not typed.
type Refused struct {
	Count  int
	Number int // of the first one, as are Line and Why
	Line   string
	Why    string
}

// Refused returns what has been refused so far.
func (l *Listener) Refused() Refused {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// wait appends a message to the backlog as soon as there is room.
func (l *Listener) wait(ctx context.Context, m Message) {
	m.Line = bytes.Clone(cut(m.Line, maxQuote)) // the line is overwritten by the next one
	for !l.add(ctx, m) {
		<-l.room // also soon after ctx has ended
	}
}

// add appends a message to the backlog, and returns false if the backlog is full. The first
// one starts the goroutine that sends them.
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
// empty. Once ctx has ended it refuses them.
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

// advance removes the first message of the backlog and returns the next.
func (l *Listener) advance() (m Message, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes -= l.backlog[0].size()
	l.backlog[0] = Message{} // free its memory
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

// empty returns a channel that is closed once the backlog is empty.
func (l *Listener) empty() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drained
}

// join joins an address in the background, since a dial may take long, while the lines
// behind it are executed.
func (l *Listener) join(ctx context.Context, m Message) error {
	return l.background(ctx, m, func(m Message) error {
		id, problem := l.node.Join(ctx, m.Join)
		if problem != nil {
			return l.refuse(m, problem)
		}
		return l.front.Joined(m, id)
	})
}

// background executes a line that takes long.
func (l *Listener) background(ctx context.Context, m Message, do func(Message) error) error {
	select {
	case l.joining <- struct{}{}:
	case <-ctx.Done():
		return l.refuse(m, ctx.Err())
	}
	m.Line = bytes.Clone(cut(m.Line, maxQuote)) // the line is overwritten by the next one
	l.joins.Go(func() {
		terminal.Guarded(func() {
			defer func() { <-l.joining }()
			if err := do(m); err != nil {
				l.leave(err)
			}
		})
	})
	return nil
}

// await waits until every line read so far has been executed or refused.
func (l *Listener) await() {
	<-l.empty()
	l.joins.Wait()
}

// Settled returns a channel that is closed once the current line, and every message
// before it, has been accepted or refused. After the context has ended, only an unread
// standard output can delay that.
func (l *Listener) Settled() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.executing.Lock()
		defer l.executing.Unlock()
		l.await()
	}()
	return done
}
