package files

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicpeer/overlay"
	"quicpeer/overlay/files/journal"
	"quicpeer/pb"
)

// A transfer that takes longer than a connection may be idle comes over one connection, and nothing of it twice.
func TestLongerThanIdle(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{Up: 256 << 10}, Config{})
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 10<<20)})
		sent, got := offer(t, alice, bob, filepath.Join(src, "f"))
		if _, err := bob.Accept(got.File, "", ""); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Hour, always[Done])
		if now := alice.Figures(); now.Sent != sent.Size || now.Read != sent.Size {
			t.Errorf("%d bytes were read and %d sent, of %d", now.Read, now.Sent, sent.Size)
		}
		if have[Waits](bob) {
			t.Error("it has waited")
		}
	})
}

// A receiver that takes nothing of what it asks for leaves something to the others.
func TestHog(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{})
		mallory := w.start(Config{}, "mallory", "alice")
		await(alice, time.Minute, func(e overlay.PeerJoined) bool { return e.ID == "mallory" })
		await(mallory, time.Minute, func(e overlay.PeerJoined) bool { return e.ID == "alice" })
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 20<<20)})
		sent, err := alice.Offer(t.Context(), overlay.Everyone, Source{Paths: []string{filepath.Join(src, "f")}}, "")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			b, err := mallory.n.OpenBulk(t.Context(), "alice", alice.n.Key())
			if err != nil {
				t.Fatal(err)
			}
			defer closeBulk(b)
			for range 7 {
				s, err := b.OpenStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				frame, _ := pb.AppendFile(nil, &pb.FileRequest{Offer: sent.Message[:], Want: pb.FileWant_DATA})
				_, _ = s.Write(frame)
				_ = s.CloseWrite()
			}
		}
		time.Sleep(time.Second)
		got := await(bob, time.Minute, always[Offered])
		if _, err := bob.Accept(got.File, "", ""); err != nil {
			t.Fatal(err)
		}
		await(bob, 20*time.Second, always[Done])
	})
}

// The root needs each missing hash once, and ends with the files.
func TestRoot(t *testing.T) {
	const chunks = 2000
	h, err := journal.OpenHashes(filepath.Join(t.TempDir(), "h"), chunks)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	s := &sums{hashes: h}
	ctx, cancel := context.WithCancel(t.Context())
	made := 0
	again := func(i int64) ([sha256.Size]byte, error) {
		if made++; made == 10 {
			cancel()
		}
		return [sha256.Size]byte{1, byte(i), byte(i >> 8)}, nil
	}
	if _, err := s.root(ctx, [32]byte{7}, chunks, again); !errors.Is(err, context.Canceled) || made != 10 {
		t.Errorf("%v after %d", err, made)
	}
	root, err := s.root(t.Context(), [32]byte{7}, chunks, again)
	want, missing, _ := h.Root([32]byte{7})
	if err != nil || made != chunks || missing >= 0 || root != want {
		t.Errorf("%v after %d: %x, not %x", err, made, root, want)
	}
}

// A source that has become a pipe has changed; nobody waits for what might come through it.
func TestPipe(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{})
		src := filepath.Join(w.dir("alice", "out"), "f")
		w.tree(filepath.Dir(src), map[string][]byte{"f": random(1, 1000)})
		_, got := offer(t, alice, bob, src)
		if err := os.Remove(src); err != nil {
			t.Fatal(err)
		}
		if err := exec.Command("mkfifo", src).Run(); err != nil {
			t.Skip("no pipes: ", err)
		}
		if _, err := bob.Accept(got.File, "", ""); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Minute, func(e Ended) bool { return strings.Contains(e.Error, "changed") })
	})
}

// A receiver that is ignored in the middle gets no more.
func TestIgnoredMeanwhile(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{Up: 1 << 20}, Config{})
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 20<<20)})
		_, got := offer(t, alice, bob, filepath.Join(src, "f"))
		if _, err := bob.Accept(got.File, "", ""); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Minute, func(e Progress) bool { return e.Bytes > 3<<20 })
		if err := alice.n.Ignore("bob"); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Minute, always[Waits])
		time.Sleep(time.Minute)
		if now := alice.Figures().Sent; now > 8<<20 {
			t.Errorf("%d bytes were sent", now)
		}
		if err := alice.n.Unignore("bob"); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Hour, always[Done])
		w.same(src, w.dir("bob", "in"))
	})
}

// A receiver of an offer to everyone that has all, and asks for it again, has it once.
func TestDoneOnce(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{Accept: Rule{All: true}})
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 2<<20)})
		sent, err := alice.Offer(t.Context(), overlay.Everyone, Source{Paths: []string{filepath.Join(src, "f")}}, "")
		if err != nil {
			t.Fatal(err)
		}
		await(alice, time.Minute, always[Done])
		b, err := bob.n.OpenBulk(t.Context(), "alice", alice.n.Key())
		if err != nil {
			t.Fatal(err)
		}
		defer closeBulk(b)
		for _, want := range []pb.FileWant{pb.FileWant_DATA, pb.FileWant_HAVE, pb.FileWant_DECLINED} {
			if _, err := ask(t.Context(), b, &pb.FileRequest{Offer: sent.Message[:], Want: want}, make([]byte, 2<<20+64)); err != nil {
				t.Errorf("%v: %v", want, err)
			}
			if r := alice.Transfers()[0].Receivers[0]; r.State != StateDone || r.Bytes != sent.Size {
				t.Errorf("%v: %+v", want, r)
			}
		}
		time.Sleep(time.Second)
		if n := count[Done](alice); n != 1 {
			t.Errorf("done %d times", n)
		}
	})
}

// A low limit that many share keeps none of them from coming; one that is too low is refused.
func TestLowLimit(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start(Config{Up: minRate}, "alice")
		src := w.dir("alice", "out")
		var all []*peer
		for _, name := range []string{"bob", "carol", "dave", "erin"} {
			all = append(all, w.start(Config{Accept: Rule{All: true}}, name, "alice"))
			await(alice, time.Minute, func(e overlay.PeerJoined) bool { return string(e.ID) == name })
		}
		for i := range byte(maxPulls) {
			name := string('a' + i)
			w.tree(src, map[string][]byte{name: random(uint64(i), 200<<10)})
			if _, err := alice.Offer(t.Context(), overlay.Everyone, Source{Paths: []string{filepath.Join(src, name)}}, ""); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range all {
			for i := range maxPulls {
				await(p, time.Hour, func(e Done) bool { return e.File == i+1 })
			}
			if have[Waits](p) {
				t.Error("one has waited")
			}
		}
		if f, err := Start(Config{Node: alice.n, Up: minRate - 1}); err == nil {
			f.Close()
			t.Error("a lower limit is taken")
		}
	})
}
