package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
)

const databaseFile = "messages.db"

// Guesses.
const (
	// initialMap is the address space, not memory, that bbolt maps at first. Beyond
	// it the map is made anew, for which writers wait for readers.
	initialMap = 64 << 20
	growStep   = 1 << 20 // by which the file grows

	// The file never shrinks by itself. At Open one that is larger than compactAbove
	// and less than a compactBelow-th in use is copied.
	compactAbove = 2 << 20
	compactBelow = 4
)

// openFiles opens the files, and makes what a crash while making them has left
// unmade. The history is made last, and the database then knows of it, so that of a store in
// use no file can be missing without being missed.
func (s *Store) openFiles(dir string) error {
	hasDatabase, err := exists(s.path)
	if err != nil {
		return err
	}
	hasHistory, err := isDirectory(s.history.dir)
	if err != nil {
		return err
	}
	hasLog, err := exists(s.log.path)
	if err != nil {
		return err
	}
	old, err := readOldNotes(dir)
	number := uint64(format)
	switch {
	case err != nil:
		return err
	case !hasDatabase && (hasHistory || old.used):
		return &DamagedError{Path: s.path, Err: errors.New("it is missing")}
	case !hasDatabase:
		if !hasLog {
			if err := s.makeFile(dir, logFile, s.log.create); err != nil {
				return err
			}
		}
		if err := s.makeFile(dir, databaseFile, makeDatabase); err != nil {
			return err
		}
	default:
		if number, err = s.checkDatabase(dir); err != nil {
			return err
		}
		if number < historySince && !old.found {
			return &DamagedError{Path: filepath.Join(dir, oldNotesFile), Err: errors.New("it is missing")}
		}
	}
	switch {
	case !hasLog && hasDatabase && number >= logSince:
		return &DamagedError{Path: s.log.path, Err: errors.New("it is missing")}
	case !hasLog && hasDatabase:
		if err := s.makeFile(dir, logFile, s.log.create); err != nil {
			return err
		}
	}
	if err := s.log.open(); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil { // the last process may not have come to it
		return err
	}
	if s.db, err = openDatabase(s.path); err != nil {
		return err
	}
	if number != format {
		if err := s.upgrade(number, old); err != nil {
			return err
		}
	}
	if err := s.openOrMakeHistory(dir, hasHistory); err != nil {
		return err
	}
	return removeOldNotes(dir)
}

// openOrMakeHistory opens the history, which the database knows of once there is one.
func (s *Store) openOrMakeHistory(dir string, has bool) error {
	var said uint64
	err := s.touch(func() error {
		return s.db.View(func(tx *bbolt.Tx) (err error) {
			said, err = (&transaction{tx: tx, path: s.path}).number(saidKey)
			return err
		})
	})
	switch {
	case err != nil:
		return err
	case !has && said > 0:
		return &DamagedError{Path: s.history.dir, Err: errors.New("it is missing")}
	case !has:
		if err := s.makeHistory(dir); err != nil {
			return err
		}
	}
	if err := s.openHistory(max(said, 1) - 1); err != nil || said > 0 {
		return err
	}
	return s.update(func(t *transaction) error {
		t.changed = true
		return putAbout(t.tx, saidKey, encodeNumber(1))
	})
}

// upgrade gives a database the present format, before any write that older programs can't
// read. Existing records are read as they are; the notes that were in files of their own come into it.
func (s *Store) upgrade(from uint64, old oldNotes) error {
	return s.update(func(t *transaction) error {
		t.changed = true
		err := makeBuckets(t.tx, contents[len(contentsOf(from)):])
		if from < logSince {
			err = errors.Join(err, putAbout(t.tx, foldedKey, encodeNumber(1)))
		}
		return errors.Join(err, t.raise(old.marks, s.day()), putAbout(t.tx, formatKey, encodeNumber(format)))
	})
}

