// Package manifest describes what a transfer of files consists of: a list of files and directories
// with their sizes, permissions and times, but without their contents. The sender builds it from its
// files; the receiver decodes it, and takes nothing in it for granted.
//
// Encoded it is a FileManifest of pb/quicpeer.proto. Its entries are sorted as [fs.WalkDir] visits
// them, so a directory comes before its contents, and each directory is listed itself. The contents
// of all files, one behind the other in this order, are one virtual stream of bytes, which is what
// is transferred.
package manifest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"sort"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of a manifest.
const (
	MaxEntries = 1 << 17  // files and directories
	MaxEncoded = 32 << 20 // bytes
	MaxSize    = 1 << 62  // bytes of all files
)

// Entry is a file or a directory.
type Entry struct {
	Path    string // relative, with slashes
	Dir     bool
	Size    int64       // of a file, in bytes
	Mode    fs.FileMode // permission bits
	ModTime time.Time   // zero: not known
	Inode   uint64      // only where the manifest was built; 0: not known
}

// Manifest is immutable. It holds the encoded bytes and about 12 bytes for each entry.
type Manifest struct {
	encoded []byte
	hash    [sha256.Size]byte
	at      []uint32 // where the entries are in encoded
	ends    []int64  // where their contents end in the virtual stream
	source  *source  // nil if it was decoded
}

// Len returns the number of entries.
func (m *Manifest) Len() int { return len(m.at) }

// Entry returns entry i.
func (m *Manifest) Entry(i int) Entry {
	b, _ := protowire.ConsumeBytes(m.encoded[m.at[i]:])
	e, err := decodeEntry(b)
	if err != nil {
		panic("manifest: an entry changed after it was checked")
	}
	if m.source != nil {
		e.Inode = m.source.inodes[i]
	}
	return e
}

// Size returns the sum of the sizes of all files.
func (m *Manifest) Size() int64 {
	if len(m.ends) == 0 {
		return 0
	}
	return m.ends[len(m.ends)-1]
}

// Start returns where the contents of entry i begin in the virtual stream.
func (m *Manifest) Start(i int) int64 {
	if i == 0 {
		return 0
	}
	return m.ends[i-1]
}

// Find returns the number of the entry with a path.
func (m *Manifest) Find(path string) (i int, found bool) {
	return sort.Find(m.Len(), func(i int) int { return compare(path, m.Entry(i).Path) })
}

// Tops returns the names of the entries at the top level, in order.
func (m *Manifest) Tops() []string {
	var tops []string
	for i := range m.at {
		if path := m.Entry(i).Path; !strings.Contains(path, "/") {
			tops = append(tops, path)
		}
	}
	return tops
}

// Encode returns the encoded manifest, which must not be changed.
func (m *Manifest) Encode() []byte { return m.encoded }

// Hash returns the SHA-256 of the encoded manifest.
func (m *Manifest) Hash() [32]byte { return m.hash }

// Span is a part of a file.
type Span struct {
	Entry  int
	Offset int64 // in the file
	Length int64
}

// Spans yields the parts of files that a part of the virtual stream consists of, in order. Empty
// files are in none. What lies outside the stream is left out.
func (m *Manifest) Spans(offset, length int64) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		if offset < 0 || length <= 0 || offset >= m.Size() {
			return
		}
		length := min(length, m.Size()-offset)
		at := offset
		for i := sort.Search(len(m.ends), func(i int) bool { return m.ends[i] > at }); length > 0; i++ {
			s := Span{Entry: i, Offset: at - m.Start(i), Length: min(length, m.ends[i]-at)}
			if s.Length > 0 && !yield(s) {
				return
			}
			at += s.Length
			length -= s.Length
		}
	}
}

// Fields of FileManifest and FileEntry in pb/quicpeer.proto.
const (
	fieldEntries = 1

	fieldPath     = 1
	fieldDir      = 2
	fieldSize     = 3
	fieldMode     = 4
	fieldModified = 5
)

// appendEntry appends an entry to an encoded manifest.
func appendEntry(b []byte, e Entry) []byte {
	var entry []byte
	number := func(field protowire.Number, n uint64) {
		entry = protowire.AppendTag(entry, field, protowire.VarintType)
		entry = protowire.AppendVarint(entry, n)
	}
	entry = make([]byte, 0, len(e.Path)+32)
	entry = protowire.AppendTag(entry, fieldPath, protowire.BytesType)
	entry = protowire.AppendString(entry, e.Path)
	if e.Dir {
		number(fieldDir, 1)
	}
	if e.Size != 0 {
		number(fieldSize, uint64(e.Size))
	}
	if e.Mode != 0 {
		number(fieldMode, uint64(e.Mode&fs.ModePerm))
	}
	if t := storable(e.ModTime); !t.IsZero() {
		number(fieldModified, uint64(t.UnixNano()))
	}
	b = protowire.AppendTag(b, fieldEntries, protowire.BytesType)
	return protowire.AppendBytes(b, entry)
}

