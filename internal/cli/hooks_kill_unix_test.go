//go:build unix

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json"
)

// idsIn counts the lines of a file, to which commands of --on-message write.
func idsIn(t *testing.T, file string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	ids := map[string]int{}
	for line := range strings.Lines(string(text)) {
		ids[strings.TrimSpace(line)]++
	}
	return ids
}

// writesIDs is a command of --on-message that appends the ID of its message to a file.
func writesIDs(file string) string { return `sh -c 'echo "$QUICPEER_ID" >>"$1"' sh ` + file }

// messages reads the next events up to so many of that name, and returns the IDs of their messages.
func (p *process) messages(event string, many int) (ids []string) {
	p.t.Helper()
	for len(ids) < many && p.stdout.Scan() {
		var e struct{ Event, Message string }
		if err := json.Unmarshal(p.stdout.Bytes(), &e, json.MatchCaseInsensitiveNames(true)); err != nil {
			p.t.Fatal(err)
		}
		if e.Event == event {
			ids = append(ids, e.Message)
		}
	}
	if len(ids) < many {
		p.t.Fatalf("%d events %s, not %d; standard error:\n%s", len(ids), event, many, p.errors.String())
	}
	return ids
}

// A peer that is killed while messages come runs its command for each of them at least once, in its next
// run if need be, and for none again whose command had ended long before.
func TestHookOfAKilledPeer(t *testing.T) {
	dir := t.TempDir()
	file, address := filepath.Join(dir, "ids"), "127.0.0.1"+freePort(t)
	startMe := func() *process {
		t.Helper()
		me := start(t, "--json", "--listen", address, "--id", "me", "--state-dir", filepath.Join(dir, "me"), "--on-message", writesIDs(file))
		me.event("ready")
		return me
	}
	me := startMe()
	bob := start(t, "--json", "--join", address, "--listen", "127.0.0.1:0", "--id", "bob", "--state-dir", filepath.Join(dir, "bob"))
	bob.event("ready")
	send := func(many int) {
		bob.write(strings.Repeat(`{"cmd":"send","to":"me","body":"x"}`+"\n", many))
	}
	send(60)
	all := bob.messages("delivered", 60)
	await(t, "the first commands", func() bool { return len(idsIn(t, file)) == 60 })
	// Whatever a peer has stored before it takes a message is on the disk when that is sent. Of the place of
	// the hook, which may be stored twice in a row, that is the second.
	for range 2 {
		me.write(`{"cmd":"send","to":"nobody","body":"x"}` + "\n")
		me.event("sent")
	}
	ended := make(chan int)
	read := func(me *process) { ended <- me.status() } // its output, to the end
	go read(me)
	for round := range 2 {
		send(100)
		await(t, "some more commands", func() bool { return len(idsIn(t, file)) > len(all)+20 })
		me.signal(syscall.SIGKILL)
		<-ended
		me = startMe()
		go read(me)
		all = append(all, bob.messages("delivered", 100)...)
		await(t, fmt.Sprint("all commands of round ", round), func() bool {
			ids := idsIn(t, file)
			for _, id := range all {
				if ids[id] == 0 {
					return false
				}
			}
			return true
		})
	}
	me.signal(syscall.SIGKILL)
	<-ended
	ids := idsIn(t, file)
	if len(ids) != len(all) {
		t.Errorf("%d IDs are in the file, and %d messages were delivered", len(ids), len(all))
	}
	for _, id := range all[:50] {
		if ids[id] != 1 {
			t.Errorf("the command for an early message was run %d times", ids[id])
		}
	}
}

// The first run with a command is killed before one has ended: the next one begins where it has begun. (The
// commands of a peer that is killed go on.)
func TestHookOfAPeerKilledInItsFirstRun(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ids")
	command := `sh -c 'echo "$RUN begins" >>"$1"; until [ -e "$1.$RUN" ]; do sleep 0.02; done; echo "$RUN $QUICPEER_ID" >>"$1"' sh ` + file
	letGo := func(run string) {
		if err := os.WriteFile(file+"."+run, nil, 0o600); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { letGo("1") })
	startMe := func(run string) *process {
		t.Helper()
		t.Setenv("RUN", run)
		return start(t, "--json", "--listen", "127.0.0.1:0", "--id", "me", "--state-dir", filepath.Join(dir, "me"), "--on-message", command)
	}
	me := startMe("1")
	address := me.event("ready").Listen[0]
	bob := start(t, "--json", "--join", address, "--listen", "127.0.0.1:0", "--id", "bob", "--state-dir", filepath.Join(dir, "bob"))
	bob.event("ready")
	bob.write(strings.Repeat(`{"cmd":"send","to":"me","body":"x"}`+"\n", 6))
	ids := bob.messages("delivered", 6)
	me.write(`{"cmd":"send","to":"nobody","body":"x"}` + "\n") // the place was stored before
	me.event("sent")
	await(t, "four run", func() bool { return idsIn(t, file)["1 begins"] == 4 })
	me.signal(syscall.SIGKILL)
	me.status()
	letGo("2")
	startMe("2").event("ready")
	lines := func(run string) (n int) {
		found := idsIn(t, file)
		for _, id := range ids {
			n += found[run+" "+id]
		}
		return n
	}
	await(t, "the commands of all", func() bool { return lines("2") == 6 })
	letGo("1")
	await(t, "those that were left", func() bool { return lines("1") == 4 })
}

// While nobody reads standard output the commands run.
func TestHookBesideStuckOutput(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ids")
	me := start(t, "--json", "--no-input", "--listen", "127.0.0.1:0", "--id", "me", "--state-dir", filepath.Join(dir, "me"), "--on-message", writesIDs(file))
	address := me.event("ready").Listen[0]
	bob := start(t, "--json", "--join", address, "--listen", "127.0.0.1:0", "--id", "bob", "--state-dir", filepath.Join(dir, "bob"))
	bob.event("ready")
	const many = 100 // more than a pipe holds
	bob.write(strings.Repeat(`{"cmd":"send","to":"me","body":"`+strings.Repeat("x", 3000)+`"}`+"\n", many))
	await(t, "all commands", func() bool { return len(idsIn(t, file)) == many })
	bob.signal(syscall.SIGKILL)
}
