package overlay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
)

// returnWithin is how long a network may take to be one again, after the last of its peers has
// begun.
const returnWithin = 10 * time.Second

// TestEveryPeerComesHome: all peers of a network are restarted in a random order, one after the other, some
// at a time or all at once, some by a goodbye and some by a crash, and some come back at another port.
// Nobody has an address to join. Within 10 s they are one network again.
func TestEveryPeerComesHome(t *testing.T) {
	worst := time.Duration(0)
	for seed := range uint64(enough(20, 3)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldAt(t, seed, 5*time.Millisecond)
				took := w.restartAll(10, rand.New(rand.NewPCG(seed, 15)))
				worst = max(worst, took)
				t.Logf("seed %d: %v", seed, took)
				if took > returnWithin {
					t.Errorf("one network again after %v", took)
				}
			})
		})
	}
	t.Logf("at the worst after %v", worst)
}

// restartAll restarts all of a network of so many peers, and returns how long after the last start it was
// one network again.
func (w *world) restartAll(size int, rnd *rand.Rand) time.Duration {
	w.t.Helper()
	var names []string
	for i := range size {
		names = append(names, fmt.Sprintf("p%d", i))
	}
	w.keeping(names...)
	peers := make(map[string]*peer)
	place := make(map[string]string) // where a peer runs: a name of the simulated network
	for i, name := range names {
		place[name] = name
		peers[name] = w.start(name, names[:min(i, 1)]...)
	}
	w.isOne(peers, time.Minute)
	time.Sleep(time.Duration(rnd.Int64N(int64(2 * time.Minute))))

	stop := func(name string) {
		p := peers[name]
		if rnd.IntN(2) == 0 {
			_, _ = p.Leave(within(w.t, 10*time.Second))
		} else {
			w.Crash(place[name])
			_ = p.Close() // its socket is broken
		}
		<-p.done
		delete(peers, name)
	}
	moves, stays := rnd.IntN(3), names[rnd.IntN(size)] // 0: nobody has another address, 1: half, 2: all but one
	start := func(name string) {
		if name != stays && rnd.IntN(2) < moves {
			place[name] += "'"
		}
		cfg := w.config(name)
		if place[name] != name {
			w.Crash(name) // config has begun it at its old place
			cfg.Conn = w.Node(place[name])
		}
		n, err := Start(w.t.Context(), cfg)
		if err != nil {
			w.t.Fatalf("starting %s: %v", name, err)
		}
		peers[name] = w.peer(n)
		peers[name].listen()
	}
	pause := func(most time.Duration) { time.Sleep(time.Duration(rnd.Int64N(int64(most)))) }
	rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	atOnce := []int{1, 2, 4, size}[rnd.IntN(4)] // that are away
	for next := range slices.Chunk(names, atOnce) {
		for _, name := range next {
			stop(name)
			pause(500 * time.Millisecond)
		}
		pause([]time.Duration{time.Second, 20 * time.Second, 5 * time.Minute}[rnd.IntN(3)])
		rnd.Shuffle(len(next), func(i, j int) { next[i], next[j] = next[j], next[i] })
		for _, name := range next {
			pause([]time.Duration{100 * time.Millisecond, 2 * time.Second, 10 * time.Second}[rnd.IntN(3)])
			start(name)
		}
	}
	return w.isOne(peers, 5*time.Minute)
}

// isOne waits until each peer knows exactly the others, and returns how long that took.
func (w *world) isOne(peers map[string]*peer, limit time.Duration) time.Duration {
	w.t.Helper()
	var ids []certs.ID
	for name := range peers {
		ids = append(ids, certs.ID(name))
	}
	slices.Sort(ids)
	began := time.Now()
	for {
		one := true
		for name, p := range peers {
			here := append(p.here(), certs.ID(name))
			slices.Sort(here)
			one = one && slices.Equal(here, ids)
		}
		switch took := time.Since(began); {
		case one:
			return took
		case took > limit:
			w.t.Fatalf("not one network after %v", took)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestReturnIsTold: a peer that has found its network again says by whom, once, be it without an address
// to join or with a dead one; one that a door lets in, and one that starts for the first time, say nothing.
func TestReturnIsTold(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("c")
		peers := w.network("a", "b", "c")
		if n := len(all[Returned](peers[2])); n != 0 {
			t.Errorf("told %d times in the first run", n)
		}
		for _, test := range []struct {
			join []string
			told int
		}{{nil, 1}, {[]string{"nobody"}, 1}, {[]string{"a"}, 0}} {
			_ = peers[2].Close()
			<-peers[2].done
			time.Sleep(5 * time.Second)
			peers[2] = w.start("c", test.join...)
			peers[2].knows(10*time.Second, "a", "b")
			time.Sleep(10 * time.Second)
			got := all[Returned](peers[2])
			if len(got) != test.told || test.told > 0 && (got[0].ID != "a" && got[0].ID != "b" || got[0].Address != w.Addr(string(got[0].ID)).String()) {
				t.Errorf("joining %v: told %+v", test.join, got)
			}
		}
	})
}

// TestMovedFindsTheLast: a peer that has come back at another address, where nobody looks for it, finds
// the only other one although that begins a minute later.
func TestMovedFindsTheLast(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("a", "b")
		for _, p := range w.network("a", "b") {
			_ = p.Close()
			<-p.done
		}
		cfg := w.config("b")
		w.Crash("b")
		cfg.Conn = w.Node("elsewhere")
		n, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		b := w.peer(n)
		b.listen()
		time.Sleep(time.Minute)
		w.start("a").knows(returnWithin, "b")
	})
}
