package files

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"quicpeer/overlay/files/journal"
	"quicpeer/overlay/files/manifest"
	"quicpeer/overlay/files/place"
	"quicpeer/pb"
)

// A transfer is done once its record is on disk, and not before; a restart in between brings nothing again.
func TestDoneIsRemembered(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{})
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"d/f": random(1, 2<<20)})
		sent, got := offer(t, alice, bob, filepath.Join(src, "d"))
		if _, err := bob.Accept(got.File, "", ""); err != nil {
			t.Fatal(err)
		}
		record := filepath.Join(w.dir("bob", "files"), "1.json")
		kept, err := os.ReadFile(record)
		if err == nil {
			err = os.Remove(record)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.dir("bob", "files", "1.json", "x") // nothing can take its place, as on a full disk
		time.Sleep(time.Minute)
		if have[Done](bob) || !have[Waits](bob) {
			t.Errorf("%+v", bob.Transfers())
		}
		bob.stop()
		if err := errors.Join(os.RemoveAll(record), os.WriteFile(record, kept, 0o600)); err != nil {
			t.Fatal(err)
		}
		bob = w.start(Config{}, "bob", "alice")
		await(bob, time.Minute, always[Done])
		await(alice, time.Minute, always[Done])
		w.same(src, w.dir("bob", "in"))
		if now := alice.Figures(); now.Sent != sent.Size {
			t.Errorf("%d bytes were sent, of %d", now.Sent, sent.Size)
		}
	})
}

// A receiver knows as soon as the network that its sender has crashed, and goes on when the sender is back.
func TestSenderCrashes(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		slow := Config{Up: 1 << 20}
		alice, bob := w.pair(slow, Config{})
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 12<<20)})
		_, got := offer(t, alice, bob, filepath.Join(src, "f"))
		if _, err := bob.Accept(got.File, "", ""); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Minute, func(e Progress) bool { return e.Bytes > 3<<20 })
		alice.stop()
		if e := await(bob, 5*time.Second, always[Waits]); e.Reason != "alice is not here" {
			t.Errorf("it waits: %+v", e)
		}
		w.start(slow, "alice", "bob")
		await(bob, 5*time.Second, func(e Progress) bool { return e.Bytes > 4<<20 })
		await(bob, time.Minute, always[Done])
		w.same(src, w.dir("bob", "in"))
	})
}

// A disk that goes away and comes back holds a transfer up for that long only.
func TestDirectoryAway(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{Up: 1 << 20}, Config{})
		src := w.dir("alice", "out")
		files := map[string][]byte{}
		for i := range 40 {
			files[fmt.Sprintf("d/%02d", i)] = random(uint64(i), 500<<10)
		}
		w.tree(src, files)
		_, got := offer(t, alice, bob, filepath.Join(src, "d"))
		in := w.dir("bob", "in")
		if _, err := bob.Accept(got.File, "", ""); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Minute, func(e Progress) bool { return e.Bytes > 5<<20 })
		if err := os.RemoveAll(in); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Minute, always[Waits])
		w.dir("bob", "in")
		await(bob, time.Hour, always[Done])
		w.same(src, in)
	})
}

// unsafePull is a pull of 4 chunks of which 2 are written and none is safe, as after a kill.
func unsafePull(t *testing.T) (p *pull) {
	t.Helper()
	dir := t.TempDir()
	stream := random(1, 4*pb.FileChunk)
	m, _, err := manifest.Build(t.Context(), []manifest.Root{{FS: fstest.MapFS{"f": {Data: stream, Mode: 0o644}}, Name: "f"}})
	if err != nil {
		t.Fatal(err)
	}
	b := &book{log: slog.New(slog.DiscardHandler)}
	p = &pull{puller: &puller{book: b}, transfer: newTransfer(b), manifest: m, chunks: 4}
	if p.hashes, err = journal.OpenHashes(filepath.Join(dir, "h"), 4); err != nil {
		t.Fatal(err)
	}
	if p.place, err = place.Open(dir, ".quicpeer-part-1", m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.release)
	for i := range int64(2) {
		c := stream[i*pb.FileChunk : (i+1)*pb.FileChunk]
		if err := p.place.WriteAt(c, i*pb.FileChunk); err != nil {
			t.Fatal(err)
		}
		if err := p.hashes.Set(i, sha256.Sum256(c)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// What could not be made safe comes again, also after the parts were closed, since what can be read may not be on disk.
func TestUnsafeComesAgain(t *testing.T) {
	p := unsafePull(t)
	if err := p.verify(t.Context()); err != nil || p.verified != 2 {
		t.Fatalf("%d are good: %v", p.verified, err)
	}
	p.safe.err = errors.New("the disk is broken")
	if err := p.rest(); err == nil {
		t.Error("it is safe")
	}
	if err := p.verify(t.Context()); err != nil || p.verified != 0 {
		t.Errorf("%d are good: %v", p.verified, err)
	}
}

// A record of 100,000 paths can be stored.
func TestSomeOf(t *testing.T) {
	var paths []string
	for i := range 100_000 {
		paths = append(paths, fmt.Sprintf("/home/bob/Downloads/%d", i))
	}
	n := 0
	for _, path := range someOf(paths) {
		n += len(path)
	}
	if n > maxPathBytes || n < maxPathBytes-100 || len(someOf(paths[:5])) != 5 {
		t.Errorf("%d bytes", n)
	}
}
