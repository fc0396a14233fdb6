package files

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"quicpeer/overlay"
)

// offer has a peer offer paths, and the other one accept them.
func offer(t *testing.T, from, to *peer, paths ...string) (sent Transfer, got Offered) {
	t.Helper()
	sent, err := from.Offer(t.Context(), to.n.ID(), Source{Paths: paths}, "ref")
	if err != nil {
		t.Fatal(err)
	}
	got = await(to, time.Minute, func(e Offered) bool { return e.Message == sent.Message })
	return sent, got
}

// Files and directories come as they are, with their modes and times, and both sides say so.
func TestSend(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{})
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{
			"report.pdf": random(1, 3<<20+17), "photos/a.jpg": random(2, 1<<20), "photos/b/c.jpg": random(3, 100), "photos/empty": nil, "photos/none/": nil,
		})
		if err := os.Chmod(filepath.Join(src, "report.pdf"), 0o755); err != nil {
			t.Fatal(err)
		}
		old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
		if err := os.Chtimes(filepath.Join(src, "photos/a.jpg"), old, old); err != nil {
			t.Fatal(err)
		}
		sent, got := offer(t, alice, bob, filepath.Join(src, "report.pdf"), filepath.Join(src, "photos"))
		if got.From != "alice" || got.Size != 4<<20+117 || got.Files != 7 || got.Path != overlay.PathDirect || got.Name != "photos/, report.pdf" {
			t.Errorf("offered: %+v", got)
		}
		if names, err := bob.Names(t.Context(), got.File); err != nil || len(names) != 7 {
			t.Errorf("names: %v, %v", names, err)
		}
		if _, err := bob.Accept(got.File, "", "mine"); err != nil {
			t.Fatal(err)
		}
		done := await(bob, time.Minute, always[Done])
		if done.Ref != "mine" || done.Peer != "alice" || done.Path != filepath.Join(w.dir("bob", "in"), "photos") {
			t.Errorf("done: %+v", done)
		}
		at := await(alice, time.Minute, always[Done])
		if at.File != sent.File || at.Peer != "bob" || at.Ref != "ref" {
			t.Errorf("done at the sender: %+v", at)
		}
		w.same(src, w.dir("bob", "in"))
		for _, p := range []*peer{alice, bob} {
			if list := p.Transfers(); len(list) != 1 || list[0].State != StateDone || list[0].Bytes != sent.Size {
				t.Errorf("%s: %+v", p.n.ID(), list)
			}
			if left, _ := filepath.Glob(filepath.Join(w.dir(string(p.n.ID()), "files"), "*.[hm]*")); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		}
	})
}

// Whoever ends in the middle, a transfer goes on where it was.
// The sender learns that all has come also from a receiver that ends at once.
func TestDoneAndGone(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start(Config{}, "alice")
		bob := w.start(Config{Accept: Rule{All: true}}, "bob", "alice")
		await(alice, time.Minute, func(e overlay.PeerJoined) bool { return e.ID == "bob" })
		path := filepath.Join(w.dir("alice", "out"), "a.txt")
		if err := os.WriteFile(path, []byte("all of it"), 0o600); err != nil {
			t.Fatal(err)
		}
		takes := make(chan struct{})
		bob.book.to = func(e overlay.Event) { <-takes; bob.note(e) }
		for range maxEvents + 1 {
			bob.book.tell(Waits{})
		}
		if _, err := alice.Offer(t.Context(), "bob", Source{Paths: []string{path}}, ""); err != nil {
			t.Fatal(err)
		}
		for len(bob.Transfers()) == 0 || bob.Transfers()[0].State != StateDone {
			time.Sleep(time.Second)
		}
		closed := make(chan error)
		go func() { closed <- bob.Files.Close() }()
		synctest.Wait() // the event Done has no room yet
		close(takes)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		await(alice, time.Minute, func(e Done) bool { return e.Peer == "bob" })
	})
}

