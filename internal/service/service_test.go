package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

// past is a history in memory.
type past struct {
	mu    sync.Mutex
	list  []overlay.Past
	first uint64
	said  []overlay.Said
	asked []overlay.Query
	err   error
}

func (p *past) Place(string) (uint64, error)  { return 0, nil }
func (p *past) SetPlace(string, uint64) error { return nil }

func (p *past) First() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first
}

func (p *past) End() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return uint64(len(p.list))
}

func (p *past) Events(from uint64) iter.Seq2[overlay.Past, error] {
	p.mu.Lock()
	list := p.list
	from = max(from, p.first, 1)
	p.mu.Unlock()
	return func(yield func(overlay.Past, error) bool) {
		for _, e := range list[min(int(from-1), len(list)):] {
			if positionOf(e.Event) < p.First() { // dropped meanwhile
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
		if p.err != nil {
			yield(overlay.Past{}, p.err)
		}
	}
}

func (p *past) Messages(ctx context.Context, q overlay.Query) ([]overlay.Said, error) {
	p.asked = append(p.asked, q)
	return p.said, cmp.Or(ctx.Err(), p.err)
}

// node is one whose events the test makes; messages are in the history before they are events.
type node struct {
	*linestest.Node
	past   *past
	events chan overlay.Event

	mu    sync.Mutex
	shown []int
	wrong bool
}

func newNode() *node {
	return &node{Node: linestest.New("me"), past: &past{}, events: make(chan overlay.Event)}
}

func (n *node) Deliveries() iter.Seq2[overlay.Event, func()] {
	return func(yield func(overlay.Event, func()) bool) {
		i := 0
		for e := range n.events {
			shown := func() {}
			switch e.(type) {
			case overlay.PeerJoined, overlay.PeerChanged, overlay.PeerLeft: // nobody waits for these
			default:
				turn := i
				shown = func() { n.showed(turn) }
				i++
			}
			if !yield(e, shown) {
				return
			}
		}
	}
}

// showed notes that event i of those that somebody waits for was shown: each in its turn.
func (n *node) showed(i int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wrong = n.wrong || i != len(n.shown)
	n.shown = append(n.shown, i)
}

func (n *node) said(body string) {
	n.past.mu.Lock()
	m := overlay.Message{From: "bob", To: "me", Body: body, Pos: uint64(len(n.past.list)) + 1}
	n.past.list = append(n.past.list, overlay.Past{Event: m, At: time.Now()})
	n.past.mu.Unlock()
	n.events <- m
}

// start runs a service, whose standard output shows everything unless it is stuck.
func start(t *testing.T, n *node, stuck <-chan struct{}) *Service {
	t.Helper()
	s := New(n, n.past, "1.0", "")
	var wg sync.WaitGroup
	wg.Go(s.Run)
	wg.Go(func() {
		if stuck != nil {
			<-stuck
		}
		for _, shown := range s.Output() {
			shown()
		}
	})
	n.events <- overlay.Ready{ID: "me"}
	t.Cleanup(func() {
		close(n.events)
		wg.Wait()
		if n.wrong {
			t.Error("events were not shown in their order, each once")
		}
	})
	return s
}

// heard is what a reader was told, in order.
type heard struct {
	mu        sync.Mutex
	positions []uint64
	present   map[certs.ID]bool
	first     string
	wrong     []string
}

func (h *heard) hear(items []*Item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range items {
		if h.first == "" {
			h.first = fmt.Sprintf("%T", i.Event)
		}
		switch e := i.Event.(type) {
		case overlay.PeerJoined:
			if h.present[e.ID] {
				h.wrong = append(h.wrong, "joined twice: "+string(e.ID))
			}
			h.present[e.ID] = true
		case overlay.PeerLeft:
			if !h.present[e.ID] {
				h.wrong = append(h.wrong, "left twice: "+string(e.ID))
			}
			delete(h.present, e.ID)
		case overlay.Message:
			h.positions = append(h.positions, i.Pos)
		}
	}
}

func (h *heard) check(t *testing.T, from, end uint64) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.first != "messaging.Ready" || len(h.wrong) > 0 {
		t.Errorf("it begins with %s, and %v", h.first, h.wrong)
	}
	for i, pos := range h.positions {
		if pos != from+uint64(i) {
			t.Fatalf("position %d is the %dth from %d", pos, i, from)
		}
	}
	if got := from + uint64(len(h.positions)) - 1; got != end {
		t.Errorf("told up to %d, not %d", got, end)
	}
}

// Fifty readers come, stall, are cut off, go and come back where they were, while messages, joins
// and leaves come: each gets every position once and in order, and the same peers are here.
func TestReadersMissNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		s := start(t, n, nil)
		n.said("before all")
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		all := make([]*heard, 50)
		for k := range all {
			h := &heard{present: map[certs.ID]bool{}}
			all[k] = h
			random := rand.New(rand.NewPCG(1, uint64(k)))
			wg.Go(func() {
				for ctx.Err() == nil {
					h.mu.Lock()
					h.present, h.first = map[certs.ID]bool{}, ""
					from := uint64(len(h.positions)) + 1
					h.mu.Unlock()
					stay, leave := context.WithTimeout(ctx, time.Duration(random.IntN(3000))*time.Millisecond)
					err := s.Follow(stay, from, true, time.Hour, func(items []*Item) error {
						h.hear(items)
						if random.IntN(40) == 0 {
							time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
						}
						return nil
					})
					leave()
					if behind, ok := errors.AsType[*BehindError](err); ok && behind.From != uint64(len(h.positions))+1 {
						t.Errorf("told %d positions, and to go on from %d", len(h.positions), behind.From)
					} else if !ok && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				}
				// The last time nothing stands in the way.
				h.present, h.first = map[certs.ID]bool{}, ""
				err := s.Follow(t.Context(), uint64(len(h.positions))+1, false, time.Hour, func(items []*Item) error { h.hear(items); return nil })
				if err != nil {
					t.Error(err)
				}
			})
		}
		random := rand.New(rand.NewPCG(2, 2))
		here := map[certs.ID]bool{}
		for i := range 30000 {
			if i%100 == 0 {
				time.Sleep(20 * time.Millisecond) // 5,000 a second
			}
			if random.IntN(20) > 0 {
				n.said("x")
				continue
			}
			id := certs.ID(fmt.Sprint("p", random.IntN(30)))
			if here[id] = !here[id]; here[id] {
				n.events <- overlay.PeerJoined{ID: id}
			} else {
				n.events <- overlay.PeerLeft{ID: id, Reason: overlay.ReasonLeft}
			}
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		for _, h := range all {
			h.check(t, 1, n.past.End())
			for id, is := range here {
				if h.present[id] != is {
					t.Errorf("%s is here: %v, and a reader was told %v", id, is, h.present[id])
				}
			}
		}
		if len(s.feed.readers) != 0 || len(s.feed.items) != 0 {
			t.Errorf("%d readers and %d events are left", len(s.feed.readers), len(s.feed.items))
		}
	})
}

