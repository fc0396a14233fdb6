//go:build !linux && !darwin

package doctor

import (
	"errors"
	"io/fs"
	"os"
)

// writable makes a file, and removes it.
func writable(dir string) bool {
	f, err := os.CreateTemp(dir, ".quicpeer-doctor-")
	if err != nil {
		return false
	}
	name := f.Name()
	return errors.Join(f.Close(), os.Remove(name)) == nil
}

func foreign(fs.FileInfo) bool { return false }

func freeSpace(string) (free uint64, noNodes bool, err error) {
	return 0, false, errors.New("not on this system")
}

func mostFiles() uint64 { return 0 }
