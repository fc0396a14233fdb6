package place

import (
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// moveNew renames something to a name in another directory, where nothing may have that name: then
// the error is fs.ErrExist.
func moveNew(from *os.File, name string, to *os.File, newName string, _ bool) error {
	before, after := filepath.Join(from.Name(), name), filepath.Join(to.Name(), newName)
	err := moveFile(before, after)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: before, New: after, Err: err}
	}
	return nil
}

func moveFile(before, after string) error {
	from, err := windows.UTF16PtrFromString(before)
	if err != nil {
		return err
	}
	to, err := windows.UTF16PtrFromString(after)
	if err != nil {
		return err
	}
	return windows.MoveFileEx(from, to, windows.MOVEFILE_WRITE_THROUGH)
}

// owner is not asked here: a directory in a user's own has the user's access rights.
func owner(fs.FileInfo) uint32 { return 0 }

// linked is not asked here.
func linked(fs.FileInfo) bool { return false }
