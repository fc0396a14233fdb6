package store

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/gofrs/flock"

	"quicpeer/certs"
)

// The files of a state directory. Each is replaced as a whole, under the lock.
const (
	keyFile     = "key.pem" // the private key, PKCS#8, for its owner's eyes only
	idFile      = "id"      // the ID, a line
	networkFile = "network" // the network it was first in, see Membership
	epochFile   = "epoch"   // the last epoch used, a line in decimal
	lockFile    = "lock"    // empty; the process that holds the kernel's lock on it owns the directory
)

// State is a peer's identity: its ID, its key, and the epochs it has used. It is safe for use
// by several goroutines.
type State struct {
	ID       certs.ID
	Identity *certs.Identity
	// Dir is the directory where it is kept; empty: nowhere.
	Dir string

	mu     sync.Mutex
	epoch  uint64
	second *Store // which keeps the epoch, too; nil: it is not open
	fail   func(error)
	member *Membership // nil: it was in no network yet
	closed bool
	lock   *flock.Flock
}

// NewState is the state of a peer that keeps nothing.
func NewState(id certs.ID, identity *certs.Identity) *State {
	return &State{ID: id, Identity: identity}
}

// OpenState opens the state directory dir, creating it and its contents if there are none yet,
// and holds it until Close: [ErrStateInUse] if another process does. With an empty id the peer
// gets the stored ID, or else a random one that is then kept; an id other than the stored one
// is an [OtherIDError]. Damage is reported, never repaired: a new key would make this peer
// another one.
func OpenState(dir string, id certs.ID) (state *State, err error) {
	if id != "" {
		if _, err := certs.ParseID(string(id)); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the state directory: %w", err)
	}
	if !locked {
		return nil, fmt.Errorf("%w: %s", ErrStateInUse, dir)
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := RemoveLeftovers(dir); err != nil {
		return nil, err
	}
	state = &State{Dir: dir, lock: lock}
	if err := state.load(id); err != nil {
		return nil, err
	}
	return state, nil
}

// load reads the directory, and makes the missing files. A new key is written before the ID,
// so that a crash in between leaves a directory that can be opened, and not one whose key
// seems to be gone.
func (s *State) load(want certs.ID) error {
	stored, err := readID(s.Dir)
	if err != nil {
		return err
	}
	if stored != "" && want != "" && stored != want {
		return &OtherIDError{Dir: s.Dir, Stored: stored, Wanted: want}
	}
	member, err := readNetwork(s.Dir)
	if err != nil {
		return err
	}
	epoch, hasEpoch, err := readEpoch(s.Dir)
	if err != nil {
		return err
	}
	identity, err := readKey(filepath.Join(s.Dir, keyFile))
	switch {
	case errors.Is(err, fs.ErrNotExist) && (stored != "" || hasEpoch):
		return &KeyMissingError{Path: filepath.Join(s.Dir, keyFile)}
	case errors.Is(err, fs.ErrNotExist):
		if identity, err = makeKey(filepath.Join(s.Dir, keyFile)); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if stored == "" {
		if stored = want; stored == "" {
			stored = certs.RandomID(rand.Reader)
		}
		if err := ReplaceFile(filepath.Join(s.Dir, idFile), []byte(stored+"\n")); err != nil {
			return err
		}
	}
	s.ID, s.Identity, s.epoch, s.member = stored, identity, epoch, member
	return nil
}

// OpenMessages opens the messages of the directory, see [OpenWith]; it returns nil if the
// state has no directory. The caller closes them before the state. fail gets the error if they
// can't keep an epoch.
func (s *State) OpenMessages(history HistoryConfig, step func(string) bool, fail func(error)) (*Store, error) {
	if s.Dir == "" {
		return nil, nil
	}
	messages, err := OpenWith(s.Dir, history, step)
	if err != nil {
		return nil, err
	}
	last, err := messages.Number(epochFile)
	if err != nil {
		return nil, errors.Join(err, messages.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch, s.second, s.fail = max(s.epoch, last), messages, fail
	return messages, nil
}

// NextEpoch is the epoch of a new attempt to join: the greater of least and the successor of
// the last one, which it never gives again. With a directory it is kept there, safe from a
// crash, before NextEpoch returns; and a second time with the messages, if these are open. A
// peer that lost it and came back with an earlier one would be taken for an older run, whose
// messages come too late.
func (s *State) NextEpoch(least uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return 0, fmt.Errorf("the state of %s: %w", s.ID, fs.ErrClosed)
	case s.epoch == math.MaxUint64:
		return 0, fmt.Errorf("the state of %s: no epoch is left", s.ID)
	}
	epoch := max(least, s.epoch+1)
	if s.Dir != "" {
		path := filepath.Join(s.Dir, epochFile)
		if err := ReplaceFile(path, []byte(strconv.FormatUint(epoch, 10)+"\n")); err != nil {
			return 0, err
		}
	}
	s.epoch = epoch
	if m := s.second; m != nil && !m.jobs.isClosed() {
		fail := s.fail
		m.Write(func(err error) {
			if err != nil {
				fail(err)
			}
		}, NumberOp(epochFile, epoch))
	}
	return epoch, nil
}

// Close releases the directory. The state gives no further epochs. A second Close does
// nothing.
func (s *State) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// readID returns the stored ID, empty where there is none.
func readID(dir string) (certs.ID, error) {
	path := filepath.Join(dir, idFile)
	b, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	id, err := certs.ParseID(strings.TrimRight(string(b), "\r\n"))
	if err != nil {
		return "", &DamagedError{Path: path, Err: err}
	}
	return id, nil
}

func readEpoch(dir string) (epoch uint64, ok bool, err error) {
	path := filepath.Join(dir, epochFile)
	b, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	} else if err != nil {
		return 0, false, err
	}
	epoch, err = strconv.ParseUint(string(bytes.TrimRight(b, "\r\n")), 10, 64)
	if err != nil {
		return 0, false, &DamagedError{Path: path, Err: errors.New("not a number")}
	}
	return epoch, true, nil
}
