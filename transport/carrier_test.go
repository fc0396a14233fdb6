package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
)

// carryingLink is a link with a hop stream that nobody writes: what waits stays until next takes
// it.
func carryingLink(c *carrier) *Link {
	l := &Link{log: slog.New(slog.DiscardHandler)}
	l.hop = newHop(l, c)
	l.hop.state = hopRunning
	return l
}

func testPacket(size int, to, from Tag) *packet {
	p := newPacket()
	clear(p.b[:])
	p.address(to, from)
	p.size = size
	return p
}

// TestSlowWay: when a packet goes by a search too, and when the last one is sent again.
func TestSlowWay(t *testing.T) {
	l1, l2 := new(Link), new(Link)
	packet, ack := bytes.Repeat([]byte("p"), ackSize+1), bytes.Repeat([]byte("a"), ackSize)
	type action func(w *way, now time.Time) (got string)
	describe := func(slow, of []byte) string {
		switch {
		case slow == nil:
			return ""
		case bytes.Equal(slow, append([]byte{0}, of...)):
			return "search"
		case bytes.Equal(slow, append([]byte{1}, of...)):
			return "deaf, search"
		}
		return fmt.Sprintf("%q", slow)
	}
	write := func(w *way, now time.Time) string { return describe(w.writes(packet, now), packet) }
	acks := func(w *way, now time.Time) string { return describe(w.writes(ack, now), ack) }
	over := func(w *way, now time.Time) string { w.heard(l1, now); return "" }
	overL2 := func(w *way, now time.Time) string { w.heard(l2, now); return "" }
	dials := func(w *way, _ time.Time) string { w.dials(); return "" }
	found := func(w *way, now time.Time) string { w.found(false, now); return "" }
	told := func(w *way, now time.Time) string { w.found(true, now); return "" }
	vain := func(w *way, now time.Time) string { w.judge(now); return fmt.Sprint(w.inVain()) }
	choose := func(over ...*Link) action {
		return func(w *way, now time.Time) string {
			l := w.choose(over, now)
			w.change(l, now)
			return map[*Link]string{nil: "none", l1: "l1", l2: "l2"}[l]
		}
	}
	change := func(l *Link) action {
		return func(w *way, now time.Time) string {
			again, slow := w.change(l, now)
			if again == nil {
				return describe(slow, packet)
			}
			if slow != nil || !bytes.Equal(again, packet) {
				return fmt.Sprintf("%q, %q", again, slow)
			}
			return "again"
		}
	}
	type step struct {
		at   int // ms
		do   action
		want string
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"no way", []step{{0, change(nil), ""}, {0, write, "search"}, {10, over, ""}, {20, write, "search"}, {30, acks, "search"}}},
		{"no answer", []step{{0, write, ""}, {300, write, ""}, {700, write, ""}, {701, write, "search"}, {2000, write, "search"}}},
		{"an answer", []step{{0, write, ""}, {100, over, ""}, {200, write, ""}, {400, write, ""}, {401, write, "search"}}},
		{"a quick answer", []step{{0, write, ""}, {10, over, ""}, {20, write, ""}, {170, write, ""}, {171, write, "search"}}},
		{"a slow answer", []step{{0, write, ""}, {1500, over, ""}, {1600, write, ""}, {3600, write, ""}, {3601, write, "search"}}},
		{"a late answer", []step{{0, write, ""}, {701, write, "search"}, {800, over, ""}, {801, write, ""}}},
		{"answers become quicker", []step{{0, write, ""}, {500, over, ""}, {600, write, ""}, {700, over, ""}, {800, write, ""}, {1400, write, ""}, {1401, write, "search"}}},
		{"answers become slower", []step{{0, write, ""}, {160, over, ""}, {200, write, ""}, {520, over, ""}, {600, write, ""}, {940, write, ""}, {941, write, "search"}}},
		{"no answer is due to an acknowledgement", []step{{0, acks, ""}, {1000, acks, ""}, {5000, acks, ""}}},
		{"an acknowledgement beside", []step{{0, write, ""}, {100, acks, ""}, {701, acks, "search"}}},
		{"a pause", []step{{0, write, ""}, {3001, write, ""}, {3701, write, ""}, {3702, write, "search"}}},
		{"no pause yet", []step{{0, write, ""}, {3000, write, "search"}}},
		{"a pause is between two packets", []step{{0, write, ""}, {2000, write, "search"}, {5000, write, "search"}, {8001, write, ""}}},
		{"by a search only", []step{{0, found, ""}, {1, write, "deaf, search"}, {2, over, ""}, {3, write, ""}}},
		{"by a search some time ago", []step{{0, found, ""}, {1999, acks, "deaf, search"}, {2000, acks, ""}}},
		{"by a search too", []step{{0, over, ""}, {100, found, ""}, {200, acks, ""}, {201, acks, "deaf, search"}, {202, over, ""}, {203, acks, ""}}},
		{"the other side is deaf", []step{{0, over, ""}, {100, told, ""}, {150, over, ""}, {160, acks, "search"}, {2099, acks, "search"}, {2100, acks, ""}}},
		{"the other side goes on being deaf", []step{{0, told, ""}, {1500, told, ""}, {1501, over, ""}, {3499, acks, "search"}, {3500, acks, ""}}},

		{"again over a new way", []step{{0, write, ""}, {50, acks, ""}, {100, change(l2), "again"}}},
		{"still on its way", []step{{0, write, ""}, {99, change(l2), ""}}},
		{"the oldest counts", []step{{0, write, ""}, {99, write, ""}, {100, change(l2), "again"}}},
		{"the same way", []step{{0, write, ""}, {200, change(l1), ""}, {700, change(l1), ""}, {701, change(l1), "search"}}},
		{"again and again", []step{{0, write, ""}, {701, change(l1), "search"}, {1401, change(l1), ""}, {1402, change(l1), "search"}, {2200, change(l1), "search"}, {3001, change(l1), ""}}},
		{"QUIC sends again itself", []step{{0, write, ""}, {600, write, ""}, {701, change(l1), ""}, {1300, change(l1), ""}, {1301, change(l1), "search"}}},
		{"no way is left", []step{{0, write, ""}, {200, change(nil), ""}, {300, change(l1), "again"}}},
		{"no way is left for long", []step{{0, write, ""}, {701, change(nil), "search"}}},
		{"answered", []step{{0, write, ""}, {100, over, ""}, {200, change(l2), ""}, {2000, change(l2), ""}}},
		{"not in vain yet", []step{{0, write, ""}, {2000, vain, "0"}, {2000, over, ""}, {9000, vain, "0"}}},
		{"in vain", []step{{0, write, ""}, {2001, vain, "1"}, {3000, write, "search"}, {4001, vain, "1"}, {4002, vain, "2"}}},
		{"in vain once", []step{{0, write, ""}, {2001, vain, "1"}, {2100, over, ""}, {2101, write, ""}, {4100, vain, "1"}, {4102, vain, "2"}}},
		{"nothing more is sent", []step{{0, write, ""}, {3001, vain, "0"}}},
		{"slow answers", []step{{0, write, ""}, {1900, over, ""}, {2000, write, ""}, {4000, vain, "0"}, {4001, vain, "1"}}},
		{"deaf for long", []step{{0, told, ""}, {1500, told, ""}, {2001, vain, "0"}, {2001, told, ""}, {2100, vain, "1"}, {3501, told, ""}, {4001, vain, "1"}, {4101, told, ""}, {4102, vain, "2"}}},
		{"deaf now and then", []step{{0, told, ""}, {2001, told, ""}, {4000, vain, "0"}, {4002, told, ""}, {6000, vain, "0"}}},
		{"another link", []step{{0, write, ""}, {2001, vain, "1"}, {2001, choose(l1, l2), "l2"}, {2100, over, ""}, {9000, choose(l1, l2), "l2"}, {9001, choose(l1), "l1"}, {9002, choose(l2, l1), "l2"}}},
		{"in vain long ago", []step{{0, write, ""}, {2001, vain, "1"}, {2001, choose(l1, l2), "l2"}, {302001, choose(l1, l2), "l2"}, {302002, choose(l1, l2), "l1"}}},
		{"both in vain", []step{{0, write, ""}, {2001, vain, "1"}, {2001, choose(l1, l2), "l2"}, {3000, write, "search"}, {4001, vain, "1"}, {4002, vain, "2"}, {4002, choose(l1, l2), "l1"}}},
		{"as it comes", []step{{0, overL2, ""}, {1999, choose(l1, l2), "l2"}, {2000, choose(l1, l2), "l1"}}},
		{"it does not lead there any more", []step{{0, overL2, ""}, {100, choose(l1), "l1"}}},
		{"we have dialled", []step{{0, dials, ""}, {0, overL2, ""}, {100, choose(l1, l2), "l1"}}},
		{"in vain as it comes", []step{{0, overL2, ""}, {1, choose(l1, l2), "l2"}, {10, write, ""}, {2011, vain, "1"}, {2020, overL2, ""}, {2021, choose(l1, l2), "l1"}}},
		{"no link", []step{{0, choose(), "none"}, {0, write, "search"}, {2001, vain, "0"}, {2001, choose(), "none"}}},
		{"another way meanwhile", []step{{0, write, ""}, {1000, choose(l2), "l2"}, {2001, vain, "0"}, {3000, vain, "0"}, {3000, write, "search"}, {3001, vain, "1"}}},
		{"nothing was sent", []step{{200, change(l2), ""}}},
		{"long ago", []step{{0, write, ""}, {3001, change(l2), ""}}},
		{"not that long ago", []step{{0, write, ""}, {3000, change(l2), "again"}}},
	} {
		w := new(way)
		w.next.Store(l1)
		for i, s := range c.steps {
			if got := s.do(w, time.Unix(1000, 0).Add(time.Duration(s.at)*time.Millisecond)); got != s.want {
				t.Errorf("%s: step %d, at %d ms: %q, not %q", c.name, i, s.at, got, s.want)
			}
		}
	}
}

