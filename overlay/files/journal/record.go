package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/go-json-experiment/json"
)

// maxRecord is the most bytes of a record with its checksum: far above what one holds, so that a
// wrong file can't fill the memory.
const maxRecord = 1 << 20

// DamagedError: a file of the journal is not what was written there.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.Path, e.Err) }
func (e *DamagedError) Unwrap() error { return e.Err }

// WriteRecord writes v as a line of JSON, and its SHA-256 on a second line, so that after a crash
// there is either the old record or the new one. It writes to a file beside it first, whose name
// ends with ".new", so a record must have one writer at a time. A string that is not valid UTF-8
// is an error.
func WriteRecord(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	sum := sha256.Sum256(b)
	b = fmt.Appendf(b, "\n%x\n", sum)
	if len(b) > maxRecord {
		return fmt.Errorf("writing %s: the record has %d bytes, more than %d", path, len(b), maxRecord)
	}
	return replace(path, b)
}

// WriteFile writes a file so that after a crash there is either the old one or the new one. It has one writer at a time.
func WriteFile(path string, content []byte) error { return replace(path, content) }

// ReadRecord reads a record into v. If there is none, the error is fs.ErrNotExist.
func ReadRecord(path string, v any) error {
	if err := checkRegular(path); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return err
	}
	if len(b) > maxRecord {
		return &DamagedError{path, errors.New("it is too large")}
	}
	record, sumText, _ := bytes.Cut(b, []byte("\n"))
	sum := sha256.Sum256(record)
	if string(sumText) != hex.EncodeToString(sum[:])+"\n" {
		return &DamagedError{path, errors.New("its checksum is wrong")}
	}
	if err := json.Unmarshal(record, v); err != nil {
		return &DamagedError{path, err}
	}
	return nil
}

// checkRegular returns fs.ErrNotExist if there is nothing of that name. Opening a pipe would wait.
func checkRegular(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = &DamagedError{path, errors.New("it is not a regular file")}
	}
	return err
}

// replace writes a file so that after a crash at any point there is either the old one or the new
// one, whole. Only its owner may read it.
func replace(path string, content []byte) (err error) {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a renaming in dir last. Windows has no such call, and some file systems refuse it.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
