package reach

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
)

// TestDials: whoever is wanted, and however dials end, each peer is dialled once at a time, not
// before its pause is over, and few are dialled at once; each failure is reported to whoever
// waits. All that are wanted and can be reached are reached in the end.
func TestDials(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		r := newRig(t, own)
		var peers []*table.Entry
		for i := range 2 * MaxDials {
			peers = append(peers, r.peer(fmt.Sprint("p", i), fmt.Sprintf("10.1.1.%d:5000", i)))
		}
		next := make(map[certs.ID]time.Duration) // the earliest next dial
		look := func() {
			dialling := make(map[certs.ID]bool)
			for id, d := range r.Dials {
				if dialling[d.Peer] || r.table.Get(d.Peer, d.Key).Our().Dialing != id {
					t.Fatalf("seed %d: %s is dialled twice", seed, d.Peer)
				}
				dialling[d.Peer] = true
			}
			if len(r.Dials) > MaxDials {
				t.Fatalf("seed %d: %d dials", seed, len(r.Dials))
			}
			for _, id := range r.dialled() {
				if r.Now < next[id] {
					t.Fatalf("seed %d: %s is dialled at %v, not after %v", seed, id, r.Now, next[id])
				}
			}
		}
		end := func(id base.DialID, reached bool) {
			d := r.Dials[id]
			if e := r.table.Get(d.Peer, d.Key); reached {
				r.linked(string(d.Peer), e.Record.Addresses[0], d)
				r.DialEnded(d, "", true)
			} else {
				r.DialFailed(id, false, "no answer")
				next[d.Peer] = e.Our().NextDial
				if told := slices.Contains(r.Out.Unreachable, d.Peer); told != e.Our().Wanted || next[d.Peer] <= r.Now {
					t.Fatalf("seed %d: %s failed; told %v, wanted %v, next at %v", seed, d.Peer, told, e.Our().Wanted, next[d.Peer])
				}
			}
			r.settle()
		}
		for range 300 {
			e := peers[rnd.IntN(len(peers))]
			switch rnd.IntN(4) {
			case 0:
				waits := e.Our().Wanted
				r.Want(e.Record.ID)
				if !waits && e.Our().LastAddress == "" { // from now on somebody waits for it
					next[e.Record.ID] = min(next[e.Record.ID], r.Now+base.FirstBackoff)
				}
			case 1:
				r.DialFor(e, purpose(rnd.IntN(3)))
			case 2:
				if ids := slices.Sorted(maps.Keys(r.Dials)); len(ids) > 0 {
					end(ids[rnd.IntN(len(ids))], rnd.IntN(4) == 0)
				}
			case 3:
				r.Now += time.Duration(rnd.Int64N(int64(2 * time.Second)))
				r.DialWanted()
			}
			r.settle()
			look()
		}
		for range 120 {
			for _, id := range slices.Sorted(maps.Keys(r.Dials)) {
				end(id, true)
			}
			r.Now += time.Second
			r.DialWanted()
			r.settle()
			look()
		}
		for _, e := range peers {
			if e.Our().Wanted {
				t.Fatalf("seed %d: %s is wanted and not reached", seed, e.Record.ID)
			}
		}
		if len(r.Dials) != 0 || r.Seeking != 0 {
			t.Errorf("seed %d: %d dials are left, %d that seek", seed, len(r.Dials), r.Seeking)
		}
	}
}

// TestBothKeepOne: of several links to one peer both sides keep one of the same, whichever came
// first at each, however long between them, and whoever dialled.
func TestBothKeepOne(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		small, large := newRig(t, own), newRig(t, own)
		small.Cfg.ID, large.Cfg.ID = "aaa", "zzz"
		sides, peers := [2]*rig{small, large}, [2]string{"zzz", "aaa"}
		closed := make(map[base.LinkID]bool)
		obey := func() {
			for i, r := range sides {
				for _, c := range r.Out.Closes {
					closed[c.Link] = true
					other := sides[1-i]
					other.links.List = slices.DeleteFunc(other.links.List, func(l *link.Link) bool { return l.ID == c.Link })
					r.links.List = slices.DeleteFunc(r.links.List, func(l *link.Link) bool { return l.ID == c.Link })
				}
				r.settle()
			}
		}
		const links = 4
		dialledBy, up := make([]int, links), [2][]int{rnd.Perm(links), rnd.Perm(links)}
		for i := range dialledBy {
			dialledBy[i] = rnd.IntN(2)
		}
		apart := []time.Duration{0, Simultaneous / 8, 2 * Simultaneous}[rnd.IntN(3)]
		for n := range links {
			for i, r := range sides {
				id := base.LinkID(up[i][n] + 1)
				if closed[id] {
					continue
				}
				r.last = id - 1
				r.Now += apart
				var dial *link.Dial
				if dialledBy[id-1] == i {
					dial = &link.Dial{}
				}
				l := r.linked(peers[i], "198.51.100.1:5000", dial)
				slices.SortFunc(r.links.List, func(a, b *link.Link) int { return int(a.ID) - int(b.ID) })
				r.ChooseLink(l)
				if rnd.IntN(2) == 0 {
					obey()
				}
			}
		}
		obey()
		if len(closed) != links-1 || len(small.links.List) != 1 || len(large.links.List) != 1 {
			t.Fatalf("seed %d: of %d links %d are closed", seed, links, len(closed))
		}
	}
}
