package route

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
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
	for far := slices.Index(g.distances(0), -1); far >= 0; far = slices.Index(g.distances(0), -1) {
		for near := rapid.IntRange(0, g.n-1).Draw(rt, "near"); ; near = (near + 1) % g.n {
			if g.distances(0)[near] >= 0 && g.degree(near) < table.MaxNeighbours {
				g.add(far, near)
				break
			}
		}
	}
}

// node is a peer that has nothing but ways to others.
type node struct {
	*Relay
	number int
	last   base.LinkID
	ends   map[base.LinkID]*node
}

// network is nodes that all know each other, linked as in the graph.
type network struct {
	nodes []*node
	graph *graph
	fail  func(string, ...any)

	number  uint64 // of the last ping
	arrived bool
	steps   int
}

func idOf(i int) certs.ID { return certs.ID(fmt.Sprint("p", i)) }

func recordOf(i int) *base.Record {
	id := idOf(i)
	return &base.Record{ID: id, Key: certs.PublicKey{byte(i >> 8), byte(i), 1}, Epoch: 1, Tag: base.TagOf(id)}
}

// newNode is a node in a table of n peers.
func newNode(i, n int) *node {
	en := &base.Env{Cfg: base.Config{ID: idOf(i)}}
	t := &table.Table{Env: en}
	var records []*base.Record
	for k := range n {
		records = append(records, recordOf(k))
	}
	t.Load(records, 0)
	t.Self = t.Get(idOf(i), recordOf(i).Key)
	ls := link.NewLinks(en, t)
	return &node{Relay: NewRelay(en, t, ls, NewRoutes(en, t, ls)), number: i, ends: make(map[base.LinkID]*node)}
}

// linkTo makes a neighbour of another peer.
func (x *node) linkTo(i int) *link.Link {
	r := recordOf(i)
	x.last++
	l := &link.Link{ID: x.last, State: link.LinkUp, Peer: r.ID, Key: r.Key, Entry: x.table.Get(r.ID, r.Key), Heard: x.Now}
	l.Bond = link.Bond{Neighbour: true, Slot: x.links.TakeSlot()}
	x.links.List = append(x.links.List, l)
	x.links.Reroute(l.Entry)
	x.routes.TellAllRoutes(l)
	return l
}

func newNetwork(g *graph, fail func(string, ...any)) *network {
	w := &network{graph: &graph{n: g.n}, fail: fail}
	for i := range g.n {
		w.nodes = append(w.nodes, newNode(i, g.n))
	}
	w.become(g)
	return w
}

// become makes the links those of the graph.
func (w *network) become(g *graph) {
	for _, e := range w.graph.links {
		for _, way := range [][2]int{{e[0], e[1]}, {e[1], e[0]}} {
			if x := w.nodes[way[0]]; !g.has(e[0], e[1]) {
				l := x.links.LinkToID(idOf(way[1]))
				x.links.EndNeighbour(l)
				x.links.List = slices.DeleteFunc(x.links.List, func(other *link.Link) bool { return other == l })
				x.links.Reroute(l.Entry)
				delete(x.ends, l.ID)
			}
		}
	}
	for _, e := range g.links {
		if a, b := w.nodes[e[0]], w.nodes[e[1]]; !w.graph.has(e[0], e[1]) {
			a.ends[a.linkTo(e[1]).ID], b.ends[b.linkTo(e[0]).ID] = b, a
		}
	}
	w.graph = g
	w.deliver()
}

// deliver hands over the frames under way, and those that follow from them.
func (w *network) deliver() {
	for again := true; again; {
		again = false
		for _, x := range w.nodes {
			frames := x.Out.Frames
			x.Out.Frames = nil
			for _, f := range frames {
				if to := x.ends[f.Link]; to != nil {
					m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
					if err != nil {
						w.fail("an invalid frame: %v", err)
					}
					w.receive(to, to.links.LinkToID(x.Cfg.ID), m)
					again = true
				}
			}
		}
	}
}

func (w *network) receive(x *node, l *link.Link, m *pb.PeerMessage) {
	if m.GetRoutes() != nil {
		x.routes.ReceiveRoutes(l, m.GetRoutes())
		return
	}
	r := m.GetRouted()
	if sorted := slices.Sorted(slices.Values(r.GetPassed())); len(slices.Compact(sorted)) != len(r.GetPassed()) {
		w.fail("a frame has passed a peer twice: %v", r)
	}
	if w.steps++; w.steps > 2*pb.MaxPassed {
		w.fail("it goes round and round: %v", r)
	}
	if r.GetTo() == string(x.Cfg.ID) {
		w.arrived = true
		return
	}
	x.PassOn(l, r)
}

