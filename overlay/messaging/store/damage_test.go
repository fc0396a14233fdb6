package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"quicpeer/overlay/messaging/delivery"
)

// fullDatabase has pages of all kinds: branches, leaves, some with overflow, small
// buckets within the root, and free pages. It is the image of now and the one of a
// transaction earlier.
func fullDatabase(t testing.TB) (full, earlier image, c content) {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, dir)
	var ops []Op
	for i := range 300 {
		ops = append(ops, op(Unsettled, fmt.Sprintf("%064d", i), strings.Repeat("m", 10+i%50)))
	}
	write(t, s, ops...)
	write(t, s, op(Custody, "long", strings.Repeat("x", 10000)), op(Peers, "p", "q"))
	note(t, s, key(1), shown(1, 2))
	write(t, s, ops[100].deleted(), ops[101].deleted())
	mustClose(t, s)
	earlier = imageOf(t, dir)
	s = mustOpen(t, dir)
	s.SetGaps(key(2), make([]delivery.Gap, 2), nil)
	// The last transaction is one whose loss the history would not make up for.
	write(t, s, op(Unsettled, string(ops[100].Key), "again"), op(Custody, "long", strings.Repeat("y", 12000)), op(Peers, "p", "r"))
	mustClose(t, s)
	full = imageOf(t, dir)
	s = mustOpen(t, dir)
	c = contentOf(t, s)
	mustClose(t, s)
	cut := func(b []byte) []byte { return b[:inUse(full)] } // the rest is empty
	return full.with(databaseFile, cut), earlier.with(databaseFile, cut), c
}

func (o Op) deleted() Op { return Op{o.Bucket, o.Key, nil} }

// openDamaged opens an image, and says whether it was refused as damaged. An image that is not
// refused must have the content c.
func openDamaged(t *testing.T, dir string, i image, c content, what string) bool {
	t.Helper()
	i.put(t, dir)
	s, err := open(dir, HistoryConfig{}, nil, fewSlots)
	if err == nil {
		if got := contentOf(t, s); !got.equal(c) {
			t.Errorf("%s: the content is another", what)
		}
		mustClose(t, s)
		return false
	}
	if e, ok := errors.AsType[*DamagedError](err); !ok || !strings.HasPrefix(e.Path, dir) {
		t.Errorf("%s: %v", what, err)
	}
	for name, b := range i {
		if left, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(left) != string(b) {
			t.Errorf("%s: %s was changed, %v", what, name, err)
		}
	}
	return true
}

// lastMeta is where the meta of the latest transaction is.
func lastMeta(i image) int {
	b := i[databaseFile]
	second := os.Getpagesize()
	if native.Uint64(b[second+headerSize+48:]) > native.Uint64(b[headerSize+48:]) {
		return second
	}
	return 0
}

// inUse is how much of a database pages take, in bytes.
func inUse(i image) int {
	return int(native.Uint64(i[databaseFile][lastMeta(i)+headerSize+40:])) * os.Getpagesize()
}

func TestFlippedBits(t *testing.T) {
	full, _, c := fullDatabase(t)
	random := rand.New(rand.NewPCG(7, 8))
	dir, end, refused, tried := t.TempDir(), inUse(full), 0, 0
	flip := func(at int) {
		tried++
		mask := byte(1) << random.IntN(8)
		if random.IntN(4) == 0 {
			mask = byte(1 + random.IntN(255))
		}
		if openDamaged(t, dir, full.with(databaseFile, func(b []byte) []byte {
			b[at] ^= mask
			return b
		}), c, fmt.Sprintf("byte %d flipped by %02x", at, mask)) {
			refused++
		}
	}
	stride := 211
	if testing.Short() {
		stride = 499
	}
	for at := 0; at < end; at += stride {
		flip(at)
	}
	for page := 0; page < end; page += os.Getpagesize() { // headers and first elements
		for at := page; at < page+48 && !testing.Short(); at += 3 {
			flip(at)
		}
	}
	for at := range headerSize + metaSize {
		flip(at)
		flip(os.Getpagesize() + at)
	}
	if refused < tried/4 || refused > tried*9/10 {
		t.Errorf("%d of %d were refused", refused, tried)
	}
}

