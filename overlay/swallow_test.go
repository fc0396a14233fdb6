package overlay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// swallower is a member that is the neighbour of some peers, and passes nothing on.
type swallower struct {
	w  *world
	to map[*peer]*stranger
}

// joins makes it a neighbour of a peer.
func (s *swallower) joins(p *peer) {
	s.w.t.Helper()
	var at *stranger
	for _, other := range s.to { // one process has all its links
		at = &stranger{t: s.w.t, w: s.w, state: other.state, endpoint: other.endpoint, epoch: other.epoch}
	}
	if at == nil {
		at = s.w.stranger("mallory")
	}
	at.answer, at.equal = pb.NeighbourType_ACCEPT, true
	s.to[p] = at
	at.dial(p)
	h := at.hello()
	h.Features = pb.Features()
	at.say(h)
	at.await(func(m *pb.PeerMessage) bool { return m.GetHandshakeResponse() != nil })
	at.say(&pb.Neighbour{Type: pb.NeighbourType_REQUEST})
	at.await(func(m *pb.PeerMessage) bool { return m.GetNeighbour().GetType() == pb.NeighbourType_ACCEPT })
}

// says tells each of them how far it is from the others.
func (s *swallower) says(hops byte) {
	for p, at := range s.to {
		for q := range s.to {
			if p != q {
				at.say(&pb.Routes{Peers: []uint32{base.ShortTag(base.TagOf(q.ID()))}, Hops: []byte{hops}})
			}
		}
	}
}

// TestSwallower: two peers are linked to one that passes nothing on, and reach each other over honest ones.
// It says that it is next to everybody, and the honest way is longer; or it says the truth, and is just the
// older link. Messages of all sizes arrive and get their receipts, both
// ways; and once one was late, those that follow are not, nor are those to others.
func TestSwallower(t *testing.T) {
	for _, older := range []bool{false, true} {
		for _, size := range []int{1, 100 << 10} {
			t.Run(fmt.Sprintf("older %v, %d bytes", older, size), func(t *testing.T) {
				simulate(t, func(t *testing.T, w *world) { swallowed(t, w, older, size) })
			})
		}
	}
}

func swallowed(t *testing.T, w *world, older bool, size int) {
	w.Cut("alice", "bob")
	alice, bob, honest := w.start("alice"), w.start("bob"), []*peer{w.start("carol")}
	hops, last := byte(1), "carol"
	if !older {
		w.Cut("carol", "bob")
		w.Cut("alice", "dave")
		honest = append(honest, w.start("dave", "carol"))
		hops, last = 0, "dave"
	}
	s := &swallower{w, make(map[*peer]*stranger)}
	meet := func() {
		for p, door := range map[*peer]string{alice: "carol", bob: last} {
			if _, err := p.Join(t.Context(), w.Addr(door).String()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !older {
		meet()
	}
	s.joins(alice)
	s.joins(bob)
	if older {
		meet()
	}
	for _, p := range append(honest, alice, bob) {
		p.eventually(10*time.Second, "all are here", func() bool { return len(p.here()) == len(honest)+2 })
	}
	time.Sleep(5 * time.Second)
	s.says(hops)
	time.Sleep(time.Second)
	for i, pair := range [][2]*peer{{alice, bob}, {bob, alice}, {alice, bob}} {
		from, to, before := pair[0], pair[1], len(all[Delivered](pair[0]))
		began := time.Now()
		for k := range 5 {
			from.send(to.ID(), fmt.Sprint(i, k, strings.Repeat("x", size)))
			time.Sleep(500 * time.Millisecond)
		}
		from.eventually(time.Minute, "all are delivered", func() bool { return len(all[Delivered](from)) == before+5 })
		most := [3]time.Duration{10 * time.Second, 4 * time.Second, 2600 * time.Millisecond}[i]
		if took := time.Since(began); took > most {
			t.Errorf("the %d. five messages, of %s, were delivered after %v", i+1, from.ID(), took)
		} else {
			t.Logf("the %d. five messages, of %s, were delivered after %v", i+1, from.ID(), took)
		}
	}
	for p, at := range s.to {
		if err := at.link.Err(); err != nil {
			t.Errorf("the link to %s has ended: %v", p.ID(), err)
		}
	}
}
