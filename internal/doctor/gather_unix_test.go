//go:build linux || darwin

package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStateOf(t *testing.T) {
	dir := t.TempDir()
	if s := stateOf(""); s != (State{}) {
		t.Errorf("%+v", s)
	}
	gone := filepath.Join(dir, "a", "b")
	if s := stateOf(gone); s.Exists || s.ReadOnly || s.Free == 0 || s.DiskErr != nil || s.Err != nil {
		t.Errorf("%+v", s)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := stateOf(file); s.Err == nil {
		t.Errorf("%+v", s)
	}
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if s := stateOf(state); !s.Exists || s.Held || s.Mode != 0o700 || s.Foreign {
		t.Errorf("%+v", s)
	}
	if _, err := os.Stat(filepath.Join(state, "lock")); err == nil {
		t.Error("looking at it has made a file")
	}
	lock := flock.New(filepath.Join(state, "lock"))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if s := stateOf(state); !s.Held {
		t.Error("it is not seen to be held")
	}
	lock.Close()
	if s := stateOf(state); s.Held {
		t.Error("it is held by nobody")
	}
	late := time.Now().Add(time.Hour).Truncate(time.Second)
	if err := os.Chtimes(filepath.Join(state, "lock"), late, late); err != nil {
		t.Fatal(err)
	}
	if got := newest(state); !got.Equal(late) {
		t.Errorf("the newest file is of %v", got)
	}
}

// On any machine that runs tests a socket hears this machine, and ends end in time.
func TestGather(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := Request{Listen: "127.0.0.1:0", StateDir: t.TempDir(), Root: t.TempDir(), Run: func(context.Context, string, ...string) (string, error) {
		cancel() // which the others must heed
		return "", os.ErrNotExist
	}}
	f := Gather(ctx, r)
	if f.Socket.Err != nil || !f.Socket.Tried || f.Socket.Receive == 0 || f.Socket.Wanted == 0 {
		t.Errorf("%+v", f.Socket)
	}
	if f.Clock.Now.IsZero() || f.Files.Most == 0 || len(f.Firewalls) > 0 {
		t.Errorf("%+v", f)
	}
	if len(Judge(f)) < 5 {
		t.Errorf("%+v", Judge(f))
	}
}

func TestSocketInUse(t *testing.T) {
	r := Request{Listen: "127.0.0.1:0", Root: "/"}
	s := r.socket(t.Context(), false)
	if !s.Heard || s.Err != nil {
		t.Errorf("%+v", s)
	}
	conn, port := occupied(t)
	defer conn.Close()
	r.Listen = port
	if s := r.socket(t.Context(), false); s.Err == nil || !s.Heard {
		t.Errorf("%+v", s)
	}
	if s := r.socket(t.Context(), true); s.Err != nil { // by the peer that runs
		t.Errorf("%+v", s)
	}
}

func TestPort(t *testing.T) {
	for listen, want := range map[string]uint16{":0": 0, ":5000": 5000, "[::1]:70000": 0, "x": 0} {
		if got := (Request{Listen: listen}).port(); got != want {
			t.Errorf("%s: %d", listen, got)
		}
	}
	if got := (Request{Listen: ":0", Peer: &Peer{Listen: []string{"10.0.0.1:7", "x"}}}).port(); got != 7 {
		t.Errorf("of the peer: %d", got)
	}
}

func TestRunCommand(t *testing.T) {
	out, err := RunCommand(t.Context(), "sh", "-c", "echo out; echo oh >&2; exit 3")
	if out != "out\n" || err == nil || !strings.Contains(why(err), "exit status 3 oh") {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := RunCommand(t.Context(), "nowhere-to-be-found"); !missing(err) {
		t.Error(err)
	}
	out, err = RunCommand(t.Context(), "sh", "-c", "head -c 5000000 /dev/zero")
	if len(out) != maxCommandOutput || err != nil {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}
