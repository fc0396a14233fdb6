package cli

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// own is a peer on a terminal of its own, with a state directory of its own unless one is given, and bob.
func own(t *testing.T, args ...string) (s *seat, bob *process) {
	t.Helper()
	s = ownFirst(t, args...)
	return s, joinedBy(t, s)
}

// ownFirst is own without bob.
func ownFirst(t *testing.T, args ...string) *seat {
	t.Helper()
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	return sit(t, append([]string{"--listen", "127.0.0.1:0", "--id", "alice"}, args...)...)
}

var addressShown = regexp.MustCompile(`-join (127\.0\.0\.1:\d+)`)

// joinedBy starts bob, who joins the peer at this terminal.
func joinedBy(t *testing.T, s *seat) *process {
	t.Helper()
	s.sees("quicpeer -join 127.0.0.1:")
	s.waits("the address", func() bool { return addressShown.MatchString(s.all()) })
	bob := start(t, "--json", "--listen", "127.0.0.1:0", "--id", "bob", "--state-dir", t.TempDir(), "--join", addressShown.FindStringSubmatch(s.all())[1])
	bob.event("ready")
	s.sees("bob ") // joined, or is here
	return bob
}

// toAlice has bob send a text.
func toAlice(bob *process, text string) {
	bob.t.Helper()
	bob.write(`{"cmd":"send","to":"alice","body":"` + text + `"}` + "\n")
}

// lastRow is the last row of the terminal with something on it.
func (s *seat) lastRow() string {
	rows := strings.Split(s.Text(), "\n")
	return rows[len(rows)-1]
}

// left checks that the last thing on the terminal is that the peer has left, on a row of its own.
func (s *seat) left() {
	s.t.Helper()
	if !regexp.MustCompile(`^\d\d:\d\d \* left$`).MatchString(s.lastRow()) || strings.Contains(s.Text(), "alice>") {
		s.t.Errorf("at the end:\n%s", s.all())
	}
}

// A peer on its own terminal begins in line mode, goes to full screen and back, and ends in several ways, each of
// which leaves the terminal as it was.
func TestOwnTerminal(t *testing.T) {
	for name, test := range map[string]struct {
		full bool
		end  func(*seat)
	}{
		"/quit":                   {false, func(s *seat) { s.Send("/quit\r") }},
		"a draft of two rows":     {true, func(s *seat) { s.Paste("a\nb"); s.Press("f2", "f2", "ctrl+c", "ctrl+d") }},
		"/quit in full screen":    {true, func(s *seat) { s.Send("/quit\r") }},
		"Ctrl-D":                  {false, func(s *seat) { s.Press("ctrl+d") }},
		"Ctrl-D in full screen":   {true, func(s *seat) { s.Press("ctrl+d") }},
		"Ctrl-C":                  {false, func(s *seat) { s.Press("ctrl+c"); s.sees("Ctrl-C again leaves the network"); s.Press("ctrl+c") }},
		"SIGTERM":                 {false, func(s *seat) { s.signal(syscall.SIGTERM) }},
		"SIGTERM in full screen":  {true, func(s *seat) { s.signal(syscall.SIGTERM) }},
		"SIGINT in full screen":   {true, func(s *seat) { s.signal(syscall.SIGINT) }},
		"SIGTERM of a half line":  {false, func(s *seat) { s.Send("half"); s.prompts("alice> half"); s.signal(syscall.SIGTERM) }},
		"Ctrl-D on a half line":   {false, func(s *seat) { s.Send("half"); s.prompts("alice> half"); s.Press("ctrl+c", "ctrl+d") }},
		"Ctrl-C on a search":      {false, func(s *seat) { s.Press("ctrl+r"); s.sees(`search`); s.Press("ctrl+c", "ctrl+c", "ctrl+c") }},
		"as soon as it is turned": {false, func(s *seat) { s.Press("f2", "f2", "f2", "ctrl+d") }},
	} {
		t.Run(name, func(t *testing.T) {
			s, bob := own(t)
			s.prompts("alice> ")
			toAlice(bob, "in line mode")
			s.sees("bob -> you: in line mode")
			if test.full {
				s.Press("f2")
				s.waits("full screen", s.AltScreen)
				bob.write(`{"cmd":"send","to":"*","body":"in full screen"}` + "\n")
				s.waits("a message in full screen", func() bool { return strings.Contains(s.Text(), "in full screen") })
			}
			test.end(s)
			s.ends(0)
			s.left()
			if test.full && !strings.Contains(s.all(), "bob: in full screen") {
				t.Errorf("what came meanwhile is not shown:\n%s", s.all())
			}
		})
	}
}