func TestGoesOn(t *testing.T) {
	for _, who := range []string{"alice", "bob"} {
		t.Run(who, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				slow := Config{Up: 2 << 20}
				alice, bob := w.pair(slow, Config{})
				src := w.dir("alice", "out")
				w.tree(src, map[string][]byte{"big": random(1, 25<<20+5), "small/a": random(2, 5), "small/b": random(3, 500)})
				_, got := offer(t, alice, bob, filepath.Join(src, "big"), filepath.Join(src, "small"))
				if _, err := bob.Accept(got.File, "", ""); err != nil {
					t.Fatal(err)
				}
				for n := int64(1); n <= 2; n++ {
					before := await(bob, time.Hour, func(e Progress) bool { return e.Bytes > n*8<<20 })
					if who == "alice" {
						alice.stop()
						time.Sleep(30 * time.Second)
						alice = w.start(slow, "alice", "bob")
					} else {
						bob.stop()
						time.Sleep(30 * time.Second)
						bob = w.start(Config{}, "bob", "alice")
					}
					after := await(bob, time.Hour, func(e Progress) bool { return e.Bytes > n*8<<20 })
					if after.Bytes < before.Bytes {
						t.Errorf("it was at %d, and after the restart at %d", before.Bytes, after.Bytes)
					}
				}
				await(bob, time.Hour, always[Done])
				await(alice, time.Hour, always[Done])
				w.same(src, w.dir("bob", "in"))
			})
		})
	}
}

// A source that changes in the middle is never mixed.
func TestChanged(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{Up: 2 << 20}, Config{})
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"big": random(1, 16<<20)})
		_, got := offer(t, alice, bob, filepath.Join(src, "big"))
		if _, err := bob.Accept(got.File, "", ""); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Hour, func(e Progress) bool { return e.Bytes > 5<<20 })
		w.tree(src, map[string][]byte{"big": random(2, 16<<20)})
		for _, p := range []*peer{alice, bob} {
			if e := await(p, time.Hour, always[Ended]); e.Cancelled {
				t.Errorf("%+v", e)
			}
		}
		if left := w.list(w.dir("bob", "in")); len(left) != 1 {
			t.Errorf("left: %d", len(left))
		}
	})
}

// Each side can end it: what has come is removed, and the other side learns it.
func TestCancel(t *testing.T) {
	for _, who := range []string{"alice", "bob"} {
		t.Run(who, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				alice, bob := w.pair(Config{Up: 2 << 20}, Config{})
				src := w.dir("alice", "out")
				w.tree(src, map[string][]byte{"big": random(1, 16<<20)})
				sent, got := offer(t, alice, bob, filepath.Join(src, "big"))
				if _, err := bob.Accept(got.File, "", ""); err != nil {
					t.Fatal(err)
				}
				await(bob, time.Hour, func(e Progress) bool { return e.Bytes > 5<<20 })
				var err error
				if who == "alice" {
					_, err = alice.Cancel(sent.File)
				} else {
					_, err = bob.Cancel(got.File)
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range []*peer{alice, bob} {
					if e := await(p, time.Minute, always[Ended]); !e.Cancelled {
						t.Errorf("%s: %+v", p.n.ID(), e)
					}
				}
				time.Sleep(time.Minute)
				if left := w.list(w.dir("bob", "in")); len(left) != 1 {
					t.Errorf("left: %d", len(left))
				}
			})
		})
	}
}

// Of an offer to everyone each pulls for itself, also a peer that was not here.
func TestEveryone(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{Accept: Rule{All: true}})
		carol := w.start(Config{Accept: Rule{From: []overlay.ID{"alice"}, Max: 10 << 20}}, "carol", "alice")
		dave := w.start(Config{Accept: Rule{Never: true}}, "dave", "alice")
		for _, id := range []overlay.ID{"carol", "dave"} {
			await(alice, time.Minute, func(e overlay.PeerJoined) bool { return e.ID == id })
		}
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 5<<20)})
		sent, err := alice.Offer(t.Context(), overlay.Everyone, Source{Paths: []string{filepath.Join(src, "f")}}, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*peer{bob, carol} {
			await(p, time.Minute, always[Done])
			w.same(src, w.dir(string(p.n.ID()), "in"))
		}
		await(alice, time.Minute, func(e Ended) bool { return e.Peer == "dave" && e.Cancelled })
		await(alice, time.Minute, func(e Done) bool { return e.Peer == "carol" })
		now := alice.Transfers()
		if len(now) != 1 || len(now[0].Receivers) != 3 || sent.File != now[0].File {
			t.Errorf("%+v", now)
		}
		if have[Done](dave) {
			t.Error("dave has got it")
		}
	})
}

