package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is a user to whom nothing here belongs.
const nobody = 65534

// asNobody runs f as nobody, on a thread of its own: for the kernel each thread has a user.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocks it, so that the thread ends with the goroutine
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
			done <- errno
			return
		}
		f()
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// needsRoot skips a test that needs several users.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
}

// A process of another user is refused by what the kernel says of it, even if it can open the
// socket: it learns why, and nothing of the peer.
func TestAnotherUser(t *testing.T) {
	needsRoot(t)
	p := start(t)
	dir := filepath.Dir(p.client.path)
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), os.Chmod(p.client.path, 0o666)); err != nil {
		t.Fatal(err)
	}
	for range 500 { // whoever of the two is faster
		c := newClient(p.client.path, nil)
		c.http.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (conn net.Conn, err error) {
			asNobody(t, func() { conn, err = net.Dial("unix", p.client.path) })
			return conn, err
		}
		id, err := c.ID(t.Context())
		refused, ok := errors.AsType[*Refused](err)
		if !ok || *refused != (Refused{"this peer belongs to another user", "not_yours"}) || id != "" {
			t.Fatalf("%q, %v", id, err)
		}
	}
	if id, err := p.client.ID(t.Context()); err != nil || id != "me" {
		t.Errorf("the peer's own user is told %q, %v", id, err)
	}
}

// Many connections of another user that say nothing keep nobody out.
func TestAnotherUserInNumbers(t *testing.T) {
	needsRoot(t)
	p := start(t)
	dir := filepath.Dir(p.client.path)
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), os.Chmod(p.client.path, 0o666)); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		for range maxRefused + maxClients {
			c, err := net.Dial("unix", p.client.path)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	})
	if id, err := p.client.ID(t.Context()); err != nil || id != "me" {
		t.Errorf("the peer's own user is told %q, %v", id, err)
	}
}

// A client does not use the socket of another user, nor one that lies where another user could
// have put it.
func TestSocketOfAnotherUser(t *testing.T) {
	needsRoot(t)
	p := start(t)
	refused := func(what, want string) {
		t.Helper()
		if _, err := Find(t.Context(), p.dir, p.getenv); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := Find(t.Context(), "", p.getenv); !isNoPeer(err) {
			t.Errorf("%s, as the only peer: %v", what, err)
		}
	}
	asNobody(t, func() { refused("a state directory that can't be read", "ask its peer as the user who runs it") })
	for dir := p.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(filepath.Join(p.dir, pathFile), 0o644), os.Chmod(filepath.Dir(filepath.Dir(p.client.path)), 0o755)); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		refused("the directory of root", "which belongs to another user: ask the peer as the user who runs it")
	})
	if err := os.Chown(filepath.Dir(p.client.path), nobody, -1); err != nil {
		t.Fatal(err)
	}
	refused("the directory of nobody", "which belongs to another user")
}
