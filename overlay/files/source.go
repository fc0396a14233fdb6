package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"quicpeer/overlay/files/manifest"
	"quicpeer/pb"
)

// errChanged: what is sent is not any more what was offered.
var errChanged = errors.New("changed since it was offered")

// source reads the contents of an offer of ours, one chunk after the other.
type source struct {
	*book
	manifest *manifest.Manifest
	roots    []fs.FS
	dirs     directories

	open  fs.File // of the entry; nil: none is open
	entry int
	at    int64 // where a file that can't seek is
}

// openSource opens the contents of an offer of ours.
func (t *transfer) openSource(m *manifest.Manifest) (*source, error) {
	s := &source{book: t.book, manifest: m, entry: -1, dirs: directories{}}
	for _, r := range t.roots {
		s.roots = append(s.roots, r.FS)
	}
	for _, p := range t.Sources {
		root, err := s.dirs.fsOf(p.Dir)
		if err != nil {
			s.release()
			return nil, err
		}
		s.roots = append(s.roots, root)
	}
	return s, nil
}

func (s *source) release() {
	s.leave()
	s.dirs.closeAll()
}

// directories are those of sources, each open once: most often many are in the same.
type directories map[string]*os.Root

func (d directories) fsOf(dir string) (fs.FS, error) {
	if r := d[dir]; r != nil {
		return r.FS(), nil
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d[dir] = r
	return r.FS(), nil
}

func (d directories) closeAll() {
	for _, r := range d {
		_ = r.Close() // it was only read
	}
}

func (s *source) leave() {
	if s.open != nil {
		_ = s.open.Close()
		s.open = nil
	}
}

// chunk reads a chunk into b, which has room for it, and returns its bytes. A file that is not as it was offered is errChanged.
func (s *source) chunk(i int64, b []byte) ([]byte, error) {
	offset := i * pb.FileChunk
	b = b[:min(pb.FileChunk, s.manifest.Size()-offset)]
	at := 0
	for span := range s.manifest.Spans(offset, int64(len(b))) {
		if err := s.read(span, b[at:at+int(span.Length)]); err != nil {
			e := s.manifest.Entry(span.Entry)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errChanged
			}
			if errors.Is(err, errChanged) {
				return nil, fmt.Errorf("%s has %w", e.Path, errChanged)
			}
			return nil, fmt.Errorf("%s: %w", e.Path, err)
		}
		at += int(span.Length)
	}
	return b, nil
}

// read reads a part of a file, which must be what it was before and after that.
func (s *source) read(span manifest.Span, b []byte) error {
	e := s.manifest.Entry(span.Entry)
	if s.entry != span.Entry || s.open == nil {
		s.leave()
		root, name := s.manifest.Source(span.Entry)
		if info, err := fs.Stat(s.roots[root], name); err != nil {
			return err
		} else if !manifest.IsSame(e, info) { // opening a pipe would wait
			return errChanged
		}
		file, err := s.roots[root].Open(name)
		if err != nil {
			return err
		}
		s.open, s.entry, s.at = file, span.Entry, 0
		if err := s.check(e); err != nil {
			return err
		}
	}
	if err := s.readAt(b, span.Offset); err != nil {
		return err
	}
	if err := s.check(e); err != nil {
		return err
	}
	if span.Offset+span.Length == e.Size {
		s.leave()
	}
	return nil
}

// check looks whether the open file is what was offered.
func (s *source) check(e manifest.Entry) error {
	info, err := s.open.Stat()
	if err != nil {
		return err
	}
	if !manifest.IsSame(e, info) {
		return errChanged
	}
	return nil
}

func (s *source) readAt(b []byte, offset int64) error {
	var err error
	switch file := s.open.(type) {
	case io.ReaderAt:
		var n int
		if n, err = file.ReadAt(b, offset); n == len(b) {
			err = nil
		}
	default:
		if seeker, ok := file.(io.Seeker); ok && s.at != offset {
			if _, err := seeker.Seek(offset, io.SeekStart); err != nil {
				return err
			}
		} else if s.at < offset {
			if _, err := io.CopyN(io.Discard, file, offset-s.at); err != nil {
				return err
			}
		} else if s.at > offset {
			return errors.New("it can't be read again from an earlier place")
		}
		_, err = io.ReadFull(file, b)
		s.at = offset + int64(len(b))
	}
	return err
}
