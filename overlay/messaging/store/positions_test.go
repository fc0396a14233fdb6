package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// anotherBoot is the cursor of a history that was written before the machine has started again.
func anotherBoot(b []byte) []byte {
	for slot := range cursorSlots {
		b[slot*slotSize+32] ^= 1
		seal64(b[slot*slotSize:][:slotSize])
	}
	return b
}

// TestPositionsAfterACrash: a crash of the machine may take records whose positions were told. They are not given
// to others, however often it crashes; the end of a process, or of a boot in good order, changes nothing.
func TestPositionsAfterACrash(t *testing.T) {
	dir := t.TempDir()
	s := openBounded(t, dir, HistoryConfig{})
	for n := range 5 {
		sayShown(t, s, n, fmt.Sprint("text ", n))
	}
	for n := 5; n < 40; n += 5 {
		safe := imageOf(t, dir)
		say(t, s, Entry{Data: []byte("lost")})
		told := say(t, s, Entry{Data: []byte("lost")})
		kill(s)
		dir = t.TempDir()
		safe.with(cursorName, anotherBoot).put(t, dir)
		s = openBounded(t, dir, HistoryConfig{})
		if end := s.Said().Last; end < told {
			t.Fatalf("it ends at %d, and %d was told", end, told)
		}
		for i := range 5 {
			pos := sayShown(t, s, n+i, fmt.Sprint("text ", n+i))
			if pos <= told {
				t.Errorf("position %d is given again, or is behind %d", pos, told)
			}
			told = pos
		}
		list, positions := texts(t, s, Span{1, s.Said().Last})
		if len(list) != n+5 || list[n+4] != fmt.Sprint("text ", n+4) || !slices.IsSorted(positions) {
			t.Errorf("%q at %v", list, positions)
		}
		last := s.Said().Last
		if n%2 == 0 {
			kill(s)
		} else {
			mustClose(t, s)
			imageOf(t, dir).with(cursorName, anotherBoot).put(t, dir)
		}
		s = openBounded(t, dir, HistoryConfig{})
		if end := s.Said().Last; end > last+1 {
			t.Errorf("it ends at %d, and was closed at %d", end, last)
		}
	}
}

// TestPositionsAfterTwoCrashes: a start that ends before it has gone on beyond them leaves that to the next one;
// and so it is where nothing at all of the history was safe.
func TestPositionsAfterTwoCrashes(t *testing.T) {
	for said := range 3 {
		dir := t.TempDir()
		s := openBounded(t, dir, HistoryConfig{})
		for n := range said {
			sayShown(t, s, n, fmt.Sprint("text ", n))
		}
		safe := imageOf(t, dir)
		told := say(t, s, Entry{Data: []byte("lost")})
		kill(s)
		dir = t.TempDir()
		safe.with(cursorName, anotherBoot).put(t, dir)
		s, err := open(dir, HistoryConfig{}, func(step string) bool { return step != "sync" }, fewSlots)
		if !errors.Is(err, ErrKilled) {
			t.Fatal(err)
		}
		if s != nil {
			t.Fatal("opened, and killed")
		}
		s = openBounded(t, dir, HistoryConfig{})
		if pos := say(t, s, Entry{Data: []byte("new")}); pos <= told {
			t.Errorf("position %d is given, and %d was told", pos, told)
		}
	}
}

// TestCrashesTakeNoRoom: however often the machine crashes, the history keeps what it has.
func TestCrashesTakeNoRoom(t *testing.T) {
	dir := t.TempDir()
	cfg := HistoryConfig{Bytes: 64 << 10}
	for n := range 40 {
		s := openBounded(t, dir, cfg)
		sayShown(t, s, n, fmt.Sprint("text ", n))
		if list, _ := texts(t, s, Span{1, s.Said().Last}); len(list) != n+1 {
			t.Fatalf("%d of %d messages are left", len(list), n+1)
		}
		i := imageOf(t, dir)
		kill(s)
		dir = t.TempDir()
		i.with(cursorName, anotherBoot).put(t, dir)
	}
}

