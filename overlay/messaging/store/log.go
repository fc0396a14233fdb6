package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
)

// The log is where writes are made safe, before they come into the database: one write(2) and
// one fdatasync for all that waits, where a transaction of bbolt writes pages all over its
// file, twice. Most messages have been taken out again by the time at which the log is folded
// into the database, and never come there (write-ahead log; ARIES, Mohan et al. 1992).
//
// It is a file of fixed size: a header, and two halves, of which one is
// written while the other waits: it is folded when the first is three quarters full, without
// what has changed again by then. A half is a row of records:
//
//	length 4 | CRC-32C of all that follows 4 | number 8 | safe 8 | operations …
//
// The CRC begins with a random salt, which is in the header: so nothing that another peer has written, and
// that is among the operations, can pass for a record. (In format 1 the salt was 0. Such a log is replaced when all of it
// is in the database.)
//
// Records are numbered from 1, and go on in the other half when one is full. The database knows
// the number of the last that was folded, the log begins anew behind it after each Open. "safe"
// is the number up to which all was synced when the record was written: so a record that can't
// be read is damage if a later one calls it safe, and else what a crash of the machine has left
// of the last group, whose done functions were not called.
//
// An operation is a byte for the bucket, the key and the value, each behind its length as a
// varint; that of a value is one more than it is, and 0 for a deletion. Integers are big-endian.
const (
	logFile   = "messages.log"
	logFormat = 2
	logTitle  = "quicpeer writes\n" // 16 bytes

	recordHead = 4 + 4 + 8 + 8
	// recordAlign is where records begin, so that one behind a damaged one can be found.
	recordAlign = 64

	// logHalf is the size of a half (a guess). The messages of a full outbox, 16,384, add 6 MB to the
	// log before the first of them is taken out again, about as much as lies between a write and its fold.
	logHalf = 256 * ringSlots
	// groupsInHalf: writes that wait at once are one record, of up to that part of a half.
	groupsInHalf = 256
	// readAtOnce is how much of the log is read at once, a multiple of recordAlign.
	readAtOnce = 64 << 10
)

// writeLog is the file of writes. The goroutine that commits writes it.
type writeLog struct {
	path string
	file *os.File
	half int // bytes of each
	salt uint32
	old  bool    // it has no salt
	left []int64 // where records begin that a crash of the machine has left, see stale

	at     int    // where in the half the next record begins
	now    int    // the half that is written
	number uint64 // of the last record
	safe   uint64 // the last that was synced
	buffer []byte
	news   []change // its operations
	room   []byte   // for the name of one
	// lacks is what the database lacks of each half.
	lacks [2]changes

	mu      sync.Mutex
	changed sync.Cond      // folding has
	full    [2]uint64      // the last record of a half that is full and not folded; 0: it isn't
	folding [2]bool        // a full half is being folded
	folded  uint64         // the last record that the database has
	running sync.WaitGroup // the goroutines that fold
}

// create writes a log of one record without operations, so that a log that was emptied is not
// taken for a new one; and all of the file, so that there is room for what is written later. The record has
// the number of the last, or is the first.
func (l *writeLog) create(path string) error {
	first := writeLog{half: l.half, salt: rand.Uint32(), number: max(l.number, 1) - 1}
	first.addRecord(nil)
	b := append(make([]byte, slotSize), first.buffer...)
	copy(b, logTitle)
	binary.BigEndian.PutUint64(b[16:], logFormat)
	binary.BigEndian.PutUint64(b[24:], uint64(l.half))
	binary.BigEndian.PutUint32(b[32:], first.salt)
	seal64(b[:slotSize])
	return createFile(path, b, slotSize+2*l.half)
}

func (l *writeLog) open() (err error) {
	if l.file, err = os.OpenFile(l.path, os.O_RDWR, 0); err != nil {
		return err
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	var b [slotSize]byte
	if err := readFull(l.file, b[:], 0); err != nil {
		return damage(l.path, err)
	}
	number, half := binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])
	switch {
	case string(b[:len(logTitle)]) != logTitle || !sealed(b[:]):
		return damage(l.path, errors.New("its header is not what was written"))
	case number != logFormat && number != 1:
		return formatError(l.path, number, logFormat)
	case half != uint64(l.half) || info.Size() != int64(slotSize+2*l.half):
		return damage(l.path, fmt.Errorf("it has %d bytes and not %d", info.Size(), slotSize+2*l.half))
	}
	l.salt, l.old = binary.BigEndian.Uint32(b[32:]), number == 1
	return nil
}

func (l *writeLog) release() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// offset is where in the file a half begins.
func (l *writeLog) offset(half int) int64 { return int64(slotSize + half*l.half) }

// fits says that operations can be in the log at all.
func (l *writeLog) fits(ops []Op) bool { return recordHead+sizeOf(ops) <= l.half }

// sizeOf is at least what operations take in a record.
func sizeOf(ops []Op) (n int) {
	for _, op := range ops {
		n += 1 + 2*binary.MaxVarintLen64 + len(op.Key) + len(op.Value)
	}
	return n
}

