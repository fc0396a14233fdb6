package overlay

import (
	"strings"
	"testing"
)

func wantPlace(t *testing.T, n *Node, reader string, want uint64) {
	t.Helper()
	if got, err := n.History().Place(reader); got != want || err != nil {
		t.Errorf("the place of %q is %d, %v; want %d", reader, got, err, want)
	}
}

func setPlace(t *testing.T, n *Node, reader string, pos uint64) {
	t.Helper()
	if err := n.History().SetPlace(reader, pos); err != nil {
		t.Fatal(err)
	}
}

// TestPlace: a reader of the history finds its place again after a restart, the last one, until it is
// forgotten.
func TestPlace(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		alice := w.start("alice")
		wantPlace(t, alice.Node, "a", 0)
		for pos := range uint64(1000) { // many while one is written
			setPlace(t, alice.Node, "a", pos+1)
		}
		wantPlace(t, alice.Node, "a", 1000)
		setPlace(t, alice.Node, "b c~", 1<<63)
		w.kill(alice)
		alice = w.start("alice")
		wantPlace(t, alice.Node, "a", 1000)
		wantPlace(t, alice.Node, "b c~", 1<<63)
		wantPlace(t, alice.Node, "b", 0)
		setPlace(t, alice.Node, "a", 0)
		setPlace(t, alice.Node, "never set", 0)
		wantPlace(t, alice.Node, "a", 0)
		w.kill(alice)
		alice = w.start("alice")
		wantPlace(t, alice.Node, "a", 0)
		wantPlace(t, alice.Node, "b c~", 1<<63)
		for _, name := range []string{"", strings.Repeat("x", 65), "ä", "a\n", "\x7f"} {
			if err := alice.History().SetPlace(name, 1); err == nil {
				t.Errorf("%q is taken as a name", name)
			}
			if _, err := alice.History().Place(name); err == nil {
				t.Errorf("%q has a place", name)
			}
		}
		setPlace(t, alice.Node, strings.Repeat("x", 64), 1)
		if err := alice.Close(); err != nil {
			t.Fatal(err)
		}
		<-alice.done
		setPlace(t, alice.Node, "a", 1)
		if err := alice.Err(); err != nil {
			t.Errorf("setting a place after the end makes it %v", err)
		}
	})
}

// TestPlaceWithoutHistory: there is none to go on from.
func TestPlaceWithoutHistory(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		w.noHistory = true
		alice := w.start("alice")
		bob := w.start("bob", "alice") // without a state directory
		for _, p := range []*peer{alice, bob} {
			setPlace(t, p.Node, "a", 7)
			wantPlace(t, p.Node, "a", 0)
		}
	})
	if pos, err := new(History).Place("a"); pos != 0 || err != nil {
		t.Error(pos, err)
	}
}
