package cli

import (
	"net"
	"strings"
	"syscall"
	"testing"
)

// On a terminal a peer that nobody answers says whom it tries, what has come of it, and what to check. Ctrl-C
// ends it with status 0.
func TestJoiningOnTerminal(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	address := silent.LocalAddr().String()
	s := sit(t, "--join", address, "--listen", "127.0.0.1:0")
	s.sees("joining: trying " + address + " …")
	if all := s.all(); !strings.HasPrefix(all, "joining: trying") {
		t.Errorf("before it:\n%s", all)
	}
	s.sees("joining: "+address+": no answer", "quicpeer doctor checks this machine; Ctrl-C gives up") // both come after 3 s
	s.signal(syscall.SIGINT)
	s.ends(0)
}

// On a terminal the log has warnings alone, unless a level is given, and what an info line would say that
// people need is said otherwise.
func TestLogLevelOnTerminal(t *testing.T) {
	t.Parallel()
	s := sit(t, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--plain")
	s.sees("you are ")
	if before := before(s.all(), "you are "); !strings.Contains(before, "serving metrics at http://127.0.0.1:") || strings.Contains(before, "INF") {
		t.Errorf("without a level:\n%s", before)
	}
	s.Press("ctrl+d")
	s.sees("WRN standard input has ended, so this peer leaves; --no-input makes it stay")
	s.ends(0)

	s = sit(t, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--plain", "--log-level", "info")
	s.sees("you are ")
	if before := before(s.all(), "you are "); !strings.Contains(before, "INF serving metrics url=http://127.0.0.1:") || strings.Contains(before, "metrics at") {
		t.Errorf("with a level:\n%s", before)
	}
	s.Send("/quit\r")
	s.ends(0)
}
