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

// process is one run of a peer. Its goroutines (input, output, errors and the
// wait for its end) add to the fields below mu and then wake who waits.
type process struct {
	name  string
	text  bool // typed lines, not JSON
	cmd   *exec.Cmd
	show  *show
	gone  chan struct{} // closed when all goroutines have ended
	input chan func(io.WriteCloser)

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
	lines   []*line       // standard output
	stderr  []byte
	muted   bool // standard output is not read
	readers int  // of standard output and error that have not come to the end
	ended   bool
	status  string // when ended: the exit status, or "killed" and the like
	excused bool   // an exit or kill of the scenario accounts for the end
	check   contract
}

// launch starts a command whose Args and Env are set.
func launch(name string, text bool, cmd *exec.Cmd, sh *show) (*process, error) {
	p := &process{
		name: name, text: text, cmd: cmd, show: sh, readers: 2,
		gone: make(chan struct{}), input: make(chan func(io.WriteCloser), 10000), changed: make(chan struct{}),
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Pipes of our own: the process's end is noticed even while one is not read.
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = outW, errW
	ownGroup(cmd)
	err = cmd.Start()
	outW.Close()
	errW.Close()
	if err != nil {
		outR.Close()
		errR.Close()
		return nil, err
	}
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { p.write(stdin, over) })
	wg.Go(func() { p.readOutput(outR) })
	wg.Go(func() { p.readErrors(errR) })
	wg.Go(func() {
		err := cmd.Wait()
		close(over)
		p.change(func() { p.ended, p.status = true, statusOf(err) })
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

func (p *process) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// write feeds the process from a queue, so that no verb waits for a process
// that doesn't read.
func (p *process) write(stdin io.WriteCloser, over <-chan struct{}) {
	for {
		select {
		case f := <-p.input:
			f(stdin)
		case <-over:
			return
		}
	}
}

func (p *process) readOutput(from *os.File) {
	defer from.Close()
	defer p.change(func() { p.readers-- })
	// The buffer is small so that little is taken from a muted process.
	r := bufio.NewReaderSize(from, 4096)
	for {
		text, err := r.ReadString('\n')
		p.waitUnmuted()
		if text != "" {
			l := newLine(strings.TrimRight(text, "\r\n"), p.text)
			p.change(func() {
				p.lines = append(p.lines, l)
				if !p.text {
					p.check.see(l)
				}
			})
			if !strings.HasPrefix(l.field("ref"), tableRef) {
				p.show.saw(p.name, l.raw)
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *process) waitUnmuted() {
	for {
		p.mu.Lock()
		muted, changed := p.muted, p.changed
		p.mu.Unlock()
		if !muted {
			return
		}
		<-changed
	}
}

func (p *process) readErrors(from *os.File) {
	defer from.Close()
	defer p.change(func() { p.readers-- })
	r := bufio.NewReader(from)
	for {
		text, err := r.ReadString('\n')
		if text != "" {
			p.change(func() { p.stderr = append(p.stderr, text...) })
			p.show.complained(p.name, strings.TrimRight(text, "\r\n"))
		}
		if err != nil {
			return
		}
	}
}

// enqueue gives the process a line, or with closing the end of its input.
func (p *process) enqueue(text string, closing bool) error {
	if p.hasEnded() {
		return fmt.Errorf("%s has ended\n%s", p.name, p.describe())
	}
	f := func(w io.WriteCloser) { io.WriteString(w, text+"\n") }
	if closing {
		f = func(w io.WriteCloser) { w.Close() }
	}
	select {
	case p.input <- f:
		return nil
	default:
		return fmt.Errorf("%s has 10000 lines of input that it doesn't read", p.name)
	}
}

// errTooLate is the end of a wait.
var errTooLate = errors.New("too late")

// wait calls check, under the lock, at each change until it is done or an error.
// over says that nothing more will come.
func (p *process) wait(within limit, check func(over bool) (done bool, err error)) error {
	timer := time.NewTimer(time.Until(within.until))
	defer timer.Stop()
	for {
		p.mu.Lock()
		over := p.ended && p.readers == 0
		done, err := check(over)
		changed := p.changed
		p.mu.Unlock()
		if done || err != nil {
			return err
		}
		if over {
			return errTooLate
		}
		select {
		case <-changed:
		case <-timer.C:
			return errTooLate
		}
	}
}

// kill ends the process if it runs.
func (p *process) kill() {
	p.change(func() { p.muted, p.excused = false, true })
	killGroup(p.cmd.Process)
}

// waitGone waits for the goroutines.
func (p *process) waitGone(within time.Duration) error {
	select {
	case <-p.gone:
		return nil
	case <-time.After(within):
		return fmt.Errorf("%s (process %d) doesn't go away", p.name, p.cmd.Process.Pid)
	}
}

// unexpectedEnd says that the process ended with a failure of which the scenario knows nothing.
func (p *process) unexpectedEnd() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended || p.excused || p.status == "0" {
		return ""
	}
	return fmt.Sprintf("ended with status %s, and no exit or kill accounts for it", p.status)
}

// breaches are what a peer must never do.
func (p *process) breaches() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.check.breaches
	for _, sign := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if at := strings.Index("\n"+string(p.stderr), "\n"+sign); at >= 0 {
			found = append(found, tail(string(p.stderr[at:]), 60, true))
			break
		}
	}
	return found
}