// row is a network of carriers without connections: frames go from one to another when a test
// says so.
type row struct {
	carriers []*carrier
	ends     map[*Link]*Link // the other end of each
	crossed  int             // links, by all packets
}

func newRow(n int) *row {
	r := &row{ends: map[*Link]*Link{}}
	for i := range n {
		r.carriers = append(r.carriers, newCarrier(Tag(i)))
	}
	return r
}

func (r *row) link(i, j int) (there, back *Link) {
	there, back = carryingLink(r.carriers[i]), carryingLink(r.carriers[j])
	r.ends[there], r.ends[back] = back, there
	return there, back
}

// run moves frames until there are none.
func (r *row) run(t *testing.T) {
	for moved := true; moved; {
		moved = false
		for l, other := range r.ends {
			frames := l.hop.next(nil)
			if len(frames) == 0 {
				continue
			}
			moved = true
			for b := frames; len(b) > 0; b = b[2+binary.BigEndian.Uint16(b):] {
				r.crossed++
			}
			if r.crossed > 1000 {
				t.Fatal("a packet goes on for ever")
			}
			if err := other.hop.readStream(bufio.NewReader(bytes.NewReader(frames))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRing: where the ways of all lead in a circle, a packet crosses 16 links at most, whatever a
// peer claims.
func TestRing(t *testing.T) {
	for _, n := range []int{3, 4, 7} {
		for _, c := range []struct{ left, crosses int }{{0, 1}, {1, 1}, {2, 2}, {15, 15}, {16, 16}, {17, 16}, {255, 16}, {0x80, 1}, {0x82, 2}, {0x91, 16}} {
			r := newRow(n)
			var first *Link
			for i := range n {
				l, _ := r.link(i, (i+1)%n)
				r.carriers[i].set(99, l)
				if i == 0 {
					first = l
				}
			}
			p := testPacket(100, 99, 98)
			p.b[0] = byte(c.left)
			first.hop.put(nil, p)
			r.run(t)
			if r.crossed != c.crosses {
				t.Errorf("a ring of %d: with %d links left a packet crosses %d, not %d", n, c.left, r.crossed, c.crosses)
			}
		}
		r := newRow(n)
		for i := range n {
			l, _ := r.link(i, (i+1)%n)
			r.carriers[i].set(99, l)
		}
		_, _ = r.carriers[0].WriteTo(make([]byte, 100), carriedAddr{way: r.carriers[0].find(99), bulk: n == 4})
		if r.run(t); r.crossed != maxHops {
			t.Errorf("a ring of %d: a packet of ours crosses %d links", n, r.crossed)
		}
	}
}

// TestNeverBack: a packet does not go back over the link that it came by, nor to who is not known,
// nor over a link that is carried itself.
func TestNeverBack(t *testing.T) {
	r := newRow(2)
	l, back := r.link(0, 1)
	r.carriers[0].set(99, l)
	r.carriers[1].set(99, back)
	r.carriers[1].set(98)
	for _, to := range []Tag{99, 98, 97} {
		l.hop.put(nil, testPacket(100, to, 96))
	}
	if r.run(t); r.crossed != 3 || back.hop.size != 0 {
		t.Errorf("%d links crossed", r.crossed)
	}
	if w := <-r.carriers[1].wishes; w.To != 97 || w.Packet != nil || len(r.carriers[1].wishes) != 0 {
		t.Errorf("asks for %+v, and %d more", w, len(r.carriers[1].wishes))
	}
	e := &Endpoint{inside: inside{carrier: r.carriers[0]}}
	e.SetWay(99, &Link{})
	if next := r.carriers[0].find(99).next.Load(); next != nil {
		t.Error("the way is over a link that is carried")
	}
}

// TestForUs: packets for us are taken from peers that we know, and from nobody else, least of all
// from one that has our own tag; who they are from is what the packet says, and the link that they
// come over is the one they have come over.
func TestForUs(t *testing.T) {
	c := newCarrier(1)
	a, b := carryingLink(c), carryingLink(c)
	c.set(10, a)
	for _, p := range []struct {
		over *Link
		from Tag
	}{{a, 10}, {b, 10}, {a, 1}, {a, 11}, {nil, 10}} {
		packet := testPacket(100, 1, p.from)
		if p.over == nil {
			c.arrives(nil, packet)
		} else {
			c.take(p.over, packet)
		}
	}
	if len(c.arrived) != 3 {
		t.Errorf("%d have arrived", len(c.arrived))
	}
	for _, want := range []*Link{a, b, nil} {
		_, addr, err := c.ReadFrom(make([]byte, maxPacket))
		if got := addr.(carriedAddr); err != nil || got.tag != 10 || got.over != want {
			t.Errorf("got %v, %v", got, err)
		}
		groups := carriedGroups(&quic.ClientInfo{RemoteAddr: addr})
		if !slices.Equal(groups, []group{{addr, 2}, {want, 4}}) {
			t.Errorf("counts as %v", groups)
		}
	}
	if w := <-c.wishes; w.To != 11 || len(c.wishes) != 0 {
		t.Errorf("asks for %+v, and %d more", w, len(c.wishes))
	}
}

// TestCarriedGate: how many carried strangers may be on their way in, and each that leaves makes
// room.
func TestCarriedGate(t *testing.T) {
	c := newCarrier(1)
	var g gate
	g.init(slog.New(slog.DiscardHandler), gateLimits{all: maxCarriedOpen, doubtful: doubtfulCarried, groups: carriedGroups}, nil)
	links := make([]*Link, 8)
	for i := range links {
		links[i] = new(Link)
	}
	var ends []context.CancelCauseFunc
	enter := func(link *Link, tag Tag) bool {
		ctx, cancel := context.WithCancelCause(context.Background())
		_, err := g.enter(ctx, &quic.ClientInfo{RemoteAddr: carriedAddr{c.learn(tag), link, len(ends)%2 == 1}})
		if err != nil {
			cancel(nil)
			return false
		}
		ends = append(ends, cancel)
		return true
	}
	leave := func(i int) {
		inside := g.inside()
		ends[i](errors.New("the handshake failed"))
		for g.inside() == inside { // the gate learns of it a moment later
			runtime.Gosched()
		}
	}
	for i, try := range []struct {
		link int
		tag  Tag
		in   bool
	}{
		{0, 1, true}, {0, 1, true}, {0, 1, false}, // two by tag
		{0, 2, true}, {0, 3, true}, {0, 4, false}, // four by link
		{1, 1, true}, // of a tag that others have used
		{1, 4, true}, {1, 4, true}, {1, 5, true}, {1, 6, false},
		{2, 7, true}, {2, 8, true}, {2, 9, true}, {2, 10, true}, {2, 11, false},
		{3, 11, true}, {3, 12, true}, {3, 13, true}, {3, 14, true},
		{4, 15, false}, {5, 16, false}, // sixteen in all
	} {
		if in := enter(links[try.link], try.tag); in != try.in {
			t.Fatalf("number %d, tag %d over link %d: gets in: %v", i, try.tag, try.link, in)
		}
		if doubts := g.doubts(nil); doubts != (g.inside() >= 8) {
			t.Errorf("with %d the gate doubts: %v", g.inside(), doubts)
		}
	}
	leave(0) // tag 1 over link 0
	if enter(links[1], 20) || !enter(links[0], 1) || enter(links[0], 1) {
		t.Error("one has left, and not one over its link can enter")
	}
	leave(5) // tag 4 over link 1
	if enter(links[0], 20) || enter(links[2], 20) || !enter(links[4], 20) || enter(links[4], 21) {
		t.Error("one has left, and not one over another link can enter")
	}
	for i := range ends {
		ends[i](nil)
	}
	for g.inside() > 0 {
		runtime.Gosched()
	}
	if len(g.within) != 0 || g.doubts(nil) {
		t.Errorf("%v are still within", g.within)
	}
	g.await()
}

// TestCarryQuestions: how many questions wait, and how many of them a link can cause.
func TestCarryQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCarrier(1)
		a, b := carryingLink(c), carryingLink(c)
		flood := func(l *Link) (asked int) {
			for i := range 1000 {
				c.take(l, testPacket(100, Tag(1000+i), 2))
				c.take(l, testPacket(100, 1, Tag(2000+i)))
			}
			for len(c.wishes) > 0 {
				w := <-c.wishes
				if w.Packet != nil || w.To == 0 {
					t.Errorf("asks for %+v", w)
				}
				c.forget(w.To) // it is not here
				asked++
			}
			return asked
		}
		for i, want := range []struct {
			link  *Link
			asked int
		}{{a, 64}, {a, 0}, {b, 64}} {
			if n := flood(want.link); n != want.asked {
				t.Errorf("flood %d causes %d questions, not %d", i, n, want.asked)
			}
		}
		time.Sleep(500 * time.Millisecond)
		if n := flood(a); n != 50 {
			t.Errorf("after half a second: %d questions", n)
		}
		time.Sleep(time.Minute)
		if n := flood(a); n != 64 {
			t.Errorf("after a minute: %d questions", n)
		}
		// Our own are not bounded by a link, but those that wait are.
		for i := range 1000 {
			_, _ = c.WriteTo([]byte{0}, carriedAddr{way: &way{tag: Tag(5000 + i)}})
		}
		if n := len(c.wishes); n != 256 {
			t.Errorf("%d questions wait", n)
		}
		if w := <-c.wishes; w.To != 5000 {
			t.Errorf("the first is for %d", w.To)
		}
	})
}

// TestAsked: packets wait, a few of them, until it is known whether their peer is there; then they
// go on in their order, or are dropped.
func TestAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCarrier(1)
		from, next := carryingLink(c), carryingLink(c)
		for round := range 3 { // nothing of one is left for the next
			for i := range 10 {
				c.take(from, testPacket(100+i, 20, 9)) // to a peer that will be known
				c.take(from, testPacket(100+i, 1, 20)) // from it
				c.take(from, testPacket(100+i, 30, 9)) // to one that is not here
			}
			for len(c.wishes) > 0 {
				if w := <-c.wishes; w.To == 20 {
					c.set(20, next)
				} else {
					c.forget(w.To)
				}
			}
			passed, arrived := 0, len(c.arrived)
			for frames := next.hop.next(nil); len(frames) > 0; frames = frames[2+binary.BigEndian.Uint16(frames):] {
				if size := binary.BigEndian.Uint16(frames); size != uint16(100+passed) {
					t.Errorf("a packet of %d bytes is number %d", size, passed)
				}
				passed++
			}
			if passed != askedOfOne/2 || arrived != askedOfOne/2 || c.waiting != 0 || len(c.asked) != 0 {
				t.Errorf("round %d: %d packets are passed on, %d taken, %d still wait", round, passed, arrived, c.waiting)
			}
			for len(c.arrived) > 0 {
				(<-c.arrived).free()
			}
			c.forget(20)
			time.Sleep(time.Second)
		}
		for i := range 1000 { // over many links
			c.take(carryingLink(c), testPacket(100, Tag(1000+i/8), 9))
		}
		if c.waiting != maxAsked || len(c.asked) != maxAsked/askedOfOne || len(c.wishes) != len(c.asked) {
			t.Errorf("%d packets wait for %d peers; %d questions", c.waiting, len(c.asked), len(c.wishes))
		}
		for len(c.wishes) > 0 {
			c.forget((<-c.wishes).To)
		}
		if c.waiting != 0 || len(c.asked) != 0 {
			t.Errorf("%d packets still wait", c.waiting)
		}
	})
}

