package place

import (
	"errors"
	"maps"
	"os"
	"runtime"
	"syscall"
)

// unsynced is what may not survive a power cut.
type unsynced struct {
	files map[int]bool // entries
	dirs  map[string]bool
	all   bool // too many to be listed
}

// manyFiles is from how many files and directories on a whole file system is synced at once, where that is possible.
// Each alone takes a few milliseconds. A guess.
const manyFiles = 64

// touchFile notes that a file was written.
func (p *Place) touchFile(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsynced.add(unsynced{files: map[int]bool{i: true}})
}

// touchDir notes that something was made in a directory.
func (p *Place) touchDir(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsynced.add(unsynced{dirs: map[string]bool{path: true}})
}

// add adds what another one has.
func (u *unsynced) add(v unsynced) {
	if u.all || v.all {
		*u = unsynced{all: true}
		return
	}
	if u.files == nil {
		u.files, u.dirs = map[int]bool{}, map[string]bool{}
	}
	maps.Copy(u.files, v.files)
	maps.Copy(u.dirs, v.dirs)
	if flushesAll && len(u.files)+len(u.dirs) > manyFiles {
		*u = unsynced{all: true}
	}
}

// Touch notes that a part of the virtual stream may not survive a power cut, as what another process has written.
func (p *Place) Touch(offset, length int64) {
	for s := range p.m.Spans(offset, length) {
		p.touchFile(s.Entry)
		for dir, more := p.m.Entry(s.Entry).Path, true; more; more = dir != "" {
			dir, _ = split(dir)
			p.touchDir(dir)
		}
	}
}

// Sync makes sure that what earlier calls of WriteAt have written, and Touch has named, survives a power cut. After an error what was
// written since the last good Sync may be lost, even if it can still be read: write it again.
func (p *Place) Sync() error {
	p.mu.Lock()
	u, err := p.unsynced, p.closeFail
	p.unsynced, p.closeFail = unsynced{}, nil
	p.mu.Unlock()
	if err := errors.Join(err, p.sync(u)); err != nil {
		p.mu.Lock()
		p.unsynced.add(u)
		p.mu.Unlock()
		return err
	}
	return nil
}

func (p *Place) sync(u unsynced) error {
	if u.all {
		return flushAll(p.rootFile)
	}
	for i := range u.files {
		if err := p.syncFile(i); err != nil {
			return err
		}
	}
	for path := range u.dirs {
		if err := p.syncPath(path); err != nil {
			return err
		}
	}
	return flushDrive(p.rootFile)
}

// syncFile opens the file anew, since those that are open belong to another goroutine.
func (p *Place) syncFile(i int) error {
	e := p.m.Entry(i)
	dir, name := split(e.Path)
	r, err := p.enterPath(dir, false)
	if err != nil {
		return err
	}
	defer r.Close() // nothing was written
	f, _, err := p.again(r, name, e)
	if err != nil {
		return err
	}
	return errors.Join(flush(f), f.Close())
}

func (p *Place) syncPath(dir string) error {
	r, err := p.enterPath(dir, false)
	if err != nil {
		return err
	}
	defer r.Close() // nothing was written
	d, err := r.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return syncDir(d)
}

// syncDir makes what was made or renamed in a directory last. Windows has no such call, and some
// file systems refuse it.
func syncDir(d *os.File) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	if err := flush(d); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
