package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"testing"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

func FuzzRecord(f *testing.F) {
	mark := encodeMark(delivery.Mark{Runs: []delivery.Run{{Position: delivery.Position{Epoch: 1, Counter: 2}, Nonce: 7}, {Position: delivery.Position{Epoch: 2, Counter: 1}, Nonce: 8}}, Hash: 9, Gaps: []delivery.Gap{{From: delivery.Position{Epoch: 1, Counter: 0}, To: delivery.Position{Epoch: 1, Counter: 2}}}}, 20000)
	f.Add([]byte("key"), encodeOldMark(delivery.Position{Epoch: 1, Counter: 2}, 20000, delivery.Gap{From: delivery.Position{Epoch: 1, Counter: 0}, To: delivery.Position{Epoch: 1, Counter: 2}}), []byte{})
	f.Add([]byte("key"), mark, seal([]byte("key"), mark))
	f.Add([]byte("k"), []byte{}, []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, key, value, record []byte) {
		if got, err := unseal(key, seal(key, value)); err != nil || !bytes.Equal(got, value) {
			t.Errorf("sealed %x, unsealed %x, %v", value, got, err)
		}
		if got, err := unseal(key, record); err == nil && !bytes.Equal(seal(key, got), record) {
			t.Errorf("%x is taken for the record of %x", record, got)
		}
		if m, day, err := decodeMark(value); err == nil && len(value)%8 == 0 && !bytes.Equal(encodeMark(m, day), value) {
			t.Errorf("%x is taken for %v of day %d", value, m, day)
		}
	})
}

func FuzzJournal(f *testing.F) {
	dir := f.TempDir()
	s := mustOpen(f, dir)
	note(f, s, key(1), shown(1, 2))
	note(f, s, key(2), shown(1, 3))
	note(f, s, key(1), shown(1, 1))
	f.Add(imageOf(f, dir)[journalFile][slotSize:])
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := parseNotes(b)
		valid := map[certs.PublicKey]map[delivery.Run]delivery.Stamp{} // the last of each run, which has no counter here
		torn := 0
		for i := range len(b) / slotSize {
			slot := b[i*slotSize : (i+1)*slotSize]
			if bytes.Count(slot, []byte{0}) == slotSize {
				continue
			}
			again := bytes.Clone(slot)
			if seal64(again); !bytes.Equal(again, slot) {
				torn++
				continue
			}
			sender := certs.PublicKey(slot[:32])
			s := delivery.Stamp{Run: delivery.Run{Position: decodePosition(slot[32:48]), Nonce: binary.BigEndian.Uint64(slot[48:56])}, Hash: binary.BigEndian.Uint32(slot[56:60])}
			of := s.Run
			of.Counter = 0
			if valid[sender] == nil {
				valid[sender] = map[delivery.Run]delivery.Stamp{}
			}
			if old, ok := valid[sender][of]; !ok || old.Counter < s.Counter {
				valid[sender][of] = s
			}
		}
		if len(n.marks) != len(valid) || n.torn != torn {
			t.Errorf("read %d senders and %d torn, not %d and %d", len(n.marks), n.torn, len(valid), torn)
		}
		for sender, runs := range valid {
			m := n.marks[sender]
			if len(m.Runs) != min(len(runs), delivery.MaxRuns) || !slices.IsSortedFunc(m.Runs, func(r, s delivery.Run) int { return r.Compare(s.Position) }) {
				t.Errorf("the mark is %v, of %v", m, runs)
			}
			for _, s := range m.Stamps() {
				of := s.Run
				of.Counter = 0
				if want, ok := runs[of]; !ok || want.Counter != s.Counter {
					t.Errorf("run %v, not %v", s, want)
				}
			}
		}
	})
}

// FuzzDatabase changes some bytes of a database.
func FuzzDatabase(f *testing.F) {
	full, _, c := fullDatabase(f)
	f.Add(uint32(16), []byte{1}, true)
	f.Add(uint32(os.Getpagesize()*4+16), []byte("\x01\x00\x00\x00\x00\x10"), false)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, at uint32, b []byte, again bool) {
		changed := full.with(databaseFile, func(file []byte) []byte {
			copy(file[int(at)%len(file):], b)
			if again {
				for _, page := range []int{0, os.Getpagesize()} {
					resum(file[page:])
				}
			}
			return file
		})
		changed.put(t, dir)
		s, err := open(dir, nil, fewSlots)
		if _, damaged := errors.AsType[*DamagedError](err); damaged {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := contentOf(t, s); !got.equal(c) {
			t.Error("the content is another")
		}
		mustClose(t, s)
	})
}
