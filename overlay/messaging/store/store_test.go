package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	write(t, s, op(Unsettled, "a", "1"))
	mustClose(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("the directory holds %v, %v", entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || runtime.GOOS != "windows" && info.Mode() != map[bool]os.FileMode{false: 0o600, true: 0o700 | os.ModeDir}[e.IsDir()] {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, databaseFile)); err != nil || info.Size() > 2*growStep {
		t.Errorf("a database of one record has %d bytes, %v", info.Size(), err)
	}
}

func TestWriteAndLoad(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	write(t, s, op(Unsettled, "b", "2"), op(Unsettled, "a", "1"), op(Peers, "a", ""), op(Custody, "c", "gone"))
	write(t, s, deletion(Custody, "c"), deletion(Custody, "never"), op(Unsettled, "b", "3"))
	long := strings.Repeat("x", 1<<20)
	write(t, s, op(Custody, "long", long))
	for range 2 {
		var got []string
		if err := s.Load(Unsettled, func(key, value []byte) error {
			got = append(got, string(key)+string(value))
			return nil
		}); err != nil || !slices.Equal(got, []string{"a1", "b3"}) {
			t.Errorf("the outbox holds %v, %v", got, err)
		}
		c := contentOf(t, s)
		if c.records["Custody long"] != long || len(c.records) != 4 {
			t.Errorf("there are %d records", len(c.records))
		}
		if v, ok := c.records["Peers a"]; !ok || v != "" {
			t.Errorf("the empty value is %q, %v", v, ok)
		}
		checkBolt(t, s)
		mustClose(t, s)
		s = mustOpen(t, dir)
	}
	stop := errors.New("enough")
	if err := s.Load(Unsettled, func(_, _ []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Load: %v", err)
	}
	if err := s.Load("Marks", nil); err == nil {
		t.Error("Load of the marks")
	}
}

// TestDoneInOrder also has done functions that call the store.
func TestDoneInOrder(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	const n = 500
	var written, noted []int
	var all sync.WaitGroup
	all.Add(3 * n)
	for i := range n {
		s.Write(func(err error) {
			if err != nil {
				t.Error(err)
			}
			written = append(written, i)
			noteIn(s, key(1), shown(1, uint64(i)), func(error) { all.Done() })
			all.Done()
		}, op(Unsettled, fmt.Sprint(i), "x"))
		s.Write(nil, op(Custody, "x", "x"))
		noteIn(s, key(0), shown(1, uint64(i)), func(err error) {
			if err != nil {
				t.Error(err)
			}
			noted = append(noted, i)
			s.Write(nil, op(Peers, "x", "x"))
			all.Done()
		})
		noteIn(s, key(2), shown(1, 1), nil)
	}
	all.Wait()
	mustClose(t, s)
	if !slices.IsSorted(written) || !slices.IsSorted(noted) || len(written) != n || len(noted) != n {
		t.Errorf("written %v, noted %v", written, noted)
	}
}

// A call that is refused has no effect on others.
func TestRefused(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	var all sync.WaitGroup
	for name, ops := range map[string][]Op{
		"bucket":   {op(Unsettled, "a", "1"), op("Other", "a", "1")},
		"marks":    {op(marks, "a", "1")},
		"no key":   {op(Unsettled, "", "1")},
		"long key": {op(Unsettled, strings.Repeat("k", maxKey+1), "1")},
	} {
		all.Add(2)
		s.Write(func(err error) {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			all.Done()
		}, ops...)
		s.Write(func(err error) {
			if err != nil {
				t.Errorf("after %s: %v", name, err)
			}
			all.Done()
		}, op(Peers, strings.Repeat("k", maxKey), "1"))
	}
	all.Wait()
	if err := await(func(done func(error)) { s.SetGaps(key(1), make([]delivery.Gap, delivery.MaxGaps+1), done) }); err == nil {
		t.Error("too many gaps were taken")
	}
	if c := contentOf(t, s); len(c.records) != 1 || s.Err() != nil {
		t.Errorf("there are %d records, %v", len(c.records), s.Err())
	}
}

func TestAfterClose(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	mustClose(t, s)
	for name, call := range map[string]func(func(error)){
		"Write":   func(done func(error)) { s.Write(done, op(Unsettled, "a", "1")) },
		"Note":    func(done func(error)) { noteIn(s, key(1), shown(1, 1), done) },
		"SetGaps": func(done func(error)) { s.SetGaps(key(1), nil, done) },
	} {
		if err := await(call); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Write(nil)
	noteIn(s, key(1), shown(1, 1), nil)
}

func TestMarks(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	gaps := make([]delivery.Gap, delivery.MaxGaps)
	for i := range gaps {
		gaps[i] = delivery.Gap{From: delivery.Position{Epoch: uint64(i), Counter: 3}, To: delivery.Position{Epoch: uint64(i), Counter: 7}}
	}
	if err := await(func(done func(error)) { s.SetGaps(key(1), gaps, done) }); err != nil {
		t.Fatal(err)
	}
	note(t, s, key(1), shown(5, 5))
	note(t, s, key(1), shown(5, 4)) // late
	note(t, s, key(2), shown(2, 9))
	for i := range uint64(5 * fewSlots) { // round the ring
		note(t, s, key(3), shown(1, i))
	}
	note(t, s, key(2), shown(3, 1))
	if err := await(func(done func(error)) { s.SetGaps(key(2), gaps[:1], done) }); err != nil {
		t.Fatal(err)
	}
	want := map[certs.PublicKey]delivery.Mark{
		key(1): {Runs: []delivery.Run{shown(5, 5).Run}, Gaps: gaps},
		key(2): {Runs: []delivery.Run{shown(2, 9).Run, shown(3, 1).Run}, Gaps: gaps[:1]},
		key(3): {Runs: []delivery.Run{shown(1, 5*fewSlots-1).Run}},
	}
	for _, end := range []func(*Store){kill, func(s *Store) { mustClose(t, s) }, kill} {
		end(s)
		s = mustOpen(t, dir)
		if got := s.Marks(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("marks %v, want %v", got, want)
		}
		if s.Marks() != nil {
			t.Error("marks were handed over twice")
		}
	}
}

func TestPositions(t *testing.T) {
	rising := []delivery.Position{{Epoch: 0, Counter: 0}, {Epoch: 0, Counter: 1}, {Epoch: 0, Counter: 1 << 63}, {Epoch: 1, Counter: 0}, {Epoch: 1, Counter: 1}, {Epoch: 1 << 63, Counter: 0}}
	for i, p := range rising {
		for j, q := range rising {
			if got := p.Compare(q); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%v and %v: %d", p, q, got)
			}
		}
	}
}

func TestOldestMarksAreForgotten(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	all := func(from, to int) map[certs.PublicKey]*delivery.Mark {
		m := make(map[certs.PublicKey]*delivery.Mark)
		for i := from; i < to; i++ {
			m[key(i)] = &delivery.Mark{Runs: []delivery.Run{shown(1, uint64(i)).Run}}
		}
		return m
	}
	raise := func(day uint32, noted map[certs.PublicKey]*delivery.Mark) {
		t.Helper()
		if err := s.update(func(tx *transaction) error { return tx.raise(noted, day) }); err != nil {
			t.Fatal(err)
		}
	}
	const old = maxMarks - keptMarks + 1
	raise(20, all(old, maxMarks))
	raise(10, all(0, old))
	if m, err := s.readMarks(); err != nil || len(m) != maxMarks {
		t.Fatalf("%d marks, %v", len(m), err)
	}
	raise(21, all(maxMarks, maxMarks+1))
	mustClose(t, s)
	s = mustOpen(t, dir)
	got := s.Marks()
	if len(got) != keptMarks {
		t.Errorf("%d marks are left", len(got))
	}
	for i := range maxMarks + 1 {
		if _, ok := got[key(i)]; ok != (i >= old) {
			t.Fatalf("mark %d: %v", i, ok)
		}
	}
}

func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	const each = 300
	var callers, dones sync.WaitGroup
	for c := range 4 {
		callers.Go(func() {
			for i := range each {
				dones.Add(3)
				done := func(err error) {
					if err != nil {
						t.Error(err)
					}
					dones.Done()
				}
				s.Write(done, op(Unsettled, fmt.Sprint(c, " ", i), "x"), op(Custody, fmt.Sprint(c), fmt.Sprint(i)))
				noteIn(s, key(c), shown(1, uint64(i)), done)
				s.SetGaps(key(c+100), []delivery.Gap{{To: delivery.Position{Epoch: 1, Counter: uint64(i)}}}, done)
				if i%50 == 0 {
					if err := s.Load(Unsettled, func(_, _ []byte) error { return nil }); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	callers.Wait()
	mustClose(t, s)
	dones.Wait()
	s = mustOpen(t, dir)
	checkBolt(t, s)
	c := contentOf(t, s)
	if len(c.records) != 4*each+4 || len(c.marks) != 8 {
		t.Errorf("%d records, %d marks", len(c.records), len(c.marks))
	}
	for sender, m := range c.marks {
		want := delivery.Mark{Runs: []delivery.Run{shown(1, each-1).Run}}
		if last := (delivery.Position{Epoch: 1, Counter: each - 1}); strings.HasPrefix(string(sender[:]), "sender 10") {
			want = delivery.Mark{Gaps: []delivery.Gap{{To: last}}}
		}
		if want := fmt.Sprint(want); m != want {
			t.Errorf("%s: %s, want %s", sender, m, want)
		}
	}
}

// TestRandom compares the store with a map, over splits, merges and reopenings.
func TestRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	s := mustOpen(t, dir)
	want := map[string]string{}
	buckets := []Bucket{Unsettled, Custody, Peers}
	for range 60 {
		var ops []Op
		deletes := random.IntN(3)
		for range random.IntN(200) {
			b, k := buckets[random.IntN(3)], fmt.Sprintf("%0*d", 1+random.IntN(40), random.IntN(2000))
			if random.IntN(3) < deletes {
				ops = append(ops, deletion(b, k))
				delete(want, string(b)+" "+k)
				continue
			}
			v := string(bytes.Repeat([]byte{byte(random.Uint32())}, random.IntN(1+random.IntN(1+random.IntN(20000)))))
			ops = append(ops, op(b, k, v))
			want[string(b)+" "+k] = v
		}
		write(t, s, ops...)
		if random.IntN(5) == 0 {
			mustClose(t, s)
			s = mustOpen(t, dir)
			if got := contentOf(t, s); !got.equal(content{records: want}) {
				t.Fatalf("there are %d records, not %d", len(got.records), len(want))
			}
			checkBolt(t, s)
		}
	}
}

func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	write(t, s, op(Custody, "large", strings.Repeat("x", 2*compactAbove)), op(Peers, "p", "1"))
	note(t, s, key(1), shown(1, 1))
	write(t, s, deletion(Custody, "large"), op(Unsettled, "kept", strings.Repeat("x", 64<<10)))
	want := contentOf(t, s).records
	mustClose(t, s)
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, databaseFile))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	if size() < compactAbove {
		t.Fatalf("the file has only %d bytes", size())
	}
	before := imageOf(t, dir)
	for _, at := range []string{"write ", "rename ", "renamed ", ""} {
		before.put(t, dir)
		s, err := open(dir, HistoryConfig{}, func(step string) bool { return at == "" || step != at+databaseFile }, fewSlots)
		if at != "" {
			if !errors.Is(err, ErrKilled) {
				t.Fatalf("killed at %q: %v", at, err)
			}
			s = mustOpen(t, dir)
		} else if err != nil {
			t.Fatal(err)
		}
		c := contentOf(t, s)
		if !c.equal(content{want, map[certs.PublicKey]string{key(1): fmt.Sprint(delivery.Mark{Runs: []delivery.Run{shown(1, 1).Run}})}}) {
			t.Errorf("killed at %q: other content", at)
		}
		checkBolt(t, s)
		mustClose(t, s)
		if size() >= compactAbove {
			t.Errorf("killed at %q: the file still has %d bytes", at, size())
		}
	}
}