// A reader that wants nothing of the history misses nothing that comes while it is told how things stand.
func TestReaderFromNowOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		s := start(t, n, nil)
		n.said("before")
		synctest.Wait()
		h := &heard{present: map[certs.ID]bool{}}
		told := 0
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Follow(ctx, 0, true, time.Hour, func(items []*Item) error {
			h.hear(items)
			if told++; told == 1 {
				n.events <- overlay.PeerJoined{ID: "carol"}
				n.said("meanwhile")
				synctest.Wait()
			} else if items == nil || len(h.positions) > 0 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || !h.present["carol"] {
			t.Errorf("%v, and of carol %v", err, h.present["carol"])
		}
		h.check(t, 2, 2)
	})
}

// A reader that does not read on is told where it can go on, and nobody waits for it.
func TestReaderFallsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		s := start(t, n, nil)
		n.said("1")
		go_, stopped := make(chan struct{}), make(chan error)
		go func() {
			stopped <- s.Follow(t.Context(), 1, true, time.Hour, func(items []*Item) error {
				if len(items) > 0 && items[len(items)-1].Pos == 2 {
					<-go_
				}
				return nil
			})
		}()
		synctest.Wait()
		n.said("2")
		synctest.Wait()
		for range maxFeed + 1 {
			n.said("x")
		}
		synctest.Wait()
		if len(s.feed.items) != maxFeed {
			t.Errorf("%d events are kept", len(s.feed.items))
		}
		close(go_)
		err := <-stopped
		if behind, ok := errors.AsType[*BehindError](err); !ok || behind.From != 3 {
			t.Errorf("got %v", err)
		}
	})
}

