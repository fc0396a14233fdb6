package control

import "io/fs"

// The directory lies in the user's own, which others can't enter.

func isOurs(fs.FileInfo) bool { return true }

func isPrivate(fs.FileInfo) bool { return true }
