//go:build unix

package harness

import (
	"os"
	"os/exec"
	"syscall"
)

// signals are those that can be sent here.
var signals = map[string]syscall.Signal{
	"kill":      syscall.SIGKILL,
	"stop":      syscall.SIGTERM,
	"interrupt": syscall.SIGINT,
	"freeze":    syscall.SIGSTOP,
	"thaw":      syscall.SIGCONT,
}

// OwnGroup puts the process into a group of its own, so that an interrupt typed
// at the harness doesn't reach it and what it starts can be killed with it.
func OwnGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup kills the process and what it has started. An error of Kill says that
// the process has been waited for, and its number may be another's by now.
func killGroup(p *os.Process) {
	if p.Kill() == nil {
		syscall.Kill(-p.Pid, syscall.SIGKILL)
	}
}
