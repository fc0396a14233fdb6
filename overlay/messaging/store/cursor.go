package store

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"runtime/debug"
)

// cursor is the file that says how far things were shown, until a record does. Its slots are written in turn, so
// that one is whole while the other is written:
//
//	title 16 | shown up to 8 | the last record, if the history was closed in good order, or 0 8 | boot 16 | zeros | CRC-32C 4
type cursor struct {
	file  *os.File
	slots []byte // a map of it; nil where none can be had
	turn  int    // the slot that is written next
	boot  boot   // of the machine, now
}

const cursorSlots = 2

// boot tells one run of the machine from another; zero: unknown.
type boot [16]byte

// found is what a cursor has said.
type found struct {
	used          bool // it was set
	shown, closed uint64
	boot          boot
}

// find opens the file, and reads it. Its writes were not waited for: it may know less than the records, or,
// after a crash of the machine, of records that are gone.
func (c *cursor) find(path string) (f found, err error) {
	if _, err := exists(path); err != nil {
		return f, err
	}
	if c.file, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return f, &DamagedError{Path: path, Err: errors.New("it is missing")}
		}
		return f, err
	}
	b := make([]byte, cursorSlots*slotSize)
	if err := readFull(c.file, b, 0); err != nil {
		return f, damage(path, err)
	}
	for ; len(b) > 0; b = b[slotSize:] {
		shown := binary.BigEndian.Uint64(b[16:])
		if sealed(b[:slotSize]) && string(b[:len(cursorTitle)]) == cursorTitle && shown >= f.shown {
			f = found{true, shown, binary.BigEndian.Uint64(b[24:]), boot(b[32:])}
		}
	}
	return f, nil
}

// begin sets the cursor, and maps it.
func (c *cursor) begin(shown uint64) (err error) {
	if err := c.set(shown, 0); err != nil {
		return err
	}
	c.slots, err = mapFile(c.file, cursorSlots*slotSize)
	return err
}

// set sets all slots, safe from a crash.
func (c *cursor) set(shown, closed uint64) error {
	var b []byte
	for range cursorSlots {
		b = c.slot(b, shown, closed)
	}
	if _, err := c.file.WriteAt(b, 0); err != nil {
		return err // it names the path
	}
	return c.file.Sync()
}

// put puts the cursor where it outlives the process.
func (c *cursor) put(shown uint64) (err error) {
	var room [slotSize]byte
	slot := c.slot(room[:0], shown, 0)
	at := c.turn * slotSize
	c.turn = (c.turn + 1) % cursorSlots
	if c.slots == nil {
		_, err = c.file.WriteAt(slot, int64(at))
		return err // it names the path
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = damage(c.file.Name(), errors.New("it was cut short, or the disk can't hold it"))
		}
	}()
	copy(c.slots[at:], slot)
	return nil
}

// slot appends a slot.
func (c *cursor) slot(b []byte, shown, closed uint64) []byte {
	var slot [slotSize]byte
	copy(slot[:], cursorTitle)
	binary.BigEndian.PutUint64(slot[16:], shown)
	binary.BigEndian.PutUint64(slot[24:], closed)
	copy(slot[32:], c.boot[:])
	seal64(slot[:])
	return append(b, slot[:]...)
}
