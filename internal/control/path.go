package control

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxSocketPath is how long the path of a Unix socket can be: 104 bytes with the final zero on
// the BSDs and macOS, 108 on Linux.
const maxSocketPath = 103

// pathFile is the file of a state directory in which the path of the socket stands.
const pathFile = "control"

// socketDirs are the directories in which sockets of this user may lie, the best first.
func socketDirs(getenv func(string) string) (dirs []string) {
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) { // the standard says to ignore relative ones
		dirs = append(dirs, filepath.Join(dir, "quicpeer"))
	}
	temp := getenv("TMPDIR")
	if !filepath.IsAbs(temp) {
		temp = os.TempDir()
	}
	return append(dirs, filepath.Join(temp, "quicpeer-"+strconv.Itoa(os.Getuid())))
}

// socketName is the name of the socket of a state directory.
func socketName(stateDir string) (string, error) {
	abs, err := filepath.Abs(stateDir)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(abs))
	return hex.EncodeToString(sum[:])[:12] + ".sock", nil
}

// socketPath makes a place for the socket of a state directory, in the first directory where
// that is possible.
func socketPath(stateDir string, getenv func(string) string) (string, error) {
	name, err := socketName(stateDir)
	if err != nil {
		return "", err
	}
	var problems []error
	for _, dir := range socketDirs(getenv) {
		path := filepath.Join(dir, name)
		err := checkLength(path)
		if err == nil {
			err = ownDir(dir)
		}
		if err == nil {
			return path, nil
		}
		problems = append(problems, err)
	}
	return "", errors.Join(problems...)
}

func checkLength(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("the path of a socket can have at most %d bytes, and %s has %d: set XDG_RUNTIME_DIR or TMPDIR to a shorter directory", maxSocketPath, path, len(path))
	}
	return nil
}

// ownDir makes a directory that only this user can enter, or checks that it is one: others could
// put a socket of theirs into it.
func ownDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory: remove it", dir)
	case !isOurs(info):
		return fmt.Errorf("%s belongs to another user: set XDG_RUNTIME_DIR or TMPDIR to a directory of your own", dir)
	case !isPrivate(info):
		return fmt.Errorf("%s can be entered by others (its mode is %#o): chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	return nil
}

// writePath notes the path of the socket in the state directory.
func writePath(stateDir, path string) error {
	file := filepath.Join(stateDir, pathFile)
	if err := os.WriteFile(file+".new", []byte(path+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// readPath returns the path of the socket that is noted in a state directory.
func readPath(stateDir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(stateDir, pathFile))
	if err != nil {
		return "", err
	}
	path := strings.TrimSuffix(string(b), "\n")
	if !filepath.IsAbs(path) || strings.ContainsAny(path, "\n\x00") {
		return "", fmt.Errorf("%s is damaged: it has no path in it; the next start of the peer writes it anew", filepath.Join(stateDir, pathFile))
	}
	return path, checkLength(path)
}

// forgetPath removes the note at the end of a peer: without it, the next start writes it anew.
func forgetPath(stateDir string) { _ = os.Remove(filepath.Join(stateDir, pathFile)) }
