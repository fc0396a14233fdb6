package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// model is what a store should hold in its bucket of messages.
type model map[string]string

func (m model) apply(ops []Op) {
	for _, o := range ops {
		if o.Value == nil {
			delete(m, string(o.Key))
		} else {
			m[string(o.Key)] = string(o.Value)
		}
	}
}

// recordsOf opens an image elsewhere, and returns its messages.
func recordsOf(t *testing.T, i image) (model, error) {
	t.Helper()
	dir := t.TempDir()
	i.put(t, dir)
	s, err := open(dir, HistoryConfig{}, nil, fewSlots)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	records := model{}
	return records, s.Load(Unsettled, func(key, value []byte) error {
		records[string(key)] = string(value)
		return nil
	})
}

// randomOps are operations on few records, of sizes of which some fill a half of the log, or are
// beyond it.
func randomOps(random *rand.Rand) (ops []Op) {
	for range 1 + random.IntN(3) {
		key := fmt.Sprint("key ", random.IntN(12))
		switch size := random.IntN(200); {
		case random.IntN(3) == 0:
			ops = append(ops, deletion(Unsettled, key))
		case random.IntN(40) == 0:
			ops = append(ops, op(Unsettled, key, strings.Repeat("y", 1500+10*size)))
		default:
			ops = append(ops, op(Unsettled, key, strings.Repeat("x", size)))
		}
	}
	return ops
}

// writeTogether makes several writes in one group.
func writeTogether(t *testing.T, s *Store, writes [][]Op) {
	t.Helper()
	begun, gate := make(chan struct{}), make(chan struct{})
	s.Write(func(error) { close(begun); <-gate })
	<-begun
	var done sync.WaitGroup
	done.Add(len(writes))
	for _, ops := range writes {
		s.Write(func(err error) {
			if err != nil {
				t.Error(err)
			}
			done.Done()
		}, ops...)
	}
	close(gate)
	done.Wait()
}

// TestLog writes through many turns of the log, with runs of the store that end in all ways. Each
// moment's files hold what was safe by then.
func TestLog(t *testing.T) {
	for seed := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 9))
		var syncs atomic.Int64
		begin := func(dir string) *Store {
			s, err := open(dir, HistoryConfig{}, func(step string) bool {
				if step == "log" {
					syncs.Add(1)
				}
				return true
			}, fewSlots)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		dir := t.TempDir()
		s := begin(dir)
		want := model{}
		for n := range 150 {
			states := []model{maps.Clone(want)}
			var writes [][]Op
			beyond := false // one goes past the log
			for range 1 + random.IntN(3) {
				ops := randomOps(random)
				writes = append(writes, ops)
				beyond = beyond || !s.log.fits(ops)
				want.apply(ops)
				states = append(states, maps.Clone(want))
			}
			before, groups := imageOf(t, dir), syncs.Load()
			writeTogether(t, s, writes)
			// The machine has crashed within the write, of which any part is on the disk. The database
			// is that of before it: a fold that begins later relies on what was written.
			if random.IntN(2) == 0 && !beyond && syncs.Load() == groups+1 {
				after := imageOf(t, dir)[logFile]
				got, err := recordsOf(t, before.with(logFile, func(b []byte) []byte {
					for at := 0; at < len(b); at += slotSize {
						copy(b[at+random.IntN(2)*slotSize:at+slotSize], after[at:])
					}
					return b
				}))
				if err != nil || !slices.ContainsFunc(states, func(m model) bool { return maps.Equal(got, m) }) {
					t.Fatalf("seed %d, crash in group %d: %d records, not one of %d states, %v", seed, n, len(got), len(states), err)
				}
			}
			switch random.IntN(10) {
			case 0:
				got, err := recordsOf(t, imageOf(t, dir))
				if err != nil || !maps.Equal(got, want) {
					t.Fatalf("seed %d, after %d groups: %d records, not %d, %v", seed, n, len(got), len(want), err)
				}
			case 1:
				fold(t, s)
			case 2:
				kill(s)
				s = begin(dir)
			case 3:
				mustClose(t, s)
				s = begin(dir)
			}
		}
		mustClose(t, s)
	}
}

