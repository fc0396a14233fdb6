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
	"testing"

	"quicpeer/certs"
)

// TestManyCrashes uses one history in many sessions in a row. Each ends in good order, or at any step, with the
// process or with the machine: then writes that were not synced are cut, and the boot is another. In each session
// all that was called safe is at its position, nothing is there twice or changed, no position is given twice, and
// what was not shown is handed over.
func TestManyCrashes(t *testing.T) {
	seeds, sessions := uint64(6), 15
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			dir := t.TempDir()
			u := usage{told: map[uint64]string{}, unconfirmed: map[uint64]string{}, safe: map[uint64]string{}, shown: map[certs.PublicKey]uint64{}}
			for n := range sessions {
				c := &crash{dir: dir, left: 1 + random.IntN(60), dead: make(chan struct{}), synced: map[string][]byte{}}
				opened := u.session(t, c, random)
				machine := random.IntN(2) == 0
				if opened && machine {
					c.endMachine(t, random)
				}
				if t.Failed() {
					t.Fatalf("in session %d", n)
				}
			}
			s := mustOpen(t, dir)
			u.check(t, s)
			mustClose(t, s)
		})
	}
}

// endMachine ends the machine: what was not synced is lost in part, unless the store was closed, and the cursor is
// of another boot.
func (c *crash) endMachine(t *testing.T, random *rand.Rand) {
	t.Helper()
	torn := random.IntN(2) == 0
	if !c.closed {
		c.turned()
		for _, name := range slices.Sorted(maps.Keys(c.synced)) {
			c.powerCut(t, name, random, torn && name != cursorName)
		}
	}
	path := filepath.Join(c.dir, cursorName)
	cursor, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, anotherBoot(cursor), 0o600); err != nil {
		t.Fatal(err)
	}
}

// usage is what the sessions of a history have done and seen.
type usage struct {
	told        map[uint64]string          // by position, what Say has accepted or Read has returned
	unconfirmed map[uint64]string          // what may be there of a Say that was killed
	safe        map[uint64]string          // what must survive the machine
	shown       map[certs.PublicKey]uint64 // counters that must survive the machine
	counters    [4]uint64                  // of each sender; the last sends nothing to be read
	texts       int
}

// session opens the store, checks what is there and goes on, until the end of c or before; false says that it was
// killed while it opened.
func (u *usage) session(t *testing.T, c *crash, random *rand.Rand) bool {
	s, err := open(c.dir, HistoryConfig{}, c.step, fewSlots)
	if errors.Is(err, ErrKilled) {
		return false
	}
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer kill(s) // nothing happens if it is closed
	c.opened()
	queue := u.check(t, s)
	safe := make(chan struct{}) // closed when the last Shown is safe
	close(safe)
	for range 10 + random.IntN(30) {
		switch random.IntN(4) {
		case 0, 1:
			list, err := u.say(t, s, random)
			if err != nil {
				return true
			}
			queue = append(queue, list...)
		case 2:
			if len(queue) > 0 {
				n := 1 + random.IntN(len(queue))
				safe = u.show(t, c, s, queue[:n], random.IntN(3) == 0)
				queue = queue[n:]
			}
		case 3:
			select {
			case <-safe:
			case <-c.dead:
				return true
			}
		}
	}
	if random.IntN(2) == 0 {
		return true
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = c.left > 0
	return true
}

// say writes some entries of several senders, short and long; an error is that of a kill.
func (u *usage) say(t *testing.T, s *Store, random *rand.Rand) ([]Entry, error) {
	t.Helper()
	list := make([]Entry, 1+random.IntN(4))
	for i := range list {
		sender := random.IntN(3)
		u.texts++
		text := fmt.Sprintf("text %d %s", u.texts, strings.Repeat("x", random.IntN(1+random.IntN(200))))
		if random.IntN(40) == 0 {
			text += strings.Repeat("x", 1500) // several slots
		}
		if random.IntN(6) == 0 {
			sender, text = len(u.counters)-1, ""
		}
		u.counters[sender]++
		list[i] = Entry{Author: key(sender), Stamp: shown(1, u.counters[sender]), Data: []byte(text), Message: random.IntN(3) > 0}
	}
	err := s.Say(list)
	if err != nil && !errors.Is(err, ErrKilled) {
		t.Fatalf("say: %v", err)
	}
	for _, e := range list {
		if err != nil {
			u.unconfirmed[e.Pos] = string(e.Data)
			continue
		}
		if before, again := u.told[e.Pos]; again {
			t.Errorf("position %d of %q is given again, to %q", e.Pos, before, e.Data)
		}
		u.told[e.Pos] = string(e.Data)
	}
	return list, err
}

// show notes that entries were shown; what it returns is closed when that is safe.
func (u *usage) show(t *testing.T, c *crash, s *Store, entries []Entry, lazy bool) chan struct{} {
	safe := make(chan struct{})
	s.Shown(entries[len(entries)-1].Pos, lazy, c.done(t, func() {
		for _, e := range entries {
			u.safe[e.Pos] = string(e.Data)
			u.shown[e.Author] = max(u.shown[e.Author], e.Stamp.Counter)
		}
		close(safe)
	}))
	return safe
}

// check compares a store that was opened with what was done before, and returns what is to be shown.
func (u *usage) check(t *testing.T, s *Store) []Entry {
	t.Helper()
	places := u.read(t, s)
	for pos, text := range u.safe {
		if text != "" && places[text] != pos {
			t.Errorf("%q was safe at %d, and is at %d", text, pos, places[text])
		}
	}
	marks := s.Marks()
	for sender, counter := range u.shown {
		if m := marks[sender]; m.Position().Counter < counter {
			t.Errorf("a mark is %v, and %d was shown", m, counter)
		}
	}
	early := s.Early()
	for _, e := range early {
		if places[string(e.Data)] != e.Pos || marks[e.Author].Position().Counter >= e.Stamp.Counter {
			t.Errorf("%v at %d is to be shown, of %v", e.Stamp, e.Pos, marks[e.Author])
		}
	}
	return early
}

// read reads the history, as a whole and in parts, and returns where each text is.
func (u *usage) read(t *testing.T, s *Store) map[string]uint64 {
	t.Helper()
	places := map[string]uint64{}
	last := uint64(0)
	if err := s.Read(Span{1, s.Said().Last}, func(e Entry) error {
		text := string(e.Data)
		want, told := u.told[e.Pos]
		if !told {
			want = u.unconfirmed[e.Pos]
		}
		if text != want || e.Pos <= last || places[text] != 0 {
			t.Errorf("%q is at %d behind %d, and not %q; it was at %d", text, e.Pos, last, want, places[text])
		}
		u.told[e.Pos], places[text], last = text, e.Pos, e.Pos
		return nil
	}); err != nil {
		t.Errorf("read: %v", err)
	}
	n := 0
	for _, part := range s.Parts() {
		if err := s.Read(part, func(Entry) error { n++; return nil }); err != nil {
			t.Errorf("read %v: %v", part, err)
		}
	}
	if n != len(places) {
		t.Errorf("the parts have %d entries, and the whole has %d", n, len(places))
	}
	return places
}
