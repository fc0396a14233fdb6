//go:build unix

package cli

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// process is a running command.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	errors strings.Builder
}

// start starts the command, which is killed after a minute, or at the end of the test.
func start(t *testing.T, args ...string) *process { return startWithErrors(t, nil, args...) }

// startWithErrors is start with standard error going elsewhere than to p.errors.
func startWithErrors(t *testing.T, stderr io.Writer, args ...string) *process {
	t.Helper()
	p := newProcess(t, args...)
	p.cmd.Stderr = stderr
	if stderr == nil {
		p.cmd.Stderr = &p.errors
	}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.run()
	return p
}

// newProcess is a command that has not been started.
func newProcess(t *testing.T, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &process{t: t, cmd: &exec.Cmd{Path: self, Args: append([]string{"quicpeer"}, args...)}}
}

// run starts it, for a minute at most.
func (p *process) run() {
	t := p.t
	t.Helper()
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewScanner(stdout)
	p.launch()
}

// launch is run without a pipe for standard output.
func (p *process) launch() {
	t := p.t
	t.Helper()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(time.Minute, func() { p.cmd.Process.Kill() })
	t.Cleanup(func() {
		watchdog.Stop()
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
}

type jsonEvent struct {
	Event, ID, From, Body, Ref, Reason string
	Listen                             []string
	Undelivered                        int
}

// event reads up to the next event of that name.
func (p *process) event(name string) jsonEvent {
	p.t.Helper()
	for p.stdout.Scan() {
		var e jsonEvent
		if err := json.Unmarshal(p.stdout.Bytes(), &e, json.MatchCaseInsensitiveNames(true)); err != nil {
			p.t.Fatalf("%s: %v", p.stdout.Text(), err)
		}
		if e.Event == name {
			return e
		}
	}
	p.t.Fatalf("no %s; standard error:\n%s", name, p.errors.String())
	return jsonEvent{}
}

// status reads to the end, and returns the exit status.
func (p *process) status() int {
	p.t.Helper()
	for p.stdout.Scan() {
	}
	err := p.cmd.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// rest reads to the end, and returns the remaining output and the exit status.
func (p *process) rest() (output string, status int) {
	p.t.Helper()
	var b strings.Builder
	for p.stdout.Scan() {
		b.WriteString(p.stdout.Text() + "\n")
	}
	return b.String(), p.status()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) write(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, s); err != nil {
		p.t.Fatal(err)
	}
}

func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	alice := start(t, "--json", "--no-input", "-listen", "127.0.0.1:0", "--id", "alice", "--state-dir", dir)
	address := alice.event("ready").Listen[0]

	second := start(t, "--state-dir", dir)
	if status := second.status(); status != 3 || !strings.Contains(second.errors.String(), "in use") {
		t.Errorf("the second with that directory: status %d\n%s", status, second.errors.String())
	}

	other := start(t, "-join", address, "--id", "alice", "--state-dir", t.TempDir(), "--log-level", "critical")
	if status := other.status(); status != 3 || strings.Count(other.errors.String(), "\n") != 1 || strings.Count(other.errors.String(), "SHA256:") != 2 {
		t.Errorf("the second with that ID: status %d\n%s", status, other.errors.String())
	}

	foreign := start(t, "-join", address, "--network", "other", "--log-level", "critical")
	if status := foreign.status(); status != 1 || !strings.Contains(foreign.errors.String(), "--network") {
		t.Errorf("of another network: status %d\n%s", status, foreign.errors.String())
	}

	bob := start(t, "-join", address, "--id", "bob", "--state-dir", t.TempDir(), "-listen", "127.0.0.1:0")
	bob.write("@alice hello")
	bob.stdin.Close()
	if status := bob.status(); status != 0 {
		t.Errorf("bob: status %d\n%s", status, bob.errors.String())
	}
	if e := alice.event("peer_joined"); e.ID != "bob" {
		t.Errorf("%+v", e)
	}
	if e := alice.event("message"); e.From != "bob" || e.Body != "hello" {
		t.Errorf("%+v", e)
	}
	if e := alice.event("peer_left"); e.ID != "bob" || e.Reason != "left" {
		t.Errorf("%+v", e)
	}
	alice.signal(os.Interrupt)
	alice.event("left")
	if status := alice.status(); status != 0 {
		t.Errorf("alice: status %d\n%s", status, alice.errors.String())
	}
}

// The first signal while joining ends the peer at once and in good order.
func TestInterruptedWhileJoining(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := startWithErrors(t, w, "--json", "-join", "127.0.0.1:9", "--join-timeout", "0", "--log-level", "debug")
		w.Close()
		if !bufio.NewScanner(r).Scan() { // the first line: it is joining
			t.Fatal("nothing is logged")
		}
		go io.Copy(io.Discard, r)
		p.signal(s)
		if p.stdout.Scan() {
			t.Errorf("%v: %s", s, p.stdout.Text())
		}
		if status := p.status(); status != 0 {
			t.Errorf("%v: status %d", s, status)
		}
		r.Close()
	}
}

// A second signal ends at once a peer that is waiting for receipts.
func TestInterruptedTwice(t *testing.T) {
	alice := start(t, "--json", "-listen", "127.0.0.1:0", "--id", "alice", "--state-dir", t.TempDir(), "--drain", "1h")
	address := alice.event("ready").Listen[0]
	bob := start(t, "--json", "-join", address, "--id", "bob", "--state-dir", t.TempDir(), "-listen", "127.0.0.1:0")
	bob.event("ready")
	alice.event("peer_joined")
	bob.signal(syscall.SIGSTOP)
	alice.write(`{"cmd":"send","to":"bob","body":"hello"}` + "\n")
	alice.event("sent")
	alice.signal(os.Interrupt)
	alice.signal(syscall.SIGTERM)
	if status := alice.status(); status != 128+2 && status != 128+15 { // the order is the kernel's
		t.Errorf("status %d\n%s", status, alice.errors.String())
	}
}