// pass lets time go by, in which all links are heard.
func (w *network) pass(d time.Duration) {
	for ; d > 0; d -= table.RouteEvery {
		for _, x := range w.nodes {
			x.Now += table.RouteEvery
			for _, l := range x.links.List {
				l.Heard = x.Now
			}
			x.routes.TellRoutes()
		}
		w.deliver()
	}
}

// goes sends a ping, and reports whether it arrives.
func (w *network) goes(from, to int) bool {
	w.number++
	w.arrived, w.steps = false, 0
	w.nodes[from].routes.SendRouted(idOf(to), &pb.Routed{Content: &pb.Routed_Ping{Ping: &pb.Ping{Number: w.number, Key: make([]byte, pb.KeySize)}}})
	w.deliver()
	return w.arrived
}

// TestRoutedWhateverTheLinks: right after any 30 % of the links have changed, before any distance
// has been updated, a routed frame arrives wherever a path exists, and passes no peer twice.
func TestRoutedWhateverTheLinks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newNetwork(drawGraph(rt, 2, 14), rt.Fatalf)
		w.pass(2 * table.RouteEvery)
		for range 2 {
			w.become(w.graph.change(rt))
			for a := range w.nodes {
				for b, d := range w.graph.distances(a) {
					if a != b && w.goes(a, b) != (d > 0) {
						rt.Fatalf("from %d to %d, %d links away, a ping does not arrive: %v", a, b, d, w.graph.links)
					}
				}
			}
		}
	})
}

// checkVias fails unless every via is one of the neighbours nearest to the peer.
func (w *network) checkVias() {
	all := make([][]int, w.graph.n)
	for a := range all {
		all[a] = w.graph.distances(a)
	}
	for a, x := range w.nodes {
		for b := range w.nodes {
			if a == b {
				continue
			}
			from := all[a][b]
			e := x.table.Get(idOf(b), recordOf(b).Key)
			via, distance := x.links.Via(e), int(x.links.Distance(e))
			if distance != min(from, table.NoWay) {
				w.fail("%d thinks that %d is %d links away, not %d: %v", a, b, distance, from, w.graph.links)
			}
			if from == 1 || from > table.NoWay {
				if via != "" {
					w.fail("%d goes to %d via %s, %d links away", a, b, via, from)
				}
				continue
			}
			v := slices.IndexFunc(w.nodes, func(y *node) bool { return y.Cfg.ID == via })
			if v < 0 || !w.graph.has(a, v) || all[v][b] != from-1 {
				w.fail("%d goes to %d via %q, which is not a nearest neighbour: %v", a, b, via, w.graph.links)
			}
		}
	}
}

// TestNearestVia: in a network of any shape each peer's via is a neighbour nearest to it, also
// after 30 % of the links have changed; then every ping takes the shortest path.
func TestNearestVia(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newNetwork(drawGraph(rt, 12, 32), rt.Fatalf)
		w.pass(time.Duration(w.graph.n) * table.RouteEvery) // a distance goes one link further in each
		w.checkVias()
		h := w.graph.change(rt)
		h.join(rt)
		w.become(h)
		w.pass((table.NoWay + 2) * table.RouteEvery) // a link that has gone can make them count up to NoWay
		w.checkVias()
		for range 50 {
			a, b := rapid.IntRange(0, h.n-1).Draw(rt, "from"), rapid.IntRange(0, h.n-1).Draw(rt, "to")
			d := h.distances(a)[b]
			if a == b || d > table.NoWay {
				continue
			}
			if !w.goes(a, b) || w.steps != d {
				rt.Fatalf("from %d to %d, %d links away: arrives %v after %d links", a, b, d, w.arrived, w.steps)
			}
		}
	})
}

// TestBehindOneAboveTheUsual: a peer that is linked only to one without a place in the distance
// vectors can be reached.
func TestBehindOneAboveTheUsual(t *testing.T) {
	const above, far = table.MaxNeighbours + 1, table.MaxNeighbours + 2
	g := &graph{n: far + 1}
	for i := range above {
		g.add(0, i+1)
	}
	g.add(above, far)
	w := newNetwork(g, t.Fatalf)
	w.pass(4 * table.RouteEvery)
	if slot := w.nodes[0].links.LinkToID(idOf(above)).Slot; slot >= 0 {
		t.Fatalf("it has the slot %d", slot)
	}
	for _, way := range [][2]int{{1, above}, {far, 1}, {1, far}} {
		if !w.goes(way[0], way[1]) {
			t.Errorf("from %d to %d a ping does not arrive", way[0], way[1])
		}
	}
}

