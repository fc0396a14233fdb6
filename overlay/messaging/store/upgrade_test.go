package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// encodeOldMark is how format 1 wrote a mark.
func encodeOldMark(p delivery.Position, day uint32, gaps ...delivery.Gap) []byte {
	b := binary.BigEndian.AppendUint32(appendPosition(nil, p), day)
	for _, g := range gaps {
		b = appendPosition(appendPosition(b, g.From), g.To)
	}
	return b
}

// oldStore is a store as the program of an earlier format has left it: marks in the database, some
// in a file of their own too, and a message that waits.
func oldStore(t *testing.T, number uint64) image {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, dir)
	write(t, s, op(Unsettled, "waits", "message"))
	kill(s)
	s = mustOpen(t, dir)
	if err := s.update(func(t *transaction) error {
		t.changed = true
		return errors.Join(
			t.put(marks, slices.Clone(keyBytes(1)), encodeOldMark(delivery.Position{Epoch: 5, Counter: 4}, 7, delivery.Gap{From: delivery.Position{}, To: delivery.Position{Epoch: 3, Counter: 0}}, delivery.Gap{From: delivery.Position{Epoch: 3, Counter: 8}, To: delivery.Position{Epoch: 3, Counter: 9}}, delivery.Gap{From: delivery.Position{Epoch: 3, Counter: 12}, To: delivery.Position{Epoch: 5, Counter: 0}})),
			t.put(marks, slices.Clone(keyBytes(2)), encodeOldMark(delivery.Position{Epoch: 4, Counter: 4}, 7, delivery.Gap{From: delivery.Position{}, To: delivery.Position{Epoch: 4, Counter: 0}})),
			t.without(contents[len(contentsOf(number)):]),
			t.tx.Bucket([]byte(about)).Delete([]byte(saidKey)), putAbout(t.tx, formatKey, encodeNumber(number)))
	}); err != nil {
		t.Fatal(err)
	}
	if number < logSince {
		if err := s.update(func(t *transaction) error {
			t.changed = true
			return t.tx.Bucket([]byte(about)).Delete([]byte(foldedKey))
		}); err != nil {
			t.Fatal(err)
		}
	} else {
		for range 100 { // more than the log holds
			write(t, s, op(Unsettled, "logged", "another"))
		}
	}
	kill(s)
	old := imageOf(t, dir)
	for _, name := range historyFiles(t, dir) {
		delete(old, name)
	}
	old[oldNotesFile] = slices.Concat(oldHeader(8, true), oldSlot(key(1), shown(5, 9)), make([]byte, 7*slotSize))
	old[oldLateFile] = slices.Concat(make([]byte, 7*slotSize), oldSlot(key(1), shown(5, 8)))
	if number < logSince {
		delete(old, logFile)
		delete(old, oldLateFile)
	}
	return old
}

// oldHeader is that of the notes of earlier formats.
func oldHeader(slots uint64, used bool) []byte {
	b := make([]byte, slotSize)
	copy(b, oldTitle)
	binary.BigEndian.PutUint64(b[16:], 1)
	binary.BigEndian.PutUint64(b[24:], slots)
	if used {
		b[32] = 1
	}
	seal64(b)
	return b
}

