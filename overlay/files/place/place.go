// Package place keeps the files of a transfer on the receiver's disk. While they come they lie in a
// directory of their own, the part directory, which nobody else can write to; at the end each
// top-level entry is renamed to its name in the target directory, never over something that is there.
//
// The sender has chosen names, sizes and contents, and other users may be able to write to the target
// directory. So all is done below open directories (os.Root), nothing follows a link, and files are
// made, or are regular and have no other name.
package place

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"quicpeer/overlay/files/manifest"
)

// maxOpen is how many files stay open between calls: enough for a chunk that ends one file and
// begins another. A guess.
const maxOpen = 4

// Place is a transfer's files. One goroutine at a time may call its methods, but for Sync, which
// may run together with WriteAt and ReadAt.
type Place struct {
	m    *manifest.Manifest
	path string // of the target directory, absolute
	part string // the part directory's name in it

	dir, root         *os.Root // the target directory, and the part directory
	dirFile, rootFile *os.File // the same

	open []*handle // of files, the one used last at the end
	here *os.Root  // a directory below root, for the next file in it
	at   string    // its path

	names *names // what the top-level entries are called at the end

	mu        sync.Mutex
	unsynced  unsynced
	closeFail error // of a file that was closed since the last Sync
}

// handle is an open file.
type handle struct {
	entry int
	file  *os.File
	size  int64
}

// ForeignError: something in the part directory, or the directory itself, was not made by us, or
// was replaced or changed since.
type ForeignError struct {
	Path string
	Why  string // a clause
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s was changed or made by somebody else: %s; move it away, and the transfer begins anew", e.Path, e.Why)
}

