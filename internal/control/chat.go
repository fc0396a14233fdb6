package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"quicpeer/internal/chat"
	"quicpeer/internal/lines"
	"quicpeer/internal/service"
)

// Typed is a line of a request to /v1/chat: something typed, or that the terminal has another
// width now.
type Typed struct {
	Line  []byte `json:"line"` // as it was typed, UTF-8 or not; null: nothing was
	Width int    `json:"width,omitempty"`
}

// maxWidth is the widest terminal.
const maxWidth = 10000

// look is how the terminal of a client looks.
type look struct {
	chat.Look
	follow bool
	width  atomic.Int64
}

func parseLook(q url.Values) (*look, error) {
	l := &look{}
	l.Look.Width = func() int { return int(l.width.Load()) }
	if err := unknown(q, "terminal", "colour", "dated", "follow", "width"); err != nil {
		return nil, err
	}
	for name, to := range map[string]*bool{"terminal": &l.Terminal, "colour": &l.Colour, "dated": &l.Dated, "follow": &l.follow} {
		var err error
		if *to, err = parseFlag(q, name); err != nil {
			return nil, err
		}
	}
	if width := q.Get("width"); width != "" {
		n, err := strconv.Atoi(width)
		if err != nil || n < 0 || n > maxWidth {
			return nil, fmt.Errorf("width=%q is not the width of a terminal", width)
		}
		l.width.Store(int64(n))
	}
	return l, nil
}

func parseFlag(q url.Values, name string) (bool, error) {
	switch value := q.Get(name); value {
	case "", "0", "false":
		return false, nil
	case "1", "true":
		return true, nil
	default:
		return false, fmt.Errorf("%s=%q is not true or false", name, value)
	}
}

// duplex begins an answer that is written while the body of the request is read. It returns false, and has said why, if
// that can't be.
func (s *Server) duplex(w http.ResponseWriter, contentType string) (*writer, bool) {
	out := s.writer(w)
	if err := out.control.EnableFullDuplex(); err != nil {
		fail(w, http.StatusInternalServerError, "failed", err.Error())
		return nil, false
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Connection", "close") // the end may come while the body is read
	w.WriteHeader(http.StatusOK)
	_ = out.control.Flush() // the next write fails as well
	return out, true
}

// chat is the chat front end for a terminal elsewhere: typed lines come in, and what it prints goes
// out, with follow also what happens.
func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	look, err := parseLook(r.URL.Query())
	if err != nil {
		fail(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	out, ok := s.duplex(w, "text/plain; charset=utf-8")
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	front := chat.New(lines.NewOutput(out), look.Look)
	var running sync.WaitGroup
	listen := func() {
		input := &typedLines{Reader: lines.NewReader(r.Body), look: look}
		l := lines.NewListener(s.cfg.Service, front, input, true, slog.New(slog.DiscardHandler), func(error) { cancel() })
		listening, stop := context.WithCancel(ctx)
		defer func() {
			stop()
			<-l.Settled() // what lines have begun writes to this answer
		}()
		if err := l.Listen(listening); err == nil && !input.ended && ctx.Err() == nil {
			s.cfg.Leave()
			if look.follow {
				return // the end follows
			}
		}
		cancel()
	}
	running.Go(listen)
	if look.follow {
		s.show(ctx, front)
	} else {
		s.showLeft(ctx, front)
	}
	cancel()
	_ = out.control.SetReadDeadline(time.Now()) // ends a read of the body
	running.Wait()
}

// show shows a terminal what was said last, and what happens until ctx ends or the peer has left.
func (s *Server) show(ctx context.Context, front *chat.Frontend) {
	since, seen := s.cfg.Service.Attach()
	defer s.cfg.Service.Detach()
	begun := false
	err := s.cfg.Service.Follow(ctx, 0, true, heartbeat, func(items []*service.Item) error {
		for _, i := range items {
			if err := front.Show(i.Event); err != nil {
				return err
			}
		}
		if begun {
			return nil
		}
		begun = true
		return front.Earlier(ctx, s.cfg.Service, since, seen)
	})
	behind, isBehind := errors.AsType[*service.BehindError](err)
	switch {
	case isBehind:
		_ = front.Refuse(lines.Message{}, behind)
	case errors.Is(err, service.ErrStopped):
		s.showLeft(ctx, front)
	}
}

// showLeft waits for the end of leaving, and shows it. It fails if the client has gone.
func (s *Server) showLeft(ctx context.Context, front *chat.Frontend) {
	if undelivered, ok := s.awaitLeft(ctx); ok {
		_ = front.Left(undelivered)
	}
}

// typedLines is the input of a chat.
type typedLines struct {
	*lines.Reader
	look  *look
	ended bool
}

// Next returns the next line that was typed.
func (t *typedLines) Next() ([]byte, error) {
	for {
		line, err := t.Reader.Next()
		var typed Typed
		if err != nil || json.Unmarshal(line, &typed) != nil {
			t.ended = true
			return nil, io.EOF
		}
		if typed.Width > 0 && typed.Width <= maxWidth {
			t.look.width.Store(int64(typed.Width))
		}
		if typed.Line != nil {
			return typed.Line, nil
		}
	}
}
