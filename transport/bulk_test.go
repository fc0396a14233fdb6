package transport_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/transport"
	"quicpeer/transport/simtest"
)

// openBulk makes a bulk connection with its first stream, on which a byte has gone.
func openBulk(t *testing.T, b *transport.Bulk, err error) (*transport.Bulk, *transport.BulkStream) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return b, openStream(t, b)
}

func openStream(t *testing.T, b *transport.Bulk) *transport.BulkStream {
	t.Helper()
	s, err := b.OpenStream(t.Context())
	if err == nil {
		_, err = s.Write([]byte("?"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// acceptBulk takes a bulk connection and its first stream with the byte.
func acceptBulk(t *testing.T, e *transport.Endpoint) (*transport.Bulk, *transport.BulkStream) {
	t.Helper()
	b, err := e.AcceptBulk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b, acceptStream(t, b)
}

func acceptStream(t *testing.T, b *transport.Bulk) *transport.BulkStream {
	t.Helper()
	s, err := b.AcceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return s
}

// transfer sends bytes over a stream and compares them.
func transfer(t *testing.T, from, to *transport.BulkStream, size int) {
	t.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i >> 8)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(data)
		sent <- errors.Join(err, from.CloseWrite())
	}()
	got, err := io.ReadAll(to)
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(got) != sha256.Sum256(data) {
		t.Errorf("of %d bytes %d arrived", len(data), len(got))
	}
}

func closedWith(t *testing.T, err error, code transport.Code) {
	t.Helper()
	if closed, ok := errors.AsType[*transport.ClosedError](err); !ok || closed.Code != code || !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, not the end with code %v", err, code)
	}
}

// TestBulk: bytes go over streams beside a link, and the end is known on both sides.
func TestBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		alice, bob := w.endpoint("alice"), w.endpoint("bob")
		near, far := w.connect(alice, bob, "bob")
		dialled, err := alice.DialBulk(t.Context(), near.RemoteAddr(), near.Peer())
		a, as := openBulk(t, dialled, err)
		b, bs := acceptBulk(t, bob)
		if a.Peer() != identity("bob").Key() || b.Peer() != identity("alice").Key() || a.Carried() || b.Carried() {
			t.Error("of another peer, or carried")
		}
		if a.RemoteAddr() != w.Addr("bob") || b.RemoteAddr() != w.Addr("alice") || a.Stats().RTT < 2*latency {
			t.Errorf("%v, %v, %v", a.RemoteAddr(), b.RemoteAddr(), a.Stats())
		}
		transfer(t, bs, as, 5<<20)
		transfer(t, as, bs, 100)
		transfer(t, openStream(t, a), acceptStream(t, b), 1<<20)
		back := openStream(t, b) // the accepting side may open them too
		transfer(t, acceptStream(t, a), back, 1000)
		send(t, near, hello)
		receive(t, far, hello)

		if a.Err() != nil || b.Err() != nil {
			t.Error(a.Err(), b.Err())
		}
		a.Close(transport.CodeBye, "all is here")
		within(t, time.Second, "the end", a.Done())
		within(t, time.Second, "the end", b.Done())
		closedWith(t, b.Err(), transport.CodeBye)
		if _, err := b.AcceptStream(t.Context()); err == nil {
			t.Error("a stream is accepted after the end")
		}
		if _, err := a.OpenStream(t.Context()); err == nil {
			t.Error("a stream is opened after the end")
		}
	})
}

// TestBulkCarried: the same over other peers, while a carried link goes on.
func TestBulkCarried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 1, "alice", "bob", "carol", "dave")
		near, far := l.carry(0, 3)
		dialled, err := l.ends[0].DialBulkCarried(t.Context(), tag("dave"), identity("dave").Key())
		a, as := openBulk(t, dialled, err)
		d, ds := acceptBulk(t, l.ends[3])
		if !a.Carried() || !d.Carried() || a.RemoteAddr().IsValid() || d.Peer() != identity("alice").Key() {
			t.Errorf("%v %v %v", a.Carried(), d.Carried(), a.RemoteAddr())
		}
		transfer(t, ds, as, 5<<20)
		send(t, near, hello)
		receive(t, far, hello)
		a.Close(transport.CodeBye, "")
		within(t, time.Second, "the end", d.Done())
	})
}

// TestBulkLoss: with nearly a third of the packets lost everything arrives.
func TestBulkLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		alice, bob := w.endpoint("alice"), w.endpoint("bob")
		dialled, err := alice.DialBulk(t.Context(), w.Addr("bob"), identity("bob").Key())
		_, as := openBulk(t, dialled, err)
		_, bs := acceptBulk(t, bob)
		w.Lose(0.3)
		transfer(t, bs, as, 1<<20)
	})
}

