//go:build !windows

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"quicpeer/internal/hooks"
	"quicpeer/internal/lines/linestest"
	"quicpeer/internal/service"
	"quicpeer/overlay"
)

// What the command prints goes back to the sender, also when the peer leaves meanwhile: before it
// says goodbye.
func TestSessionHook(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	command, err := hooks.Parse(`sh -c 'body=$(cat); echo "begun by $QUICPEER_TO" >&2; read answer <"$1"; echo "$body: $answer"' sh ` + gate)
	if err != nil {
		t.Fatal(err)
	}
	n := linestest.New("me")
	n.Queue <- overlay.Message{From: "bob", To: "me", Body: "hi"}
	r, w := io.Pipe()
	var out buffer
	s, logs := newTestSession(n, r, &out)
	s.options.hook = hookOptions{command: command, reply: true}
	s.options.drain = time.Minute
	go func() {
		for look := time.NewTicker(5 * time.Millisecond); !strings.Contains(logs.String(), `line="begun by me"`); {
			<-look.C
		}
		io.WriteString(w, `{"cmd":"leave"}`+"\n")
		if f, err := os.OpenFile(gate, os.O_WRONLY, 0); err == nil {
			f.WriteString("bye\n")
			f.Close()
		}
	}()
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if got := strings.Join(n.Sent(), "|"); got != "bob: hi: bye" {
		t.Errorf("sent %q\n%s", got, logs)
	}
	if got := names(out.String()); got != "ready message sent left" {
		t.Errorf("events: %s", got)
	}
	if strings.Contains(logs.String(), "WARN") {
		t.Error(logs)
	}
}

// hooked is a peer whose command of --on-message writes to a file that it has begun, and that it is done.
// For messages that begin with "slow" it waits for a line from the gate in between.
type hooked struct {
	t           *testing.T
	state       string // directory
	file, gate  string
	historySize int64
	drain       time.Duration
}

