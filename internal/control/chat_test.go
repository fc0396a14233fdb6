package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicpeer/overlay"
)

func TestChat(t *testing.T) {
	p := start(t)
	p.past.said = []overlay.Said{{Pos: 1, From: "bob", To: "me", Body: "before", SentAt: time.Now()}}
	typed := func(text ...string) io.ReadCloser {
		var b strings.Builder
		for _, line := range text {
			if err := json.NewEncoder(&b).Encode(Typed{Line: []byte(line), Width: 80}); err != nil {
				t.Fatal(err)
			}
		}
		return io.NopCloser(strings.NewReader(b.String()))
	}
	read := func(query url.Values, r io.ReadCloser) string {
		t.Helper()
		out, err := p.client.Chat(t.Context(), query, r)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		b, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := read(nil, typed("@bob hi", "", "/dance", "caf\xe9", "/peers")); !strings.Contains(got, "no command /dance") || !strings.Contains(got, "not UTF-8") || !strings.Contains(got, "nobody else is here") {
		t.Errorf("printed %q", got)
	}
	if got := strings.Join(p.n.Sent(), "|"); got != "bob: hi" {
		t.Errorf("sent %q", got)
	}
	if got := read(nil, typed("/join slow:1", "/quit")); !strings.Contains(got, "this peer is leaving") {
		t.Errorf("a join that was under way: %q", got)
	}
	<-p.left
	for range 50 { // the end of what is typed ends the answer well, whoever notices it first
		if got := read(url.Values{"follow": {"true"}}, typed("/peers")); !strings.Contains(got, "you are me") {
			t.Fatalf("printed %q", got)
		}
	}
	in, w := io.Pipe()
	defer in.Close()
	waiting, _ := io.Pipe() // of a client that types nothing
	defer waiting.Close()
	ended := make(chan string)
	go func() { ended <- read(nil, waiting) }()
	go func() {
		io.Copy(w, typed("/status"))
		<-p.left
		p.n.Close()
		p.server.Left(0)
	}()
	go io.Copy(w, typed("/quit"))
	got := read(url.Values{"follow": {"true"}, "terminal": {"1"}, "width": {"80"}}, in)
	for _, want := range []string{"you are me", "earlier:\n", "bob -> me: before\n", "* left\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("printed %q, without %q", got, want)
		}
	}
	if got := <-ended; !strings.Contains(got, "* left\n") {
		t.Errorf("without what happens it printed %q", got)
	}
	for _, bad := range []url.Values{{"width": {"x"}}, {"width": {"-1"}}, {"colour": {"red"}}, {"colour_": {"1"}}} {
		if _, err := parseLook(bad); err == nil {
			t.Errorf("%v: accepted", bad)
		}
	}
}

// A message that comes while the last ones are read from the history is shown once.
func TestChatShowsOnce(t *testing.T) {
	p := start(t)
	p.past.said = []overlay.Said{{Pos: 7, From: "bob", To: "me", Body: "seven", SentAt: time.Now()}}
	typed, passed := io.Pipe()
	defer passed.Close()
	out, err := p.client.Chat(t.Context(), url.Values{"follow": {"true"}}, typed)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	r := bufio.NewReader(out)
	next(t, r, "seven")
	for pos, body := range []string{7: "seven", 8: "eight", 9: "nine"} {
		if body != "" {
			p.n.Queue <- overlay.Message{From: "bob", To: "me", Body: body, Pos: uint64(pos)}
		}
	}
	for _, body := range []string{"eight", "nine"} {
		if line := next(t, r, "bob"); !strings.Contains(line, body) {
			t.Errorf("%q instead of %s", line, body)
		}
	}
}

// A peer that ends before it has answered ends a chat, also while nothing is typed; and so does the
// end of the client's patience.
func TestChatBroken(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(shortDir(t), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	chat := func(ctx context.Context) error {
		typed, passed := io.Pipe()
		defer passed.Close()
		out, err := newClient(l.Addr().String(), nil).Chat(ctx, nil, typed)
		if err == nil {
			out.Close()
		}
		return err
	}
	got := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { got <- chat(ctx) }()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := <-got; !errors.Is(err, ErrBroken) {
		t.Errorf("the peer has ended: %v", err)
	}
	go func() { got <- chat(ctx) }()
	if c, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("the client has ended: %v", err)
	}
}