// TestMaxWays: of the peers that are known the one that was used longest ago gives way.
func TestMaxWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCarrier(1)
		from := carryingLink(c)
		for i := range maxWays {
			c.learn(Tag(100 + i))
			time.Sleep(time.Millisecond)
		}
		c.take(from, testPacket(100, 100, 0)) // is used by others
		time.Sleep(time.Millisecond)
		c.take(from, testPacket(100, 1, 101)) // has sent us something
		time.Sleep(time.Millisecond)
		_, _ = c.WriteTo([]byte{0}, carriedAddr{way: c.find(102)}) // by us
		time.Sleep(time.Millisecond)
		c.learn(103) // alone does not use it
		for i, gone := range []Tag{103, 104, 105} {
			time.Sleep(time.Millisecond)
			c.learn(Tag(10000 + i))
			if c.find(gone) != nil || len(c.all()) != maxWays || c.known.Load() != maxWays {
				t.Errorf("number %d: %d are known, and %d still is", maxWays+i+1, len(c.all()), gone)
			}
		}
		for _, kept := range []Tag{100, 101, 102, 106, 10000, 10001, 10002} {
			if c.find(kept) == nil {
				t.Errorf("%d is forgotten", kept)
			}
		}
		for _, w := range c.all() {
			c.forget(w.tag)
			c.forget(w.tag)
		}
		if n := c.known.Load(); n != 0 || c.all() != nil {
			t.Errorf("%d are known", n)
		}
	})
}

