//go:build unix

package cli

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// askable starts alice, who can be asked by her state directory, and bob.
func askable(t *testing.T) (alice, bob *process, dir string) {
	t.Helper()
	sockets, err := os.MkdirTemp("", "qp") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	t.Setenv("XDG_RUNTIME_DIR", sockets)
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	dir = t.TempDir()
	alice = start(t, "--json", "--no-input", "-listen", "127.0.0.1:0", "--id", "alice", "--state-dir", dir)
	bob = start(t, "--json", "-listen", "127.0.0.1:0", "--id", "bob", "--state-dir", t.TempDir(), "-join", alice.event("ready").Listen[0])
	bob.event("ready")
	alice.event("peer_joined")
	return alice, bob, dir
}

// says has bob say something, and waits until alice has it.
func says(alice, bob *process, text string) {
	bob.t.Helper()
	bob.write(fmt.Sprintf(`{"cmd":"send","to":"alice","body":%q}`+"\n", text))
	for alice.event("message").Body != text {
	}
}

// finished is the outcome of a command.
type finished struct {
	args        string
	status      int
	out, errors string
}

// ask runs a command of a running peer to its end.
func ask(t *testing.T, args ...string) finished {
	p := newProcess(t, args...)
	var out, errors bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = &out, &errors
	p.launch()
	_ = p.cmd.Wait() // the status says it
	return finished{strings.Join(args, " "), p.cmd.ProcessState.ExitCode(), out.String(), errors.String()}
}

// Commands that ask one peer at once are each carried out as if they were alone.
func TestCommandsAtOnce(t *testing.T) {
	alice, bob, dir := askable(t)
	says(alice, bob, "before")
	carol := start(t, "--json", "--no-input", "-listen", "127.0.0.1:0", "--id", "carol", "--state-dir", t.TempDir()) // in a network of her own
	door := carol.event("ready").Listen[0]
	wants := map[string]string{
		"peers": `(?m)^bob +alive +direct`, "peers --json": `"id":"bob"`, "status": `id +alice`, "net": "OWN ADDRESS", "buffer": "waiting",
		"history": "before", "history bob": "before", "history --search before": "before", "events --from 1": `"body":"before"`,
		"join " + door: "^joined carol at " + door + "\n$", "join " + door + " " + door: "joined carol",
		"ping bob -c 1": `^bob: [0-9.]+ ms, direct\n$`,
	}
	const messages = 8
	for i := range messages {
		wants[fmt.Sprint("send bob number ", i)] = "^delivered to bob\n$"
	}
	var wg sync.WaitGroup
	for args, want := range wants {
		wg.Go(func() {
			if f := ask(t, strings.Split(args+" --state-dir="+dir, " ")...); f.status != 0 || !regexp.MustCompile(want).MatchString(f.out) || f.errors != "" {
				t.Errorf("%+v", f)
			}
		})
	}
	wg.Wait()
	got := map[string]int{}
	for range messages {
		got[bob.event("message").Body]++
	}
	if len(got) != messages {
		t.Errorf("bob has got %v", got)
	}
}

// When the peer leaves, commands under way end at once, with the status that the documentation
// promises and a word. So do those that come too late.
func TestLeaveInTheMiddle(t *testing.T) {
	alice, _, dir := askable(t)
	dir = "--state-dir=" + dir
	const messages = 8
	var sends []*process
	for range messages {
		sends = append(sends, start(t, "send", "zoe", "hello", "--wait", "0", dir))
	}
	for range messages {
		alice.event("buffered")
	}
	events := start(t, "events", dir)
	events.event("ready")
	attach := start(t, "attach", dir) // without a terminal; its input goes on
	attach.write("/status\n")
	ping := start(t, "ping", "bob", "-c", "1000", dir)
	for _, p := range []*process{attach, ping} {
		if !p.stdout.Scan() {
			t.Fatal(p.errors.String())
		}
	}
	late := make(chan finished)
	commands := []string{"send bob hello", "send zoe hello", "peers", "status", "history", "events --from 1", "ping bob -c 1", "join 127.0.0.1:9"}
	leave := start(t, "leave", dir)
	for _, args := range commands {
		go func() { late <- ask(t, strings.Split(args+" "+dir, " ")...) }()
	}
	ends := func(what string, p *process, status int, out, word string) {
		t.Helper()
		got, n := p.rest()
		if n != status || !regexp.MustCompile(out).MatchString(got) || !regexp.MustCompile(word).MatchString(p.errors.String()) {
			t.Errorf("%s ended with status %d, %q, %q", what, n, got, p.errors.String())
		}
	}
	ends("leave", leave, 0, `^left, \d+ undelivered\n$`, "^$")
	for _, p := range sends {
		ends("send", p, 5, "^$", `^quicpeer: the peer has left; the message waits for zoe in its state directory\n$`)
	}
	ends("events", events, 0, `"left",.*\n$`, "^$")
	ends("attach", attach, 0, `\* left, \d+ messages undelivered\n$`, "^$")
	// These may be under way, or come when the peer is leaving or has left.
	gone := map[int]string{0: "^$", 1: "is leaving|has left|has stopped", 5: "waits for", 7: "no peer is running in .*; start one"}
	if _, status := ping.rest(); status != 1 && status != 7 || !regexp.MustCompile(gone[status]).MatchString(ping.errors.String()) {
		t.Errorf("ping ended with status %d, %q", status, ping.errors.String())
	}
	for range commands {
		if f := <-late; gone[f.status] == "" || !regexp.MustCompile(gone[f.status]).MatchString(f.errors) {
			t.Errorf("%+v", f)
		}
	}
	if status := alice.status(); status != 5 {
		t.Errorf("alice ended with status %d", status)
	}
}
