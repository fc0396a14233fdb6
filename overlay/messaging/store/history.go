package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
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
	HistoryMessages = 1_000_000
	MinHistoryBytes = 16 << 20
	// lazyShown is how long a note that nobody waits for may stay unsafe.
	lazyShown = 100 * time.Millisecond
)

// HistoryConfig says what the history keeps.
type HistoryConfig struct {
	Bytes    int64 // of its files; 0: HistoryBytes. The oldest go first
	Messages int   // 0: HistoryMessages
	// Floor is the lowest position that the caller wants to read again at the next Open, when all up to
	// the given one is safe; 0: none. It may not call the store. Nil is as none.
	Floor func(safe uint64) uint64
}

// history is the log of what was said and shown. Its writer is whoever calls Say; one goroutine
// makes safe what was written.
type history struct {
	store  *Store
	dir    string
	size   int // of the first segment
	config HistoryConfig

	mu       sync.Mutex
	wake     sync.Cond
	segments []segment // the oldest first; the last is written
	file     *os.File  // the last
	at       int       // where in it the next record begins
	number   uint64    // the last record
	has      counted
	safe     uint64  // the last record that was synced
	shown    uint64  // all up to here was shown
	noted    uint64  // of that, as far as records say
	unshown  []Entry // those with an author that were not shown, without data
	dones    dones
	fold     folding
	ended    bool
	buffer   []byte
	running  sync.WaitGroup // of the goroutines that sync and fold

	syncing sync.Mutex // behind mu; held while the last segment is synced, and when it becomes another
	span    positions

	cursor cursor
	late   late

	opened opened
}

// folding is what the database is to have next of the history.
type folding struct {
	due   bool // there is a new segment
	busy  bool // it is under way
	marks map[certs.PublicKey]*delivery.Mark
	safe  uint64 // in them is all that was shown up to here, and that is safe
	upTo  uint64 // the database has the marks up to here
}

// opened is what Open has found.
type opened struct {
	early  []Entry // not shown
	beyond uint64  // the machine may have crashed: the number of a jump; 0: it has not
	torn   int     // bytes that were cut off
}

// late is the file of records that the last segment may lack.
type late struct {
	file *os.File
	area []byte // a map of it; nil where none can be had: then records are written at once
	at   int    // as much of the buffer is there
}

// counted is what is in all segments, and in those that were before.
type counted struct {
	messages uint64
	entries  uint64 // with data
}

// positions are those that there are, for those who may not wait for the disk.
type positions struct{ first, last atomic.Uint64 }

// dones are the done functions that wait for the next sync.
type dones struct {
	urgent []func(error)
	lazy   []func(error)
	timer  *time.Timer // runs while lazy waits
	hurry  bool        // it has fired
}

// Shown notes that the program has shown all up to a position: when it returns that survives the end
// of the process. done is called, if it isn't nil, when it is safe from a crash of the machine too: by
// a goroutine of the store, in the order of the calls of one kind, after one fdatasync for all that
// wait; a lazy one waits for others for up to 100 ms. With an error it may be lost, and so will be all
// later ones. done may call the store, but not [Store.Close]. The queue for done is bounded only by
// its callers. After Close done is called by Shown itself, with [fs.ErrClosed].
func (h *history) Shown(pos uint64, lazy bool, done func(error)) {
	h.mu.Lock()
	closed := h.ended
	if !closed && h.store.Err() == nil && pos > h.shown && pos <= h.number && h.store.reach("note") {
		h.shown = pos
		if err := h.cursor.put(h.shown); err != nil {
			h.store.fail(err)
		}
		h.store.reach("noted")
	}
	if !closed && !h.store.isDead() {
		h.queueDone(lazy, done)
	}
	h.mu.Unlock()
	if closed && done != nil && !h.store.isDead() {
		done(fs.ErrClosed)
	}
}

