//go:build unix

package place

import (
	"errors"

	"golang.org/x/sys/unix"
)

// IsFull reports whether an error means that the disk, or the user's quota on it, is full.
func IsFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