func TestCutShort(t *testing.T) {
	full, _, c := fullDatabase(t)
	dir, end, page := t.TempDir(), inUse(full), os.Getpagesize()
	sizes := []int{0, 1, headerSize, headerSize + metaSize, page - 1, page + headerSize + metaSize, end - 1, end}
	for size := page; size < end; size += page {
		sizes = append(sizes, size, size+1, size+page/2)
	}
	for _, size := range sizes {
		refused := openDamaged(t, dir, full.with(databaseFile, func(b []byte) []byte { return b[:size] }), c, fmt.Sprintf("%d bytes", size))
		if refused != (size < end) {
			t.Errorf("%d of %d bytes: refused %v", size, end, refused)
		}
	}
}

// A disk may write a page to a wrong place, or not at all. Only if that is the last
// meta it can't be noticed: the transaction before was whole, too.
func TestWrongPages(t *testing.T) {
	full, earlier, c := fullDatabase(t)
	dir, end, page, refused := t.TempDir(), inUse(full), os.Getpagesize(), 0
	for at := 0; at < end; at += page {
		for what, wrong := range map[string][]byte{
			"zeros":    make([]byte, page),
			"old":      earlier[databaseFile][at : at+page],
			"the next": full[databaseFile][(at+page)%end:][:page],
		} {
			if what == "old" && at == lastMeta(full) {
				continue
			}
			if openDamaged(t, dir, full.with(databaseFile, func(b []byte) []byte {
				copy(b[at:], wrong)
				return b
			}), c, fmt.Sprintf("page %d is %s", at/page, what)) {
				refused++
			}
		}
	}
	if refused < end/page/2 {
		t.Errorf("%d wrong pages of %d were found", refused, end/page)
	}
}

// The first two pages are of successive transactions, or one was not written.
func TestOldMeta(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	var images []image
	for i := range 5 {
		write(t, s, op(Unsettled, "n", fmt.Sprint(i)))
		fold(t, s)
		images = append(images, imageOf(t, dir))
	}
	c := contentOf(t, s)
	mustClose(t, s)
	page := os.Getpagesize()
	for at := 0; at < 2*page; at += page {
		if !openDamaged(t, t.TempDir(), images[4].with(databaseFile, func(b []byte) []byte {
			copy(b[at:at+page], images[0][databaseFile][at:])
			return b
		}), c, "an old meta") {
			t.Errorf("the old meta at %d was not noticed", at)
		}
	}
}

func TestMissingFiles(t *testing.T) {
	full, _, c := fullDatabase(t)
	for _, name := range []string{databaseFile, logFile, full.lastSegment(), cursorName, lateName} {
		for what, damage := range map[string]func(path string) error{
			"missing":     func(string) error { return nil },
			"empty":       func(path string) error { return os.WriteFile(path, nil, 0o600) },
			"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
			"a link":      func(path string) error { return os.Symlink("nowhere", path) },
		} {
			t.Run(name+" is "+what, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, name)
				full.put(t, dir)
				if err := errors.Join(os.Remove(path), damage(path)); err != nil {
					if runtime.GOOS == "windows" {
						t.Skip(err)
					}
					t.Fatal(err)
				}
				_, err := open(dir, HistoryConfig{}, nil, fewSlots)
				if e, ok := errors.AsType[*DamagedError](err); !ok || e.Path != path && (what != "missing" || e.Path != filepath.Dir(path)) {
					t.Errorf("got %v", err)
				}
				openAgain := t.TempDir() // it is the damage that is found
				if openDamaged(t, openAgain, full, c, "undamaged") {
					t.Error("the undamaged files were refused")
				}
			})
		}
	}
}