// queueDone queues a done function for the next sync. h.mu is held.
func (h *history) queueDone(lazy bool, done func(error)) {
	switch {
	case !lazy && done != nil:
		h.dones.urgent = append(h.dones.urgent, done)
		h.wake.Signal()
	case lazy && done != nil:
		h.dones.lazy = append(h.dones.lazy, done)
		if h.dones.timer == nil {
			h.dones.timer = time.AfterFunc(lazyShown, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.dones.hurry = true
				h.wake.Signal()
			})
		}
	}
}

// Say writes entries, and gives them their positions. When it returns they survive the end of the
// process. They are safe from a crash of the machine when the done function of a later Shown is
// called. An error is the store's.
func (h *history) Say(entries []Entry) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.store.Err(); err != nil {
		return err
	}
	if h.ended {
		return fs.ErrClosed
	}
	if !h.store.reach("say") {
		return ErrKilled
	}
	for i := range entries {
		if err := h.add(&entries[i]); err != nil {
			return h.store.fail(err)
		}
	}
	if err := h.keep(); err != nil {
		return h.store.fail(err)
	}
	if !h.store.reach("said") {
		return ErrKilled
	}
	return nil
}

// add adds a record to the buffer, in a new segment if this one is full. h.mu is held.
func (h *history) add(e *Entry) error {
	size := sizeOfSaid(e)
	if err := h.makeRoom(size, e.Message); err != nil {
		return err
	}
	h.number++
	e.Pos = h.number
	h.buffer = h.segments[len(h.segments)-1].appendSaid(h.buffer, h.number, h.safe, h.shown, e.kind(), e)
	if e.kind() == kindMessage {
		h.has.messages++
	}
	if len(e.Data) > 0 {
		h.has.entries++
	}
	if e.isNoted() {
		h.unshown = append(h.unshown, Entry{Pos: e.Pos, Author: e.Author, Stamp: e.Stamp})
	}
	return nil
}

// keep puts what is new in the buffer where it outlives the process. h.mu is held.
func (h *history) keep() (err error) {
	if len(h.buffer) > len(h.late.area) {
		return h.flush()
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = damage(h.late.file.Name(), errors.New("it was cut short, or the disk can't hold it"))
		}
	}()
	copy(h.late.area[h.late.at:], h.buffer[h.late.at:])
	h.late.at = len(h.buffer)
	h.span.last.Store(h.number)
	return nil
}

// makeRoom begins a new segment if the last has no room for a record. h.mu is held.
func (h *history) makeRoom(size int, message bool) error {
	last := h.segments[len(h.segments)-1]
	if h.at+len(h.buffer)+size <= last.size && (!message || h.has.messages-last.before < h.messagesEach()) {
		return nil
	}
	if err := h.flush(); err != nil {
		return err
	}
	return h.newLast(size)
}

// flush writes the buffer to the segment. h.mu is held.
func (h *history) flush() error {
	if len(h.buffer) == 0 {
		return nil
	}
	if _, err := h.file.WriteAt(h.buffer, int64(h.at)); err != nil {
		return err // it names the path
	}
	h.at += len(h.buffer)
	h.buffer, h.late.at = h.buffer[:0], 0
	h.span.last.Store(h.number)
	return nil
}

// newLast begins a segment that has room for a record: the spare one, if it is there. All that is in
// others is then safe. h.mu is held.
func (h *history) newLast(room int) error {
	h.syncing.Lock()
	defer h.syncing.Unlock()
	g := segment{
		path: filepath.Join(h.dir, segmentName(h.number+1)), first: h.number + 1, size: max(h.nextSize(), slotSize+room),
		before: h.has.messages, said: h.has.entries, salt: rand.Uint32(),
	}
	if !h.store.reach("turn") {
		return ErrKilled
	}
	if err := fdatasync(h.file); err != nil {
		return fmt.Errorf("writing %s: %w", h.dir, err)
	}
	if err := h.store.checkPlaces(); err != nil {
		return err
	}
	f, p, err := g.begin(filepath.Join(h.dir, spareFile))
	if err == nil && !h.store.reach("turned") {
		err = errors.Join(ErrKilled, closeFiles(f))
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = &RemovedError{Path: h.dir}
	}
	if err != nil {
		return err
	}
	_ = closeFiles(h.file) // it is synced
	h.file, h.at, h.fold.due, h.safe = f, slotSize, true, h.number
	h.store.placesMu.Lock()
	h.store.places[lastPlace] = p
	h.store.placesMu.Unlock()
	h.segments = append(h.segments, g)
	return nil
}

