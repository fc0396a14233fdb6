package place

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/fstest"
	"time"

	"quicpeer/overlay/files/manifest"
)

// many returns a manifest of files of 1000 bytes, 100 in a directory, and their stream.
func many(t testing.TB, n int) (*manifest.Manifest, []byte) {
	content := make([]byte, 1000)
	for i := range content {
		content[i] = byte(i%255 + 1)
	}
	all := fstest.MapFS{}
	for i := range n {
		all[fmt.Sprintf("top/dir%03d/Photo of 2024-05-06 %05d.jpg", i/100, i)] = &fstest.MapFile{Data: content, Mode: 0o644, ModTime: noon}
	}
	m, _, err := manifest.Build(t.Context(), []manifest.Root{{FS: all, Name: "top"}})
	if err != nil {
		t.Fatal(err)
	}
	stream := make([]byte, 0, m.Size())
	for range n {
		stream = append(stream, content...)
	}
	return m, stream
}

// Many small files, with a Sync for each 16 MiB: none is forgotten, few are open.
func TestManyFiles(t *testing.T) {
	const n = 3000
	m, stream := many(t, n)
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	for at := 0; at < len(stream); at += 1 << 20 {
		write(t, p, stream, at, min(len(stream), at+1<<20))
		if len(p.open) > maxOpen || len(p.unsynced.files) > manyFiles && flushesAll {
			t.Fatalf("%d files are open, %d are not synced", len(p.open), len(p.unsynced.files))
		}
	}
	finish(t, p)
	found := 0
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		found++
		info, err := d.Info()
		if err == nil && (info.Size() != 1000 || !info.ModTime().Equal(noon)) {
			t.Errorf("%s has %d bytes and is from %v", path, info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil || found != n {
		t.Errorf("%d files, %v", found, err)
	}
}

// BenchmarkManyFiles writes and finishes 100,000 files of 1000 bytes in chunks of 1 MiB with a Sync
// for each 16 MiB, and reports the seconds of each and the memory that was live at most.
func BenchmarkManyFiles(b *testing.B) {
	m, stream := many(b, 100_000)
	for b.Loop() {
		dir := b.TempDir()
		before := live()
		began := time.Now()
		p := mustOpen(b, dir, m)
		most := before
		var syncing time.Duration
		for at := 0; at < len(stream); at += 1 << 20 {
			write(b, p, stream, at, min(len(stream), at+1<<20))
			if at>>20%16 == 15 {
				most = max(most, live())
				s := time.Now()
				if err := p.Sync(); err != nil {
					b.Fatal(err)
				}
				syncing += time.Since(s)
			}
		}
		b.ReportMetric((time.Since(began) - syncing).Seconds(), "s/write")
		b.ReportMetric(syncing.Seconds(), "s/sync")
		began = time.Now()
		if _, err := p.Finish(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/finish")
		b.ReportMetric(float64(max(most, live())-before)/(1<<20), "MiB/live")
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOneFile writes a file of 1 GiB in the same way.
func BenchmarkOneFile(b *testing.B) {
	const size = 1 << 30
	m, err := manifest.Decode(oneFile(b, size))
	if err != nil {
		b.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	for i := range chunk {
		chunk[i] = byte(i%255 + 1)
	}
	b.SetBytes(size)
	for b.Loop() {
		p := mustOpen(b, b.TempDir(), m)
		for at := int64(0); at < size; at += 1 << 20 {
			if err := p.WriteAt(chunk, at); err != nil {
				b.Fatal(err)
			}
			if at>>20%16 == 15 {
				if err := p.Sync(); err != nil {
					b.Fatal(err)
				}
			}
		}
		if _, err := p.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

// oneFile returns the manifest of a file that has only a size.
func oneFile(t testing.TB, size int64) []byte {
	path := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	m, _, err := manifest.Build(t.Context(), []manifest.Root{{FS: os.DirFS(filepath.Dir(path)), Name: "large"}})
	if err != nil {
		t.Fatal(err)
	}
	return m.Encode()
}

// A file of 100 GiB is a matter of arithmetic: it is sparse, and only its middle is written.
func TestHuge(t *testing.T) {
	const size = 100 << 30
	m, err := manifest.Decode(oneFile(t, size))
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	p := mustOpen(t, dir, m)
	chunk := make([]byte, 1<<20)
	if err := p.WriteAt(chunk, size-1<<20); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteAt([]byte("middle"), size/2); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 6)
	if err := p.ReadAt(b, size/2); err != nil || string(b) != "middle" {
		t.Errorf("%q, %v", b, err)
	}
	finish(t, p)
	if info, err := os.Stat(filepath.Join(dir, "large")); err != nil || info.Size() != size {
		t.Error(info, err)
	}
}

func live() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