// TestLostAfterTheEnd: of a history that was closed in good order nothing may be missing, in whatever boot.
func TestLostAfterTheEnd(t *testing.T) {
	dir := t.TempDir()
	s := openBounded(t, dir, HistoryConfig{})
	for n := 0; len(s.segments) < 3; n++ {
		sayShown(t, s, n, fmt.Sprint("text ", n))
	}
	mustClose(t, s)
	whole := imageOf(t, dir)
	for name, cursor := range map[string]func([]byte) []byte{"this boot": slices.Clone[[]byte], "another": anotherBoot} {
		for what, change := range map[string]func(image){
			"the last record": func(i image) {
				b := i[whole.lastSegment()]
				end := len(b)
				for b[end-1] == 0 {
					end--
				}
				clear(b[end-saidAlign:])
			},
			"the last file": func(i image) { delete(i, whole.lastSegment()) },
		} {
			dir := t.TempDir()
			i := whole.with(cursorName, cursor).with(whole.lastSegment(), slices.Clone[[]byte])
			change(i)
			i.put(t, dir)
			if _, err := open(dir, HistoryConfig{}, nil, fewSlots); !isDamaged(err) {
				t.Errorf("%s, in %s: %v", what, name, err)
			}
		}
	}
}

// TestLateRecordsAttest: what the late records call safe can't be missing in the file.
func TestLateRecordsAttest(t *testing.T) {
	dir := t.TempDir()
	s := openBounded(t, dir, HistoryConfig{})
	sayShown(t, s, 1, "one")
	sayShown(t, s, 2, "two")
	say(t, s, Entry{Data: []byte("late")})
	i := imageOf(t, dir)
	kill(s)
	dir = t.TempDir()
	i.with(i.lastSegment(), func(b []byte) []byte {
		clear(b[slotSize+saidAlign:])
		return b
	}).put(t, dir)
	if _, err := open(dir, HistoryConfig{}, nil, fewSlots); !isDamaged(err) {
		t.Errorf("got %v", err)
	}
}

// TestPastRemoved: a file in the middle that others remove is missed by whoever reads it.
func TestPastRemoved(t *testing.T) {
	dir := t.TempDir()
	s := openBounded(t, dir, HistoryConfig{})
	for n := range 40 {
		sayShown(t, s, n, "text")
	}
	if err := os.Remove(s.segments[1].path); err != nil {
		t.Fatal(err)
	}
	err := s.Read(Span{1, s.Said().Last}, func(Entry) error { return nil })
	if _, removed := errors.AsType[*RemovedError](err); !removed {
		t.Errorf("got %v", err)
	}
}

// TestSpareIsUsed: a spare file that is larger than it need be is used.
func TestSpareIsUsed(t *testing.T) {
	dir := t.TempDir()
	s := openBounded(t, dir, HistoryConfig{})
	h := filepath.Join(dir, historyDir)
	if err := os.WriteFile(filepath.Join(h, spareFile), make([]byte, 16*s.size), 0o600); err != nil {
		t.Fatal(err)
	}
	for n := 0; len(s.segments) < 2; n++ {
		sayShown(t, s, n, "text")
	}
	if got := s.segments[1].size; got != 16*s.size {
		t.Errorf("the next file has %d bytes", got)
	}
	mustClose(t, s)
	s = openBounded(t, dir, HistoryConfig{})
	if list, _ := texts(t, s, Span{1, s.Said().Last}); len(list) == 0 {
		t.Error("nothing is left")
	}
}

// TestHostileTail: what a crash has left of a message that looks like records everywhere is cut off soon.
func TestHostileTail(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	sayShown(t, s, 1, "first")
	body := make([]byte, 1<<20)
	for i := 0; i+4 <= len(body); i += 4 {
		body[i+1] = 0x10 // a length of 1 MiB
	}
	for shift := range 4 {
		say(t, s, Entry{Data: body[shift:], Message: true})
	}
	if list, _ := texts(t, s, Span{1, s.Said().Last}); len(list) != 5 {
		t.Fatal(len(list))
	}
	path := s.segments[len(s.segments)-1].path
	kill(s)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[slotSize+saidHead+5] ^= 1 // of the first message there
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if list, _ := texts(t, s, Span{1, s.Said().Last}); len(list) != 2 || s.Torn() < 3<<20 {
		t.Errorf("%d messages are left, and %d bytes are cut off", len(list), s.Torn())
	}
	mustClose(t, s)
}

// counting counts the bytes that are read.
type counting struct {
	*bytes.Reader
	read int
}

func (c *counting) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.Reader.ReadAt(b, at)
	c.read += n
	return n, err
}

// TestLookingIsBounded: bytes that look like records everywhere are read so many times at most.
func TestLookingIsBounded(t *testing.T) {
	b := bytes.Repeat([]byte{0, 0x10, 0, 0}, 1<<19) // each slot looks like a record of 1 MiB
	from := &counting{Reader: bytes.NewReader(b)}
	w := &window{segment: segment{size: len(b), first: 1}, from: from}
	found, err := w.attests(slotSize, 1)
	if err != nil || found || from.read > (maxLooked+2)*len(b) {
		t.Errorf("found %v, %v, after %d times the bytes", found, err, from.read/len(b))
	}
}
