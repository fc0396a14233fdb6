package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/transport"
)

// initials are the first packets of so many connections.
func initials(w *world, n int) (list [][]byte) {
	sink := w.Node("initials")
	defer sink.Close()
	tr, conf := w.raw("dialler"), goodTLS(w.t)
	b := make([]byte, 2000)
	for range n {
		ctx, cancel := context.WithTimeout(w.t.Context(), 2*latency)
		_, _ = tr.Dial(ctx, net.UDPAddrFromAddrPort(w.Addr("initials")), conf, &quic.Config{InitialPacketSize: 1200})
		cancel()
		size, _, err := sink.ReadFrom(b)
		if err != nil {
			w.t.Fatal(err)
		}
		list = append(list, bytes.Clone(b[:size]))
		for { // the Initial's second half, and what closes the connection
			_ = sink.SetReadDeadline(time.Now().Add(2 * latency))
			if _, _, err := sink.ReadFrom(b); err != nil {
				break
			}
		}
		_ = sink.SetReadDeadline(time.Time{})
	}
	return list
}

// TestCarriedCrowd: strangers that come over one link, or two, and say nothing, under as many
// names as they like, do not keep out those that come over another, even if their link takes no
// answers, or they use the honest one's name.
func TestCarriedCrowd(t *testing.T) {
	for _, c := range []struct {
		name  string
		links int
		deaf  bool
		most  time.Duration // until an honest one is in
	}{
		{"one link", 1, false, 10 * latency},
		{"one link that takes nothing", 1, true, 10 * latency},
		{"two links", 2, false, 15 * latency},
		{"two links that take nothing", 2, true, 15 * latency},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine(t, 1, "alice", "relay", "b")
				b := l.ends[2]
				flood := initials(l.world, 20)
				stop := make(chan struct{})
				var flooding sync.WaitGroup
				for i := range c.links {
					name := "hostile" + string(rune('0'+i))
					p := l.hopPeer(l.raw(name), name, "b", b, &quic.Config{InitialStreamReceiveWindow: 1 << 10, MaxStreamReceiveWindow: 1 << 10})
					if !c.deaf {
						go p.read(func([]byte) {})
					}
					for i := range 20 {
						b.SetWay(tag(fmt.Sprint(name, i)), p.link)
					}
					from := func(i int) string {
						if i%5 == 0 {
							return "alice"
						}
						return fmt.Sprint(name, i)
					}
					flooding.Go(func() {
						for i := 0; ; i++ {
							select {
							case <-stop:
								return
							case <-t.Context().Done():
								return
							case <-time.After(2 * time.Millisecond):
								j := i % 20
								p.carry(carriedPacket(16, "b", from(j), flood[j]))
							}
						}
					})
				}
				time.Sleep(1500 * time.Millisecond)
				for range 2 {
					begin := time.Now()
					a, d := l.carry(0, 2)
					if took := time.Since(begin); took > c.most {
						t.Errorf("an honest one took %v", took)
					}
					send(t, d, numbered(1, 1000))
					receive(t, a, numbered(1, 1000))
				}
				if log := l.log.String(); !strings.Contains(log, "too many connections on their way in") {
					t.Errorf("the log does not say that somebody was refused:\n%s", log)
				}
				close(stop)
				flooding.Wait()
			})
		})
	}
}

