package store

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"quicpeer/certs"
)

// ErrStateInUse: another process holds the state directory.
var ErrStateInUse = errors.New("the state directory is in use by another process")

// OtherIDError: the state directory is that of another ID.
type OtherIDError struct {
	Dir            string
	Stored, Wanted certs.ID
}

func (e *OtherIDError) Error() string {
	return fmt.Sprintf("the state directory %s is that of %s, not of %s", e.Dir, e.Stored, e.Wanted)
}

// OtherNetworkError: the state directory is that of another network.
type OtherNetworkError struct {
	Dir            string
	Stored, Wanted string // empty: the network without a name
}

func (e *OtherNetworkError) Error() string {
	return fmt.Sprintf("the state directory %s is that of the %s, not of the %s", e.Dir, networkOf(e.Stored), networkOf(e.Wanted))
}

func networkOf(name string) string {
	if name == "" {
		return "network without a name"
	}
	return fmt.Sprintf("network %q", name)
}

// DamagedError: a file of the state directory is not what was written there.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.Path, e.Err) }
func (e *DamagedError) Unwrap() error { return e.Err }

// RemovedError: a file of the state directory, or all of it, has been removed, moved away
// or replaced while it was in use.
type RemovedError struct{ Path string }

func (e *RemovedError) Error() string {
	return fmt.Sprintf("%s has been removed or replaced while it was in use", e.Path)
}

// KeyMissingError: the state directory was in use, and its key is gone.
type KeyMissingError struct{ Path string }

func (e *KeyMissingError) Error() string { return fmt.Sprintf("the key %s is missing", e.Path) }

// KeyExposedError: the key's file can be read or written by others than its owner.
type KeyExposedError struct {
	Path string
	Mode fs.FileMode
}

func (e *KeyExposedError) Error() string {
	return fmt.Sprintf("the key %s is open to other users (mode %04o)", e.Path, e.Mode.Perm())
}

// smallFile is far above what a state file holds, so that a wrong file can't
// fill the memory.
const smallFile = 64 << 10

// readSmall reads a state file. An error that is fs.ErrNotExist means that
// there is nothing of that name at all, not even a link to nowhere.
func readSmall(path string) ([]byte, error) {
	if _, err := os.Lstat(path); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, &DamagedError{Path: path, Err: errors.New("it is a link to nowhere")}
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, &DamagedError{Path: path, Err: errors.New("it is not a regular file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, smallFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > smallFile:
		return nil, &DamagedError{Path: path, Err: errors.New("it is too large")}
	case len(b) == 0:
		return nil, &DamagedError{Path: path, Err: errors.New("it is empty")}
	}
	return b, nil
}

func readKey(path string) (*certs.Identity, error) {
	b, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	if err := checkMode(path); err != nil {
		return nil, err
	}
	private, err := parseKey(b)
	if err != nil {
		return nil, &DamagedError{Path: path, Err: err}
	}
	return certs.NewIdentity(private.Seed()), nil
}

// checkMode reports that a secret file is open to others than its owner.
func checkMode(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 { // there modes say nothing of who may read
		return &KeyExposedError{Path: path, Mode: info.Mode()}
	}
	return nil
}

// parseKey never quotes what it has read, which is a secret.
func parseKey(b []byte) (ed25519.PrivateKey, error) {
	block, rest := pem.Decode(b)
	switch {
	case block == nil:
		return nil, errors.New("it is not a PEM file")
	case block.Type != "PRIVATE KEY":
		return nil, fmt.Errorf("it holds a PEM block of type %q, not an unencrypted PRIVATE KEY (PKCS#8)", block.Type)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("there is something behind the key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("it holds no PKCS#8 key")
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("it holds a key of type %T, not Ed25519", key)
	}
	return private, nil
}

func makeKey(path string) (*certs.Identity, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := ReplaceFile(path, b); err != nil {
		return nil, err
	}
	return certs.NewIdentity(private.Seed()), nil
}

const temporary = ".new-" // what ReplaceFile's unfinished files begin with

// ReplaceFile writes a file so that after a crash at any point there is either
// the old one or the new one, whole. Only its owner may read it. What a crash leaves
// beside it is up to RemoveLeftovers.
func ReplaceFile(path string, content []byte) (err error) {
	dir, name := filepath.Split(path)
	f, err := os.CreateTemp(dir, temporary+name+"-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("writing %s: %w", path, err)
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
	return syncDir(dir)
}

// syncDir makes a renaming in dir last. Windows has no such call, and some file
// systems refuse it.
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

// RemoveLeftovers removes what a crash in ReplaceFile has left in a directory. The caller holds
// the lock of the state directory, so nobody is writing.
func RemoveLeftovers(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), temporary) && e.Type().IsRegular() {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// createFile writes a file of a size that begins with b and goes on with zeros, safe from a crash. None of
// it is a hole, so that writes to it need no room and change nothing but content.
func createFile(path string, b []byte, size int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	zeros := make([]byte, min(64<<10, max(0, size-len(b))))
	for left := size - len(b); err == nil && left > 0; left -= len(zeros) {
		zeros = zeros[:min(len(zeros), left)]
		_, err = f.Write(zeros)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func isDirectory(path string) (bool, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err == nil && !info.IsDir():
		err = &DamagedError{Path: path, Err: errors.New("it is not a directory")}
	}
	return err == nil, err
}

func exists(path string) (bool, error) {
	err := isRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// isRegular returns fs.ErrNotExist if there is nothing of that name, not even a
// link to nowhere.
func isRegular(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || !info.Mode().IsRegular() {
		return &DamagedError{Path: path, Err: errors.New("it is not a regular file")}
	}
	return nil
}