// Over another peer it goes as well, and directly as soon as that can be.
func TestCarried(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{Up: 512 << 10}, Config{})
		w.start(Config{}, "carol", "alice", "bob")
		for _, p := range []*peer{alice, bob} {
			await(p, time.Minute, func(e overlay.PeerJoined) bool { return e.ID == "carol" })
		}
		w.Cut("alice", "bob")
		time.Sleep(time.Minute)
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 20<<20)})
		_, got := offer(t, alice, bob, filepath.Join(src, "f"))
		for _, e := range []Offered{got, await(alice, time.Minute, always[Offered])} {
			if e.Path != overlay.PathRelayed {
				t.Errorf("offered: %+v", e)
			}
		}
		if _, err := bob.Accept(got.File, "", ""); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Minute, func(e Progress) bool { return e.Bytes > 4<<20 && e.How == overlay.PathRelayed })
		w.Heal("alice", "bob")
		await(bob, time.Hour, func(e Progress) bool { return e.How == overlay.PathDirect })
		w.Cut("alice", "bob")
		await(bob, time.Hour, always[Done])
		await(alice, time.Hour, always[Done])
		w.same(src, w.dir("bob", "in"))
	})
}

// Transfers to one peer and to several share what there is about evenly.
func TestFair(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		all := Config{Accept: Rule{All: true}}
		alice, bob := w.pair(Config{Up: 2 << 20}, all)
		carol := w.start(all, "carol", "alice")
		await(alice, time.Minute, func(e overlay.PeerJoined) bool { return e.ID == "carol" })
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"a": random(1, 20<<20), "b": random(2, 20<<20)})
		for _, name := range []string{"a", "b"} {
			if _, err := alice.Offer(t.Context(), overlay.Everyone, Source{Paths: []string{filepath.Join(src, name)}}, ""); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Second)
		least, most := int64(1<<40), int64(0)
		for _, p := range []*peer{bob, carol} {
			for _, tr := range p.Transfers() {
				least, most = min(least, tr.Bytes), max(most, tr.Bytes)
			}
		}
		if least < most*2/3 || most == 0 {
			t.Errorf("one has %d bytes and another %d", least, most)
		}
		for _, p := range []*peer{bob, carol} {
			await(p, time.Hour, func(e Done) bool { return e.File == 1 })
			await(p, time.Hour, func(e Done) bool { return e.File == 2 })
			w.same(src, w.dir(string(p.n.ID()), "in"))
		}
	})
}

// An offer waits for a peer that is not here, and can be withdrawn before it comes.
func TestAbsent(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{})
		bob.stop()
		await(alice, time.Minute, func(e overlay.PeerLeft) bool { return e.ID == "bob" })
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"a": random(1, 1000), "b": random(2, 1000)})
		first, err := alice.Offer(t.Context(), "bob", Source{Paths: []string{filepath.Join(src, "a")}}, "")
		if err != nil {
			t.Fatal(err)
		}
		second, err := alice.Offer(t.Context(), "bob", Source{Paths: []string{filepath.Join(src, "b")}, As: "c", Note: "as you wanted"}, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := alice.Cancel(first.File); err != nil {
			t.Fatal(err)
		}
		bob = w.start(Config{}, "bob", "alice")
		got := await(bob, time.Minute, always[Offered])
		if got.Message != second.Message || got.Name != "c" || got.Note != "as you wanted" {
			t.Errorf("offered: %+v", got)
		}
		if _, err := bob.Accept(got.File, "", ""); err != nil {
			t.Fatal(err)
		}
		if done := await(bob, time.Minute, always[Done]); filepath.Base(done.Path) != "c" {
			t.Errorf("done: %+v", done)
		}
		if list := bob.Transfers(); len(list) != 1 {
			t.Errorf("%+v", list)
		}
	})
}

