package overlay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// While it joins, Start says what becomes of each address: whom it tries, who does not answer, which
// name is unknown, and who has let this peer in.
func TestJoiningIsTold(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		cfg := w.config("bob", "nobody", "alice")
		cfg.Join = append(cfg.Join, "unknown:5000")
		cfg.lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("there is no such host") }
		var told []string
		cfg.Joining = func(p JoinProgress) { told = append(told, fmt.Sprint(p.Address, p.ID, p.Why)) }
		results := startAll(t.Context(), cfg)
		time.Sleep(8 * time.Second)
		w.start("alice")
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		w.peer(r.node).listen()
		nobody, alice := w.Addr("nobody").String(), w.Addr("alice").String()
		for _, want := range []string{nobody, alice, "unknown:5000", nobody + "no answer", alice + "no answer", "unknown:5000the name can't be resolved: there is no such host", alice + "alice"} {
			if !slices.Contains(told, want) {
				t.Errorf("not told: %q", want)
			}
		}
		if n := len(told); n > 40 {
			t.Errorf("told: %q", told)
		}
	})
}

// A refusal is told in the words of the one who refuses.
func TestRefusalIsTold(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.start("alice")
		cfg := w.config("bob", "alice", "nobody")
		cfg.Network = "another"
		var told []JoinProgress
		cfg.Joining = func(p JoinProgress) { told = append(told, p) }
		if _, err := Start(t.Context(), cfg); err == nil {
			t.Fatal("it was let in")
		}
		alice := w.Addr("alice").String()
		want := JoinProgress{Address: alice, Why: `refused: NETWORK: this is the network "", not "another"`}
		var of []JoinProgress
		for _, p := range told {
			if p.Address == alice {
				of = append(of, p)
			}
		}
		if !slices.Equal(of, []JoinProgress{{Address: alice}, want}) {
			t.Errorf("told: %+v", of)
		}
	})
}

// A program that does not come back from Joining holds up Start, and nothing else.
func TestJoiningBlocks(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		cfg := w.config("bob", "alice")
		goOn := make(chan struct{})
		cfg.Joining = func(JoinProgress) { <-goOn }
		results := startAll(t.Context(), cfg)
		alice := w.start("alice")
		awaitEvent(alice, 5*time.Second, func(e PeerJoined) bool { return e.ID == "bob" })
		time.Sleep(time.Minute)
		if here := alice.here(); len(here) != 1 {
			t.Errorf("alice sees %v", here)
		}
		close(goOn)
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		w.peer(r.node).listen()
	})
}
