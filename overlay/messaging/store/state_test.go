package store

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"quicpeer/certs"
)

func mustOpenState(t *testing.T, dir string, id certs.ID) *State {
	t.Helper()
	s, err := OpenState(dir, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// put writes a file of a state directory as another program might.
func put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestStateIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := mustOpenState(t, dir, "bob")
	key := s.Identity.Key()
	if s.ID != "bob" || s.Dir != dir {
		t.Errorf("got %s in %s", s.ID, s.Dir)
	}
	if epoch, err := s.NextEpoch(1000); epoch != 1000 || err != nil {
		t.Errorf("epoch %d, %v", epoch, err)
	}
	if got := listing(t, dir); !slices.Equal(got, []string{"epoch", "id", "key.pem", "lock"}) {
		t.Errorf("the directory holds %v", got)
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]fs.FileMode{filepath.Dir(dir): 0o700, dir: 0o700, filepath.Join(dir, "key.pem"): 0o600} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
			}
		}
	}
	s.Close()
	for _, id := range []certs.ID{"bob", ""} {
		s := mustOpenState(t, dir, id)
		if s.ID != "bob" || s.Identity.Key() != key {
			t.Errorf("opened for %q: %s with key %v, was %v", id, s.ID, s.Identity.Key(), key)
		}
		s.Close()
	}
	_, err := OpenState(dir, "alice")
	if e, ok := errors.AsType[*OtherIDError](err); !ok || e.Stored != "bob" || e.Wanted != "alice" {
		t.Errorf("opened for alice: %v", err)
	}
	mustOpenState(t, dir, "bob") // the failure has let go of the lock
}

func TestRandomIDIsKept(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenState(t, dir, "")
	if !regexp.MustCompile(`^peer-[a-z2-7]{6}$`).MatchString(string(s.ID)) {
		t.Errorf("the certs.ID is %q", s.ID)
	}
	s.Close()
	if again := mustOpenState(t, dir, ""); again.ID != s.ID {
		t.Errorf("the certs.ID was %s and is %s", s.ID, again.ID)
	}
	if id := certs.RandomID(bytes.NewReader([]byte{0, 25, 26, 31, 32, 255})); id != "peer-az27a7" {
		t.Errorf("RandomID: %s", id)
	}
}

func TestStateIsLocked(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenState(t, dir, "bob")
	if _, err := OpenState(dir, "bob"); !errors.Is(err, ErrStateInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	if _, err := s.NextEpoch(1); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("an epoch after Close: %v", err)
	}
	mustOpenState(t, dir, "bob")
}

// TestNetworkIsKept: the directory belongs to the network that it was first in.
func TestNetworkIsKept(t *testing.T) {
	for _, name := range []string{"", "work", "a b "} {
		dir := t.TempDir()
		s := mustOpenState(t, dir, "bob")
		for _, any := range []string{"work", "home", ""} {
			if err := s.CheckNetwork(certs.Network{Name: any}); err != nil {
				t.Errorf("a new directory: %v", err)
			}
		}
		enter := func(s *State, name string) error { return s.Enter(Membership{Network: certs.Network{Name: name}}) }
		if err := enter(s, name); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := errors.Join(s.CheckNetwork(certs.Network{Name: name}), enter(s, name)); err != nil {
				t.Errorf("%q again: %v", name, err)
			}
			for _, err := range []error{s.CheckNetwork(certs.Network{Name: "home"}), enter(s, "home")} {
				if e, ok := errors.AsType[*OtherNetworkError](err); !ok || *e != (OtherNetworkError{dir, name, "home"}) {
					t.Errorf("another network than %q: %v", name, err)
				}
			}
			s.Close()
			s = mustOpenState(t, dir, "")
		}
		s.Close()
		if err := os.Remove(filepath.Join(dir, "network")); err != nil {
			t.Fatal(err)
		}
		if err := enter(mustOpenState(t, dir, "bob"), "home"); err != nil {
			t.Errorf("it can't be moved: %v", err)
		}
	}
	if err := NewState("bob", nil).Enter(Membership{Network: certs.Network{Name: "work"}}); err != nil {
		t.Errorf("nothing is kept: %v", err)
	}
}

func TestNextEpoch(t *testing.T) {
	dir := t.TempDir()
	states := map[string]func() *State{
		"kept nowhere": func() *State { return NewState("bob", certs.NewIdentity(make([]byte, 32))) },
		"kept":         func() *State { return mustOpenState(t, dir, "bob") },
	}
	for name, open := range states {
		t.Run(name, func(t *testing.T) {
			s := open()
			defer s.Close()
			for _, step := range []struct{ least, want uint64 }{{0, 1}, {0, 2}, {100, 100}, {100, 101}, {5, 102}, {1 << 62, 1 << 62}} {
				if got, err := s.NextEpoch(step.least); got != step.want || err != nil {
					t.Errorf("at least %d: got %d, %v, want %d", step.least, got, err, step.want)
				}
			}
		})
	}
	s := mustOpenState(t, dir, "bob") // as after a crash
	if got, err := s.NextEpoch(0); got != 1<<62+1 || err != nil {
		t.Errorf("after a restart: %d, %v", got, err)
	}
	if got, err := s.NextEpoch(math.MaxUint64); got != math.MaxUint64 || err != nil {
		t.Errorf("the last: %d, %v", got, err)
	}
	if got, err := s.NextEpoch(0); err == nil {
		t.Errorf("after the last: %d", got)
	}
}

// An epoch that could not be kept was not given.
func TestNextEpochFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	s := mustOpenState(t, dir, "bob")
	if err := os.RemoveAll(dir); err != nil {
		t.Skip("an open directory can't be removed here")
	}
	if got, err := s.NextEpoch(7); err == nil || got != 0 || !strings.Contains(err.Error(), "epoch") {
		t.Errorf("got %d, %v", got, err)
	}
}

