//go:build !windows

package hooks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// records keeps the log, and tells a channel of each line.
type records struct {
	mu    sync.Mutex
	text  bytes.Buffer
	lines chan string // nil: nobody listens
}

func (r *records) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lines != nil {
		r.lines <- string(b)
	}
	return r.text.Write(b)
}

func (r *records) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// sent is what the hooks have sent back.
type sent struct {
	mu   sync.Mutex
	list []string
	err  error
}

func (s *sent) reply(_ context.Context, m overlay.Message, body string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, string(m.From)+": "+body)
	return s.err
}

// config runs this program as a hook that acts in this way.
func config(t *testing.T, act string, words ...string) (Config, *records) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(asHook, act)
	logs := &records{}
	return Config{
		Command: append([]string{self}, words...), Self: "me", Grace: time.Minute,
		Log: slog.New(slog.NewTextHandler(logs, nil)),
	}, logs
}

func message(body string) overlay.Message {
	return overlay.Message{ID: overlay.MessageID{1, 2}, From: "bob", To: "me", Body: body, SentAt: time.Unix(1e9, 5e8), Path: overlay.PathDirect}
}

// those stand at 1, 2 and so on.
func those(list ...overlay.Message) iter.Seq2[uint64, *overlay.Message] {
	return func(yield func(uint64, *overlay.Message) bool) {
		for i := range list {
			if !yield(uint64(i)+1, &list[i]) {
				return
			}
		}
	}
}

// weird is what a shell would make much of.
const weird = "$(touch owned) `touch owned` ; touch owned | x & > owned \n'\" \x00 \xff \u202e end\n"

func TestFactsAndBody(t *testing.T) {
	t.Setenv("QUICPEER_JOIN", "a ticket")
	t.Setenv("QUICPEER_BEFORE", "a lie")
	cfg, logs := config(t, "report", "a b", "$c")
	var replies sent
	cfg.Reply = replies.reply
	m := message(weird)
	Run(t.Context(), cfg, those(m))
	if len(replies.list) != 1 {
		t.Fatalf("%q\n%s", replies.list, logs)
	}
	text, _ := strings.CutPrefix(replies.list[0], "bob: ")
	var got report
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if string(got.Body) != weird {
		t.Errorf("the body is %q", got.Body)
	}
	if !slices.Equal(got.Args, []string{"a b", "$c"}) {
		t.Errorf("the words are %q", got.Args)
	}
	slices.Sort(got.Facts)
	want := []string{
		"QUICPEER_FROM=bob", "QUICPEER_ID=" + m.ID.String(), "QUICPEER_KEY=" + m.Key.String(), "QUICPEER_PATH=direct",
		"QUICPEER_SENT_AT=2001-09-09T01:46:40.5Z", "QUICPEER_TO=me",
	}
	if !slices.Equal(got.Facts, want) {
		t.Errorf("the facts are %q", got.Facts)
	}
	m.Before, m.NewKey, m.Kind, m.About = true, true, overlay.KindEdit, overlay.MessageID{15: 1}
	for _, want := range []string{"BEFORE=1", "NEW_KEY=1", "KIND=edit", "ABOUT=00000000000000000000000000000001"} {
		if got := facts(m); !slices.Contains(got, prefix+want) {
			t.Errorf("the facts %q lack %s", got, want)
		}
	}
	if _, err := os.Stat("owned"); err == nil {
		t.Error("a shell has seen the message")
	}
}

