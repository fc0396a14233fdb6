package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

// running is a session whose input the test writes.
type running struct {
	n      *linestest.Node
	in     *io.PipeWriter
	out    *buffer
	signal func()
	ended  chan error
}

func startSession(t *testing.T, n *linestest.Node, text bool) *running {
	r, w := io.Pipe()
	run := &running{n: n, in: w, out: &buffer{}, ended: make(chan error, 1)}
	s, _ := newTestSession(n, r, run.out)
	s.options.json = !text
	ctx, cancel := context.WithCancel(t.Context())
	run.signal = cancel
	go func() { run.ended <- s.run(ctx); r.Close() }()
	synctest.Wait()
	return run
}

// write writes lines, as far as they are read at once, and the rest in the background.
func (r *running) write(lines ...string) {
	go io.WriteString(r.in, strings.Join(lines, "\n")+"\n")
	synctest.Wait()
}

// refs returns the events with a ref since the last call, as "name ref".
func (r *running) refs() string {
	synctest.Wait()
	var out []string
	for _, m := range regexp.MustCompile(`"event":"([a-z_]+)".*"ref":"([^"]+)"`).FindAllStringSubmatch(r.out.String(), -1) {
		out = append(out, m[1]+" "+m[2])
	}
	r.out.mu.Lock()
	defer r.out.mu.Unlock()
	r.out.b.Reset()
	return strings.Join(out, ", ")
}

func send(to, ref string) string {
	return fmt.Sprintf(`{"cmd":"send","to":%q,"body":"b %s","ref":%q}`, to, ref, ref)
}

// A message that isn't accepted delays other commands only for a moment, and further
// messages until it is accepted.
func TestListenGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := linestest.New("me")
		n.Full, n.Stuck = make(chan struct{}), "bob"
		r := startSession(t, n, false)
		r.write(send("carol", "1"), send("bob", "2"), `{"cmd":"table","ref":"3"}`, send("carol", "4"),
			`{"cmd":"dance","ref":"5"}`, `{"cmd":"broadcast","body":"b","ref":"6"}`, send("me", "7"), `{"cmd":"buffer","ref":"8"}`)
		if got := r.refs(); got != "sent 1" {
			t.Errorf("at once: %s", got)
		}
		time.Sleep(lines.Patience - 1)
		if got := r.refs(); got != "" {
			t.Errorf("before the time: %s", got)
		}
		time.Sleep(time.Nanosecond)
		if got := r.refs(); got != "table 3, error 5, buffer 8" {
			t.Errorf("then: %s", got)
		}
		time.Sleep(time.Hour)
		r.write(`{"cmd":"table","ref":"9"}`)
		if got := r.refs(); got != "table 9" {
			t.Errorf("later: %s", got)
		}
		close(n.Full)
		synctest.Wait()
		if got := strings.Join(n.Sent(), ", "); got != "carol: b 1, bob: b 2, carol: b 4, *: b" {
			t.Errorf("sent: %s", got)
		}
		if got := r.refs(); strings.ReplaceAll(strings.ReplaceAll(got, "error 7", ""), ", ", "") != "sent 2sent 4sent 6" || !strings.Contains(got, "error 7") {
			t.Errorf("with room: %s", got)
		}
		r.write(send("bob", "10"), `{"cmd":"table","ref":"11"}`)
		if got := r.refs(); got != "sent 10, table 11" && got != "table 11, sent 10" {
			t.Errorf("afterwards: %s", got)
		}
		n.Full = make(chan struct{})
		r.write(send("bob", "12"), `{"cmd":"table","ref":"13"}`)
		time.Sleep(lines.Patience - 1)
		if got := r.refs(); got != "" {
			t.Errorf("the second time, before the time: %s", got)
		}
		time.Sleep(time.Nanosecond)
		if got := r.refs(); got != "table 13" {
			t.Errorf("the second time: %s", got)
		}
		close(n.Full)
		r.in.Close()
		if e, ok := errors.AsType[*refusedError](<-r.ended); !ok || e.Count != 2 || e.Number != 5 {
			t.Errorf("%+v", e)
		}
	})
}