// loggedImage is a store whose log holds some groups that the database lacks, the last of which
// begins at the place tail of the log.
func loggedImage(t *testing.T) (i image, want model, tail int) {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, dir)
	early := imageOf(t, dir)[databaseFile]
	want = model{}
	for n := range 20 {
		ops := []Op{op(Unsettled, fmt.Sprint("key ", n%5), strings.Repeat("x", 8*n)), deletion(Unsettled, fmt.Sprint("key ", (n+2)%5))}
		tail = slotSize + s.log.now*s.log.half + s.log.at
		write(t, s, ops...)
		want.apply(ops)
	}
	i = imageOf(t, dir).with(databaseFile, func([]byte) []byte { return early }) // as if no half had been folded
	if s.log.now == 1 {
		t.Fatal("the log has not turned once") // it begins in the second half
	}
	kill(s)
	return i, want, tail
}

// TestDamagedLog flips bits of the log. A record that a later one calls safe is missed; what is
// wrong with the last one can't be told from what a crash of the machine leaves.
func TestDamagedLog(t *testing.T) {
	whole, want, tail := loggedImage(t)
	if got, err := recordsOf(t, whole); err != nil || !maps.Equal(got, want) {
		t.Fatalf("%v, not %v, %v", got, want, err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	refused, tried := 0, 0
	for at := 0; at < len(whole[logFile]); at += 1 + random.IntN(25) {
		if at >= tail && at < tail+5*recordAlign {
			continue
		}
		tried++
		got, err := recordsOf(t, whole.with(logFile, func(b []byte) []byte {
			b[at] ^= byte(1 + random.IntN(255))
			return b
		}))
		if _, damaged := errors.AsType[*DamagedError](err); damaged {
			refused++
		} else if err != nil || !maps.Equal(got, want) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	if refused < tried/5 {
		t.Errorf("%d of %d were refused", refused, tried)
	}
	for what, change := range map[string]func([]byte) []byte{
		"zeros":          func(b []byte) []byte { return append(b[:slotSize:slotSize], make([]byte, len(b)-slotSize)...) },
		"cut short":      func(b []byte) []byte { return b[:len(b)-1] },
		"longer":         func(b []byte) []byte { return append(b, 0) },
		"another title":  func(b []byte) []byte { copy(b, segmentTitle); return b },
		"no header":      func(b []byte) []byte { clear(b[:slotSize]); return b },
		"another format": func(b []byte) []byte { b[23]++; seal64(b[:slotSize]); return b },
	} {
		if _, err := recordsOf(t, whole.with(logFile, change)); err == nil || !strings.Contains(err.Error(), logFile) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// unsalted is a log as an earlier format has it.
func unsalted(t *testing.T, b []byte) []byte {
	t.Helper()
	l := writeLog{salt: binary.BigEndian.Uint32(b[32:])}
	binary.BigEndian.PutUint64(b[16:], 1)
	binary.BigEndian.PutUint32(b[32:], 0)
	seal64(b[:slotSize])
	records := 0
	for at := slotSize; at < len(b); at += recordAlign {
		if r, ok := l.parseRecord(b[at:]); ok {
			binary.BigEndian.PutUint32(b[at+4:], crc32.Checksum(b[at+8:at+r.size], castagnoli))
			records++
		}
	}
	if records == 0 {
		t.Fatal("there are no records")
	}
	return b
}

// TestLogOfFormat1 takes up what is in a log without a salt, which gets one.
func TestLogOfFormat1(t *testing.T) {
	whole, want, _ := loggedImage(t)
	dir := t.TempDir()
	whole.with(logFile, func(b []byte) []byte { return unsalted(t, b) }).put(t, dir)
	for range 3 {
		s := mustOpen(t, dir)
		got := model{}
		if err := s.Load(Unsettled, func(key, value []byte) error { got[string(key)] = string(value); return nil }); err != nil || !maps.Equal(got, want) {
			t.Errorf("%v, not %v; %v", got, want, err)
		}
		if s.log.old || s.log.salt == 0 {
			t.Error("the log has no salt")
		}
		ops := []Op{op(Unsettled, "another", "value")}
		write(t, s, ops...)
		want.apply(ops)
		kill(s)
	}
}

// TestForgedLogRecords: what another peer has written can't pass for a record, which would call safe what was
// never there, and looking for such takes no longer than it may.
func TestForgedLogRecords(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	forger := writeLog{half: 1 << 20, number: 1 << 40, safe: 1 << 40}
	var forged []byte
	for len(forged) < 500_000 {
		forger.buffer = nil
		if !forger.addRecord(nil) {
			t.Fatal("no room")
		}
		forged = append(forged, forger.buffer...)
	}
	for shift := range recordAlign { // one of these is at the beginning of a slot
		if shift%8 == 0 {
			write(t, s, op(Custody, fmt.Sprint(shift), string(forged[shift:])))
		} else {
			write(t, s, op(Custody, fmt.Sprint(shift), string(forged[shift:1000])))
		}
	}
	long := bytes.Repeat([]byte{0, 0x30, 0, 0}, 1<<18) // each slot looks like a record of 3 MiB
	for shift := range 4 {
		write(t, s, op(Custody, "long", string(long[shift:])))
	}
	kill(s)
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
}

// TestStaleRecord: a record of a group that was not safe, the first of which is lost, does not come back behind
// what is written next.
func TestStaleRecord(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	write(t, s, op(Peers, "a", "1"))
	mustClose(t, s)
	s = mustOpen(t, dir)
	before, at := imageOf(t, dir), int(s.log.offset(s.log.now))
	block, done := make(chan struct{}), make(chan error, 2)
	s.Write(func(error) { <-block }) // so that the next two are one group
	s.Write(func(err error) { done <- err }, op(Peers, "b", "stale"))
	s.Write(func(err error) { done <- err }, op(Peers, "a", "stale"))
	close(block)
	if err := errors.Join(<-done, <-done); err != nil {
		t.Fatal(err)
	}
	torn := imageOf(t, dir)
	kill(s)
	copy(torn[logFile][at:at+recordAlign], before[logFile][at:at+recordAlign])
	for range 2 {
		dir = t.TempDir()
		torn.put(t, dir)
		s = mustOpen(t, dir)
		write(t, s, op(Peers, "a", "newer"))
		if err := s.Load(Peers, func(_, _ []byte) error { return nil }); err != nil {
			t.Error(err)
		}
		torn = imageOf(t, dir)
		kill(s)
	}
	dir = t.TempDir()
	torn.put(t, dir)
	s = mustOpen(t, dir)
	if got := contentOf(t, s).records["Peers a"]; got != "newer" {
		t.Errorf("a is %q", got)
	}
}

// TestOldLog puts back the log of earlier: it lacks what the database has taken from it.
func TestOldLog(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	write(t, s, op(Unsettled, "a", "1"))
	early := imageOf(t, dir)[logFile]
	write(t, s, op(Unsettled, "a", "2"))
	mustClose(t, s)
	if _, err := recordsOf(t, imageOf(t, dir).with(logFile, func([]byte) []byte { return early })); err == nil || !strings.Contains(err.Error(), logFile) {
		t.Errorf("got %v", err)
	}
}

// TestOverwrittenLog: what somebody else writes into the log is noticed when it is folded.
func TestOverwrittenLog(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	write(t, s, op(Unsettled, "a", "1"))
	if err := overwrite(t, filepath.Join(dir, logFile)); err != nil {
		t.Fatal(err)
	}
	err := s.Load(Unsettled, func(_, _ []byte) error { return nil })
	if _, damaged := errors.AsType[*DamagedError](err); !damaged || !strings.Contains(err.Error(), logFile) {
		t.Errorf("Load: %v", err)
	}
	if got := s.Close(); !errors.Is(got, err) {
		t.Errorf("Close: %v", got)
	}
}

// FuzzLog reads logs that anybody may have written.
func FuzzLog(f *testing.F) {
	l := writeLog{half: 1 << 20}
	l.addRecord([]Op{op(Unsettled, "key", "value"), deletion(Custody, "key")})
	l.addRecord([]Op{op(Self, "key", "")})
	f.Add(l.buffer)
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			r, ok := l.parseRecord(b)
			if !ok {
				b = b[1:]
				continue
			}
			c := changes{}
			if c.add(r.payload) && len(c.sorted()) > len(r.payload) {
				t.Error("more operations than bytes")
			}
			b = b[r.size:]
		}
		c := changes{}
		c.add(b)
	})
}
