package transport

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlogwriter"
)

// Bounds of the qlog files of one directory (guesses: a busy link writes 16 MiB in some minutes).
// Files of earlier runs count too.
const (
	maxQlogFiles   = 64        // then the oldest is removed
	maxQlogFile    = 16 << 20  // bytes; then the file ends
	maxQlogAll     = 256 << 20 // bytes; then the oldest are removed
	maxQlogPending = 4 << 20   // bytes that the disk has not taken; then the files that get more end
	// Events are written when a file has qlogFlush of them, or after qlogEvery.
	qlogFlush = 32 << 10
	qlogEvery = time.Second
	// qlogPatience is how long the end waits for a disk that does not answer.
	qlogPatience = time.Second
)

// qlogs writes a qlog file for each connection. quic-go waits for whoever takes its events, so they
// only go into memory, and one goroutine brings them to the disk: one that is slow or full costs
// traces, never packets.
type qlogs struct {
	dir    string
	log    *slog.Logger
	limits qlogLimits
	create func(path string) (io.WriteCloser, error)
	wake   chan struct{} // holds a token when there is something to write
	ended  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	files   []*qlogFile // the oldest first
	doomed  []*qlogFile // to be removed
	written int64       // bytes of the files, with what is pending
	pending int
	warned  bool
	closed  bool
}

type qlogLimits struct {
	files     int
	file, all int64
	pending   int
}

// qlogFile is one file, and the writer of one connection.
type qlogFile struct {
	set     *qlogs
	path    string
	size    int64  // with what is pending
	pending []byte // begins with a record
	state   qlogState
	file    io.WriteCloser // the goroutine's own; nil: not open
}

type qlogState int

const (
	qlogOpen  qlogState = iota
	qlogEnded           // nothing is added; what is pending is to be written, and the file closed
	qlogDone            // nothing is left to do
)

// newQlogs begins to write files into a directory, which it makes if there is none. Errors are
// logged, and end nothing but traces.
func newQlogs(dir string, log *slog.Logger) *qlogs {
	q := &qlogs{
		dir: dir, log: log, limits: qlogLimits{files: maxQlogFiles, file: maxQlogFile, all: maxQlogAll, pending: maxQlogPending},
		create: createQlog, wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		q.warnOnce(err)
	} else {
		q.findEarlier()
	}
	return q
}

func createQlog(path string) (io.WriteCloser, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// findEarlier counts the files of earlier runs.
func (q *qlogs) findEarlier() {
	list, err := os.ReadDir(q.dir)
	if err != nil {
		q.warnOnce(err)
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && isQlogName(e.Name()) {
			q.files = append(q.files, &qlogFile{set: q, path: filepath.Join(q.dir, e.Name()), size: info.Size(), state: qlogDone})
			q.written += info.Size()
		}
	}
	slices.SortStableFunc(q.files, func(a, b *qlogFile) int { return cmp.Compare(a.path, b.path) })
}

// qlogTime is how the name of a file begins, so that the names sort by time.
const (
	qlogTime   = "20060102T150405.000000"
	qlogSuffix = ".sqlog"
)

// isQlogName says that a file is one of ours: no other is ever removed.
func isQlogName(name string) bool {
	begin, _, found := strings.Cut(name, "_")
	_, err := time.Parse(qlogTime, begin)
	return found && err == nil && strings.HasSuffix(name, qlogSuffix)
}

// trace is quic-go's Config.Tracer.
func (q *qlogs) trace(_ context.Context, isClient bool, id quic.ConnectionID) qlogwriter.Trace {
	side := "accepted"
	if isClient {
		side = "dialled"
	}
	name := fmt.Sprintf("%s_%s_%s%s", time.Now().UTC().Format(qlogTime), id, side, qlogSuffix)
	f := &qlogFile{set: q, path: filepath.Join(q.dir, name)}
	if !q.register(f) {
		return nil
	}
	t := qlogwriter.NewConnectionFileSeq(f, isClient, id)
	go t.Run() // which quic-go waits for at the end of the connection
	return t
}

// register counts a file in; false says that no more are written.
func (q *qlogs) register(f *qlogFile) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.files = append(q.files, f)
	q.shrink()
	return true
}

// shrink gives up the oldest files beyond the bounds, but not the newest. q.mu is held.
func (q *qlogs) shrink() {
	for len(q.files) > 1 && (len(q.files) > q.limits.files || q.written > q.limits.all) {
		oldest := q.files[0]
		q.files = slices.Delete(q.files, 0, 1)
		q.doomed = append(q.doomed, oldest)
		oldest.takeBack(0)
		q.written -= oldest.size
		oldest.state = qlogDone
		signal(q.wake)
	}
}