// TestBulkMoves: the dialling side comes from another address, and the connection goes on.
func TestBulkMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.Router("nat", 0)
		w.Behind("nat", "alice")
		alice, bob := w.endpoint("alice"), w.endpoint("bob")
		dialled, err := alice.DialBulk(t.Context(), w.Addr("bob"), identity("bob").Key())
		a, as := openBulk(t, dialled, err)
		b, bs := acceptBulk(t, bob)
		before := b.RemoteAddr()
		w.Rebind("nat")
		time.Sleep(2 * time.Second)
		transfer(t, bs, as, 1<<20)
		if b.RemoteAddr() == before || a.Err() != nil {
			t.Errorf("still at %v, %v", before, a.Err())
		}
	})
}

// TestBulkReset: the other side learns the code with which a stream was cancelled, in the middle of
// what it reads or writes.
func TestBulkReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		alice, bob := w.endpoint("alice"), w.endpoint("bob")
		dialled, err := alice.DialBulk(t.Context(), w.Addr("bob"), identity("bob").Key())
		a, s := openBulk(t, dialled, err)
		b, other := acceptBulk(t, bob)
		for _, code := range []transport.Code{transport.CodeChanged, transport.CodeWithdrawn, transport.CodeUnreadable, transport.CodeBye} {
			if _, err := other.Write(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			other.Cancel(code)
			_, err := io.ReadAll(s)
			if reset, ok := errors.AsType[*transport.ResetError](err); !ok || !reset.Remote || reset.Code != code {
				t.Errorf("read: %v, not code %v", err, code)
			}
			_, err = s.Write([]byte("x"))
			if reset, ok := errors.AsType[*transport.ResetError](err); !ok || !reset.Remote || reset.Code != code {
				t.Errorf("written: %v, not code %v", err, code)
			}
			s.Cancel(code)
			s, other = openStream(t, a), acceptStream(t, b)
		}
		s.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after the deadline: %v", err)
		}
		s.SetReadDeadline(time.Time{})
		transfer(t, other, s, 1000)
	})
}

// TestNoBulk: a peer of an older version is told from one that can't be reached.
func TestNoBulk(t *testing.T) {
	for _, door := range []*certs.Door{nil, ourDoor} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.door = door
			old, err := transport.NewChangedEndpoint(w.config("old", w.Node("old")), func(c *tls.Config) { c.NextProtos = []string{certs.ALPN} })
			if err != nil {
				t.Fatal(err)
			}
			w.ends = append(w.ends, old)
			alice := w.endpoint("alice")
			w.connect(alice, old, "old")
			if _, err := alice.DialBulk(t.Context(), w.Addr("old"), identity("old").Key()); err != transport.ErrNoBulk || !errors.Is(err, transport.ErrProtocol) {
				t.Errorf("got %v", err)
			}
			l := w.line("a", "b")
			oldLink, back := w.connect(l.ends[1], old, "old")
			l.ends[0].SetWay(tag("old"), l.links[0][0])
			l.ends[1].SetWay(tag("old"), oldLink)
			old.SetWay(tag("a"), back)
			if _, err := l.ends[0].DialBulkCarried(t.Context(), tag("old"), identity("old").Key()); err != transport.ErrNoBulk {
				t.Errorf("over another: %v", err)
			}
			if _, err := alice.DialBulk(t.Context(), w.Addr("b"), identity("a").Key()); !errors.As(err, new(*certs.WrongKeyError)) {
				t.Errorf("another peer answers: %v", err)
			}
		})
	}
}

// TestBulkSilent: a connection without a stream is closed in time, and reaches nobody.
func TestBulkSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		alice, bob := w.endpoint("alice"), w.endpoint("bob")
		silent, err := alice.DialBulk(t.Context(), w.Addr("bob"), identity("bob").Key())
		if err != nil {
			t.Fatal(err)
		}
		other, err := w.endpoint("carol").DialBulk(t.Context(), w.Addr("bob"), identity("bob").Key())
		_, s := openBulk(t, other, err)
		b, bs := acceptBulk(t, bob)
		if b.Peer() != identity("carol").Key() {
			t.Errorf("%v has come", b.Peer())
		}
		transfer(t, bs, s, 1000)
		within(t, 6*time.Second, "the end", silent.Done())
		closedWith(t, silent.Err(), transport.CodeHandshakeTimeout)
		if n := bob.Strangers(); n != 0 {
			t.Errorf("%d are on their way in", n)
		}
	})
}

