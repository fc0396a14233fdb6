package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// The history is a row of files, the segments, in a directory of its own. Each is as long as it was
// made, so that a write changes no size: a header, and records at multiples of saidAlign.
//
//	header: title 8 | format 8 | number of its first record 8 | size 8 | messages before it 8 | entries before it 8 | zeros 8 | salt 4 | CRC-32C 4
//	record: length 4 | CRC-32C of all that follows 4 | number 8 | safe 8 | shown 8 | kind 1 | …
//
// A record is in the hands of the kernel before its event is shown, which a write(2) would take 6.6 µs for
// (measured). So records go into a map of another file, for a tenth of that, and are written to their
// segment in one piece: before each fdatasync, since fdatasync takes 1.4 ms for what was put into a map and
// 0.2 ms for what was written (ext4, measured), and before they are read.
//
// Records are numbered from 1, which are the positions of the history. After a crash of the machine, which
// may have taken records whose positions were told to others, a record of the kind jump has a number beyond all
// of those. "safe" is the number up to
// which all was synced when the record was written: so a record that can't be read is damage if a
// later one calls it safe, and else what a crash has left of the last write. "shown" is the number up
// to which the program had shown everything: what follows it is shown again after a crash. A record
// of the kind shown says nothing else. Of the others a message of another peer, or one that only has
// to be remembered, is marked and has its author's key 32, epoch 8, counter 8, nonce 8 and hash 4.
// Then come the caller's bytes. The CRC begins with the segment's random salt: a message in a record that
// was cut short can't pass for records itself. Integers are big-endian.
const (
	historyDir    = "history"
	cursorFile    = "shown" // in it
	lateFile      = "late"  // records that the last segment may lack
	spareFile     = "spare"
	segmentTitle  = "history\n"        // 8 bytes
	cursorTitle   = "quicpeer history" // 16 bytes
	historyFormat = 1

	saidHead = 4 + 4 + 8 + 8 + 8 + 1
	noteSize = 32 + 8 + 8 + 8 + 4

	// saidAlign is where records begin, so that one behind a damaged one can be found.
	saidAlign = 16

	// segmentSize is the size of the first segment. Each is twice as large as the one before, up to
	// largestSegments of these, so that a busy peer seldom begins one, and a quiet one has little room
	// that it does not use. A segment has at most a segmentsAtLeast-th of what the history may have. (Guesses.)
	// One with a larger record is as large as that needs.
	segmentSize     = 128 * ringSlots
	largestSegments = 8
	segmentsAtLeast = 8
)

// kind says what a record of the history is.
type kind byte

const (
	kindShown   kind = iota // only how far things were shown
	kindJump                // nothing; its number is beyond those that were given
	kindNote                // only to be remembered
	kindEvent               // of a message: what became of it
	kindMessage             // counts among the messages

	hasNote kind = 0x80 // a bit: author and stamp follow
)

// Entry is what the history has at a position.
type Entry struct {
	Pos    uint64
	Author certs.PublicKey // of a message that is not to be shown again; zero: none
	Stamp  delivery.Stamp
	// Message: it counts as one of the messages that the history is bounded to.
	Message bool
	Data    []byte // the caller's; empty: only author and stamp are to be remembered
}

func (e *Entry) kind() kind {
	switch {
	case len(e.Data) == 0:
		return kindNote
	case e.Message:
		return kindMessage
	}
	return kindEvent
}

