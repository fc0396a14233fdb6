package place

import "golang.org/x/sys/unix"

// renameNew renames unless the new name is taken.
func renameNew(from int, name string, to int, newName string) error {
	return unix.Renameat2(from, name, to, newName, unix.RENAME_NOREPLACE)
}
