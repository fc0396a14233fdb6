package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// Op is a change of one record. A Value of nil deletes it; an empty one is a value.
type Op struct {
	Bucket     Bucket
	Key, Value []byte // Key has 1 to 32,768 bytes
}

// job is the part of a transaction that serves one call.
type job struct {
	apply func(*transaction) error
	err   error // it was refused, and apply is not called
	done  func(error)
}

// Write changes records, all of ops or none. It never blocks: one goroutine
// commits all that is queued so far as one transaction, and then calls the done
// functions, in the order of the calls, with nil when it is safe from a crash of
// the machine. With an error the change may be there or not after a restart, and
// no later Write succeeds, unless it was but an op that is impossible. done may be
// nil, and may call the store, but not [Store.Close]; while it runs nothing is
// committed. The slices are the store's until then. The queue has no bound of its
// own: it holds no more than its callers let wait for done. After Close done is
// called by Write itself, with [fs.ErrClosed].
func (s *Store) Write(done func(error), ops ...Op) {
	s.queue(job{done: done, err: checkOps(ops), apply: func(t *transaction) error {
		for _, op := range ops {
			if err := t.put(op.Bucket, op.Key, op.Value); err != nil {
				return err
			}
		}
		return nil
	}})
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
	if s.isDead() {
		return
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.jobs = append(s.jobs, j)
		s.queued.Signal()
	}
	s.mu.Unlock()
	if closed && j.done != nil {
		j.done(fs.ErrClosed)
	}
}

// commitJobs commits jobs until Close, and what is queued then.
func (s *Store) commitJobs() {
	for {
		jobs := s.takeJobs()
		if jobs == nil {
			return
		}
		err := s.update(func(t *transaction) error { return apply(t, jobs) })
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

func (s *Store) takeJobs() []job {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.jobs) == 0 && !s.closed {
		s.queued.Wait()
	}
	jobs := s.jobs
	s.jobs = nil
	return jobs
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
		return s.failWriting(err)
	}
	defer tx.Rollback() // does nothing after Commit
	t := &transaction{tx: tx, path: s.path, digests: make(map[Bucket]digest)}
	if err := change(t); err != nil {
		return s.failWriting(err)
	}
	if !t.changed {
		return nil
	}
	if err := t.putAbout(); err != nil {
		return s.failWriting(err)
	}
	if !s.reach("commit") {
		return ErrKilled
	}
	if err := tx.Commit(); err != nil {
		return s.failWriting(err)
	}
	if !s.reach("committed") {
		return ErrKilled
	}
	return nil
}

func (s *Store) failWriting(err error) error {
	if _, damaged := errors.AsType[*DamagedError](err); !damaged {
		err = fmt.Errorf("writing %s: %w", s.path, err)
	}
	return s.fail(err)
}

// apply carries out jobs, except those that were refused.
func apply(t *transaction, jobs []job) error {
	for _, j := range jobs {
		if j.err != nil {
			continue
		}
		if err := j.apply(t); err != nil {
			return err
		}
	}
	return nil
}
