package files

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

// Whatever happens to the peers and the network, in the end every byte is right, nothing else is left, and little was
// read or sent twice.
func TestChaos(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { simulate(t, func(t *testing.T, w *world) { chaos(t, w, seed) }) })
	}
}

func chaos(t *testing.T, w *world, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	slow, all := Config{Up: 1 << 20}, Config{Accept: Rule{All: true}}
	alice, bob := w.pair(slow, all)
	w.start(Config{}, "carol", "alice", "bob")
	src := w.dir("alice", "out")
	tree := map[string][]byte{"big": random(seed, 12<<20+7)}
	for i := range 400 {
		tree[fmt.Sprintf("small/%d/%d", i%7, i)] = random(seed+uint64(i), r.IntN(20<<10))
	}
	w.tree(src, tree)
	var size, read, sent int64
	for _, b := range tree {
		size += int64(len(b))
	}
	offer, err := alice.Offer(t.Context(), "bob", Source{Paths: []string{filepath.Join(src, "big"), filepath.Join(src, "small")}}, "")
	if err != nil {
		t.Fatal(err)
	}
	await(bob, time.Minute, func(e Offered) bool { return e.Message == offer.Message })
	cuts := int64(0)
	for over := false; !over && cuts < 30; {
		time.Sleep(time.Duration(r.IntN(6000)) * time.Millisecond)
		switch what := r.IntN(6); what {
		case 0:
			now := alice.Figures()
			read, sent = read+now.Read, sent+now.Sent
			alice.stop()
			time.Sleep(time.Duration(r.IntN(20000)) * time.Millisecond)
			alice = w.start(slow, "alice", "carol")
		case 1:
			bob.stop()
			time.Sleep(time.Duration(r.IntN(20000)) * time.Millisecond)
			bob = w.start(all, "bob", "carol")
		case 2:
			w.Cut("alice", "bob")
		case 3:
			w.Heal("alice", "bob")
		case 4:
			w.Move("bob")
		case 5:
			w.Lose(float64(r.IntN(10)) / 100)
		}
		cuts++
		for _, tr := range bob.Transfers() {
			over = over || tr.State.Over()
		}
	}
	w.Heal("alice", "bob")
	w.Lose(0)
	for late := time.Now().Add(2 * time.Hour); ; time.Sleep(time.Second) {
		list := bob.Transfers()
		if len(list) == 1 && list[0].State == StateDone {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("%+v", list)
		}
	}
	w.same(src, w.dir("bob", "in"))
	now := alice.Figures()
	read, sent = read+now.Read, sent+now.Sent
	t.Logf("%d cuts: of %d bytes %d were read and %d sent", cuts, size, read, sent)
	if most := size + cuts*(4<<20); read > most || sent > most {
		t.Errorf("%d bytes were read and %d sent of %d, with %d cuts", read, sent, size, cuts)
	}
	for late := time.Now().Add(2 * time.Hour); ; time.Sleep(time.Second) {
		if list := alice.Transfers(); list[0].State == StateDone {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("%+v", alice.Transfers())
		}
	}
}
