//go:build unix

package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// filesNamed makes files with their names as contents, and returns the directory.
func filesNamed(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// wantFile looks whether a file came whole.
func wantFile(t *testing.T, path, want string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("%s: %q, %v", path, b, err)
	}
}

// A running peer sends files to another, which takes, declines and lists them.
func TestFilesOfRunningPeers(t *testing.T) {
	alice, bob, dir := askable(t)
	bobs := "--state-dir=" + bob.cmd.Args[slices.Index(bob.cmd.Args, "--state-dir")+1]
	alices := "--state-dir=" + dir
	from, in := filesNamed(t, "report.pdf", "photos/sea.jpg", "photos/empty/x"), t.TempDir()
	file := func(name string) string { return filepath.Join(from, name) }

	if f := ask(t, "file", "send", "bob", file("report.pdf"), file("photos"), "--no-wait", alices); f.status != 0 || f.out != "1\n" || f.errors != "" {
		t.Fatalf("%+v", f)
	}
	bob.event("file_offered")
	if f := ask(t, "file", "list", "1", bobs); f.status != 0 || !strings.Contains(f.out, "photos/sea.jpg\n") || !strings.Contains(f.out, "report.pdf\n") {
		t.Errorf("%+v", f)
	}
	if f := ask(t, "file", "accept", "1", "--dir", in, bobs); f.status != 0 || f.out != filepath.Join(in, "photos")+"\n"+filepath.Join(in, "report.pdf")+"\n" || f.errors != "" {
		t.Errorf("%+v", f)
	}
	wantFile(t, filepath.Join(in, "report.pdf"), "report.pdf")
	wantFile(t, filepath.Join(in, "photos/sea.jpg"), "photos/sea.jpg")

	// Standard input, which the sender's peer removes when it is over.
	p := start(t, "file", "send", "bob", "-", "--name", "log.txt", alices)
	p.write("piped")
	p.stdin.Close()
	bob.event("file_offered")
	if f := ask(t, "file", "accept", "2", "--dir", in, "--no-wait", bobs); f.status != 0 || f.out != "" || f.errors != "" {
		t.Errorf("%+v", f)
	}
	if out, status := p.rest(); status != 0 || out != "bob has log.txt\n" || p.errors.String() != "" {
		t.Errorf("status %d, %q, %q", status, out, p.errors.String())
	}
	wantFile(t, filepath.Join(in, "log.txt"), "piped")
	if kept, _ := filepath.Glob(filepath.Join(dir, "quicpeer-input-*")); len(kept) > 0 {
		t.Errorf("%q is kept", kept)
	}

	// One that is declined, and one that is interrupted and withdrawn.
	p = start(t, "file", "send", "bob", file("report.pdf"), alices)
	bob.event("file_offered")
	if f := ask(t, "file", "cancel", "3", bobs); f.status != 0 || f.out != "cancelled\n" {
		t.Errorf("%+v", f)
	}
	if out, status := p.rest(); status != 1 || out != "" || !strings.Contains(p.errors.String(), "report.pdf: declined") {
		t.Errorf("declined: status %d, %q, %q", status, out, p.errors.String())
	}
	p = start(t, "file", "send", "bob", file("report.pdf"), "--json", alices)
	p.event("file_offered")
	p.signal(os.Interrupt)
	if _, status := p.rest(); status != 5 || !strings.Contains(p.errors.String(), "the running peer goes on") {
		t.Errorf("interrupted: status %d, %q", status, p.errors.String())
	}
	bob.event("file_offered")
	if f := ask(t, "file", "cancel", "4", alices); f.status != 0 || f.out != "cancelled\n" {
		t.Errorf("%+v", f)
	}
	bob.event("file_failed")
	if f := ask(t, "file", "accept", "4", bobs); f.status != 1 {
		t.Errorf("%+v", f)
	}

	// Programs.
	bob.write(`{"cmd":"file_send","to":"alice","path":"` + file("photos") + `","ref":"p"}` + "\n")
	if e := bob.event("file_offered"); e.Ref != "p" {
		t.Errorf("%+v", e)
	}
	alice.event("message")
	alice.event("file_offered")
	if f := ask(t, "file", "accept", "5", "--dir", in, alices); f.status != 0 || f.out != filepath.Join(in, "photos (2)")+"\n" {
		t.Errorf("%+v", f)
	}
	if e := bob.event("file_done"); e.Ref != "p" {
		t.Errorf("%+v", e)
	}
}

