//go:build unix

package cli

import (
	"context"
	"iter"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"quicpeer/internal/control"
	"quicpeer/internal/lines/linestest"
	"quicpeer/internal/service"
	"quicpeer/overlay"
)

// dropping is a history that has lost what was before position 7.
type dropping struct{}

func (dropping) Place(string) (uint64, error)  { return 0, nil }
func (dropping) SetPlace(string, uint64) error { return nil }

func (dropping) First() uint64 { return 7 }

func (dropping) End() uint64 { return 7 }

func (dropping) Events(uint64) iter.Seq2[overlay.Past, error] {
	return func(yield func(overlay.Past, error) bool) {
		yield(overlay.Past{Event: overlay.Message{From: "bob", To: "me", Body: "kept", Pos: 7}}, nil)
	}
}

func (dropping) Messages(context.Context, overlay.Query) ([]overlay.Said, error) { return nil, nil }

// A request for events that are not kept any more gets the others, and a line on standard error.
func TestEventsNotKept(t *testing.T) {
	short, err := os.MkdirTemp("", "") // for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	dir, getenv := t.TempDir(), environment("TMPDIR="+short, "XDG_RUNTIME_DIR="+short)
	n := linestest.New("me")
	s := service.New(n, dropping{}, "", dir)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer n.Close()
	defer s.Abandon()
	wg.Go(s.Run)
	<-s.Ready()
	server, err := control.Serve(control.Config{Service: s, StateDir: dir, Getenv: getenv, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for from, want := range map[string]string{
		"3": "quicpeer: position 3 is not kept any more, so the events begin at position 7; --history-size and --history-messages say how much the peer keeps\n",
		"7": "",
	} {
		var out, problems buffer
		c := &command{args: []string{"events", "--from", from, "--state-dir", dir}, getenv: getenv, stdin: strings.NewReader(""), stdout: &out, stderr: &problems, interrupt: func() {}}
		if err := c.run(t.Context()); err != nil || problems.String() != want || !strings.Contains(out.String(), `"body":"kept"`) {
			t.Errorf("from %s: %q and %q, %v", from, out.String(), problems.String(), err)
		}
	}
}