// TestNextHop: over which link a frame goes on.
func TestNextHop(t *testing.T) {
	connect := &pb.Routed{Content: &pb.Routed_Connect{Connect: &pb.Connect{}}}
	for _, test := range []struct {
		name   string
		change func(direct, near, far, above *link.Link)
		passed []string
		m      *pb.Routed
		over   certs.ID
	}{
		{"the link to it", nil, []string{"p0"}, nil, "p1"},
		{"a CONNECT goes around", nil, []string{"p0"}, connect, "p2"},
		{"the link is stuck", func(direct, _, _, _ *link.Link) { direct.Stuck = true }, []string{"p0"}, nil, "p2"},
		{"the link is silent", func(direct, _, _, _ *link.Link) { direct.Heard -= link.FreshWithin + 1 }, []string{"p0"}, nil, "p2"},
		{"the link is slow", func(direct, _, _, _ *link.Link) {
			direct.Heard, direct.RoundTrip = direct.Heard-link.FreshWithin-1, time.Second
		}, []string{"p0"}, nil, "p1"},
		{"the nearest has been passed", nil, []string{"p0", "p1", "p2"}, nil, "p3"},
		{"one without a slot is the last", func(_, near, far, _ *link.Link) { near.Neighbour, far.Neighbour = false, false }, []string{"p0", "p1"}, nil, "p4"},
		{"nobody else is a neighbour", func(_, near, far, above *link.Link) {
			near.Neighbour, far.Neighbour, above.Neighbour = false, false, false
		}, []string{"p0", "p1"}, nil, ""},
		{"it has gone far enough", nil, append([]string{"p1"}, slices.Repeat([]string{"x"}, pb.MaxPassed-1)...), nil, ""},
		{"but the last step is free", nil, slices.Repeat([]string{"x"}, pb.MaxPassed), nil, "p1"},
	} {
		x := newNode(0, 6)
		x.Now = time.Hour
		direct, near, far, above := x.linkTo(1), x.linkTo(2), x.linkTo(3), x.linkTo(4)
		above.Slot = -1
		x.links.SetHops(direct.Entry, near, 2)
		x.links.SetHops(direct.Entry, far, 3)
		if test.change != nil {
			test.change(direct, near, far, above)
		}
		m := &pb.Routed{}
		if test.m != nil {
			m = proto.CloneOf(test.m)
		}
		m.To, m.Passed = "p1", test.passed
		over := certs.ID("")
		if l := x.routes.NextHop(m); l != nil {
			over = l.Peer
		}
		if over != test.over {
			t.Errorf("%s: over %q, not %q", test.name, over, test.over)
		}
	}
}

// TestRoutesAreTold: each change of a distance is told once, soon, and with others; a new
// neighbour is told all, but not of itself.
func TestRoutesAreTold(t *testing.T) {
	x := newNode(0, 500)
	near := x.linkTo(1)
	told := func() (n int) {
		x.routes.TellRoutes()
		for _, f := range x.Out.Frames {
			m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
			if err != nil || len(m.GetRoutes().GetPeers()) > pb.MaxRoutes {
				t.Fatalf("%v: %v", err, m)
			}
			n += len(m.GetRoutes().GetPeers())
		}
		x.Out.Frames = nil
		return n
	}
	told()
	learn := func(from, to int, hops uint32) {
		for i := from; i < to; i++ {
			x.links.SetHops(x.table.Get(idOf(i), recordOf(i).Key), near, hops)
		}
	}
	learn(2, 400, 1)
	learn(2, 400, 2)
	if n := told(); n != 0 {
		t.Errorf("%d are told at once", n)
	}
	x.Now += table.RouteEvery
	if n := told(); n != 398 {
		t.Errorf("then %d", n)
	}
	learn(2, 12, 5)
	learn(2, 12, 2)
	x.Now += table.RouteEvery
	if n := told(); n != 0 {
		t.Errorf("%d are told as they were", n)
	}
	x.linkTo(2)
	if n := told(); n != 2+398-1 { // us and the first neighbour, and not itself
		t.Errorf("a new neighbour is told of %d", n)
	}
}