// storable is a time, or zero if nanoseconds since 1970 can't be it: from 1678 to 2262 they can.
func storable(t time.Time) time.Time {
	if !t.IsZero() && time.Unix(0, t.UnixNano()).Equal(t) {
		return t
	}
	return time.Time{}
}

var errEncoding = errors.New("the manifest is not a valid FileManifest")

func decodeEntry(b []byte) (e Entry, err error) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return e, errEncoding
		}
		b = b[n:]
		switch {
		case field > fieldModified:
			n = protowire.ConsumeFieldValue(field, kind, b)
		case field == fieldPath && kind == protowire.BytesType:
			var path []byte
			path, n = protowire.ConsumeBytes(b)
			e.Path = string(path)
		case field != fieldPath && kind == protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(b)
			switch field {
			case fieldDir:
				e.Dir = v != 0
			case fieldSize:
				e.Size = int64(v)
			case fieldMode:
				e.Mode = fs.FileMode(v) & fs.ModePerm
			case fieldModified:
				e.ModTime = time.Unix(0, int64(v))
			}
		default:
			return e, errEncoding
		}
		if n < 0 {
			return e, errEncoding
		}
		b = b[n:]
	}
	return e, nil
}

// Decode checks an encoded manifest and returns it. It keeps b, which must not be changed after
// that. The errors name the entry and the rule that it breaks.
func Decode(b []byte) (*Manifest, error) {
	if len(b) > MaxEncoded {
		return nil, fmt.Errorf("the manifest has %d bytes, more than %d", len(b), MaxEncoded)
	}
	m := &Manifest{encoded: b}
	c := checker{open: []directory{{}}}
	for at := 0; at < len(b); {
		field, kind, n := protowire.ConsumeTag(b[at:])
		if n < 0 || field == fieldEntries && kind != protowire.BytesType {
			return nil, errEncoding
		}
		at += n
		if field != fieldEntries {
			if n = protowire.ConsumeFieldValue(field, kind, b[at:]); n < 0 {
				return nil, errEncoding
			}
			at += n
			continue
		}
		if len(m.at) == MaxEntries {
			return nil, fmt.Errorf("the manifest has more than %d entries", MaxEntries)
		}
		entry, n := protowire.ConsumeBytes(b[at:])
		if n < 0 {
			return nil, errEncoding
		}
		e, err := decodeEntry(entry)
		if err != nil {
			return nil, err
		}
		if rule := c.broken(e); rule != "" {
			return nil, &NameError{Path: e.Path, Rule: rule}
		}
		m.at = append(m.at, uint32(at))
		m.ends = append(m.ends, c.size)
		at += n
	}
	if len(m.at) == 0 {
		return nil, errors.New("the manifest is empty")
	}
	m.at, m.ends = slices.Clip(m.at), slices.Clip(m.ends)
	m.hash = sha256.Sum256(b)
	return m, nil
}

// checker judges one entry after the other.
type checker struct {
	last string      // path of the entry before
	open []directory // those on the way to it, from the top level on
	size int64       // of all files so far
}

// directory is one whose contents are being listed.
type directory struct {
	path  string
	names map[string]string // by their folded forms
}

// broken returns the rule that an entry breaks, and else takes it.
func (c *checker) broken(e Entry) string {
	if rule := broken(e.Path); rule != "" {
		return rule
	}
	switch {
	case e.Size < 0 || e.Size > MaxSize-c.size:
		return fmt.Sprintf("the sizes add up to more than %d bytes", int64(MaxSize))
	case e.Dir && e.Size != 0:
		return "a directory has a size"
	case c.last != "" && compare(c.last, e.Path) >= 0:
		return fmt.Sprintf("it is listed after %q, which is not the order", c.last)
	}
	parent, name := split(e.Path)
	for len(c.open) > 1 && c.open[len(c.open)-1].path != parent {
		c.open = c.open[:len(c.open)-1]
	}
	d := &c.open[len(c.open)-1]
	if d.path != parent {
		return "its directory is not listed as one"
	}
	if other := d.take(name); other != "" {
		return indistinct(other)
	}
	if e.Dir {
		c.open = append(c.open, directory{path: e.Path})
	}
	c.last = e.Path
	c.size += e.Size
	return ""
}

// take notes a name in a directory. If a system may take another one there for the same, it returns that.
func (d *directory) take(name string) (other string) {
	if d.names == nil {
		d.names = map[string]string{}
	}
	key := Fold(name)
	if other, taken := d.names[key]; taken {
		return other
	}
	d.names[key] = name
	return ""
}

func indistinct(other string) string {
	return fmt.Sprintf("some systems can't tell it from %q beside it", other)
}

func split(path string) (parent, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// compare orders paths as fs.WalkDir visits them: part by part.
func compare(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := a[i], b[i]; x != y {
			switch {
			case x == '/':
				return -1
			case y == '/':
				return 1
			}
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}
