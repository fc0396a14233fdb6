package store

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// Up to format 4 what was shown was noted in two rings of slots, which say the same, except for what a
// crash has kept from one of them: a header of one slot in the first, then a slot for each note, a sender's key, epoch,
// counter, nonce and hash. The database takes them in when it gets its present format.
const (
	oldNotesFile = "shown"
	oldLateFile  = "shown.late"
	oldTitle     = "quicpeer shown\r\n"
	oldSlots     = 16384
)

type oldNotes struct {
	found bool
	used  bool // the store was in use, so its database can't be new
	marks map[certs.PublicKey]*delivery.Mark
}

// readOldNotes reads both, if they are there.
func readOldNotes(dir string) (old oldNotes, err error) {
	path := filepath.Join(dir, oldNotesFile)
	if old.found, err = exists(path); err != nil || !old.found {
		return old, err
	}
	b, err := readRing(path)
	if err != nil {
		return old, err
	}
	if len(b) < slotSize || string(b[:len(oldTitle)]) != oldTitle || !sealed(b[:slotSize]) {
		return old, damage(path, errors.New("its header is not what was written"))
	}
	if number := binary.BigEndian.Uint64(b[16:]); number != 1 {
		return old, formatError(path, number, 1)
	}
	if uint64(len(b)) != (binary.BigEndian.Uint64(b[24:])+1)*slotSize {
		return old, damage(path, errors.New("it is cut short"))
	}
	old.used = b[32] != 0
	old.marks = make(map[certs.PublicKey]*delivery.Mark)
	old.parse(b[slotSize:])
	late := filepath.Join(dir, oldLateFile)
	if b, err = readRing(late); errors.Is(err, fs.ErrNotExist) {
		return old, nil // older than that
	}
	old.parse(b)
	return old, err
}

// readRing reads a file of at most the size that one had.
func readRing(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > (oldSlots+1)*slotSize {
		return nil, damage(path, errors.New("it is too large"))
	}
	return os.ReadFile(path)
}

// parse reads whole slots; empty ones, and those that a crash has left torn, say nothing.
func (old oldNotes) parse(b []byte) {
	for ; len(b) >= slotSize; b = b[slotSize:] {
		slot := b[:slotSize]
		if !sealed(slot) {
			continue
		}
		sender := certs.PublicKey(slot[:32])
		if old.marks[sender] == nil {
			old.marks[sender] = new(delivery.Mark)
		}
		old.marks[sender].Raise(delivery.Stamp{
			Run: delivery.Run{Position: decodePosition(slot[32:]), Nonce: binary.BigEndian.Uint64(slot[48:])}, Hash: binary.BigEndian.Uint32(slot[56:]),
		})
	}
}

// removeOldNotes removes the files once the database has what they say.
func removeOldNotes(dir string) error {
	for _, name := range []string{oldNotesFile, oldLateFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
