package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"

	"quicpeer/scripts/internal/harness"
)

// process is another process, this program with the flag -serve. It ends with its
// standard input, and so with this process.
type process struct {
	*harness.Process
	address string // which it has printed
}

// start starts another process, to be a peer with these options; without an ID, the floor.
func start(o peerOptions) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	role, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-serve", string(role))
	cmd.Stderr = os.Stderr
	p := &process{}
	p.Process, p.address, err = harness.StartReady(harness.Spec{Cmd: cmd, Line: func(*harness.Process, []byte) {}},
		func(line []byte) string { return strings.TrimSpace(string(line)) })
	return p, err
}

func (p *process) close() {
	p.Input.Close()
	<-p.Gone()
}

// untilInputEnds waits for the end of the parent.
func untilInputEnds() { io.Copy(io.Discard, os.Stdin) }
