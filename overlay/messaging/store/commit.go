package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// Op is a change of one record. A Value of nil deletes it; an empty one is a value.
type Op struct {
	Bucket     Bucket
	Key, Value []byte // Key has 1 to 32,768 bytes
}

// jobs is the queue of the goroutine that commits.
type jobs struct {
	mu      sync.Mutex
	changed sync.Cond
	list    []job
	closed  bool
}

func (q *jobs) init() { q.changed.L = &q.mu }

// put adds a job; false says that the queue is closed.
func (q *jobs) put(j job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.list = append(q.list, j)
	q.changed.Signal()
	return true
}

// spareJobs is the largest list of jobs that is used again.
const spareJobs = 4096

// next waits for jobs and takes them all; none is the end. The list of those that were done is filled next.
func (q *jobs) next(done []job) []job {
	clear(done)
	if cap(done) > spareJobs {
		done = nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.list) == 0 && !q.closed {
		q.changed.Wait()
	}
	list := q.list
	q.list = done[:0]
	return list
}

func (q *jobs) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

func (q *jobs) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// job is what serves one call.
type job struct {
	ops   []Op                     // for the log
	apply func(*transaction) error // or for the database
	fold  bool                     // what is in the log has to be in the database before
	err   error                    // it was refused, and does nothing
	done  func(error)
}

// Write changes records, all of ops or none. It never blocks: one goroutine
// writes all that is queued so far to the log at once, and then calls the done
// functions, in the order of the calls, with nil when it is safe from a crash of
// the machine. With an error the change may be there or not after a restart, and
// no later Write succeeds, unless it was but an op that is impossible. done may be
// nil, and may call the store, but not [Store.Close]; while it runs nothing is
// committed. The slices are the store's from then on. The queue has no bound of its
// own: it holds no more than its callers let wait for done. After Close done is
// called by Write itself, with [fs.ErrClosed].
func (s *Store) Write(done func(error), ops ...Op) {
	j := job{ops: ops, done: done, err: checkOps(ops)}
	if j.err == nil && !s.log.fits(ops) {
		j = job{done: done, fold: true, apply: func(t *transaction) error {
			for _, op := range ops {
				if err := t.put(op.Bucket, op.Key, op.Value); err != nil {
					return err
				}
			}
			return nil
		}}
	}
	s.queue(j)
}

func checkOps(ops []Op) error {
	for _, op := range ops {
		switch {
		case !op.Bucket.known():
			return fmt.Errorf("the store has no bucket %q", op.Bucket)
		case len(op.Key) == 0 || len(op.Key) > maxKey || len(op.Value) > maxValue:
			return fmt.Errorf("the store takes no key of %d bytes with a value of %d", len(op.Key), len(op.Value))
		}
	}
	return nil
}

// SetGaps sets the gaps in the mark of sender, at most [delivery.MaxGaps]. It works like
// [Store.Write], so that a caller can wait until a gap is safe before it notes a
// position beyond it.
func (s *Store) SetGaps(sender certs.PublicKey, gaps []delivery.Gap, done func(error)) {
	j := job{done: done}
	if len(gaps) > delivery.MaxGaps {
		j.err = fmt.Errorf("%d gaps are more than %d", len(gaps), delivery.MaxGaps)
	}
	gaps = slices.Clone(gaps)
	j.apply = func(t *transaction) error {
		m, err := t.mark(sender)
		if err != nil {
			return err
		}
		m.Gaps = gaps
		if err := t.put(marks, sender[:], encodeMark(m, s.day())); err != nil {
			return err
		}
		return t.forget()
	}
	s.queue(j)
}

func (s *Store) queue(j job) {
	if !s.isDead() && !s.jobs.put(j) && j.done != nil {
		j.done(fs.ErrClosed)
	}
}

// commitJobs carries out jobs until Close, and what is queued then.
func (s *Store) commitJobs() {
	var jobs []job
	for {
		jobs = s.jobs.next(jobs)
		if len(jobs) == 0 {
			return
		}
		err := s.carryOut(jobs)
		for _, j := range jobs {
			if s.isDead() {
				return
			}
			if j.done != nil {
				j.done(cmp.Or(j.err, err))
			}
		}
	}
}