// Files of a program's own file system are sent as well, and spooled input is removed at the end.
func TestSources(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{Accept: Rule{All: true}})
		built := fstest.MapFS{"site/index.html": {Data: random(1, 2<<20+1), Mode: 0o644, ModTime: time.Unix(1e9, 0)}, "site/a/b": {Data: []byte("x"), Mode: 0o600}}
		if _, err := alice.Offer(t.Context(), "bob", Source{FS: built, Names: []string{"site"}}, ""); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Minute, always[Done])
		b, err := os.ReadFile(filepath.Join(w.dir("bob", "in"), "site", "index.html"))
		if err != nil || !bytes.Equal(b, built["site/index.html"].Data) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		dir, err := NewTemporary(w.dir("alice", "tmp"))
		if err != nil {
			t.Fatal(err)
		}
		w.tree(dir, map[string][]byte{"input": []byte("piped")})
		sent, err := alice.Offer(t.Context(), "bob", Source{Paths: []string{filepath.Join(dir, "input")}, As: "notes.txt", Temporary: true}, "")
		if err != nil {
			t.Fatal(err)
		}
		if done := await(bob, time.Minute, func(e Done) bool { return e.Name == "notes.txt" }); filepath.Base(done.Path) != "notes.txt" {
			t.Errorf("done: %+v", done)
		}
		await(alice, time.Minute, func(e Done) bool { return e.File == sent.File })
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("the spooled file is there: %v", err)
		}
	})
}

// Impossible offers and acceptances are refused with a reason.
func TestRefused(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{})
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 1000)})
		f := filepath.Join(src, "f")
		var many []string
		for range 10_000 {
			many = append(many, f)
		}
		if _, err := alice.Offer(t.Context(), "bob", Source{Paths: many}, ""); err == nil || !strings.Contains(err.Error(), "send the directory") {
			t.Errorf("10,000 paths: %v", err)
		}
		for name, s := range map[string]Source{
			"nothing": {}, "no such file": {Paths: []string{f + "x"}}, "the root": {Paths: []string{"/"}}, "a device": {Paths: []string{"/dev/null"}},
			"two of one name": {Paths: []string{f, f}}, "a long note": {Paths: []string{f}, Note: string(make([]byte, maxNote+1))}, "a name with a slash": {Paths: []string{f}, As: "a/b"},
			"one name for two": {Paths: []string{f, src}, As: "x"}, "no names": {FS: fstest.MapFS{}}, "names without a file system": {Names: []string{"x"}},
		} {
			if got, err := alice.Offer(t.Context(), "bob", s, ""); err == nil {
				t.Errorf("%s is offered: %+v", name, got)
			}
		}
		if _, err := alice.Offer(t.Context(), "alice", Source{Paths: []string{f}}, ""); err != overlay.ErrToSelf {
			t.Errorf("to itself: %v", err)
		}
		if list := alice.Transfers(); len(list) != 0 {
			t.Errorf("%+v", list)
		}
		sent, got := offer(t, alice, bob, f)
		for name, c := range map[string]struct {
			peer *peer
			file int
			dir  string
		}{
			"one's own": {alice, sent.File, ""}, "no such": {bob, 77, ""}, "into nothing": {bob, got.File, "/no/such/directory"}, "into a file": {bob, got.File, f},
		} {
			if is, err := c.peer.Accept(c.file, c.dir, ""); err == nil {
				t.Errorf("%s is accepted: %+v", name, is)
			}
		}
		if _, err := bob.Cancel(got.File); err != nil {
			t.Fatal(err)
		}
		await(alice, time.Minute, func(e Ended) bool { return e.Cancelled })
		if _, err := bob.Accept(got.File, "", ""); err != ErrOver {
			t.Errorf("after it was declined: %v", err)
		}
		if _, err := alice.Cancel(sent.File); err != ErrOver {
			t.Errorf("after it was declined: %v", err)
		}
	})
}

// A peer can't fill the list of offers: the newest ones count.
func TestManyOffers(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{})
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 1000)})
		var last Transfer
		for range maxOffersOfOne + 3 {
			var err error
			if last, err = alice.Offer(t.Context(), "bob", Source{Paths: []string{filepath.Join(src, "f")}}, ""); err != nil {
				t.Fatal(err)
			}
		}
		await(bob, time.Minute, func(e Offered) bool { return e.Message == last.Message })
		open := 0
		for _, tr := range bob.Transfers() {
			if tr.State == StateOffered {
				open++
			}
		}
		if open != maxOffersOfOne {
			t.Errorf("%d are open", open)
		}
	})
}
