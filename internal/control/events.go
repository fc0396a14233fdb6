package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/internal/jsonl"
	"quicpeer/internal/lines"
	"quicpeer/internal/service"
	"quicpeer/overlay"
)

// position reads a position of the history from a query or a header; 0: there is none.
func position(text, name string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	pos, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s=%q is not a position of the history: positions are 1, 2, 3 and so on", name, text)
	}
	return pos, nil
}

// unknown names a value that a query has and nobody understands.
func unknown(q url.Values, names ...string) error {
	for name := range q {
		known := false
		for _, n := range names {
			known = known || n == name
		}
		if !known {
			return fmt.Errorf("there is no %s=; there are %s", lines.Excerpt(name), strings.Join(names, ", "))
		}
	}
	return nil
}

// eventsQuery is what a request for events asks for.
type eventsQuery struct {
	from uint64
	live bool
	sse  bool
}

func parseEvents(q url.Values, header http.Header) (e eventsQuery, err error) {
	e = eventsQuery{live: true, sse: strings.Contains(header.Get("Accept"), "text/event-stream")}
	if err := unknown(q, "from", "follow"); err != nil {
		return e, err
	}
	if e.from, err = position(q.Get("from"), "from"); err != nil {
		return e, err
	}
	switch follow := q.Get("follow"); follow {
	case "", "true", "1":
	case "false", "0":
		e.live = false
	default:
		return e, fmt.Errorf("follow=%q is not true or false", follow)
	}
	if e.sse { // a browser that comes back
		last, err := position(header.Get("Last-Event-ID"), "Last-Event-ID")
		if err != nil {
			return e, err
		}
		if last != 0 {
			e.from = last + 1
		}
	}
	return e, nil
}

// firstHeader has the position with which an answer begins, if what stood before it, and was asked for, was
// dropped.
const firstHeader = "Quicpeer-First"

// events streams what has happened and what happens.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	q, err := parseEvents(r.URL.Query(), r.Header)
	if err != nil {
		fail(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	kind := "application/x-ndjson"
	if q.sse {
		kind = "text/event-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	if first := s.cfg.Service.First(); q.from != 0 && q.from < first {
		w.Header().Set(firstHeader, fmt.Sprint(first))
		q.from = first
	}
	out := s.writer(w)
	worded := func(pos uint64, line []byte) []byte {
		switch {
		case !q.sse || len(line) == 0:
			return line
		case pos == 0:
			return fmt.Appendf(nil, "data: %s\n", line)
		}
		return fmt.Appendf(nil, "id: %d\ndata: %s\n", pos, line)
	}
	err = s.cfg.Service.Follow(r.Context(), q.from, q.live, heartbeat, func(items []*service.Item) error {
		var b []byte
		for _, i := range items {
			b = append(b, worded(i.Pos, i.Line())...)
		}
		if items == nil && q.sse {
			b = []byte(":\n\n")
		}
		if len(b) == 0 {
			return nil
		}
		_, err := out.Write(b)
		return err
	})
	last := lines.NewOutput(writerFunc(func(line []byte) (int, error) { return out.Write(worded(0, line)) }))
	front := jsonl.New(last, s.cfg.Version)
	behind, isBehind := errors.AsType[*service.BehindError](err)
	ahead, isAhead := errors.AsType[*service.AheadError](err)
	switch {
	case isAhead:
		_ = front.Report(ahead, "ahead")
	case isBehind:
		_ = front.Report(behind, "behind")
	case errors.Is(err, service.ErrStopped):
		if undelivered, ok := s.awaitLeft(r.Context()); ok {
			_ = front.Left(undelivered)
		}
	case err != nil && r.Context().Err() == nil:
		_ = front.Report(err, "failed")
	}
}

// awaitLeft waits, after the last event, for the end of leaving; false: the peer has not left in
// good order.
func (s *Server) awaitLeft(ctx context.Context) (undelivered int, ok bool) {
	select {
	case <-s.gone:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.undelivered, true
	case <-ctx.Done(): // at the end of Close, at the latest
		return 0, false
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// parseHistory reads which messages a request asks for.
func parseHistory(q url.Values, now time.Time) (h overlay.Query, err error) {
	if err := unknown(q, "with", "last", "before", "since", "search"); err != nil {
		return h, err
	}
	h.With, h.Search = certs.ID(q.Get("with")), q.Get("search")
	if h.With != "" {
		if err := lines.CheckReceiver(h.With); err != nil {
			return h, fmt.Errorf("with=%q: %w", h.With, err)
		}
	}
	if last := q.Get("last"); last != "" {
		if h.Last, err = strconv.Atoi(last); err != nil || h.Last < 1 {
			return h, fmt.Errorf("last=%q is not a number of messages", last)
		}
	}
	if h.Before, err = position(q.Get("before"), "before"); err != nil {
		return h, err
	}
	if since := q.Get("since"); since != "" {
		if d, err := time.ParseDuration(since); err == nil && d >= 0 {
			h.Since = now.Add(-d)
		} else if h.Since, err = time.Parse(time.RFC3339, since); err != nil {
			return h, fmt.Errorf("since=%q is neither a time, such as 2026-03-05T12:00:00Z, nor a duration, such as 2h", since)
		}
	}
	return h, nil
}

// history answers with messages of the history.
func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	q, err := parseHistory(r.URL.Query(), time.Now())
	if err != nil {
		fail(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	list, err := s.cfg.Service.Past(r.Context(), q)
	if err != nil {
		fail(w, http.StatusInternalServerError, "failed", err.Error())
		return
	}
	out := lines.NewOutput(s.writer(w))
	if wantsText(r) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_ = chat.New(out, chat.Look{Bare: true, Width: noWidth}).Said("", list) // it fails if the client has gone
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = jsonl.New(out, s.cfg.Version).History(list)
}

// transfers answers with how the transfers stand, or with all names of one.
func (s *Server) transfers(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if err := unknown(q, "file"); err != nil {
		fail(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	text := q.Get("file")
	if text == "" {
		s.answer(w, r, `{"cmd":"files"}`, "/files")
		return
	}
	file, err := strconv.Atoi(text)
	if err != nil || file < 1 {
		fail(w, http.StatusBadRequest, "bad_query", fmt.Sprintf("file=%q is not the number of a file", text))
		return
	}
	t, err := lines.AllNames(r.Context(), s.cfg.Service.Files(), file)
	if err != nil {
		fail(w, http.StatusNotFound, lines.Code(err), err.Error())
		return
	}
	out := lines.NewOutput(s.writer(w))
	if wantsText(r) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_ = chat.New(out, chat.Look{Bare: true, Width: noWidth}).Named(lines.Message{}, t) // it fails if the client has gone
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = jsonl.New(out, s.cfg.Version).Named(lines.Message{}, t)
}
