// Package harness runs real quicpeer processes for the scenarios, the torture, the NAT
// laboratory and the benchmarks. It builds the program, starts processes, writes to them
// and reads what they print, freezes and kills them, and says what is wrong with how they
// ended. Its Pace stretches deadlines on a machine that has other things to do.
package harness

import (
	"bufio"
	"bytes"
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

// Spec says how a process is run.
type Spec struct {
	Cmd *exec.Cmd // with Args, Dir and Env; standard error as the caller wants it, see Complaint

	// Line gets each line of standard output with its newline, which the last may lack. It
	// is called on one goroutine, and while it takes its time nothing else is read. nil: the
	// lines are kept as events, see Await.
	Line func(p *Process, line []byte)
	// Complaint gets each line of standard error likewise; nil: Cmd.Stderr gets it.
	Complaint func(p *Process, line []byte)

	// Queue is how many lines of input may wait for a process that doesn't read. With 0 the
	// caller writes to Process.Input, and waits as long as the process lets it.
	Queue int
}

// Process is a running process. Its goroutines (input, output, errors and the wait for its
// end) change the fields below mu and then wake the callers that wait.
type Process struct {
	Input io.WriteCloser // standard input

	spec  Spec
	queue chan []byte // lines for Input; nil: its end
	gone  chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
	readers int           // of standard output and error that have not come to the end
	state   State
	events  []*Event // where Spec has no Line
}

// State is how a process is.
type State struct {
	Status string // its exit status, or "killed" and the like; empty while it runs
	Muted  bool   // standard output is not read
	Over   bool   // it has ended, and all that it printed has been handed over
}

// Start starts a process.
func Start(spec Spec) (p *Process, err error) {
	p = &Process{spec: spec, queue: make(chan []byte, spec.Queue), gone: make(chan struct{}), changed: make(chan struct{})}
	if p.Input, err = spec.Cmd.StdinPipe(); err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	// Pipes of our own: the process's end is noticed even while one is not read.
	pipe := func(each func(line []byte)) (end *os.File, err error) {
		from, end, err := os.Pipe()
		if err == nil {
			p.Change(func() { p.readers++ })
			wg.Go(func() { p.read(from, each) })
		}
		return end, err
	}
	output, err := pipe(func(line []byte) { p.waitUnmuted(); spec.line()(p, line) })
	if err != nil {
		return nil, err
	}
	defer output.Close()
	spec.Cmd.Stdout = output
	if spec.Complaint != nil {
		complaints, err := pipe(func(line []byte) { spec.Complaint(p, line) })
		if err != nil {
			return nil, err
		}
		defer complaints.Close()
		spec.Cmd.Stderr = complaints
	}
	OwnGroup(spec.Cmd)
	if err := spec.Cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	wg.Go(func() { p.write(ended) })
	wg.Go(func() {
		err := spec.Cmd.Wait()
		close(ended)
		p.Change(func() { p.state.Status = statusOf(err) })
	})
	go func() {
		wg.Wait()
		close(p.gone)
	}()
	return p, nil
}

func (s Spec) line() func(p *Process, line []byte) {
	if s.Line != nil {
		return s.Line
	}
	return func(p *Process, line []byte) {
		e := ParseEvent(string(line))
		p.Change(func() { p.events = append(p.events, &e) })
	}
}

// StartReady starts a process and waits for its first line, in which find finds what is
// wanted. An empty string says that the process is not ready, and is an error.
func StartReady(spec Spec, find func(line []byte) string) (p *Process, found string, err error) {
	each, first := spec.line(), make(chan string, 1)
	var once sync.Once
	spec.Line = func(p *Process, line []byte) {
		once.Do(func() { first <- find(line) })
		each(p, line)
	}
	if p, err = Start(spec); err != nil {
		return nil, "", err
	}
	select {
	case found = <-first:
	case <-p.gone:
	}
	if found == "" {
		p.Kill()
		<-p.gone
		return nil, "", fmt.Errorf("%s has not become ready; it ended with status %s", spec.Cmd, p.State().Status)
	}
	return p, found, nil
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

// write feeds the process from its queue, so that nobody waits for a process that doesn't
// read. An error of writing says that the process has ended, or closed its input.
func (p *Process) write(ended <-chan struct{}) {
	for {
		select {
		case line := <-p.queue:
			if line == nil {
				p.Input.Close()
			} else {
				p.Input.Write(line)
			}
		case <-ended:
			return
		}
	}
}

// read takes lines to the end of a pipe, which is behind all that a killed process has
// written. Its buffer is small so that little is taken from a muted process.
func (p *Process) read(from *os.File, each func([]byte)) {
	defer from.Close()
	defer p.Change(func() { p.readers-- })
	r := bufio.NewReaderSize(from, 4096)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			each(line)
		}
		if err != nil {
			return
		}
	}
}