// TestRoutedIsLimited: what one link has passed on is limited.
func TestRoutedIsLimited(t *testing.T) {
	x := newNode(0, 4)
	one := x.linkTo(1)
	x.linkTo(2)
	pass := func(times int) int {
		x.Out.Frames = nil
		for range times {
			x.PassOn(one, &pb.Routed{From: "x", To: "far", Passed: []string{"x", "p1"}, Parents: []byte{0, 0}, Content: &pb.Routed_Ping{Ping: &pb.Ping{Key: make([]byte, pb.KeySize)}}})
		}
		return len(x.Out.Frames)
	}
	if n := pass(2 * routedBurst); n < routedBurst/2 || n > routedBurst+1 {
		t.Errorf("passes on %d of %d at once", n, 2*routedBurst)
	}
	x.Now += time.Second
	for _, l := range x.links.List {
		l.Heard = x.Now
	}
	if n := pass(1000); n != int(time.Second/routedEvery) {
		t.Errorf("a second later it passes on %d", n)
	}
}

// TestSendAround: after each try the frame goes by way of another first neighbour, the nearest first, and
// the search may go on to all others; a link to the receiver itself is always used.
func TestSendAround(t *testing.T) {
	// 0 has four neighbours and more on the way to 6; 1 is the nearest.
	g := &graph{n: 8}
	for _, l := range [][2]int{{0, 1}, {0, 2}, {0, 3}, {0, 4}, {0, 5}, {1, 6}, {2, 7}, {7, 6}, {3, 7}, {4, 7}, {5, 7}} {
		g.add(l[0], l[1])
	}
	w := newNetwork(g, t.Fatalf)
	w.pass(5 * table.RouteEvery)
	x := w.nodes[0]
	first := func(to, tries int) (by certs.ID, avoided []string) {
		t.Helper()
		if x.routes.SendAround(idOf(to), &pb.Routed{Content: &pb.Routed_Carried{Carried: []byte("x")}}, tries) == 0 {
			t.Fatal("no way")
		}
		f := x.Out.Frames[0]
		x.Out.Frames = nil
		m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
		if err != nil {
			t.Fatal(err)
		}
		return x.links.Link(f.Link).Peer, m.GetRouted().GetPassed()
	}
	var all []certs.ID
	for tries := range 2 * maxFirsts {
		by, passed := first(6, tries)
		if !slices.Equal(passed, []string{"p0"}) {
			t.Errorf("after %d tries it has passed %v", tries, passed)
		}
		all = append(all, by)
	}
	if half := all[:maxFirsts]; half[0] != "p1" || !slices.Equal(half, all[maxFirsts:]) || len(slices.Compact(slices.Sorted(slices.Values(half)))) != maxFirsts {
		t.Errorf("by way of %v", all)
	}
	if by, passed := first(1, 1); by != "p1" || len(passed) != 1 {
		t.Errorf("to a peer with a link by way of %v, past %v", by, passed)
	}
}

// firstHop sends something, and returns over which neighbour it goes and what it is.
func (x *node) firstHop(t *testing.T, send func()) (by certs.ID, m *pb.Routed) {
	t.Helper()
	x.Out.Frames = nil
	send()
	if len(x.Out.Frames) != 1 {
		t.Fatalf("%d frames", len(x.Out.Frames))
	}
	frame, err := pb.Read(bufio.NewReader(bytes.NewReader(x.Out.Frames[0].Data)), pb.MaxControlFrame)
	if err != nil {
		t.Fatal(err)
	}
	return x.links.Link(x.Out.Frames[0].Link).Peer, frame.GetRouted()
}

func ping() *pb.Routed {
	return &pb.Routed{Content: &pb.Routed_Ping{Ping: &pb.Ping{Key: make([]byte, pb.KeySize)}}}
}

// TestTurns: when all first neighbours have had their turn, the peers behind them take other ways too,
// and so on: of peers that drop what they should pass on, wherever they are, none is always on the way.
func TestTurns(t *testing.T) {
	// 0 has two neighbours; each of these has three ways to 9.
	g := &graph{n: 10}
	for _, l := range [][2]int{{0, 1}, {0, 2}, {1, 3}, {1, 4}, {1, 5}, {2, 6}, {2, 7}, {2, 8}, {3, 9}, {4, 9}, {5, 9}, {6, 9}, {7, 9}, {8, 9}} {
		g.add(l[0], l[1])
	}
	w := newNetwork(g, t.Fatalf)
	w.pass(5 * table.RouteEvery)
	ways := make(map[string]bool)
	for tries := range 6 {
		first, m := w.nodes[0].firstHop(t, func() { w.nodes[0].routes.SendAround("p9", ping(), tries) })
		relay := w.nodes[slices.IndexFunc(w.nodes, func(x *node) bool { return x.Cfg.ID == first })]
		second, _ := relay.firstHop(t, func() { relay.PassOn(relay.links.LinkToID("p0"), m) })
		ways[fmt.Sprint(first, second)] = true
	}
	if len(ways) != 6 {
		t.Errorf("six tries take the ways %v", ways)
	}
}

