package store

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// fewSlots is a ring that a test fills soon.
const fewSlots = 8

func mustOpen(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := open(dir, HistoryConfig{}, nil, fewSlots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// write writes and waits.
func write(t testing.TB, s *Store, ops ...Op) {
	t.Helper()
	if err := await(func(done func(error)) { s.Write(done, ops...) }); err != nil {
		t.Fatal(err)
	}
}

// fold brings what is in the log into the database.
func fold(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Load(Self, func(_, _ []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// shown is a message of one of the runs that have no nonce.
func shown(epoch, counter uint64) delivery.Stamp {
	return delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: epoch, Counter: counter}}}
}

func note(t testing.TB, s *Store, sender certs.PublicKey, m delivery.Stamp) {
	t.Helper()
	if err := await(func(done func(error)) { noteIn(s, sender, m, done) }); err != nil {
		t.Fatal(err)
	}
}

// say writes an entry, and returns its position.
func say(t testing.TB, s *Store, e Entry) uint64 {
	t.Helper()
	list := []Entry{e}
	if err := s.Say(list); err != nil {
		t.Fatal(err)
	}
	return list[0].Pos
}

// noteIn notes that a message was shown, and calls done when that is safe.
func noteIn(s *Store, sender certs.PublicKey, m delivery.Stamp, done func(error)) {
	said := []Entry{{Author: sender, Stamp: m}}
	if err := s.Say(said); err != nil {
		if done != nil && !errors.Is(err, ErrKilled) {
			done(err)
		}
		return
	}
	s.Shown(said[0].Pos, false, done)
}

func await(call func(done func(error))) error {
	result := make(chan error, 1)
	call(func(err error) { result <- err })
	return <-result
}

func op(b Bucket, key, value string) Op { return Op{b, []byte(key), []byte(value)} }

func deletion(b Bucket, key string) Op { return Op{b, []byte(key), nil} }

func key(n int) (k certs.PublicKey) {
	copy(k[:], fmt.Sprintf("sender %d", n))
	return k
}

// content is all that a store holds for its callers.
type content struct {
	records map[string]string // by bucket and key
	marks   map[certs.PublicKey]string
}

func (c content) equal(d content) bool {
	return maps.Equal(c.records, d.records) && maps.Equal(c.marks, d.marks)
}

// contentOf takes the marks out of s.
func contentOf(t testing.TB, s *Store) content {
	t.Helper()
	c := content{map[string]string{}, map[certs.PublicKey]string{}}
	for _, b := range []Bucket{Unsettled, Custody, Peers, Pins} {
		if err := s.Load(b, func(key, value []byte) error {
			c.records[string(b)+" "+string(key)] = string(value)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for sender, m := range s.Marks() {
		c.marks[sender] = fmt.Sprint(m)
	}
	return c
}

// image is the content of a directory's files.
type image map[string][]byte

func imageOf(t testing.TB, dir string) image {
	t.Helper()
	i := image{}
	for _, name := range append([]string{databaseFile, logFile}, historyFiles(t, dir)...) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		i[name] = b
	}
	return i
}

// historyFiles are those of the history, but for a spare one: the cursor is the last.
func historyFiles(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, historyDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != spareFile && !strings.HasPrefix(e.Name(), temporary) {
			names = append(names, filepath.Join(historyDir, e.Name()))
		}
	}
	return names
}

// lastSegment is the file of the history that is written.
func (i image) lastSegment() string {
	names := slices.Sorted(maps.Keys(i))
	return names[slices.Index(names, lateName)-1]
}

var lateName = filepath.Join(historyDir, lateFile)

var cursorName = filepath.Join(historyDir, cursorFile)

func (i image) put(t testing.TB, dir string) {
	t.Helper()
	history := filepath.Join(dir, historyDir)
	if err := os.RemoveAll(history); err != nil {
		t.Fatal(err)
	}
	if i[cursorName] != nil {
		if err := os.Mkdir(history, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range i {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// with returns the image with one file changed.
func (i image) with(name string, change func([]byte) []byte) image {
	changed := maps.Clone(i)
	changed[name] = change(slices.Clone(i[name]))
	return changed
}

// overwrite puts zeros in the place of all that a file holds.
func overwrite(t *testing.T, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(make([]byte, info.Size()), 0)
	return err
}

// checkBolt lets bbolt check its file.
func checkBolt(t testing.TB, s *Store) {
	t.Helper()
	if err := s.db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt says: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// kill ends a store as the end of its process would.
func kill(s *Store) {
	s.dead.Store(true)
	s.Close()
}

// resum makes the checksum of a meta right.
func resum(page []byte) {
	meta := page[headerSize : headerSize+metaSize]
	sum := fnv.New64a()
	sum.Write(meta[:metaSize-8])
	native.PutUint64(meta[metaSize-8:], sum.Sum64())
}
