package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// crash is a run of a store that ends at a step, with the results that the store has given
// until then.
type crash struct {
	dir  string
	left int           // steps until the end
	dead chan struct{} // closed at the end

	mu      sync.Mutex
	closed  bool
	written int               // writes that were reported as safe, all but later ones
	noted   shownBy           // survive the process
	safe    shownBy           // survive the machine
	said    map[uint64]string // what of the history survives the machine
	gapped  int               // gaps that were reported as safe
	syncing map[string][]byte // the history before the fdatasync that is under way
	synced  map[string][]byte // what of them is sure to be on the disk
}

// shownBy is how far each run of each sender was noted.
type shownBy map[certs.PublicKey]map[delivery.Run]uint64

func (h shownBy) note(sender certs.PublicKey, s delivery.Stamp) {
	if h[sender] == nil {
		h[sender] = map[delivery.Run]uint64{}
	}
	h[sender][runOf(s)] = s.Counter
}

// runOf is the run that a message is of, without a counter.
func runOf(s delivery.Stamp) delivery.Run {
	return delivery.Run{Position: delivery.Position{Epoch: s.Epoch}, Nonce: s.Nonce}
}

// step is called by several goroutines.
func (c *crash) step(step string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return false
	}
	if c.left--; c.left == 0 {
		close(c.dead)
		return false
	}
	switch step {
	case "sync":
		c.syncing = c.history()
	case "synced":
		maps.Copy(c.synced, c.syncing)
	case "turned":
		c.turned()
	case "logged": // nobody else writes it
		c.synced[logFile] = c.file(logFile)
	}
	return true
}

// turned notes that with a new file of the history all that was written to others is synced; in the new
// one there is nothing yet.
func (c *crash) turned() {
	if now := c.history(); len(now) > len(c.synced)-3 { // log, cursor and late records
		maps.Copy(c.synced, now)
		c.syncing = now
	}
}

// history is what is in the history's files.
func (c *crash) history() map[string][]byte {
	files := make(map[string][]byte)
	entries, _ := os.ReadDir(filepath.Join(c.dir, historyDir))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "0") {
			name := filepath.Join(historyDir, e.Name())
			files[name] = c.file(name)
		}
	}
	return files
}

func (c *crash) file(name string) []byte {
	b, _ := os.ReadFile(filepath.Join(c.dir, name)) // nil if there is none
	return b
}

const (
	crashWrites = 8
	crashNotes  = 3 * fewSlots
	crashKeys   = 3 // senders
)

// play opens the store and uses it; false says that it ended before that.
func (c *crash) play(t *testing.T) bool {
	s, err := open(c.dir, HistoryConfig{}, c.step, fewSlots)
	if err != nil {
		if !errors.Is(err, ErrKilled) {
			t.Errorf("open: %v", err)
		}
		return false
	}
	c.opened()
	var last chan struct{}
	for i := range crashNotes {
		if i%(crashNotes/crashWrites) == 0 {
			last = c.write(t, s, 1+i/(crashNotes/crashWrites))
			c.setGaps(t, s, 1+i/(crashNotes/crashWrites))
		}
		// Each run has five notes, and each epoch two runs.
		n := uint64(i)
		c.note(t, s, key(i%crashKeys), delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 1 + n/10, Counter: n}, Nonce: 1 + n/5}, Hash: uint32(n)})
		if i%7 == 0 {
			select {
			case <-last:
			case <-c.dead:
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	select {
	case <-c.dead:
		return false
	default:
		return true
	}
}

// opened notes that Open has synced all files.
func (c *crash) opened() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.synced = c.history()
	for _, name := range []string{logFile, cursorName, lateName} { // the last two are never synced again
		c.synced[name] = c.file(name)
	}
}

// done is a done function for f.
func (c *crash) done(t *testing.T, f func()) func(error) {
	return func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil || c.closed {
			t.Errorf("done called with %v; after Close: %v", err, c.closed)
		}
		f()
	}
}

