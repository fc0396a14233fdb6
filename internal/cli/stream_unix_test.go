//go:build unix

package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shared is a command whose standard input, output and error are pipes of which the test
// holds both ends, so that it can set them to non-blocking after the start.
type shared struct {
	cmd                      *exec.Cmd
	stdin, stdout, stderr    *os.File // our ends
	itsStdin, itsOut, itsErr *os.File
}

func startShared(t *testing.T, args ...string) *shared {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pipe := func() (r, w *os.File) {
		if r, w, err = os.Pipe(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return r, w
	}
	s := &shared{cmd: &exec.Cmd{Path: self, Args: append([]string{"quicpeer"}, args...)}}
	s.itsStdin, s.stdin = pipe()
	s.stdout, s.itsOut = pipe()
	s.stderr, s.itsErr = pipe()
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.itsStdin, s.itsOut, s.itsErr
	s.setNonblock(t, false) // unlike what os.Pipe makes
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(time.Minute, func() { s.cmd.Process.Kill() })
	t.Cleanup(func() {
		watchdog.Stop()
		s.cmd.Process.Kill()
		s.cmd.Wait()
	})
	return s
}

func (s *shared) setNonblock(t *testing.T, on bool) {
	t.Helper()
	for _, f := range []*os.File{s.itsStdin, s.itsOut, s.itsErr} {
		descriptor(t, f, func(fd int) error { return syscall.SetNonblock(fd, on) })
	}
}

// descriptor uses a file's descriptor without File.Fd, which would make it blocking.
func descriptor(t *testing.T, f *os.File, do func(fd int) error) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err == nil {
		problem := raw.Control(func(fd uintptr) { err = do(int(fd)) })
		err = errors.Join(err, problem)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// awaitFull waits until a pipe to which the process writes is full.
func (s *shared) awaitFull(t *testing.T, pipe *os.File) {
	t.Helper()
	var fd int32
	descriptor(t, pipe, func(n int) error { fd = int32(n); return nil })
	for {
		list := []unix.PollFd{{Fd: fd, Events: unix.POLLOUT}}
		if _, err := unix.Poll(list, 0); err != nil && !errors.Is(err, syscall.EINTR) {
			t.Fatal(err)
		}
		if list[0].Revents == 0 {
			return
		}
		if ended, err := unix.Wait4(s.cmd.Process.Pid, nil, unix.WNOHANG, nil); ended != 0 || err != nil {
			t.Fatalf("it has ended: %v", err)
		}
		runtime.Gosched()
	}
}

// When another process sets standard input, output and error to non-blocking, the peer
// still waits for its input, and loses none of its output.
func TestNonBlockingByOthers(t *testing.T) {
	s := startShared(t, "--json", "--listen", "127.0.0.1:0", "--log-level", "debug")
	out := bufio.NewReader(s.stdout)
	if line, err := out.ReadString('\n'); err != nil || !strings.Contains(line, `"ready"`) {
		t.Fatalf("%q, %v", line, err)
	}
	s.setNonblock(t, true)
	s.itsStdin.Close() // else the process hears of no end of our output
	// The read that was under way is the last that blocks by itself.
	for range 3 {
		if _, err := io.WriteString(s.stdin, "nonsense\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := out.ReadString('\n'); err != nil || !strings.Contains(line, `"error"`) {
			t.Fatalf("%q, %v", line, err)
		}
	}
	const lines = 2000 // more than the pipes hold
	go func() {
		defer s.stdin.Close()
		for i := range lines {
			fmt.Fprintf(s.stdin, "%d %s\n", i, strings.Repeat("x", 190))
		}
	}()
	s.awaitFull(t, s.itsOut)
	s.itsOut.Close()
	hint := make(chan bool)
	go func() {
		problems := bufio.NewScanner(s.stderr)
		said := false
		for !said && problems.Scan() {
			said = strings.HasPrefix(problems.Text(), "quicpeer: hint: all other lines were done")
		}
		hint <- said
	}()
	for i := range lines {
		line, err := out.ReadString('\n')
		if err != nil || !strings.Contains(line, fmt.Sprintf(`"input":"%d x`, i)) || !strings.HasSuffix(line, "}\n") {
			t.Fatalf("%d: %q, %v", i, line, err)
		}
	}
	if line, err := out.ReadString('\n'); err != nil || !strings.Contains(line, `"left"`) {
		t.Errorf("%q, %v", line, err)
	}
	s.itsErr.Close()
	if !<-hint {
		t.Error("the end of standard error is lost")
	}
	if s.cmd.Wait(); s.cmd.ProcessState.ExitCode() != 1 { // for the nonsense
		t.Errorf("%v", s.cmd.ProcessState)
	}
}