// positionsLost is how many positions are passed over after a crash of the machine: more than can have been told
// since the last fdatasync, and few enough to be counted in a JSON number for half a billion crashes.
const positionsLost = 1 << 24

// skipLost goes on beyond all positions that others may know, if a crash of the machine may have taken records,
// and then sets the cursor, which knows nothing of such a crash any more.
func (h *history) skipLost() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.opened.beyond > 0 {
		if err := h.makeRoom(alignSaid(saidHead), false); err != nil {
			return err
		}
		h.buffer = h.segments[len(h.segments)-1].appendSaid(h.buffer, h.opened.beyond, h.safe, h.shown, kindJump, nil)
		h.number = h.opened.beyond
		if err := h.flush(); err != nil {
			return err
		}
		if !h.store.reach("sync") {
			return ErrKilled
		}
		if err := fdatasync(h.file); err != nil {
			return fmt.Errorf("writing %s: %w", h.dir, err)
		}
		if !h.store.reach("synced") {
			return ErrKilled
		}
		h.safe = h.number
	}
	return h.cursor.begin(h.shown)
}

// nextSize is the size of the next segment. h.mu is held.
func (h *history) nextSize() int {
	last := h.segments[len(h.segments)-1]
	size := last.size
	if 2*(h.has.messages-last.before) <= h.messagesEach() {
		size *= 2
	}
	return min(size, max(h.size, min(largestSegments*h.size, int(h.maxBytes()/segmentsAtLeast))))
}

// messagesEach is how many messages a segment has at most.
func (h *history) messagesEach() uint64 { return max(1, h.maxMessages()/segmentsAtLeast) }

// syncHistory makes safe what was said and shown, until Close.
func (h *history) syncHistory() {
	for {
		h.mu.Lock()
		for len(h.dones.urgent) == 0 && !h.dones.hurry && !h.fold.due && !h.ended {
			h.wake.Wait()
		}
		ended := h.ended
		urgent, lazy, turned := h.dones.urgent, h.dones.lazy, h.fold.due
		h.dones.urgent, h.dones.lazy, h.dones.hurry, h.fold.due = nil, nil, false, false
		if h.dones.timer != nil {
			h.dones.timer.Stop()
			h.dones.timer = nil
		}
		h.mu.Unlock()
		err := h.syncSaid()
		for _, done := range slices.Concat(urgent, lazy) {
			if h.store.isDead() {
				return
			}
			done(err)
		}
		switch {
		case ended:
			return
		case turned && err == nil:
			h.startFold()
		}
	}
}

// syncSaid makes safe what was said and shown so far.
func (h *history) syncSaid() error {
	if err := h.store.Err(); err != nil {
		return err
	}
	h.mu.Lock()
	err := h.noteShown()
	number, shown := h.number, h.shown
	h.mu.Unlock()
	if !h.store.reach("sync") {
		return ErrKilled
	}
	if err == nil {
		h.syncing.Lock()
		err = fdatasync(h.file)
		h.syncing.Unlock()
	}
	if err != nil {
		return h.store.fail(fmt.Errorf("writing %s: %w", h.dir, err))
	}
	if !h.store.reach("synced") {
		return ErrKilled
	}
	h.mu.Lock()
	h.safe = max(h.safe, number)
	n := 0
	for ; n < len(h.unshown) && h.unshown[n].Pos <= shown; n++ {
		h.raise(h.unshown[n])
	}
	h.unshown = slices.Delete(h.unshown, 0, n)
	h.fold.safe = shown
	h.mu.Unlock()
	return h.store.checkPlaces()
}

// raise takes an entry that was shown into the marks that the database gets next. h.mu is held, if others
// may use it.
func (h *history) raise(e Entry) {
	if !e.isNoted() {
		return
	}
	if h.fold.marks[e.Author] == nil {
		h.fold.marks[e.Author] = new(delivery.Mark)
	}
	h.fold.marks[e.Author].Raise(e.Stamp)
}

