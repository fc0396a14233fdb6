package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlogwriter"
)

// testQlogs writes to a directory with small bounds, and logs to b.
func testQlogs(t *testing.T, b *bytes.Buffer, limits qlogLimits) *qlogs {
	q := newQlogs(filepath.Join(t.TempDir(), "qlog"), slog.New(slog.NewTextHandler(b, nil)))
	q.limits = limits
	return q
}

var roomy = qlogLimits{files: 1000, file: 1 << 30, all: 1 << 30, pending: 1 << 30}

// record writes a record as FileSeq does, in pieces.
func record(t *testing.T, w io.Writer, text string) {
	t.Helper()
	for _, part := range []string{string(rune(qlogwriter.RecordSeparator)), text[:len(text)/2], text[len(text)/2:]} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("Write says %d, %v", n, err)
		}
	}
}

// file begins a file of its own.
func (q *qlogs) file(t *testing.T, number int) *qlogFile {
	t.Helper()
	f := &qlogFile{set: q, path: filepath.Join(q.dir, fmt.Sprintf("%s_%d_dialled%s", time.Now().UTC().Format(qlogTime), number, qlogSuffix))}
	if !q.register(f) {
		t.Fatal("no file is taken")
	}
	return f
}

// sizes are those of the files in the directory, in the order of their names.
func (q *qlogs) sizes(t *testing.T) (list []int64) {
	t.Helper()
	entries, err := os.ReadDir(q.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		list = append(list, info.Size())
	}
	return list
}

// TestQlogFileBound: a file ends with its last whole record, and what comes later is for nobody.
func TestQlogFileBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := roomy
		limits.file = 1000
		q := testQlogs(t, new(bytes.Buffer), limits)
		go q.keepWriting()
		f := q.file(t, 0)
		for range 30 {
			record(t, f, strings.Repeat("x", 99))
			time.Sleep(300 * time.Millisecond) // some of it is flushed meanwhile
		}
		_ = f.Close()
		q.finishAll()
		if got := q.sizes(t); len(got) != 1 || got[0] != 1000 {
			t.Errorf("files of %v bytes, not one of 1000", got)
		}
		q2 := testQlogs(t, new(bytes.Buffer), limits)
		go q2.keepWriting()
		f = q2.file(t, 0)
		for range 30 {
			record(t, f, strings.Repeat("x", 400))
		}
		q2.finishAll()
		if got := q2.sizes(t); len(got) != 1 || got[0] != 802 {
			t.Errorf("files of %v bytes, not one of two records", got)
		}
	})
}

// TestQlogBounds: the oldest files go when there are too many, or they are too large together, and
// those of earlier runs count; others in the directory are left alone.
func TestQlogBounds(t *testing.T) {
	for name, test := range map[string]struct {
		limits qlogLimits
		want   int
	}{
		"number": {qlogLimits{files: 5, file: 1000, all: 1 << 20, pending: 1 << 20}, 5},
		"bytes":  {qlogLimits{files: 100, file: 1000, all: 3500, pending: 1 << 20}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				q := testQlogs(t, &log, test.limits)
				mine := filepath.Join(q.dir, "mine.sqlog")
				if err := os.WriteFile(mine, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				for run := range 3 {
					if run > 0 {
						q = newQlogs(q.dir, q.log)
						q.limits = test.limits
					}
					go q.keepWriting()
					var open []*qlogFile
					for i := range 8 {
						f := q.file(t, run*8+i)
						for range 10 {
							record(t, f, strings.Repeat("x", 99))
						}
						if open = append(open, f); i%2 == 0 {
							_ = f.Close() // the others are removed while they are open
						}
						time.Sleep(2 * time.Second)
					}
					for _, f := range open {
						_ = f.Close()
					}
					q.finishAll()
					if got := q.sizes(t); len(got) != test.want+1 { // and mine
						t.Fatalf("run %d leaves files of %v bytes, want %d", run, got, test.want)
					}
				}
				entries, _ := filepath.Glob(filepath.Join(q.dir, "*_23_*"))
				if len(entries) != 1 {
					t.Error("the newest file is gone")
				}
				if _, err := os.Stat(mine); err != nil {
					t.Error(err)
				}
				if log.Len() > 0 {
					t.Error(log.String())
				}
			})
		})
	}
}