// addRecord adds a record of operations to the buffer; false says that the half has no room for it.
func (l *writeLog) addRecord(ops []Op) bool {
	start := len(l.buffer)
	b := append(l.buffer, make([]byte, recordHead)...)
	for _, op := range ops {
		b = append(b, byte(slices.Index(contents, op.Bucket)))
		b = append(binary.AppendUvarint(b, uint64(len(op.Key))), op.Key...)
		size := 0
		if op.Value != nil {
			size = len(op.Value) + 1
		}
		b = append(binary.AppendUvarint(b, uint64(size)), op.Value...)
	}
	if l.at+len(b) > l.half {
		return false
	}
	l.number++
	record := b[start:]
	binary.BigEndian.PutUint32(record, uint32(len(record)))
	binary.BigEndian.PutUint64(record[8:], l.number)
	binary.BigEndian.PutUint64(record[16:], l.safe)
	binary.BigEndian.PutUint32(record[4:], crc32.Update(l.salt, castagnoli, record[8:]))
	if rest := len(b) % recordAlign; rest > 0 {
		b = append(b, make([]byte, recordAlign-rest)...)
	}
	l.buffer = b
	for _, op := range ops {
		name := append(append(l.room[:0], byte(slices.Index(contents, op.Bucket))), op.Key...)
		l.news = append(l.news, change{string(name), op.Value})
		l.room = name
	}
	return true
}

// row is what a half holds: the numbers of its records; 0: there are none.
type row struct{ first, last uint64 }

// changes are the last operations on records of the database, by a byte for the bucket and the key: the
// values; nil: a deletion.
type changes map[string][]byte

type change struct {
	name  string
	value []byte
}

// readHalf reads the records of a half, and adds the operations of those after a number.
func (l *writeLog) readHalf(half int, after uint64, into changes) (found row, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(l.file, l.offset(half), int64(l.half)), readAtOnce)
	var room []byte // for records
	for left := l.half; left >= recordHead; {
		head, err := r.Peek(recordHead)
		if err != nil {
			return found, damage(l.path, err)
		}
		size := int(binary.BigEndian.Uint32(head))
		if size < recordHead || size > left {
			return found, nil
		}
		if len(room)+size > cap(room) {
			room = make([]byte, 0, max(size, readAtOnce))
		}
		b := room[len(room) : len(room)+size]
		if _, err := io.ReadFull(r, b); err != nil {
			return found, damage(l.path, err)
		}
		record, ok := l.parseRecord(b)
		if !ok || found.last != 0 && record.number != found.last+1 {
			return found, nil
		}
		if record.number > after {
			room = room[:len(room)+size]
			if !into.add(record.payload) {
				return found, damage(l.path, errors.New("a record makes no sense"))
			}
		}
		if found.first == 0 {
			found.first = record.number
		}
		found.last = record.number
		left -= align(size)
		if _, err := r.Discard(min(align(size)-size, max(left, 0))); err != nil {
			return found, damage(l.path, err)
		}
	}
	return found, nil
}

// stale finds the records behind a number that are anywhere in the log, which a crash of the machine has left of
// its last group: where they begin. It is damage if one calls safe what is not there. Bytes of messages may look
// like records as far as their checksum, which is looked at in so many bytes only.
func (l *writeLog) stale(number uint64) (places []int64, err error) {
	b := make([]byte, readAtOnce)
	var room []byte
	at, end := l.offset(0), l.offset(2)
	for left := maxLooked * end; at < end; at += int64(len(b)) {
		b = b[:min(int64(len(b)), end-at)]
		if err := readFull(l.file, b, at); err != nil {
			return nil, damage(l.path, err)
		}
		for i := 0; i+recordHead <= len(b) && left > 0; i += recordAlign {
			size := int64(binary.BigEndian.Uint32(b[i:]))
			if size < recordHead || size > end-at-int64(i) || binary.BigEndian.Uint64(b[i+8:]) <= number {
				continue
			}
			left -= size
			room = slices.Grow(room[:0], int(size))[:size]
			if err := readFull(l.file, room, at+int64(i)); err != nil {
				return nil, damage(l.path, err)
			}
			r, ok := l.parseRecord(room)
			if ok && r.safe > number {
				return nil, l.unlike(number + 1)
			}
			if ok {
				places = append(places, at+int64(i))
			}
		}
	}
	return places, nil
}

// begin readies the log for writing, when all of it is in the database: what is left of a group that was
// not safe would else follow new records.
func (l *writeLog) begin() error {
	for _, at := range l.left {
		if _, err := l.file.WriteAt(make([]byte, recordHead), at); err != nil {
			return err // it names the path
		}
	}
	if len(l.left) == 0 {
		return nil
	}
	l.left = nil
	return fdatasync(l.file)
}

// unlike says that a record is damaged.
func (l *writeLog) unlike(number uint64) error {
	return damage(l.path, fmt.Errorf("record %d is not what was written", number))
}