// noteShown writes a record of how far things were shown, if none says so. h.mu is held.
func (h *history) noteShown() error {
	switch {
	case h.store.Err() != nil || h.store.isDead(): // since it was looked at
		return h.store.fail(ErrKilled)
	case h.noted == h.shown:
		return h.flush()
	}
	if err := h.makeRoom(alignSaid(saidHead), false); err != nil {
		return err
	}
	h.number++
	h.buffer = h.segments[len(h.segments)-1].appendSaid(h.buffer, h.number, h.safe, h.shown, kindShown, nil)
	h.noted = h.shown
	return h.flush()
}

// startFold folds, and makes the next segment, beside the syncs, for which receipts wait.
func (h *history) startFold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fold.busy {
		return // the next segment has it done
	}
	h.fold.busy = true
	h.running.Go(func() {
		h.makeSpare() // which is wanted first
		h.foldHistory()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.fold.busy = false
	})
}

// foldHistory brings the marks of what was shown into the database, so that the next Open need not
// read the history from the beginning, and drops what is beyond the bounds.
func (h *history) foldHistory() {
	h.mu.Lock()
	marks, upTo, safe := h.fold.marks, h.fold.safe, h.safe
	h.fold.marks = make(map[certs.PublicKey]*delivery.Mark)
	h.mu.Unlock()
	if h.config.Floor != nil {
		if floor := h.config.Floor(safe); floor > 0 {
			upTo = min(upTo, floor-1)
		}
	}
	upTo = max(upTo, h.fold.upTo)
	err := h.store.update(func(t *transaction) error {
		t.changed = true
		return errors.Join(t.raise(marks, h.store.day()), putAbout(t.tx, saidKey, encodeNumber(upTo+1)))
	})
	if err != nil {
		return // the store has it
	}
	h.mu.Lock()
	h.fold.upTo = upTo
	drop := h.beyond()
	h.span.first.Store(h.segments[0].first)
	h.mu.Unlock()
	for _, g := range drop {
		if err := os.Remove(g.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			h.store.fail(err)
		}
	}
}

// beyond takes out the segments that may go: those beyond the bounds, and those without data. The
// database has the marks of all of them. h.mu is held.
func (h *history) beyond() (drop []segment) {
	end := func(i int) uint64 { return h.segments[i+1].first - 1 }
	bytes := int64(0)
	for _, g := range h.segments {
		bytes += int64(g.size)
	}
	for len(h.segments) > 1 && end(0) <= h.fold.upTo && (bytes > h.maxBytes() || h.has.messages-h.segments[0].before > h.maxMessages()) {
		bytes -= int64(h.segments[0].size)
		drop = append(drop, h.segments[0])
		h.segments = slices.Delete(h.segments, 0, 1)
	}
	for i := 0; i+1 < len(h.segments) && end(i) <= h.fold.upTo; {
		if h.segments[i+1].said != h.segments[i].said {
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

// makeSpare makes the segment that is written next, if there is none that is large enough.
func (h *history) makeSpare() {
	spare, path := filepath.Join(h.dir, spareFile), filepath.Join(h.dir, temporary+spareFile)
	h.mu.Lock()
	size := h.nextSize()
	h.mu.Unlock()
	if info, err := os.Lstat(spare); err == nil && info.Size() >= int64(size) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	err := createFile(path, nil, size)
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
func (h *history) endHistory() {
	h.mu.Lock()
	h.ended = true
	h.wake.Signal()
	h.mu.Unlock()
	h.running.Wait()
}

// closeCursor notes that all is safe.
func (h *history) closeCursor() error {
	return h.cursor.set(h.shown, h.number)
}

// release closes the files.
func (h *history) release() error {
	err := errors.Join(unmapFile(h.cursor.slots), unmapFile(h.late.area))
	h.cursor.slots, h.late.area = nil, nil
	return errors.Join(err, closeFiles(h.file, h.cursor.file, h.late.file))
}