// TestBulkBounds: of each peer some are taken, some of all, and few wait; the others are told so,
// links come in all the same, and each end makes room.
func TestBulkBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ofPeer, all, waiting = 4, 64, 8
		w := newWorld(t, 1)
		bob := w.endpoint("bob")
		dial := func(e *transport.Endpoint) *transport.Bulk {
			dialled, err := e.DialBulk(t.Context(), w.Addr("bob"), identity("bob").Key())
			b, _ := openBulk(t, dialled, err)
			time.Sleep(4 * latency)
			return b
		}
		refused := func(b *transport.Bulk) {
			t.Helper()
			within(t, time.Second, "the end", b.Done())
			closedWith(t, b.Err(), transport.CodeRefused)
		}
		alice := w.endpoint("alice")
		first := dial(alice)
		for range ofPeer - 1 {
			dial(alice)
		}
		refused(dial(alice))
		carol := w.endpoint("carol")
		for range waiting - ofPeer {
			dial(carol)
		}
		refused(dial(w.endpoint("dave")))
		w.connect(alice, bob, "bob") // a link is not in their way
		taken := 0
		for ; taken < waiting; taken++ {
			acceptBulk(t, bob)
		}
		first.Close(transport.CodeBye, "")
		time.Sleep(4 * latency)
		dial(alice)
		acceptBulk(t, bob)
		for i := range all/ofPeer - 2 {
			e := w.endpoint(string(rune('A' + i)))
			for range ofPeer {
				dial(e)
				acceptBulk(t, bob)
				taken++
			}
		}
		if taken != all {
			t.Fatalf("%d are taken", taken)
		}
		refused(dial(w.endpoint("last")))
	})
}

// TestBulkWaitingEnds: a connection that ended while it waited is not handed out.
func TestBulkWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		alice, bob := w.endpoint("alice"), w.endpoint("bob")
		for range 2 {
			dialled, err := alice.DialBulk(t.Context(), w.Addr("bob"), identity("bob").Key())
			a, _ := openBulk(t, dialled, err)
			time.Sleep(4 * latency)
			a.Close(transport.CodeBye, "")
			time.Sleep(4 * latency)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b, err := bob.AcceptBulk(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v", b, err)
		}
	})
}

// TestBulkStreams: a peer that opens many streams has a few at once, in their order, and each that
// ends makes room for the next.
func TestBulkStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 8
		w := newWorld(t, 1)
		alice, bob := w.endpoint("alice"), w.endpoint("bob")
		dialled, err := alice.DialBulk(t.Context(), w.Addr("bob"), identity("bob").Key())
		a, _ := openBulk(t, dialled, err)
		for range 99 {
			openStream(t, a)
		}
		b, first := acceptBulk(t, bob)
		open := []*transport.BulkStream{first}
		for range most - 1 {
			open = append(open, acceptStream(t, b))
		}
		none := func() {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if s, err := b.AcceptStream(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("one more: %v, %v", s, err)
			}
		}
		none()
		for range 100 - most {
			if len(open)%2 == 0 {
				open[0].Cancel(transport.CodeRefused)
			} else if err := open[0].CloseWrite(); err != nil {
				t.Error(err)
			}
			open[0].Cancel(transport.CodeBye) // which makes no more room
			open = append(open[1:], acceptStream(t, b))
		}
		none()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range most { // the dialling side has room for a few of ours
			if _, err := b.OpenStream(ctx); err != nil {
				t.Error(err)
			}
		}
		if _, err := b.OpenStream(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one more of ours: %v", err)
		}
	})
}

