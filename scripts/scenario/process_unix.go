//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// signals are those that a verb can send here.
var signals = map[string]syscall.Signal{
	"kill":      syscall.SIGKILL,
	"stop":      syscall.SIGTERM,
	"interrupt": syscall.SIGINT,
	"freeze":    syscall.SIGSTOP,
	"thaw":      syscall.SIGCONT,
}

// ownGroup puts the process into a group of its own, so that an interrupt typed
// at the harness doesn't reach it and what it starts can be killed with it.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup kills the process and what it has started. An error of Kill says that
// the process has been waited for, and its number may be another's by now.
func killGroup(p *os.Process) {
	if p.Kill() == nil {
		syscall.Kill(-p.Pid, syscall.SIGKILL)
	}
}