// Full screen and back: what was shown before stands where it stood, and what came meanwhile follows.
func TestFullScreenAndBack(t *testing.T) {
	s, bob := own(t, "--full")
	s.waits("full screen", s.AltScreen)
	toAlice(bob, "one")
	for range 3 {
		s.Press("f2")
		s.waits("line mode", func() bool { return !s.AltScreen() })
		s.sees("bob -> you: one")
		s.prompts("alice> ")
		s.Press("f2")
		s.waits("full screen", s.AltScreen)
	}
	toAlice(bob, "two")
	s.Send("/line\r")
	s.sees("bob -> you: two")
	s.prompts("alice> ")
	s.Send("@bob three\r")
	if e := bob.event("message"); e.Body != "three" {
		t.Errorf("%+v", e)
	}
	s.Press("ctrl+d")
	s.ends(0)
	s.left()
	if _, pushed := s.KeyboardFlags(); pushed != 0 {
		t.Errorf("%d flags of the keyboard are left", pushed)
	}
	if n := strings.Count(s.all(), "bob -> you: one"); n != 1 {
		t.Errorf("a message is there %d times:\n%s", n, s.all())
	}
}

// After a kill the next run works, on the terminal as that has left it.
func TestKilledOnTerminal(t *testing.T) {
	dir := t.TempDir()
	s := ownFirst(t, "--state-dir", dir)
	s.prompts("alice> ")
	s.Send("before\r")
	s.sees("alice: before")
	s.signal(syscall.SIGKILL)
	if status := s.leader.status(); status != 128+9 {
		t.Errorf("status %d", status)
	}
	s = ownFirst(t, "--state-dir", dir)
	s.prompts("alice> ")
	s.Press("ctrl+p")
	s.prompts("alice> before")
	s.Press("ctrl+c", "ctrl+d")
	s.ends(0)
}

// The second signal while leaving ends the process at once; the terminal is as before.
func TestInterruptedTwiceOnTerminal(t *testing.T) {
	for _, full := range []bool{false, true} {
		s, bob := own(t, "--drain", "1h")
		s.prompts("alice> ")
		bob.signal(syscall.SIGSTOP)
		s.Send("@bob hello\r")
		s.sees("alice -> bob: hello")
		if full {
			s.Press("f2")
			s.waits("full screen", s.AltScreen)
		}
		s.signal(syscall.SIGINT)
		s.becomes("the settings are restored", func() bool { return s.settings() == s.before })
		s.signal(syscall.SIGINT)
		s.ends(128 + 2)
		bob.signal(syscall.SIGCONT)
	}
}

