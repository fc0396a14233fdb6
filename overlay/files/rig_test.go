package files

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/transport/simtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// simulate runs a test in a bubble, on a simulated network of 10 ms one way.
func simulate(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Network: simtest.New(1, 10*time.Millisecond), t: t, root: t.TempDir(), log: &logs{}}
		t.Cleanup(w.Close)
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(w.log.String())
			}
		})
		test(t, w)
	})
}

// logs keeps the log of a test.
type logs struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

// world is a simulated network with peers that exchange files.
type world struct {
	*simtest.Network
	t    *testing.T
	root string // of the directories of all peers
	log  *logs
}

// dir is a directory of a peer: what it sends, gets, or remembers.
func (w *world) dir(parts ...string) string {
	dir := filepath.Join(append([]string{w.root}, parts...)...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// peer is a node with files, and the events it has had.
type peer struct {
	*Files
	w       *world
	n       *overlay.Node
	done    chan struct{}
	mu      sync.Mutex
	got     []overlay.Event
	changed chan struct{}
}

// start starts a peer; one of a name that was there before is its restart.
func (w *world) start(cfg Config, name string, join ...string) *peer {
	w.t.Helper()
	state := overlay.NewState(certs.ID(name), certs.NewIdentity([]byte(strings.Repeat(name+" ", 32)[:32])))
	state.Dir = w.dir(name, "state")
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", name)
	nc := overlay.Config{State: state, Conn: w.Node(name), Log: log}
	for _, other := range join {
		nc.Join = append(nc.Join, w.Addr(other).String())
	}
	n, err := overlay.Start(w.t.Context(), nc)
	if err != nil {
		w.t.Fatalf("starting %s: %v", name, err)
	}
	p := &peer{w: w, n: n, done: make(chan struct{}), changed: make(chan struct{})}
	cfg.Node, cfg.Dir, cfg.Into, cfg.Tell, cfg.Log = n, w.dir(name, "files"), w.dir(name, "in"), p.note, log
	if p.Files, err = Start(cfg); err != nil {
		w.t.Fatalf("opening the files of %s: %v", name, err)
	}
	go func() {
		defer close(p.done)
		for e := range n.Events() {
			after := p.Handle(e)
			p.note(e)
			for _, e := range after {
				p.note(e)
			}
		}
	}()
	w.t.Cleanup(p.stop)
	return p
}

func (p *peer) note(e overlay.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, e)
	close(p.changed)
	p.changed = make(chan struct{})
}

// stop ends a peer without a goodbye; only its directories are left.
func (p *peer) stop() {
	select {
	case <-p.done:
		return
	default:
	}
	p.w.Crash(string(p.n.ID()))
	if err := p.Files.Close(); err != nil {
		p.w.t.Errorf("closing the files of %s: %v", p.n.ID(), err)
	}
	_ = p.n.Close() // its socket is broken
	<-p.done
}

// await waits for an event that fits, of those from the first on.
func await[E overlay.Event](p *peer, limit time.Duration, fits func(E) bool) (found E) {
	p.w.t.Helper()
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		p.mu.Lock()
		for _, e := range p.got {
			if e, ok := e.(E); ok && fits(e) {
				p.mu.Unlock()
				return e
			}
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-late.C:
			p.w.t.Fatalf("%s: no fitting %T within %v; transfers: %+v", p.n.ID(), found, limit, p.Transfers())
		}
	}
}

func always[E any](E) bool { return true }

// have returns whether an event of a type has come.
func have[E overlay.Event](p *peer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.got, func(e overlay.Event) bool { _, ok := e.(E); return ok })
}

// count returns how many events of a type have come.
func count[E overlay.Event](p *peer) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.got {
		if _, ok := e.(E); ok {
			n++
		}
	}
	return n
}

// pair starts two peers that know each other.
func (w *world) pair(a, b Config) (alice, bob *peer) {
	w.t.Helper()
	alice = w.start(a, "alice")
	bob = w.start(b, "bob", "alice")
	await(alice, time.Minute, func(e overlay.PeerJoined) bool { return e.ID == "bob" })
	await(bob, time.Minute, func(e overlay.PeerJoined) bool { return e.ID == "alice" })
	return alice, bob
}

// random is that many bytes.
func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b) // never fails
	return b
}

// tree writes files, and returns their paths.
func (w *world) tree(dir string, files map[string][]byte) {
	w.t.Helper()
	for name, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				w.t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

// same fails unless two trees are the same.
func (w *world) same(want, got string) {
	w.t.Helper()
	a, b := w.list(want), w.list(got)
	if len(a) != len(b) {
		w.t.Errorf("%s has %d entries, and %s has %d", want, len(a), got, len(b))
	}
	for name, text := range a {
		if other, ok := b[name]; !ok || other != text {
			w.t.Errorf("%s is not the same (there: %v)", name, ok)
		}
	}
}

func (w *world) list(root string) map[string]string {
	w.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			all[rel] = "directory"
			return nil
		}
		b, err := os.ReadFile(path)
		info, _ := d.Info()
		all[rel] = fmt.Sprintf("%v %v %x", info.Mode(), info.ModTime().Unix(), sha256.Sum256(b))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}
