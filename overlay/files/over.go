package files

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quicpeer/overlay/files/place"
	"quicpeer/overlay/terse"
)

// fail ends a transfer.
func (t *transfer) fail(why string) { t.finish(StateFailed, why) }

// finish ends a transfer, unless it is over.
func (t *transfer) finish(how State, why string) {
	t.mu.Lock()
	e, ok := t.end(how, why)
	t.mu.Unlock()
	if ok {
		t.over()
		t.tell(e)
	}
}

// expire ends a transfer that nobody has accepted.
func (t *transfer) expire(how State, why string) {
	t.mu.Lock()
	if t.State != StateOffered {
		t.mu.Unlock()
		return
	}
	e, _ := t.end(how, why)
	t.mu.Unlock()
	t.over()
	t.tell(e)
}

// end notes that a transfer is over, and returns what is to be told once that is stored; false: it was over already.
// book.mu is held.
func (t *transfer) end(how State, why string) (e Ended, ok bool) {
	if t.State.Over() {
		return e, false
	}
	t.State, t.Error, t.Ended = how, why, time.Now()
	peer := t.From
	if t.Ours {
		peer = ""
		if !isWide(t.To) {
			peer = t.To
		}
	}
	return Ended{File: t.File, Peer: peer, Name: t.Offer.Name, Error: why, Cancelled: how == StateCancelled, Ref: t.Ref}, true
}

// over stores that a transfer may be over, removes what is not needed any more, and forgets the oldest.
func (t *transfer) over() {
	t.mu.Lock()
	isOver := t.State.Over()
	var drop []*transfer
	if isOver {
		drop = t.forget()
	}
	t.mu.Unlock()
	t.keep()
	if !isOver {
		return
	}
	if err := t.closeSums(); err != nil {
		t.log.Warn("hashes of a transfer can't be closed", "error", err)
	}
	t.erase(manifestFile, sumsFile)
	if t.Temporary {
		t.removeTemporary()
	}
	for _, d := range drop {
		d.erase(recordFile)
	}
}

// clear removes what has come of a transfer.
func (t *transfer) clear() {
	is := t.snapshot()
	m, err := t.readManifest()
	if err != nil || is.Dir == "" || is.State == StateDone {
		return // nothing has come yet, or all is at its place
	}
	p, err := place.Open(is.Dir, t.part(), m)
	if err == nil {
		err = p.Remove()
	}
	if err != nil {
		t.log.Warn("what has come of a transfer can't be removed", "dir", t.Dir, "part", t.part(), "error", err)
	}
}

// part is the name of the directory in which the files of a transfer come: another one for each receiver, as two may
// receive the same in one directory, and each sender, as one may offer under the ID of another one's message.
func (t *transfer) part() string {
	sum := sha256.Sum256(slices.Concat(t.key[:], t.Key[:], t.Message[:]))
	return fmt.Sprintf(".quicpeer-part-%x", sum[:8])
}

// temporaryPrefix begins the name of a directory that is made for a temporary source.
const temporaryPrefix = "quicpeer-input-"

// NewTemporary makes a directory for one temporary source, in dir or, if that is empty, that of the system.
func NewTemporary(dir string) (string, error) { return os.MkdirTemp(dir, temporaryPrefix) }

// removeTemporary removes what was sent of a temporary source: a file, and the directory that was made for it.
func (t *transfer) removeTemporary() {
	for _, l := range t.Sources {
		err := os.Remove(filepath.Join(l.Dir, l.Name))
		if err == nil && strings.HasPrefix(filepath.Base(l.Dir), temporaryPrefix) {
			err = os.Remove(l.Dir)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.log.Warn("what was sent can't be removed", "error", err)
		}
	}
}

// spareRoom is how much room a transfer leaves on the disk (a guess).
const spareRoom = 64 << 20

// roomFor is how much room there must be for so many bytes: a twentieth more, or what is to be left on the disk.
func roomFor(bytes int64) int64 {
	if bytes == 0 {
		return 0
	}
	return bytes + max(bytes/20, spareRoom)
}

// hasRoom says whether a directory has room for so many bytes.
func hasRoom(dir string, bytes int64) error {
	free, err := place.Free(dir)
	if err != nil {
		return err
	}
	if need := roomFor(bytes); free < need {
		return fmt.Errorf("%w: %s has %d MiB, and %d MiB are needed", ErrNoRoom, dir, free>>20, need>>20+1)
	}
	return nil
}

// Close stops all transfers and waits for that, and until Tell has had all events; those that are remembered go on in the
// next run. Offers that are handled later wait for the next run too. Further calls do nothing.
func (f *Files) Close() error {
	f.mu.Lock()
	again := f.closed
	f.closed = true
	f.mu.Unlock()
	if again {
		return nil
	}
	f.stop()
	f.wg.Wait()
	close(f.end)
	<-f.told
	f.mu.Lock()
	all := f.sorted()
	f.mu.Unlock()
	var errs []error
	for _, t := range all {
		if t.Temporary && f.own {
			t.removeTemporary()
		}
		errs = append(errs, t.closeSums())
	}
	if f.own {
		errs = append(errs, os.RemoveAll(f.dir))
	}
	terse.End(f.log)
	return errors.Join(errs...)
}
