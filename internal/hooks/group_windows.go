package hooks

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps Ctrl-C in the terminal of the peer from a command. What the command has started
// itself is not killed with it: that would take a job object.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