// segment is a file of the history.
type segment struct {
	path   string
	first  uint64 // the number of its first record
	size   int
	before uint64 // messages in earlier segments
	said   uint64 // entries with data there
	salt   uint32
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d", first) }

func (g segment) header() []byte {
	b := make([]byte, slotSize)
	copy(b, segmentTitle)
	for i, n := range []uint64{historyFormat, g.first, uint64(g.size), g.before, g.said} {
		binary.BigEndian.PutUint64(b[8+8*i:], n)
	}
	binary.BigEndian.PutUint32(b[56:], g.salt)
	seal64(b)
	return b
}

// readSegmentHeader reads what a segment says of itself.
func readSegmentHeader(dir, name string) (g segment, err error) {
	g.path = filepath.Join(dir, name)
	if g.first, err = strconv.ParseUint(name, 10, 64); err != nil || segmentName(g.first) != name || g.first == 0 {
		return g, &DamagedError{Path: g.path, Err: errors.New("it is not a file of the history")}
	}
	if err := isRegular(g.path); err != nil {
		return g, err
	}
	f, err := os.Open(g.path)
	if err != nil {
		return g, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return g, err
	}
	var b [slotSize]byte
	if err := readFull(f, b[:], 0); err != nil {
		return g, damage(g.path, err)
	}
	number := binary.BigEndian.Uint64(b[8:])
	size := binary.BigEndian.Uint64(b[24:])
	switch {
	case string(b[:len(segmentTitle)]) != segmentTitle || !sealed(b[:]):
		return g, damage(g.path, errors.New("its header is not what was written"))
	case number != historyFormat:
		return g, formatError(g.path, number, historyFormat)
	case binary.BigEndian.Uint64(b[16:]) != g.first || size != uint64(info.Size()):
		return g, damage(g.path, fmt.Errorf("it has %d bytes and not %d, or another's name", info.Size(), size))
	}
	g.size, g.salt = int(size), binary.BigEndian.Uint32(b[56:])
	g.before, g.said = binary.BigEndian.Uint64(b[32:]), binary.BigEndian.Uint64(b[40:])
	return g, nil
}

// begin makes the segment of a file without records: the spare one, if that is there and large enough. Then its
// size is that of the spare one.
func (g *segment) begin(spare string) (f *os.File, p place, err error) {
	path := spare
	if f, err = os.OpenFile(path, os.O_RDWR, 0); err == nil {
		var info fs.FileInfo
		if info, err = f.Stat(); err == nil && info.Size() >= int64(g.size) {
			g.size = int(info.Size())
		} else {
			err = errors.Join(err, f.Close(), fs.ErrNotExist)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		path = filepath.Join(filepath.Dir(g.path), temporary+segmentName(g.first))
		if err = createFile(path, nil, g.size); err == nil {
			f, err = os.OpenFile(path, os.O_RDWR, 0)
		}
	}
	if err != nil {
		return nil, p, err
	}
	if _, err = f.WriteAt(g.header(), 0); err == nil { // else it names the path
		err = errors.Join(f.Sync(), os.Rename(path, g.path), syncDir(filepath.Dir(g.path)))
	}
	if err == nil {
		p, err = placeOf(g.path)
	}
	if err != nil {
		return nil, p, errors.Join(err, closeFiles(f))
	}
	return f, p, nil
}

func hasSize(f *os.File, size int) bool {
	info, err := f.Stat()
	return err == nil && info.Size() == int64(size)
}

// closeFiles closes those that are open.
func closeFiles(list ...*os.File) (err error) {
	for _, f := range list {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// said is a record of the history.
type said struct {
	number, safe, shown uint64
	kind                kind
	size                int
	note                []byte // noteSize bytes; nil: there is none
	data                []byte
}

// appendSaid appends a record, with what fills it up.
func (g segment) appendSaid(b []byte, number, safe, shown uint64, k kind, e *Entry) []byte {
	start := len(b)
	b = append(b, make([]byte, saidHead)...)
	if e != nil && e.isNoted() {
		k |= hasNote
		b = append(b, e.Author[:]...)
		b = binary.BigEndian.AppendUint64(appendPosition(b, e.Stamp.Position), e.Stamp.Nonce)
		b = binary.BigEndian.AppendUint32(b, e.Stamp.Hash)
	}
	if e != nil {
		b = append(b, e.Data...)
	}
	r := b[start:]
	binary.BigEndian.PutUint32(r, uint32(len(r)))
	for i, n := range []uint64{number, safe, shown} {
		binary.BigEndian.PutUint64(r[8+8*i:], n)
	}
	r[saidHead-1] = byte(k)
	binary.BigEndian.PutUint32(r[4:], crc32.Update(g.salt, castagnoli, r[8:]))
	return append(b, make([]byte, alignSaid(len(r))-len(r))...)
}

// isNoted says that author and stamp are remembered.
func (e *Entry) isNoted() bool { return e.Author != (certs.PublicKey{}) }

// sizeOfSaid is what a record takes.
func sizeOfSaid(e *Entry) int {
	size := saidHead + len(e.Data)
	if e.isNoted() {
		size += noteSize
	}
	return alignSaid(size)
}

func alignSaid(n int) int { return (n + saidAlign - 1) / saidAlign * saidAlign }

// parseSaid reads a record at the beginning of b; false: there is none.
func (g segment) parseSaid(b []byte) (r said, ok bool) {
	if len(b) < saidHead {
		return r, false
	}
	size := binary.BigEndian.Uint32(b)
	if size < saidHead || uint64(size) > uint64(len(b)) || crc32.Update(g.salt, castagnoli, b[8:size]) != binary.BigEndian.Uint32(b[4:]) {
		return r, false
	}
	r = said{number: binary.BigEndian.Uint64(b[8:]), safe: binary.BigEndian.Uint64(b[16:]), shown: binary.BigEndian.Uint64(b[24:]), kind: kind(b[saidHead-1]), size: int(size)}
	r.data = b[saidHead:size]
	noted := r.kind&hasNote != 0
	r.kind &^= hasNote
	if noted && len(r.data) >= noteSize {
		r.note, r.data = r.data[:noteSize], r.data[noteSize:]
	}
	switch {
	case noted != (r.note != nil):
		return r, false
	case r.kind == kindShown, r.kind == kindJump:
		return r, !noted && len(r.data) == 0
	case r.kind == kindNote:
		return r, len(r.data) == 0
	}
	return r, r.kind <= kindMessage && len(r.data) > 0
}

// entry is what a record holds; its data is that of the record.
func (r said) entry() Entry {
	e := Entry{Pos: r.number, Message: r.kind == kindMessage, Data: r.data}
	if r.note != nil {
		e.Author = certs.PublicKey(r.note[:32])
		e.Stamp = delivery.Stamp{
			Run: delivery.Run{Position: decodePosition(r.note[32:]), Nonce: binary.BigEndian.Uint64(r.note[48:])}, Hash: binary.BigEndian.Uint32(r.note[56:]),
		}
	}
	return e
}

// missing is the damage of a record that can't be read and should be there.
func (g segment) missing(number uint64) error {
	return damage(g.path, fmt.Errorf("record %d of the history is not what was written", number))
}
