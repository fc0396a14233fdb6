package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// How the history is opened: what a crash of the machine has left of the last write is cut off, and
// what was not shown is handed over, to be shown first of all. Damage anywhere else is an error.

// makeHistory makes an empty history. It gets its name last, so that one that has it is whole.
func (h *history) makeHistory(dir string) error {
	path, final := filepath.Join(dir, temporary+historyDir), filepath.Join(dir, historyDir)
	if !h.store.reach("write " + historyDir) {
		return ErrKilled
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	g := segment{path: filepath.Join(path, segmentName(1)), first: 1, size: h.size, salt: rand.Uint32()}
	err := errors.Join(createFile(g.path, append(g.header(), make([]byte, g.size-slotSize)...)), createFile(filepath.Join(path, cursorFile), make([]byte, cursorSlots*slotSize)),
		createFile(filepath.Join(path, lateFile), make([]byte, g.size/2)), syncDir(path))
	if err != nil {
		_ = os.RemoveAll(path)
		return err
	}
	if !h.store.reach("rename " + historyDir) {
		return ErrKilled
	}
	if err := os.Rename(path, final); err != nil {
		return err
	}
	if !h.store.reach("renamed " + historyDir) {
		return ErrKilled
	}
	return syncDir(dir)
}

// openHistory opens the history behind a position up to which the database has its marks, and
// brings what is behind it into the database.
func (h *history) openHistory(folded uint64) error {
	if err := h.readSegments(); err != nil {
		return err
	}
	if first := h.segments[0]; first.first > folded+1 {
		return damage(h.dir, fmt.Errorf("what was shown behind position %d is missing", folded))
	}
	from := 0
	for i, g := range h.segments {
		if g.first <= folded+1 {
			from = i
		}
	}
	var records []Entry
	for i, g := range h.segments[from:] {
		b, err := g.content()
		if err != nil {
			return err
		}
		last := from+i == len(h.segments)-1
		if last {
			if err := h.openLate(g, b); err != nil {
				return err
			}
		}
		h.has.messages, h.has.entries = g.before, g.said
		at, next, err := g.scan(b, func(r said) error {
			h.noted = max(h.noted, r.shown)
			if r.kind == kindMessage {
				h.has.messages++
			}
			if r.kind >= kindEvent {
				h.has.entries++
			}
			if r.kind != kindShown && r.number > folded {
				e := r.entry()
				e.Data = slices.Clone(e.Data)
				records = append(records, e)
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case !last && next != h.segments[from+i+1].first, last && (next <= folded || g.attests(b, at, next)):
			return g.missing(next)
		}
		h.number, h.at = next-1, at
		if last {
			if err := h.cutTail(g, b[at:]); err != nil {
				return err
			}
		}
	}
	if err := h.openCursor(); err != nil {
		return err
	}
	h.safe, h.fold.upTo = h.number, folded
	h.span.first.Store(h.segments[0].first)
	h.span.last.Store(h.number)
	h.split(records)
	h.fold.safe = h.shown
	return nil
}

// readSegments lists the files, and removes what a crash has left of one that was being made.
func (h *history) readSegments() error {
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return err
	}
	for _, e := range entries { // in the order of their names
		switch name := e.Name(); {
		case name == cursorFile || name == lateFile || name == spareFile:
		case strings.HasPrefix(name, temporary) && e.Type().IsRegular():
			if err := os.Remove(filepath.Join(h.dir, name)); err != nil {
				return err
			}
		default:
			g, err := readSegmentHeader(h.dir, name)
			if err != nil {
				return err
			}
			h.segments = append(h.segments, g)
		}
	}
	if len(h.segments) == 0 {
		return damage(h.dir, errors.New("it is empty"))
	}
	return nil
}

// cutTail opens the last segment, and puts zeros where a crash of the machine has left parts of
// records. All before that is then safe.
func (h *history) cutTail(g segment, tail []byte) (err error) {
	if h.file, err = os.OpenFile(g.path, os.O_RDWR, 0); err != nil {
		return err
	}
	end := len(tail)
	for end > 0 && tail[end-1] == 0 {
		end--
	}
	if end > 0 {
		h.opened.torn = end
		if _, err := h.file.WriteAt(make([]byte, end), int64(h.at)); err != nil {
			return err
		}
	}
	return h.file.Sync()
}

// openLate adds to the bytes of the last segment the records that it lacks, which the end of the process has
// kept from it, and writes them there: then the file is emptied.
func (h *history) openLate(g segment, b []byte) error {
	path := filepath.Join(h.dir, lateFile)
	there, err := exists(path)
	if err == nil && !there {
		err = &DamagedError{Path: path, Err: errors.New("it is missing")}
	}
	if err != nil {
		return err
	}
	if h.late.file, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return err
	}
	late := make([]byte, h.size/2)
	if !hasSize(h.late.file, len(late)) {
		return damage(path, fmt.Errorf("it does not have %d bytes", len(late)))
	}
	if err := readFull(h.late.file, late, 0); err != nil {
		return damage(path, err)
	}
	at, next, err := g.scan(b, func(said) error { return nil })
	if err != nil {
		return err
	}
	if g.attests(b, at, next) {
		return nil // the segment is damaged, which its reader says
	}
	if end := g.fill(b, late, at, next); end > at {
		f, err := os.OpenFile(g.path, os.O_RDWR, 0)
		if err == nil {
			_, err = f.WriteAt(b[at:end], int64(at))
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			return err
		}
	}
	if !allZero(late) {
		if _, err := h.late.file.WriteAt(make([]byte, len(late)), 0); err != nil {
			return err
		}
		if err := h.late.file.Sync(); err != nil {
			return err
		}
	}
	h.late.area, err = mapFile(h.late.file, len(late))
	return err
}

// fill puts the records of the late file that come next into the bytes of a segment, from a place on, and
// returns where they end.
func (g segment) fill(b, late []byte, at int, next uint64) int {
	number := uint64(0) // of the record before
	for i := 0; i < len(late); {
		r, ok := g.parseSaid(late[i:])
		if !ok || number != 0 && r.number != number+1 || r.number > next || at+align(r.size) > len(b) {
			break
		}
		end := i + align(r.size)
		if number = r.number; number == next {
			clear(b[at : at+align(r.size)])
			copy(b[at:], late[i:min(end, len(late))])
			at, next = at+align(r.size), next+1
		}
		i = end
	}
	return at
}

// openCursor finds out how far things were shown: what the records say, or the cursor, whose writes
// were not waited for. It may know more, or, after a crash of the machine, of records that are gone.
func (h *history) openCursor() (err error) {
	path := filepath.Join(h.dir, cursorFile)
	if _, err := exists(path); err != nil {
		return err
	}
	if h.cursor.file, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return &DamagedError{Path: path, Err: errors.New("it is missing")}
		}
		return err
	}
	b := make([]byte, cursorSlots*slotSize)
	if err := readFull(h.cursor.file, b, 0); err != nil {
		return damage(path, err)
	}
	h.shown = h.noted
	for ; len(b) > 0; b = b[slotSize:] {
		if sealed(b[:slotSize]) && string(b[:len(segmentTitle)]) == segmentTitle {
			h.shown = max(h.shown, binary.BigEndian.Uint64(b[16:]))
		}
	}
	h.shown = min(h.shown, h.number)
	if _, err := h.cursor.file.WriteAt(slices.Concat(cursorSlot(h.shown), cursorSlot(h.shown)), 0); err != nil {
		return err
	}
	if err := h.cursor.file.Sync(); err != nil {
		return err
	}
	h.cursor.slots, err = mapFile(h.cursor.file, cursorSlots*slotSize)
	return err
}

// split takes what was shown into the marks, and the rest to be shown. A note without data
// was shown before it was written, or is hidden.
func (h *history) split(records []Entry) {
	for _, e := range records {
		if e.Pos > h.shown && len(e.Data) > 0 {
			h.opened.early = append(h.opened.early, e)
			if e.Author != (certs.PublicKey{}) {
				h.unshown = append(h.unshown, Entry{Pos: e.Pos, Author: e.Author, Stamp: e.Stamp})
			}
			continue
		}
		if e.Author == (certs.PublicKey{}) {
			continue
		}
		if h.fold.marks[e.Author] == nil {
			h.fold.marks[e.Author] = new(delivery.Mark)
		}
		h.fold.marks[e.Author].Raise(e.Stamp)
	}
}

// Early hands over, once, what was said and not shown when the store was opened: it is to be shown
// before anything else.
func (h *history) Early() []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	early := h.opened.early
	h.opened.early = nil
	return early
}

// Torn is how many bytes of a write that a crash of the machine has cut short were removed at Open.
func (h *history) Torn() int { return h.opened.torn }