func (p *Process) waitUnmuted() {
	for {
		p.mu.Lock()
		muted, changed := p.state.Muted, p.changed
		p.mu.Unlock()
		if !muted {
			return
		}
		<-changed
	}
}

// Look calls f under the lock of the process, which also guards its owner's data about its
// lines. Change does so too, and then wakes the callers that wait.
func (p *Process) Look(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *Process) Change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.state.Over = p.state.Status != "" && p.readers == 0
	close(p.changed)
	p.changed = make(chan struct{})
}

// ErrTooLate is the end of a wait: its deadline has passed, or the process has ended and
// nothing more will come.
var ErrTooLate = errors.New("too late")

// Wait calls check, under the lock, at each change until it is done or fails.
func (p *Process) Wait(deadline Deadline, check func(State) (done bool, err error)) error {
	timer := time.NewTimer(deadline.Left())
	defer timer.Stop()
	for late := false; ; {
		p.mu.Lock()
		over, changed := p.state.Over, p.changed
		done, err := check(p.state)
		p.mu.Unlock()
		if done || err != nil {
			return err
		}
		if over || late {
			return ErrTooLate
		}
		select {
		case <-changed:
		case <-timer.C:
			left := deadline.Left() // more than nothing if the machine has become slower
			late = left <= 0
			timer.Reset(left)
		}
	}
}

// Await waits until so many of the events that the process has printed are wanted, and returns
// those. With 0 it doesn't wait.
func (p *Process) Await(deadline Deadline, count int, wanted func(*Event) bool) (found []*Event, err error) {
	seen := 0
	err = p.Wait(deadline, func(State) (bool, error) {
		for _, e := range p.events[seen:] {
			if wanted(e) {
				found = append(found, e)
			}
		}
		seen = len(p.events)
		return len(found) >= count, nil
	})
	return found, err
}

// ErrFull says that a process has not read what waits for it.
var ErrFull = errors.New("the process doesn't read its input")

// Write gives the process a line, with its newline.
func (p *Process) Write(line []byte) error {
	select {
	case p.queue <- line:
		return nil
	default:
		return fmt.Errorf("%w: %d lines wait", ErrFull, cap(p.queue))
	}
}

// CloseInput ends the input after the lines that wait.
func (p *Process) CloseInput() error { return p.Write(nil) }

// Unread is how many lines wait for the process to read them.
func (p *Process) Unread() int { return len(p.queue) }

// Mute stops reading standard output, or goes on with it.
func (p *Process) Mute(on bool) { p.Change(func() { p.state.Muted = on }) }

// State is how the process is now.
func (p *Process) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Gone is closed when the process has ended and all that it printed has been handed over.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Pid is the number of the process.
func (p *Process) Pid() int { return p.spec.Cmd.Process.Pid }

// Signal sends a signal: kill, stop, interrupt, freeze or thaw. A process that was sent
// freeze stands still when Signal returns. The error is errors.ErrUnsupported where the
// system doesn't know the signal.
func (p *Process) Signal(name string) error {
	sig, possible := signals[name]
	if !possible {
		return errors.ErrUnsupported
	}
	if err := p.spec.Cmd.Process.Signal(sig); err != nil {
		return err
	}
	if name == "freeze" {
		waitFrozen(p.Pid())
	}
	return nil
}

// Kill ends the process and its children, if it runs. All that it has printed is still read.
func (p *Process) Kill() {
	p.Mute(false)
	killGroup(p.spec.Cmd.Process)
}

// PeakMemory is the most memory in bytes that a running process has had, its part of mapped
// files included; "self" is this one. 0 where there is no /proc, or no process any more.
func PeakMemory(pid string) int64 { return memoryOf(pid, "VmHWM:") }

// Memory is the memory in bytes that a running process has now, likewise.
func Memory(pid int) int64 { return memoryOf(strconv.Itoa(pid), "VmRSS:") }

func memoryOf(pid, which string) int64 {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte(which))
	kilobytes, _, _ := bytes.Cut(rest, []byte("kB"))
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(kilobytes)), 10, 64)
	return n << 10
}

// CPU is the time of a processor that running processes have taken so far, to 10 ms; 0 without /proc.
func CPU(pids ...int) (sum time.Duration) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		var user, system int64
		fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:]) // the name before may have blanks
		if _, err := fmt.Sscan(string(fields[11])+" "+string(fields[12]), &user, &system); err == nil {
			sum += time.Duration(user+system) * (time.Second / 100)
		}
	}
	return sum
}