func newHooked(t *testing.T) *hooked {
	t.Helper()
	dir := t.TempDir()
	h := &hooked{t: t, state: filepath.Join(dir, "state"), file: filepath.Join(dir, "file"), gate: filepath.Join(dir, "gate"), drain: time.Minute}
	if err := syscall.Mkfifo(h.gate, 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

const hookScript = `body=$(cat); echo "$body begins" >>"$1"; case $body in slow*) read x <"$2";; esac; echo "$body" >>"$1"`

// lines are what the commands have written so far.
func (h *hooked) lines() []string {
	h.t.Helper()
	text, err := os.ReadFile(h.file)
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	return strings.Fields(strings.ReplaceAll(string(text), " begins", "-begins"))
}

// await waits until the file has a line so many times.
func (h *hooked) await(line string, times int) {
	h.t.Helper()
	await(h.t, line, func() bool { return h.count(line) >= times })
}

func (h *hooked) count(line string) (n int) {
	h.t.Helper()
	for _, l := range h.lines() {
		if l == line {
			n++
		}
	}
	return n
}

// wantOnce says that the command was run once for each of these messages.
func (h *hooked) wantOnce(bodies ...string) {
	h.t.Helper()
	for _, body := range bodies {
		if h.count(body+"-begins") != 1 || h.count(body) != 1 {
			h.t.Errorf("the command for %q is not run once: %q", body, h.lines())
		}
	}
}

func (h *hooked) wantNone(bodies ...string) {
	h.t.Helper()
	for _, body := range bodies {
		if h.count(body+"-begins") != 0 {
			h.t.Errorf("the command for %q is run: %q", body, h.lines())
		}
	}
}

// open lets so many slow commands go on.
func (h *hooked) open(many int) {
	h.t.Helper()
	f, err := os.OpenFile(h.gate, os.O_RDWR, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { f.Close() })
	f.WriteString(strings.Repeat("\n", many))
}

// await waits for a condition.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	late := time.After(time.Minute)
	for !condition() {
		select {
		case <-look.C:
		case <-late:
			t.Fatal("not within a minute: ", what)
		}
	}
}

// hookedRun is one run of it.
type hookedRun struct {
	*hooked
	address   string
	in        *io.PipeWriter
	out, logs *buffer
	ended     chan error
}

// start starts a session, with the command or without.
func (h *hooked) start(command bool) *hookedRun {
	h.t.Helper()
	state, err := overlay.OpenState(h.state, "me")
	if err != nil {
		h.t.Fatal(err)
	}
	r, w := io.Pipe()
	run := &hookedRun{hooked: h, in: w, out: &buffer{}, ended: make(chan error, 1)}
	s, logs := newTestSession(nil, r, run.out)
	run.logs = logs
	s.start, s.state = startNode, state
	s.options = options{json: true, id: "me", listen: "127.0.0.1:0", history: overlay.HistoryConfig{Bytes: h.historySize}, drain: h.drain}
	s.options.hook.deadline = time.Hour // the commands wait for the tests, however long these take
	if command {
		if s.options.hook.command, err = hooks.Parse("sh -c '" + hookScript + "' sh " + h.file + " " + h.gate); err != nil {
			h.t.Fatal(err)
		}
	}
	go func() {
		err := s.run(h.t.Context())
		r.Close()
		run.ended <- errors.Join(err, state.Close())
	}()
	await(h.t, "ready", func() bool { return strings.Contains(run.out.String(), "\n") })
	_, after, _ := strings.Cut(run.out.String(), `"listen":["`)
	run.address, _, _ = strings.Cut(after, `"`)
	return run
}

func (r *hookedRun) leave() {
	r.t.Helper()
	if _, err := io.WriteString(r.in, `{"cmd":"leave"}`+"\n"); err != nil {
		r.t.Fatal(err)
	}
	if err := <-r.ended; err != nil {
		r.t.Fatal(err)
	}
}

// tell has a new peer send these messages, and waits for their receipts.
func (r *hookedRun) tell(id overlay.ID, bodies ...string) {
	r.t.Helper()
	n, err := overlay.Start(r.t.Context(), overlay.Config{ID: id, Listen: "127.0.0.1:0", Join: []string{r.address}})
	if err != nil {
		r.t.Fatal(err)
	}
	defer n.Close()
	for _, body := range bodies {
		if _, err := n.Send(r.t.Context(), "me", body, ""); err != nil {
			r.t.Fatal(err)
		}
	}
	left := len(bodies)
	for event := range n.Events() {
		if _, ok := event.(overlay.Delivered); ok {
			left--
		}
		if left == 0 {
			return
		}
	}
}

// The command runs for what came since the first run that had one: what is killed or was not begun when the
// peer leaves runs at the next start, and what has ended does not.
func TestHookGoesOn(t *testing.T) {
	h := newHooked(t)
	run := h.start(false)
	run.tell("p0", "before")
	run.leave()

	h.drain = 0 // commands that run are killed at once
	run = h.start(true)
	slow := []string{"slow1", "slow2", "slow3", "slow4"}
	run.tell("p1", append(slow, "c", "d")...)
	for _, body := range slow {
		h.await(body+"-begins", 1)
	}
	run.leave()
	h.wantNone("c", "d")

	h.drain = time.Minute
	h.open(len(slow))
	run = h.start(true)
	run.tell("p2", "e")
	for _, body := range append(slow, "c", "d", "e") {
		h.await(body, 1)
	}
	run.leave()
	h.wantOnce("c", "d", "e")
	h.wantNone("before")
	for _, body := range slow {
		if h.count(body) != 1 || h.count(body+"-begins") != 2 {
			t.Errorf("%s: %q", body, h.lines())
		}
	}

	run = h.start(false) // what comes now is not caught up with
	run.tell("p3", "unheard")
	run.leave()
	run = h.start(true)
	run.tell("p4", "f")
	h.await("f", 1)
	run.leave()
	run = h.start(true)
	run.tell("p5", "g")
	h.await("g", 1)
	run.leave()
	h.wantNone("unheard")
	h.wantOnce("c", "d", "e", "f", "g")
	if log := run.logs.String(); strings.Contains(log, "on-message") {
		t.Error(log)
	}
}

// A command that is slow loses nothing: what the peer does not keep in memory for it is in the history.
func TestSlowHook(t *testing.T) {
	h := newHooked(t)
	run := h.start(true)
	run.tell("p1", "slow1", "slow2", "slow3", "slow4", "a")
	for i := range 4 {
		h.await(fmt.Sprintf("slow%d-begins", i+1), 1)
	}
	const many = 200 // whose refs are more than the feed keeps
	for range many {
		if _, err := fmt.Fprintf(run.in, `{"cmd":"broadcast","body":"x","ref":%q}`+"\n", strings.Repeat("r", 100_000)); err != nil {
			t.Fatal(err)
		}
	}
	run.tell("p2", "b", "c")
	await(t, "all are sent", func() bool {
		return run.out.Len() > many*100_000 && strings.Count(run.out.String(), `"event":"sent"`) == many
	})
	h.wantNone("a", "b", "c")
	h.open(4)
	for _, body := range []string{"slow1", "slow2", "slow3", "slow4", "a", "b", "c"} {
		h.await(body, 1)
	}
	run.leave()
	h.wantOnce("slow1", "slow2", "slow3", "slow4", "a", "b", "c")
}

// Where the place of the hook is not in the history it goes on behind the end, or where the history begins.
func TestHookBesideTheHistory(t *testing.T) {
	h := newHooked(t)
	h.historySize = 16 << 20
	setPlace := func(pos func(*overlay.History) uint64, broadcasts int) {
		t.Helper()
		state, err := overlay.OpenState(h.state, "me")
		if err != nil {
			t.Fatal(err)
		}
		defer state.Close()
		n, err := overlay.Start(t.Context(), overlay.Config{State: state, Listen: "127.0.0.1:0", History: overlay.HistoryConfig{Bytes: h.historySize}})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		go func() {
			for range broadcasts {
				if _, err := n.Broadcast(t.Context(), strings.Repeat("x", 60_000), ""); err != nil {
					t.Error(err)
				}
			}
		}()
		sent := 0
		for event := range n.Events() {
			if _, ok := event.(overlay.Sent); ok {
				sent++
			}
			if sent == broadcasts {
				break
			}
		}
		if err := n.History().SetPlace(hookReader, pos(n.History())); err != nil {
			t.Fatal(err)
		}
	}
	for i, test := range []struct {
		broadcasts int
		place      func(*overlay.History) uint64
		log        string
	}{
		{0, func(h *overlay.History) uint64 { return h.End() + 1000 }, "was it put back from a backup?"},
		{400, func(*overlay.History) uint64 { return 1 }, "--history-size too small"},
		{0, func(*overlay.History) uint64 { return 0 }, ""},
	} {
		setPlace(test.place, test.broadcasts)
		run := h.start(true)
		body := fmt.Sprint("m", i)
		run.tell(overlay.ID(body), body)
		h.await(body, 1)
		run.leave()
		h.wantOnce(body)
		if log := run.logs.String(); strings.Count(log, "on-message") != min(len(test.log), 1) || !strings.Contains(log, test.log) {
			t.Errorf("%q is not in the log:\n%s", test.log, log)
		}
		run = h.start(true) // the place is right again
		run.leave()
		if log := run.logs.String(); strings.Contains(log, "on-message") {
			t.Error(log)
		}
	}
}

// damagedHistory is a history that can't be read.
type damagedHistory struct{}

func (damagedHistory) Place(string) (uint64, error)  { return 0, nil }
func (damagedHistory) SetPlace(string, uint64) error { return nil }

func (damagedHistory) First() uint64 { return 1 }
func (damagedHistory) End() uint64   { return 5 }
func (damagedHistory) Messages(context.Context, overlay.Query) ([]overlay.Said, error) {
	return nil, nil
}
func (damagedHistory) Events(uint64) iter.Seq2[overlay.Past, error] {
	return func(yield func(overlay.Past, error) bool) { yield(overlay.Past{}, &overlay.DamagedError{Path: "file"}) }
}

// A history that can't be read ends the hook, and says what to do.
func TestHookOfADamagedHistory(t *testing.T) {
	var logs buffer
	r := historyReader{past: new(overlay.History), log: slog.New(slog.NewTextHandler(&logs, nil)), next: 3}
	for pos := range r.messages(t.Context(), service.New(linestest.New("me"), damagedHistory{}, "", "")) {
		t.Error(pos)
	}
	if log := logs.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "file is damaged") || !strings.Contains(log, "from=3") {
		t.Errorf("the log is %q", log)
	}
}

