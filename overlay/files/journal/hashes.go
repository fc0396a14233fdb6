// Package journal keeps on disk what a transfer must know after a crash: the hashes of its chunks,
// and small records.
package journal

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"sync"

	"quicpeer/overlay/messaging/store"
)

// maxChunks is 64 TiB of chunks of 1 MiB, which no disk of a receiver holds. A guess.
const maxChunks = 1 << 26

// The file of hashes, with all numbers big-endian and all checksums CRC-32C. The header and each
// slot have a block of their own, so that a torn write harms one of them alone.
//
//	0      the magic words, the number of chunks (8 bytes), the checksum of both
//	4096   two slots, one at each 4096: the number of the checkpoint (8), where it is (8), and the
//	       checksum of the number of chunks and both. The slot with the higher number counts.
//	12288  for each chunk its hash (32), and the checksum of the chunk's number (8) and the hash.
//	       Zeros, or the end of the file: there is none.
const (
	magic      = "quicpeer hashes 1\n"
	block      = 4096
	hashesAt   = 3 * block
	headerSize = len(magic) + 8 + 4
	slotSize   = 8 + 8 + 4
	hashSize   = sha256.Size + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Hashes is the file of the hashes of a transfer's chunks. All its methods may run at the same time,
// but Checkpoint one at a time, and Close last.
type Hashes struct {
	file   *os.File
	chunks int64

	mu       sync.Mutex
	verified int64
	slot     uint64 // the number of the last checkpoint
}

// OpenHashes makes the file or finds it again. A file for another number of chunks is an error.
func OpenHashes(path string, chunks int64) (*Hashes, error) {
	if chunks < 0 || chunks > maxChunks {
		return nil, fmt.Errorf("a transfer of %d chunks is too large; at most %d are possible", chunks, maxChunks)
	}
	err := checkRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = store.ReplaceFile(path, header(chunks))
	}
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	h := &Hashes{file: f, chunks: chunks}
	if err := h.load(); err != nil {
		f.Close() // nothing was written
		return nil, err
	}
	return h, nil
}

func header(chunks int64) []byte {
	b := binary.BigEndian.AppendUint64([]byte(magic), uint64(chunks))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// load checks the shape of the file and reads the slots. With no slot that is whole, nothing is verified.
func (h *Hashes) load() error {
	b := make([]byte, headerSize)
	if _, err := h.readAt(b, 0); err != nil {
		return err
	}
	counted := b[:headerSize-4]
	switch {
	case string(b[:len(magic)]) != magic:
		return &DamagedError{h.file.Name(), errors.New("it is not a file of hashes")}
	case binary.BigEndian.Uint32(b[headerSize-4:]) != crc32.Checksum(counted, castagnoli):
		return &DamagedError{h.file.Name(), errors.New("the checksum of its header is wrong")}
	case string(b) != string(header(h.chunks)):
		return &DamagedError{h.file.Name(), fmt.Errorf("it is for %d chunks, not %d", binary.BigEndian.Uint64(counted[len(magic):]), h.chunks)}
	}
	info, err := h.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > hashesAt+h.chunks*int64(hashSize) {
		return &DamagedError{h.file.Name(), errors.New("there is something behind its end")}
	}
	for i := range 2 {
		slot := make([]byte, slotSize)
		if _, err := h.readAt(slot, int64(1+i)*block); err != nil {
			return err
		}
		number, n := binary.BigEndian.Uint64(slot), int64(binary.BigEndian.Uint64(slot[8:]))
		if number > h.slot && n >= 0 && n <= h.chunks && string(slot) == string(h.encodeSlot(number, n)) {
			h.slot, h.verified = number, n
		}
	}
	return nil
}

func (h *Hashes) encodeSlot(number uint64, n int64) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(h.chunks))
	b = binary.BigEndian.AppendUint64(b, number)
	b = binary.BigEndian.AppendUint64(b, uint64(n))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))[8:]
}

