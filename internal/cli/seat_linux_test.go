package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/sys/unix"

	"quicpeer/internal/emulator"
)

func init() { programs["job"] = func() { os.Exit(job()) } }

// limit is how long a command may run.
const limit = time.Minute

// alone is an argument that makes the command itself the leader of the session.
const alone = "alone"

// job is what a shell does for a command: it is the leader of a session on the terminal that is its
// standard input, and runs the command there as the job in the foreground. It says the process ID, and ends as
// the command does.
func job() int {
	args := slices.DeleteFunc(os.Args[1:], func(arg string) bool { return arg == alone })
	if len(args) < len(os.Args[1:]) { // without a shell this process is the command
		_, _ = fmt.Println(os.Getpid())
		if err := syscall.Dup2(0, 1); err != nil {
			panic(err)
		}
		if err := syscall.Dup2(0, 2); err != nil {
			panic(err)
		}
		os.Args = append([]string{"quicpeer"}, args...)
		return Main("")
	}
	signal.Ignore(syscall.SIGTTOU, syscall.SIGHUP)
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := &exec.Cmd{
		Path: self, Args: append([]string{"quicpeer"}, os.Args[1:]...), Stdin: os.Stdin, Stdout: os.Stdin, Stderr: os.Stdin,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: int(os.Stdin.Fd())},
	}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	fmt.Println(cmd.Process.Pid)
	_ = cmd.Wait() // the state says it
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// seat is a terminal at which a command runs, in the foreground.
type seat struct {
	*emulator.Terminal
	t             *testing.T
	leader        *process // of the session
	pid           int      // of the command
	user, program *os.File
	before        unix.Termios
	changed       chan struct{} // holds a token when something was shown
	read          chan struct{} // closed when all is shown, since nothing holds the other end
	frozen        sync.Mutex    // held while the terminal takes nothing
}

// sit starts a command on a terminal of 80 by 24.
func sit(t *testing.T, args ...string) *seat {
	t.Helper()
	s := &seat{t: t, leader: newProcess(t, args...), Terminal: emulator.New(80, 24), changed: make(chan struct{}, 1), read: make(chan struct{})}
	s.user, s.program = openTerminal(t)
	s.size(80, 24)
	s.before = s.settings()
	s.leader.cmd.Args[0] = "job"
	s.leader.cmd.Stdin, s.leader.cmd.Stderr = s.program, os.Stderr
	s.leader.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	s.leader.run()
	if !s.leader.stdout.Scan() {
		t.Fatal("the command was not started")
	}
	var err error
	if s.pid, err = strconv.Atoi(s.leader.stdout.Text()); err != nil {
		t.Fatal(err)
	}
	go s.show()
	typing := make(chan struct{})
	go func() {
		defer close(typing)
		_, _ = io.Copy(s.user, s.Terminal) // fails at the end
	}()
	watchdog := time.AfterFunc(limit, func() { _ = syscall.Kill(s.pid, syscall.SIGKILL); s.program.Close() })
	t.Cleanup(func() {
		watchdog.Stop()
		_ = syscall.Kill(s.pid, syscall.SIGKILL) // mostly it has ended
		s.program.Close()
		s.frozen.TryLock()
		s.frozen.Unlock()
		<-s.read
		_ = s.Terminal.Close()
		<-typing
	})
	return s
}

// show has the terminal obey what the command writes.
func (s *seat) show() {
	defer close(s.read)
	r := bufio.NewReader(s.user)
	for b := make([]byte, 4096); ; {
		n, err := s.take(r, b)
		_, _ = s.Terminal.Write(b[:n]) // it can't fail
		select {
		case s.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// take reads, unless the terminal is frozen. One that is frozen while it waits takes one thing more.
func (s *seat) take(r io.Reader, b []byte) (int, error) {
	func() {
		s.frozen.Lock()
		defer s.frozen.Unlock()
	}()
	return r.Read(b)
}

// freeze has the terminal take nothing more, until the end of the test.
func (s *seat) freeze() { s.frozen.Lock() }

// size sets that of the terminal, of which the kernel tells the command.
func (s *seat) size(width, height int) {
	s.t.Helper()
	s.Resize(width, height)
	if err := unix.IoctlSetWinsize(int(s.user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(width), Row: uint16(height)}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *seat) settings() unix.Termios {
	s.t.Helper()
	settings, err := unix.IoctlGetTermios(int(s.program.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return *settings
}

// all is what has been shown outside of the alternate screen, and the screen.
func (s *seat) all() string {
	return strings.Join(append(s.Scrollback(), s.Text()), "\n")
}

// waits waits until something is so on the screen.
func (s *seat) waits(what string, ok func() bool) {
	s.t.Helper()
	for !ok() {
		select {
		case <-s.changed:
		case <-s.read:
			if !ok() {
				s.t.Fatalf("not seen: %s\n%s", what, s.all())
			}
			return
		}
	}
}

// sees waits until texts are shown, wherever the terminal wraps them.
func (s *seat) sees(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		s.waits(fmt.Sprintf("%q", text), func() bool { return strings.Contains(dense(s.all()), dense(text)) })
	}
}

// dense is a text without blanks and line ends.
func dense(s string) string { return strings.Join(strings.Fields(s), "") }

// prompts waits until the last row is this prompt, with the cursor behind it.
func (s *seat) prompts(prompt string) {
	s.t.Helper()
	s.waits(fmt.Sprintf("the prompt %q", prompt), func() bool {
		rows := strings.Split(s.Text(), "\n")
		x, y := s.Cursor()
		return rows[len(rows)-1] == strings.TrimRight(prompt, " ") && x == len(prompt) && y == len(rows)-1
	})
}

// becomes waits until something is so that shows nowhere on the screen.
func (s *seat) becomes(what string, ok func() bool) {
	s.t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-s.read:
			s.t.Fatalf("not so: %s\n%s", what, s.all())
		}
	}
}

// state is that of the command's process, as in proc(5).
func (s *seat) state() string {
	s.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

func (s *seat) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(s.pid, signal); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the end of the command, after which the terminal must be as it was before.
func (s *seat) ends(status int) {
	s.t.Helper()
	if got := s.leader.status(); got != status {
		s.t.Errorf("ended with status %d, not %d\n%s", got, status, s.all())
	}
	after := s.settings()
	s.program.Close()
	<-s.read
	s.tidy(after)
}

// tidy checks that nothing is left of what a program has asked of the terminal.
func (s *seat) tidy(after unix.Termios) {
	s.t.Helper()
	if after != s.before {
		s.t.Errorf("the terminal was %+v, is %+v", s.before, after)
	}
	if !s.tidied() {
		flags, pushed := s.KeyboardFlags()
		s.t.Errorf("the terminal is left with: alternate screen %v, keyboard %d (%d pushed), cursor %v, bracketed paste %v, reports of focus %v", s.AltScreen(), flags, pushed, s.CursorShown(), s.Mode(ansi.ModeBracketedPaste), s.Mode(ansi.ModeFocusEvent))
	}
}

// tidied says that nothing is left of what a program has asked of the terminal.
func (s *seat) tidied() bool {
	flags, _ := s.KeyboardFlags()
	return !s.AltScreen() && flags == 0 && s.CursorShown() && !s.Mode(ansi.ModeBracketedPaste) && !s.Mode(ansi.ModeFocusEvent)
}