// TestLearnTogether: those who learn of a peer at once agree on it, and it is counted once.
func TestLearnTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	c := newCarrier(1)
	for round := range 20 {
		got := make([][]*way, 4)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				for tag := range Tag(500) {
					got[i] = append(got[i], c.learn(tag))
				}
			})
		}
		wg.Wait()
		for i := range got {
			if !slices.Equal(got[i], got[0]) {
				t.Fatalf("round %d: they do not agree", round)
			}
		}
		if n := c.known.Load(); n != 500 {
			t.Fatalf("round %d: %d are counted", round, n)
		}
		for i := range got { // together as well
			wg.Go(func() {
				for _, w := range got[i] {
					c.forget(w.tag)
				}
			})
		}
		wg.Wait()
		if n := c.known.Load(); n != 0 {
			t.Fatalf("round %d: %d are left", round, n)
		}
	}
}

// TestCarrierConn: the contract of a net.PacketConn, and that of quic-go beside.
func TestCarrierConn(t *testing.T) {
	type result struct {
		n   int
		err error
		at  time.Duration
	}
	arrive := func(c *carrier, size int) { c.arrives(nil, testPacket(packetHeader+size, 1, 10)) }
	deadline := func(d time.Duration) func(c *carrier) {
		return func(c *carrier) { _ = c.SetReadDeadline(time.Now().Add(d)) }
	}
	for _, test := range []struct {
		name   string
		before func(c *carrier)
		after  func(c *carrier) // 10 ms later
		buffer int
		want   result
	}{
		{"a packet waits", func(c *carrier) { arrive(c, 7) }, nil, 100, result{n: 7}},
		{"a packet comes", nil, func(c *carrier) { arrive(c, 7) }, 100, result{n: 7, at: 10 * time.Millisecond}},
		{"a small buffer", func(c *carrier) { arrive(c, 7); arrive(c, 7) }, nil, 3, result{n: 3}},
		{"no buffer", func(c *carrier) { arrive(c, 7) }, nil, 0, result{n: 0}},
		{"the largest", func(c *carrier) { arrive(c, maxPacket-packetHeader) }, nil, maxPacket, result{n: maxPacket - packetHeader}},
		{"a deadline", deadline(30 * time.Millisecond), nil, 100, result{err: os.ErrDeadlineExceeded, at: 30 * time.Millisecond}},
		{"a past deadline", func(c *carrier) { deadline(-1)(c); arrive(c, 7) }, nil, 100, result{err: os.ErrDeadlineExceeded}},
		{"a deadline comes", nil, deadline(0), 100, result{err: os.ErrDeadlineExceeded, at: 10 * time.Millisecond}},
		{"a later deadline", deadline(30 * time.Millisecond), deadline(90 * time.Millisecond), 100, result{err: os.ErrDeadlineExceeded, at: 100 * time.Millisecond}},
		{"a sooner deadline", deadline(90 * time.Millisecond), deadline(20 * time.Millisecond), 100, result{err: os.ErrDeadlineExceeded, at: 30 * time.Millisecond}},
		{"no deadline any more", deadline(20 * time.Millisecond), func(c *carrier) {
			_ = c.SetDeadline(time.Time{})
			time.AfterFunc(time.Hour, func() { arrive(c, 7) })
		}, 100, result{n: 7, at: time.Hour + 10*time.Millisecond}},
		{"closed", func(c *carrier) { _ = c.Close() }, nil, 100, result{err: net.ErrClosed}},
		{"closed with a packet", func(c *carrier) { arrive(c, 7); _ = c.Close(); _ = c.Close() }, nil, 100, result{err: net.ErrClosed}},
		{"closed while it waits", nil, func(c *carrier) { _ = c.Close() }, 100, result{err: net.ErrClosed, at: 10 * time.Millisecond}},
		{"the sender is forgotten", func(c *carrier) { arrive(c, 7); c.forget(10) }, func(c *carrier) { c.learn(10); arrive(c, 8) }, 100, result{n: 8, at: 10 * time.Millisecond}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCarrier(1)
				c.learn(10)
				if test.before != nil {
					test.before(c)
				}
				if test.after != nil {
					time.AfterFunc(10*time.Millisecond, func() { test.after(c) })
				}
				begin := time.Now()
				n, addr, err := c.ReadFrom(make([]byte, test.buffer))
				if n != test.want.n || !errors.Is(err, test.want.err) || time.Since(begin) != test.want.at {
					t.Errorf("got %d bytes, %v, after %v", n, err, time.Since(begin))
				}
				if err == nil && addr.String() != "carried:000000000000000a" {
					t.Errorf("from %v", addr)
				}
				if timeout, ok := errors.AsType[net.Error](err); test.want.err == os.ErrDeadlineExceeded && (!ok || !timeout.Timeout()) {
					t.Errorf("%v is not a timeout", err)
				}
			})
		})
	}
}