// A reader of the history that is so slow that what it would read next is dropped is told where it can go on.
func TestReaderIsOvertaken(t *testing.T) {
	n := newNode()
	for i := range 3 * maxBatch {
		n.past.list = append(n.past.list, overlay.Past{Event: overlay.Message{Pos: uint64(i + 1)}})
	}
	s := New(n, n.past, "", "")
	told := 0
	drop := func(items []*Item) error {
		if told += len(items); told > 0 {
			n.past.first = 2*maxBatch + 1
		}
		return nil
	}
	err := s.Follow(t.Context(), 1, false, time.Hour, drop)
	if behind, ok := errors.AsType[*BehindError](err); !ok || behind.From != 2*maxBatch+1 || told != maxBatch {
		t.Errorf("got %v after %d events", err, told)
	}
	told = 0
	if err := s.Follow(t.Context(), s.First(), false, time.Hour, drop); err != nil || told != maxBatch {
		t.Errorf("then %v after %d events", err, told)
	}
}

// The events that are kept are bounded in bytes as well.
func TestFeedBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		s := start(t, n, nil)
		r, _, _ := s.feed.enter(true)
		defer r.leave()
		body := strings.Repeat("x", 1<<20)
		for range 20 {
			n.said(body)
		}
		synctest.Wait()
		if s.feed.bytes > maxFeedBytes || len(s.feed.items) != 15 {
			t.Errorf("%d events with %d bytes are kept", len(s.feed.items), s.feed.bytes)
		}
		if _, err := r.now(); !errors.Is(err, errBehind) {
			t.Errorf("got %v", err)
		}
	})
}

// What all readers have read is not kept.
func TestFeedForgetsWhatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		s := start(t, n, nil)
		quick, slow := s.Watch(), s.Watch()
		defer quick.Close()
		read := func(w *Watch, many int) {
			t.Helper()
			for many > 0 {
				items, err := w.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				many -= len(items)
			}
		}
		for range 1000 {
			n.said("x")
		}
		synctest.Wait()
		read(quick, 1000)
		read(slow, maxBatch)
		n.said("x")
		synctest.Wait()
		if got := len(s.feed.items); got != 1001-maxBatch {
			t.Errorf("%d events are kept for a slow reader", got)
		}
		slow.Close()
		n.said("x")
		synctest.Wait()
		if got := len(s.feed.items); got != 2 {
			t.Errorf("%d events are kept, and 2 are unread", got)
		}
		read(quick, 2)
	})
}

// Standard output that is stuck stops nothing else; no message is shown meanwhile, and joins and
// leaves collapse.
func TestStuckOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		go_ := make(chan struct{})
		s := New(n, n.past, "", "")
		var wg sync.WaitGroup
		wg.Go(s.Run)
		n.events <- overlay.Ready{ID: "me"}
		var h heard
		h.present = map[certs.ID]bool{}
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			s.Follow(ctx, 0, true, time.Hour, func(items []*Item) error { h.hear(items); return nil })
		})
		synctest.Wait()
		n.said("a")
		for i := range 3 * collapseAbove {
			id := certs.ID(fmt.Sprint("p", i%7))
			n.events <- overlay.PeerJoined{ID: id, Key: certs.PublicKey{byte(i % 7)}}
			if i == 100 {
				n.said("b") // from bob
			}
			n.events <- overlay.PeerLeft{ID: id, Reason: overlay.ReasonLost}
			synctest.Wait()
		}
		n.events <- overlay.PeerJoined{ID: "stays"}
		synctest.Wait()
		if len(h.positions) != 2 || !h.present["stays"] || len(h.present) != 1 {
			t.Errorf("the reader was told %v and %v", h.positions, h.present)
		}
		if len(n.shown) > 0 {
			t.Error("shown, though nobody reads")
		}
		kept := s.output.waiting
		if kept > 3*collapseAbove {
			t.Errorf("%d events are kept", kept)
		}
		var texts []string
		wg.Go(func() {
			<-go_
			for e, shown := range s.Output() {
				if m, ok := e.(overlay.Message); ok {
					texts = append(texts, m.Body)
				}
				shown()
			}
		})
		close(go_)
		synctest.Wait()
		if n.wrong || len(n.shown) != 3 || strings.Join(texts, "") != "ab" {
			t.Errorf("%d events were shown, of them %q", len(n.shown), texts)
		}
		close(n.events)
		cancel()
		wg.Wait()
	})
}

