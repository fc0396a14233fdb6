package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

const (
	// sendPatience is how long the next line waits for a message to be accepted. A
	// guess: a slow receiver is rarely so late, and somebody who types hardly notices.
	sendPatience = 100 * time.Millisecond
	// What may wait behind a message that is not accepted (guesses). Then reading
	// stops until there is room, which holds up whoever writes the input.
	maxBacklog      = 256
	maxBacklogBytes = 8 << 20 // about as much as the longest line
	// So many addresses are joined at once; the line after them waits, and those behind it.
	maxJoins = 8
)

// message is what a line says to send, or the address that it says to join.
type message struct {
	to     certs.ID // overlay.Everyone: a broadcast; empty: the line is no message
	join   string   // HOST:PORT; empty: it says no such thing
	body   string
	ref    string
	line   []byte // the line or its beginning, for an error that quotes it
	number int    // of the line
}

func (m message) size() int { return len(m.body) + len(m.ref) + len(m.line) }

// send waits until the message is accepted or can't be, or ctx ends.
func (m message) send(ctx context.Context, n node) (err error) {
	if m.to == overlay.Everyone {
		_, err = n.Broadcast(ctx, m.body, m.ref)
	} else {
		_, err = n.Send(ctx, m.to, m.body, m.ref)
	}
	return err
}

// listener obeys lines, in their order and on the goroutine that reads them, as
// long as messages are accepted at once. One that isn't becomes the first of a
// backlog, which a goroutine sends in order: further messages wait behind it,
// while lines that send nothing are obeyed as they come.
type listener struct {
	node   node
	talk   speech
	input  lines
	log    *slog.Logger
	leave  context.CancelCauseFunc // called when standard output is broken
	counts bool                    // refused lines are counted: nobody has seen them while typing

	obeying sync.Mutex // held while a line is obeyed

	// Of the goroutine that reads: how many lines it has read, and a context that
	// the timer ends.
	read  int
	soon  context.Context
	timer *time.Timer

	mu      sync.Mutex
	backlog []message // the first is being sent
	bytes   int
	drained chan struct{} // closed when the backlog is empty
	room    chan struct{} // holds a token when the backlog may have got room
	refused refusedError

	joins   sync.WaitGroup
	joining chan struct{} // a token for each
}

func newListener(n node, talk speech, input lines, log *slog.Logger, leave context.CancelCauseFunc) *listener {
	l := &listener{node: n, talk: talk, input: input, log: log, leave: leave, drained: make(chan struct{}), room: make(chan struct{}, 1), joining: make(chan struct{}, maxJoins)}
	close(l.drained)
	return l
}

