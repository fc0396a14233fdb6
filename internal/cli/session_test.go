package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/internal/chat/tui"
	"quicpeer/internal/lines"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

// buffer is a stream that may be written and read concurrently.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *buffer) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Len()
}

// newTestSession returns a JSON session that runs on n, and the buffer with its log.
func newTestSession(n *linestest.Node, stdin io.Reader, stdout io.Writer) (s *session, logs *buffer) {
	logs = &buffer{}
	s = &session{
		options: options{json: true, drain: 5 * time.Second},
		console: newConsole(stdin, stdout, logs, environment()),
		start:   func(context.Context, overlay.Config) (node, error) { return n, nil },
	}
	s.log = slog.New(slog.NewTextHandler(s.console.log, nil))
	return s, logs
}

// names returns the names of the events in JSON lines.
func names(lines string) string {
	var out []string
	for line := range strings.Lines(lines) {
		_, rest, _ := strings.Cut(line, `"event":"`)
		name, _, _ := strings.Cut(rest, `"`)
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func TestSessionToTheEndOfInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := linestest.New("me")
		var out buffer
		s, logs := newTestSession(n, strings.NewReader(`{"cmd":"send","to":"bob","body":"hi"}`+"\nx\n"+`{"cmd":"broadcast","body":"all"}`), &out)
		if e, ok := errors.AsType[*refusedError](s.run(t.Context())); !ok || e.Count != 1 || e.Number != 2 || e.Line != "x" {
			t.Fatalf("%+v", e)
		}
		if got := strings.Join(n.Sent(), "|"); got != "bob: hi|*: all" {
			t.Errorf("sent %q", got)
		}
		got := names(out.String())
		if !strings.HasPrefix(got, "ready ") || !strings.HasSuffix(got, " left") || strings.Count(got, "sent") != 2 || strings.Count(got, "error") != 1 {
			t.Errorf("events: %s", got)
		}
		if !strings.Contains(logs.String(), "level=INFO msg=\"standard input has ended, so this peer leaves; --no-input") {
			t.Errorf("no hint in %q", logs.String())
		}
	})
}

func TestSessionLeaves(t *testing.T) {
	for name, test := range map[string]struct {
		text  bool
		input string
		want  string
	}{
		"by a command": {input: `{"cmd":"leave","ref":"r"}` + "\n" + `{"cmd":"table"}` + "\n", want: `"undelivered":2,"ref":"r"}`},
		"by /quit":     {text: true, input: "/quit\n/table\n", want: "left, 2 messages undelivered"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := linestest.New("me")
				n.Undelivered = 2
				var out buffer
				r, w := io.Pipe() // input doesn't end
				defer r.Close()
				s, _ := newTestSession(n, r, &out)
				s.options.json = !test.text
				go io.WriteString(w, test.input)
				err := s.run(t.Context())
				if e, ok := errors.AsType[*undeliveredError](err); !ok || e.count != 2 {
					t.Errorf("got %v", err)
				}
				if !strings.Contains(out.String(), test.want) || strings.Contains(out.String(), "table") {
					t.Errorf("got %q", out.String())
				}
			})
		})
	}
}

// A signal also works while a command waits to be accepted; the command is then refused.
func TestSessionInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := linestest.New("me")
		n.Full = make(chan struct{})
		var out buffer
		r, w := io.Pipe()
		defer r.Close()
		s, _ := newTestSession(n, r, &out)
		ctx, cancel := context.WithCancel(t.Context())
		go io.WriteString(w, `{"cmd":"send","to":"bob","body":"hi"}`+"\n")
		done := make(chan error)
		go func() { done <- s.run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := names(out.String()); got != "ready error left" {
			t.Errorf("events: %s", got)
		}
	})
}