// However often a peer changes its record, standard output that is stuck holds up nobody.
func TestStuckOutputChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		s := start(t, n, t.Context().Done())
		for i := range maxUnshown + 1 {
			n.events <- overlay.PeerChanged{ID: "a", Rooms: []string{fmt.Sprint("#", i)}}
		}
		n.said("hello")
		synctest.Wait()
		if last := s.feed.pos; last != 1 {
			t.Errorf("others were told up to %d", last)
		}
		if s.output.waiting > collapseAbove+3 || s.output.waiting != len(s.output.items) {
			t.Errorf("%d events are kept, and %d are counted", len(s.output.items), s.output.waiting)
		}
	})
}

// The peer leaves when what came before was shown, as its receipts go out then, or after a second.
func TestAwaitShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		s := New(n, n.past, "", "")
		var wg sync.WaitGroup
		wg.Go(s.Run)
		n.events <- overlay.Ready{ID: "me"}
		wg.Go(func() {
			for _, shown := range s.Output() {
				time.Sleep(300 * time.Millisecond)
				shown()
			}
		})
		waits := func(ctx context.Context) time.Duration {
			synctest.Wait()
			begin := time.Now()
			s.AwaitShown(ctx)
			return time.Since(begin)
		}
		time.Sleep(time.Second)
		ended, end := context.WithCancel(t.Context())
		end()
		for _, c := range []struct {
			ctx  context.Context
			said int
			want time.Duration
		}{
			{t.Context(), 0, 0}, {t.Context(), 2, 600 * time.Millisecond}, {t.Context(), 9, shownPatience}, {ended, 1, 0},
		} {
			for range c.said {
				n.said("a")
			}
			if took := waits(c.ctx); took != c.want {
				t.Errorf("%d messages were awaited for %v, not %v", c.said, took, c.want)
			}
			time.Sleep(time.Minute)
		}
		close(n.events)
		wg.Wait()
	})
}