// TestBulkEndpointCloses: the end of an endpoint ends its bulk connections, those that wait too, and
// what waits for them.
func TestBulkEndpointCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 1, "alice", "bob", "carol")
		var mine []*transport.Bulk
		for range 2 {
			dialled, err := l.ends[0].DialBulk(t.Context(), l.Addr("bob"), identity("bob").Key())
			a, _ := openBulk(t, dialled, err)
			mine = append(mine, a)
		}
		dialled, err := l.ends[0].DialBulkCarried(t.Context(), tag("carol"), identity("carol").Key())
		over, s := openBulk(t, dialled, err)
		b, _ := acceptBulk(t, l.ends[1])
		c, _ := acceptBulk(t, l.ends[2])
		waits := make(chan error, 3)
		go func() { _, err := s.Read(make([]byte, 1)); waits <- err }()
		go func() { _, err := over.AcceptStream(t.Context()); waits <- err }()
		go func() { _, err := l.ends[0].AcceptBulk(t.Context()); waits <- err }()
		time.Sleep(time.Second)
		l.ends[0].Close()
		for _, b := range append(mine, over) {
			within(t, time.Millisecond, "the end", b.Done())
			closedWith(t, b.Err(), transport.CodeShutdown)
		}
		for range 3 {
			if err := <-waits; !errors.Is(err, net.ErrClosed) {
				t.Errorf("waited for %v", err)
			}
		}
		within(t, time.Second, "the end", b.Done())
		closedWith(t, b.Err(), transport.CodeShutdown)
		within(t, 20*time.Second, "the end", c.Done()) // its notice finds no way any more
		if _, err := l.ends[0].DialBulk(t.Context(), l.Addr("bob"), identity("bob").Key()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("dialled after the end: %v", err)
		}
	})
}

// TestBulkBesideChat: a carried link is not much slower beside a transfer over the same peer that takes all there is. Over a
// slow line, what waits for the line itself is in its way; where the relay's rate is the bound, what waits for that is not.
func TestBulkBesideChat(t *testing.T) {
	for name, c := range map[string]struct {
		latency time.Duration
		line    int // bits a second
		most    func(idle time.Duration) time.Duration
		least   float64 // bytes a second of the transfer
	}{
		"slow": {latency, 20_000_000, func(idle time.Duration) time.Duration { return 5 * idle / 2 }, 1.8e6},
		"fast": {time.Millisecond / 4, 0, func(idle time.Duration) time.Duration { return idle + 4*time.Millisecond }, 25e6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				w.Network = simtest.New(1, c.latency)
				l := w.line("alice", "bob", "carol")
				near, far := l.carry(0, 2)
				go func() {
					for {
						if _, err := far.Receive(); err != nil || far.Send(hello) != nil {
							return
						}
					}
				}()
				p99 := func() time.Duration {
					var took []time.Duration
					for range 100 {
						begin := time.Now()
						send(t, near, hello)
						receive(t, near, hello)
						took = append(took, time.Since(begin))
						time.Sleep(10 * time.Millisecond)
					}
					slices.Sort(took)
					return took[len(took)*99/100]
				}
				if c.line > 0 {
					l.Line("bob", c.line, 64<<10)
				}
				idle := p99()
				dialled, err := l.ends[0].DialBulkCarried(t.Context(), tag("carol"), identity("carol").Key())
				a, as := openBulk(t, dialled, err)
				_, cs := acceptBulk(t, l.ends[2])
				go func() { _, _ = io.Copy(cs, zeros{}) }()
				var got atomic.Int64
				go func() { _, _ = io.Copy(io.Discard, io.TeeReader(as, counter{&got})) }()
				time.Sleep(3 * time.Second)
				begin, before := time.Now(), got.Load()
				beside := p99()
				rate := float64(got.Load()-before) / time.Since(begin).Seconds()
				t.Logf("99 %% within %v, beside a transfer %v, of %.0f kB/s", idle, beside, rate/1000)
				if beside > c.most(idle) || rate < c.least {
					t.Error("that is too slow")
				}
				a.Close(transport.CodeBye, "")
			})
		})
	}
}

// counter counts what is written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// TestBulkDoor: an outsider that asks a private network for files sees what it sees of any service.
func TestBulkDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.door = ourDoor
		b := w.guarded("b")
		member, err := w.endpoint("member").DialBulk(t.Context(), w.Addr("b"), identity("b").Key())
		_, s := openBulk(t, member, err)
		_, back := acceptBulk(t, b.Endpoint)
		transfer(t, back, s, 1000)
		signatures := b.signatures.Load()
		for name, door := range map[string]*certs.Door{"open": nil, "other": otherDoor} {
			w.door = door
			_, err := w.endpoint(name).DialBulk(t.Context(), w.Addr("b"), certs.PublicKey{})
			if !errors.Is(err, transport.ErrProtocol) {
				t.Errorf("%s: %v", name, err)
			}
			if seen := b.of(w.Addr(name)); seen.out != 1 || seen.outBytes > 1200 || bytes.Contains(seen.in[0], []byte(certs.ALPNFile)) {
				t.Errorf("%s gets %d packets of %d bytes", name, seen.out, seen.outBytes)
			}
		}
		if n := b.signatures.Load() - signatures; n != 0 {
			t.Errorf("outsiders cost %d signatures", n)
		}
	})
}
