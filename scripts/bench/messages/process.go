package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// process is another process, this program with the flag -serve. It ends with its
// standard input, and so with this process.
type process struct {
	command *exec.Cmd
	stdin   io.Closer
	address string // which it has printed
}

// start starts another process.
func start(flags ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(self, flags...)
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &process{command: command, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.close()
		return nil, fmt.Errorf("no address from the other process: %w", err)
	}
	p.address = strings.TrimSpace(line)
	return p, nil
}

func (p *process) close() {
	p.stdin.Close()
	p.command.Wait()
}

// untilInputEnds waits for the end of the parent.
func untilInputEnds() { io.Copy(io.Discard, os.Stdin) }
