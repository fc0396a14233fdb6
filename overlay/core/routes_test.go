package core

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// graph is which of a number of peers are linked.
type graph struct {
	n     int
	links [][2]int
}

func (g *graph) has(a, b int) bool {
	return slices.Contains(g.links, [2]int{min(a, b), max(a, b)})
}

func (g *graph) add(a, b int) { g.links = append(g.links, [2]int{min(a, b), max(a, b)}) }

func (g *graph) degree(a int) int {
	n := 0
	for _, l := range g.links {
		if l[0] == a || l[1] == a {
			n++
		}
	}
	return n
}

// distances returns the distances of all peers from one, -1 for those without a path.
func (g *graph) distances(from int) []int {
	d := make([]int, g.n)
	for i := range d {
		d[i] = -1
	}
	d[from] = 0
	for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
		for _, l := range g.links {
			for _, step := range [][2]int{{l[0], l[1]}, {l[1], l[0]}} {
				if step[0] == queue[0] && d[step[1]] < 0 {
					d[step[1]] = d[step[0]] + 1
					queue = append(queue, step[1])
				}
			}
		}
	}
	return d
}

func (g *graph) connected() bool { return !slices.Contains(g.distances(0), -1) }

// drawGraph draws a connected graph: a tree with some more links.
func drawGraph(rt *rapid.T, least, most int) *graph {
	g := &graph{n: rapid.IntRange(least, most).Draw(rt, "peers")}
	for i := 1; i < g.n; i++ {
		for {
			j := rapid.IntRange(0, i-1).Draw(rt, "parent")
			if g.degree(j) < table.WantNeighbours {
				g.add(i, j)
				break
			}
		}
	}
	g.draw(rt, rapid.IntRange(0, g.n).Draw(rt, "more"))
	return g
}

// draw adds so many new links, as far as possible.
func (g *graph) draw(rt *rapid.T, n int) {
	for range n {
		a, b := rapid.IntRange(0, g.n-1).Draw(rt, "a"), rapid.IntRange(0, g.n-1).Draw(rt, "b")
		if a != b && !g.has(a, b) && g.degree(a) < table.MaxNeighbours && g.degree(b) < table.MaxNeighbours {
			g.add(a, b)
		}
	}
}

// change takes 30 % of the links away and adds as many others.
func (g *graph) change(rt *rapid.T) *graph {
	h := &graph{n: g.n, links: slices.Clone(g.links)}
	n := (3*len(g.links) + 9) / 10
	for range n {
		i := rapid.IntRange(0, len(h.links)-1).Draw(rt, "broken")
		h.links = slices.Delete(h.links, i, i+1)
	}
	h.draw(rt, n)
	return h
}

// join adds the links needed to connect the graph.
func (g *graph) join(rt *rapid.T) {
	for !g.connected() {
		far := slices.Index(g.distances(0), -1)
		for near := rapid.IntRange(0, g.n-1).Draw(rt, "near"); ; near = (near + 1) % g.n {
			if g.distances(0)[near] >= 0 && g.degree(near) < table.MaxNeighbours {
				g.add(far, near)
				break
			}
		}
	}
}

// become makes the wire's links those of the graph.
func (w *wire) become(was, g *graph) {
	for _, l := range was.links {
		if !g.has(l[0], l[1]) {
			w.disconnect(w.peers[l[0]], w.peers[l[1]])
		}
	}
	for _, l := range g.links {
		if !was.has(l[0], l[1]) {
			w.connect(w.peers[l[0]], w.peers[l[1]])
		}
	}
}

// pings records a test's own pings on the wire: whether and how they arrive.
type pings struct {
	w       *wire
	number  uint64
	arrived map[uint64]string // whose
	steps   map[uint64]int
	fresh   map[string]int // arrivals at a peer that had not had the frame
	fail    func(string, ...any)
}

func watchPings(w *wire, fail func(string, ...any)) *pings {
	p := &pings{w: w, number: 1 << 40, arrived: make(map[uint64]string), steps: make(map[uint64]int), fresh: make(map[string]int), fail: fail}
	w.watch = p.see
	return p
}

func (p *pings) see(_, to *wired, m *pb.PeerMessage, _ int) {
	r := m.GetRouted()
	if r == nil {
		return
	}
	if sorted := slices.Sorted(slices.Values(r.GetPassed())); len(slices.Compact(sorted)) != len(r.GetPassed()) {
		p.fail("a frame has passed a peer twice: %v", r)
	}
	n := r.GetPing().GetNumber()
	if n <= 1<<40 || n > p.number {
		return // a core's own
	}
	p.steps[n]++
	if !slices.Contains(r.GetPassed(), string(to.id)) {
		visit := fmt.Sprint(n, " at ", to.id)
		if p.fresh[visit]++; p.fresh[visit] > 1 {
			p.fail("ping %s comes there anew", visit)
		}
	}
	if p.steps[n] > 2*pb.MaxPassed {
		p.fail("ping %d goes round and round", n)
	}
	if r.GetTo() == string(to.id) {
		p.arrived[n] = r.GetTo()
	}
}

// goes sends a ping and reports whether it arrives.
func (p *pings) goes(from, to *wired) bool {
	p.number++
	key := to.c.env.Cfg.Identity.Key()
	from.c.routes.SendRouted(to.id, &pb.Routed{Content: &pb.Routed_Ping{Ping: &pb.Ping{Number: p.number, Key: key[:]}}})
	p.w.drain(from)
	p.w.deliver()
	return p.arrived[p.number] == string(to.id)
}

