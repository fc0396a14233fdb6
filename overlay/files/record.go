package files

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/overlay/files/journal"
	"quicpeer/overlay/files/manifest"
)

// record is what is remembered of a transfer.
type record struct {
	File    int               `json:"file"`
	Message overlay.MessageID `json:"message"` // zero: ours, which is about to be sent
	Ours    bool              `json:"ours"`
	From    certs.ID          `json:"from"`
	Key     certs.PublicKey   `json:"key"` // the sender's
	To      certs.ID          `json:"to"`
	Offer   Offer             `json:"offer"`
	Since   time.Time         `json:"since"`
	State   State             `json:"state"`
	Error   string            `json:"error"`
	Ref     string            `json:"ref"`
	Relayed bool              `json:"relayed"` // bytes come or would come over others
	// Ours: where it is, and who has asked for it.
	Sources   []location `json:"sources"`
	Temporary bool       `json:"temporary"`
	Volatile  bool       `json:"volatile"` // no later run finds it
	Receivers []receiver `json:"receivers"`
	// Another's: where it goes, and once done, what is there; the sender knows that.
	Dir   string    `json:"dir"`
	Paths []string  `json:"paths"`
	Told  bool      `json:"told"`
	Ended time.Time `json:"ended"`
}

// receiver is how a peer stands that has asked for an offer of ours.
type receiver struct {
	ID    certs.ID        `json:"id"`
	Key   certs.PublicKey `json:"key"`
	State State           `json:"state"`
	Bytes int64           `json:"bytes"`
	Error string          `json:"error"`

	streams int // that serve it now
	meter   *meter
	shown   time.Time // the last Progress
}

// transfer is a transfer of this run.
type transfer struct {
	*book
	record
	manifest *manifest.Manifest // of ours, in use; nil: it is on disk
	using    int                // how often
	roots    []manifest.Root    // of ours, of this run
	sums     *sums              // of ours, in use

	bytes  int64 // verified, another's
	meter  meter
	shown  time.Time // the last Progress
	waits  string    // the last reason of a Waits
	wake   chan struct{}
	cancel context.CancelCauseFunc // of the pull; nil: none runs
	ended  chan struct{}           // closed at its end
	leave  context.CancelCauseFunc // of the attempt that is under way: its sender has left; nil: none is

	saving sync.Mutex // taken before book.mu
}

// The files of a transfer in Config.Dir are its number with one of these behind it.
const (
	recordFile   = ".json"
	manifestFile = ".manifest"
	sumsFile     = ".hashes"
)

func (t *transfer) path(suffix string) string {
	return filepath.Join(t.dir, strconv.Itoa(t.File)+suffix)
}

// save stores the record as it is now.
func (t *transfer) save() error {
	t.saving.Lock()
	defer t.saving.Unlock()
	t.mu.Lock()
	r := t.record
	r.Receivers = slices.Clone(r.Receivers)
	t.mu.Unlock()
	return journal.WriteRecord(t.path(recordFile), r)
}

// keep is save where an error can only be logged: after a restart the transfer stands as it did before.
func (t *transfer) keep() {
	if err := t.save(); err != nil {
		t.log.Warn("a transfer can't be remembered", "file", t.File, "error", err)
	}
}

// erase removes files of a transfer.
func (t *transfer) erase(suffixes ...string) {
	for _, s := range suffixes {
		if err := os.Remove(t.path(s)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.log.Warn("a file of a transfer can't be removed", "error", err)
		}
	}
}

// now is how the transfer stands. book.mu is held.
func (t *transfer) now(at time.Time) Transfer {
	s := Transfer{
		File: t.File, Message: t.Message, Ours: t.Ours, From: t.From, Key: t.Key, To: t.To, Name: t.Offer.Name, Size: t.Offer.Size, Files: t.Offer.Files,
		Names: t.Offer.Names, Note: t.Offer.Note, Since: t.Since, State: t.State, Bytes: t.bytes, Error: t.Error, Dir: t.Dir, Paths: t.Paths, How: t.how(),
	}
	if s.State == StateDone {
		s.Bytes = s.Size
	}
	if !t.Ours {
		s.Rate, s.Left = t.meter.perSecond(at), t.meter.left(s.Size-s.Bytes, at)
		return s
	}
	for _, l := range t.Sources {
		s.Paths = append(s.Paths, filepath.Join(l.Dir, l.Name))
	}
	s.Receivers = []Receiver{}
	for _, r := range t.Receivers {
		is := Receiver{ID: r.ID, Key: r.Key, State: r.State, Bytes: r.Bytes, Error: r.Error}
		if r.meter != nil {
			is.Rate = r.meter.perSecond(at)
		}
		s.Receivers = append(s.Receivers, is)
		if is.Bytes >= s.Bytes {
			s.Bytes, s.Rate = is.Bytes, is.Rate
			if r.meter != nil {
				s.Left = r.meter.left(s.Size-s.Bytes, at)
			}
			if !s.State.Over() {
				s.State = is.State
			}
		}
	}
	return s
}

func (t *transfer) how() overlay.Path {
	if t.Relayed {
		return overlay.PathRelayed
	}
	return overlay.PathDirect
}

// readManifest reads the manifest of a transfer from the disk. ErrNotExist: it is not there yet, or not any more.
func (t *transfer) readManifest() (*manifest.Manifest, error) {
	b, err := os.ReadFile(t.path(manifestFile))
	if err != nil {
		return nil, err
	}
	if t.Ours {
		return manifest.DecodeOwn(b, len(t.Sources)+len(t.roots))
	}
	if sha256.Sum256(b) != t.Offer.hash() {
		t.log.Warn("a manifest was altered on this disk, and is asked for again", "file", t.File)
		return nil, fs.ErrNotExist
	}
	return manifest.Decode(b)
}

// snapshot is how the transfer stands.
func (t *transfer) snapshot() Transfer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now(time.Now())
}

func isWide(to certs.ID) bool { return to == overlay.Everyone || overlay.IsRoom(to) }

// receiverOf is the entry of a receiver, which is new for one that has not asked yet; nil: there are too many, or an
// offer to one peer was taken by another key. book.mu is held.
func (t *transfer) receiverOf(from asker) *receiver {
	for i := range t.Receivers {
		if t.Receivers[i].Key == from.key {
			return &t.Receivers[i]
		}
	}
	if len(t.Receivers) >= maxReceivers || len(t.Receivers) > 0 && !isWide(t.To) {
		return nil
	}
	t.Receivers = append(t.Receivers, receiver{ID: from.id, Key: from.key, State: StateWaiting})
	return &t.Receivers[len(t.Receivers)-1]
}
