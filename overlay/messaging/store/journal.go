package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// The journal's file is a header and a ring of slots, all of the same size and at
// multiples of it, so that none lies in two sectors. A slot is a sender's key,
// epoch, counter, nonce and hash of a message that was shown, and the CRC-32C of all of
// that; in those of older programs nonce and hash are zeros. Zeros alone are an empty
// slot. A header is the title, the format, the number of slots, whether the store is in
// use, and the CRC-32C. Integers are big-endian.
const (
	journalFormat = 1

	slotSize = 64
	sumAt    = slotSize - crcSize
	title    = "quicpeer shown\r\n" // 16 bytes; a transfer as text would change them

	// ringSlots is how many notes the ring takes (a guess): a half of it lasts for
	// 55 ms of 150,000 notes a second, which is several transactions' time.
	ringSlots = 16384
)

// A note is in the hands of the kernel before the next message is shown, which a write(2) would
// take 6.6 µs for, a third of what a durable message costs its receiver (measured). So it goes
// into a map of another file, of slots alone, for 1 µs. That file is never synced, since
// fdatasync takes 1.4 ms for what was put into a map and 0.2 ms for what was written (ext4,
// measured); before each fdatasync the notes are written to the journal in one piece. Marks only
// rise, so an old slot does no harm.
// journal is the file of notes. In it are two halves: while one is written the
// other is folded into the database.
type journal struct {
	path  string
	file  *os.File
	late  string // the path of a ring with the notes that may not be in the file yet
	ring  []byte // a map of it; nil where none can be had: then notes go to the file at once
	slots int
	torn  int // slots neither empty nor valid at Open: what a crash of the machine leaves of notes whose done functions had not been called

	mu      sync.Mutex
	noted   sync.Cond // pending has grown, or closed was set
	folded  sync.Cond // a half is free, or never will be
	next    int       // slot to write
	folding [2]bool
	buffer  [slotSize]byte
	lacking []byte        // slots that the file lacks
	lacks   int           // the first of them
	pending []func(error) // done functions that wait for the next fdatasync
	closed  bool
	running sync.WaitGroup // the goroutine that syncs, and those that fold

	flushing sync.Mutex // before mu
	spare    []byte     // memory for lacking
}

func (j *journal) init(dir string, slots int) {
	j.path, j.late, j.slots = filepath.Join(dir, journalFile), filepath.Join(dir, lateFile), slots
	j.noted.L, j.folded.L = &j.mu, &j.mu
}

// create writes an empty journal that is not in use, all of it, so that there is room
// for what is noted later.
func (j *journal) create(path string) error {
	b := make([]byte, (j.slots+1)*slotSize)
	j.header(b, false)
	return createFile(path, b)
}

func (j *journal) header(b []byte, used bool) {
	copy(b, title)
	binary.BigEndian.PutUint64(b[16:], journalFormat)
	binary.BigEndian.PutUint64(b[24:], uint64(j.slots))
	if used {
		b[32] = 1
	}
	seal64(b)
}

// open opens the file and reads its header.
func (j *journal) open() (used bool, err error) {
	if j.file, err = os.OpenFile(j.path, os.O_RDWR, 0); err != nil {
		return false, err
	}
	info, err := j.file.Stat()
	if err != nil {
		return false, err
	}
	b, err := j.readHeader()
	if err != nil {
		return false, err
	}
	number, slots := binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])
	switch {
	case number != journalFormat:
		return false, formatError(j.path, number, journalFormat)
	case slots != uint64(j.slots) || info.Size() != int64(j.slots+1)*slotSize:
		return false, damage(j.path, fmt.Errorf("it has %d bytes and not %d", info.Size(), (j.slots+1)*slotSize))
	}
	return b[32] != 0, nil
}

// openLate opens the ring of late notes, and returns those that it has.
func (j *journal) openLate() (notes, error) {
	f, err := os.OpenFile(j.late, os.O_RDWR, 0)
	if err != nil {
		return notes{}, err
	}
	defer f.Close()
	b := make([]byte, j.slots*slotSize)
	if err := readFull(f, b, 0); err != nil {
		return notes{}, damage(j.late, err)
	}
	j.ring, err = mapFile(f, len(b))
	return parseNotes(b), err
}

