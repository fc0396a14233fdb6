package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func sumOf(i int64) [32]byte { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))) }

func mustOpen(t *testing.T, path string, chunks int64) *Hashes {
	t.Helper()
	h, err := OpenHashes(path, chunks)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func set(t *testing.T, h *Hashes, list ...int64) {
	t.Helper()
	for _, i := range list {
		if err := h.Set(i, sumOf(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func checkpoint(t *testing.T, h *Hashes, n int64) {
	t.Helper()
	if err := h.Checkpoint(n); err != nil {
		t.Fatal(err)
	}
}

func TestHashes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hashes")
	h := mustOpen(t, path, 5)
	set(t, h, 0, 1, 3)
	if sum, ok, err := h.Get(1); sum != sumOf(1) || !ok || err != nil {
		t.Errorf("Get(1) = %x, %v, %v", sum, ok, err)
	}
	for _, i := range []int64{2, 4} {
		if sum, ok, err := h.Get(i); sum != [32]byte{} || ok || err != nil {
			t.Errorf("Get(%d) = %x, %v, %v", i, sum, ok, err)
		}
	}
	if _, missing, err := h.Root([32]byte{}); missing != 2 || err != nil {
		t.Errorf("Root: %d is missing, %v", missing, err)
	}
	checkpoint(t, h, 2)

	h = mustOpen(t, path, 5) // as after a kill
	if n := h.Verified(); n != 2 {
		t.Errorf("Verified = %d", n)
	}
	set(t, h, 2, 4)
	manifest := sha256.Sum256([]byte("manifest"))
	root, missing, err := h.Root(manifest)
	list := manifest[:]
	for i := range int64(5) {
		sum := sumOf(i)
		list = append(list, sum[:]...)
	}
	if want := sha256.Sum256(list); root != want || missing != -1 || err != nil {
		t.Errorf("Root = %x, %d, %v", root, missing, err)
	}
	checkpoint(t, h, 5)
	checkpoint(t, h, 1)
	if n := mustOpen(t, path, 5).Verified(); n != 1 {
		t.Errorf("Verified = %d after it was taken back to 1", n)
	}
}

func TestNoChunks(t *testing.T) {
	h := mustOpen(t, filepath.Join(t.TempDir(), "hashes"), 0)
	manifest := sha256.Sum256([]byte("manifest"))
	if root, missing, err := h.Root(manifest); root != sha256.Sum256(manifest[:]) || missing != -1 || err != nil {
		t.Errorf("Root = %x, %d, %v", root, missing, err)
	}
	checkpoint(t, h, 0)
}

func TestChunksOutOfRange(t *testing.T) {
	dir := t.TempDir()
	for _, chunks := range []int64{-1, maxChunks + 1, 1 << 62} {
		if _, err := OpenHashes(filepath.Join(dir, "hashes"), chunks); err == nil {
			t.Errorf("%d chunks are possible", chunks)
		}
	}
	h := mustOpen(t, filepath.Join(dir, "hashes"), 5)
	for _, i := range []int64{-1, 5, 1 << 62} {
		if err := h.Set(i, sumOf(i)); err == nil {
			t.Errorf("Set(%d) works", i)
		}
		if _, _, err := h.Get(i); err == nil {
			t.Errorf("Get(%d) works", i)
		}
		if err := h.Checkpoint(i + i/5); err == nil {
			t.Errorf("Checkpoint(%d) works", i+i/5)
		}
	}
}

// damage changes a file as f wishes.
func damage(t *testing.T, path string, f func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOtherShapes(t *testing.T) {
	for name, f := range map[string]func(b []byte) []byte{
		"empty":         func([]byte) []byte { return nil },
		"no header":     func(b []byte) []byte { clear(b[:headerSize]); return b },
		"half a header": func(b []byte) []byte { return b[:headerSize-1] },
		"other words":   func(b []byte) []byte { b[0] = 'Q'; return b },
		"other chunks":  func(b []byte) []byte { copy(b, header(6)); return b },
		"a bit":         func(b []byte) []byte { b[headerSize-5] ^= 1; return b },
		"longer":        func(b []byte) []byte { return append(b, 0) },
	} {
		path := filepath.Join(t.TempDir(), "hashes")
		set(t, mustOpen(t, path, 5), 0, 1, 2, 3, 4)
		damage(t, path, f)
		_, err := OpenHashes(path, 5)
		var damaged *DamagedError
		if !errors.As(err, &damaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := t.TempDir()
	if _, err := OpenHashes(dir, 5); err == nil {
		t.Error("a directory is a file of hashes")
	}
}

// A torn write of a slot leaves the checkpoint before, and one of a hash leaves none.
func TestTornWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hashes")
	h := mustOpen(t, path, 5)
	set(t, h, 0, 1, 2, 3)
	checkpoint(t, h, 1)
	checkpoint(t, h, 2)
	checkpoint(t, h, 3) // in the second slot, as 1
	for cut := range slotSize {
		damage(t, path, func(b []byte) []byte {
			copy(b[2*block+cut:], h.encodeSlot(1, 1)[cut:])
			return b
		})
		want := int64(2)
		if string(h.encodeSlot(1, 1)[cut:]) == string(h.encodeSlot(3, 3)[cut:]) {
			want = 3
		}
		again := mustOpen(t, path, 5)
		if n := again.Verified(); n != want {
			t.Errorf("%d bytes of a slot: Verified = %d", cut, n)
		}
		checkpoint(t, again, 3)
		damage(t, path, func(b []byte) []byte {
			copy(b[2*block:], h.encodeSlot(3, 3))
			copy(b[block:], h.encodeSlot(2, 2))
			return b
		})
	}
	at := hashesAt + 3*hashSize
	for cut := range hashSize - 1 {
		damage(t, path, func(b []byte) []byte { return b[:at+cut] })
		if _, ok, err := mustOpen(t, path, 5).Get(3); ok || err != nil {
			t.Errorf("%d bytes of a hash: %v, %v", cut, ok, err)
		}
	}
	damage(t, path, func(b []byte) []byte { return b[:at-1] })
	h = mustOpen(t, path, 5)
	var damaged *DamagedError
	if _, _, err := h.Get(2); !errors.As(err, &damaged) {
		t.Errorf("a verified hash is torn: %v", err)
	}
	if _, missing, err := h.Root([32]byte{}); missing != 2 || !errors.As(err, &damaged) {
		t.Errorf("Root with a verified hash that is torn: %d, %v", missing, err)
	}
	checkpoint(t, h, 2) // fetched again
	if _, ok, err := h.Get(2); ok || err != nil {
		t.Errorf("the torn hash counts as verified: %v, %v", ok, err)
	}
	damage(t, path, func(b []byte) []byte { clear(b[block:hashesAt]); return b })
	if n := mustOpen(t, path, 5).Verified(); n != 0 {
		t.Errorf("Verified = %d without a slot", n)
	}
}

// Whatever calls and reopenings come, the file holds what was told last.
func TestHashesModel(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(dir, "hashes")
		os.Remove(path)
		chunks := rapid.Int64Range(1, 40).Draw(t, "chunks")
		h, err := OpenHashes(path, chunks)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { h.Close() }()
		known, verified := map[int64]bool{}, int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				i := rapid.Int64Range(0, chunks-1).Draw(t, "chunk")
				known[i] = true
				if err := h.Set(i, sumOf(i)); err != nil {
					t.Fatal(err)
				}
			},
			"checkpoint": func(t *rapid.T) {
				n := int64(0)
				for known[n] {
					n++
				}
				verified = rapid.Int64Range(0, n).Draw(t, "checkpoint")
				if err := h.Checkpoint(verified); err != nil {
					t.Fatal(err)
				}
			},
			"reopen": func(t *rapid.T) {
				h.Close()
				if h, err = OpenHashes(path, chunks); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				if h.Verified() != verified {
					t.Fatalf("Verified = %d, not %d", h.Verified(), verified)
				}
				for i := range chunks {
					if sum, ok, err := h.Get(i); ok != known[i] || ok && sum != sumOf(i) || err != nil {
						t.Fatalf("Get(%d) = %x, %v, %v", i, sum, ok, err)
					}
				}
			},
		})
	})
}

func TestAtTheSameTime(t *testing.T) {
	h := mustOpen(t, filepath.Join(t.TempDir(), "hashes"), 100)
	var wg sync.WaitGroup
	wg.Go(func() { set(t, h, 10, 11, 12, 13, 14) })
	wg.Go(func() {
		for i := range int64(20) {
			if _, _, err := h.Get(i); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range 3 {
			if err := h.Checkpoint(0); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

func FuzzHashes(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	h, err := OpenHashes(path, 3)
	if err != nil {
		f.Fatal(err)
	}
	for i := range int64(3) {
		h.Set(i, sumOf(i))
		h.Checkpoint(i)
	}
	h.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "hashes")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := OpenHashes(path, 3)
		if err != nil {
			return
		}
		defer h.Close()
		if n := h.Verified(); n < 0 || n > 3 {
			t.Errorf("Verified = %d", n)
		}
		_, missing, err := h.Root([32]byte{})
		if err == nil && (missing < -1 || missing > 2) {
			t.Errorf("%d is missing", missing)
		}
	})
}