// carryOut carries out jobs in their order, except those that were refused. Writes to the log that follow each
// other are one record, up to a size.
func (s *Store) carryOut(jobs []job) error {
	ops, size := s.group[:0], 0
	write := func() error {
		err := s.logOps(ops)
		clear(ops)
		ops, size = ops[:0], 0
		return err
	}
	defer func() { s.group = ops }()
	for _, j := range jobs {
		var err error
		switch {
		case j.err != nil:
		case j.apply == nil && !j.fold:
			n := sizeOf(j.ops)
			if size+n > s.log.half/groupsInHalf {
				err = write()
			}
			ops, size = append(ops, j.ops...), size+n
		default:
			err = write()
			if err == nil {
				err = s.syncLog()
			}
			if err == nil && j.fold {
				err = s.foldAll()
			}
			if err == nil && j.apply != nil {
				err = s.update(j.apply)
			}
		}
		if err != nil {
			return err
		}
	}
	if err := write(); err != nil {
		return err
	}
	return s.syncLog()
}

// logOps adds operations to the log, which are safe after syncLog.
func (s *Store) logOps(ops []Op) error {
	if len(ops) == 0 || s.log.addRecord(ops) {
		return nil
	}
	if err := s.syncLog(); err != nil {
		return err
	}
	s.foldWaiting(true)
	s.log.settle()
	if err := s.Err(); err != nil {
		return err
	}
	if s.isDead() {
		return ErrKilled
	}
	s.log.turn()
	if !s.log.addRecord(ops) {
		panic("store: a write that fits into no half of the log")
	}
	return nil
}

// foldWaiting begins to fold the half of the log that waits for it, if that is due.
func (s *Store) foldWaiting(atOnce bool) {
	half, last, ok := s.log.mustFold(atOnce)
	if !ok {
		return
	}
	lacks := s.log.take(half)
	s.log.running.Go(func() {
		if err := s.foldLog(half, last, lacks); err != nil {
			if !s.isDead() {
				s.fail(err)
			}
			last = 0
		}
		s.log.foldedTo(half, last)
	})
}

// syncLog makes safe what was added to the log, and checks that the files are still there, even
// if nothing was.
func (s *Store) syncLog() error {
	if err := s.Err(); err != nil {
		return err
	}
	if len(s.log.buffer) > 0 {
		s.written.Store(true)
		if !s.reach("log") {
			return ErrKilled
		}
		if err := s.log.sync(); err != nil {
			return s.fail(err)
		}
		if !s.reach("logged") {
			return ErrKilled
		}
		s.foldWaiting(false)
	}
	return s.checkPlaces()
}

// foldAll folds all that is in the log. Nothing may be written to it meanwhile.
func (s *Store) foldAll() error {
	s.foldWaiting(true)
	if !s.log.settle() || s.Err() != nil {
		return s.Err()
	}
	half, last := s.log.now, s.log.number
	if err := s.foldLog(half, last, s.log.take(half)); err != nil {
		return err
	}
	s.log.foldedTo(half, last)
	return nil
}

// foldLog folds a half, up to its last record, of which the database lacks these changes. Those that have
// changed again in the other half are not among them.
func (s *Store) foldLog(half int, last uint64, lacks changes) error {
	if err := s.log.check(half, last); err != nil {
		return s.fail(err)
	}
	return s.update(func(t *transaction) error { return t.fold(lacks, last) })
}

// update runs change in a transaction, commits it, and checks that the files are still there,
// even if nothing has changed. After the first error it tries no more: bbolt can't know what
// is on disk after it.
func (s *Store) update(change func(*transaction) error) error {
	return s.touch(func() error {
		if err := s.commit(change); err != nil {
			return err
		}
		return s.checkPlaces()
	})
}

func (s *Store) commit(change func(*transaction) error) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return s.fail(whileWriting(s.path, err))
	}
	defer tx.Rollback() // does nothing after Commit
	t := &transaction{tx: tx, path: s.path, digests: make(map[Bucket]digest)}
	if err := change(t); err != nil {
		return s.fail(whileWriting(s.path, err))
	}
	if !t.changed {
		return nil
	}
	if err := t.putAbout(); err != nil {
		return s.fail(whileWriting(s.path, err))
	}
	if !s.reach("commit") {
		return ErrKilled
	}
	if err := tx.Commit(); err != nil {
		return s.fail(whileWriting(s.path, err))
	}
	if !s.reach("committed") {
		return ErrKilled
	}
	return nil
}

// whileWriting names the file that could not be written, unless it is damaged.
func whileWriting(path string, err error) error {
	if _, damaged := errors.AsType[*DamagedError](err); !damaged {
		err = fmt.Errorf("writing %s: %w", path, err)
	}
	return err
}
