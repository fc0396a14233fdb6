package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/jsonl"
	"quicpeer/internal/lines"
	"quicpeer/internal/service"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

const (
	// maxCommands bounds the command lines of a request.
	maxCommands = 64 << 20
	// maxEarly bounds the events that may belong to a message or a file whose number is not known yet.
	maxEarly = 1024
)

// commands carries out command lines, and answers with the events that they cause until each is
// settled. Events are told apart by the number of their message, not by their ref: two clients may
// have chosen the same.
func (s *Server) commands(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if err := unknown(q, "until"); err != nil {
		fail(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	untilSent := q.Get("until") == "sent"
	if until := q.Get("until"); until != "" && !untilSent {
		fail(w, http.StatusBadRequest, "bad_query", fmt.Sprintf("until=%q: there is until=sent, and without it a command lasts until it is settled", until))
		return
	}
	out := s.writer(w)
	if err := out.control.EnableFullDuplex(); err != nil {
		fail(w, http.StatusInternalServerError, "failed", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	all := lines.NewOutput(out)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	e := newExchange(s.cfg.Service, jsonl.New(all, s.cfg.Version), untilSent)
	e.front.Spools = true
	defer e.watch.Close()
	input := &body{Reader: lines.NewReader(http.MaxBytesReader(w, r.Body, maxCommands))}
	var running sync.WaitGroup
	running.Go(func() {
		defer e.finish()
		l := lines.NewListener(e, e.front, input, true, slog.New(slog.DiscardHandler), func(error) { cancel() })
		listening, stop := context.WithCancel(ctx)
		defer stop()
		if err := l.Listen(listening); err != nil {
			cancel()
		} else if e.front.Leaves() {
			s.cfg.Leave()
			stop()
		}
		<-l.Settled() // what lines have begun writes to this answer
		if input.problem != nil && ctx.Err() == nil {
			_ = e.front.Report(input.problem, "too_long")
		}
	})
	err := e.tell(ctx, all)
	if errors.Is(err, service.ErrStopped) {
		if undelivered, ok := s.awaitLeft(r.Context()); ok {
			_ = e.front.Left(undelivered)
		}
	} else if behind, ok := errors.AsType[*service.BehindError](err); ok {
		_ = e.front.Report(behind, "behind")
	}
	cancel()
	if !e.isFinished() {
		_ = out.control.SetReadDeadline(time.Now()) // ends a read of the body
	}
	running.Wait()
}

// body is an input that ends where the request is too long, or breaks off.
type body struct {
	*lines.Reader
	problem error
}

func (b *body) Next() ([]byte, error) {
	line, err := b.Reader.Next()
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		b.problem = fmt.Errorf("a request can have at most %d bytes of command lines; what comes behind was not done", maxCommands)
		err = io.EOF
	}
	return line, err
}

// subject is what an event is about: a message, or a file.
type subject struct {
	message overlay.MessageID
	file    int
}

// exchange is the commands of a request and what is still to come of them. It is the node on which
// they are carried out, and notes the number of each message and file.
type exchange struct {
	*service.Service
	front     *jsonl.Frontend
	watch     *service.Watch
	untilSent bool
	changed   chan struct{} // holds a token when the exchange may be over

	mu       sync.Mutex
	open     map[subject]bool   // messages and files that are not settled
	offers   map[subject]*offer // the offers among them, by their messages too
	removed  map[removal]bool   // removals that are not reported
	sending  int                // calls that will give a number
	early    []early            // events that may be of these, in their order
	finished bool               // no more commands come
}

// early is an event that has come before the number of what it is about.
type early struct {
	key  subject
	item *service.Item
}

// removal is one that this request asks for.
type removal struct {
	id  certs.ID
	ref string
}

func newExchange(s *service.Service, front *jsonl.Frontend, untilSent bool) *exchange {
	return &exchange{
		Service: s, front: front, watch: s.Watch(), untilSent: untilSent, changed: make(chan struct{}, 1),
		open: map[subject]bool{}, offers: map[subject]*offer{}, removed: map[removal]bool{},
	}
}

func (e *exchange) Post(ctx context.Context, to certs.ID, d overlay.Draft) (overlay.MessageID, error) {
	return e.number(func() (overlay.MessageID, error) { return e.Service.Post(ctx, to, d) })
}

// number sends a message and notes its number. Its first event may have come before.
func (e *exchange) number(send func() (overlay.MessageID, error)) (overlay.MessageID, error) {
	e.calls()
	id, err := send()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sending--
	if err == nil {
		e.open[subject{message: id}] = true
	}
	e.touch()
	return id, err
}

// calls notes a call that will give a number.
func (e *exchange) calls() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sending++
}

// Cancel waits for the message's end, which is reported as its event.
func (e *exchange) Cancel(id overlay.MessageID) error {
	e.mu.Lock()
	key := subject{message: id}
	before := e.open[key]
	e.open[key] = true
	e.mu.Unlock()
	err := e.Service.Cancel(id)
	if err != nil && !before {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.open, key)
		e.touch()
	}
	return err
}

// Remove is reported by its event.
func (e *exchange) Remove(ctx context.Context, id certs.ID, all bool, ref string) error {
	e.mu.Lock()
	e.removed[removal{id, ref}] = true
	e.mu.Unlock()
	err := e.Service.Remove(ctx, id, all, ref)
	if err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.removed, removal{id, ref})
		e.touch()
	}
	return err
}