func goodKey(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mustOpenState(t, dir, "x").Close()
	b, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDamagedState(t *testing.T) {
	good := goodKey(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	ecdsaKey := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for name, test := range map[string]struct{ file, content, want string }{
		"empty key":      {keyFile, "", "it is empty"},
		"no PEM":         {keyFile, "secret\n", "not a PEM file"},
		"half a key":     {keyFile, good[:len(good)/2], "not a PEM file"},
		"changed key":    {keyFile, strings.Replace(good, "MC4", "MD4", 1), "no PKCS#8"},
		"two keys":       {keyFile, good + good, "behind the key"},
		"type of PEM":    {keyFile, strings.ReplaceAll(good, "PRIVATE", "ENCRYPTED PRIVATE"), "ENCRYPTED PRIVATE KEY"},
		"type of key":    {keyFile, ecdsaKey, "not Ed25519"},
		"large key":      {keyFile, good + strings.Repeat("\n", smallFile), "too large"},
		"empty ID":       {idFile, "", "it is empty"},
		"bad ID":         {idFile, "b b\n", "an ID consists of"},
		"lines in ID":    {idFile, "bob\nalice\n", "an ID consists of"},
		"empty network":  {networkFile, "", "it is empty"},
		"bad network":    {networkFile, "a\x1bb\n", "printable"},
		"empty epoch":    {epochFile, "", "it is empty"},
		"bad epoch":      {epochFile, "-1\n", "not a number"},
		"too high epoch": {epochFile, "18446744073709551616\n", "not a number"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, keyFile, good)
			put(t, dir, test.file, test.content)
			_, err := OpenState(dir, "bob")
			e, ok := errors.AsType[*DamagedError](err)
			if !ok || e.Path != filepath.Join(dir, test.file) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if b, err := os.ReadFile(filepath.Join(dir, test.file)); err != nil || string(b) != test.content {
				t.Errorf("the file was changed: %q, %v", b, err)
			}
		})
	}
}

func TestStrangeKeyFiles(t *testing.T) {
	good := goodKey(t)
	t.Run("is a directory", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, keyFile), 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := OpenState(dir, "bob")
		if _, ok := errors.AsType[*DamagedError](err); !ok {
			t.Errorf("got %v", err)
		}
	})
	t.Run("is a link", func(t *testing.T) {
		dir, elsewhere := t.TempDir(), t.TempDir()
		if err := os.Symlink(filepath.Join(elsewhere, "k"), filepath.Join(dir, keyFile)); err != nil {
			t.Skip(err)
		}
		_, err := OpenState(dir, "bob")
		if e, ok := errors.AsType[*DamagedError](err); !ok || !strings.Contains(e.Error(), "nowhere") {
			t.Errorf("to nowhere: got %v", err)
		}
		put(t, elsewhere, "k", good)
		mustOpenState(t, dir, "bob")
	})
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o666, 0o700, 0o400} {
		dir := t.TempDir()
		put(t, dir, keyFile, good)
		if err := os.Chmod(filepath.Join(dir, keyFile), mode); err != nil {
			t.Fatal(err)
		}
		s, err := OpenState(dir, "bob")
		e, ok := errors.AsType[*KeyExposedError](err)
		if want := mode&0o077 != 0 && runtime.GOOS != "windows"; ok != want || ok && e.Mode.Perm() != mode {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if s != nil {
			s.Close()
		}
	}
}

// A peer that has lost its key does not become another one.
func TestMissingKey(t *testing.T) {
	for _, name := range []string{idFile, epochFile} {
		dir := t.TempDir()
		put(t, dir, name, "7\n")
		_, err := OpenState(dir, "7")
		if e, ok := errors.AsType[*KeyMissingError](err); !ok || e.Path != filepath.Join(dir, keyFile) {
			t.Errorf("with %s: %v", name, err)
		}
	}
}

// Wherever a crash comes while the directory is made, the next start succeeds,
// with the key if there was one.
func TestCrashLeftovers(t *testing.T) {
	good := goodKey(t)
	for name, files := range map[string]map[string]string{
		"before the key":   {lockFile: "", ".new-key.pem-123": good[:20]},
		"before the ID":    {lockFile: "", keyFile: good, ".new-id-7": ""},
		"in the epoch":     {lockFile: "", keyFile: good, idFile: "bob\n", epochFile: "5\n", ".new-epoch-1": "6"},
		"nothing but lock": {lockFile: ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range files {
				put(t, dir, file, content)
			}
			s := mustOpenState(t, dir, "bob")
			for _, file := range listing(t, dir) {
				if strings.HasPrefix(file, temporary) {
					t.Errorf("%s is left", file)
				}
			}
			if b, err := os.ReadFile(filepath.Join(dir, keyFile)); err != nil || files[keyFile] != "" && string(b) != good {
				t.Errorf("the key: %v", err)
			}
			if files[epochFile] != "" {
				if epoch, err := s.NextEpoch(0); epoch != 6 || err != nil {
					t.Errorf("the epoch: %d, %v", epoch, err)
				}
			}
		})
	}
}

func TestOpenStateFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	put(t, filepath.Dir(file), "f", "")
	if _, err := OpenState(file, "bob"); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file for a directory: %v", err)
	}
	if _, err := OpenState(t.TempDir(), "b/b"); err == nil {
		t.Error("a bad ID")
	}
	if os.Getuid() > 0 { // nothing stops root
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenState(dir, "bob"); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("a read-only directory: %v", err)
		}
	}
}