// Open makes the directory part in dir, or finds it again. One that somebody else may have made,
// or that holds links or other things that are not files, is refused with a *ForeignError.
func Open(dir, part string, m *manifest.Manifest) (*Place, error) {
	if part == "." || !filepath.IsLocal(part) || strings.ContainsAny(part, `/\`) {
		return nil, fmt.Errorf("place: %q is not a name of a directory", part)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	p := &Place{m: m, path: dir, part: part, names: &names{}}
	if err := p.openRoots(); err != nil {
		return nil, errors.Join(err, p.release())
	}
	return p, nil
}

func (p *Place) openRoots() (err error) {
	if p.dir, err = os.OpenRoot(p.path); err != nil {
		return err
	}
	if p.dirFile, err = p.dir.Open("."); err != nil {
		return err
	}
	err = p.dir.Mkdir(p.part, 0o700)
	found := errors.Is(err, fs.ErrExist)
	if err != nil && !found {
		return err
	}
	if !found {
		if err := syncDir(p.dirFile); err != nil {
			return err
		}
	}
	if p.root, err = enter(p.dir, p.part); err != nil {
		return err
	}
	if p.rootFile, err = p.root.Open("."); err != nil {
		return err
	}
	if err := p.inspectOwner(); err != nil {
		return err
	}
	if found {
		if err := p.inspect(); err != nil {
			return err
		}
	}
	return p.readNames()
}

// inspect judges what is in a part directory that was there already.
func (p *Place) inspect() error {
	return fs.WalkDir(p.root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !d.Type().IsRegular() {
			err = p.foreign(path, "it is not a regular file")
		}
		return err
	})
}

// inspectOwner compares the part directory with one that we make within it: some file systems give
// all files one owner or mode.
func (p *Place) inspectOwner() error {
	const probe = ".quicpeer-part-probe"
	if err := p.root.Remove(probe); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := p.root.Mkdir(probe, 0o700); err != nil {
		return err
	}
	ours, err := p.root.Lstat(probe)
	if err := errors.Join(err, p.root.Remove(probe)); err != nil {
		return err
	}
	info, err := p.root.Stat(".")
	if err != nil {
		return err
	}
	const others = 0o022 // may write
	switch {
	case owner(info) != owner(ours):
		return p.foreign("", "it belongs to another user")
	case info.Mode().Perm()&^ours.Mode().Perm()&others != 0:
		return p.foreign("", "other users may write to it")
	}
	return nil
}

// foreign is about a path in the part directory, or about that itself.
func (p *Place) foreign(path, why string) error {
	return &ForeignError{Path: filepath.Join(p.path, p.part, filepath.FromSlash(path)), Why: why}
}

// enter opens a directory, and follows no link.
func enter(r *os.Root, name string) (*os.Root, error) {
	info, err := r.Lstat(name)
	if err != nil {
		return nil, err
	}
	foreign := &ForeignError{Path: filepath.Join(r.Name(), name), Why: "it is not a directory"}
	if !info.IsDir() {
		return nil, foreign
	}
	sub, err := r.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	if opened, err := sub.Stat("."); err != nil || !os.SameFile(info, opened) {
		sub.Close() // nothing was written
		return nil, foreign
	}
	return sub, nil
}

// enterPath opens a directory below the part directory. If create is set, those that are missing
// are made with the modes of the manifest.
func (p *Place) enterPath(dir string, create bool) (*os.Root, error) {
	r, err := p.root.OpenRoot(".")
	if err != nil || dir == "" {
		return r, err
	}
	parent := ""
	for name := range strings.SplitSeq(dir, "/") {
		child := path.Join(parent, name)
		sub, err := enter(r, name)
		if create && errors.Is(err, fs.ErrNotExist) {
			if err = r.Mkdir(name, p.mode(child)); err == nil {
				p.touchDir(parent)
				sub, err = enter(r, name)
			}
		}
		r.Close() // nothing was written
		if err != nil {
			return nil, err
		}
		r, parent = sub, child
	}
	return r, nil
}

// mode returns the mode for a directory of the manifest.
func (p *Place) mode(dir string) fs.FileMode {
	i, _ := p.m.Find(dir)
	return p.m.Entry(i).Mode&0o755 | 0o700
}

// in returns a directory below the part directory, which is kept open for the next call.
func (p *Place) in(path string, create bool) (*os.Root, error) {
	if p.here != nil && p.at == path {
		return p.here, nil
	}
	r, err := p.enterPath(path, create)
	if err != nil {
		return nil, err
	}
	if p.here != nil {
		p.here.Close() // nothing was written
	}
	p.here, p.at = r, path
	return r, nil
}

// file opens a file. If create is set, it may be made, with the mode of the manifest as far as
// this process's umask allows.
func (p *Place) file(i int, create bool) (*handle, error) {
	for k, h := range p.open {
		if h.entry == i {
			p.open = append(append(p.open[:k], p.open[k+1:]...), h)
			return h, nil
		}
	}
	e := p.m.Entry(i)
	dir, name := split(e.Path)
	r, err := p.in(dir, create)
	if err != nil {
		return nil, err
	}
	var f *os.File
	var size int64
	err = fs.ErrExist
	if create {
		f, err = r.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, e.Mode&0o755|0o600)
	}
	switch {
	case err == nil:
		p.touchFile(i)
		p.touchDir(dir)
	case errors.Is(err, fs.ErrExist):
		if f, size, err = p.again(r, name, e); err != nil {
			return nil, err
		}
	default:
		return nil, err
	}
	if len(p.open) == maxOpen {
		p.close(p.open[0])
		p.open = p.open[:copy(p.open, p.open[1:])]
	}
	h := &handle{entry: i, file: f, size: size}
	p.open = append(p.open, h)
	return h, nil
}

// again opens a file that was made earlier.
func (p *Place) again(r *os.Root, name string, e manifest.Entry) (*os.File, int64, error) {
	info, err := r.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if err := p.judge(info, e); err != nil {
		return nil, 0, err
	}
	f, err := r.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, err
	}
	opened, err := f.Stat()
	if err != nil || !os.SameFile(info, opened) {
		f.Close() // nothing was written
		return nil, 0, p.foreign(e.Path, "it was replaced")
	}
	return f, opened.Size(), nil
}

// judge refuses a file that can't be the one of the entry.
func (p *Place) judge(info fs.FileInfo, e manifest.Entry) error {
	switch {
	case !info.Mode().IsRegular():
		return p.foreign(e.Path, "it is not a regular file")
	case linked(info):
		return p.foreign(e.Path, "it has another name as well")
	case info.Size() > e.Size:
		return p.foreign(e.Path, "it is larger than the file to be received")
	}
	return nil
}

// close closes a file. Some file systems write only then, and a disk may be full.
func (p *Place) close(h *handle) {
	if err := h.file.Close(); err != nil {
		p.mu.Lock()
		p.closeFail = errors.Join(p.closeFail, err)
		p.mu.Unlock()
	}
}

func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// WriteAt writes a part of the virtual stream. After an error, what part of it was written is not
// known; it can be written again, when a full disk has room.
func (p *Place) WriteAt(b []byte, offset int64) error {
	if err := p.inRange(b, offset); err != nil {
		return err
	}
	for s := range p.m.Spans(offset, int64(len(b))) {
		h, err := p.file(s.Entry, true)
		if err != nil {
			return err
		}
		err = h.write(b[:s.Length], s.Offset, p.m.Start(s.Entry+1)-p.m.Start(s.Entry))
		p.touchFile(s.Entry) // also after an error: some of it may be written
		if err != nil {
			return err
		}
		b = b[s.Length:]
	}
	return nil
}

func (p *Place) inRange(b []byte, offset int64) error {
	if offset < 0 || offset > p.m.Size()-int64(len(b)) {
		return fmt.Errorf("place: %d bytes at %d are not in a transfer of %d", len(b), offset, p.m.Size())
	}
	return nil
}

// hole is how many zeros become a hole in the file, where nothing was written before: as many as the
// blocks of those file systems have that have large ones.
const hole = 64 << 10

var zeros [hole]byte

func isZero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }

// write writes to a file that will have so many bytes in all.
func (h *handle) write(b []byte, offset, whole int64) error {
	end := offset + int64(len(b))
	for len(b) > 0 {
		n := 0 // bytes until a hole
		for n < len(b) && (offset+int64(n) < h.size || !isZero(b[n:min(len(b), n+hole)])) {
			n = min(len(b), n+hole)
		}
		if n > 0 {
			if _, err := h.file.WriteAt(b[:n], offset); err != nil {
				return err
			}
			h.size = max(h.size, offset+int64(n))
		} else {
			n = min(len(b), hole)
		}
		b, offset = b[n:], offset+int64(n)
	}
	if end == whole && h.size < whole {
		if err := h.file.Truncate(whole); err != nil {
			return err
		}
		h.size = whole
	}
	return nil
}

// ReadAt reads a part of the virtual stream. A file that isn't there is an error that is
// fs.ErrNotExist; what was not written yet of one that is there reads as zeros.
func (p *Place) ReadAt(b []byte, offset int64) error {
	if err := p.inRange(b, offset); err != nil {
		return err
	}
	for s := range p.m.Spans(offset, int64(len(b))) {
		h, err := p.file(s.Entry, false)
		if err != nil {
			return err
		}
		n, err := h.file.ReadAt(b[:s.Length], s.Offset)
		if err != nil && err != io.EOF {
			return err
		}
		clear(b[n:s.Length])
		b = b[s.Length:]
	}
	return nil
}

// releaseFiles closes what is open below the part directory.
func (p *Place) releaseFiles() {
	for _, h := range p.open {
		p.close(h)
	}
	p.open = nil
	if p.here != nil {
		p.here.Close() // nothing was written
	}
	p.here, p.at = nil, ""
}

// release closes all.
func (p *Place) release() error {
	p.releaseFiles()
	p.names.close()
	p.mu.Lock()
	err := p.closeFail
	p.mu.Unlock()
	for _, f := range []*os.File{p.rootFile, p.dirFile} {
		if f != nil {
			f.Close() // nothing was written
		}
	}
	for _, r := range []*os.Root{p.root, p.dir} {
		if r != nil {
			r.Close()
		}
	}
	return err
}

// Remove removes the part directory with what is in it, and closes p. Files that have their names stay: after Finish, all.
func (p *Place) Remove() error {
	p.releaseFiles()
	err := p.removeParts()
	p.release() // of what is gone nothing can be lost
	return err
}

// removeParts removes the part directory. It is emptied through the open directory, and only then
// removed by its name, which may have become that of another one.
func (p *Place) removeParts() error {
	d, err := p.root.Open(".")
	if err != nil {
		return err
	}
	list, err := d.Readdirnames(-1)
	d.Close() // nothing was written
	if err != nil {
		return err
	}
	for _, name := range list {
		if err := p.root.RemoveAll(name); err != nil {
			return err
		}
	}
	p.names.close()
	p.rootFile.Close() // Windows removes nothing that is open
	p.root.Close()
	if err := p.dir.Remove(p.part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(p.dirFile)
}

// Close ends the use of p. The parts stay, for the next Open.
func (p *Place) Close() error { return p.release() }