// createLate writes an empty ring of late notes.
func (j *journal) createLate(path string) error {
	return createFile(path, make([]byte, j.slots*slotSize))
}

// put puts the slot in the buffer where it outlives the process. j.mu is held.
func (j *journal) put(slot int) (err error) {
	if j.ring == nil {
		_, err = j.file.WriteAt(j.buffer[:], offset(slot))
		return err // it names the path
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = damage(j.late, errors.New("it was cut short, or the disk can't hold it"))
		}
	}()
	copy(j.ring[slot*slotSize:], j.buffer[:])
	j.lacking = append(j.lacking, j.buffer[:]...)
	return nil
}

// flush writes the notes to the file that it lacks.
func (j *journal) flush() error {
	j.flushing.Lock()
	defer j.flushing.Unlock()
	j.mu.Lock()
	b, at := j.lacking, j.lacks
	j.lacking, j.lacks = j.spare[:0], j.next
	j.mu.Unlock()
	j.spare = b
	for len(b) > 0 {
		n := min(len(b), (j.slots-at)*slotSize)
		if _, err := j.file.WriteAt(b[:n], offset(at)); err != nil {
			return err // it names the path
		}
		b, at = b[n:], 0
	}
	return nil
}

// release closes the file.
func (j *journal) release() error {
	if j.file == nil {
		return nil
	}
	err := unmapFile(j.ring)
	j.ring = nil
	return errors.Join(err, j.file.Close())
}

func (j *journal) readHeader() (b [slotSize]byte, err error) {
	if err := readFull(j.file, b[:], 0); err != nil {
		return b, damage(j.path, err)
	}
	if string(b[:len(title)]) != title || !sealed(b[:]) {
		return b, damage(j.path, errors.New("its header is not what was written"))
	}
	return b, nil
}

// use notes that the database has been made.
func (j *journal) use() error {
	var b [slotSize]byte
	j.header(b[:], true)
	if _, err := j.file.WriteAt(b[:], 0); err != nil {
		return err
	}
	return j.file.Sync()
}

// notes are those of some slots.
type notes struct {
	marks map[certs.PublicKey]*delivery.Mark // of each sender
	torn  int
}

// read reads the slots from one to before another. Those that were folded earlier
// do no harm, as marks only rise. The header tells of a file that was emptied and has
// grown again since.
func (j *journal) read(from, to int) (notes, error) {
	if _, err := j.readHeader(); err != nil {
		return notes{}, err
	}
	b := make([]byte, (to-from)*slotSize)
	if err := readFull(j.file, b, offset(from)); err != nil {
		return notes{}, damage(j.path, err)
	}
	return parseNotes(b), nil
}

// parseNotes reads whole slots; a rest is ignored.
func parseNotes(b []byte) notes {
	n := notes{marks: make(map[certs.PublicKey]*delivery.Mark)}
	for ; len(b) >= slotSize; b = b[slotSize:] {
		slot := b[:slotSize]
		if [slotSize]byte(slot) == [slotSize]byte{} {
			continue
		}
		if !sealed(slot) {
			n.torn++
			continue
		}
		sender := certs.PublicKey(slot[:32])
		m := n.marks[sender]
		if m == nil {
			m = new(delivery.Mark)
			n.marks[sender] = m
		}
		m.Raise(delivery.Stamp{
			Run: delivery.Run{Position: decodePosition(slot[32:]), Nonce: binary.BigEndian.Uint64(slot[48:])}, Hash: binary.BigEndian.Uint32(slot[56:]),
		})
	}
	return n
}

// offset is where in the file a slot is.
func offset(slot int) int64 { return int64(slot+1) * slotSize }