// checkDatabase reads all of the database, and compacts it if it is mostly free. It
// returns its format.
func (s *Store) checkDatabase(dir string) (number uint64, err error) {
	p, number, err := inspect(s.path)
	if err != nil {
		return 0, err
	}
	if p.count*uint64(p.size) <= compactAbove || p.used*compactBelow >= p.count {
		return number, nil
	}
	return number, s.makeFile(dir, databaseFile, func(path string) error {
		from, err := openDatabase(s.path)
		if err != nil {
			return err
		}
		defer from.Close()
		to, err := openDatabase(path)
		if err != nil {
			return err
		}
		const each = 4 << 20 // bytes of a transaction, a guess
		err = bbolt.Compact(to, from, each)
		if err == nil {
			err = to.Update(putTransaction)
		}
		return errors.Join(err, to.Close())
	})
}

// makeFile lets write make a file, safe from a crash, under a temporary path, and
// renames it.
func (s *Store) makeFile(dir, name string, write func(path string) error) error {
	path, final := filepath.Join(dir, temporary+name), filepath.Join(dir, name)
	if !s.reach("write " + name) {
		return ErrKilled
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := write(path); err != nil {
		os.Remove(path)
		return fmt.Errorf("writing %s: %w", final, err)
	}
	if !s.reach("rename " + name) {
		return ErrKilled
	}
	if err := os.Rename(path, final); err != nil {
		return err
	}
	if !s.reach("renamed " + name) {
		return ErrKilled
	}
	return syncDir(dir)
}

// makeDatabase makes an empty database: its commit is synced.
func makeDatabase(path string) error {
	db, err := openDatabase(path)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucket([]byte(about)); err != nil {
			return err
		}
		return errors.Join(makeBuckets(tx, contents), putAbout(tx, formatKey, encodeNumber(format)), putAbout(tx, foldedKey, encodeNumber(1)), putTransaction(tx))
	})
	return errors.Join(err, db.Close())
}

// makeBuckets makes buckets without records.
func makeBuckets(tx *bbolt.Tx, list []Bucket) error {
	for _, b := range list {
		if _, err := tx.CreateBucket([]byte(b)); err != nil {
			return err
		}
		if err := putAbout(tx, string(b), digest{}.encode()); err != nil {
			return err
		}
	}
	return nil
}

// openDatabase opens a database that is new or was inspected.
func openDatabase(path string) (*bbolt.DB, error) {
	o := bbolt.Options{
		Timeout:         time.Second, // the state directory's lock has kept others out
		NoFreelistSync:  true,        // it follows from the pages in use, which Open reads anyway
		FreelistType:    bbolt.FreelistMapType,
		NoStatistics:    true,
		InitialMmapSize: initialMap,
	}
	if runtime.GOOS == "windows" {
		o.InitialMmapSize = 0 // there the file would be made that large
	}
	db, err := bbolt.Open(path, 0o600, &o)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	db.AllocSize = growStep
	return db, nil
}

// foldOld folds what an earlier process has left in the log.
func (s *Store) foldOld(dir string) error {
	var folded uint64
	err := s.touch(func() error {
		return s.db.View(func(tx *bbolt.Tx) (err error) {
			folded, err = (&transaction{tx: tx, path: s.path}).number(foldedKey)
			return err
		})
	})
	if err != nil {
		return err
	}
	unknown, err := s.log.readLog(folded)
	if err != nil {
		return err
	}
	if s.log.number != folded {
		// Of what a process has written just before its end the kernel may have nothing on the disk yet, and the
		// database would then be ahead of the log.
		if err := fdatasync(s.log.file); err != nil {
			return fmt.Errorf("writing %s: %w", s.log.path, err)
		}
		if err := s.update(func(t *transaction) error { return t.fold(unknown, s.log.number) }); err != nil {
			return err
		}
		s.log.folded = s.log.number
	}
	if !s.log.old {
		return s.log.begin()
	}
	if err := s.makeFile(dir, logFile, s.log.create); err != nil {
		return err
	}
	if err := s.log.release(); err != nil {
		return err
	}
	if err := s.log.open(); err != nil {
		return err
	}
	s.log.now, s.log.at = 0, recordAlign
	s.places[logPlace], err = placeOf(s.log.path)
	return err
}
