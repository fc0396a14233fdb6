package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// Bounds of the history where nothing else is said (guesses: some years of a person's chats, and an
// hour of a busy program).
const (
	HistoryBytes    = 256 << 20
	HistoryMessages = 1 << 20
	MinHistoryBytes = 16 << 20
	// lazyShown is how long a note that nobody waits for may stay unsafe.
	lazyShown = 100 * time.Millisecond
)

// HistoryConfig says what the history keeps.
type HistoryConfig struct {
	Bytes    int64 // of its files; 0: HistoryBytes. The oldest go first
	Messages int   // 0: HistoryMessages
	// Floor is the lowest position that the caller wants to read again at the next Open; 0: none. It
	// may not call the store. Nil is as none.
	Floor func() uint64
}

// history is the log of what was said and shown. Its writer is whoever calls Say; one goroutine
// makes safe what was written.
type history struct {
	dir    string
	size   int // of a segment
	config HistoryConfig

	mu       sync.Mutex
	wake     sync.Cond
	segments []segment // the oldest first; the last is written
	file     *os.File  // the last
	at       int       // where in it the next record begins
	number   uint64    // the last record
	messages uint64    // in all segments, and those before
	safe     uint64    // the last record that was synced
	shown    uint64    // all up to here was shown
	noted    uint64    // of that, as far as records say
	unshown  []Entry   // those with an author that were not shown, without data
	urgent   []func(error)
	lazy     []func(error)
	lazyAt   *time.Timer // runs while lazy waits
	hurry    bool        // it has fired
	turned   bool        // there is a new segment since the last fold
	marks    map[certs.PublicKey]*delivery.Mark
	folded   uint64 // the database has the marks up to here
	ended    bool
	buffer   []byte
	running  sync.WaitGroup // of the goroutine that syncs

	syncing     sync.Mutex    // behind mu; held while the last segment is synced, and when it becomes another
	first, last atomic.Uint64 // the positions, for those who may not wait for the disk

	cursor *os.File
	slots  []byte // a map of it; nil where none can be had
	turn   int    // the slot that is written next

	early []Entry // as of Open: not shown
	torn  int     // bytes that were cut off at Open
}

// cursorSlots is how many slots the cursor has: one is whole while another is written.
const cursorSlots = 2

// Shown notes that the program has shown all up to a position: when it returns that survives the end
// of the process. done is called, if it isn't nil, when it is safe from a crash of the machine too: by
// a goroutine of the store, in the order of the calls of one kind, after one fdatasync for all that
// wait; a lazy one waits for others for up to 100 ms. With an error it may be lost, and so will be all
// later ones. done may call the store, but not [Store.Close]. The queue for done is bounded only by
// its callers. After Close done is called by Shown itself, with [fs.ErrClosed].
func (s *Store) Shown(pos uint64, lazy bool, done func(error)) {
	h := &s.history
	h.mu.Lock()
	closed := h.ended
	if !closed && s.Err() == nil && pos > h.shown && pos <= h.number && s.reach("note") {
		h.shown = pos
		if err := h.putCursor(); err != nil {
			s.fail(err)
		}
		s.reach("noted")
	}
	if !closed && !s.isDead() {
		h.queueDone(lazy, done)
	}
	h.mu.Unlock()
	if closed && done != nil && !s.isDead() {
		done(fs.ErrClosed)
	}
}

// queueDone queues a done function for the next sync. h.mu is held.
func (h *history) queueDone(lazy bool, done func(error)) {
	switch {
	case !lazy && done != nil:
		h.urgent = append(h.urgent, done)
		h.wake.Signal()
	case lazy && done != nil:
		h.lazy = append(h.lazy, done)
		if h.lazyAt == nil {
			h.lazyAt = time.AfterFunc(lazyShown, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.hurry = true
				h.wake.Signal()
			})
		}
	}
}

// putCursor puts the cursor where it outlives the process. h.mu is held.
func (h *history) putCursor() (err error) {
	slot := cursorSlot(h.shown)
	at := h.turn * slotSize
	h.turn = (h.turn + 1) % cursorSlots
	if h.slots == nil {
		_, err = h.cursor.WriteAt(slot, int64(at))
		return err // it names the path
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = damage(h.cursor.Name(), errors.New("it was cut short, or the disk can't hold it"))
		}
	}()
	copy(h.slots[at:], slot)
	return nil
}

func cursorSlot(shown uint64) []byte {
	b := make([]byte, slotSize)
	copy(b, segmentTitle)
	binary.BigEndian.PutUint64(b[16:], shown)
	seal64(b)
	return b
}

// Say writes entries, and gives them their positions. When it returns they survive the end of the
// process. They are safe from a crash of the machine when the done function of a later Shown is
// called. An error is the store's.
func (s *Store) Say(entries []Entry) error {
	h := &s.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := s.Err(); err != nil {
		return err
	}
	if h.ended {
		return fs.ErrClosed
	}
	if !s.reach("say") {
		return ErrKilled
	}
	for i := range entries {
		if err := s.add(&entries[i]); err != nil {
			return s.fail(err)
		}
	}
	if err := h.write(); err != nil {
		return s.fail(err)
	}
	if !s.reach("said") {
		return ErrKilled
	}
	return nil
}

