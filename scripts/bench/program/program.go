// Package program builds quicpeer and runs it as scripts do, for benchmarks of the
// whole program: real processes that take JSON lines and print them.
package program

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Build builds quicpeer as make build does, into dir, and returns its path.
func Build(dir string) (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "quicpeer").Output()
	if err != nil {
		return "", fmt.Errorf("where quicpeer is: %w", err)
	}
	path := filepath.Join(dir, "quicpeer.exe")
	build := exec.Command("go", "build", "-trimpath", "-o", path, ".")
	build.Dir = strings.TrimSpace(string(root))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	return path, build.Run()
}

// Peer is a running quicpeer.
type Peer struct {
	// Input is its standard input; at its end the peer leaves.
	Input   io.WriteCloser
	Address string // which others can dial

	cmd      *exec.Cmd
	end      chan struct{} // closed when all that it printed has been read
	warnings bytes.Buffer  // what it has logged
}

// Start starts a peer on a free port of loopback, with a state directory of its
// name in dir, and waits until it is ready. join is the address of another peer or
// empty. Each line that it prints, the first one included, is handed to each, on one
// goroutine; while that takes its time nothing else is read. Wait is due afterwards.
func Start(path, dir, id, join string, each func(line []byte)) (*Peer, error) {
	words := []string{"--json", "--id", id, "--state-dir", filepath.Join(dir, id), "--listen", "127.0.0.1:0", "--log-level", "warn", "--drain", "1m"}
	if join != "" {
		words = append(words, "--join", join)
	}
	p := &Peer{cmd: exec.Command(path, words...), end: make(chan struct{})}
	p.cmd.Stderr = &p.warnings
	var err error
	if p.Input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	go p.read(out, ready, each)
	if p.Address = <-ready; p.Address == "" {
		return nil, fmt.Errorf("%s has not become ready: %w", id, p.Wait())
	}
	return p, nil
}

// read hands on all lines, after the address of the first.
func (p *Peer) read(out io.Reader, ready chan<- string, each func(line []byte)) {
	defer close(p.end)
	defer close(ready)
	lines := bufio.NewReaderSize(out, 64<<10)
	for first := true; ; first = false {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return
		}
		if first {
			var event struct{ Listen []string }
			if json.Unmarshal(line, &event) == nil && len(event.Listen) > 0 {
				ready <- event.Listen[0]
			}
		}
		each(line)
	}
}

// Wait waits for the end of the peer and of what it has printed. An error has what it
// logged, and says that its exit status was neither 0 nor one of those wanted.
func (p *Peer) Wait(wanted ...int) error {
	<-p.end
	err := p.cmd.Wait()
	if err == nil || slices.Contains(wanted, p.cmd.ProcessState.ExitCode()) {
		return nil
	}
	return fmt.Errorf("%w: %s", err, p.warnings.Bytes())
}

// Kill ends the peer at once.
func (p *Peer) Kill() { p.cmd.Process.Kill() }

// Peak is the most memory in bytes that the peer has had, its part of mapped files
// included; 0 where there is no /proc, or no peer any more.
func (p *Peer) Peak() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	kilobytes, _, _ := bytes.Cut(rest, []byte("kB"))
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(kilobytes)), 10, 64)
	return n << 10
}

// EventOf is the name of the event that a line tells of.
func EventOf(line []byte) string {
	_, rest, _ := bytes.Cut(line, []byte(`"event":"`))
	name, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(name)
}

// BodyOf is the body of a message, if it has no escapes.
func BodyOf(line []byte) []byte {
	_, rest, _ := bytes.Cut(line, []byte(`"body":"`))
	body, _, _ := bytes.Cut(rest, []byte(`"`))
	return body
}
