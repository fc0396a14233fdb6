package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"quicpeer/certs"
)

// encodeOldMark is how format 1 wrote a mark.
func encodeOldMark(p Position, day uint32, gaps ...Gap) []byte {
	b := binary.BigEndian.AppendUint32(appendPosition(nil, p), day)
	for _, g := range gaps {
		b = appendPosition(appendPosition(b, g.From), g.To)
	}
	return b
}

// oldStore is a store as the program of format 1 has left it: marks in the database, some
// in the journal too, and a message that waits.
func oldStore(t *testing.T) image {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, dir)
	write(t, s, op(Outbox, "waits", "message"))
	note(t, s, key(1), shown(5, 9)) // not folded
	kill(s)
	journal := imageOf(t, dir)[journalFile]
	s = mustOpen(t, dir)
	if err := s.update(func(t *transaction) error {
		t.changed = true
		return errors.Join(
			t.put(marks, slices.Clone(keyBytes(1)), encodeOldMark(Position{5, 4}, 7, Gap{Position{}, Position{3, 0}}, Gap{Position{3, 8}, Position{3, 9}}, Gap{Position{3, 12}, Position{5, 0}})),
			t.put(marks, slices.Clone(keyBytes(2)), encodeOldMark(Position{4, 4}, 7, Gap{Position{}, Position{4, 0}})),
			putAbout(t.tx, formatKey, encodeNumber(oldFormat)))
	}); err != nil {
		t.Fatal(err)
	}
	kill(s)
	return imageOf(t, dir).with(journalFile, func([]byte) []byte { return journal })
}

func keyBytes(n int) []byte {
	k := key(n)
	return k[:]
}

// TestUpgrade opens a store of format 1, and is killed at each step of it.
func TestUpgrade(t *testing.T) {
	old := oldStore(t)
	want := map[certs.PublicKey]Mark{
		key(1): {Runs: []Run{shown(3, 12).Run, shown(5, 9).Run}, Gaps: []Gap{{Position{}, Position{3, 0}}, {Position{3, 8}, Position{3, 9}}, {Position{3, 12}, Position{5, 0}}}},
		key(2): {Runs: []Run{shown(4, 4).Run}, Gaps: []Gap{{Position{}, Position{4, 0}}}},
	}
	for steps := 0; ; steps++ {
		dir := t.TempDir()
		old.put(t, dir)
		left := steps
		s, err := open(dir, func(string) bool { left--; return left >= 0 }, fewSlots)
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
		if len(c.marks) != len(want) || c.records["Outbox waits"] != "message" {
			t.Errorf("after %d steps: %v", steps, c)
		}
		checkBolt(t, s)
		note(t, s, key(2), Shown{Run{Position{4, 5}, 11}, 12})
		mustClose(t, s)
		if _, number, err := inspect(s.path); err != nil || number != format {
			t.Errorf("after %d steps: format %d, %v", steps, number, err)
		}
		s = mustOpen(t, dir)
		if got := s.Marks()[key(2)]; fmt.Sprint(got.Runs) != fmt.Sprint([]Run{shown(4, 4).Run, {Position{4, 5}, 11}}) || got.Hash != 12 {
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

// TestRuns: of each run of a sender it is known how far it was shown, in whatever order it
// is noted; the oldest are forgotten.
func TestRuns(t *testing.T) {
	var m Mark
	for i, test := range []struct {
		s   Shown
		new bool
	}{
		{Shown{Run{Position{1, 5}, 10}, 1}, true},
		{Shown{Run{Position{1, 5}, 10}, 2}, false},
		{Shown{Run{Position{2, 1}, 20}, 3}, true},
		{Shown{Run{Position{1, 7}, 10}, 4}, true},
		{Shown{Run{Position{2, 3}, 21}, 5}, true},
		{Shown{Run{Position{2, 2}, 20}, 6}, true},
		{Shown{Run{Position{2, 1}, 20}, 7}, false},
	} {
		if m.raise(test.s) != test.new {
			t.Errorf("%d: new is not %v", i, test.new)
		}
	}
	if want := (Mark{Runs: []Run{{Position{1, 7}, 10}, {Position{2, 2}, 20}, {Position{2, 3}, 21}}, Hash: 5}); fmt.Sprint(m) != fmt.Sprint(want) {
		t.Errorf("%v, not %v", m, want)
	}
	for i := range uint64(2 * MaxRuns) {
		m.raise(Shown{Run{Position{10 + i, 1}, i}, uint32(i)})
	}
	if len(m.Runs) != MaxRuns || m.Runs[0].Epoch != 10+MaxRuns || m.Hash != 2*MaxRuns-1 || m.raise(Shown{Run{Position{1, 9}, 10}, 1}) {
		t.Errorf("%v", m)
	}
}