// TestReplayedInitials: the first packet of a connection is worth no more the second time, and
// opens the door to nobody.
func TestReplayedInitials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		var mu sync.Mutex
		var first [][]byte
		var again func([]byte)
		alice, bob := between(w, func(p []byte, on, _ func([]byte)) {
			mu.Lock()
			defer mu.Unlock()
			if len(first) < 2 { // the hello has two packets
				first, again = append(first, p), on
			}
			on(p)
		})
		a, err := alice.DialCarried(t.Context(), tag("bob"), identity("bob").Key())
		if err != nil {
			t.Fatal(err)
		}
		send(t, a, hello)
		b := accept(t, bob)
		receive(t, b, hello)
		for _, pause := range []time.Duration{0, 20 * time.Second} {
			time.Sleep(pause)
			before := heap()
			for range 500 {
				again(first[0])
				again(first[1])
				time.Sleep(2 * time.Millisecond)
			}
			if grown := int64(heap()) - int64(before); grown > 2<<20 {
				t.Errorf("the heap has grown by %d bytes", grown)
			}
			send(t, a, numbered(1, 1000))
			receive(t, b, numbered(1, 1000))
			time.Sleep(10 * time.Second) // the handshakes have timed out
			accepting, cancel := context.WithTimeout(t.Context(), time.Second)
			if l, err := bob.Accept(accepting); err == nil {
				t.Errorf("a replay makes a link with %v", l.Peer())
			}
			cancel()
		}
		w.connect(w.endpoint("carol"), bob, "bob")
		if _, err := alice.DialCarried(t.Context(), tag("bob"), identity("bob").Key()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// likeOurs has the windows of an endpoint.
func likeOurs() *quic.Config {
	return &quic.Config{
		InitialStreamReceiveWindow: 160 << 10, MaxStreamReceiveWindow: 160 << 10,
		InitialConnectionReceiveWindow: 2 << 20, MaxConnectionReceiveWindow: 2 << 20,
	}
}

// TestHopNotRead: a peer that does not read its hop stream loses what is carried to it, but not
// its link, on which all else goes on. By the time it reads again, all that has waited too long is gone.
func TestHopNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHostileWorld(t)
		deaf := w.hopPeer(w.raw("deaf"), "deaf", "b", w.b, likeOurs())
		p := w.hopPeer(w.raw("hostile"), "hostile", "b", w.b, nil)
		w.b.SetWay(tag("x"), deaf.link)
		w.b.SetWay(tag("known"), p.link)
		before := heap()
		content := make([]byte, 1200)
		for range 20 {
			for range 200 {
				p.carry(carriedPacket(16, "x", "known", content))
			}
			time.Sleep(50 * time.Millisecond)
		}
		if grown := int64(heap()) - int64(before); grown > 4<<20 {
			t.Errorf("the heap has grown by %d bytes", grown)
		}
		_, err := w.b.DialCarried(t.Context(), tag("x"), identity("x").Key())
		if !errors.Is(err, transport.ErrNoAnswer) {
			t.Errorf("dialling over it: %v", err)
		}
		time.Sleep(20 * time.Second)
		if err := deaf.link.Err(); err != nil {
			t.Fatalf("the link has ended: %v", err)
		}
		began := time.Now()
		want := bytes.Repeat(numbered(7, 1000), 100)
		for range 100 {
			send(t, deaf.link, numbered(7, 1000))
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(deaf.control, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("control frames: %v", err)
		}
		for range 20 { // message streams
			s, err := deaf.link.OpenStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			content := message(strings.Repeat("m", 60<<10))
			if err := errors.Join(s.Write(content), s.CloseWrite()); err != nil {
				t.Fatal(err)
			}
			theirs, err := deaf.conn.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(theirs); err != nil || !bytes.Equal(got, content) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
			theirs.Close()
			if _, err := s.Read(1 << 10); err != io.EOF {
				t.Error(err)
			}
		}
		if took := time.Since(began); took > 60*latency {
			t.Errorf("beside a full hop stream this takes %v", took)
		}
		packets := deaf.reads()
		time.Sleep(time.Second)
		if n := len(packets) * len(content); n == 0 || n > 160<<10+32<<10+2*1500 {
			t.Errorf("%d bytes have waited", n)
		}
		for len(packets) > 0 {
			<-packets
		}
		p.carry(carriedPacket(16, "x", "known", []byte("marker")))
		if b := <-packets; string(b[17:]) != "marker" {
			t.Errorf("got %d bytes", len(b))
		}
		w.check()
	})
}

// TestHopRefused: to a peer that cancels the hop stream, or takes none, nothing is carried; all
// else goes on.
func TestHopRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		streams int64
	}{{"cancelled", 1}, {"not taken", -1}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHostileWorld(t)
				p := w.hopPeer(w.raw("hostile"), "hostile", "b", w.b, &quic.Config{MaxIncomingUniStreams: c.streams})
				w.b.SetWay(tag("x"), p.link)
				w.b.SetWay(tag("known"), p.link)
				go func() {
					if s, err := p.conn.AcceptUniStream(p.conn.Context()); err == nil {
						s.CancelRead(1)
					}
				}()
				for range 3 {
					_, err := w.b.DialCarried(t.Context(), tag("x"), identity("x").Key())
					if !errors.Is(err, transport.ErrNoAnswer) {
						t.Errorf("dialling over it: %v", err)
					}
				}
				p.carry(carriedPacket(16, "x", "known", []byte("to itself")))
				send(t, p.link, hello)
				if _, err := io.ReadFull(p.control, make([]byte, len(hello))); err != nil {
					t.Errorf("a control frame: %v", err)
				}
				if err := p.link.Err(); err != nil {
					t.Errorf("the link has ended: %v", err)
				}
				w.check()
			})
		})
	}
}