// disk is a fake disk: nil errors and no block write what they get.
type disk struct {
	mu    sync.Mutex
	text  bytes.Buffer
	err   error
	block chan struct{} // Write waits for its end
}

func (d *disk) Write(p []byte) (int, error) {
	if d.block != nil {
		<-d.block
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return 0, d.err
	}
	return d.text.Write(p)
}

func (d *disk) Close() error { return d.err }

// TestQlogSlowDisk: a disk that takes nothing holds nobody up, memory is bounded, and so is the end.
func TestQlogSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		limits := roomy
		limits.pending = 100 << 10
		q := testQlogs(t, &log, limits)
		slow := &disk{block: make(chan struct{})}
		q.create = func(string) (io.WriteCloser, error) { return slow, nil }
		go q.keepWriting()
		f := q.file(t, 0)
		for range 5000 {
			record(t, f, strings.Repeat("x", 999))
		}
		held := len(f.pending)
		for range 5000 {
			synctest.Wait()
			record(t, q.file(t, 1), strings.Repeat("x", 999))
		}
		if q.pending > limits.pending || held > limits.pending {
			t.Errorf("%d and %d bytes are held", q.pending, held)
		}
		began := time.Now()
		q.finishAll()
		if took := time.Since(began); took != qlogPatience || !strings.Contains(log.String(), "qlog") {
			t.Errorf("the end took %v; the log: %s", took, log.String())
		}
		close(slow.block)
		<-q.ended
		if n := slow.text.Len(); n%1000 != 0 || n == 0 {
			t.Errorf("%d bytes: not whole records", n)
		}
	})
}

// TestQlogFullDisk: a disk that fails is logged once.
func TestQlogFullDisk(t *testing.T) {
	for name, create := range map[string]func(string) (io.WriteCloser, error){
		"no file": func(string) (io.WriteCloser, error) { return nil, errors.New("no space") },
		"no room": func(string) (io.WriteCloser, error) { return &disk{err: errors.New("no space")}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				q := testQlogs(t, &log, roomy)
				q.create = create
				go q.keepWriting()
				for i := range 10 {
					f := q.file(t, i)
					for range 5 {
						record(t, f, strings.Repeat("x", 999))
						time.Sleep(time.Second)
					}
					_ = f.Close()
				}
				q.finishAll()
				if n := strings.Count(log.String(), "no space"); n != 1 || q.pending != 0 {
					t.Errorf("%d bytes are held, and the log is:\n%s", q.pending, log.String())
				}
			})
		})
	}
}

// TestQlogWithoutDirectory: no directory, no traces, and no more than that.
func TestQlogWithoutDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		q := newQlogs(filepath.Join(file, "dir"), slog.New(slog.NewTextHandler(&log, nil)))
		go q.keepWriting()
		f := q.file(t, 0)
		record(t, f, "xxxx")
		_ = f.Close()
		q.finishAll()
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("the log is:\n%s", log.String())
		}
	})
}

// TestQlogTrace: what quic-go writes are JSON records, and its goroutine ends with the connection.
func TestQlogTrace(t *testing.T) {
	q := testQlogs(t, new(bytes.Buffer), roomy)
	if info, err := os.Stat(q.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatal(info.Mode(), err)
	}
	go q.keepWriting()
	for _, client := range []bool{true, false} {
		trace := q.trace(t.Context(), client, quic.ConnectionIDFromBytes([]byte{1, 2, 3, 4}))
		r := trace.AddProducer()
		_ = r.Close()
	}
	q.finishAll()
	if q.trace(t.Context(), true, quic.ConnectionID{}) != nil {
		t.Error("a trace begins after the end")
	}
	files, _ := filepath.Glob(filepath.Join(q.dir, "*"+qlogSuffix))
	if len(files) != 2 {
		t.Fatal(files)
	}
	for _, name := range files {
		checkQlog(t, name)
	}
}

// checkQlog fails unless a file is a qlog, and returns how many records it has.
func checkQlog(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	records := bytes.Split(text, []byte{qlogwriter.RecordSeparator})[1:]
	for _, r := range records {
		if !json.Valid(r) {
			t.Errorf("%s has a record that is not JSON: %q", name, r)
		}
	}
	if len(records) == 0 || !bytes.Contains(records[0], []byte("qlog")) {
		t.Errorf("%s is not a qlog", name)
	}
	return len(records)
}
