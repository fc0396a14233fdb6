package control

import (
	"bufio"
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
	"time"

	"quicpeer/internal/chat"
	"quicpeer/internal/chat/edit"
	"quicpeer/internal/chat/tui"
	"quicpeer/internal/lines"
	"quicpeer/internal/service"
	"quicpeer/internal/terminal"
)

// FromTerminal is a line of a request to /v1/terminal.
type FromTerminal struct {
	Keys    []byte `json:"keys,omitempty"` // what was typed
	Width   int    `json:"width,omitempty"`
	Height  int    `json:"height,omitempty"`
	Resumed bool   `json:"resumed,omitempty"` // the terminal goes on after a Suspend
}

// ToTerminal is a line of the answer.
type ToTerminal struct {
	Show    []byte `json:"show,omitempty"`    // to be written to the terminal
	Suspend bool   `json:"suspend,omitempty"` // stop, and say Resumed when it goes on
}

// maxFrame is how long a line of either may be; what is longer comes in several.
const maxFrame = 64 << 10

// remote is a terminal elsewhere.
type remote struct {
	out     *writer
	write   sync.Mutex
	keys    *io.PipeWriter
	resized chan tui.Size
	resumed chan struct{}
	ended   chan struct{}   // closed when nothing more comes from the terminal
	gone    <-chan struct{} // the request has ended
}

// Write shows something.
func (r *remote) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), maxFrame/2)
		if err := r.send(ToTerminal{Show: rest[:n]}); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(b), nil
}

func (r *remote) send(f ToTerminal) error {
	line, err := json.Marshal(f)
	if err != nil {
		return err
	}
	r.write.Lock()
	defer r.write.Unlock()
	_, err = r.out.Write(append(line, '\n'))
	return err
}

// suspend stops the client, and waits until it goes on.
func (r *remote) suspend() {
	if r.send(ToTerminal{Suspend: true}) != nil {
		return
	}
	select {
	case <-r.resumed:
	case <-r.ended:
	case <-r.gone:
	}
}

// read passes on what comes from the terminal, until it ends.
func (r *remote) read(body io.Reader) {
	defer close(r.ended)
	defer r.keys.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 4<<10), 2*maxFrame)
	for lines.Scan() {
		var f FromTerminal
		if json.Unmarshal(lines.Bytes(), &f) != nil {
			return
		}
		if isSize(f.Width, f.Height) {
			select {
			case <-r.resized: // an older one
			default:
			}
			r.resized <- tui.Size{Width: f.Width, Height: f.Height}
		}
		if f.Resumed {
			select {
			case r.resumed <- struct{}{}:
			default:
			}
		}
		if len(f.Keys) == 0 {
			continue
		}
		if _, err := r.keys.Write(f.Keys); err != nil {
			return
		}
	}
}

// maxCells is the area of a terminal, in characters (a guess: twice that of the largest screens with tiny
// letters): full screen costs some hundred bytes for each.
const maxCells = 400_000

func isSize(width, height int) bool {
	return width > 0 && width <= maxWidth && height > 0 && height <= maxWidth && width*height <= maxCells
}

// parseTerminal reads how a terminal looks.
func parseTerminal(q url.Values) (cfg tui.Config, err error) {
	if err := unknown(q, "width", "height", "term", "colour", "full", "home"); err != nil {
		return cfg, err
	}
	width, height := q.Get("width"), q.Get("height")
	cfg.Size.Width, _ = strconv.Atoi(width)
	cfg.Size.Height, _ = strconv.Atoi(height)
	if !isSize(cfg.Size.Width, cfg.Size.Height) { // or not a number
		return cfg, fmt.Errorf("width=%q and height=%q are not the size of a terminal", width, height)
	}
	cfg.Term, cfg.Home = q.Get("term"), q.Get("home")
	if cfg.Colour, err = parseFlag(q, "colour"); err == nil {
		cfg.Full, err = parseFlag(q, "full")
	}
	return cfg, err
}

// terminal is the chat on a terminal elsewhere: keys come in, and what the terminal is to show goes out.
func (s *Server) terminal(w http.ResponseWriter, r *http.Request) {
	cfg, err := parseTerminal(r.URL.Query())
	if err != nil {
		fail(w, http.StatusBadRequest, "bad_query", err.Error())
		return
	}
	out, ok := s.duplex(w, "application/x-ndjson")
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	keys, typed := io.Pipe()
	defer keys.Close()
	far := &remote{out: out, keys: typed, resized: make(chan tui.Size, 1), resumed: make(chan struct{}, 1), ended: make(chan struct{}), gone: ctx.Done()}
	status := s.cfg.Service.Status()
	cfg.Self, cfg.Key, cfg.Node, cfg.Inputs = status.ID, status.Key, s.cfg.Service, s.inputs()
	cfg.Keys, cfg.Out, cfg.Resized, cfg.Suspend, cfg.Bye, cfg.Now = keys, far, far.resized, far.suspend, "detaches", time.Now
	screen := tui.New(cfg)
	front := chat.NewOn(screen, cfg.Colour)
	front.Home, front.Turned, front.Parted = cfg.Home, screen.Turned, screen.Parted
	screen.Front(front.Front)
	screen.Edits(front.Edited.Set)
	var running sync.WaitGroup
	running.Go(func() { terminal.Guarded(func() { far.read(r.Body) }) })
	running.Go(func() { s.listen(ctx, cancel, front, screen) })
	running.Go(func() {
		defer cancel()
		s.showOn(ctx, front)
	})
	_ = screen.Run(ctx) // its end says that the user has left, or that the request has ended
	screen.Finish(nil)
	cancel()
	_ = keys.Close()
	_ = out.control.SetReadDeadline(time.Now()) // ends a read of the body
	running.Wait()
}

// listen executes what is typed at a terminal. /quit has the peer leave.
func (s *Server) listen(ctx context.Context, cancel func(), front lines.Frontend, input lines.Input) {
	typed := &endedInput{Input: input}
	l := lines.NewListener(s.cfg.Service, front, typed, true, slog.New(slog.DiscardHandler), func(error) { cancel() })
	listening, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		<-l.Settled()
	}()
	if err := l.Listen(listening); err == nil && !typed.ended && ctx.Err() == nil {
		s.cfg.Leave()
		for { // what is typed meanwhile comes too late; the end follows
			if _, err := typed.Next(); err != nil {
				return
			}
		}
	}
}

// endedInput remembers whether the input has ended.
type endedInput struct {
	lines.Input
	ended bool
}

func (e *endedInput) Next() ([]byte, error) {
	line, err := e.Input.Next()
	e.ended = e.ended || errors.Is(err, io.EOF)
	return line, err
}

// showOn shows a terminal what was said last, and what happens until ctx ends or the peer has left. It
// reads on when all that it has read was shown.
func (s *Server) showOn(ctx context.Context, front *chat.Frontend) {
	since, seen := s.cfg.Service.Attach()
	defer s.cfg.Service.Detach()
	begun := false
	err := s.cfg.Service.Follow(ctx, 0, true, heartbeat, func(items []*service.Item) error {
		shown := make(chan struct{}, len(items))
		for _, i := range items {
			if err := front.ShowThen(i.Event, func() { shown <- struct{}{} }); err != nil {
				return err
			}
		}
		for range items {
			select {
			case <-shown:
			case <-ctx.Done():
				return ctx.Err()
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

// inputs is what was typed before, of all terminals.
func (s *Server) inputs() *edit.Inputs {
	if s.cfg.Inputs != nil {
		return s.cfg.Inputs
	}
	return &edit.Inputs{}
}