// readAt reads, with zeros behind the end of the file.
func (h *Hashes) readAt(b []byte, offset int64) (int, error) {
	n, err := h.file.ReadAt(b, offset)
	if err == io.EOF {
		clear(b[n:])
		n, err = len(b), nil
	}
	return n, err
}

func (h *Hashes) inRange(i, end int64) error {
	if i < 0 || i >= end {
		return fmt.Errorf("journal: chunk %d of %d", i, h.chunks)
	}
	return nil
}

// Set notes the hash of a chunk; zeros: there is none any more. It survives a kill at once, and a power cut after Checkpoint.
func (h *Hashes) Set(i int64, sum [32]byte) error {
	if err := h.inRange(i, h.chunks); err != nil {
		return err
	}
	_, err := h.file.WriteAt(encodeHash(i, sum), hashesAt+i*int64(hashSize))
	return err
}

func encodeHash(i int64, sum [32]byte) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+hashSize), uint64(i))
	b = append(b, sum[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))[8:]
}

// Get returns the hash of a chunk, if there is one. What a power cut has left of a hash behind the
// checkpoint is none.
func (h *Hashes) Get(i int64) (sum [32]byte, ok bool, err error) {
	if err := h.inRange(i, h.chunks); err != nil {
		return sum, false, err
	}
	var b [hashSize]byte
	if _, err := h.readAt(b[:], hashesAt+i*int64(hashSize)); err != nil {
		return sum, false, err
	}
	return h.decodeHash(i, b[:])
}

func (h *Hashes) decodeHash(i int64, b []byte) (sum [32]byte, ok bool, err error) {
	sum = [32]byte(b)
	if string(b) == string(encodeHash(i, sum)) && sum != [32]byte{} {
		return sum, true, nil
	}
	if i < h.Verified() {
		return [32]byte{}, false, &DamagedError{h.file.Name(), fmt.Errorf("the hash of chunk %d is missing or has a wrong checksum", i)}
	}
	return [32]byte{}, false, nil
}

// Verified returns the last checkpoint: chunks [0, n) are known to be on disk, after a power cut too.
func (h *Hashes) Verified() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.verified
}

// Checkpoint makes the hashes of chunks [0, n) safe, then n itself. The caller has made the chunks
// safe before. It may also be lower than the last checkpoint.
func (h *Hashes) Checkpoint(n int64) error {
	if err := h.inRange(n, h.chunks+1); err != nil {
		return err
	}
	if err := fdatasync(h.file); err != nil {
		return &fs.PathError{Op: "sync", Path: h.file.Name(), Err: err}
	}
	h.mu.Lock()
	number := h.slot + 1
	h.mu.Unlock()
	if _, err := h.file.WriteAt(h.encodeSlot(number, n), int64(1+number%2)*block); err != nil {
		return err
	}
	if err := fdatasync(h.file); err != nil {
		return &fs.PathError{Op: "sync", Path: h.file.Name(), Err: err}
	}
	h.mu.Lock()
	h.slot, h.verified = number, n
	h.mu.Unlock()
	return nil
}

// Root returns the SHA-256 over the manifest's hash and those of all chunks. If some have none,
// missing is the first of them, otherwise -1.
func (h *Hashes) Root(manifest [32]byte) (root [32]byte, missing int64, err error) {
	sums := sha256.New()
	sums.Write(manifest[:])
	r := bufio.NewReaderSize(io.NewSectionReader(h.file, hashesAt, h.chunks*int64(hashSize)), 64<<10)
	for i := range h.chunks {
		var b [hashSize]byte
		if _, err := io.ReadFull(r, b[:]); err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return root, 0, err
		}
		sum, ok, err := h.decodeHash(i, b[:])
		if !ok || err != nil {
			return root, i, err
		}
		sums.Write(sum[:])
	}
	return [32]byte(sums.Sum(nil)), -1, nil
}

// Close closes the file.
func (h *Hashes) Close() error { return h.file.Close() }