// TestCarrierWrites: an error of the socket would end a connection, so there is none.
func TestCarrierWrites(t *testing.T) {
	c := newCarrier(1)
	l := carryingLink(c)
	c.set(10, l)
	known := carriedAddr{way: c.find(10)}
	for _, w := range []struct {
		name string
		to   net.Addr
		size int
		puts int
	}{
		{"as usual", known, 1200, 1},
		{"the largest", known, maxPacket - packetHeader, 1},
		{"too large", known, maxPacket - packetHeader + 1, 0},
		{"much too large", known, 1 << 16, 0},
		{"to nobody", carriedAddr{way: &way{tag: 11}}, 100, 0},
		{"to ourselves", c.LocalAddr(), 100, 0},
	} {
		n, err := c.WriteTo(make([]byte, w.size), w.to)
		if puts := len(taken(l.hop)); n != w.size || err != nil || puts != w.puts {
			t.Errorf("%s: %d, %v; %d packets are put", w.name, n, err, puts)
		}
	}
	l.hop.ended()
	if n, err := c.WriteTo(make([]byte, 100), known); n != 100 || err != nil {
		t.Errorf("where the hop has ended: %d, %v", n, err)
	}
	if err := c.SetWriteDeadline(time.Now()); err != nil {
		t.Error(err)
	}
}