type record struct {
	size         int
	number, safe uint64
	payload      []byte
}

func (l *writeLog) parseRecord(b []byte) (r record, ok bool) {
	if len(b) < recordHead {
		return r, false
	}
	size := binary.BigEndian.Uint32(b)
	if size < recordHead || uint64(size) > uint64(len(b)) || crc32.Update(l.salt, castagnoli, b[8:size]) != binary.BigEndian.Uint32(b[4:]) {
		return r, false
	}
	return record{int(size), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:]), b[recordHead:size]}, true
}

// add adds the operations of a record; false says that they make no sense.
func (c changes) add(b []byte) bool {
	for len(b) > 0 {
		if int(b[0]) >= len(contents) {
			return false
		}
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size == 0 || size > uint64(len(b)-1-n) {
			return false
		}
		name := string(b[:1]) + string(b[1+n:1+n+int(size)])
		b = b[1+n+int(size):]
		if size, n = binary.Uvarint(b); n <= 0 || size > uint64(len(b)-n)+1 {
			return false
		}
		b = b[n:]
		var value []byte
		if size > 0 {
			value, b = b[:size-1:size-1], b[size-1:]
		}
		c[name] = value
	}
	return true
}

// sorted are the operations in the order of their keys, as bbolt splits its pages at the end
// only.
func (c changes) sorted() []Op {
	ops := make([]Op, 0, len(c))
	for _, name := range slices.Sorted(maps.Keys(c)) {
		ops = append(ops, Op{Bucket: contents[name[0]], Key: []byte(name[1:]), Value: c[name]})
	}
	return ops
}

// readLog reads what the database does not have yet, at Open. It begins the log anew behind that.
func (l *writeLog) readLog(folded uint64) (changes, error) {
	var rows [2]row
	for half := range rows {
		found, err := l.readHalf(half, math.MaxUint64, nil)
		if err != nil {
			return nil, err
		}
		rows[half] = found
	}
	old, late := 0, 1
	if rows[0].first > rows[1].first {
		old, late = 1, 0
	}
	if rows[late].last < folded {
		return nil, l.unlike(folded)
	}
	unknown := make(changes)
	l.number = folded
	for _, half := range []int{old, late} {
		if rows[half].last <= l.number {
			continue
		}
		if rows[half].first > l.number+1 {
			return nil, l.unlike(l.number + 1)
		}
		if _, err := l.readHalf(half, l.number, unknown); err != nil {
			return nil, err
		}
		l.number = rows[half].last
	}
	var err error
	if l.left, err = l.stale(l.number); err != nil {
		return nil, err
	}
	l.safe, l.folded, l.now, l.at = l.number, folded, old, 0
	l.lacks = [2]changes{{}, {}}
	return unknown, nil
}

// turn goes on in the other half, which must be empty.
func (l *writeLog) turn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full[l.now] = l.number
	l.now, l.at = 1-l.now, 0
}

// mustFold says whether the half that waits is to be folded now, and up to which record: when the
// other is three quarters full, or at once. It is the caller's to fold it then.
func (l *writeLog) mustFold(atOnce bool) (half int, last uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	half = 1 - l.now
	if l.full[half] == 0 || l.folding[half] || !atOnce && l.at < l.half/4*3 {
		return 0, 0, false
	}
	l.folding[half] = true
	return half, l.full[half], true
}

// settle waits until no half is being folded, and says whether the one that is written has
// records that the database lacks.
func (l *writeLog) settle() (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.folding[0] || l.folding[1] {
		l.changed.Wait()
	}
	return l.number > l.folded
}

// foldedTo notes that a half is folded, up to a record; 0: it could not be.
func (l *writeLog) foldedTo(half int, last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.folded, l.folding[half] = max(l.folded, last), false
	if last > 0 {
		l.full[half] = 0
	}
	l.changed.Broadcast()
}

// sync writes the buffer and makes it safe.
func (l *writeLog) sync() error {
	if _, err := l.file.WriteAt(l.buffer, l.offset(l.now)+int64(l.at)); err != nil {
		return err // it names the path
	}
	if err := fdatasync(l.file); err != nil {
		return fmt.Errorf("writing %s: %w", l.path, err)
	}
	l.at += len(l.buffer)
	l.buffer, l.safe = l.buffer[:0], l.number
	for _, c := range l.news {
		delete(l.lacks[1-l.now], c.name) // the fold of that half need not do it any more
		l.lacks[l.now][c.name] = c.value
	}
	clear(l.news)
	l.news = l.news[:0]
	return nil
}

// take hands over what the database lacks of a half.
func (l *writeLog) take(half int) changes {
	c := l.lacks[half]
	l.lacks[half] = make(changes)
	return c
}

// check says whether the records of a half are still there, up to its last.
func (l *writeLog) check(half int, last uint64) error {
	found, err := l.readHalf(half, math.MaxUint64, nil)
	if err == nil && found.last != last {
		err = damage(l.path, errors.New("it was changed by somebody else while it was in use"))
	}
	return err
}