// write n adds two records and removes those of the write before.
func (c *crash) write(t *testing.T, s *Store, n int) chan struct{} {
	written := make(chan struct{})
	s.Write(c.done(t, func() { c.written = n; close(written) }),
		op(Unsettled, fmt.Sprint(n), "x"), op(Custody, fmt.Sprint(n), "x"), op(Peers, "last", fmt.Sprint(n)),
		deletion(Unsettled, fmt.Sprint(n-1)), deletion(Custody, fmt.Sprint(n-1)))
	return written
}

// note has a message written to the history, and notes that it was shown. (Some only note it.)
func (c *crash) note(t *testing.T, s *Store, sender certs.PublicKey, m delivery.Stamp) {
	e := []Entry{{Author: sender, Stamp: m, Data: []byte(textOf(m)), Message: true}}
	if m.Counter%5 == 4 {
		e[0].Data = nil
	}
	if err := s.Say(e); err != nil {
		if !errors.Is(err, ErrKilled) {
			t.Errorf("say: %v", err)
		}
		return
	}
	s.Shown(e[0].Pos, false, c.done(t, func() { c.safe.note(sender, m); c.said[e[0].Pos] = string(e[0].Data) }))
	select {
	case <-c.dead:
	default:
		c.noted.note(sender, m)
	}
}

func textOf(m delivery.Stamp) string { return fmt.Sprint("text ", m.Counter) }

// checkHistory reads what was said. Nothing is there that was not, or twice; and what was not shown is
// handed over, with its text.
func (c *crash) checkHistory(t *testing.T, s *Store, marks map[certs.PublicKey]delivery.Mark) {
	t.Helper()
	texts := map[uint64]string{}
	seen := map[string]bool{}
	if err := s.Read(Span{1, s.Said().Last}, func(e Entry) error {
		texts[e.Pos] = string(e.Data)
		if string(e.Data) != textOf(e.Stamp) || seen[string(e.Data)] {
			t.Errorf("%q is at %d for message %v", e.Data, e.Pos, e.Stamp)
		}
		seen[string(e.Data)] = true
		return nil
	}); err != nil {
		t.Error(err)
	}
	for pos, text := range c.said {
		if text != "" && texts[pos] != text {
			t.Errorf("%q is not at %d, but %q", text, pos, texts[pos])
		}
	}
	last := uint64(0)
	for _, e := range s.Early() {
		m := marks[e.Author]
		if e.Pos <= last || texts[e.Pos] != string(e.Data) || slices.ContainsFunc(m.Runs, func(r delivery.Run) bool {
			return runOf(e.Stamp) == runOf(delivery.Stamp{Run: r}) && r.Counter >= e.Stamp.Counter
		}) {
			t.Errorf("%v is to be shown, of %v", e, m)
		}
		last = e.Pos
	}
}

// setGaps gives a sender n gaps.
func (c *crash) setGaps(t *testing.T, s *Store, n int) {
	s.SetGaps(key(0), make([]delivery.Gap, n), c.done(t, func() { c.gapped = n }))
}