// TestOldNotes: a store of an earlier format does not go on without its notes, or with others.
func TestOldNotes(t *testing.T) {
	old := oldStore(t, historySince-1)
	for what, change := range map[string]func(image){
		"missing":          func(i image) { delete(i, oldNotesFile) },
		"cut short":        func(i image) { i[oldNotesFile] = i[oldNotesFile][:8*slotSize] },
		"damaged":          func(i image) { i[oldNotesFile][3]++ },
		"without database": func(i image) { delete(i, databaseFile) },
	} {
		i := old.with(oldNotesFile, func(b []byte) []byte { return b })
		change(i)
		dir := t.TempDir()
		i.put(t, dir)
		_, err := open(dir, HistoryConfig{}, nil, fewSlots)
		if _, ok := errors.AsType[*DamagedError](err); !ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	dir := t.TempDir() // of a program that was ended while it made the first files
	image{oldNotesFile: append(oldHeader(8, false), make([]byte, 8*slotSize)...)}.put(t, dir)
	mustClose(t, mustOpen(t, dir))
	if _, err := os.Stat(filepath.Join(dir, oldNotesFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// without deletes buckets that an earlier format did not have.
func (t *transaction) without(list []Bucket) (err error) {
	for _, b := range list {
		err = errors.Join(err, t.tx.DeleteBucket([]byte(b)), t.tx.Bucket([]byte(about)).Delete([]byte(b)))
	}
	return err
}

func keyBytes(n int) []byte {
	k := key(n)
	return k[:]
}

// TestUpgrade opens a store of each earlier format, and is killed at each step of it.
func TestUpgrade(t *testing.T) {
	for number := uint64(oldFormat); number < format; number++ {
		t.Run(fmt.Sprint(number), func(t *testing.T) { testUpgrade(t, oldStore(t, number), number >= logSince) })
	}
}

// TestUpgradeMissesTheLog: a store whose format has a log does not go on without it.
func TestUpgradeMissesTheLog(t *testing.T) {
	for number := uint64(logSince); number < format; number++ {
		dir := t.TempDir()
		old := oldStore(t, number)
		delete(old, logFile)
		old.put(t, dir)
		if _, err := open(dir, HistoryConfig{}, nil, fewSlots); !strings.Contains(fmt.Sprint(err), "missing") {
			t.Errorf("format %d: %v", number, err)
		}
	}
}

func testUpgrade(t *testing.T, old image, logged bool) {
	want := map[certs.PublicKey]delivery.Mark{
		key(1): {Runs: []delivery.Run{shown(3, 12).Run, shown(5, 9).Run}, Gaps: []delivery.Gap{{From: delivery.Position{}, To: delivery.Position{Epoch: 3, Counter: 0}}, {From: delivery.Position{Epoch: 3, Counter: 8}, To: delivery.Position{Epoch: 3, Counter: 9}}, {From: delivery.Position{Epoch: 3, Counter: 12}, To: delivery.Position{Epoch: 5, Counter: 0}}}},
		key(2): {Runs: []delivery.Run{shown(4, 4).Run}, Gaps: []delivery.Gap{{From: delivery.Position{}, To: delivery.Position{Epoch: 4, Counter: 0}}}},
	}
	for steps := 0; ; steps++ {
		dir := t.TempDir()
		old.put(t, dir)
		left := steps
		s, err := open(dir, HistoryConfig{}, func(string) bool { left--; return left >= 0 }, fewSlots)
		whole := err == nil
		if whole {
			kill(s)
		} else if !errors.Is(err, ErrKilled) {
			t.Fatal(err)
		}
		s = mustOpen(t, dir)
		c := contentOf(t, s)
		for sender, m := range want {
			if c.marks[sender] != fmt.Sprint(m) {
				t.Errorf("after %d steps: the mark is %s, not %v", steps, c.marks[sender], m)
			}
		}
		if _, ok := c.records["Outbox logged"]; len(c.marks) != len(want) || c.records["Outbox waits"] != "message" || ok != logged {
			t.Errorf("after %d steps: %v", steps, c)
		}
		checkBolt(t, s)
		note(t, s, key(2), delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 4, Counter: 5}, Nonce: 11}, Hash: 12})
		write(t, s, op(Ignored, "key", "bob"))
		mustClose(t, s)
		if _, number, err := inspect(s.path); err != nil || number != format {
			t.Errorf("after %d steps: format %d, %v", steps, number, err)
		}
		s = mustOpen(t, dir)
		if got := s.Marks()[key(2)]; fmt.Sprint(got.Runs) != fmt.Sprint([]delivery.Run{shown(4, 4).Run, {Position: delivery.Position{Epoch: 4, Counter: 5}, Nonce: 11}}) || got.Hash != 12 {
			t.Errorf("after %d steps, a note later: %v", steps, got)
		}
		if whole {
			if steps < 4 {
				t.Errorf("%d steps only", steps)
			}
			return
		}
	}
}

// TestRuns: a mark knows how far each run of a sender was shown, in whatever order the notes
// come; the oldest runs are forgotten.
func TestRuns(t *testing.T) {
	var m delivery.Mark
	for i, test := range []struct {
		s   delivery.Stamp
		new bool
	}{
		{delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 1, Counter: 5}, Nonce: 10}, Hash: 1}, true},
		{delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 1, Counter: 5}, Nonce: 10}, Hash: 2}, false},
		{delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 2, Counter: 1}, Nonce: 20}, Hash: 3}, true},
		{delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 1, Counter: 7}, Nonce: 10}, Hash: 4}, true},
		{delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 2, Counter: 3}, Nonce: 21}, Hash: 5}, true},
		{delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 2, Counter: 2}, Nonce: 20}, Hash: 6}, true},
		{delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 2, Counter: 1}, Nonce: 20}, Hash: 7}, false},
	} {
		if m.Raise(test.s) != test.new {
			t.Errorf("%d: new is not %v", i, test.new)
		}
	}
	if want := (delivery.Mark{Runs: []delivery.Run{{Position: delivery.Position{Epoch: 1, Counter: 7}, Nonce: 10}, {Position: delivery.Position{Epoch: 2, Counter: 2}, Nonce: 20}, {Position: delivery.Position{Epoch: 2, Counter: 3}, Nonce: 21}}, Hash: 5}); fmt.Sprint(m) != fmt.Sprint(want) {
		t.Errorf("%v, not %v", m, want)
	}
	for i := range uint64(2 * delivery.MaxRuns) {
		m.Raise(delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 10 + i, Counter: 1}, Nonce: i}, Hash: uint32(i)})
	}
	if len(m.Runs) != delivery.MaxRuns || m.Runs[0].Epoch != 10+delivery.MaxRuns || m.Hash != 2*delivery.MaxRuns-1 || m.Raise(delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 1, Counter: 9}, Nonce: 10}, Hash: 1}) {
		t.Errorf("%v", m)
	}
}
