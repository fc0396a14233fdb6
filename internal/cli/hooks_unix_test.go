//go:build !windows

package cli

import (
	"io"
	"strings"
	"testing"
	"time"

	"quicpeer/internal/hooks"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

// What the command prints goes back to the sender, also when the peer leaves meanwhile, and before
// it says goodbye.
func TestSessionHook(t *testing.T) {
	command, err := hooks.Parse(`sh -c 'echo "$QUICPEER_FROM: $(cat)"; echo oh >&2'`)
	if err != nil {
		t.Fatal(err)
	}
	n := linestest.New("me")
	n.Queue <- overlay.Message{From: "bob", To: "me", Body: "hi"}
	n.Queue <- overlay.Message{From: "bob", To: overlay.Everyone, Body: "all"}
	r, w := io.Pipe()
	var out buffer
	s, logs := newTestSession(n, r, &out)
	s.options.hook = hookOptions{command: command, reply: true}
	s.options.drain = time.Minute
	go func() {
		for _, what := range []string{"line=oh", `line="bob: all"`} {
			for look := time.NewTicker(5 * time.Millisecond); !strings.Contains(logs.String(), what); {
				<-look.C
			}
		}
		io.WriteString(w, `{"cmd":"leave"}`+"\n")
	}()
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if got := strings.Join(n.Sent(), "|"); got != "bob: bob: hi" {
		t.Errorf("sent %q\n%s", got, logs)
	}
	if strings.Contains(logs.String(), "WARN") {
		t.Error(logs)
	}
}
