package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt trusts its file: a damaged one makes it panic, or touch memory that does not exist, in
// goroutines of its own where nobody can recover. So the pages are read and checked here
// before bbolt maps them. Their format: integers are in the machine's order; all pages have
// the same size and may overflow into the next ones; the first two are the metas, of the
// latest transaction and of the one before; the root bucket's tree holds the other buckets,
// each of which is a tree too, or a page within its entry if it is small.
const (
	magic        = 0xED0CDAED
	boltVersion  = 2
	metaSize     = 64
	headerSize   = 16 // of pages; of buckets, too
	elementSize  = 16 // of branches and of leaves
	branchPage   = 1
	leafPage     = 2
	bucketFlag   = 1 // of an element of a leaf
	noFreelist   = 1<<64 - 1
	maxDepth     = 64      // far above what a tree of 2^64 bytes needs
	maxPageSize  = 1 << 20 // far above what any system has
	minPageSize  = 1 << 10
	firstContent = 2 // page behind the metas
)

var native = binary.NativeEndian

// pages is a file of bbolt. Its errors are damage, but for a *fs.PathError.
type pages struct {
	file  io.ReaderAt
	size  int    // of a page, in bytes
	count uint64 // below which pages may be in use
	root  uint64
	txid  uint64 // the latest transaction
	seen  []bool
	used  uint64
}

type meta struct {
	pageSize                    uint32
	root, freelist, pages, txid uint64
}

// readPages reads the metas. bbolt would do with one that is valid, and forget a
// transaction that was reported as safe if it was the later one that is damaged.
// Here both have to be: a meta fits into a sector, which disks write as a whole, so
// that even a crash of the machine leaves no half of it.
func readPages(f *os.File) (*pages, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	first, err := readMeta(f, 0)
	if err != nil {
		return nil, err
	}
	second, err := readMeta(f, int64(first.pageSize))
	if err != nil {
		return nil, err
	}
	last, before := first, second
	if second.txid > first.txid {
		last, before = second, first
	}
	switch {
	case first.pageSize != second.pageSize, first.txid%2 != 0, last.txid != before.txid+1:
		return nil, errors.New("its first pages don't belong together")
	case last.freelist != noFreelist:
		return nil, errors.New("it has a list of free pages")
	case last.pages > uint64(info.Size())/uint64(last.pageSize):
		return nil, errors.New("it is cut short")
	}
	return &pages{file: f, size: int(last.pageSize), count: last.pages, root: last.root, txid: last.txid, seen: make([]bool, last.pages)}, nil
}

func readMeta(f io.ReaderAt, at int64) (meta, error) {
	var page [headerSize + metaSize]byte
	if err := readFull(f, page[:], at); err != nil {
		return meta{}, err
	}
	b := page[headerSize:]
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	m := meta{native.Uint32(b[8:]), native.Uint64(b[16:]), native.Uint64(b[32:]), native.Uint64(b[40:]), native.Uint64(b[48:])}
	switch {
	case native.Uint32(b) != magic || native.Uint32(b[4:]) != boltVersion:
		return meta{}, errors.New("it is not a database")
	case native.Uint64(b[56:]) != sum.Sum64():
		return meta{}, errors.New("one of its first pages is not what was written")
	case m.pageSize < minPageSize || m.pageSize > maxPageSize || m.pageSize&(m.pageSize-1) != 0:
		return meta{}, fmt.Errorf("its pages have %d bytes", m.pageSize)
	}
	return m, nil
}

func readFull(f io.ReaderAt, b []byte, at int64) error {
	_, err := f.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		return errors.New("it is cut short")
	}
	return err
}

// read returns a page with its overflow. A page is read but once.
func (p *pages) read(id uint64) ([]byte, error) {
	if id < firstContent || id >= p.count {
		return nil, fmt.Errorf("page %d is outside", id)
	}
	page := make([]byte, p.size)
	if err := readFull(p.file, page, int64(id)*int64(p.size)); err != nil {
		return nil, err
	}
	overflow := uint64(native.Uint32(page[12:]))
	if native.Uint64(page) != id || overflow >= p.count-id {
		return nil, fmt.Errorf("page %d is not what was written", id)
	}
	for i := id; i <= id+overflow; i++ {
		if p.seen[i] {
			return nil, fmt.Errorf("page %d is in use twice", i)
		}
		p.seen[i] = true
		p.used++
	}
	if overflow == 0 {
		return page, nil
	}
	page = append(page, make([]byte, overflow*uint64(p.size))...)
	return page, readFull(p.file, page[p.size:], int64(id+1)*int64(p.size))
}