// add adds a record to the buffer, in a new segment if this one is full. h.mu is held.
func (s *Store) add(e *Entry) error {
	h := &s.history
	size := sizeOfSaid(e)
	if err := s.makeRoom(size); err != nil {
		return err
	}
	h.number++
	e.Pos = h.number
	h.buffer = appendSaid(h.buffer, h.number, h.safe, h.shown, e.kind(), e)
	if e.kind() == kindMessage {
		h.messages++
	}
	if e.Author != (certs.PublicKey{}) {
		h.unshown = append(h.unshown, Entry{Pos: e.Pos, Author: e.Author, Stamp: e.Stamp})
	}
	return nil
}

// makeRoom begins a new segment if the last has no room for a record. h.mu is held.
func (s *Store) makeRoom(size int) error {
	h := &s.history
	if h.at+len(h.buffer)+size <= h.segments[len(h.segments)-1].size {
		return nil
	}
	if err := h.write(); err != nil {
		return err
	}
	return s.newLast(size)
}

// write writes the buffer. h.mu is held.
func (h *history) write() error {
	if len(h.buffer) == 0 {
		return nil
	}
	if _, err := h.file.WriteAt(h.buffer, int64(h.at)); err != nil {
		return err // it names the path
	}
	h.at += len(h.buffer)
	h.buffer = h.buffer[:0]
	h.last.Store(h.number)
	return nil
}

// newLast begins a segment that has room for a record: the spare one, if it is there. All that is in
// others is then safe. h.mu is held.
func (s *Store) newLast(room int) error {
	h := &s.history
	h.syncing.Lock()
	defer h.syncing.Unlock()
	g := segment{path: filepath.Join(h.dir, segmentName(h.number+1)), first: h.number + 1, size: h.size, before: h.messages}
	path := filepath.Join(h.dir, spareFile)
	g.size = max(g.size, slotSize+room)
	if !s.reach("turn") {
		return ErrKilled
	}
	if err := fdatasync(h.file); err != nil {
		return fmt.Errorf("writing %s: %w", h.dir, err)
	}
	if err := s.checkPlaces(); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil && !hasSize(f, g.size) || errors.Is(err, fs.ErrNotExist) {
		if f != nil {
			f.Close()
		}
		path = filepath.Join(h.dir, temporary+segmentName(g.first))
		if err = newSegment(path, g.size); err == nil {
			f, err = os.OpenFile(path, os.O_RDWR, 0)
		}
	}
	if err != nil {
		return s.removed(err)
	}
	p, err := g.name(f, path)
	if err == nil && !s.reach("turned") {
		err = ErrKilled
	}
	if err != nil {
		f.Close()
		return s.removed(err)
	}
	_ = h.file.Close() // it is synced
	h.file, h.at, h.turned, h.safe = f, slotSize, true, h.number
	s.placesMu.Lock()
	s.places[lastPlace] = p
	s.placesMu.Unlock()
	h.segments = append(h.segments, g)
	return nil
}

// removed is an error of the directory's files: where it is gone, that is what is said.
func (s *Store) removed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &RemovedError{Path: s.history.dir}
	}
	return err
}

// name makes a file without records this segment.
func (g segment) name(f *os.File, path string) (place, error) {
	if _, err := f.WriteAt(g.header(), 0); err != nil {
		return place{}, err // it names the path
	}
	if err := errors.Join(f.Sync(), os.Rename(path, g.path), syncDir(filepath.Dir(g.path))); err != nil {
		return place{}, err
	}
	return placeOf(g.path)
}

func hasSize(f *os.File, size int) bool {
	info, err := f.Stat()
	return err == nil && info.Size() == int64(size)
}

// syncHistory makes safe what was said and shown, until Close.
func (s *Store) syncHistory() {
	h := &s.history
	for {
		h.mu.Lock()
		for len(h.urgent) == 0 && !h.hurry && !h.turned && !h.ended {
			h.wake.Wait()
		}
		ended := h.ended
		urgent, lazy, turned := h.urgent, h.lazy, h.turned
		h.urgent, h.lazy, h.hurry, h.turned = nil, nil, false, false
		if h.lazyAt != nil {
			h.lazyAt.Stop()
			h.lazyAt = nil
		}
		h.mu.Unlock()
		err := s.syncSaid()
		for _, done := range slices.Concat(urgent, lazy) {
			if s.isDead() {
				return
			}
			done(err)
		}
		switch {
		case ended:
			return
		case turned && err == nil:
			s.foldHistory()
			s.makeSpare()
		}
	}
}