// Ctrl-Z stops a peer on its own terminal, which is as before meanwhile. It goes on where it was.
func TestSuspended(t *testing.T) {
	for _, full := range []bool{false, true} {
		s, bob := own(t)
		s.prompts("alice> ")
		raw := s.settings()
		if full {
			s.Press("f2")
			s.waits("full screen", s.AltScreen)
		}
		s.Send("half ")
		s.waits("what is typed", func() bool { return strings.Contains(s.lastRow(), "alice> half") })
		for range 2 {
			s.Press("ctrl+z")
			s.becomes("it is stopped", func() bool { return s.state() == "T" })
			s.waits("what it has shown is gone", func() bool { return s.tidied() && !strings.Contains(s.Text(), "alice> half") })
			s.tidy(s.settings())
			if strings.Contains(s.Text(), "alice> half") {
				t.Errorf("while it is stopped there is a prompt:\n%s", s.all())
			}
			s.size(70, 20)
			s.signal(syscall.SIGCONT)
			s.waits("it goes on", func() bool { return strings.Contains(s.lastRow(), "alice> half") && s.AltScreen() == full })
			if s.settings() != raw {
				t.Errorf("the settings are %+v, not %+v", s.settings(), raw)
			}
		}
		s.Press("ctrl+u")
		s.Send("@bob whole\r")
		if e := bob.event("message"); e.Body != "whole" {
			t.Errorf("%+v", e)
		}
		s.Press("ctrl+d")
		s.ends(0)
		s.left()
	}
}

// Of a command that no shell could continue, such as the only one in a window, Ctrl-Z stops nothing.
func TestSuspendedAlone(t *testing.T) {
	s, bob := own(t, alone)
	s.prompts("alice> ")
	raw := s.settings()
	s.Press("ctrl+z")
	s.becomes("the terminal is given back", func() bool { return s.settings() == s.before })
	s.becomes("it goes on", func() bool { return s.settings() == raw })
	s.prompts("alice> ")
	s.Send("@bob hello\r")
	if e := bob.event("message"); e.Body != "hello" {
		t.Errorf("%+v", e)
	}
	s.Press("ctrl+d")
	s.ends(0)
}

// The size of the terminal is followed.
func TestResized(t *testing.T) {
	s, _ := own(t)
	s.prompts("alice> ")
	s.Press("f2")
	s.waits("full screen", s.AltScreen)
	for _, size := range [][2]int{{100, 30}, {40, 10}, {20, 5}, {120, 40}, {1, 1}, {80, 24}} {
		s.size(size[0], size[1])
		s.waits("a screen of that size", func() bool {
			rows := strings.Split(s.Text(), "\n")
			return size[1] < 5 || len(rows) == size[1] && strings.HasPrefix(rows[len(rows)-1], "alice>"[:min(6, size[0]/2-2)])
		})
	}
	s.Send("/quit\r")
	s.ends(0)
	s.left()
}

// A terminal that takes nothing doesn't keep the peer from leaving.
func TestFrozenTerminal(t *testing.T) {
	s, bob := own(t)
	s.prompts("alice> ")
	s.freeze()
	text := strings.Repeat("a flood ", 500)
	for range 50 {
		toAlice(bob, text)
	}
	for range 50 {
		bob.event("sent")
	}
	s.signal(syscall.SIGTERM)
	if e := bob.event("peer_left"); e.ID != "alice" || e.Reason != "left" {
		t.Errorf("%+v", e)
	}
	if status := s.leader.status(); status != 1 {
		t.Errorf("status %d", status)
	}
}

// Where the help says so there are plain lines, without colours.
func TestWithoutPrompt(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	for name, test := range map[string]struct {
		variables []string
		args      []string
	}{
		"--plain":      {nil, []string{"--plain"}},
		"ACCESSIBLE":   {[]string{"ACCESSIBLE=1"}, nil},
		"TERM=dumb":    {[]string{"TERM=dumb"}, nil},
		"--plain full": {nil, []string{"--plain", "--full"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TERM", "xterm")
			t.Setenv("XDG_STATE_HOME", t.TempDir())
			for _, v := range test.variables {
				name, value, _ := strings.Cut(v, "=")
				t.Setenv(name, value)
			}
			s := sit(t, append([]string{"--listen", "127.0.0.1:0", "--id", "alice"}, test.args...)...)
			s.sees("you are alice", "quicpeer -join")
			if s.settings() != s.before || s.AltScreen() {
				t.Error("there is line editing")
			}
			bob := joinedBy(t, s)
			s.Send("@bob hello\r")
			if e := bob.event("message"); e.Body != "hello" {
				t.Errorf("%+v", e)
			}
			toAlice(bob, "colourful")
			s.sees("colourful")
			if s.coloured() {
				t.Errorf("there are colours:\n%s", s.all())
			}
			s.Send("/quit\r")
			s.ends(0)
		})
	}
}