// TestSendBack: an answer goes by the way that the question has come, unless that does not work any
// more, leads past a peer to be avoided, or there is a link.
func TestSendBack(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(x *node, far *link.Link)
		avoid  []certs.ID
		by     certs.ID
	}{
		{"as it has come", nil, nil, "p2"},
		{"it is silent", func(_ *node, far *link.Link) { far.Heard = -time.Hour }, nil, "p1"},
		{"it is no neighbour", func(x *node, far *link.Link) { x.links.EndNeighbour(far) }, nil, "p1"},
		{"it is gone", func(x *node, far *link.Link) {
			x.links.List = slices.DeleteFunc(x.links.List, func(l *link.Link) bool { return l == far })
		}, nil, "p1"},
		{"it is to be avoided", nil, []certs.ID{"p2"}, "p1"},
		{"there is a link", func(x *node, _ *link.Link) { x.linkTo(5) }, nil, "p5"},
	} {
		x := newNode(0, 6)
		near, far := x.linkTo(1), x.linkTo(2)
		e := x.table.Get("p5", recordOf(5).Key)
		x.links.SetHops(e, near, 1)
		x.links.SetHops(e, far, 2)
		if test.change != nil {
			test.change(x, far)
		}
		if by, _ := x.firstHop(t, func() { x.routes.SendBack(far.ID, "p5", ping(), test.avoid...) }); by != test.by {
			t.Errorf("%s: by way of %s", test.name, by)
		}
	}
}

// TestSwallowed: a neighbour that has passed a letter to nobody, while another one did, comes last for
// a while, whatever it says, and for everybody's frames; of two such the one whose last time is longer
// ago is the first of them. So nobody can be brought into disrepute for good.
func TestSwallowed(t *testing.T) {
	x := newNode(0, 8)
	x.Now = time.Hour
	var links []*link.Link
	for i := range 4 {
		links = append(links, x.linkTo(i+1))
	}
	to := func(i int) *table.Entry { return x.table.Get(idOf(i), recordOf(i).Key) }
	for _, i := range []int{6, 7} {
		for k, l := range links {
			x.links.SetHops(to(i), l, uint32(1+k))
		}
	}
	letter := func(i, tries int) certs.ID {
		t.Helper()
		by, _ := x.firstHop(t, func() { x.Route(idOf(i), 1, []byte("letter"), tries, 0) })
		return by
	}
	expect := func(what string, i int, want ...certs.ID) {
		t.Helper()
		var got []certs.ID
		for _, l := range x.routes.firsts(&pb.Routed{To: string(idOf(i)), Passed: []string{"p0"}}) {
			got = append(got, l.Peer)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: to p%d by way of %v", what, i, got)
		}
	}
	expect("at first", 6, "p1", "p2", "p3", "p4")
	if by := []certs.ID{letter(6, 0), letter(6, 1), letter(6, 2)}; !slices.Equal(by, []certs.ID{"p1", "p2", "p3"}) {
		t.Fatalf("letters go by way of %v", by)
	}
	expect("no answer yet", 7, "p1", "p2", "p3", "p4")
	x.routes.Answered("p6", links[1].ID)
	expect("answered by way of the second", 6, "p2", "p4", "p1", "p3")
	expect("others", 7, "p2", "p4", "p1", "p3")
	heard := func(d time.Duration) {
		x.Now += d
		for _, l := range links {
			l.Heard = x.Now
		}
	}
	heard(provenFor)
	letter(7, 0)
	letter(7, 1)
	x.routes.Answered("p7", links[3].ID)
	expect("one that worked swallows", 6, "p4", "p1", "p3", "p2")
	x.links.Link(links[0].ID).Entry = nil
	x.links.List[0] = x.linkTo(1) // it comes again
	x.links.List = x.links.List[:4]
	x.links.SetHops(to(6), x.links.List[0], 1)
	links[0] = x.links.List[0]
	heard(time.Second)
	expect("a new link is of no use", 6, "p4", "p1", "p3", "p2")
	heard(swallowedFor - provenFor)
	expect("later", 6, "p1", "p3", "p4", "p2")
	heard(swallowedFor)
	expect("it is forgotten", 6, "p1", "p2", "p3", "p4")
}