// What collapses is the net change, and no message is left without its peer.
func TestCollapse(t *testing.T) {
	join := func(id string, key byte) overlay.Event {
		return overlay.PeerJoined{ID: certs.ID(id), Key: certs.PublicKey{key}}
	}
	changed := func(rooms ...string) overlay.Event { return overlay.PeerChanged{ID: "a", Rooms: rooms} }
	left := func(id string) overlay.Event { return overlay.PeerLeft{ID: certs.ID(id)} }
	said := overlay.Message{From: "a"}
	visit, ends := overlay.PeerJoined{ID: "a", Key: certs.PublicKey{1}, Visitor: true}, overlay.PeerLeft{ID: "a", Visitor: true}
	list := func(e ...overlay.Event) []overlay.Event { return e }
	for name, test := range map[string]struct{ events, want []overlay.Event }{
		"came and went":        {list(join("b", 1), join("c", 1), left("b")), list(join("c", 1))},
		"went and came":        {list(left("a"), join("a", 1)), nil},
		"came back as another": {list(left("a"), join("a", 2)), list(left("a"), join("a", 2))},
		"said something":       {list(join("a", 1), said, left("a")), list(join("a", 1), said, left("a"))},
		"twice":                {list(left("a"), join("a", 1), left("a"), join("a", 1), left("a")), list(left("a"))},

		"changed twice":            {list(changed("#1"), changed("#2")), list(changed("#2"))},
		"changed and went":         {list(changed("#1"), left("a")), list(left("a"))},
		"said between changes":     {list(changed("#1"), said, changed("#2"), changed("#3")), list(changed("#1"), said, changed("#3"))},
		"came back and changed":    {list(changed("#1"), left("a"), join("a", 1), changed("#2")), list(changed("#2"))},
		"came back without":        {list(changed("#1"), said, left("a"), join("a", 1)), list(changed("#1"), said, changed())},
		"that, and went":           {list(changed("#1"), left("a"), join("a", 1), left("a")), list(left("a"))},
		"that, and came back":      {list(changed("#1"), left("a"), join("a", 1), left("a"), join("a", 1)), list(changed())},
		"came, changed and went":   {list(left("a"), join("a", 2), changed("#1"), left("a")), list(left("a"))},
		"a visitor stays":          {list(visit, changed(), changed("#1")), list(visit, changed("#1"))},
		"a visitor came back":      {list(ends, visit), nil},
		"came back to stay":        {list(ends, join("a", 1)), list(changed())},
		"stayed and went":          {list(changed(), left("a")), list(left("a"))},
		"a join with what follows": {list(join("b", 1), changed("#1"), join("c", 1), changed("#2")), list(join("b", 1), join("c", 1), changed("#2"))},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutput()
			o.present["a"] = certs.PublicKey{1}
			calls := 0
			for _, e := range test.events {
				o.push(e, func() { calls++ })
			}
			o.collapse()
			members := len(test.want) - len(slices.DeleteFunc(slices.Clone(test.want), func(e overlay.Event) bool { _, is := e.(overlay.Message); return !is }))
			if o.membership != members {
				t.Errorf("%d joins, changes and leaves are counted, and %d are left", o.membership, members)
			}
			o.finish()
			var got []overlay.Event
			for e, shown := range o.events() {
				got = append(got, e)
				shown()
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) || calls != len(got) || o.waiting != 0 {
				t.Errorf("got %v, %d were shown, %d wait", got, calls, o.waiting)
			}
		})
	}
}

// The history is read once, within bounds, and for as long as somebody waits.
func TestPast(t *testing.T) {
	n := newNode()
	s := New(n, n.past, "", "")
	n.past.said = []overlay.Said{{Pos: 7, Body: "x"}}
	for _, test := range []struct{ q, want overlay.Query }{
		{overlay.Query{}, overlay.Query{Last: usualPast, Bytes: maxPastBytes}},
		{overlay.Query{Last: 250, Before: 1001, Search: "x"}, overlay.Query{Last: 250, Before: 1001, Search: "x", Bytes: maxPastBytes}},
		{overlay.Query{Last: 1 << 30}, overlay.Query{Last: lines.MaxPast, Bytes: maxPastBytes}},
	} {
		n.past.asked = nil
		got, err := s.Past(t.Context(), test.q)
		if err != nil || len(got) != 1 || got[0].Pos != 7 || len(n.past.asked) != 1 || n.past.asked[0] != test.want {
			t.Errorf("%+v: %v, %v, and the history was asked for %+v", test.q, got, err, n.past.asked)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Past(gone, overlay.Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	n.past.err = errors.New("damaged")
	if _, err := s.Past(t.Context(), overlay.Query{}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
	if err := s.Follow(t.Context(), 1, false, time.Hour, func([]*Item) error { return nil }); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
}

// Without a terminal what comes is new to the next one.
func TestSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		s := start(t, n, nil)
		if since, _ := s.Attach(); !since.IsZero() {
			t.Error("new before there was a terminal")
		}
		n.said("1")
		s.Attach()
		s.Detach()
		n.said("2")
		at := time.Now()
		s.Detach()
		time.Sleep(time.Hour)
		n.said("3")
		if since, pos := s.Attach(); !since.Equal(at) || pos != 2 {
			t.Errorf("since %v, position %d", since, pos)
		}
		if since, _ := s.Attach(); !since.IsZero() {
			t.Error("new beside another terminal")
		}
	})
}
