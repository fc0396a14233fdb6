package terminal

import "os"

// await is never needed: Windows has no non-blocking mode for files.
func await(*os.File, bool) bool { return false }
