package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"quicpeer/overlay/messaging/delivery"
)

// openBounded opens a store whose history has small files and these bounds.
func openBounded(t *testing.T, dir string, cfg HistoryConfig) *Store {
	t.Helper()
	s, err := open(dir, cfg, nil, fewSlots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// sayShown writes a message and waits until it is safe that it was shown.
func sayShown(t *testing.T, s *Store, n int, text string) uint64 {
	t.Helper()
	e := []Entry{{Author: key(n % 5), Stamp: shown(1, uint64(n)), Data: []byte(text), Message: true}}
	if text == "" {
		e[0].Data = nil
	}
	if err := s.Say(e); err != nil {
		t.Fatal(err)
	}
	if err := await(func(done func(error)) { s.Shown(e[0].Pos, false, done) }); err != nil {
		t.Fatal(err)
	}
	return e[0].Pos
}

// texts are those of the history, and their positions.
func texts(t *testing.T, s *Store, span Span) (list []string, positions []uint64) {
	t.Helper()
	if err := s.Read(span, func(e Entry) error {
		list = append(list, string(e.Data))
		positions = append(positions, e.Pos)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list, positions
}

// TestHistoryBounds: the oldest goes first, positions stay, and what was shown is not forgotten.
func TestHistoryBounds(t *testing.T) {
	for name, cfg := range map[string]HistoryConfig{"bytes": {Bytes: 8 << 10}, "messages": {Messages: 30}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openBounded(t, dir, cfg)
			at := map[string]uint64{}
			const all = 200
			for n := range all {
				text := fmt.Sprint("text ", n)
				if n == 77 {
					text = strings.Repeat("a long one ", 500)
				}
				at[text] = sayShown(t, s, n, text)
			}
			mustClose(t, s)
			s = openBounded(t, dir, cfg)
			list, positions := texts(t, s, Span{0, s.Said().Last})
			if len(list) < 20 || len(list) > 60 || list[len(list)-1] != fmt.Sprint("text ", all-1) {
				t.Fatalf("%d messages are left, the last %q", len(list), list[len(list)-1])
			}
			for i, text := range list {
				if at[text] != positions[i] || text != fmt.Sprint("text ", all-len(list)+i) {
					t.Errorf("%q is at %d, and was at %d", text, positions[i], at[text])
				}
			}
			if first := s.Said().First; first > positions[0] || first < positions[0]-10 {
				t.Errorf("the history begins at %d, its first message is at %d", first, positions[0])
			}
			marks := s.Marks()
			for n := range 5 {
				if got := marks[key(n)]; got.Position() != (delivery.Position{Epoch: 1, Counter: uint64(all - 5 + n)}) {
					t.Errorf("sender %d was shown up to %v", n, got)
				}
			}
			if files := historyFiles(t, dir); len(files) > 16 {
				t.Errorf("%d files are left", len(files))
			}
		})
	}
}

// TestNotesAreDropped: without texts the history takes no more room than it needs.
func TestNotesAreDropped(t *testing.T) {
	dir := t.TempDir()
	s := openBounded(t, dir, HistoryConfig{})
	said := sayShown(t, s, 0, "once said")
	for n := range 300 {
		sayShown(t, s, n, "")
	}
	mustClose(t, s)
	if files := historyFiles(t, dir); len(files) > 5 {
		t.Errorf("%d files are left", len(files))
	}
	s = openBounded(t, dir, HistoryConfig{})
	if list, positions := texts(t, s, Span{0, s.Said().Last}); len(list) != 1 || positions[0] != said {
		t.Errorf("%q at %v is left", list, positions)
	}
	if got := s.Marks()[key(4)].Runs; len(got) != 1 || got[0].Counter != 299 {
		t.Errorf("shown up to %v", got)
	}
}

// TestFloor: an Open reads from there on, whatever was shown.
func TestFloor(t *testing.T) {
	dir := t.TempDir()
	var floor atomic.Uint64
	s := openBounded(t, dir, HistoryConfig{Floor: func(uint64) uint64 { return floor.Load() }})
	for n := range 20 {
		if n == 5 {
			floor.Store(s.Said().Last + 1) // before anything is written there
		}
		sayShown(t, s, n, "text")
	}
	mustClose(t, s)
	s = openBounded(t, dir, HistoryConfig{})
	if s.Folded() != floor.Load()-1 {
		t.Errorf("the next Open begins behind %d, not %d", s.Folded(), floor.Load()-1)
	}
}

// TestReadBackwards: the parts together are the history.
func TestReadBackwards(t *testing.T) {
	s := openBounded(t, t.TempDir(), HistoryConfig{})
	for n := range 50 {
		sayShown(t, s, n, fmt.Sprint("text ", n))
	}
	n := 50
	for _, part := range s.Parts() {
		list, _ := texts(t, s, part)
		for i := len(list) - 1; i >= 0; i-- {
			if n--; list[i] != fmt.Sprint("text ", n) {
				t.Fatalf("%q, not number %d", list[i], n)
			}
		}
	}
	if n != 0 {
		t.Errorf("%d messages are in no part", n)
	}
	count := 0
	if err := s.Read(Span{1, s.Said().Last}, func(Entry) error {
		if count++; count == 3 {
			return ErrEnough
		}
		return nil
	}); err != nil || count != 3 {
		t.Errorf("%d were read, %v", count, err)
	}
}

// TestDamagedPast: damage of an older file is an error of whoever reads it, and of nobody else; so is a
// file that is missing.
func TestDamagedPast(t *testing.T) {
	dir := t.TempDir()
	s := openBounded(t, dir, HistoryConfig{})
	for n := range 40 {
		sayShown(t, s, n, fmt.Sprint("text ", n))
	}
	mustClose(t, s)
	whole := imageOf(t, dir)
	second := historyFiles(t, dir)[1]
	for what, change := range map[string]func(image) image{
		"a byte":         func(i image) image { return i.with(second, func(b []byte) []byte { b[300] ^= 1; return b }) },
		"the last bytes": func(i image) image { return i.with(second, func(b []byte) []byte { clear(b[700:]); return b }) },
		"all":            func(i image) image { return i.with(second, func(b []byte) []byte { clear(b[slotSize:]); return b }) },
		"the file": func(i image) image {
			i = i.with(second, func(b []byte) []byte { return b })
			delete(i, second)
			return i
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			change(whole).put(t, dir)
			s := openBounded(t, dir, HistoryConfig{})
			err := s.Read(Span{1, s.Said().Last}, func(Entry) error { return nil })
			if e, ok := errors.AsType[*DamagedError](err); !ok || !strings.HasPrefix(e.Path, filepath.Join(dir, historyDir)) {
				t.Errorf("reading all: %v", err)
			}
			newest := s.Parts()[0]
			if list, _ := texts(t, s, newest); len(list) == 0 || list[len(list)-1] != "text 39" {
				t.Errorf("the newest part is %q", list)
			}
			if m := s.Marks(); len(m) != 5 {
				t.Errorf("marks of %d senders", len(m))
			}
		})
	}
}

// TestSpareOfAnotherSize: a spare file that is not as it should be is not used.
func TestSpareOfAnotherSize(t *testing.T) {
	dir := t.TempDir()
	s := openBounded(t, dir, HistoryConfig{})
	if err := os.WriteFile(filepath.Join(dir, historyDir, spareFile), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 30 {
		sayShown(t, s, n, fmt.Sprint("text ", n))
	}
	if list, _ := texts(t, s, Span{1, s.Said().Last}); len(list) != 30 {
		t.Errorf("%d messages", len(list))
	}
}

// TestEventsAreKept: what became of messages is as good as the messages.
func TestEventsAreKept(t *testing.T) {
	dir := t.TempDir()
	s := openBounded(t, dir, HistoryConfig{})
	for n := range 100 {
		e := []Entry{{Data: []byte(fmt.Sprint("event ", n))}}
		if err := s.Say(e); err != nil {
			t.Fatal(err)
		}
		if err := await(func(done func(error)) { s.Shown(e[0].Pos, false, done) }); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	s = openBounded(t, dir, HistoryConfig{})
	if list, _ := texts(t, s, Span{1, s.Said().Last}); len(list) != 100 {
		t.Errorf("%d of 100 events are left", len(list))
	}
}

// TestForgedRecords: a message that looks like records, and was cut short by a crash, is cut off, and no
// damage.
func TestForgedRecords(t *testing.T) {
	for salt := range uint32(3) {
		dir := t.TempDir()
		s := mustOpen(t, dir)
		say(t, s, Entry{Data: []byte("first")})
		var forged []byte
		for len(forged) < 40*saidAlign {
			forged = segment{salt: salt}.appendSaid(forged, 9, 1<<60, 1, kindShown, nil)
		}
		shift := saidAlign - (saidHead+noteSize)%saidAlign
		say(t, s, Entry{Data: append(make([]byte, shift), forged...)})
		i := imageOf(t, dir)
		kill(s)
		cut := t.TempDir()
		name := i.lastSegment()
		i.with(name, func(b []byte) []byte { clear(b[len(bytes.TrimRight(b, "\x00"))-2*saidAlign:]); return b }).put(t, cut)
		s = mustOpen(t, cut)
		if list, _ := texts(t, s, Span{1, s.Said().Last}); len(list) != 1 || s.Torn() == 0 {
			t.Errorf("salt %d: %d records, %d bytes torn", salt, len(list), s.Torn())
		}
		mustClose(t, s)
	}
}

// TestOlderDatabase: what was shown since the database was copied is missed.
func TestOlderDatabase(t *testing.T) {
	dir := t.TempDir()
	s := openBounded(t, dir, HistoryConfig{Messages: 10})
	sayShown(t, s, 0, "text")
	older := imageOf(t, dir)[databaseFile]
	for n := range 100 {
		sayShown(t, s, n, "text")
	}
	mustClose(t, s)
	imageOf(t, dir).with(databaseFile, func([]byte) []byte { return older }).put(t, dir)
	_, err := open(dir, HistoryConfig{}, nil, fewSlots)
	if _, ok := errors.AsType[*DamagedError](err); !ok {
		t.Errorf("opened with %v", err)
	}
}