// TestRoutedWhateverTheLinks: right after any 30 % of the links have changed, before any distance
// has been updated, a routed frame arrives wherever a path exists, and passes no peer twice.
func TestRoutedWhateverTheLinks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := drawGraph(rt, 2, 14)
		w := newWire(t)
		w.network(g.n)
		w.become(&graph{n: g.n}, g)
		w.pass(2 * table.RouteEvery)
		p := watchPings(w, rt.Fatalf)
		for range 2 {
			h := g.change(rt)
			w.become(g, h)
			g = h
			for a := range g.n {
				for b, d := range g.distances(a) {
					if a != b && p.goes(w.peers[a], w.peers[b]) != (d > 0) {
						rt.Fatalf("from %d to %d, %d links away, a ping does not arrive: %v", a, b, d, g.links)
					}
				}
			}
		}
	})
}

// checkVias fails unless every via is one of the neighbours nearest to the peer.
func (w *wire) checkVias(g *graph, fail func(string, ...any)) {
	all := make([][]int, g.n)
	for a := range all {
		all[a] = g.distances(a)
	}
	for a, p := range w.peers {
		from := all[a]
		for b, q := range w.peers {
			e := p.c.table.Owner(q.id, w.now)
			switch {
			case a == b:
				continue
			case e == nil || !e.Alive():
				fail("%s does not hold %s as living", p.id, q.id)
			}
			via, distance := p.c.links.Via(e), int(p.c.links.Distance(e))
			if distance != min(from[b], table.NoWay) {
				fail("%s thinks that %s is %d links away, not %d: %v", p.id, q.id, distance, from[b], g.links)
			}
			if from[b] == 1 || from[b] > table.NoWay {
				if via != "" {
					fail("%s goes to %s via %s, %d links away", p.id, q.id, via, from[b])
				}
				continue
			}
			v := slices.IndexFunc(w.peers, func(x *wired) bool { return x.id == via })
			if v < 0 || !g.has(a, v) || all[v][b] != from[b]-1 {
				fail("%s goes to %s via %q, which is no nearest neighbour: %v", p.id, q.id, via, g.links)
			}
		}
	}
}

// converge lets enough time pass for the distances: each link that has gone can make them count
// up to NoWay, one step a second.
func (w *wire) converge() { w.pass((table.NoWay + 2) * table.RouteEvery) }

// TestNearestVia: in a network of any shape each peer's via is a neighbour nearest to it, also
// after 30 % of the links have changed; then every ping takes the shortest path.
func TestNearestVia(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := drawGraph(rt, 12, 32)
		w := newWire(t)
		w.network(g.n)
		w.become(&graph{n: g.n}, g)
		w.pass(time.Duration(g.n) * table.RouteEvery) // a distance goes one link further in each
		w.checkVias(g, rt.Fatalf)
		h := g.change(rt)
		h.join(rt)
		w.become(g, h)
		w.converge()
		w.checkVias(h, rt.Fatalf)
		p := watchPings(w, rt.Fatalf)
		for range 50 {
			a, b := rapid.IntRange(0, g.n-1).Draw(rt, "from"), rapid.IntRange(0, g.n-1).Draw(rt, "to")
			d := h.distances(a)[b]
			if a == b || d > table.NoWay {
				continue
			}
			if !p.goes(w.peers[a], w.peers[b]) || p.steps[p.number] != d {
				rt.Fatalf("from %d to %d, %d links away: arrives %v after %d links", a, b, d, p.arrived[p.number] != "", p.steps[p.number])
			}
		}
	})
}

// TestViaOfNewcomers: every peer that a newcomer's flood has reached knows the route to it,
// including those that it passed first: when the link over which it came breaks, the other route
// is taken.
func TestViaOfNewcomers(t *testing.T) {
	w := newWire(t)
	w.network(4)
	ring := &graph{n: 4, links: [][2]int{{0, 1}, {1, 2}, {2, 3}, {0, 3}}}
	w.become(&graph{n: 4}, ring)
	w.converge()
	newcomer := w.add(4, func(c *base.Config) { c.Join = []string{"0"} })
	w.answer(newcomer, w.peers[0], newcomer.c.reach.LastDial)
	w.converge()
	first := &graph{n: 5, links: append(slices.Clone(ring.links), [2]int{0, 4})}
	w.checkVias(first, t.Fatalf)
	second := &graph{n: 5, links: append(slices.Clone(first.links), [2]int{2, 4})}
	w.become(first, second)
	w.converge()
	w.checkVias(second, t.Fatalf)
	third := &graph{n: 5, links: append(slices.Clone(ring.links), [2]int{2, 4})}
	w.become(second, third)
	w.converge()
	w.checkVias(third, t.Fatalf)
}

// TestRoutedIsLimited: what one link has passed on is limited.
func TestRoutedIsLimited(t *testing.T) {
	r := newRig(t, nil)
	one := r.neighbour(1, "one")
	r.neighbour(2, "two")
	passed := 0
	pass := func() {
		r.receive(one, &pb.Routed{From: "x", To: "far", Passed: []string{"x", "one"}, Parents: []byte{0, 0}, Content: &pb.Routed_Ping{Ping: &pb.Ping{Key: make([]byte, 32)}}})
		passed += len(r.out.Frames)
	}
	for range 2 * route.RoutedBurst {
		pass()
	}
	if passed < route.RoutedBurst/2 || passed > route.RoutedBurst+1 {
		t.Errorf("passes on %d of %d at once", passed, 2*route.RoutedBurst)
	}
	r.pass(time.Second)
	passed = 0
	if pass(); passed != 1 {
		t.Error("a second later it passes on nothing")
	}
}
