package cli

import (
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns the two ends of a pseudo-terminal: what the user types is written to
// the first, and what is shown is read from it.
func openTerminal(t *testing.T) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("there are no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { user.Close() })
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return user, program
}

// On a terminal the ticket is asked for without being shown, in several lines if it was pasted
// so, and the terminal is as before afterwards.
func TestTicketOnTerminal(t *testing.T) {
	for name, test := range map[string]struct {
		typed  string
		status int
		want   string // shown
	}{
		"for another":  {testText + "\r", 2, "the ticket is for the ID bob, not robert"},
		"in two lines": {testText[:70] + "\r" + testText[70:] + "\r", 2, "the ticket is for the ID bob, not robert"},
		"corrected":    {"x" + testText[:9] + "\x15" + testText + "\r", 2, "the ticket is for the ID bob, not robert"},
		"mistyped":     {testText[:70] + "\r\r", 2, "its last characters don't fit"},
		"Ctrl-C":       {testText[:9] + "\x03", 0, "ticket (not shown): "},
		"Ctrl-D":       {"\x04", 0, "ticket (not shown): "},
	} {
		t.Run(name, func(t *testing.T) {
			user, program := openTerminal(t)
			before, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			p := startOnTerminal(t, program, "--id", "robert", "-join", "-")
			shown := ""
			read := func(until string) {
				for b := make([]byte, 1024); !strings.Contains(shown, until); {
					n, err := user.Read(b)
					if shown += string(b[:n]); err != nil {
						t.Fatalf("shown: %q, %v", shown, err)
					}
				}
			}
			read("ticket (not shown): ")
			if _, err := io.WriteString(user, test.typed); err != nil {
				t.Fatal(err)
			}
			if status := p.status(); status != test.status {
				t.Errorf("status %d", status)
			}
			read(test.want)
			if showsTicket(shown) {
				t.Errorf("the ticket is shown: %q", shown)
			}
			after, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
			if err != nil || after.Lflag != before.Lflag || after.Iflag != before.Iflag {
				t.Errorf("the terminal was %+v, is %+v, %v", before, after, err)
			}
		})
	}
}

// startOnTerminal is start with standard input and standard error on a terminal.
func startOnTerminal(t *testing.T, terminal *os.File, args ...string) *process {
	t.Helper()
	p := newProcess(t, args...)
	p.cmd.Stdin, p.cmd.Stderr = terminal, terminal
	p.run()
	return p
}