// takeBack takes back what is pending from a place on. set.mu is held.
func (f *qlogFile) takeBack(from int) {
	less := len(f.pending) - from
	f.pending = f.pending[:from]
	f.size -= int64(less)
	f.set.written -= int64(less)
	f.set.pending -= less
}

// Write takes a part of a record, and never fails or waits: a file that may not grow any more ends
// with its last whole record.
func (f *qlogFile) Write(p []byte) (int, error) {
	q := f.set
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case f.state != qlogOpen, len(p) == 0:
	case f.size+int64(len(p)) > q.limits.file || q.pending+len(p) > q.limits.pending:
		if p[0] != qlogwriter.RecordSeparator { // else all before it is whole
			f.takeBack(f.wholeRecords())
		}
		f.state = qlogEnded
		signal(q.wake)
	default:
		f.pending = append(f.pending, p...)
		f.size += int64(len(p))
		q.written += int64(len(p))
		q.pending += len(p)
		if len(f.pending) >= qlogFlush {
			signal(q.wake)
		}
		q.shrink()
	}
	return len(p), nil
}

// wholeRecords is how much of what is pending are whole records. The separator is nowhere else in JSON.
func (f *qlogFile) wholeRecords() int {
	return max(0, bytes.LastIndexByte(f.pending, qlogwriter.RecordSeparator))
}

// Close is the end of the connection.
func (f *qlogFile) Close() error {
	f.set.mu.Lock()
	defer f.set.mu.Unlock()
	if f.state == qlogOpen {
		f.state = qlogEnded
		signal(f.set.wake)
	}
	return nil
}

// keepWriting is the goroutine that writes.
func (q *qlogs) keepWriting() {
	defer close(q.ended)
	every := time.NewTicker(qlogEvery)
	defer every.Stop()
	for {
		closed := q.isOver()
		q.flushAll()
		if closed {
			return
		}
		select {
		case <-q.wake:
		case <-every.C:
		}
	}
}

func (q *qlogs) isOver() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// flushAll removes what is given up, and writes what is pending.
func (q *qlogs) flushAll() {
	q.mu.Lock()
	doomed, files := q.doomed, slices.Clone(q.files)
	q.doomed = nil
	q.mu.Unlock()
	for _, f := range doomed {
		f.closeFile()
		if err := os.Remove(f.path); err != nil && !os.IsNotExist(err) {
			q.warnOnce(err)
		}
	}
	for _, f := range files {
		if err := f.flushFile(); err != nil {
			q.warnOnce(err)
			f.giveUp()
		}
	}
}

// flushFile brings the whole records of a file to the disk, and closes it at its end.
func (f *qlogFile) flushFile() error {
	q := f.set
	q.mu.Lock()
	ended, whole := f.state == qlogEnded, len(f.pending)
	if f.state == qlogOpen {
		whole = f.wholeRecords()
	}
	b := f.pending[:whole]
	f.pending = slices.Clone(f.pending[whole:])
	if ended {
		f.state = qlogDone
	}
	q.mu.Unlock()
	var err error
	if len(b) > 0 {
		err = f.toDisk(b)
		q.mu.Lock()
		q.pending -= len(b)
		q.mu.Unlock()
	}
	if ended {
		f.closeFile()
	}
	return err
}

// toDisk writes to the file, which it makes at the first time.
func (f *qlogFile) toDisk(b []byte) (err error) {
	if f.file == nil {
		if f.file, err = f.set.create(f.path); err != nil {
			return err
		}
	}
	_, err = f.file.Write(b)
	return err
}

// closeFile closes the file.
func (f *qlogFile) closeFile() {
	if f.file != nil {
		if err := f.file.Close(); err != nil {
			f.set.warnOnce(err)
		}
		f.file = nil
	}
}

// giveUp ends a file that can't be written.
func (f *qlogFile) giveUp() {
	f.closeFile()
	f.set.mu.Lock()
	defer f.set.mu.Unlock()
	f.takeBack(0)
	f.state = qlogDone
}

// warnOnce logs the first error.
func (q *qlogs) warnOnce(err error) {
	q.mu.Lock()
	again := q.warned
	q.warned = true
	q.mu.Unlock()
	if !again {
		q.log.Warn("qlog files are incomplete; further errors are not logged", "dir", q.dir, "error", err)
	}
}

// finishAll ends the writing, once all connections have ended.
func (q *qlogs) finishAll() {
	q.mu.Lock()
	q.closed = true
	for _, f := range q.files {
		if f.state == qlogOpen {
			f.state = qlogEnded
		}
	}
	q.mu.Unlock()
	signal(q.wake)
	late := time.NewTimer(qlogPatience)
	defer late.Stop()
	select {
	case <-q.ended:
	case <-late.C:
		q.log.Warn("leaving although the disk has not taken all qlog files", "after", qlogPatience)
	}
}
