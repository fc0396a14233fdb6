package store

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
)

// TestFound: a private network is made once, with a key of its own and the founder as its admin, and
// the directory keeps both for their owner's eyes alone.
func TestFound(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenState(t, dir, "alice")
	if err := s.Found("home", 7); err != nil {
		t.Fatal(err)
	}
	made, ok := s.Membership()
	if !ok || !made.Network.IsPrivate() || made.Network.Name != "home" {
		t.Fatalf("made %+v", made)
	}
	if !certs.VerifyGrant(made.Network.Key, made.Network.Key, made.Pass.GetGrant()) || made.Pass.GetIssuer() != nil {
		t.Errorf("the founder's pass: %v", made.Pass)
	}
	for _, name := range []string{networkFile, rootFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	s.Close()
	s = mustOpenState(t, dir, "alice")
	again, _ := s.Membership()
	if again.Network != made.Network || !proto.Equal(again.Pass, made.Pass) {
		t.Errorf("read again: %+v", again)
	}
	if root, err := s.RootKey(); err != nil || root.Key() != made.Network.Key {
		t.Errorf("the network's key: %v, %v", root, err)
	}
	other := certs.Network{Name: "home"}
	if err := s.Enter(Membership{Network: other}); !isOtherNetwork(err) {
		t.Errorf("the open network of that name: %v", err)
	}
	if err := os.Rename(filepath.Join(dir, rootFile), filepath.Join(t.TempDir(), rootFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RootKey(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the key was moved away: %v", err)
	}
}

func isOtherNetwork(err error) bool {
	_, ok := errors.AsType[*OtherNetworkError](err)
	return ok
}

// TestFoundAfterCrash: a key that a crash has left without a network is used, not replaced.
func TestFoundAfterCrash(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenState(t, dir, "alice")
	root, err := makeKey(s.RootPath())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Found("", 1); err != nil {
		t.Fatal(err)
	}
	if m, _ := s.Membership(); m.Network.Key != root.Key() {
		t.Error("another key was made")
	}
}

// TestDamagedNetwork: a file that is not what was written is reported, never guessed at.
func TestDamagedNetwork(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenState(t, dir, "alice")
	if err := s.Found("home", 7); err != nil {
		t.Fatal(err)
	}
	s.Close()
	path := filepath.Join(dir, networkFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(whole)
	lines := strings.SplitAfter(text, "\n")
	for what, damaged := range map[string]string{
		"another label":  text[:5] + "7777" + text[9:],
		"no key":         lines[0] + lines[2],
		"a short key":    lines[0] + keyLine + base64.StdEncoding.EncodeToString([]byte("short")) + "\n" + lines[2],
		"half a pass":    lines[0] + lines[1] + lines[2][:40] + "\n",
		"not base64":     lines[0] + keyLine + "!\n",
		"an unknown one": text + "more aaaa\n",
	} {
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := OpenState(dir, "alice"); !isDamaged(err) {
			t.Errorf("%s: %v", what, err)
			if s != nil {
				s.Close()
			}
		}
	}
	if err := errors.Join(os.WriteFile(path, whole, 0o600), os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(dir, "alice"); err == nil {
		t.Error("the network's public key is open to others, and nobody says so")
	}
}

func isDamaged(err error) bool {
	_, ok := errors.AsType[*DamagedError](err)
	return ok
}
