package transport_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/transport"
)

// line is a row of endpoints, each with a link to the next. Only what a test sets leads further.
type line struct {
	*world
	names []string
	ends  []*transport.Endpoint
	links [][2]*transport.Link // between each and the next, both ends
}

// newLine is a row with ways in both directions.
func newLine(t *testing.T, seed uint64, names ...string) *line {
	t.Helper()
	return newWorld(t, seed).line(names...)
}

func (w *world) line(names ...string) *line {
	w.t.Helper()
	l := &line{world: w, names: names}
	for i, name := range names {
		l.ends = append(l.ends, l.endpoint(name))
		if i > 0 {
			a, b := l.connect(l.ends[i-1], l.ends[i], name)
			l.links = append(l.links, [2]*transport.Link{a, b})
		}
	}
	for i := range names {
		l.lead(i)
	}
	return l
}

// lead sets the ways of one endpoint to all others.
func (l *line) lead(i int) {
	for j, name := range l.names {
		switch {
		case j < i:
			l.ends[i].SetWay(tag(name), l.links[i-1][1])
		case j > i:
			l.ends[i].SetWay(tag(name), l.links[i][0])
		}
	}
}

// carry connects two endpoints of the row over those between them.
func (l *line) carry(from, to int) (dialled, accepted *transport.Link) {
	l.t.Helper()
	dialled = l.dialCarried(from, to)
	accepted = accept(l.t, l.ends[to])
	receive(l.t, accepted, hello)
	return dialled, accepted
}

func (l *line) dialCarried(from, to int) *transport.Link {
	l.t.Helper()
	name := l.names[to]
	link, err := l.ends[from].DialCarried(l.t.Context(), tag(name), identity(name).Key())
	if err != nil {
		l.t.Fatalf("dialling %s over others: %v", name, err)
	}
	send(l.t, link, hello)
	return link
}

// TestCarried makes a link over others, which is like any other.
func TestCarried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 1, "alice", "bob", "carol", "dave")
		begin := time.Now()
		a, d := l.carry(0, 3)
		if took := time.Since(begin); took > 10*latency {
			t.Errorf("took %v", took)
		}
		if !a.Carried() || !d.Carried() || l.links[0][0].Carried() {
			t.Error("it is not said which links are carried")
		}
		if a.Peer() != identity("dave").Key() || d.Peer() != identity("alice").Key() || a.RemoteAddr().IsValid() {
			t.Errorf("the peers are %v and %v, one at %v", a.Peer(), d.Peer(), a.RemoteAddr())
		}
		s, err := a.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Write(message("over you")); err != nil {
			t.Fatal(err)
		}
		got, err := d.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m, err := got.Read(1 << 10); err != nil || m.GetMessage().GetContent() != "over you" {
			t.Errorf("got %v, %v", m, err)
		}
		if last := l.links[1][0].LastCarried(); time.Since(last) > time.Second {
			t.Errorf("the link in the middle has last carried something at %v", last)
		}
		a.Shut(transport.CodeBye, "")
		receiveBye(t, d)
		d.Shut(transport.CodeBye, "")
		within(t, time.Second, "the end", a.Done())
		within(t, time.Second, "the end", d.Done())
	})
}

// TestCarriedIdle: a link over others lives as long as its ends do, and is not heard to end when
// one of them is gone.
func TestCarriedIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 1, "alice", "bob", "carol")
		a, _ := l.carry(0, 2)
		time.Sleep(5 * time.Minute)
		if err := a.Err(); err != nil {
			t.Fatal(err)
		}
		l.Crash("carol")
		within(t, 30*time.Second, "the end", a.Done())
		if err := a.Err(); !errors.Is(err, transport.ErrSilent) {
			t.Error(err)
		}
	})
}

// TestCarriedWrongKey: who answers to a tag must have the key.
func TestCarriedWrongKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 1, "alice", "bob", "carol")
		_, err := l.ends[0].DialCarried(t.Context(), tag("carol"), identity("dave").Key())
		if wrong, ok := errors.AsType[*certs.WrongKeyError](err); !ok {
			t.Errorf("got %v (%v)", err, wrong)
		}
	})
}

// TestCarryWishes: an endpoint asks for what it does not know, of its own packets and those of
// others, and of packets from peers that it does not know.
func TestCarryWishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 1, "alice", "bob", "carol")
		for _, name := range l.names {
			for _, e := range l.ends {
				e.ForgetWay(tag(name))
			}
		}
		asked := func(e *transport.Endpoint) (list []transport.CarryWish) {
			for {
				select {
				case w := <-e.CarryWishes():
					list = append(list, w)
				default:
					return list
				}
			}
		}
		dial := func() {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, _ = l.ends[0].DialCarried(ctx, tag("carol"), identity("carol").Key())
		}
		dial()
		if list := asked(l.ends[0]); len(list) == 0 || list[0].To != tag("carol") || len(list[0].Packet) < 1200 {
			t.Errorf("without a way: wants %v", list)
		}
		for i, want := range []string{"carol", "alice"} {
			l.lead(i)
			dial()
			list := asked(l.ends[i+1])
			if len(list) == 0 || list[0].To != tag(want) || list[0].Packet != nil {
				t.Errorf("%s wants %v", l.names[i+1], list)
			}
		}
		l.lead(2)
		time.Sleep(10 * time.Second) // those that were given up have no place any more
		l.carry(0, 2)
		if list := l.ends[1].Ways(); len(list) != 2 {
			t.Errorf("the one in the middle knows %v", list)
		}
		time.Sleep(2 * time.Minute)
		if list := l.ends[0].Ways(); len(list) != 1 {
			t.Errorf("one that is in use was forgotten: %v", list)
		}
	})
}