// TestRepeatOverANewWay: the packet that waits for an answer goes over the new link at once.
func TestRepeatOverANewWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCarrier(1)
		before, after := carryingLink(c), carryingLink(c)
		c.set(10, before)
		for _, text := range []string{"an older packet", "the last packet"} {
			_, _ = c.WriteTo([]byte(text+strings.Repeat(".", ackSize)), carriedAddr{way: c.find(10)})
			time.Sleep(repeatAfter)
		}
		first := before.hop.next(nil)
		c.set(10, after)
		if again := after.hop.next(nil); len(again) != len(first)/2 || !bytes.Equal(again, first[len(again):]) {
			t.Errorf("sent %q over the new link, %q over the old one", again, first)
		}
		after.hop.ended()
		c.set(10, before)
		c.set(10, after) // has ended
		if n := len(before.hop.next(nil)); n != len(first)/2 || c.held.Load() != 0 {
			t.Errorf("back over the old link: %d bytes, %d are held", n, c.held.Load())
		}
	})
}

// TestCarrierTogether: all methods at once, for the race detector; packets come whole.
func TestCarrierTogether(t *testing.T) {
	c := newCarrier(1)
	l := carryingLink(c)
	c.set(10, l)
	var readers, others sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			b := make([]byte, maxPacket)
			for {
				n, addr, err := c.ReadFrom(b)
				switch {
				case errors.Is(err, net.ErrClosed):
					return
				case errors.Is(err, os.ErrDeadlineExceeded):
					_ = c.SetReadDeadline(time.Time{})
				case err != nil || addr.(carriedAddr).tag != 10 || !bytes.Equal(b[:n], bytes.Repeat(b[:1], n)):
					t.Errorf("%d bytes from %v: %v", n, addr, err)
				}
			}
		})
	}
	for i := range 3 {
		others.Go(func() {
			for j := range 300 {
				e := &Endpoint{inside: inside{carrier: c}}
				e.TakeCarried(10, bytes.Repeat([]byte{byte(i*300 + j)}, 1+j))
				_, _ = c.WriteTo(make([]byte, 100), carriedAddr{way: c.learn(10)})
				l.hop.next(nil)
				switch j % 50 {
				case 0:
					_ = c.SetReadDeadline(time.Now())
				case 1:
					c.forget(10)
				case 2:
					c.set(10)
				case 3:
					e.SetWay(10, l)
				case 4:
					e.Ways()
				}
			}
		})
	}
	others.Wait()
	_ = c.Close()
	readers.Wait()
}

// TestTakeCarried takes packets of all sizes from a search.
func TestTakeCarried(t *testing.T) {
	c := newCarrier(1)
	c.learn(10)
	e := &Endpoint{inside: inside{carrier: c}}
	for _, size := range []int{0, 1, maxPacket - packetHeader, maxPacket - packetHeader + 1, maxPacket, 1 << 20} { // and a byte
		e.TakeCarried(10, make([]byte, 1+size))
		if took := len(c.arrived) == 1; took != (size > 0 && size <= maxPacket-packetHeader) {
			t.Errorf("takes %d bytes: %v", size, took)
		}
		for len(c.arrived) > 0 {
			<-c.arrived
		}
	}
	e.TakeCarried(1, []byte{0, 1}) // as if of us
	e.TakeCarried(11, []byte{0, 1})
	if w := <-c.wishes; w.To != 11 || len(c.wishes) != 0 || len(c.arrived) != 0 {
		t.Errorf("asks for %+v, and %d more; %d have arrived", w, len(c.wishes), len(c.arrived))
	}
	for range 2 * maxArrived { // QUIC does not take them
		e.TakeCarried(10, []byte{0, 1})
	}
	if n := len(c.arrived); n != maxArrived {
		t.Errorf("%d wait", n)
	}
}