// TestFloodedRelay: one that floods a relay, as fast as it takes it, leaves another its share of
// the way, and does not fill the relay's memory.
func TestFloodedRelay(t *testing.T) {
	for _, c := range []struct {
		name    string
		content int
	}{{"large packets", 1200}, {"small packets", 1}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine(t, 1, "alice", "relay", "dave")
				l.Line("dave", 4_000_000, 64<<10) // the flood alone would fill it many times
				a, d := l.carry(0, 2)
				p := l.hopPeer(l.raw("hostile"), "hostile", "relay", l.ends[1], nil)
				l.ends[1].SetWay(tag("hostile"), p.link)
				before := heap()
				var flood sync.WaitGroup
				flood.Go(func() {
					packets := bytes.Repeat(carriedPacket(16, "dave", "hostile", make([]byte, c.content)), 1+10000/c.content)
					for p.conn.Context().Err() == nil {
						p.carry(packets[:min(len(packets), 64<<10)/(19+c.content)*(19+c.content)])
					}
				})
				time.Sleep(time.Second)
				begin := time.Now()
				send(t, l.links[1][0], numbered(1, 1000))
				receive(t, l.links[1][1], numbered(1, 1000))
				if took := time.Since(begin); took > latency+200*time.Millisecond { // the line's queue holds 131 ms
					t.Errorf("a control frame took %v", took)
				}
				begin = time.Now()
				const messages = 300
				s, err := a.OpenStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					for i := range messages {
						s.Write(message(numberedMessage(i)))
					}
					s.CloseWrite()
				}()
				got, err := d.AcceptStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for i := range messages {
					if m, err := got.Read(1 << 10); err != nil || m.GetMessage().GetContent() != numberedMessage(i) {
						t.Fatalf("message %d: %.10q, %v", i, m.GetMessage().GetContent(), err)
					}
				}
				// 100 KB at half of 4 Mbit/s take 0.4 s, and a beginning connection some round trips.
				if took := time.Since(begin); took > 2*time.Second {
					t.Errorf("took %v", took)
				}
				if grown := int64(heap()) - int64(before); grown > 4<<20 {
					t.Errorf("the heap has grown by %d bytes", grown)
				}
				p.conn.CloseWithError(0, "")
				flood.Wait()
			})
		})
	}
}

// TestWrongWays: owners that set all ways wrong, forget them, dial and hang up, on a network that
// loses packets, do no lasting harm: with the right ways all is well.
func TestWrongWays(t *testing.T) {
	for seed := range uint64(2) {
		synctest.Test(t, func(t *testing.T) {
			l := newLine(t, seed, "alice", "bob", "carol", "dave")
			ac, ca := l.connect(l.ends[0], l.ends[2], "carol") // so there are rings
			links := [][]*transport.Link{
				{l.links[0][0], ac}, {l.links[0][1], l.links[1][0]}, {l.links[1][1], l.links[2][0], ca}, {l.links[2][1]},
			}
			random := rand.New(rand.NewPCG(seed, 1))
			one := func() int { return random.IntN(4) }
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			for _, e := range l.ends {
				running.Go(func() { // takes and answers
					for {
						link, err := e.Accept(ctx)
						if err != nil {
							return
						}
						running.Go(func() {
							for err = nil; err == nil; _, err = link.Receive() {
							}
							link.Shut(transport.CodeBye, "")
						})
					}
				})
				running.Go(func() {
					for {
						select {
						case <-e.CarryWishes():
						case <-ctx.Done():
							return
						}
					}
				})
			}
			l.Lose(0.02)
			for range 300 {
				time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
				i, to := one(), l.names[one()]
				switch e := l.ends[i]; random.IntN(4) {
				case 0:
					e.SetWay(tag(to), links[i][random.IntN(len(links[i]))])
				case 1:
					l.lead(i)
				case 2:
					if random.IntN(4) == 0 {
						e.ForgetWay(tag(to))
					} else {
						e.SetWay(tag(to))
					}
				case 3:
					life := time.Duration(random.IntN(2000)) * time.Millisecond
					running.Go(func() {
						dialling, cancel := context.WithTimeout(ctx, time.Second)
						defer cancel()
						if link, err := e.DialCarried(dialling, tag(to), identity(to).Key()); err == nil {
							_ = link.Send(hello)
							time.Sleep(life)
							link.Abort(transport.CodeBye, "")
						}
					})
				}
			}
			stop()
			running.Wait()
			l.Lose(0)
			for i := range l.names {
				l.lead(i)
			}
			time.Sleep(20 * time.Second) // strangers have given up
			for _, pair := range [][2]int{{0, 3}, {3, 0}, {0, 2}, {1, 3}} {
				a, d := l.carry(pair[0], pair[1])
				if got, err := exchange(t, a, d, 20); err != nil || got != [2]int{20, 20} {
					t.Errorf("seed %d: between %v %v messages arrive: %v", seed, pair, got, err)
				}
			}
		})
	}
}

