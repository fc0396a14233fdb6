package main

import (
	"cmp"
	"errors"
	"fmt"
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

// trial is three running peers.
type trial struct {
	net       *netlab.Internet
	pub, a, b *peer
	began     time.Time // both know of each other
}

// begin builds an internet for a pair and lets its peers join.
func (l *lab) begin(p pair, loss int) (t *trial, err error) {
	const any = "restricted"
	t = &trial{}
	if t.net, err = netlab.NewInternet(cmp.Or(p.kindA, any), cmp.Or(p.kindB, any)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.end()
		}
	}()
	for _, host := range []string{p.hostA, p.hostB} {
		port := map[byte]string{'a': "A", 'b': "B", 'n': host}[host[0]]
		if err := t.net.Lose(port, loss); err != nil {
			return t, err
		}
	}
	if t.pub, err = l.start(t.net, "pub", "pub", "--listen", ":5000"); err != nil {
		return t, err
	}
	if _, err = t.pub.await("ready", "id", "pub"); err != nil {
		return t, err
	}
	const join = "203.0.113.10:5000"
	if t.a, err = l.start(t.net, p.hostA, "a", "--listen", ":4001", "--join", join); err != nil {
		return t, err
	}
	if t.b, err = l.start(t.net, p.hostB, "b", "--listen", ":4001", "--join", join); err != nil {
		return t, err
	}
	for _, way := range t.ways() {
		if _, err = way.to.await("peer_joined", "id", way.from.id); err != nil {
			return t, err
		}
	}
	t.began = time.Now()
	return t, nil
}

// way is one of the two ways of messages.
type way struct{ from, to *peer }

func (t *trial) ways() []way { return []way{{t.a, t.b}, {t.b, t.a}} }

// end kills the peers and takes the internet away.
func (t *trial) end() {
	for _, p := range []*peer{t.pub, t.a, t.b} {
		if p != nil {
			p.end()
		}
	}
	t.net.Close()
}

// awaitDirect waits until both have a connection to each other, and returns when the later
// of the two had; zero if not in the given time.
func (t *trial) awaitDirect(limit time.Duration) (since time.Time, err error) {
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(20 * time.Millisecond) {
		a, err := t.a.since(t.b)
		if err != nil {
			return since, err
		}
		b, err := t.b.since(t.a)
		switch {
		case err != nil:
			return since, err
		case a.IsZero() || b.IsZero():
		case a.After(b):
			return a, nil
		default:
			return b, nil
		}
	}
	return time.Time{}, nil
}

// exchange has both send n messages with the pause between them, and wants each shown
// once, in order, and receipted. It returns the path of the last.
func (t *trial) exchange(name string, n int, pause time.Duration) (path string, err error) {
	var sent []string
	for i := range n {
		sent = append(sent, fmt.Sprintf("%s %d", name, i))
		for _, w := range t.ways() {
			if err := w.from.send(w.to, sent[i]); err != nil {
				return "", err
			}
		}
		time.Sleep(pause)
	}
	for _, w := range t.ways() {
		for _, body := range sent {
			e, err := w.from.await("delivered", "ref", body)
			if err != nil {
				return "", err
			}
			path = e.Field("path")
		}
		if _, err := w.to.await("message", "body", sent[n-1]); err != nil {
			return "", err
		}
		var shown []string
		for _, e := range w.to.shown(w.from) {
			shown = append(shown, e.Field("body"))
		}
		if !slices.Equal(shown[max(0, len(shown)-n):], sent) {
			return "", fmt.Errorf("%s has shown %q of %s", w.to.id, shown, w.from.id)
		}
	}
	return path, nil
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
func (l *lab) measure(p pair, loss int) (r result) {
	t, err := l.begin(p, loss)
	if err != nil {
		return result{err: err}
	}
	defer t.end()
	r.direct = -1
	if r.err = t.a.send(t.b, "first"); r.err != nil {
		return r
	}
	e, err := t.a.await("delivered", "ref", "first")
	if err != nil {
		return result{direct: -1, err: err}
	}
	r.first, r.firstPath = e.At.Sub(t.began), e.Field("path")
	var since time.Time
	if since, r.err = t.awaitDirect(directLimit); r.err != nil {
		return r
	}
	if !since.IsZero() {
		r.direct = max(0, since.Sub(t.began))
	}
	r.path, r.err = t.exchange("x", 20, 0)
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
	orphan := func(t *trial) error {
		t.pub.end()
		t.pub = nil
		return nil
	}
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
	t, err := l.begin(in.pair, 0)
	if err != nil {
		return result{err: err}
	}
	defer t.end()
	since, err := t.awaitDirect(directLimit)
	if err == nil && since.IsZero() {
		err = errors.New("no connection before the incident")
	}
	if err != nil {
		return result{err: err}
	}
	happened := make(chan error, 1)
	time.AfterFunc(2*time.Second, func() { happened <- in.happy(t) })
	r.path, r.err = t.exchange("burst", 160, 50*time.Millisecond)
	if err := <-happened; err != nil {
		r.err = err
	}
	for _, w := range t.ways() {
		shown := w.to.shown(w.from)
		for i := 1; i < len(shown); i++ {
			r.first = max(r.first, shown[i].At.Sub(shown[i-1].At))
		}
	}
	return r
}