// The backlog is bounded in messages and in bytes. When it is full, reading stops, and
// resumes as soon as one message has been accepted.
func TestListenStopsReading(t *testing.T) {
	for name, test := range map[string]struct{ size, wait int }{
		"messages": {0, lines.MaxBacklog},
		"bytes":    {1 << 20, 7},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := linestest.New("me")
				r := startSession(t, n, false)
				line := `{"cmd":"send","to":"bob","body":"` + strings.Repeat("x", test.size) + `"}`
				for range 2 {
					n.Full = make(chan struct{})
					for range test.wait {
						r.write(line)
						time.Sleep(lines.Patience)
					}
					r.write(`{"cmd":"table","ref":"1"}`)
					if got := r.refs(); got != "table 1" {
						t.Errorf("with %d waiting: %s", test.wait, got)
					}
					r.write(line, `{"cmd":"table","ref":"2"}`)
					time.Sleep(time.Hour)
					if got := r.refs(); got != "" {
						t.Errorf("with one more: %s", got)
					}
					close(n.Full)
					if got := r.refs(); got != "table 2" {
						t.Errorf("with room: %s", got)
					}
				}
				r.in.Close()
				if err := <-r.ended; err != nil || len(n.Sent()) != 2*(test.wait+1) {
					t.Errorf("%v, %d sent", err, len(n.Sent()))
				}
			})
		})
	}
}

// The end of input waits until everything has been accepted, however long that takes.
func TestListenEndOfInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := linestest.New("me")
		n.Full = make(chan struct{})
		r := startSession(t, n, false)
		var want []string
		for i := range 2 * lines.MaxBacklog {
			want = append(want, fmt.Sprint(i))
		}
		go func() {
			for _, ref := range want {
				io.WriteString(r.in, send("bob", ref)+"\n")
			}
			r.in.Close()
		}()
		time.Sleep(24 * time.Hour)
		if got := names(r.out.String()); got != "ready" {
			t.Errorf("events: %s", got)
		}
		close(n.Full)
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		if got := strings.Join(n.Sent(), ","); got != "bob: b "+strings.Join(want, ",bob: b ") {
			t.Errorf("sent: %s", got)
		}
	})
}

// On leaving, all waiting messages are refused, in order and before the last line.
func TestListenLeaves(t *testing.T) {
	for name, leave := range map[string]func(*running){
		"by a command": func(r *running) { r.write(`{"cmd":"leave","ref":"l"}`) },
		"by a signal":  func(r *running) { r.signal() },
		"by a signal behind the end of input": func(r *running) {
			r.in.Close()
			time.Sleep(time.Minute)
			r.signal()
		},
	} {
		for after, waited := range map[string]time.Duration{"": time.Minute, ", at once": 0} {
			t.Run(name+after, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := linestest.New("me")
					n.Full, n.Stuck = make(chan struct{}), "bob"
					n.Undelivered = 1
					r := startSession(t, n, false)
					line := `{"cmd":"send","to":"bob","body":"` + strings.Repeat("ü", 200) + `","ref":"2"}`
					r.write(send("bob", "1"), line, send("carol", "3"))
					time.Sleep(waited)
					leave(r)
					if err := <-r.ended; err == nil {
						t.Error("no undelivered message")
					}
					out := r.out.String()
					want := "ready error error error left"
					if name == "by a signal" && waited == 0 {
						want = "ready error left" // the others weren't read
					}
					if got := names(out); got != want {
						t.Errorf("events: %s", got)
					}
					if got := strings.Count(out, `"error":"this peer is leaving"`); got != strings.Count(want, "error") {
						t.Errorf("the errors: %s", out)
					}
					if strings.Count(want, "error") == 3 && !strings.Contains(out, strings.ReplaceAll(lines.Beginning([]byte(line)), `"`, `\"`)) {
						t.Errorf("the line is not quoted: %s", out)
					}
					if got := r.refs(); !strings.HasPrefix(got, "error 1") || strings.HasPrefix(want, "ready error error") && !strings.HasPrefix(got, "error 1, error 2, error 3") {
						t.Errorf("refs: %s", got)
					}
					if len(n.Sent()) > 0 {
						t.Errorf("sent: %q", n.Sent())
					}
					r.in.Close()
				})
			})
		}
	}
}

// That includes the one for which the backlog had no room.
func TestListenLeavesWithFullBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := linestest.New("me")
		n.Full = make(chan struct{})
		r := startSession(t, n, false)
		for i := range lines.MaxBacklog + 1 {
			r.write(send("bob", fmt.Sprint(i)))
			time.Sleep(lines.Patience)
		}
		r.signal()
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		if got := names(r.out.String()); got != "ready"+strings.Repeat(" error", lines.MaxBacklog+1)+" left" {
			t.Errorf("events: %s", got)
		}
		r.in.Close()
	})
}

func TestListenTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := linestest.New("me")
		n.Full = make(chan struct{})
		r := startSession(t, n, true)
		r.write("@bob hello", "and all", "/buffer", "/peers", "/nonsense", "/quit")
		if e, ok := errors.AsType[*refusedError](<-r.ended); !ok || e.Count != 1 || e.Number != 5 {
			t.Errorf("%+v", e) // those that are refused because of the leaving don't count
		}
		out := regexp.MustCompile(`(?m)^[0-9:]{8} `).ReplaceAllString(r.out.String(), "")
		_, out, _ = strings.Cut(out, "\n") // ready
		if want := "* no messages are waiting\n* nobody else is here\n" +
			"? there is no command /nonsense; /help lists them, and a text that begins with / is typed with //\n" +
			"? not sent (this peer is leaving): hello\n? not sent (this peer is leaving): and all\n* left\n"; out != want {
			t.Errorf("got  %q\nwant %q", out, want)
		}
		r.in.Close()
	})
}

// hesitant is a node that takes its time for some messages.
type hesitant struct {
	*linestest.Node
	r *rand.Rand // used by one Post at a time
}

func (n hesitant) hesitate(ctx context.Context) error {
	if n.r.IntN(4) > 0 {
		return nil
	}
	select {
	case <-time.After(time.Duration(n.r.Int64N(int64(3 * lines.Patience)))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n hesitant) Post(ctx context.Context, to certs.ID, d overlay.Draft) (overlay.MessageID, error) {
	if err := n.hesitate(ctx); err != nil {
		return overlay.MessageID{}, err
	}
	return n.Node.Post(ctx, to, d)
}

// However long a node takes, every line is executed once; messages keep their order, and
// so do answers.
func TestListenKeepsTheOrder(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			n := hesitant{linestest.New("me"), rand.New(rand.NewPCG(seed, 1))}
			var lines, messages, answers []string
			for i := range 400 {
				ref := fmt.Sprint(i)
				switch r.IntN(4) {
				case 0:
					lines = append(lines, `{"cmd":"table","ref":"`+ref+`"}`)
					answers = append(answers, ref)
				case 1:
					lines = append(lines, `{"cmd":"broadcast","body":"b `+ref+`","ref":"`+ref+`"}`)
					messages = append(messages, "*: b "+ref)
				default:
					lines = append(lines, send("bob", ref))
					messages = append(messages, "bob: b "+ref)
				}
			}
			var out buffer
			s, _ := newTestSession(nil, strings.NewReader(strings.Join(lines, "\n")), &out)
			s.start = func(context.Context, overlay.Config) (node, error) { return n, nil }
			if err := s.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Join(n.Sent(), "\n"), strings.Join(messages, "\n"); got != want {
				t.Errorf("seed %d: sent\n%s\nwant\n%s", seed, got, want)
			}
			var got []string
			for _, m := range regexp.MustCompile(`"event":"table".*"ref":"([^"]+)"`).FindAllStringSubmatch(out.String(), -1) {
				got = append(got, m[1])
			}
			if strings.Join(got, " ") != strings.Join(answers, " ") {
				t.Errorf("seed %d: answers %v\nwant %v", seed, got, answers)
			}
			if got := strings.Count(out.String(), "\n"); got > 2+len(lines) {
				t.Errorf("seed %d: %d events for %d lines", seed, got, len(lines))
			}
		})
	}
}

// A join reports which peer has let this one in. The lines behind it don't wait for that;
// the end of input does.
func TestJoinLines(t *testing.T) {
	for _, test := range []struct {
		json  bool
		lines string
		want  string
	}{
		{false, "/join door:1\n", "* joined door at door:1\n"},
		{true, `{"cmd":"join","address":"door:1","ref":"7"}` + "\n", `"address":"door:1","id":"door","ref":"7"}`},
		{false, strings.Repeat("/join slow:1\n", 3) + "/quit\n", "? this peer is leaving\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := linestest.New("me")
			var out buffer
			s, _ := newTestSession(n, strings.NewReader(test.lines), &out)
			s.options.json = test.json
			if err := s.run(t.Context()); err != nil {
				t.Error(err)
			}
			if !strings.Contains(out.String(), test.want) {
				t.Errorf("%q: printed %s, want %s", test.lines, out.String(), test.want)
			}
		})
	}
}
