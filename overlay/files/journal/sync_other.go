//go:build !linux

package journal

import "os"

// fdatasync makes the content of a file safe.
func fdatasync(f *os.File) error { return f.Sync() }