// Without a history messages come to the command live: of those that come too fast it misses some, and says
// so.
func TestHookWithoutHistory(t *testing.T) {
	h := newHooked(t)
	n := linestest.New("me")
	r, w := io.Pipe()
	var out buffer
	s, logs := newTestSession(n, r, &out)
	command, err := hooks.Parse("sh -c '" + hookScript + "' sh " + h.file + " " + h.gate)
	if err != nil {
		t.Fatal(err)
	}
	s.options.hook.command = command
	s.options.hook.deadline = time.Hour
	s.options.drain = time.Minute
	ended := make(chan error)
	go func() { ended <- s.run(t.Context()) }()
	tell := func(body string) { n.Queue <- overlay.Message{From: "bob", To: "me", Body: body} }
	for i := range 4 {
		tell(fmt.Sprint("slow", i))
		h.await(fmt.Sprintf("slow%d-begins", i), 1)
	}
	tell("waits")
	for range 200 { // more than the feed keeps
		n.Queue <- overlay.Sent{Ref: strings.Repeat("r", 100_000)}
	}
	await(t, "all are shown", func() bool { return out.Len() > 200*100_000 && strings.Count(out.String(), "\n") > 200 })
	h.open(4)
	await(t, "it has missed some", func() bool { return strings.Contains(logs.String(), "was not run for some") }) // "waits" too, if all came before it was read
	for i := range 4 {                                                                                             // the last of them hold up the rest
		tell(fmt.Sprint("slow again", i))
	}
	for i := range 4 {
		h.await(fmt.Sprintf("again%d-begins", i), 1)
	}
	for i := range 3 {
		tell(fmt.Sprint("missed", i))
	}
	await(t, "they are shown", func() bool { return strings.Contains(out.String(), "missed2") })
	io.WriteString(w, `{"cmd":"leave"}`+"\n")
	await(t, "it leaves", func() bool { return strings.Contains(logs.String(), "last messages") })
	h.open(4)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	r.Close()
	if !strings.Contains(logs.String(), "was not run for the last messages\" messages=3") {
		t.Error(logs)
	}
}