// syncSaid makes safe what was said and shown so far.
func (s *Store) syncSaid() error {
	h := &s.history
	if err := s.Err(); err != nil {
		return err
	}
	h.mu.Lock()
	err := s.noteShown()
	number, shown := h.number, h.shown
	h.mu.Unlock()
	if !s.reach("sync") {
		return ErrKilled
	}
	if err == nil {
		h.syncing.Lock()
		err = fdatasync(h.file)
		h.syncing.Unlock()
	}
	if err != nil {
		return s.fail(fmt.Errorf("writing %s: %w", h.dir, err))
	}
	if !s.reach("synced") {
		return ErrKilled
	}
	h.mu.Lock()
	h.safe = max(h.safe, number)
	n := 0
	for ; n < len(h.unshown) && h.unshown[n].Pos <= shown; n++ {
		e := h.unshown[n]
		if h.marks[e.Author] == nil {
			h.marks[e.Author] = new(delivery.Mark)
		}
		h.marks[e.Author].Raise(e.Stamp)
	}
	h.unshown = slices.Delete(h.unshown, 0, n)
	h.mu.Unlock()
	return s.checkPlaces()
}

// noteShown writes a record of how far things were shown, if none says so. h.mu is held.
func (s *Store) noteShown() error {
	h := &s.history
	switch {
	case s.Err() != nil || s.isDead(): // since it was looked at
		return s.fail(ErrKilled)
	case h.noted == h.shown:
		return nil
	}
	if err := s.makeRoom(align(saidHead)); err != nil {
		return err
	}
	h.number++
	h.buffer = appendSaid(h.buffer, h.number, h.safe, h.shown, kindShown, nil)
	h.noted = h.shown
	return h.write()
}

// foldHistory brings the marks of what was shown into the database, so that the next Open need not
// read the history from the beginning, and drops what is beyond the bounds.
func (s *Store) foldHistory() {
	h := &s.history
	h.mu.Lock()
	marks, upTo := h.marks, min(h.safe, h.noted)
	h.marks = make(map[certs.PublicKey]*delivery.Mark)
	h.mu.Unlock()
	if h.config.Floor != nil {
		if floor := h.config.Floor(); floor > 0 {
			upTo = min(upTo, floor-1)
		}
	}
	upTo = max(upTo, h.folded)
	err := s.update(func(t *transaction) error {
		t.changed = true
		return errors.Join(t.raise(marks, s.day()), putAbout(t.tx, saidKey, encodeNumber(upTo+1)))
	})
	if err != nil {
		return // the store has it
	}
	h.mu.Lock()
	h.folded = upTo
	drop := h.beyond()
	h.first.Store(h.segments[0].first)
	h.mu.Unlock()
	for _, g := range drop {
		if err := os.Remove(g.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.fail(err)
		}
	}
}

// beyond takes out the segments that may go: those beyond the bounds, and those without messages. The
// database has the marks of all of them. h.mu is held.
func (h *history) beyond() (drop []segment) {
	end := func(i int) uint64 { return h.segments[i+1].first - 1 }
	bytes := int64(0)
	for _, g := range h.segments {
		bytes += int64(g.size)
	}
	for len(h.segments) > 1 && end(0) <= h.folded && (bytes > h.maxBytes() || h.messages-h.segments[0].before > h.maxMessages()) {
		bytes -= int64(h.segments[0].size)
		drop = append(drop, h.segments[0])
		h.segments = slices.Delete(h.segments, 0, 1)
	}
	for i := 0; i+1 < len(h.segments) && end(i) <= h.folded; {
		if h.segments[i+1].before != h.segments[i].before {
			i++
			continue
		}
		drop = append(drop, h.segments[i])
		h.segments = slices.Delete(h.segments, i, i+1)
	}
	return drop
}

func (h *history) maxBytes() int64 {
	if h.config.Bytes > 0 {
		return h.config.Bytes
	}
	return HistoryBytes
}

func (h *history) maxMessages() uint64 {
	if h.config.Messages > 0 {
		return uint64(h.config.Messages)
	}
	return HistoryMessages
}

// makeSpare makes the segment that is written next, if there is none.
func (s *Store) makeSpare() {
	h := &s.history
	spare, path := filepath.Join(h.dir, spareFile), filepath.Join(h.dir, temporary+spareFile)
	if there, err := exists(spare); there || err != nil {
		return
	}
	err := newSegment(path, h.size)
	h.mu.Lock() // its user is not in the middle
	defer h.mu.Unlock()
	if err == nil {
		err = os.Rename(path, spare)
	}
	if err != nil {
		_ = os.Remove(path) // whoever needs one makes it, or says why not
	}
}

// endHistory takes no more, makes safe what there is, and waits.
func (s *Store) endHistory() {
	h := &s.history
	h.mu.Lock()
	h.ended = true
	h.wake.Signal()
	h.mu.Unlock()
	h.running.Wait()
}

// release closes the files.
func (h *history) release() (err error) {
	err = unmapFile(h.slots)
	h.slots = nil
	for _, f := range []*os.File{h.file, h.cursor} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}