// TestCloseCarried closes an endpoint in all states of carried links, several times at once. No
// goroutine is left, or the bubble does not end.
func TestCloseCarried(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, l *line) *transport.Endpoint
	}{
		{"the dialler of a link", func(t *testing.T, l *line) *transport.Endpoint { l.carry(0, 2); return l.ends[0] }},
		{"a relay", func(t *testing.T, l *line) *transport.Endpoint { l.carry(0, 2); return l.ends[1] }},
		{"the other side of a link", func(t *testing.T, l *line) *transport.Endpoint { l.carry(0, 2); return l.ends[2] }},
		{"a link that nobody takes", func(t *testing.T, l *line) *transport.Endpoint {
			l.dialCarried(0, 2)
			time.Sleep(10 * latency)
			return l.ends[2]
		}},
		{"a dialler without an answer", func(t *testing.T, l *line) *transport.Endpoint {
			l.ends[1].SetWay(tag("carol"))
			go failToDial(t, l)
			time.Sleep(10 * latency)
			return l.ends[0]
		}},
		{"a stranger that says no more", func(t *testing.T, l *line) *transport.Endpoint {
			l.ends[1].SetWay(tag("alice"))
			go failToDial(t, l)
			time.Sleep(10 * latency)
			return l.ends[2]
		}},
		{"a link that says no more", func(t *testing.T, l *line) *transport.Endpoint {
			a, _ := l.carry(0, 2)
			l.ends[1].ForgetWay(tag("carol"))
			fill(t, a)
			return l.ends[0]
		}},
		{"a hop stream that is not read", func(t *testing.T, l *line) *transport.Endpoint {
			p := l.hopPeer(l.raw("hostile"), "hostile", "bob", l.ends[1], nil)
			l.ends[1].SetWay(tag("carol"), p.link)
			l.ends[1].SetWay(tag("alice"), p.link)
			for range 2000 {
				p.carry(carriedPacket(16, "carol", "alice", make([]byte, 1200)))
			}
			flooder := l.hopPeer(l.raw("flooder"), "flooder", "bob", l.ends[1], nil)
			go func() {
				for flooder.conn.Context().Err() == nil {
					flooder.carry(bytes.Repeat(carriedPacket(16, "carol", "alice", make([]byte, 1200)), 100))
					time.Sleep(time.Millisecond)
				}
			}()
			time.Sleep(time.Second)
			return l.ends[1]
		}},
		{"packets that wait for room", func(t *testing.T, l *line) *transport.Endpoint {
			a, _ := l.carry(0, 2)
			p := l.hopPeer(l.raw("hostile"), "hostile", "alice", l.ends[0], &quic.Config{InitialStreamReceiveWindow: 1 << 10, MaxStreamReceiveWindow: 1 << 10})
			l.ends[0].SetWay(tag("carol"), p.link)
			fill(t, a)
			return l.ends[0]
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine(t, 1, "alice", "bob", "carol")
				e := c.do(t, l)
				begin := time.Now()
				var closing sync.WaitGroup
				for range 3 {
					closing.Go(func() {
						if err := e.Close(); err != nil {
							t.Error(err)
						}
					})
				}
				closing.Wait()
				if err := e.Close(); err != nil {
					t.Errorf("again: %v", err)
				}
				if took := time.Since(begin); took > time.Second {
					t.Errorf("took %v", took)
				}
				if _, err := e.DialCarried(t.Context(), tag("dave"), identity("dave").Key()); !errors.Is(err, net.ErrClosed) {
					t.Errorf("dialling then: %v", err)
				}
				e.SetWay(tag("dave"), l.links[0][0])
				e.TakeCarried(tag("dave"), []byte{0})
				e.ForgetWay(tag("dave"))
			})
		})
	}
}

func failToDial(t *testing.T, l *line) {
	_, err := l.ends[0].DialCarried(t.Context(), tag("carol"), identity("carol").Key())
	if !errors.Is(err, net.ErrClosed) && !errors.Is(err, context.Canceled) { // by the end of the test
		t.Errorf("dialling: %v", err)
	}
}

// fill writes to a link until it takes no more.
func fill(t *testing.T, l *transport.Link) {
	for range 8 {
		s, err := l.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for s.Write(message(strings.Repeat("m", 60<<10))) == nil {
			}
		}()
	}
	time.Sleep(time.Second)
}