// At most so many commands run at once, started in the order of the messages; the iterator is
// asked for the next message only when one has ended.
func TestOrderAndBound(t *testing.T) {
	dir := t.TempDir()
	began, gate := filepath.Join(dir, "began"), filepath.Join(dir, "gate")
	for _, f := range []string{began, gate} {
		if err := syscall.Mkfifo(f, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := os.OpenFile(began, os.O_RDWR, 0) // never at its end
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cfg, logs := config(t, "tell", began, gate)
	var pulled []string
	const all = 3 * maxRunning
	done := make(chan struct{})
	asked := make(chan int, all)
	go func() {
		defer close(done)
		Run(t.Context(), cfg, func(yield func(uint64, *overlay.Message) bool) {
			for i := range all {
				asked <- i
				pulled = append(pulled, strconv.Itoa(i))
				m := message(strconv.Itoa(i))
				if !yield(uint64(i)+1, &m) {
					return
				}
			}
		})
	}()
	lines := bufio.NewScanner(r)
	seen := map[string]bool{}
	for range maxRunning {
		lines.Scan()
		seen[lines.Text()] = true
	}
	for i := range maxRunning {
		if !seen[strconv.Itoa(i)] {
			t.Errorf("the first that run are %v", seen)
		}
	}
	for i := range maxRunning + 1 { // one more waits for its place
		if got := <-asked; got != i {
			t.Errorf("asked for %d, want %d", got, i)
		}
	}
	if len(asked) > 0 {
		t.Error("it asks for more messages than may run")
	}
	go func() { // let them all end, as each opens the gate
		for {
			w, err := os.OpenFile(gate, os.O_WRONLY, 0)
			if err != nil {
				return
			}
			w.Close()
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	for range all - maxRunning {
		lines.Scan()
	}
	<-done
	os.OpenFile(gate, os.O_RDONLY|syscall.O_NONBLOCK, 0) // whoever waits to open it for writing is let go
	if len(pulled) != all {
		t.Errorf("pulled %v\n%s", pulled, logs)
	}
}

func TestReplies(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*overlay.Message)
		want   string // sent back; empty: nothing
		log    string
	}{
		"a direct message":  {func(m *overlay.Message) { m.Body = "x\ny\n\n" }, "bob: x\ny\n", ""},
		"ends with CRLF":    {func(m *overlay.Message) { m.Body = "x\r\n" }, "bob: x", ""},
		"nothing printed":   {func(m *overlay.Message) { m.Body = "" }, "", ""},
		"an empty line":     {func(m *overlay.Message) { m.Body = "\n" }, "", ""},
		"to everyone":       {func(m *overlay.Message) { m.To = overlay.Everyone }, "", "line=x"},
		"to a room":         {func(m *overlay.Message) { m.To = "#a" }, "", "line=x"},
		"from before":       {func(m *overlay.Message) { m.Before = true }, "", "line=x"},
		"under another key": {func(m *overlay.Message) { m.NewKey = true }, "", "line=x"},
		"from oneself":      {func(m *overlay.Message) { m.From = "me" }, "", "line=x"},
		"not UTF-8":         {func(m *overlay.Message) { m.Body = "\xff" }, "", "not UTF-8"},
		"long":              {func(m *overlay.Message) { m.Body = "x" + strings.Repeat("ü", maxOutput) }, "bob: x" + strings.Repeat("ü", maxOutput/2-1), "the rest is dropped"},
		"the bound exactly": {func(m *overlay.Message) { m.Body = strings.Repeat("x", maxOutput) }, "bob: " + strings.Repeat("x", maxOutput), ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, logs := config(t, "echo")
			var replies sent
			cfg.Reply = replies.reply
			m := message("x")
			test.change(&m)
			Run(t.Context(), cfg, those(m))
			if got := strings.Join(replies.list, "|"); got != test.want {
				t.Errorf("sent %.100q, want %.100q", got, test.want)
			}
			if !strings.Contains(logs.String(), test.log) || test.log == "" && logs.String() != "" {
				t.Errorf("the log is %q", logs)
			}
		})
	}
}

// A command that fails has ended, and one whose reply can't be sent.
func TestReplyOfAFailure(t *testing.T) {
	cfg, logs := config(t, "echo and fail")
	var replies sent
	cfg.Reply = replies.reply
	ended := uint64(0)
	cfg.Ended = func(pos uint64) { ended = pos }
	Run(t.Context(), cfg, those(message("x")))
	if len(replies.list) > 0 || !strings.Contains(logs.String(), "exit status 3") || ended != 1 {
		t.Errorf("sent %q, ended up to %d, log %s", replies.list, ended, logs)
	}
	cfg, logs = config(t, "echo")
	replies.err = errors.New("the outbox is full")
	cfg.Reply = replies.reply
	cfg.Ended = func(pos uint64) { ended = pos }
	Run(t.Context(), cfg, those(message("x"), message("y")))
	if !strings.Contains(logs.String(), "the outbox is full") || ended != 2 {
		t.Errorf("ended up to %d, log %s", ended, logs)
	}
}

// A reply that waits when the peer leaves is not sent: its command runs again.
func TestReplyThatWaits(t *testing.T) {
	cfg, _ := config(t, "echo")
	ctx, leave := context.WithCancel(t.Context())
	cfg.Reply = func(ctx context.Context, m overlay.Message, body string) error {
		leave()
		<-ctx.Done()
		return ctx.Err()
	}
	cfg.Ended = func(pos uint64) { t.Errorf("ended up to %d", pos) }
	cfg.Grace = 0
	Run(ctx, cfg, func(yield func(uint64, *overlay.Message) bool) {
		if m := message("x"); yield(1, &m) {
			<-ctx.Done()
		}
	})
}

// While the first command runs nothing has ended, whatever has behind it.
func TestEndedInOrder(t *testing.T) {
	dir := t.TempDir()
	gate := filepath.Join(dir, "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, logs := config(t, "wait if slow", gate)
	var ended []uint64
	cfg.Ended = func(pos uint64) { ended = append(ended, pos) }
	Run(t.Context(), cfg, func(yield func(uint64, *overlay.Message) bool) {
		slow, quick := message("slow"), message("quick")
		if !yield(10, &slow) {
			return
		}
		for pos := range uint64(20) {
			if !yield(11+pos, &quick) {
				return
			}
		}
		w, err := os.OpenFile(gate, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		w.Close()
	})
	if len(ended) == 0 || ended[0] != 9 || len(ended) > 1 && ended[1] < 10 || ended[len(ended)-1] != 30 || !slices.IsSorted(ended) {
		t.Errorf("ended up to %d\n%s", ended, logs)
	}
}

func TestBudgetsAreBounded(t *testing.T) {
	var b budget
	for i := range maxBudgets {
		if !b.allow(certs.ID(fmt.Sprint("p", i))) {
			t.Fatal("refused: ", i)
		}
	}
	if b.allow("one more") || len(b.senders) != maxBudgets {
		t.Errorf("%d senders are counted", len(b.senders))
	}
	if !b.allow("p1") {
		t.Error("a sender that is counted is refused")
	}
}

// A hook of whom nothing is read, and one that leaves a child with its output behind, both end.
func TestHooksThatEnd(t *testing.T) {
	for _, act := range []string{"nothing", "leave a child"} {
		t.Run(act, func(t *testing.T) {
			cfg, logs := config(t, act)
			var replies sent
			cfg.Reply = replies.reply
			Run(t.Context(), cfg, those(message(strings.Repeat("x", 1<<20))))
			if strings.Contains(logs.String(), "WARN") {
				t.Errorf("log %s", logs)
			}
			if act == "nothing" {
				return
			}
			if len(replies.list) != 1 || !strings.Contains(logs.String(), "still holds its output") {
				t.Fatalf("sent %q, log %s", replies.list, logs)
			}
			var pid int
			if _, err := fmt.Sscanf(replies.list[0], "bob: pid %d", &pid); err != nil {
				t.Fatal(err)
			}
			syscall.Kill(pid, syscall.SIGKILL)
		})
	}
}

// When the peer leaves, what still runs is killed after a time, with its children. It has not ended.
func TestHooksThatHangAreKilled(t *testing.T) {
	cfg, logs := config(t, "hang with a child")
	ended := uint64(0)
	cfg.Ended = func(pos uint64) { ended = pos }
	logs.lines = make(chan string, 100)
	cfg.Grace = 0
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Run(ctx, cfg, func(yield func(uint64, *overlay.Message) bool) {
			if !yield(1, nil) || !yield(2, nil) {
				return
			}
			if m := message("x"); yield(3, &m) {
				<-ctx.Done()
				yield(4, &m)
			}
		})
	}()
	var pid int
	for line := range logs.lines {
		if _, after, ok := strings.Cut(line, "pid "); ok {
			fmt.Sscanf(after, "%d", &pid)
			break
		}
	}
	cancel()
	<-done
	if !strings.Contains(logs.String(), "are killed") || !strings.Contains(logs.String(), "signal: killed") {
		t.Errorf("log %s", logs)
	}
	if ended != 2 {
		t.Errorf("ended up to %d", ended)
	}
	gone(t, pid)
}

// The deadline of a command kills it with its children.
func TestDeadline(t *testing.T) {
	cfg, logs := config(t, "hang with a child")
	logs.lines = make(chan string, 100)
	r := &runner{Config: cfg, environment: cleanEnvironment()}
	clock := &lateContext{Context: t.Context(), done: make(chan struct{})}
	ended := make(chan bool)
	go func() { ended <- r.run(clock, message("x"), make(chan struct{})) }()
	var pid int
	_, after, _ := strings.Cut(<-logs.lines, "pid ")
	fmt.Sscanf(after, "%d", &pid)
	close(clock.done)
	if !<-ended {
		t.Error("it has not ended")
	}
	if !strings.Contains(logs.String(), "was killed: it has not ended in time") {
		t.Errorf("log %s", logs)
	}
	gone(t, pid)
}

// lateContext is one whose deadline comes when the test says so.
type lateContext struct {
	context.Context
	done chan struct{}
}

func (c *lateContext) Done() <-chan struct{} { return c.done }
func (c *lateContext) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// gone waits until a process is dead, or a zombie that only its parent could bury.
func gone(t *testing.T, pid int) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	late := time.After(30 * time.Second)
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if syscall.Kill(pid, 0) != nil || err == nil && bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("process %d lives", pid)
		}
	}
}

// The log gets a bounded part of what a hook prints, in bounded lines.
func TestFlood(t *testing.T) {
	cfg, logs := config(t, "flood")
	Run(t.Context(), cfg, those(message("x")))
	text := logs.String()
	if len(text) > 2*maxOutput || strings.Count(text, "prints more than is logged") != 1 || !strings.Contains(text, strings.Repeat("x", maxLine)+"…") {
		t.Errorf("%d bytes: %.300s", len(text), text)
	}
	if strings.Contains(text, strings.Repeat("x", maxLine+1)) {
		t.Error("a line is too long")
	}
}

func TestOutputIsQuoted(t *testing.T) {
	cfg, logs := config(t, "echo")
	Run(t.Context(), cfg, those(message("\x1b[2J\u202e\nlevel=ERROR forged\r\nend without a line end")))
	text := logs.String()
	if strings.Contains(text, "\x1b") || strings.Contains(text, "\u202e") || strings.Count(text, "\n") != 3 || strings.Contains(text, " level=ERROR") {
		t.Errorf("%q", text)
	}
	if !strings.Contains(text, `line="end without a line end"`) {
		t.Errorf("%q", text)
	}
}
