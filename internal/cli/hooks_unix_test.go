//go:build !windows

package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"quicpeer/internal/hooks"
	"quicpeer/internal/lines/linestest"
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
