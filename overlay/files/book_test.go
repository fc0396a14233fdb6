package files

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What a kill or a power cut has left half written, or of a transfer that nobody remembers, holds nothing up.
func TestLeftBehind(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{})
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 3<<20)})
		_, got := offer(t, alice, bob, filepath.Join(src, "f"))
		if _, err := bob.Names(t.Context(), got.File); err != nil { // it has the manifest now
			t.Fatal(err)
		}
		bob.stop()
		state := w.dir("bob", "files")
		w.tree(state, map[string][]byte{"1.manifest": []byte("half"), ".new-1.json-7": []byte("{"), "2.manifest": []byte("another"), "2.hashes": []byte("another"), ".new-9.json-8": nil})
		bob = w.start(Config{Accept: Rule{All: true}}, "bob", "alice")
		if _, err := bob.Accept(got.File, "", ""); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Minute, func(e Done) bool { return e.File == 1 })
		if _, err := alice.Offer(t.Context(), "bob", Source{Paths: []string{filepath.Join(src, "f")}}, ""); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Minute, func(e Done) bool { return e.File == 2 })
		left, err := os.ReadDir(state)
		if err != nil || len(left) != 2 {
			t.Errorf("left: %v, %v", left, err)
		}
	})
}
