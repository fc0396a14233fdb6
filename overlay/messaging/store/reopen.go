package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	err := errors.Join(createFile(g.path, g.header(), g.size), createFile(filepath.Join(path, cursorFile), nil, cursorSlots*slotSize),
		createFile(filepath.Join(path, lateFile), nil, g.size/2), syncDir(path))
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
	found, err := h.cursor.find(filepath.Join(h.dir, cursorFile))
	if err != nil {
		return err
	}
	h.shown = found.shown
	r := reopening{history: h, folded: folded}
	for i := range h.segments[from:] {
		if err := r.readSegment(from + i); err != nil {
			return err
		}
	}
	h.shown = min(max(h.shown, h.noted), h.number)
	if found.closed > 0 && found.closed != h.number {
		return damage(h.dir, fmt.Errorf("it ends at record %d, and was closed at %d", h.number, found.closed))
	}
	if found.used && found.closed == 0 && (found.boot != h.cursor.boot || found.boot == boot{} || found.shown > h.number) {
		h.opened.beyond = max(h.number, found.shown) + positionsLost
	}
	h.safe, h.fold.upTo = h.number, folded
	h.span.first.Store(h.segments[0].first)
	h.span.last.Store(h.number)
	for _, e := range r.unshown {
		h.takeUnshown(e)
	}
	h.fold.safe = h.shown
	return nil
}

// reopening reads the records behind a position up to which the database has their marks.
type reopening struct {
	*history
	folded  uint64
	unshown []Entry // as far as the cursor says
}

// readSegment reads a segment; if it is the last, the history goes on behind its records.
func (r *reopening) readSegment(i int) error {
	g, last := r.segments[i], i == len(r.segments)-1
	if last {
		if err := r.openLate(g); err != nil {
			return err
		}
	}
	w, file, err := g.view()
	if err != nil {
		return err
	}
	defer file.Close()
	r.has.messages, r.has.entries = g.before, g.said
	at, next, err := w.scan(r.see)
	if err != nil {
		return err
	}
	missing := next <= r.folded
	if last && !missing {
		missing, err = w.attests(at, next)
	} else if !last {
		missing = next != r.segments[i+1].first
	}
	if err != nil {
		return err
	}
	if missing {
		return g.missing(next)
	}
	r.number, r.at = next-1, at
	if !last {
		return nil
	}
	end, err := w.lastByte(at)
	if err != nil {
		return err
	}
	return r.cutTail(g, end-at)
}

// see takes up a record.
func (r *reopening) see(s said) error {
	r.noted = max(r.noted, s.shown)
	if s.kind == kindMessage {
		r.has.messages++
	}
	if s.kind >= kindEvent {
		r.has.entries++
	}
	if s.kind <= kindJump || s.number <= r.folded {
		return nil
	}
	e := s.entry()
	if s.number <= r.shown { // which is not less at the end
		r.history.raise(e)
		return nil
	}
	e.Data = slices.Clone(e.Data)
	r.unshown = append(r.unshown, e)
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
func (h *history) cutTail(g segment, torn int) (err error) {
	if h.file, err = os.OpenFile(g.path, os.O_RDWR, 0); err != nil {
		return err
	}
	h.opened.torn = torn
	zeros := make([]byte, min(torn, windowSize))
	for at := h.at; torn > 0; {
		n := min(torn, len(zeros))
		if _, err := h.file.WriteAt(zeros[:n], int64(at)); err != nil {
			return err
		}
		at, torn = at+n, torn-n
	}
	return h.file.Sync()
}

// openLate adds to the last segment the records that it lacks, which the end of the process has kept from
// it: then the file is emptied.
func (h *history) openLate(g segment) error {
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
	if !allZero(late) {
		if err := h.takeLate(g, late); err != nil {
			return err
		}
	}
	h.late.area, err = mapFile(h.late.file, len(late))
	return err
}

// takeLate moves what is in the late file to where it belongs.
func (h *history) takeLate(g segment, late []byte) error {
	w, file, err := g.view()
	if err != nil {
		return err
	}
	defer file.Close()
	at, next, err := w.scan(func(said) error { return nil })
	if err != nil {
		return err
	}
	if damaged, err := w.attests(at, next); damaged || err != nil {
		return err // its reader says that it is
	}
	if r, ok := g.parseSaid(late); ok && r.number > next && r.safe >= next {
		return g.missing(next)
	}
	if lacking := g.lacking(late, next); len(lacking) > 0 && len(lacking) <= g.size-at {
		f, err := os.OpenFile(g.path, os.O_RDWR, 0)
		if err == nil {
			_, err = f.WriteAt(lacking, int64(at))
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			return err
		}
	}
	if _, err := h.late.file.WriteAt(make([]byte, len(late)), 0); err != nil {
		return err
	}
	return h.late.file.Sync()
}

// lacking are the records of the late file from a number on. (One that was overwritten by a later flush may
// follow them.)
func (g segment) lacking(late []byte, next uint64) []byte {
	var number uint64 // of the record before
	from, to := 0, 0
	for to < len(late) {
		r, ok := g.parseSaid(late[to:])
		if !ok || number != 0 && r.number != number+1 || r.number > next && number == 0 {
			break
		}
		number = r.number
		to = min(to+alignSaid(r.size), len(late))
		if number < next {
			from = to
		}
	}
	return late[from:to]
}

// takeUnshown takes a record that the cursor does not call shown into the marks if it was, and else to be
// shown. A note without data was shown before it was written, or is hidden.
func (h *history) takeUnshown(e Entry) {
	if e.Pos <= h.shown || len(e.Data) == 0 {
		h.raise(e)
		return
	}
	h.opened.early = append(h.opened.early, e)
	if e.isNoted() {
		h.unshown = append(h.unshown, Entry{Pos: e.Pos, Author: e.Author, Stamp: e.Stamp})
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
