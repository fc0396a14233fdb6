package cli

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// On a terminal attach shows what was said before and what is said, and sends what is typed. Ctrl-D
// and Ctrl-C leave the peer running; whoever comes back sees what is new.
func TestAttach(t *testing.T) {
	alice, bob, dir := askable(t)
	says(alice, bob, "the first")

	s := sit(t, "attach", "--state-dir", dir)
	s.sees("you are alice", "the first")
	if all := s.all(); !strings.Contains(before(all, "the first"), "earlier:") || strings.Contains(all, "new since") {
		t.Errorf("at the beginning:\n%s", all)
	}
	s.prompts("alice> ")
	if s.settings() == s.before {
		t.Error("there is no line editing")
	}
	says(alice, bob, "the second")
	s.sees("the second")
	s.Send("@bob helo\x7flo\r") // corrected
	if e := bob.event("message"); e.From != "alice" || e.Body != "hello" {
		t.Errorf("%+v", e)
	}
	s.sees("alice -> bob: hello", "✓ bob")
	s.Press("ctrl+d")
	s.ends(0)

	says(alice, bob, "the third")
	s = sit(t, "attach", "--state-dir", dir)
	s.sees("the third")
	if all := s.all(); strings.Count(all, "new since") != 1 || !strings.Contains(before(all, "new since"), "the second") || strings.Contains(before(all, "new since"), "the third") {
		t.Errorf("after it was away:\n%s", all)
	}
	s.prompts("alice> ")
	s.Send("half a li")
	s.prompts("alice> half a li")
	s.Press("ctrl+c")
	s.prompts("alice> ")
	s.Press("ctrl+c")
	s.sees("Ctrl-C again detaches")
	s.Press("ctrl+c")
	s.ends(0)

	s = sit(t, "attach", "--state-dir", dir)
	s.sees("the third")
	s.prompts("alice> ")
	if all := s.all(); strings.Contains(all, "new since") {
		t.Errorf("nothing is new:\n%s", all)
	}
	s.Send("/quit\r")
	s.ends(0)
	if rows := strings.Split(s.Text(), "\n"); !strings.HasSuffix(rows[len(rows)-1], " * left") {
		t.Errorf("at the end:\n%s", s.all())
	}
	if status := alice.status(); status != 0 {
		t.Errorf("alice: status %d", status)
	}
}

// Two terminals are attached to a peer that has one of its own: each sees what is said at the others. One that is
// stopped, or takes nothing, holds up nobody, and goes on later.
func TestAttachedTogether(t *testing.T) {
	sockets, err := os.MkdirTemp("", "qp") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	t.Setenv("XDG_RUNTIME_DIR", sockets)
	dir := t.TempDir()
	s, bob := own(t, "--state-dir", dir)
	s.prompts("alice> ")
	one, two := sit(t, "attach", "--state-dir", dir), sit(t, "attach", "--state-dir", dir, "--full")
	one.prompts("alice> ")
	two.waits("full screen", two.AltScreen)
	all := []*seat{s, one, two}
	for i, at := range all {
		text := []string{"own", "first", "second"}[i]
		at.Send("@bob " + text + "\r")
		if e := bob.event("message"); e.Body != text {
			t.Errorf("%+v", e)
		}
	}
	two.Press("f2")
	for _, at := range all {
		at.sees("alice -> bob: own", "alice -> bob: first", "alice -> bob: second")
	}
	one.Press("ctrl+z")
	one.becomes("it is stopped", func() bool { return one.state() == "T" })
	one.waits("it has given the terminal back", one.tidied)
	one.tidy(one.settings())
	two.signal(syscall.SIGSTOP)
	toAlice(bob, "meanwhile")
	s.sees("bob -> you: meanwhile")
	one.signal(syscall.SIGCONT)
	two.signal(syscall.SIGCONT)
	one.sees("bob -> you: meanwhile")
	two.sees("bob -> you: meanwhile")
	one.Send("@bob again\r")
	if e := bob.event("message"); e.Body != "again" {
		t.Errorf("%+v", e)
	}
	two.signal(syscall.SIGTERM)
	two.ends(0)
	s.Press("ctrl+d")
	s.ends(0)
	s.left()
	one.ends(0)
	one.sees("* left")
}

func before(s, text string) string {
	s, _, _ = strings.Cut(s, text)
	return s
}

// When the peer is killed, attach gives the terminal back and says what has happened.
func TestAttachedPeerKilled(t *testing.T) {
	for _, keys := range []string{"", "f2"} {
		alice, _, dir := askable(t)
		s := sit(t, "attach", "--state-dir", dir)
		s.prompts("alice> ")
		if keys != "" {
			s.Press(keys)
			s.waits("full screen", s.AltScreen)
		}
		s.Send("half a li")
		s.waits("what is typed", func() bool { return strings.Contains(s.Text(), "alice> half a li") })
		alice.signal(syscall.SIGKILL)
		s.ends(1)
		for _, text := range []string{"\nquicpeer: the peer has stopped before it had answered", "\nquicpeer: hint: "} {
			if !strings.Contains(s.all(), text) {
				t.Errorf("%q is not shown:\n%s", text, s.all())
			}
		}
		s = sit(t, "attach", "--state-dir", dir)
		s.ends(7)
		s.sees("no peer is running in ")
	}
}

// When the peer is stopped, three Ctrl-C leave it: it can't be told.
func TestAttachedPeerStopped(t *testing.T) {
	alice, _, dir := askable(t)
	s := sit(t, "attach", "--state-dir", dir)
	s.prompts("alice> ")
	alice.signal(syscall.SIGSTOP)
	defer alice.signal(syscall.SIGCONT)
	s.Press("ctrl+c", "ctrl+c", "ctrl+c")
	s.ends(1)
	if !strings.Contains(s.all(), "the peer does not answer, so this terminal has left it") {
		t.Errorf("it is not said why:\n%s", s.all())
	}
}