// buckets returns the root bucket: the other buckets by name.
func (p *pages) buckets() (map[string][]byte, error) {
	all := make(map[string][]byte)
	err := p.walk(p.root, maxDepth, nil, nil, func(flags uint32, key, value []byte) error {
		if flags != bucketFlag || len(value) < headerSize {
			return errors.New("there is a record outside of the buckets")
		}
		all[string(key)] = value
		return nil
	})
	return all, err
}

// records calls f for each record of a bucket.
func (p *pages) records(bucket []byte, f func(key, record []byte) error) error {
	visit := func(flags uint32, key, value []byte) error {
		if flags != 0 {
			return errors.New("there is a bucket in a bucket")
		}
		return f(key, value)
	}
	if root := native.Uint64(bucket); root != 0 {
		return p.walk(root, maxDepth, nil, nil, visit)
	}
	page := bucket[headerSize:]
	if len(page) < headerSize || native.Uint16(page[8:]) != leafPage {
		return errors.New("a small bucket is not what was written")
	}
	return leaf(page, nil, nil, visit)
}

type visitor func(flags uint32, key, value []byte) error

// walk calls visit for all elements of the tree below a page. Keys rise, from first to before
// limit; nil means unbounded.
func (p *pages) walk(id uint64, depth int, first, limit []byte, visit visitor) error {
	page, err := p.read(id)
	if err != nil {
		return err
	}
	switch kind := native.Uint16(page[8:]); {
	case kind == leafPage:
		return leaf(page, first, limit, visit)
	case kind != branchPage || depth == 0:
		return fmt.Errorf("page %d is of a wrong kind", id)
	}
	n := int(native.Uint16(page[10:]))
	if n == 0 {
		return fmt.Errorf("page %d is empty", id)
	}
	key, err := branchKey(page, 0)
	if err != nil {
		return err
	}
	if bytes.Compare(key, first) < 0 {
		return errors.New("keys are out of order")
	}
	for i := range n {
		next := limit
		if i+1 < n {
			if next, err = branchKey(page, i+1); err != nil {
				return err
			}
		}
		if next != nil && bytes.Compare(key, next) >= 0 {
			return errors.New("keys are out of order")
		}
		child := native.Uint64(page[headerSize+i*elementSize+8:])
		if err := p.walk(child, depth-1, key, next, visit); err != nil {
			return err
		}
		key = next
	}
	return nil
}

// branchKey is the key of an element of a branch.
func branchKey(page []byte, i int) ([]byte, error) {
	at := headerSize + i*elementSize
	if at+elementSize > len(page) {
		return nil, errors.New("a page has too many elements")
	}
	key, _, err := within(page, at, native.Uint32(page[at:]), native.Uint32(page[at+4:]), 0)
	return key, err
}

func leaf(page []byte, first, limit []byte, visit visitor) error {
	n := int(native.Uint16(page[10:]))
	if headerSize+n*elementSize > len(page) {
		return errors.New("a page has too many elements")
	}
	for i := range n {
		at := headerSize + i*elementSize
		key, value, err := within(page, at, native.Uint32(page[at+4:]), native.Uint32(page[at+8:]), native.Uint32(page[at+12:]))
		if err != nil {
			return err
		}
		order := bytes.Compare(key, first)
		if order < 0 || order == 0 && i > 0 || limit != nil && bytes.Compare(key, limit) >= 0 {
			return errors.New("keys are out of order")
		}
		if err := visit(native.Uint32(page[at:]), key, value); err != nil {
			return err
		}
		first = key
	}
	return nil
}

// within returns key and value of the element at an offset of a page, from which
// their position is counted.
func within(page []byte, at int, position, keySize, valueSize uint32) (key, value []byte, err error) {
	start := uint64(at) + uint64(position)
	middle := start + uint64(keySize)
	end := middle + uint64(valueSize)
	if keySize == 0 || end > uint64(len(page)) {
		return nil, nil, errors.New("an element is outside of its page")
	}
	return page[start:middle:middle], page[middle:end:end], nil
}
