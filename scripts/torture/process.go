package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// mostInput is how many lines wait for a process that doesn't read: one that is
// frozen, or held up by its receivers. Then nothing is sent by it.
const mostInput = 128

// process is one run of a peer.
type process struct {
	cmd   *exec.Cmd
	run   *run
	input chan []byte   // lines; written by one goroutine, so that nobody waits for the process
	gone  chan struct{} // closed when it has ended and all that it printed has been read

	status string // when gone: the exit status, or "killed" and the like

	mu    sync.Mutex
	muted bool // standard output is not read
	loud  *sync.Cond
}

// launch starts a command. What it prints goes to the history as its run, and in
// short to events; what it logs to log.
func launch(cmd *exec.Cmd, h *history, r *run, events io.Writer, log *os.File) (*process, error) {
	p := &process{cmd: cmd, run: r, input: make(chan []byte, mostInput), gone: make(chan struct{})}
	p.loud = sync.NewCond(&p.mu)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = outW, log
	ownGroup(cmd)
	err = cmd.Start()
	outW.Close()
	if err != nil {
		outR.Close()
		return nil, err
	}
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { p.write(stdin, over) })
	wg.Go(func() { p.read(outR, h, events) })
	wg.Go(func() {
		p.status = statusOf(cmd.Wait())
		close(over)
	})
	go func() {
		wg.Wait()
		close(p.gone)
	}()
	return p, nil
}

func statusOf(err error) string {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "0"
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return strconv.Itoa(exit.ExitCode())
	case errors.As(err, &exit):
		return strings.TrimPrefix(exit.String(), "signal: ")
	default:
		return err.Error()
	}
}

func (p *process) write(stdin io.WriteCloser, over <-chan struct{}) {
	defer stdin.Close()
	for {
		select {
		case line := <-p.input:
			stdin.Write(line) // an error says that it has ended
		case <-over:
			return
		}
	}
}

// read takes lines to the end of the pipe, which is behind all that a killed
// process has written.
func (p *process) read(from *os.File, h *history, events io.Writer) {
	defer from.Close()
	r := bufio.NewReaderSize(from, 4096) // small, so that little is taken from a muted process
	for {
		line, err := r.ReadBytes('\n')
		p.waitLoud()
		if err != nil {
			return
		}
		h.see(p.run, line)
		fmt.Fprintf(events, "%s %d %s\n", time.Now().Format("15:04:05.000000"), p.run.number, shorten(line))
	}
}

// shorten is the beginning of a line, which has what it is about.
func shorten(line []byte) string {
	const most = 300
	s := strings.TrimRight(string(line), "\n")
	if len(s) > most {
		return s[:most] + fmt.Sprintf("... (%d bytes)", len(s))
	}
	return s
}

func (p *process) waitLoud() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.muted {
		p.loud.Wait()
	}
}

func (p *process) mute(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = on
	p.loud.Broadcast()
}

// kill ends the process, if it runs.
func (p *process) kill() {
	p.mute(false)
	p.cmd.Process.Kill()
}

func (p *process) hasGone() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}
