// Package store owns a peer's state directory: its key, ID, epoch and network, a small
// file each, under a lock ([State]); and its messages, in two files and a directory ([Store]).
//
// messages.db is a database of go.etcd.io/bbolt: the outbox, the marks of shown messages, the
// deposits kept for others, the records of peers met, and the keys that peers are held to. bbolt because it is one file, is
// safe from crashes by copy-on-write rather than by repairs, is a single dependency that
// others (etcd) rely on, and is made for many small records.
//
// messages.log is the log in which writes are safe before they come into the database: one
// write(2) and one fdatasync for all that wait, see log.go.
//
// history is a directory with the log of what was said and shown, see segment.go: messages of others
// and our own, and what became of them, each at a position that never changes. It is also the note of what
// was shown. An entry is in the kernel's hands before the program shows it, and how far it has come is
// noted before the next one, in a map of a file, which takes about a microsecond: a process killed
// between showing a line and noting that may repeat that ONE line. Receipts wait until an fdatasync
// has made a whole group of entries safe from a crash of the machine. Marks, which record how far each
// run of a sender was shown, come into the database when a file of the history is full.
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
	history               // its methods are the store's too
	day     func() uint32 // the day of a mark

	step    func(string) bool
	dead    atomic.Bool // step has said so
	written atomic.Bool // the log has been written since Open
	failure atomic.Pointer[error]

	touching  sync.Mutex // held while bbolt is used
	abandoned bool       // bbolt is not used any more, see touch

	placesMu sync.Mutex
	places   []place // of the files that stay

	jobs      jobs
	group     []Op // of those that commit: room
	committer sync.WaitGroup

	marksMu sync.Mutex
	marks   map[certs.PublicKey]delivery.Mark // as of Open; nil when it was handed over

	closing  sync.Once
	closeErr error
}

// Open opens the store in dir, making its files if both are missing. The caller
// holds the directory ([OpenState]) until after Close. All of both files is
// read and checked. The store needs not be closed if there was an error.
func Open(dir string) (*Store, error) { return OpenWith(dir, HistoryConfig{}, nil) }

// OpenWith is Open for tests of crashes. It calls step before and after all that
// changes a file, with the name of what comes next or has just been done: "write
// FILE", "rename FILE", "renamed FILE" (while the files are made or compacted), "log", "logged", "commit", "committed", "say", "said", "turn", "turned", "note", "noted",
// "sync", "synced". Once step
// returns false the store is as dead as if the process had been killed there:
// nothing more is written, no done function is called any more (another goroutine
// may be in the middle of either), and Close only releases the files. Several
// goroutines call step; it may not call the store.
func OpenWith(dir string, history HistoryConfig, step func(string) bool) (*Store, error) {
	return open(dir, history, step, ringSlots)
}

func open(dir string, history HistoryConfig, step func(string) bool, slots int) (*Store, error) {
	s := &Store{path: filepath.Join(dir, databaseFile), step: step, day: today}
	s.jobs.init()
	s.log.path, s.log.half, s.log.changed.L = filepath.Join(dir, logFile), slots*(logHalf/ringSlots), &s.log.mu
	h := &s.history
	h.store, h.dir, h.size, h.config, h.wake.L = s, filepath.Join(dir, historyDir), slots*(segmentSize/ringSlots), history, &h.mu
	h.cursor.boot = thisBoot()
	h.fold.marks = make(map[certs.PublicKey]*delivery.Mark)
	if err := s.load(dir); err != nil {
		s.release()
		return nil, err
	}
	s.committer.Go(s.commitJobs)
	h.running.Go(s.syncHistory)
	return s, nil
}

// load opens the files, and brings what log and history have into the database.
func (s *Store) load(dir string) (err error) {
	if err := s.openFiles(dir); err != nil {
		return err
	}
	for _, path := range []string{s.history.segments[len(s.history.segments)-1].path, s.path, s.log.path, filepath.Join(s.history.dir, cursorFile), filepath.Join(s.history.dir, lateFile)} {
		p, err := placeOf(path)
		if err != nil {
			return err
		}
		s.places = append(s.places, p)
	}
	if err := s.skipLost(); err != nil {
		return err
	}
	if err := s.foldOld(dir); err != nil {
		return err
	}
	if s.marks, err = s.readMarks(); err != nil {
		return err
	}
	for author, noted := range s.history.fold.marks {
		m := s.marks[author]
		for _, stamp := range noted.Stamps() {
			m.Raise(stamp)
		}
		s.marks[author] = m
	}
	return nil
}

// Close commits what is queued, makes the history safe and folds its marks into the database, waits for the
// store's goroutines and the done functions they call, and closes the files. What
// is handed to the store after Close has begun may get [fs.ErrClosed]. The error is
// the store's first, see [Store.Err]. A second Close returns the same.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Store) close() error {
	s.endHistory()
	if s.Err() == nil && !s.isDead() {
		s.foldHistory()
	}
	s.jobs.close()
	s.committer.Wait()
	if s.Err() == nil && !s.isDead() {
		if err := s.foldAll(); !s.isDead() {
			s.fail(err)
		}
	}
	s.log.running.Wait()
	if s.Err() == nil && !s.isDead() {
		s.fail(s.closeCursor())
	}
	s.fail(s.release())
	return s.Err()
}

// release closes the files and writes nothing.
func (s *Store) release() (err error) {
	if s.db != nil && !s.abandoned {
		err = s.db.Close()
	}
	return errors.Join(err, s.log.release(), s.history.release())
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
