package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-json-experiment/json"

	"quicpeer/overlay/messaging/store"
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
// there is either the old record or the new one, see [store.ReplaceFile]. A string that is not valid
// UTF-8 is an error.
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
	return store.ReplaceFile(path, b)
}

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