// TestNoDatabase has files that bbolt or others made.
func TestNoDatabase(t *testing.T) {
	full, _, c := fullDatabase(t)
	foreign := filepath.Join(t.TempDir(), "foreign")
	db, err := bbolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(foreign)
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{"a foreign database": b, "text": []byte(strings.Repeat("text\n", 10000))} {
		if !openDamaged(t, t.TempDir(), full.with(databaseFile, func([]byte) []byte { return b }), c, what) {
			t.Errorf("%s was taken", what)
		}
	}
}

func TestOtherFormat(t *testing.T) {
	full, _, _ := fullDatabase(t)
	t.Run(databaseFile, func(t *testing.T) {
		dir := t.TempDir()
		full.put(t, dir)
		s := mustOpen(t, dir)
		if err := s.db.Update(func(tx *bbolt.Tx) error {
			if err := tx.DeleteBucket([]byte(Peers)); err != nil {
				return err
			}
			return putAbout(tx, formatKey, encodeNumber(7))
		}); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		wantOtherFormat(t, dir)
	})
	t.Run(historyDir, func(t *testing.T) {
		dir := t.TempDir()
		full.with(full.lastSegment(), func(b []byte) []byte {
			binary.BigEndian.PutUint64(b[8:], 7)
			seal64(b[:slotSize])
			return b
		}).put(t, dir)
		wantOtherFormat(t, dir)
	})
}

func wantOtherFormat(t *testing.T, dir string) {
	t.Helper()
	_, err := open(dir, HistoryConfig{}, nil, fewSlots)
	if _, damaged := errors.AsType[*DamagedError](err); err == nil || damaged || !strings.Contains(err.Error(), "is of format 7") {
		t.Errorf("got %v", err)
	}
}

// TestTornTail cuts the last record at every byte: it is gone then, and nothing else.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	images := []image{imageOf(t, dir)}
	var ends []int
	for n := range 3 {
		ends = append(ends, s.history.at)
		say(t, s, Entry{Author: key(n), Stamp: shown(1, 1), Data: []byte("text"), Message: true})
		texts(t, s, Span{1, 1}) // writes it to the segment
		images = append(images, imageOf(t, dir))
	}
	end := s.history.at
	kill(s)
	name := images[3].lastSegment()
	for size := range end - ends[2] + 1 {
		cut := t.TempDir()
		images[3].with(name, func(b []byte) []byte {
			clear(b[ends[2]+size:])
			return b
		}).with(lateName, func(b []byte) []byte { clear(b); return b }).put(t, cut)
		s := mustOpen(t, cut)
		torn := !allZero(images[3][name][ends[2] : ends[2]+size])
		whole := size >= saidHead+noteSize+len("text")
		want := 2
		if whole {
			want = 3
		}
		early := s.Early()
		if len(early) != want || (s.Torn() > 0) != (torn && !whole) {
			t.Fatalf("%d bytes: %d records, %d torn", size, len(early), s.Torn())
		}
		if again := say(t, s, Entry{Author: key(9), Stamp: shown(1, 1), Data: []byte("next")}); again != uint64(want)+1 {
			t.Fatalf("%d bytes: the next position is %d", size, again)
		}
		mustClose(t, s)
		s = mustOpen(t, cut)
		if n := len(s.Early()); n != want+1 {
			t.Fatalf("%d bytes: then %d records", size, n)
		}
		mustClose(t, s)
	}
}

func TestDamagedHistory(t *testing.T) {
	full, _, c := fullDatabase(t)
	dir := t.TempDir()
	for at := range slotSize {
		if !openDamaged(t, dir, full.with(full.lastSegment(), func(b []byte) []byte {
			b[at] ^= 4
			return b
		}), c, fmt.Sprintf("byte %d of the header", at)) {
			t.Errorf("byte %d of the header: was not noticed", at)
		}
	}
	for _, by := range []int{-1, -slotSize, 1, slotSize} {
		if !openDamaged(t, dir, full.with(full.lastSegment(), func(b []byte) []byte {
			return append(b, make([]byte, slotSize)...)[:len(b)+by]
		}), c, fmt.Sprintf("%d bytes more", by)) {
			t.Errorf("%d bytes more: was not noticed", by)
		}
	}
}