// check opens the store again.
func (c *crash) check(t *testing.T, atLeast shownBy) {
	t.Helper()
	s, err := open(c.dir, HistoryConfig{}, nil, fewSlots)
	if err != nil {
		t.Errorf("open after the crash: %v", err)
		return
	}
	defer s.Close()
	checkBolt(t, s)
	read := s.Marks()
	c.checkHistory(t, s, read)
	for sender, runs := range atLeast {
		m := read[sender]
		found := map[delivery.Run]uint64{}
		for _, s := range m.Stamps() {
			found[runOf(s)] = s.Counter
		}
		for run, counter := range runs {
			if have, ok := found[run]; !ok || have < counter {
				t.Errorf("a mark is %v, and run %v was shown up to %d", m, run, counter)
			}
		}
		if m.Hash != uint32(m.Position().Counter) {
			t.Errorf("the hash of the last message is %d in %v", m.Hash, m)
		}
	}
	if n := len(read[key(0)].Gaps); n < c.gapped {
		t.Errorf("there are %d gaps and not %d", n, c.gapped)
	}
	records := contentOf(t, s).records
	if len(records) == 0 && c.written == 0 {
		return
	}
	last := records["Peers last"]
	var n int
	if _, err := fmt.Sscan(last, &n); err != nil || n < c.written {
		t.Errorf("the last write is %q, and was %d", last, c.written)
	}
	if len(records) != 3 || records["Outbox "+last] == "" || records["Custody "+last] == "" {
		t.Errorf("after write %q there is %v", last, records)
	}
}

// powerCut leaves of each slot of log and history what was synced or what was written
// later, or a part of it if torn.
func (c *crash) powerCut(t *testing.T, name string, random *rand.Rand, torn bool) {
	path := filepath.Join(c.dir, name)
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(written); at += slotSize {
		keep := random.IntN(2) * slotSize
		if torn {
			keep = random.IntN(slotSize + 1)
		}
		copy(written[at+keep:at+slotSize], c.synced[name][at+keep:])
	}
	if err := os.WriteFile(path, written, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCrashes ends the store at each of its steps.
func TestCrashes(t *testing.T) {
	t.Run("process", func(t *testing.T) {
		t.Parallel()
		crashEverywhere(t, func(c *crash) shownBy { return c.noted })
	})
	for _, torn := range []bool{false, true} {
		t.Run(fmt.Sprint("machine, torn ", torn), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(3, 4))
			crashEverywhere(t, func(c *crash) shownBy {
				c.turned()
				for name := range c.synced {
					c.powerCut(t, name, random, torn)
				}
				return c.safe
			})
		})
	}
}

// crashEverywhere ends the store at each step. What end returns must be there then.
func crashEverywhere(t *testing.T, end func(*crash) shownBy) {
	for steps := 1; ; steps++ {
		c := &crash{
			dir: t.TempDir(), left: steps, dead: make(chan struct{}), noted: shownBy{}, safe: shownBy{},
			said: map[uint64]string{}, synced: map[string][]byte{},
		}
		whole := c.play(t)
		c.check(t, end(c))
		if t.Failed() {
			t.Fatalf("at step %d", steps)
		}
		if whole {
			if steps < 2*crashNotes || c.written != crashWrites {
				t.Errorf("there are only %d steps and %d writes", steps, c.written)
			}
			return
		}
	}
}

// TestCommitIsCut takes the pages of a commit that had reached the disk, in any
// order and cut, when the machine went down before the last of them, a meta.
func TestCommitIsCut(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	dir := t.TempDir()
	s := mustOpen(t, dir)
	page := os.Getpagesize()
	for round := range 20 {
		var ops []Op
		for range 30 {
			ops = append(ops, op(Unsettled, fmt.Sprint(random.IntN(300)), fmt.Sprint(round)), deletion(Unsettled, fmt.Sprint(random.IntN(300))))
		}
		write(t, s, ops[:30]...)
		want := contentOf(t, s).records
		before := imageOf(t, dir)
		write(t, s, ops[30:]...)
		after := imageOf(t, dir)[databaseFile]
		cut := before.with(databaseFile, func(b []byte) []byte {
			changed := 0
			for at := 2 * page; at < len(b); at += page {
				changed += copy(b[at:at+random.IntN(page+1)/512*512], after[at:])
			}
			if changed == 0 {
				t.Fatal("nothing was cut")
			}
			return b
		})
		crashed := t.TempDir()
		cut.put(t, crashed)
		again := mustOpen(t, crashed)
		if got := contentOf(t, again).records; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("round %d: the content is not that of before", round)
		}
		mustClose(t, again)
	}
}
