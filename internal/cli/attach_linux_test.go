package cli

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// seat is a terminal at which a command runs.
type seat struct {
	*process
	user, program *os.File
	before        unix.Termios
	shown         string
}

// sit starts a command with all of its standard streams on a terminal.
func sit(t *testing.T, args ...string) *seat {
	t.Helper()
	s := &seat{process: newProcess(t, args...)}
	s.user, s.program = openTerminal(t)
	s.before = s.settings()
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.program, s.program, s.program
	s.launch()
	// When nothing holds the other end, reading what is shown ends.
	watchdog := time.AfterFunc(time.Minute, func() { s.program.Close() })
	t.Cleanup(func() { watchdog.Stop() })
	return s
}

func (s *seat) settings() unix.Termios {
	s.t.Helper()
	settings, err := unix.IoctlGetTermios(int(s.program.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return *settings
}

// reads waits until the text is shown, and forgets what is shown up to its end.
func (s *seat) reads(text string) (before string) {
	s.t.Helper()
	for b := make([]byte, 1024); !strings.Contains(s.shown, text); {
		n, err := s.user.Read(b)
		if s.shown += string(b[:n]); err != nil {
			s.t.Fatalf("%q is not shown, but %q, %v", text, s.shown, err)
		}
	}
	before, s.shown, _ = strings.Cut(s.shown, text)
	return before
}

func (s *seat) types(keys string) {
	s.t.Helper()
	if _, err := io.WriteString(s.user, keys); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the end of the command, after which the terminal must be as it was before.
func (s *seat) ends(status int) {
	s.t.Helper()
	if err := s.cmd.Wait(); s.cmd.ProcessState.ExitCode() != status {
		s.t.Errorf("ended with %v, not with status %d", err, status)
	}
	if after := s.settings(); after != s.before {
		s.t.Errorf("the terminal was %+v, is %+v", s.before, after)
	}
	s.program.Close()
}

// On a terminal attach shows what was said before and what is said, and sends what is typed. Ctrl-D
// and Ctrl-C leave the peer running; whoever comes back sees what is new.
func TestAttach(t *testing.T) {
	alice, bob, dir := askable(t)
	says(alice, bob, "the first")

	s := sit(t, "attach", "--state-dir", dir)
	s.reads("you are alice")
	if before := s.reads("the first"); !strings.Contains(before, "earlier:") || strings.Contains(before, "new since") {
		t.Errorf("at the beginning: %q", before)
	}
	s.reads("alice> ")
	if s.settings() == s.before {
		t.Error("there is no line editing")
	}
	says(alice, bob, "the second")
	s.reads("the second")
	s.types("@bob helo\x7flo\r") // corrected
	if e := bob.event("message"); e.From != "alice" || e.Body != "hello" {
		t.Errorf("%+v", e)
	}
	s.reads("✓ bob: hello")
	s.types("\x04")
	s.ends(0)

	says(alice, bob, "the third")
	s = sit(t, "attach", "--state-dir", dir)
	if before := s.reads("the third"); strings.Count(before, "new since") != 1 || !strings.Contains(before[:strings.Index(before, "new since")], "the second") {
		t.Errorf("after it was away: %q", before)
	}
	s.reads("alice> ")
	s.types("half a li\x03")
	s.ends(0)

	s = sit(t, "attach", "--state-dir", dir)
	if before := s.reads("the third"); strings.Contains(before, "new since") {
		t.Errorf("nothing is new: %q", before)
	}
	s.reads("alice> ")
	s.types("/quit\r")
	s.reads("* left")
	s.ends(0)
	if status := alice.status(); status != 0 {
		t.Errorf("alice: status %d", status)
	}
}

// When the peer is killed, attach gives the terminal back and says what has happened.
func TestAttachedPeerKilled(t *testing.T) {
	alice, _, dir := askable(t)
	s := sit(t, "attach", "--state-dir", dir)
	s.reads("alice> ")
	s.types("half a li")
	s.reads("half a li")
	alice.signal(os.Kill)
	s.ends(1)
	s.reads("quicpeer: the peer has stopped before it had answered")
	s.reads("hint: ")
	s = sit(t, "attach", "--state-dir", dir)
	s.ends(7)
	s.reads("no peer is running in ")
}
