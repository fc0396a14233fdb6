package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
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

// FuzzHistory reads a segment that anybody may have written: each record is what its bytes say, and
// written again it is the same.
func FuzzHistory(f *testing.F) {
	dir := f.TempDir()
	s := mustOpen(f, dir)
	say(f, s, Entry{Author: key(1), Stamp: shown(1, 2), Data: []byte("text"), Message: true})
	note(f, s, key(2), shown(1, 3))
	say(f, s, Entry{Data: []byte("event")})
	i := imageOf(f, dir)
	f.Add(i[i.lastSegment()])
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		g := segment{first: 1, size: len(b)}
		w := &window{segment: g, from: bytes.NewReader(b)}
		number := uint64(0)
		at, next, err := w.scan(func(r said) error {
			if number++; r.kind == kindJump {
				number = max(number, r.number)
			}
			if r.number != number || r.safe >= number || r.shown >= number || r.size > len(b) {
				t.Errorf("record %d: %+v", number, r)
			}
			if r.kind <= kindJump {
				return nil
			}
			e := r.entry()
			if again := g.appendSaid(nil, r.number, r.safe, r.shown, e.kind(), &e); r.kind != e.kind() || !bytes.Contains(b, again[:r.size]) {
				t.Errorf("record %d is read as %+v", number, e)
			}
			return nil
		})
		if err != nil || next != number+1 || at > len(b)+saidAlign && number > 0 {
			t.Errorf("%d records up to %d of %d bytes, %v", number, at, len(b), err)
		}
		if _, err := w.attests(0, 1); err != nil {
			t.Error(err)
		}
	})
}

// FuzzOldNotes reads the notes of earlier formats.
func FuzzOldNotes(f *testing.F) {
	f.Add(oldSlot(key(1), shown(1, 2)))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		old := oldNotes{marks: map[certs.PublicKey]*delivery.Mark{}}
		old.parse(b)
		n := 0
		for _, m := range old.marks {
			n += len(m.Runs)
		}
		if n > len(b)/slotSize {
			t.Errorf("%d runs in %d bytes", n, len(b))
		}
	})
}

// oldSlot is a note of earlier formats.
func oldSlot(sender certs.PublicKey, s delivery.Stamp) []byte {
	b := append(sender[:], appendPosition(nil, s.Position)...)
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, s.Nonce), s.Hash)
	b = append(b, make([]byte, crcSize)...)
	seal64(b)
	return b
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
		s, err := open(dir, HistoryConfig{}, nil, fewSlots)
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