// A signal while joining ends the run in good order, with nothing written, even if
// starting can't be stopped quickly.
func TestSessionInterruptedWhileJoining(t *testing.T) {
	for name, linger := range map[string]time.Duration{"at once": 0, "slowly": time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out buffer
				s, _ := newTestSession(nil, strings.NewReader(""), &out)
				s.start = func(ctx context.Context, _ overlay.Config) (node, error) {
					<-ctx.Done()
					<-time.After(linger)
					return nil, ctx.Err()
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				begin := time.Now()
				if err := s.run(ctx); err != nil || out.String() != "" {
					t.Errorf("got %v and %q", err, out.String())
				}
				if d := time.Since(begin); d < time.Hour || d > time.Hour+time.Second {
					t.Errorf("it took %v", d)
				}
				<-time.After(linger)
			})
		})
	}
}

func TestSessionFails(t *testing.T) {
	t.Run("to join", func(t *testing.T) {
		s, _ := newTestSession(nil, strings.NewReader(""), io.Discard)
		want := &overlay.UnreachableError{}
		s.start = func(context.Context, overlay.Config) (node, error) { return nil, want }
		if err := s.run(t.Context()); !errors.Is(err, want) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := linestest.New("me")
			var out buffer
			s, _ := newTestSession(n, nil, &out)
			s.options.noInput = true
			time.AfterFunc(time.Hour, func() { n.Fail(overlay.ErrStartedElsewhere) })
			if err := s.run(t.Context()); !errors.Is(err, overlay.ErrStartedElsewhere) {
				t.Errorf("got %v", err)
			}
			if got := names(out.String()); got != "ready" {
				t.Errorf("events: %s", got)
			}
		})
	})
	t.Run("to write", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := linestest.New("me")
			r, w := io.Pipe()
			s, _ := newTestSession(n, nil, w)
			s.options.noInput = true
			r.CloseWithError(syscall.EPIPE)
			err := s.run(t.Context())
			if _, ok := errors.AsType[*lines.OutputError](err); !ok || !errors.Is(err, syscall.EPIPE) || !n.Closed() {
				t.Errorf("got %v, closed: %v", err, n.Closed())
			}
		})
	})
	t.Run("to be read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, w := io.Pipe()
			s, _ := newTestSession(linestest.New("me"), nil, w)
			s.options.noInput = true
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begin := time.Now()
			if err := s.run(ctx); !errors.Is(err, errOutputStuck) || time.Since(begin) != time.Minute+outputPatience {
				t.Errorf("got %v after %v", err, time.Since(begin))
			}
			r.Close()
		})
	})
}

// Input is read only once ready has been written.
func TestSessionReadsOnceReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := linestest.New("me")
		<-n.Queue
		var out buffer
		read := make(chan struct{})
		s, _ := newTestSession(n, readerFunc(func([]byte) (int, error) { close(read); return 0, io.EOF }), &out)
		done := make(chan error)
		go func() { done <- s.run(t.Context()) }()
		synctest.Wait()
		select {
		case <-read:
			t.Fatal("read before ready")
		default:
		}
		n.Queue <- overlay.Ready{ID: "me"}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		<-read
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// A join timeout of 0 means forever.
func TestSessionConfig(t *testing.T) {
	s := &session{options: options{join: []string{"a:1"}, id: "bob", listen: ":1", network: "n", noCustody: true, discover: true, mapPort: true}}
	cfg, err := s.config()
	if err != nil || cfg.JoinTimeout >= 0 || cfg.ID != "bob" || cfg.Listen != ":1" || cfg.Network != "n" || !cfg.NoCustody || !cfg.Discover || !cfg.MapPort || cfg.Software == "" || len(cfg.Join) != 1 {
		t.Errorf("%+v, %v", cfg, err)
	}
	s.options.joinTimeout = time.Second
	if cfg, _ := s.config(); cfg.JoinTimeout != time.Second {
		t.Errorf("%v", cfg.JoinTimeout)
	}
}

// Without input the output is a record, and every line carries the date.
func TestSessionWithoutInputIsDated(t *testing.T) {
	var out buffer
	front, _ := newConsole(nil, &out, io.Discard, environment()).open(options{noInput: true}, tui.Config{}, "")
	if err := front.Show(overlay.PeerJoined{ID: "bob"}); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \* bob joined\n$`).MatchString(out.String()) {
		t.Errorf("printed %q", out.String())
	}
}
