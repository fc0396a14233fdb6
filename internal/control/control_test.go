package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/internal/lines/linestest"
	"quicpeer/internal/service"
	"quicpeer/overlay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// past is a history in memory.
type past struct {
	mu   sync.Mutex
	list []overlay.Past
	gone uint64 // so many of the first were dropped
	said []overlay.Said
	q    overlay.Query
	slow chan struct{} // if set, it gets a token for each query, which then lasts until its context ends
}

func (*past) Place(string) (uint64, error)  { return 0, nil }
func (*past) SetPlace(string, uint64) error { return nil }

func (p *past) First() uint64 { return min(p.End(), 1+p.gone) }

func (p *past) End() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return uint64(len(p.list))
}

func (p *past) Events(from uint64) iter.Seq2[overlay.Past, error] {
	p.mu.Lock()
	list := p.list
	p.mu.Unlock()
	return func(yield func(overlay.Past, error) bool) {
		for _, e := range list[min(int(max(from, p.First(), 1)-1), len(list)):] {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (p *past) Messages(ctx context.Context, q overlay.Query) ([]overlay.Said, error) {
	if p.slow != nil {
		p.slow <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.q = q
	return p.said, nil
}

// peer is a service on a node without a network, which is asked on its socket.
type peer struct {
	t      *testing.T
	n      *linestest.Node
	past   *past
	s      *service.Service
	server *Server
	client *Client
	dir    string
	getenv func(string) string
	left   chan struct{} // a client has said to leave
}

// run runs a peer until the end of the test, without its socket.
func run(t *testing.T) *peer {
	p := &peer{t: t, n: linestest.New("me"), past: &past{}, dir: t.TempDir(), left: make(chan struct{}, 100)}
	p.n.Queue = make(chan overlay.Event, 100000)
	p.n.Queue <- overlay.Ready{ID: "me", Listen: []string{"127.0.0.1:1"}}
	p.s = service.New(p.n, p.past, "1.0", p.dir)
	p.s.Use(&p.n.Shared)
	p.n.Shared.Tell = p.s.Tell
	var wg sync.WaitGroup
	wg.Go(p.s.Run)
	wg.Go(func() {
		for _, shown := range p.s.Output() {
			shown()
		}
	})
	<-p.s.Ready()
	t.Cleanup(func() {
		p.server.Close()
		p.n.Close()
		wg.Wait()
	})
	return p
}

// start runs a peer with its socket until the end of the test.
func start(t *testing.T) *peer {
	t.Helper()
	p := run(t)
	runtime := shortDir(t)
	p.getenv = func(name string) string {
		if name == "XDG_RUNTIME_DIR" || name == "TMPDIR" { // peers of the machine are none of the test's
			return runtime
		}
		return ""
	}
	var err error
	p.server, err = Serve(p.config())
	if err != nil {
		t.Fatal(err)
	}
	p.client = p.find()
	return p
}

func (p *peer) config() Config {
	return Config{Service: p.s, StateDir: p.dir, Version: "1.0", Getenv: p.getenv, Log: slog.New(slog.DiscardHandler), Leave: func() { p.left <- struct{}{} }}
}

func (p *peer) find() *Client {
	p.t.Helper()
	c, err := Find(p.t.Context(), p.dir, p.getenv)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	return c
}

// shortDir is a directory for sockets: those of tests have long names.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "qp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// post carries out command lines, and returns the names and refs of the events.
func (p *peer) post(query, body string) string {
	p.t.Helper()
	r, err := p.client.http.Post("http://x/v1/commands"+query, "", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	var got []string
	for scanner := bufio.NewScanner(r.Body); scanner.Scan(); {
		var a Answer
		if err := json.Unmarshal(scanner.Bytes(), &a); err != nil {
			p.t.Fatal(err, scanner.Text())
		}
		got = append(got, strings.TrimSpace(a.Event+" "+a.Ref))
	}
	return strings.Join(got, ", ")
}

// settle lets the node deliver message number i.
func (p *peer) settle(i byte, ref string) {
	p.n.Queue <- overlay.Delivered{Message: overlay.MessageID{15: i}, To: "bob", Ref: ref}
}

func TestCommands(t *testing.T) {
	p := start(t)
	p.n.Out = []overlay.Outgoing{{Message: overlay.MessageID{1}, To: "bob", Ref: "old"}}
	p.n.Ticket = "qp1x"
	for _, test := range []struct{ name, query, body, want string }{
		{"an answer", "", `{"cmd":"table","ref":"t"}`, "table t"},
		{"several", "", `{"cmd":"net","ref":"1"}` + "\n" + `{"cmd":"buffer","ref":"2"}` + "\r\n\n" + `{"cmd":"status","ref":"3"}`, "net 1, buffer 2, error, status 3"},
		{"nonsense", "", "hello", "error"},
		{"nothing", "", "", ""},
		{"refused", "", `{"cmd":"send","to":"me","body":"x","ref":"r"}`, "error r"},
		{"accepted", "?until=sent", `{"cmd":"send","to":"bob","body":"x","ref":"r"}`, "sent r"},
		{"to everyone", "", `{"cmd":"broadcast","body":"x","ref":"r"}`, "sent r"},
		{"no ref", "?until=sent", `{"cmd":"send","to":"bob","body":"x"}`, "sent"},
		{"cancelled", "", `{"cmd":"cancel","message":"01000000000000000000000000000000","ref":"c"}`, "failed old"},
		{"cancelled again", "", `{"cmd":"cancel","message":"01000000000000000000000000000000","ref":"c"}`, "error c"},
		{"removed", "", `{"cmd":"remove","to":"bob","ref":"r"}`, "removed r"},
		{"not removed", "", `{"cmd":"remove","to":"eve","ref":"r"}`, "error r"},
		{"invited", "", `{"cmd":"invite","to":"bob","ref":"r"}`, "invitation r"},
		{"joined", "", `{"cmd":"join","address":"door:1","ref":"j"}`, "joined j"},
		{"history", "", `{"cmd":"history","ref":"h"}`, "history h"},
		{"outgoing", "", `{"cmd":"outgoing","ref":"o"}`, "outgoing o"},
	} {
		if got := p.post(test.query, test.body); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if got := p.post("?until=sent", strings.Repeat(`{"cmd":"send","to":"bob","body":"x","ref":"r"}`+"\n", 200)); got != strings.TrimSuffix(strings.Repeat("sent r, ", 200), ", ") {
		t.Errorf("%d bytes of events for 200 messages", len(got))
	}
}

// A command lasts until it is settled, whatever else happens; two clients with the same ref get
// each what is theirs.
func TestCommandsOfTwo(t *testing.T) {
	p := start(t)
	results := make(chan string)
	var streams []*bufio.Reader
	for i := range 2 {
		r, w := io.Pipe()
		go func() {
			fmt.Fprintf(w, `{"cmd":"send","to":"bob","body":"%d","ref":"same"}`+"\n", i)
			w.Close()
		}()
		resp, err := p.client.http.Post("http://x/v1/commands", "", r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		stream := bufio.NewReader(resp.Body)
		if line, err := stream.ReadString('\n'); err != nil || !strings.Contains(line, fmt.Sprintf(`"message":"%032x"`, i+1)) {
			t.Fatalf("%q, %v", line, err)
		}
		streams = append(streams, stream)
	}
	p.n.Queue <- overlay.Buffered{Message: overlay.MessageID{15: 2}, To: "bob", Ref: "same"}
	p.settle(3, "same") // of nobody here
	p.settle(2, "same")
	p.settle(1, "same")
	for i, want := range []string{"delivered", "buffered delivered"} {
		go func() {
			rest, err := io.ReadAll(streams[i])
			if err != nil {
				t.Error(err)
			}
			var names []string
			for line := range strings.Lines(string(rest)) {
				var a Answer
				if err := json.Unmarshal([]byte(line), &a); err != nil || a.Message != fmt.Sprintf("%032x", i+1) {
					t.Errorf("%q, %v", line, err)
				}
				names = append(names, a.Event)
			}
			results <- strings.Join(names, " ") + "|" + want
		}()
	}
	for range 2 {
		if got, want, _ := strings.Cut(<-results, "|"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The first event of a message may come before its number is known.
func TestEarlyEvents(t *testing.T) {
	p := start(t)
	id := overlay.MessageID{15: 9}
	e := newExchange(p.s, nil, false)
	defer e.watch.Close()
	sent := &service.Item{Event: overlay.Sent{Message: id, To: "bob"}}
	other := &service.Item{Event: overlay.Sent{Message: overlay.MessageID{1}, To: "bob"}}
	_, err := e.number(func() (overlay.MessageID, error) {
		for range maxEarly {
			if e.isFull() {
				t.Fatal("full too early")
			}
			if text, _ := e.sort([]*service.Item{other}); len(text) > 0 {
				t.Fatal("told of another's message")
			}
		}
		e.sort([]*service.Item{sent})
		if !e.isFull() {
			t.Error("the early events are not bounded")
		}
		return id, nil
	})
	text, over := e.sort(nil)
	if err != nil || !strings.Contains(string(text), `"event":"sent"`) || over || len(e.early) != 0 {
		t.Errorf("%q, %v, %d left", text, over, len(e.early))
	}
	e.finish()
	if _, over := e.sort([]*service.Item{{Event: overlay.Failed{Message: id}}}); !over {
		t.Error("not over")
	}
}

// said adds a message to the history and to what happens.
func (p *peer) said(body string) {
	p.past.mu.Lock()
	m := overlay.Message{From: "bob", To: "me", Body: body, Pos: uint64(len(p.past.list)) + 1}
	p.past.list = append(p.past.list, overlay.Past{Event: m, At: time.Now()})
	p.past.mu.Unlock()
	p.n.Queue <- m
}

// Fifty clients follow, each from another position, some cut off in the middle and come back.
func TestEventsOfMany(t *testing.T) {
	p := start(t)
	for i := range 500 {
		p.said(fmt.Sprint(i))
	}
	const most = 1500
	var wg sync.WaitGroup
	for k := range 50 {
		wg.Go(func() {
			from, first := uint64(k*10+1), true // which was said already, whoever of them is quicker
			for from <= most {
				if err := p.client.Events(t.Context(), from, true, nil, func(a Answer) bool {
					var e struct {
						Event string
						Pos   uint64
					}
					if err := json.Unmarshal(a.Line, &e); err != nil || first != (e.Event == "ready") {
						t.Errorf("%s: %v", a.Line, err)
					}
					first = false
					if e.Event != "message" {
						return true
					}
					if e.Pos != from {
						t.Errorf("position %d, not %d", e.Pos, from)
						return false
					}
					from++
					return from <= most && from%uint64(700+k) != 0 // else this client goes, and comes back
				}); err != nil {
					t.Error(err)
				}
				first = true
			}
		})
	}
	for i := range most - 500 {
		p.said(fmt.Sprint(i))
	}
	wg.Wait()
}

func TestEventStreams(t *testing.T) {
	p := start(t)
	p.said("one")
	p.said("two")
	get := func(query string, header ...string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://x/v1/events"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := p.client.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if first := resp.Header.Get("Quicpeer-First"); first != "" {
			return "begins at " + first + "\n" + string(b)
		}
		return fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Content-Type"), "\n", string(b))
	}
	for _, test := range []struct {
		query  string
		header []string
		want   []string
		not    string
	}{
		{"?from=1&follow=0", nil, []string{"200 application/x-ndjson\n{\"event\":\"ready\"", `"body":"one"`, `"pos":2`}, "id:"},
		{"?from=2&follow=false", nil, []string{`"body":"two"`}, `"body":"one"`},
		{"?from=3&follow=0", nil, []string{`"event":"ready"`}, "body"},
		{"?from=1&follow=0", []string{"Accept", "text/event-stream"}, []string{"200 text/event-stream\ndata: {\"event\":\"ready\"", "}\n\nid: 1\ndata: {", "}\n\nid: 2\ndata: {"}, "id: 0"},
		{"?follow=0", []string{"Accept", "text/event-stream", "Last-Event-ID", "1"}, []string{"id: 2\n"}, "id: 1\n"},
		{"?from=x", nil, []string{"400 ", "not a position", `"code":"bad_query"`}, "ready"},
		{"?from=-1", nil, []string{"400 "}, "ready"},
		{"?form=1", nil, []string{"400 ", "there is no form=; there are from, follow"}, "ready"},
		{"?follow=maybe", nil, []string{"400 "}, "ready"},
	} {
		got := get(test.query, test.header...)
		for _, want := range test.want {
			if !strings.Contains(got, want) || strings.Contains(got, test.not) {
				t.Errorf("%s %q: %s lacks %q, or has %q", test.query, test.header, got, want, test.not)
			}
		}
	}
	p.past.gone = 1
	for query, want := range map[string]string{"?from=1&follow=0": "begins at 2\n{\"event\":\"ready\"", "?from=2&follow=0": "200 ", "?follow=0": "200 "} {
		if got := get(query); !strings.HasPrefix(got, want) {
			t.Errorf("%s behind what was dropped: %s", query, got)
		}
	}
}

func TestAnswers(t *testing.T) {
	p := start(t)
	p.n.Table = []overlay.Peer{{ID: "bob", State: overlay.StateAlive}}
	p.past.said = []overlay.Said{{Pos: 1, From: "bob", To: "me", Body: "evil\x1b[2J\nme: forged", State: overlay.StateReceived, SentAt: time.Now()}}
	for _, test := range []struct {
		path string
		text bool
		want string
	}{
		{"/v1/status", false, `"id":"me"`}, {"/v1/status", true, "id       me\n"},
		{"/v1/peers", false, `"event":"table"`}, {"/v1/peers", true, "ID   STATE"},
		{"/v1/net", false, `"event":"net"`}, {"/v1/net", true, "OWN ADDRESS"},
		{"/v1/buffer", false, `"event":"buffer"`}, {"/v1/buffer", true, "no messages are waiting\n"},
		{"/v1/history", false, `"state":"received"`}, {"/v1/history", true, "bob -> me: evil\\x1b[2J\n  me: forged\n"},
	} {
		b, err := p.client.Ask(t.Context(), test.path, nil, test.text)
		if err != nil || !strings.Contains(string(b), test.want) {
			t.Errorf("%s: %q, %v", test.path, b, err)
		}
	}
	if _, err := p.client.Ask(t.Context(), "/v1/history", url.Values{"with": {"#dev"}, "last": {"7"}, "before": {"9"}, "since": {"2026-03-05T12:00:00Z"}, "search": {"x y"}}, false); err != nil {
		t.Error(err)
	}
	if want := (overlay.Query{With: "#dev", Last: 7, Before: 9, Since: time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC), Search: "x y", Bytes: p.past.q.Bytes}); p.past.q != want {
		t.Errorf("asked for %+v", p.past.q)
	}
	for _, bad := range []url.Values{{"last": {"0"}}, {"last": {"x"}}, {"before": {"x"}}, {"since": {"x"}}, {"with": {"a b"}}, {"frm": {"1"}}} {
		if refused, ok := errors.AsType[*Refused](second(p.client.Ask(t.Context(), "/v1/history", bad, false))); !ok || refused.Code != "bad_query" {
			t.Errorf("%v was not refused", bad)
		}
	}
	p.past.slow = make(chan struct{})
	for _, path := range []string{"/v1/history", "/v1/commands"} { // nobody reads on for a client that has gone
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if path == "/v1/history" {
				_, _ = p.client.Ask(ctx, path, nil, false)
			} else {
				_ = p.client.Command(ctx, map[string]any{"cmd": "history"}, false, func(Answer) bool { return true })
			}
		}()
		<-p.past.slow
		cancel()
		<-gone
	}
	p.server.running.Wait()
	if refused, ok := errors.AsType[*Refused](second(p.client.Ask(t.Context(), "/v1/nothing", nil, false))); !ok || refused.Code != "not_found" {
		t.Error("found what is not there")
	}
}

func second[A, B any](_ A, b B) B { return b }

// A client that says to leave is told when the peer has left, and so are all others.
func TestLeave(t *testing.T) {
	p := start(t)
	names := make(chan string, 3)
	follow := func(do func(func(Answer) bool) error) {
		var got []string
		err := do(func(a Answer) bool { got = append(got, a.Event); return true })
		names <- fmt.Sprint(strings.Join(got, " "), err)
	}
	p.past.list = append(p.past.list, overlay.Past{}) // so that the client below has it
	entered := make(chan struct{})
	go follow(func(each func(Answer) bool) error {
		return p.client.Events(t.Context(), 0, true, nil, func(a Answer) bool {
			if a.Event == "ready" {
				close(entered)
			}
			return each(a)
		})
	})
	<-entered
	go follow(func(each func(Answer) bool) error {
		return p.client.Command(t.Context(), map[string]any{"cmd": "leave", "ref": "r"}, false, each)
	})
	<-p.left
	p.n.Close()
	p.server.Left(2)
	p.server.Close()
	got := []string{<-names, <-names}
	slices.Sort(got)
	if strings.Join(got, "|") != "left<nil>|ready left<nil>" {
		t.Errorf("got %q", got)
	}
	if _, err := Find(t.Context(), p.dir, p.getenv); !isNoPeer(err) {
		t.Errorf("found a peer that has left: %v", err)
	}
}

func isNoPeer(err error) bool { _, ok := errors.AsType[*NoPeerError](err); return ok }

// A peer that stops in the middle of a command: the client knows.
func TestStopInTheMiddle(t *testing.T) {
	p := start(t)
	err := p.client.Command(t.Context(), map[string]any{"cmd": "send", "to": "bob", "body": "x"}, false, func(a Answer) bool {
		go p.server.Close()
		return true
	})
	if !errors.Is(err, ErrBroken) {
		t.Errorf("got %v", err)
	}
}

// A socket that was left behind is replaced; one that is in the way otherwise, and directories that
// are not this user's alone, are errors that say what to do.
func TestPlaces(t *testing.T) {
	p := start(t)
	path := p.client.path
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	p.server.Close()
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	if err := writePath(p.dir, path); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(t.Context(), p.dir, p.getenv); !isNoPeer(err) {
		t.Errorf("a stale socket: %v", err)
	}
	if _, err := Find(t.Context(), "", p.getenv); !isNoPeer(err) {
		t.Errorf("only a stale socket: %v", err)
	}
	if p.server, err = Serve(p.config()); err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	if c, err := Find(t.Context(), "", p.getenv); err != nil || c.path != path {
		t.Errorf("the only peer was not found: %v", err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil { // by then another user may have made it
		t.Fatal(err)
	}
	if _, err := Find(t.Context(), p.dir, p.getenv); err == nil || !strings.Contains(err.Error(), "yours alone") {
		t.Errorf("a directory that is open to others: %v", err)
	}
	if _, err := Find(t.Context(), "", p.getenv); !isNoPeer(err) {
		t.Errorf("the only peer, in a directory that is open to others: %v", err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	env := func(runtime, temp string) func(string) string {
		return func(name string) string { return map[string]string{"XDG_RUNTIME_DIR": runtime, "TMPDIR": temp}[name] }
	}
	long := "/" + strings.Repeat("x", 100)
	if _, err := socketPath("d", env(long, long)); err == nil || !strings.Contains(err.Error(), "at most 103 bytes") {
		t.Errorf("a long path: %v", err)
	}
	short := shortDir(t)
	if got, err := socketPath("d", env(long, short)); err != nil || !strings.HasPrefix(got, short) {
		t.Errorf("the second place: %s, %v", got, err)
	}
	own := filepath.Join(short, "quicpeer")
	for name, test := range map[string]struct {
		make func() error
		want string
	}{
		"a link":    {func() error { return os.Symlink(t.TempDir(), own) }, "not a directory"},
		"a file":    {func() error { return os.WriteFile(own, nil, 0o600) }, "not a directory"},
		"open":      {func() error { return errors.Join(os.Mkdir(own, 0o700), os.Chmod(own, 0o755)) }, "chmod 700"},
		"another's": {func() error { return errors.Join(os.Mkdir(own, 0o700), os.Chown(own, 12345, 12345)) }, "another user"},
	} {
		if name == "another's" && os.Geteuid() != 0 {
			continue
		}
		if err := test.make(); err != nil {
			t.Fatal(err)
		}
		if _, err := socketPath("d", env(short, long)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		os.Remove(own)
	}
	if err := os.WriteFile(filepath.Join(p.dir, pathFile), []byte("relative"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(t.Context(), p.dir, p.getenv); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged path: %v", err)
	}
}

// Several peers: the error lists them.
func TestSeveral(t *testing.T) {
	p := start(t)
	other := start(t)
	server, err := Serve(Config{Service: other.s, StateDir: t.TempDir(), Getenv: p.getenv, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, err = Find(t.Context(), "", p.getenv)
	if several, ok := errors.AsType[*SeveralError](err); !ok || len(several.IDs) != 2 {
		t.Errorf("got %v", err)
	}
}

// The connections are bounded; one that is closed makes room.
func TestTooManyClients(t *testing.T) {
	p := start(t)
	p.client.Close()
	var open []net.Conn
	for range maxClients + 5 {
		c, err := net.Dial("unix", p.client.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	last := open[len(open)-1]
	if _, err := io.WriteString(last, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(last)
	if err != nil || !strings.Contains(string(b), "503") || !strings.Contains(string(b), `"code":"too_many"`) {
		t.Errorf("%q, %v", b, err)
	}
	for _, c := range open {
		c.Close()
	}
	for ctx, cancel := context.WithTimeout(t.Context(), time.Minute); ; {
		_, err := p.client.ID(ctx)
		if err == nil || ctx.Err() != nil {
			cancel()
			if err != nil {
				t.Error(err)
			}
			break
		}
	}
}

// FuzzRequests checks that no request breaks the server: what is refused is a JSON error.
func FuzzRequests(f *testing.F) {
	f.Add("from=1&follow=0", "1", `{"cmd":"send","to":"bob","body":"x"}`)
	f.Add("last=3&since=2h&search=%00", "x", `{"cmd":"history","last":3,"before":1e3}`)
	f.Add("width=80&terminal=1", "", `{"line":"aGk=","width":-1}`)
	f.Fuzz(func(t *testing.T, query, last, body string) {
		q, _ := url.ParseQuery(query)
		e, err := parseEvents(q, http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {last}})
		if err == nil && e.from > 1<<63 {
			t.Errorf("%q: from %d", query, e.from)
		}
		if h, err := parseHistory(q, time.Now()); err == nil && (h.Last < 0 || h.With != "" && h.With != overlay.Everyone && !isName(string(h.With))) {
			t.Errorf("%q: %+v", query, h)
		}
		if l, err := parseLook(q); err == nil {
			if w := l.Width(); w < 0 || w > maxWidth {
				t.Errorf("%q: width %d", query, w)
			}
			in := &typedLines{Reader: lines.NewReader(strings.NewReader(body)), look: l}
			for range 1000 {
				if _, err := in.Next(); err != nil {
					break
				}
			}
			if w := l.Width(); w < 0 || w > maxWidth {
				t.Errorf("%q: width %d", body, w)
			}
		}
	})
}

func isName(s string) bool {
	_, err := certs.ParseID(strings.TrimPrefix(s, "#"))
	return err == nil
}

// A client that has found its peer may take its time: a connection that the server has closed meanwhile is not
// the one it asks on.
func TestAsksLater(t *testing.T) {
	p := start(t)
	path := filepath.Join(shortDir(t), "hasty.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(path, nil)
	t.Cleanup(c.Close)
	if err := c.knock(t.Context()); err != nil {
		t.Fatal(err)
	}
	knocked, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = knocked.Close() // as after headerPatience
	go func() {
		defer l.Close()
		asked, err := l.Accept()
		if err != nil {
			return
		}
		its, err := net.Dial("unix", p.client.path)
		if err != nil {
			_ = asked.Close()
			return
		}
		go io.Copy(its, asked)
		_, _ = io.Copy(asked, its)
	}()
	if id, err := c.ID(t.Context()); err != nil || id != "me" {
		t.Errorf("%s, %v", id, err)
	}
}