// offer is an offer of files that a request has made. Its message and its file have events of their own.
type offer struct {
	message       overlay.MessageID
	file          int
	isSent        bool
	isOffered     bool
	untilAccepted bool // that is all that is waited for
}

// settleFiles closes what is settled by an event of files, or of a message that offers some.
func (e *exchange) settleFiles(key subject, event overlay.Event) {
	o := e.offers[key]
	switch event.(type) {
	case overlay.Sent:
		if o != nil {
			o.isSent = true
		}
	case files.Offered:
		if o != nil {
			o.isOffered = true
		}
	case overlay.Failed, files.Done, files.Ended:
		e.drop(key, o)
		return
	}
	if o != nil && o.untilAccepted && o.isSent && o.isOffered {
		e.drop(key, o)
	}
}

func (e *exchange) drop(key subject, o *offer) {
	delete(e.open, key)
	if o == nil {
		return
	}
	for _, key := range []subject{{message: o.message}, {file: o.file}} {
		delete(e.open, key)
		delete(e.offers, key)
	}
}

// finish says that all commands were carried out, but for what is open.
func (e *exchange) finish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.finished = true
	e.touch()
}

func (e *exchange) isFinished() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.finished
}

func (e *exchange) touch() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// tell writes the events of this exchange until nothing is open.
func (e *exchange) tell(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type batch struct {
		items []*service.Item
		err   error
	}
	batches := make(chan batch)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	reading.Go(func() {
		for {
			items, err := e.watch.Next(ctx)
			select {
			case batches <- batch{items, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
	for {
		from := batches
		if e.isFull() {
			from = nil // until the calls have returned
		}
		var b batch
		select {
		case <-e.changed:
		case b = <-from:
		case <-ctx.Done():
			return ctx.Err()
		}
		text, over := e.sort(b.items)
		if len(text) > 0 {
			if _, err := out.Write(text); err != nil {
				return err
			}
		}
		if b.err != nil {
			return b.err
		}
		if over && !e.front.Leaves() {
			return nil
		}
	}
}

func (e *exchange) isFull() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sending > 0 && len(e.early) >= maxEarly
}

// sort returns the lines of the events that belong here, and whether all is settled.
func (e *exchange) sort(items []*service.Item) (text []byte, over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rest := e.early[:0]
	for _, i := range e.early {
		switch {
		case e.isOurs(i.key):
			text = append(text, e.settle(i.key, i.item)...)
		case e.sending > 0:
			rest = append(rest, i)
		}
	}
	clear(e.early[len(rest):])
	e.early = rest
	for _, i := range items {
		key, ok := subjectOf(i.Event)
		r, isRemoval := i.Event.(overlay.Removed)
		switch {
		case isRemoval && e.removed[removal{r.ID, r.Ref}]:
			delete(e.removed, removal{r.ID, r.Ref})
			text = append(text, i.Line()...)
		case !ok:
		case e.isOurs(key):
			text = append(text, e.settle(key, i)...)
		case e.sending > 0:
			e.early = append(e.early, early{key, i})
		}
	}
	return text, e.finished && len(e.open) == 0 && len(e.removed) == 0
}

// isOurs says that a subject is one of this request.
func (e *exchange) isOurs(key subject) bool { return e.open[key] || e.offers[key] != nil }

// settle returns the line of an event, and closes what it is about with the last one.
func (e *exchange) settle(key subject, i *service.Item) []byte {
	switch event := i.Event.(type) {
	case overlay.Sent:
		if e.offers[key] == nil && (e.untilSent || !isDirect(event.To)) {
			delete(e.open, key)
		}
	case overlay.Delivered:
		delete(e.open, key) // an offer's file is open
	}
	e.settleFiles(key, i.Event)
	return i.Line()
}

// isDirect says whether there will be a receipt.
func isDirect(to certs.ID) bool { return to != overlay.Everyone && to[:min(len(to), 1)] != "#" }

// subjectOf is the message or the file of ours that an event is about.
func subjectOf(event overlay.Event) (key subject, ok bool) {
	switch e := event.(type) {
	case overlay.Sent:
		key.message = e.Message
	case overlay.Delivered:
		key.message = e.Message
	case overlay.Buffered:
		key.message = e.Message
	case overlay.Failed:
		key.message = e.Message
	case files.Offered:
		key.file = e.File
	case files.Progress:
		key.file = e.File
	case files.Waits:
		key.file = e.File
	case files.Done:
		key.file = e.File
	case files.Ended:
		key.file = e.File
	default:
		return key, false
	}
	return key, true
}