// listen obeys lines until one of them, or their end, says to leave (nil), or
// standard output is broken. At the end of input every message has been accepted
// or refused, unless ctx has ended: by that those that wait are refused, since
// this peer is leaving.
func (l *listener) listen(ctx context.Context) error {
	began := time.Now() // reading, so that a long joining does not hide a short input
	for ctx.Err() == nil {
		line, err := l.input.next()
		l.read++
		switch {
		case errors.Is(err, errLongLine):
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
func (l *listener) obey(ctx context.Context, line []byte, problem error) (leave bool, err error) {
	l.obeying.Lock()
	defer l.obeying.Unlock()
	var m message
	if problem == nil {
		m, leave, err = l.talk.obey(l.node, line)
	}
	if bad, ok := errors.AsType[badLine](err); ok {
		problem, err = bad, nil
	}
	m.line, m.number = line, l.read
	if problem != nil {
		return false, l.refuse(m, problem)
	}
	if m.join != "" {
		return false, l.join(ctx, m)
	}
	if err != nil || m.to == "" {
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

// try sends a message, unless that takes longer than sendPatience or ctx ends:
// then it is late, and was not accepted.
func (l *listener) try(ctx context.Context, m message) (problem error, late bool) {
	if l.timer == nil {
		soon, cancel := context.WithCancel(ctx)
		l.soon, l.timer = soon, time.AfterFunc(sendPatience, cancel)
	} else {
		l.timer.Reset(sendPatience)
	}
	problem = m.send(l.soon, l.node)
	if !l.timer.Stop() { // the context has ended, or will in this moment
		l.timer = nil
	}
	return problem, errors.Is(problem, context.Canceled)
}

// refuse tells of a line that was not accepted, if there is a problem. What is
// refused because this peer leaves is not counted: that was asked for.
func (l *listener) refuse(m message, problem error) error {
	if problem == nil {
		return nil
	}
	leaving := errors.Is(problem, context.Canceled) || errors.Is(problem, overlay.ErrClosed)
	if l.counts && !leaving {
		why, beginning := sendProblem(problem, m.to == overlay.Everyone), excerpt(string(cut(m.line, maxInput)))
		l.log.Warn("a line of standard input was refused", "number", m.number, "line", beginning, "why", why)
		l.mu.Lock()
		if l.refused.count++; l.refused.count == 1 || m.number < l.refused.number {
			l.refused.number, l.refused.line, l.refused.why = m.number, beginning, why
		}
		l.mu.Unlock()
	}
	return l.talk.refuse(m, problem)
}

// refusals adds to what the run has come to that lines were refused, if so.
func (l *listener) refusals(outcome error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused.count == 0 {
		return outcome
	}
	e := l.refused
	e.outcome = outcome
	return &e
}

// wait puts a message behind those that wait, when there is room. If it is the
// first it starts the goroutine that sends them.
func (l *listener) wait(ctx context.Context, m message) {
	m.line = bytes.Clone(cut(m.line, maxInput)) // the line goes with the next one
	for !l.add(ctx, m) {
		<-l.room // soon after the end of ctx, too
	}
}

// add is false if there is no room.
func (l *listener) add(ctx context.Context, m message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := len(l.backlog) >= maxBacklog || l.bytes+m.size() > maxBacklogBytes
	if len(l.backlog) > 0 && full {
		return false
	}
	l.backlog = append(l.backlog, m)
	l.bytes += m.size()
	if len(l.backlog) == 1 {
		l.drained = make(chan struct{})
		go guarded(func() { l.drain(ctx, m) })
	}
	return true
}

// drain sends the messages of the backlog, of which m is the first, until it is
// empty. At the end of ctx none is accepted any more.
func (l *listener) drain(ctx context.Context, m message) {
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
func (l *listener) advance() (m message, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes -= l.backlog[0].size()
	l.backlog[0] = message{} // its memory isn't held
	l.backlog = l.backlog[1:]
	select {
	case l.room <- struct{}{}:
	default:
	}
	if len(l.backlog) == 0 {
		close(l.drained)
		return message{}, false
	}
	return l.backlog[0], true
}

// empty returns a channel that is closed when the backlog is empty.
func (l *listener) empty() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drained
}

// join has an address joined, which may take as long as a dial, while the lines behind
// are obeyed.
func (l *listener) join(ctx context.Context, m message) error {
	select {
	case l.joining <- struct{}{}:
	case <-ctx.Done():
		return l.refuse(m, ctx.Err())
	}
	m.line = bytes.Clone(cut(m.line, maxInput)) // the line goes with the next one
	l.joins.Go(func() {
		guarded(func() {
			defer func() { <-l.joining }()
			id, problem := l.node.Join(ctx, m.join)
			err := l.refuse(m, problem)
			if problem == nil {
				err = l.talk.joined(m, id)
			}
			if err != nil {
				l.leave(err)
			}
		})
	})
	return nil
}

// await waits until every line that was read has been done or refused.
func (l *listener) await() {
	<-l.empty()
	l.joins.Wait()
}

// settled returns a channel that is closed when the line that is being obeyed,
// and every message before it, has been accepted or refused. After the end of the
// context that only takes somebody who reads standard output.
func (l *listener) settled() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.obeying.Lock()
		defer l.obeying.Unlock()
		l.await()
	}()
	return done
}
