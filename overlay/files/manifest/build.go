package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Root is something to send: a file, or a directory with all that is in it.
type Root struct {
	FS   fs.FS
	Name string // its path in FS
	As   string // its name for the receiver; empty: the base of Name
}

// Skipped is something that is not sent.
type Skipped struct {
	Path string // as it would be in the manifest
	Why  string // a clause
}

// source says where the entries of a manifest that was built here come from.
type source struct {
	inodes []uint64
	tops   []top
	names  map[int]string // paths within their FS that don't follow from those in the manifest
}

// top is a root and the number of its first entry.
type top struct {
	first, root int
	name, as    string
}

// Source returns where an entry of a manifest that was built here comes from: the number of the
// root, as it was given to Build, and the path in its FS.
func (m *Manifest) Source(i int) (root int, name string) {
	s := m.source
	t := s.tops[sort.Search(len(s.tops), func(k int) bool { return s.tops[k].first > i })-1]
	if name := s.names[i]; name != "" {
		return t.root, name
	}
	return t.root, t.source(m.Entry(i).Path)
}

// source returns the path in the FS that most often follows from the one in the manifest.
func (t top) source(p string) string { return path.Join(t.name, p[len(t.as):]) }

// Build lists what is to be sent, without reading the files. Links, devices, sockets, pipes, what
// can't be opened, and what has a name that other systems can't store are skipped; if that is a
// root itself, it is an error. Links are never followed. Names that are not in Unicode's normal
// form C, as some of macOS, are sent in it.
func Build(ctx context.Context, roots []Root) (*Manifest, []Skipped, error) {
	if len(roots) == 0 {
		return nil, nil, errors.New("there is nothing to send")
	}
	w := walker{ctx: ctx, source: &source{names: map[int]string{}}}
	var tops []top
	for i, r := range roots {
		t := top{root: i, name: r.Name, as: r.As}
		if t.as == "" {
			t.as = path.Base(r.Name)
		}
		t.as = norm.NFC.String(t.as)
		tops = append(tops, t)
	}
	slices.SortStableFunc(tops, func(a, b top) int { return strings.Compare(a.as, b.as) })
	var names directory
	for _, t := range tops {
		if strings.Contains(t.as, "/") {
			return nil, nil, &NameError{Path: t.as, Rule: "the name contains a slash"}
		}
		if other := names.take(t.as); other != "" {
			return nil, nil, fmt.Errorf("two things to send are called %q and %q, which some systems can't tell apart; give one of them another name", other, t.as)
		}
		t.first = len(w.source.inodes)
		w.fs, w.top = roots[t.root].FS, t
		if err := w.root(); err != nil {
			return nil, nil, err
		}
		w.source.tops = append(w.source.tops, t)
	}
	m, err := Decode(slices.Clip(w.encoded))
	if err != nil {
		return nil, nil, fmt.Errorf("manifest: built one that is refused: %w", err)
	}
	m.source = w.source
	return m, w.skipped, nil
}

// walker lists the files of one root after the other.
type walker struct {
	ctx     context.Context
	fs      fs.FS // of the root
	top     top   // the root
	encoded []byte
	source  *source
	skipped []Skipped
	seen    int   // entries and what was skipped
	size    int64 // of all files
}

// place is where a file is in the manifest and in the FS.
type place struct{ path, name string }

// found is something in a directory, with its name in the manifest.
type found struct {
	name  string
	entry fs.DirEntry
}

func (w *walker) root() error {
	info, err := fs.Lstat(w.fs, w.top.name)
	if err != nil {
		return err
	}
	if err := w.see(); err != nil {
		return err
	}
	why, err := w.visit(place{w.top.as, w.top.name}, info)
	if err == nil && why != "" {
		err = &NameError{Path: w.top.as, Rule: why}
	}
	return err
}

// see counts what is seen, so that a walk is bounded.
func (w *walker) see() error {
	if w.seen++; w.seen > MaxEntries {
		return fmt.Errorf("more than %d files and directories; send fewer at a time, or an archive of them", MaxEntries)
	}
	return w.ctx.Err()
}

// visit lists a file, or a directory with all that is in it, or says why it is skipped.
func (w *walker) visit(p place, info fs.FileInfo) (why string, err error) {
	if rule := broken(p.path); rule != "" {
		return rule, nil
	}
	if why := kindSkipped(info.Mode()); why != "" {
		return why, nil
	}
	opened, err := w.fs.Open(p.name)
	if err != nil {
		return reason(err), nil
	}
	var inside []found
	if info.IsDir() {
		inside, err = w.list(opened)
	}
	opened.Close() // nothing was written
	var unread *unreadError
	switch {
	case errors.As(err, &unread):
		return reason(unread.err), nil
	case err != nil:
		return "", err
	}
	if err := w.add(p, info); err != nil {
		return "", err
	}
	return "", w.visitAll(p, inside)
}

// visitAll lists what is in a directory.
func (w *walker) visitAll(dir place, inside []found) error {
	var names directory
	for _, f := range inside {
		p := place{dir.path + "/" + f.name, path.Join(dir.name, f.entry.Name())}
		why := ""
		if other := names.take(f.name); other != "" {
			why = indistinct(other)
		} else if info, err := f.entry.Info(); err != nil {
			why = reason(err)
		} else if why, err = w.visit(p, info); err != nil {
			return err
		}
		if why != "" {
			w.skipped = append(w.skipped, Skipped{Path: p.path, Why: why})
		}
	}
	return nil
}

func kindSkipped(mode fs.FileMode) string {
	switch {
	case mode.IsRegular() || mode.IsDir():
		return ""
	case mode&fs.ModeSymlink != 0:
		return "it is a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "it is a pipe"
	case mode&fs.ModeSocket != 0:
		return "it is a socket"
	case mode&fs.ModeDevice != 0:
		return "it is a device"
	}
	return "it is not a regular file"
}

// reason leaves the path out, which is said beside it.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return "it can't be read: " + err.Error()
}

// unreadError: a directory can't be read.
type unreadError struct{ err error }

func (e *unreadError) Error() string { return e.err.Error() }

// batch is how many names are read at once.
const batch = 1024

// list reads a directory and sorts it by the names in the manifest.
func (w *walker) list(opened fs.File) ([]found, error) {
	d, ok := opened.(fs.ReadDirFile)
	if !ok {
		return nil, &unreadError{errors.ErrUnsupported}
	}
	var list []found
	for {
		entries, err := d.ReadDir(batch)
		for _, e := range entries {
			if err := w.see(); err != nil {
				return nil, err
			}
			list = append(list, found{norm.NFC.String(e.Name()), e})
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, &unreadError{err}
		}
	}
	slices.SortFunc(list, func(a, b found) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// add appends an entry.
func (w *walker) add(p place, info fs.FileInfo) error {
	e := Entry{Path: p.path, Dir: info.IsDir(), Mode: info.Mode(), ModTime: info.ModTime()}
	if !e.Dir {
		e.Size = info.Size()
	}
	if e.Size < 0 || e.Size > MaxSize-w.size {
		return fmt.Errorf("the files have more than %d bytes", int64(MaxSize))
	}
	w.size += e.Size
	w.encoded = appendEntry(w.encoded, e)
	if len(w.encoded) > MaxEncoded {
		return fmt.Errorf("the names need more than %d MiB; send fewer files at a time, or an archive of them", MaxEncoded>>20)
	}
	if w.top.source(p.path) != p.name {
		w.source.names[len(w.source.inodes)] = p.name
	}
	w.source.inodes = append(w.source.inodes, inode(info))
	return nil
}
