package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/internal/lines/linestest"
	"quicpeer/internal/terminal"
	"quicpeer/overlay"
)

// joins runs a session at a terminal, and returns what is shown there. Joining takes that long; told is what
// becomes of addresses meanwhile, each failure 0.9 s before the next news.
func joins(t *testing.T, takes time.Duration, change func(*session), told ...overlay.JoinProgress) (shown string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := linestest.New("me")
		s, stderr := newTestSession(n, strings.NewReader("/quit\n"), io.Discard)
		s.options.json = false
		s.console.stderr = &terminal.Stream{}
		change(s)
		s.start = func(ctx context.Context, cfg overlay.Config) (node, error) {
			if cfg.Joining != nil {
				for _, p := range told {
					cfg.Joining(p)
					if p.Why != "" {
						time.Sleep(900 * time.Millisecond)
					}
				}
			}
			select {
			case <-time.After(takes):
				return n, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if err := s.run(t.Context()); err != nil {
			t.Error(err)
		}
		shown = stderr.String()
	})
	return shown
}

func trying(address string) overlay.JoinProgress { return overlay.JoinProgress{Address: address} }

func failed(address, why string) overlay.JoinProgress {
	return overlay.JoinProgress{Address: address, Why: why}
}

const whatToCheck = "joining: still trying. Is the address right, does a peer run there, and does its firewall let UDP in on that port? quicpeer doctor checks this machine; Ctrl-C gives up\n"

func TestJoiningIsShown(t *testing.T) {
	unchanged := func(*session) {}
	// Failures before the first line come behind it, each once, with nothing in them that moves the cursor.
	got := joins(t, 4*time.Second, unchanged,
		trying("192.0.2.7:5000"), trying("x\x1b[2J:5001"), failed("x\x1b[2J:5001", "the name can't be resolved"),
		failed("192.0.2.7:5000", "no answer"), failed("192.0.2.7:5000", "no answer"), trying("10.0.0.1:1"), trying("10.0.0.1:1"), failed("10.0.0.1:1", "a"))
	want := "joining: trying 192.0.2.7:5000, x\\x1b[2J:5001 …\n" +
		"joining: x\\x1b[2J:5001: the name can't be resolved\n" +
		"joining: 192.0.2.7:5000: no answer\n" +
		"joining: trying 10.0.0.1:1 too\n" +
		"joining: 10.0.0.1:1: a\n" + whatToCheck
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	// No hint follows when a peer has let this one in.
	got = joins(t, time.Minute, unchanged, trying("a:1"), overlay.JoinProgress{Address: "a:1", ID: "alice"})
	want = "joining: trying a:1 …\njoining: alice at a:1 has let this peer in; the network's table is on its way\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got = joins(t, time.Second, unchanged); got != "joining: looking for peers on the LAN …\n" {
		t.Errorf("without addresses: %q", got)
	}
}

// There is a bound to the lines, whatever others say.
func TestJoiningIsShownInFewLines(t *testing.T) {
	var told []overlay.JoinProgress
	for i := range 100 {
		told = append(told, trying(fmt.Sprint("a:", i+1)))
	}
	for i := range 100 {
		told = append(told, failed("a:1", fmt.Sprint("why ", i)))
	}
	got := joins(t, time.Second, func(*session) {}, told...)
	if n := strings.Count(got, "\n"); n != maxJoinLines+2 || !strings.HasPrefix(got, "joining: trying a:1, a:2, a:3, a:4, a:5, a:6, a:7, a:8 and ") {
		t.Errorf("%d lines:\n%s", n, got)
	}
}

// A quick join shows nothing. So does one without a terminal, or for a program.
func TestJoiningIsNotShown(t *testing.T) {
	for name, test := range map[string]struct {
		takes  time.Duration
		change func(*session)
	}{
		"at once":    {joinSilence - 1, func(*session) {}},
		"--json":     {time.Hour, func(s *session) { s.options.json = true; s.console.stdin = strings.NewReader("{\"cmd\":\"leave\"}\n") }},
		"no one":     {time.Hour, func(s *session) { s.console.stderr = nil }},
		"a ticket's": {joinSilence - 1, func(s *session) { s.options.join = []string{testText} }},
	} {
		if got := joins(t, test.takes, test.change, trying("a:1")); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
	service, _ := newTestSession(linestest.New("me"), strings.NewReader(""), io.Discard)
	service.options.json, service.options.noInput, service.console.stderr = false, true, &terminal.Stream{}
	var cfg overlay.Config
	if service.newJoinNews(&cfg); cfg.Joining != nil {
		t.Error("it is shown with --no-input")
	}
	if got := joins(t, time.Second, func(*session) {}, trying(testText)); strings.Contains(got, testText) {
		t.Errorf("a ticket is shown: %q", got)
	}
}

// Ctrl-C ends it at once, also when the terminal takes no more output.
func TestJoiningIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		defer r.Close()
		s, _ := newTestSession(linestest.New("me"), strings.NewReader(""), io.Discard)
		s.options.json = false
		s.console = newConsole(strings.NewReader(""), io.Discard, w, environment())
		s.console.stderr = &terminal.Stream{}
		s.start = func(ctx context.Context, _ overlay.Config) (node, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		began := time.Now()
		if err := s.run(ctx); err != nil || time.Since(began) > 5*time.Second+logPatience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}
