package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
)

// Bucket is a part of the database; its name is the bucket's in the file.
type Bucket string

// The buckets. Their writers define the keys and values.
const (
	Unsettled Bucket = "Outbox"  // messages without a receipt
	Custody   Bucket = "Custody" // messages kept for others
	Peers     Bucket = "Peers"   // records of peers met
	Pins      Bucket = "Pins"    // the keys that we hold peers to
	Self      Bucket = "Self"    // what this peer remembers of itself, mostly numbers
	Removed   Bucket = "Removed" // removals from a private network
	Tickets   Bucket = "Tickets" // that this peer has given out
	Ignored   Bucket = "Ignored" // peers whose messages are not shown, by key

	marks Bucket = "Marks" // by sender: encoded marks
	about Bucket = "About" // what the database is, and the digests of the other buckets
)

// contents are the buckets with records. The log knows them by their places here, so new ones
// come last.
var contents = []Bucket{Unsettled, Custody, Peers, Self, marks, Ignored, Removed, Tickets, Pins}

// contentsOf are those of a database of a format.
func contentsOf(number uint64) []Bucket {
	if number < 4 {
		return contents[:5]
	}
	return contents
}

// known says that b is one that callers may name.
func (b Bucket) known() bool { return b != marks && isContent(string(b)) }

const (
	// format is the number of the database. In format 1 marks knew one run of a sender; format 2
	// had no log, format 3 neither pins nor what belongs to private networks, and format 4 no history.
	// [Store.upgrade] makes them this one.
	format       = 5
	oldFormat    = 1
	logSince     = 3 // the first format with a log
	historySince = 5 // and with a history

	// Keys of numbers in about; its other keys are names of buckets. The second is the number of
	// the transaction that wrote last, which the metas know too: a root that a disk has not
	// written would otherwise pass for the one it was. The third is that of the last record of
	// the log that was folded, and the fourth one more than that of the history; 0: it has not been made.
	formatKey      = "format"
	transactionKey = "transaction"
	foldedKey      = "folded"
	saidKey        = "said"

	// maxKey and maxValue are bbolt's limits, the latter less what is added here.
	maxKey   = 32768
	maxValue = (1<<31 - 2) - crcSize
	crcSize  = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal is the record of a value: the CRC-32C of key and value, and the value.
func seal(key, value []byte) []byte {
	record := make([]byte, crcSize, crcSize+len(value))
	record = append(record, value...)
	binary.BigEndian.PutUint32(record, checksum(key, value))
	return record
}

// unseal returns the value in a record, as a part of it.
func unseal(key, record []byte) ([]byte, error) {
	if len(record) < crcSize {
		return nil, errors.New("a record is too short")
	}
	value := record[crcSize:]
	if checksum(key, value) != binary.BigEndian.Uint32(record) {
		return nil, errors.New("a record is not what was written")
	}
	return value, nil
}

func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// digest is what a bucket holds in sum. Checksums of records don't tell of those
// that are gone; their number and the sum of their checksums do.
type digest struct{ count, sum uint64 }

func (d digest) add(record []byte) digest {
	return digest{d.count + 1, d.sum + uint64(binary.BigEndian.Uint32(record))}
}

func (d digest) remove(record []byte) digest {
	return digest{d.count - 1, d.sum - uint64(binary.BigEndian.Uint32(record))}
}

func (d digest) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, d.count), d.sum)
}

func decodeDigest(b []byte) (digest, error) {
	if len(b) != 16 {
		return digest{}, errors.New("the digest of a bucket has a wrong length")
	}
	return digest{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}

func encodeNumber(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func decodeNumber(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, errors.New("a number has a wrong length")
	}
	return binary.BigEndian.Uint64(b), nil
}

// NumberOp stores a number that this peer remembers of itself.
func NumberOp(name string, number uint64) Op {
	return Op{Bucket: Self, Key: []byte(name), Value: encodeNumber(number)}
}

// isContent says that name is that of a bucket with records of its own.
func isContent(name string) bool { return slices.Contains(contents, Bucket(name)) }

// A slot is a header, or a note of fixed size. All are at multiples of their size, so that none lies in
// two sectors.
const (
	slotSize = 64
	sumAt    = slotSize - crcSize
	// ringSlots sets the size of the log and of the history's files; tests have smaller ones.
	ringSlots = 16384
)

// seal64 sets the checksum of a slot.
func seal64(slot []byte) {
	binary.BigEndian.PutUint32(slot[sumAt:], crc32.Checksum(slot[:sumAt], castagnoli))
}

func sealed(slot []byte) bool {
	return crc32.Checksum(slot[:sumAt], castagnoli) == binary.BigEndian.Uint32(slot[sumAt:])
}

func align(n int) int { return (n + recordAlign - 1) / recordAlign * recordAlign }