// coloured says whether anything on the screen has a colour.
func (s *seat) coloured() bool {
	width, height := s.Size()
	for y := range height {
		for x := range width {
			if c := s.Cell(x, y); c.Style.Fg != nil || c.Style.Attrs != 0 {
				return true
			}
		}
	}
	return false
}

// Colours are left out with NO_COLOR, in the chat too; QUICPEER_FULL is --full.
func TestColours(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	for _, no := range []string{"", "1"} {
		t.Setenv("NO_COLOR", no)
		t.Setenv("QUICPEER_FULL", "true")
		s := sit(t, "--listen", "127.0.0.1:0", "--id", "alice")
		s.waits("full screen", s.AltScreen)
		s.waits("the prompt", func() bool { return strings.HasPrefix(s.lastRow(), "alice>") })
		if got := s.coloured(); got != (no == "") {
			t.Errorf("NO_COLOR=%q: coloured %v", no, got)
		}
		s.Press("ctrl+d")
		s.ends(0)
	}
}

// A line of the log stands above the prompt, as one line.
func TestLogAbovePrompt(t *testing.T) {
	s, _ := own(t, "--log-level", "debug")
	s.Send("half a line")
	s.prompts("alice> half a line")
	s.sees("DBG")
	rows := strings.Split(s.all(), "\n")
	for i, row := range rows[:len(rows)-1] {
		if strings.Contains(row, "alice>") {
			t.Errorf("row %d is %q", i, row)
		}
	}
	if row := regexp.MustCompile(`(?m)^.*DBG.*$`).FindString(after(s.all(), "/help lists")); !regexp.MustCompile(`^(\d\d:\d\d ! )?\d\d:\d\d:\d\d DBG `).MatchString(row) {
		t.Errorf("a row of the log: %q", row)
	}
	s.Press("ctrl+c", "ctrl+d")
	s.ends(0)
}

func after(s, text string) string {
	_, s, _ = strings.Cut(s, text)
	return s
}

// On coming back to a peer what came while nobody looked is marked as new, also when the peer ran as a
// service meanwhile.
func TestNewSince(t *testing.T) {
	dir := t.TempDir()
	s, bob := own(t, "--state-dir", dir)
	s.prompts("alice> ")
	toAlice(bob, "first")
	s.sees("bob -> you: first")
	if strings.Contains(s.all(), "new since") {
		t.Errorf("nothing is new:\n%s", s.all())
	}
	s.Press("ctrl+d")
	s.ends(0)

	service := start(t, "--json", "--no-input", "--listen", "127.0.0.1:0", "--id", "alice", "--state-dir", dir)
	address := service.event("ready").Listen[0]
	carol := start(t, "--json", "--listen", "127.0.0.1:0", "--id", "carol", "--state-dir", t.TempDir(), "--join", address)
	carol.event("ready")
	says(service, carol, "second")
	service.signal(os.Interrupt)
	if status := service.status(); status != 0 {
		t.Errorf("the service: status %d\n%s", status, service.errors.String())
	}

	for _, isNew := range []bool{true, false} {
		s = ownFirst(t, "--state-dir", dir)
		s.sees("carol -> you: second")
		s.prompts("alice> ")
		all := s.all()
		if strings.Count(all, "new since") != map[bool]int{true: 1}[isNew] {
			t.Errorf("new: %v\n%s", isNew, all)
		}
		if isNew && (!strings.Contains(before(all, "new since"), "first") || strings.Contains(before(all, "new since"), "second")) {
			t.Errorf("the mark stands elsewhere:\n%s", all)
		}
		s.Press("ctrl+d")
		s.ends(0)
	}
}
