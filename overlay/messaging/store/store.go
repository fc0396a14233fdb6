// Package store owns a peer's state directory: its key, ID, epoch and network, a small
// file each, under a lock ([State]); and its messages, in two files more ([Store]).
//
// messages.db is a database of go.etcd.io/bbolt: the outbox, the marks of shown messages, the
// deposits kept for others, the records of peers met, and the keys that peers are held to. bbolt because it is one file, is
// safe from crashes by copy-on-write rather than by repairs, is a single dependency that
// others (etcd) rely on, and is made for many small records.
//
// messages.log is the log in which writes are safe before they come into the database: one
// write(2) and one fdatasync for all that wait, see log.go.
//
// shown is a journal of marks, which record how far each run of a sender was shown. A message
// counts as shown the moment its line was written, and a process killed between showing a line
// and noting it may repeat that ONE message, so each note is in the kernel's hands before the
// next line: it goes into a fixed ring of slots, which takes about a microsecond. Receipts wait until
// an fdatasync has made a whole group of notes safe from a crash of the machine. Notes are
// folded into the database when half of the ring is full.
//
// None of these files is ever repaired or made anew: content that is not as it was written is a
// [DamagedError], also while the store is open. If one of them is removed or replaced
// meanwhile, that is a [RemovedError], before anything more is called safe.
package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// Store keeps the messages of a peer on disk. It is safe for use by several goroutines.
type Store struct {
	path    string // of the database
	db      *bbolt.DB
	log     writeLog
	journal journal
	day     func() uint32 // the day of a mark

	step    func(string) bool
	dead    atomic.Bool // step has said so
	written atomic.Bool // the log has been written since Open
	failure atomic.Pointer[error]

	touching  sync.Mutex // held while bbolt is used
	abandoned bool       // bbolt is not used any more, see touch

	placesMu sync.Mutex
	places   []place // of database and journal

	jobs      jobs
	committer sync.WaitGroup

	marksMu sync.Mutex
	marks   map[certs.PublicKey]delivery.Mark // as of Open; nil when it was handed over

	closing  sync.Once
	closeErr error
}

// Open opens the store in dir, making its files if both are missing. The caller
// holds the directory ([OpenState]) until after Close. All of both files is
// read and checked. The store needs not be closed if there was an error.
func Open(dir string) (*Store, error) { return OpenWith(dir, nil) }

// OpenWith is Open for tests of crashes. It calls step before and after all that
// changes a file, with the name of what comes next or has just been done: "write
// FILE", "rename FILE", "renamed FILE", "use", "used" (while the files are made or
// compacted), "log", "logged", "commit", "committed", "note", "noted", "sync", "synced". Once step
// returns false the store is as dead as if the process had been killed there:
// nothing more is written, no done function is called any more (another goroutine
// may be in the middle of either), and Close only releases the files. Several
// goroutines call step; it may not call the store.
func OpenWith(dir string, step func(string) bool) (*Store, error) {
	return open(dir, step, ringSlots)
}

func open(dir string, step func(string) bool, slots int) (*Store, error) {
	s := &Store{path: filepath.Join(dir, databaseFile), step: step, day: today}
	s.jobs.init()
	s.log.path, s.log.half, s.log.changed.L = filepath.Join(dir, logFile), slots*(logHalf/ringSlots), &s.log.mu
	s.journal.init(dir, slots)
	if err := s.load(dir); err != nil {
		s.release()
		return nil, err
	}
	s.committer.Go(s.commitJobs)
	s.journal.running.Go(s.syncNotes)
	return s, nil
}

// load opens the files, and brings what log and journal have into the database.
func (s *Store) load(dir string) (err error) {
	if err := s.openFiles(dir); err != nil {
		return err
	}
	late, err := s.journal.openLate()
	if err != nil {
		return err
	}
	for _, path := range []string{s.path, s.log.path, s.journal.path, s.journal.late} {
		p, err := placeOf(path)
		if err != nil {
			return err
		}
		s.places = append(s.places, p)
	}
	if err := s.foldOld(); err != nil {
		return err
	}
	if s.journal.torn, err = s.foldNotes(0, s.journal.slots); err != nil {
		return err
	}
	if err := s.update(func(t *transaction) error { return t.raise(late.marks, s.day()) }); err != nil {
		return err
	}
	s.journal.torn += late.torn
	s.marks, err = s.readMarks()
	return err
}

// Close commits what is queued, folds the journal into the database, waits for the
// store's goroutines and the done functions they call, and closes the files. What
// is handed to the store after Close has begun may get [fs.ErrClosed]. The error is
// the store's first, see [Store.Err]. A second Close returns the same.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Store) close() error {
	s.journal.close()
	s.jobs.close()
	s.committer.Wait()
	if s.Err() == nil && !s.isDead() {
		if err := s.foldAll(); !s.isDead() {
			s.fail(err)
		}
	}
	s.log.running.Wait()
	if s.Err() == nil && !s.isDead() {
		err := s.journal.flush()
		if err == nil {
			_, err = s.foldNotes(0, s.journal.slots)
		}
		if !s.isDead() {
			s.fail(err)
		}
	}
	s.fail(s.release())
	return s.Err()
}

// release closes the files and writes nothing.
func (s *Store) release() (err error) {
	if s.db != nil && !s.abandoned {
		err = s.db.Close()
	}
	return errors.Join(err, s.log.release(), s.journal.release())
}

// Load calls f for each record of b that is safe, in the order of the keys.
// The slices are valid during the call only. f may not call the store: what is
// written waits for Load. The error is f's, a [DamagedError], or the store's, see
// [Store.Err]. No done function may call it.
func (s *Store) Load(b Bucket, f func(key, value []byte) error) error {
	if !b.known() {
		return fmt.Errorf("the store has no bucket %q", b)
	}
	if s.written.Load() {
		folded := make(chan error, 1)
		s.queue(job{fold: true, done: func(err error) { folded <- err }})
		if err := <-folded; err != nil {
			return err
		}
	}
	return s.each(b, f)
}

// Number is a number that this peer remembers of itself, see [NumberOp]; 0 if it doesn't.
func (s *Store) Number(name string) (number uint64, err error) {
	err = s.Load(Self, func(key, value []byte) error {
		if string(key) != name {
			return nil
		}
		if number, err = decodeNumber(value); err != nil {
			return &DamagedError{Path: s.path, Err: fmt.Errorf("the stored %s: %w", name, err)}
		}
		return nil
	})
	return number, err
}

// Marks hands over the marks as of Open, of database and journal: the map is the
// caller's. A later call returns nil.
func (s *Store) Marks() map[certs.PublicKey]delivery.Mark {
	s.marksMu.Lock()
	defer s.marksMu.Unlock()
	m := s.marks
	s.marks = nil
	return m
}

func (s *Store) readMarks() (map[certs.PublicKey]delivery.Mark, error) {
	all := make(map[certs.PublicKey]delivery.Mark)
	err := s.each(marks, func(key, value []byte) error {
		m, _, err := decodeMark(value)
		if err != nil {
			return &DamagedError{Path: s.path, Err: err}
		}
		all[certs.PublicKey(key)] = m
		return nil
	})
	return all, err
}

func (s *Store) each(b Bucket, f func(key, value []byte) error) error {
	return s.touch(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(b)).ForEach(func(key, record []byte) error {
				value, err := unseal(key, record)
				if err != nil {
					return &DamagedError{Path: s.path, Err: err}
				}
				return f(key, value)
			})
		})
	})
}
