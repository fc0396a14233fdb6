package place

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"quicpeer/overlay/files/manifest"
)

// Finishing reports that an earlier Finish has begun to give files their names. Then all contents
// were complete, some can no longer be read here, and Finish must be called again.
func (p *Place) Finishing() bool { return len(p.names.chosen) > 0 }

// Finish gives the files their times and names, and returns the paths of the top-level entries in
// order. It may be called again, after an error or a crash, and returns the same paths then, until
// Remove takes what it needs for that. The contents must be complete.
func (p *Place) Finish() (paths []string, err error) {
	if !p.Finishing() {
		if err := p.complete(); err != nil {
			return nil, err
		}
	}
	p.releaseFiles()
	paths, err = p.moveAll()
	if err != nil {
		// What could not be written of the names does not count.
		return nil, errors.Join(err, p.readNames())
	}
	return paths, nil
}

func (p *Place) moveAll() (paths []string, err error) {
	tops := p.m.Tops()
	if err := p.chooseNames(tops); err != nil {
		return nil, err
	}
	for _, top := range tops {
		if err := p.move(top); err != nil {
			return nil, err
		}
		paths = append(paths, filepath.Join(p.path, p.names.chosen[top]))
	}
	return paths, errors.Join(syncDir(p.dirFile), syncDir(p.rootFile), flushDrive(p.dirFile))
}

// complete makes what no content has made, checks the files, sets their times, and syncs all.
func (p *Place) complete() error {
	for i := range p.m.Len() {
		e := p.m.Entry(i)
		if e.Dir {
			if _, err := p.in(e.Path, true); err != nil {
				return err
			}
			p.touchDir(e.Path)
			continue
		}
		if err := p.completeFile(i, e); err != nil {
			return err
		}
	}
	p.releaseFiles()
	for i := range p.m.Len() { // nothing is made any more, which would change the times of directories
		e := p.m.Entry(i)
		dir, name := split(e.Path)
		if e.ModTime.IsZero() {
			continue
		}
		r, err := p.in(dir, false)
		if err != nil {
			return err
		}
		_ = r.Chtimes(name, time.Time{}, e.ModTime) // a file system that can't keep this time keeps its own
	}
	return p.Sync()
}

func (p *Place) completeFile(i int, e manifest.Entry) error {
	dir, name := split(e.Path)
	if e.Size == 0 {
		if _, err := p.file(i, true); err != nil {
			return err
		}
	}
	r, err := p.in(dir, false)
	if err != nil {
		return err
	}
	info, err := r.Lstat(name)
	if err != nil {
		return err
	}
	if err := p.judge(info, e); err != nil {
		return err
	}
	if info.Size() != e.Size {
		return fmt.Errorf("%s has %d bytes instead of %d", filepath.Join(p.path, p.part, e.Path), info.Size(), e.Size)
	}
	p.touchFile(i)
	p.touchDir(dir)
	return nil
}

// namesFile is in the part directory. The manifest has no such name. It has a line for each top-level
// entry: its name and the one that was chosen for it, both quoted. Of several lines the last one counts,
// and one that is not whole counts for nothing: what a line is about is not renamed before the line is safe.
const namesFile = ".quicpeer-part-names"

// maxNamesFile is the most bytes of it that are read: 131,072 lines of names of 255 bytes, quoted with two bytes for
// each. A guess.
const maxNamesFile = 128 << 20

type names struct {
	file   *os.File          // nil if there was none yet
	chosen map[string]string // by the name in the manifest
	taken  map[string]bool   // those chosen, and those in the manifest, folded
}

func (n *names) close() {
	if n.file != nil {
		n.file.Close() // it was synced
	}
}

// readNames reads the names that were chosen so far.
func (p *Place) readNames() error {
	p.names.close()
	p.names = &names{chosen: map[string]string{}}
	f, err := p.root.Open(namesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // nothing was written
	lines := bufio.NewReader(io.LimitReader(f, maxNamesFile))
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var top, name string
		if _, err := fmt.Sscanf(line, "%q %q\n", &top, &name); err == nil && manifest.Check(name) == nil && !strings.Contains(name, "/") {
			p.names.chosen[top] = name
		}
	}
}

// chooseNames chooses names for those top-level entries that have none yet, and makes them safe.
func (p *Place) chooseNames(tops []string) error {
	n := p.names
	if n.file == nil {
		var err error
		if n.file, err = p.root.OpenFile(namesFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
			return err
		}
		n.taken = map[string]bool{}
		for _, top := range tops {
			n.taken[manifest.Fold(top)] = true
		}
		for _, name := range n.chosen {
			n.taken[manifest.Fold(name)] = true
		}
	}
	lines := bufio.NewWriter(n.file)
	fmt.Fprintln(lines) // ends a line that a crash has cut
	for _, top := range tops {
		if n.chosen[top] != "" {
			continue
		}
		if err := p.choose(top, lines); err != nil {
			return err
		}
	}
	return errors.Join(lines.Flush(), n.file.Sync(), syncDir(p.rootFile))
}

// maxCopies is how many names are tried for a top-level entry.
const maxCopies = 1000

// choose chooses a name that is free, and writes it down.
func (p *Place) choose(top string, w io.Writer) error {
	info, err := p.root.Lstat(top)
	if err != nil {
		return err
	}
	for k := 1; k <= maxCopies; k++ {
		name := numbered(top, k, info.IsDir())
		if k > 1 && p.names.taken[manifest.Fold(name)] {
			continue
		}
		if _, err := p.dir.Lstat(name); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		p.names.chosen[top] = name
		p.names.taken[manifest.Fold(name)] = true
		_, err := fmt.Fprintf(w, "%q %q\n", top, name)
		return err
	}
	return fmt.Errorf("%s has %d entries named %q with a number already; move some away", p.path, maxCopies, top)
}

// numbered returns a name with a number before its extension: "name (2).tar.gz". The first is the name itself.
func numbered(name string, k int, isDir bool) string {
	if k == 1 {
		return name
	}
	ext := ""
	if !isDir {
		ext = path.Ext(name)
		if before := strings.TrimSuffix(name, ext); path.Ext(before) == ".tar" {
			ext = ".tar" + ext
		}
	}
	base := strings.TrimSuffix(name, ext)
	if base == "" || len(ext) > maxExt {
		base, ext = name, ""
	}
	number := fmt.Sprintf(" (%d)", k)
	for len(base)+len(number)+len(ext) > manifest.MaxPart {
		_, size := utf8.DecodeLastRuneInString(base)
		base = base[:len(base)-size]
	}
	return base + number + ext
}

// maxExt is the most bytes of an extension: what is longer is part of the name.
const maxExt = 32

// move renames a top-level entry to its chosen name, or to another one if that is taken meanwhile.
func (p *Place) move(top string) error {
	info, err := p.root.Lstat(top)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // done, since it was there when its name was chosen
	}
	for err == nil {
		name := p.names.chosen[top]
		err = moveNew(p.rootFile, top, p.dirFile, name, info.IsDir())
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if there, err := p.dir.Lstat(name); err == nil && os.SameFile(there, info) {
			return p.root.Remove(top) // a crash has left both names
		}
		if err = p.choose(top, p.names.file); err == nil {
			err = p.names.file.Sync()
		}
	}
	return err
}
