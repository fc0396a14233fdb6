package harness

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// random is an endless stream of bytes that depends on the seed alone.
func random(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// MakeFile writes a file of random bytes.
func MakeFile(name string, size int64, seed uint64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(f, random(seed), size); err != nil {
		return err
	}
	return f.Close()
}

// filesOfDir is how many files MakeFiles puts into each directory.
const filesOfDir = 100

// MakeFiles makes a directory with n files of up to most random bytes each, in subdirectories. Their names have spaces and
// letters of several scripts, and their permissions differ. It returns the sum of their sizes.
func MakeFiles(dir string, n int, most int64, seed uint64) (size int64, err error) {
	content := random(seed)
	lot := rand.New(content)
	modes := []fs.FileMode{0o644, 0o600, 0o755, 0o640}
	for i := range n {
		below := filepath.Join(dir, fmt.Sprintf("%04d", i/filesOfDir))
		if i%filesOfDir == 0 {
			if err := os.MkdirAll(below, 0o755); err != nil {
				return size, err
			}
		}
		body := make([]byte, lot.Int64N(most+1))
		content.Read(body) // never fails
		name := filepath.Join(below, fmt.Sprintf("%02d é 漢.bin", i%filesOfDir))
		mode := modes[lot.IntN(len(modes))]
		if err := os.WriteFile(name, body, mode); err != nil {
			return size, err
		}
		if err := os.Chmod(name, mode); err != nil { // whatever the umask is
			return size, err
		}
		size += int64(len(body))
	}
	return size, nil
}

// CheckCopy compares a file, or a directory with all its contents, with its copy: names, permissions, modification times
// and bytes. The error is the first difference.
func CheckCopy(of, copied string) error {
	var names [2][]string
	for i, top := range []string{of, copied} {
		err := filepath.WalkDir(top, func(name string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(top, name)
			names[i] = append(names[i], rel)
			return err
		})
		if err != nil {
			return err
		}
	}
	slices.Sort(names[0])
	slices.Sort(names[1])
	if !slices.Equal(names[0], names[1]) {
		return fmt.Errorf("%d names instead of %d; missing: %q; too many: %q", len(names[1]), len(names[0]), without(names[0], names[1]), without(names[1], names[0]))
	}
	for _, name := range names[0] {
		if err := checkFile(filepath.Join(of, name), filepath.Join(copied, name)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// without returns the first five names that are not in another sorted list.
func without(list, other []string) (names []string) {
	for _, name := range list {
		if _, in := slices.BinarySearch(other, name); !in && len(names) < 5 {
			names = append(names, name)
		}
	}
	return names
}

// checkFile compares a file, or a directory without its contents, with its copy.
func checkFile(of, copied string) error {
	want, err := os.Stat(of)
	if err != nil {
		return err
	}
	got, err := os.Lstat(copied)
	switch {
	case err != nil:
		return err
	case want.Mode() != got.Mode():
		return fmt.Errorf("its mode is %v, not %v", got.Mode(), want.Mode())
	case want.IsDir():
		return nil
	case want.Size() != got.Size():
		return fmt.Errorf("it has %d bytes, not %d", got.Size(), want.Size())
	case !want.ModTime().Equal(got.ModTime()):
		return fmt.Errorf("it was modified at %v, not at %v", got.ModTime(), want.ModTime())
	}
	return checkBytes(of, copied)
}

func checkBytes(of, copied string) error {
	var files [2]*os.File
	for i, name := range []string{of, copied} {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		files[i] = f
	}
	want, got := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); ; {
		n, err := io.ReadFull(files[0], want)
		if m, _ := io.ReadFull(files[1], got); m != n || !bytes.Equal(want[:n], got[:n]) {
			return fmt.Errorf("its bytes differ between %d and %d", at, at+int64(max(n, m)))
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