// Two peers that are started for one transfer alone.
func TestFilesAlone(t *testing.T) {
	from, in, port := filesNamed(t, "report.pdf", "photos/sea.jpg"), t.TempDir(), freePort(t)
	receiver := start(t, "file", "receive", "-listen", "127.0.0.1"+port, "--id", "bob", "--state-dir", t.TempDir(), "--from", "alice", "--dir", in)
	stranger := start(t, "file", "send", "-join", "127.0.0.1"+port, "-id", "eve", "--state-dir", t.TempDir(), "bob", filepath.Join(from, "report.pdf"))
	sender := start(t, "file", "send", "-join", "127.0.0.1"+port, "-id", "alice", "--state-dir", t.TempDir(), "bob", filepath.Join(from, "photos"), filepath.Join(from, "report.pdf"))
	if out, status := sender.rest(); status != 0 || out != "bob has photos/, report.pdf\n" || sender.errors.String() != "" {
		t.Errorf("sending: status %d, %q, %q", status, out, sender.errors.String())
	}
	if out, status := receiver.rest(); status != 0 || out != filepath.Join(in, "photos")+"\n"+filepath.Join(in, "report.pdf")+"\n" {
		t.Errorf("receiving: status %d, %q, %q", status, out, receiver.errors.String())
	}
	wantFile(t, filepath.Join(in, "photos/sea.jpg"), "photos/sea.jpg")
	stranger.signal(syscall.SIGTERM)
	if _, status := stranger.rest(); status != 5 {
		t.Errorf("nobody took it: status %d, %q", status, stranger.errors.String())
	}

	nobody := start(t, "file", "send", "-join", "127.0.0.1:9", "--join-timeout", "100ms", "bob", filepath.Join(from, "report.pdf"))
	if out, status := nobody.rest(); status != 4 || out != "" {
		t.Errorf("nobody there: status %d, %q", status, out)
	}
	idle := start(t, "file", "receive", "-listen", "127.0.0.1:0", "--json")
	idle.event("ready")
	idle.signal(os.Interrupt)
	if _, status := idle.rest(); status != 1 || !strings.Contains(idle.errors.String(), "nothing was offered") {
		t.Errorf("nothing was offered: status %d, %q", status, idle.errors.String())
	}
}

// Peers of their own that are killed go on when the same commands are started again.
func TestFilesAloneGoOn(t *testing.T) {
	from, in, port, states := t.TempDir(), t.TempDir(), freePort(t), t.TempDir()
	large := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
	if err := os.WriteFile(filepath.Join(from, "large"), []byte(large), 0o600); err != nil {
		t.Fatal(err)
	}
	receive := func() *process {
		return start(t, "file", "receive", "--json", "-listen", "127.0.0.1"+port, "--id", "bob", "--state-dir", filepath.Join(states, "bob"), "--dir", in)
	}
	send := func() *process {
		return start(t, "file", "send", "--json", "-join", "127.0.0.1"+port, "--join-timeout", "0", "--upload-limit", "2M", "-id", "alice", "--state-dir", filepath.Join(states, "alice"), "bob", filepath.Join(from, "large"))
	}
	receiver, sender := receive(), send()
	receiver.event("file_progress")
	receiver.signal(os.Kill)
	_ = receiver.status()
	sender.signal(os.Kill)
	_ = sender.status()
	receiver, sender = receive(), send()
	offered := func(p *process) (n int) {
		for p.stdout.Scan() {
			n += strings.Count(p.stdout.Text(), `"event":"file_offered"`)
		}
		return n
	}
	if n, status := offered(sender), sender.status(); status != 0 || n != 0 {
		t.Errorf("sending: status %d, %d more offers, %q", status, n, sender.errors.String())
	}
	if n, status := offered(receiver), receiver.status(); status != 0 || n != 0 {
		t.Errorf("receiving: status %d, %d more offers, %q", status, n, receiver.errors.String())
	}
	wantFile(t, filepath.Join(in, "large"), large)
}

// In plain lines files are offered and taken by typed lines.
func TestFilesTyped(t *testing.T) {
	from, in := filesNamed(t, "my report.pdf"), t.TempDir()
	alice := start(t, "-listen", "127.0.0.1:0", "--id", "alice", "--state-dir", t.TempDir())
	line := func(p *process, want string) string {
		t.Helper()
		for p.stdout.Scan() {
			if strings.Contains(p.stdout.Text(), want) {
				return p.stdout.Text()
			}
		}
		t.Fatalf("no line with %q; %s", want, p.errors.String())
		return ""
	}
	_, address, _ := strings.Cut(line(alice, "listening on "), "listening on ")
	bob := start(t, "-join", address, "-listen", "127.0.0.1:0", "--id", "bob", "--state-dir", t.TempDir())
	line(alice, "bob joined")
	bob.write("/send alice '" + filepath.Join(from, "my report.pdf") + "'\n")
	line(bob, "* 1 is offered to alice: my report.pdf (13 bytes); /drop 1 withdraws it")
	line(alice, "bob -> you offers 1: my report.pdf (13 bytes); /get 1 takes it")
	alice.write("/get 1 " + in + "\n")
	line(alice, "* 1 my report.pdf is at "+filepath.Join(in, "my report.pdf"))
	line(bob, "* alice has 1 my report.pdf")
	alice.write("/files\n")
	line(alice, "is at ")
}
