package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"quicpeer/scripts/netlab"
)

// pair is two peers that have joined by a third one, which is public.
type pair struct {
	name         string
	kindA, kindB string // of the routers; empty: any
	hostA, hostB string
	direct       bool // a connection is possible
}

// The kinds of hosts: with an address of its own, or behind a router.
var kinds = []string{"none", "cone", "restricted", "symmetric"}

// pairs are all that is asked for: each kind with each, both behind one router, and such
// between whose routers no UDP passes.
func pairs() (list []pair) {
	for i, a := range kinds {
		for _, b := range kinds[i:] {
			p := pair{name: a + " - " + b, kindA: a, kindB: b, hostA: "a1", hostB: "b1"}
			p.direct = b != "symmetric" || a == "none" || a == "cone"
			if a == "none" {
				p.kindA, p.hostA = "", "n1"
			}
			if b == "none" {
				p.kindB, p.hostB = "", "n2"
			}
			list = append(list, p)
		}
	}
	for _, kind := range kinds[1:] {
		list = append(list,
			pair{"one LAN behind " + kind, kind, "", "a1", "a2", true},
			pair{"two LANs behind " + kind, kind, "", "a1", "a3", true})
	}
	return append(list, pair{"blocked", "blocked", "blocked", "a1", "b1", false})
}

// trial is three running peers. When a step has failed, those behind it do nothing.
type trial struct {
	lab       *lab
	net       *netlab.Internet
	pub, a, b *peer
	began     time.Time // both know of each other
	err       error     // of the first step that has failed
}

// begin builds an internet for a pair and lets its peers join.
func (l *lab) begin(p pair, loss int) *trial {
	const usual = "restricted"
	t := &trial{lab: l}
	t.net, t.err = netlab.NewInternet(cmp.Or(p.kindA, usual), cmp.Or(p.kindB, usual))
	for _, host := range []string{p.hostA, p.hostB} {
		port := map[byte]string{'a': "A", 'b': "B", 'n': host}[host[0]]
		if t.err == nil {
			t.err = t.net.Lose(port, loss)
		}
	}
	t.pub = t.start("pub", "pub", "--listen", ":5000")
	t.pub.await("ready", "id", "pub")
	const join = "203.0.113.10:5000"
	t.a = t.start(p.hostA, "a", "--listen", ":4001", "--join", join)
	t.b = t.start(p.hostB, "b", "--listen", ":4001", "--join", join)
	for _, w := range t.ways() {
		w.to.await("peer_joined", "id", w.from.id)
	}
	t.began = time.Now()
	return t
}

// way is one of the two ways of messages.
type way struct{ from, to *peer }

func (t *trial) ways() []way { return []way{{t.a, t.b}, {t.b, t.a}} }

// end kills the peers and takes the internet away, and their states, which the next trial
// would find.
func (t *trial) end() {
	for _, p := range []*peer{t.pub, t.a, t.b} {
		p.end()
		_ = os.RemoveAll(t.lab.state(p.id)) // else the next trial says so
	}
	t.net.Close()
}

// awaitDirect waits until both have a connection to each other, and returns when the later
// of the two had; zero if not in the given time.
func (t *trial) awaitDirect(limit time.Duration) time.Time {
	for begin := time.Now(); t.err == nil && time.Since(begin) < limit; time.Sleep(20 * time.Millisecond) {
		switch a, b := t.a.since(t.b), t.b.since(t.a); {
		case a.IsZero() || b.IsZero():
		case a.After(b):
			return a
		default:
			return b
		}
	}
	return time.Time{}
}

// exchange has both send n messages with the pause between them, and wants each shown
// once, in order, and receipted. It returns the path of the last.
func (t *trial) exchange(name string, n int, pause time.Duration) (path string) {
	var sent []string
	for i := range n {
		sent = append(sent, fmt.Sprintf("%s %d", name, i))
		for _, w := range t.ways() {
			w.from.send(w.to, sent[i])
		}
		time.Sleep(pause)
	}
	for _, w := range t.ways() {
		for _, body := range sent {
			path = w.from.await("delivered", "ref", body).Field("path")
		}
		w.to.await("message", "body", sent[n-1])
		var shown []string
		for _, e := range w.to.shown(w.from) {
			shown = append(shown, e.Field("body"))
		}
		if t.err == nil && !slices.Equal(shown[max(0, len(shown)-n):], sent) {
			t.err = fmt.Errorf("%s has shown %q of %s", w.to.id, shown, w.from.id)
		}
	}
	return path
}

// result is what came of a pair.
type result struct {
	first     time.Duration // until the receipt of the first message
	firstPath string
	direct    time.Duration // until there is a connection; negative: none
	path      string        // of the last message
	err       error
}

// directLimit is how long a connection is waited for: what the bar allows with loss.
const directLimit = 5 * time.Second

// measure does a trial of a pair.
func (l *lab) measure(p pair, loss int) result {
	t := l.begin(p, loss)
	defer t.end()
	t.a.send(t.b, "first")
	e := t.a.await("delivered", "ref", "first")
	if t.err != nil {
		return result{direct: -1, err: t.err}
	}
	r := result{first: e.At.Sub(t.began), firstPath: e.Field("path"), direct: -1}
	if since := t.awaitDirect(directLimit); !since.IsZero() {
		r.direct = max(0, since.Sub(t.began))
	}
	r.path = t.exchange("x", 20, 0)
	r.err = t.err
	return r
}

// incident is something that happens in the middle of a conversation.
type incident struct {
	name  string
	pair  pair
	back  time.Duration // the longest silence allowed
	happy func(*trial) error
}

func incidents() []incident {
	home := func(a, b string) pair { return pair{"", a, b, "a1", "b1", true} }
	open := func(a string) pair { return pair{"", a, "", "a1", "n2", true} }
	flush := func(t *trial) error { return t.net.Flush("A") }
	rebind := func(t *trial) error { return t.net.Rebind("A", "restricted") }
	roam := func(t *trial) error { return t.net.Readdress("a1", "10.0.1.50/24") }
	orphan := func(t *trial) error { t.pub.end(); return nil }
	const soon = 3 * time.Second
	return []incident{
		{"router reboot, restricted - restricted", home("restricted", "restricted"), soon, flush},
		{"router reboot, symmetric - none", open("symmetric"), soon, flush},
		{"new mapping, restricted - restricted", home("restricted", "restricted"), soon, rebind},
		{"new mapping, restricted - none", open("restricted"), soon, rebind},
		{"new address, restricted - restricted", home("restricted", "restricted"), soon, roam},
		{"new address, restricted - none", open("restricted"), soon, roam},
		{"the public peer is killed", home("restricted", "restricted"), soon, orphan},
	}
}

// live lets an incident happen two seconds after the two have a connection, while both
// write twenty messages a second for eight seconds. The first of the result is the longest
// silence between two messages that were shown.
func (l *lab) live(in incident) (r result) {
	t := l.begin(in.pair, 0)
	defer t.end()
	if t.awaitDirect(directLimit).IsZero() {
		return result{err: cmp.Or(t.err, errors.New("no connection before the incident"))}
	}
	happened := make(chan error, 1)
	time.AfterFunc(2*time.Second, func() { happened <- in.happy(t) })
	r.path = t.exchange("burst", 160, 50*time.Millisecond)
	r.err = cmp.Or(<-happened, t.err)
	for _, w := range t.ways() {
		shown := w.to.shown(w.from)
		for i := 1; i < len(shown); i++ {
			r.first = max(r.first, shown[i].At.Sub(shown[i-1].At))
		}
	}
	return r
}