// Note notes that the messages of a run of sender have been shown up to one. When it returns
// the note survives the end of the process, and done is called, if it isn't nil, when the note
// is safe from a crash of the machine too: by a goroutine of the store, in the order of the
// calls, after one fdatasync for all notes that wait. With an error it may be lost, and so
// will be all later ones. done may call the store, but not [Store.Close]; no fdatasync runs
// meanwhile. Note waits for the database only if the whole ring was written faster than a half
// was folded. A note of a message before one of its run that was noted earlier changes
// nothing. The queue for done is bounded only by its callers. After Close done is called by
// Note itself, with [fs.ErrClosed].
func (s *Store) Note(sender certs.PublicKey, shown delivery.Stamp, done func(error)) {
	j := &s.journal
	j.mu.Lock()
	for j.folding[j.half()] && !j.closed && s.Err() == nil && !s.isDead() {
		j.folded.Wait()
	}
	closed := j.closed
	if !closed {
		s.write(sender, shown)
		if done != nil && !s.isDead() {
			j.pending = append(j.pending, done)
			j.noted.Signal()
		}
	}
	j.mu.Unlock()
	if closed && done != nil && !s.isDead() {
		done(fs.ErrClosed)
	}
}

// half is the one that the next slot is in.
func (j *journal) half() int { return j.next / (j.slots / 2) }

// write writes a note into the next slot, and has a half folded that is full. An
// error is kept by the store. j.mu is held.
func (s *Store) write(sender certs.PublicKey, shown delivery.Stamp) {
	j := &s.journal
	if s.Err() != nil || !s.reach("note") {
		return
	}
	copy(j.buffer[:], sender[:])
	binary.BigEndian.PutUint64(j.buffer[32:], shown.Epoch)
	binary.BigEndian.PutUint64(j.buffer[40:], shown.Counter)
	binary.BigEndian.PutUint64(j.buffer[48:], shown.Nonce)
	binary.BigEndian.PutUint32(j.buffer[56:], shown.Hash)
	seal64(j.buffer[:])
	if err := j.put(j.next); err != nil {
		s.fail(err)
		return
	}
	if !s.reach("noted") {
		return
	}
	half := j.half()
	j.next = (j.next + 1) % j.slots
	if j.half() != half {
		j.folding[half] = true
		j.running.Go(func() { s.fold(half) })
	}
}

// fold folds a half, which may then be overwritten.
func (s *Store) fold(half int) {
	j := &s.journal
	err := j.flush()
	if err == nil {
		_, err = s.foldNotes(half*j.slots/2, (half+1)*j.slots/2)
	}
	if err != nil && !s.isDead() {
		s.fail(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.folding[half] = false // after an error nothing is written any more
	j.folded.Broadcast()
}

// foldNotes brings the notes of the slots from one to before another into the
// database, and returns how many slots are torn.
func (s *Store) foldNotes(from, to int) (torn int, err error) {
	noted, err := s.journal.read(from, to)
	if err != nil {
		return 0, err
	}
	return noted.torn, s.update(func(t *transaction) error { return t.raise(noted.marks, s.day()) })
}

// syncNotes makes notes safe until Close.
func (s *Store) syncNotes() {
	var waiting []func(error)
	for {
		if waiting = s.journal.take(waiting); len(waiting) == 0 {
			return
		}
		err := s.sync()
		for i, done := range waiting {
			if s.isDead() {
				return
			}
			waiting[i] = nil
			done(err)
		}
	}
}

// take waits for done functions and returns them all, none at the end. The slice
// that it is given is filled next.
func (j *journal) take(empty []func(error)) []func(error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.pending) == 0 && !j.closed {
		j.noted.Wait()
	}
	waiting := j.pending
	j.pending = empty[:0]
	return waiting
}

// sync makes all that was noted so far safe.
func (s *Store) sync() error {
	if err := s.Err(); err != nil {
		return err
	}
	if err := s.journal.flush(); err != nil {
		return s.fail(err)
	}
	if !s.reach("sync") {
		return ErrKilled
	}
	if err := fdatasync(s.journal.file); err != nil {
		return s.fail(fmt.Errorf("writing %s: %w", s.journal.path, err))
	}
	if !s.reach("synced") {
		return ErrKilled
	}
	if err := s.checkPlaces(); err != nil {
		return err
	}
	return s.Err() // of a note behind those that were synced: better one too many
}

// close takes no more notes and waits for what was begun.
func (j *journal) close() {
	j.mu.Lock()
	j.closed = true
	j.noted.Broadcast()
	j.folded.Broadcast()
	j.mu.Unlock()
	j.running.Wait()
}
