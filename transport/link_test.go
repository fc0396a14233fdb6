package transport_test

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/transport"
)

func TestHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		dialed, accepted := w.connect(a, b, "b")
		send(t, accepted, hello)
		receive(t, dialed, hello)

		for _, c := range []struct {
			name string
			link *transport.Link
			peer string
		}{
			{"dialled", dialed, "b"},
			{"accepted", accepted, "a"},
		} {
			if got, want := c.link.Peer(), identity(c.peer).Key(); got != want {
				t.Errorf("%s: peer %v, want %v", c.name, got, want)
			}
			if got, want := c.link.RemoteAddr(), w.Addr(c.peer); got != want {
				t.Errorf("%s: address %v, want %v", c.name, got, want)
			}
			if s := c.link.Stats(); s.RTT < 2*latency || s.RTT > 3*latency || s.Received == 0 {
				t.Errorf("%s: stats %+v", c.name, s)
			}
			if err := c.link.Err(); err != nil {
				t.Errorf("%s: Err() is %v", c.name, err)
			}
		}
	})
}

func TestDialFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, _ := w.endpoint("a"), w.endpoint("b")
		twin, err := transport.NewEndpoint(transport.Config{Conn: w.Node("twin"), Identity: identity("a")})
		if err != nil {
			t.Fatal(err)
		}
		defer twin.Close()
		var wrongKey *certs.WrongKeyError
		var timeout net.Error
		for _, c := range []struct {
			name string
			to   string
			want certs.PublicKey
			is   func(error) bool
			text string
		}{
			{"nobody there", "nobody", certs.PublicKey{},
				func(err error) bool {
					return err == transport.ErrNoAnswer && errors.As(err, &timeout) && timeout.Timeout()
				}, "no answer"},
			{"ourselves", "a", certs.PublicKey{},
				func(err error) bool { return errors.Is(err, certs.ErrSelf) }, certs.ErrSelf.Error()},
			{"ourselves in another process", "twin", certs.PublicKey{},
				func(err error) bool { return errors.Is(err, certs.ErrTwin) }, certs.ErrTwin.Error()},
			{"another key", "b", identity("c").Key(),
				func(err error) bool { return errors.As(err, &wrongKey) && wrongKey.Got == identity("b").Key() }, ""},
		} {
			start := time.Now()
			_, err := a.Dial(t.Context(), w.Addr(c.to), c.want)
			if !c.is(err) || c.text != "" && err.Error() != c.text {
				t.Errorf("%s: %v", c.name, err)
			}
			if took := time.Since(start); took > 6*time.Second {
				t.Errorf("%s: took %v", c.name, took)
			}
		}
	})
}

func TestFrames(t *testing.T) {
	for _, c := range []struct {
		name string
		loss float64
	}{{"no loss", 0}, {"20 % loss", 0.2}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 7)
				a, b := w.endpoint("a"), w.endpoint("b")
				w.Lose(c.loss)
				dialed, accepted := w.connect(a, b, "b")
				var frames [][]byte
				for i := range 300 {
					frames = append(frames, numbered(i, i*i%5000))
				}
				back := make(chan struct{})
				go func() {
					defer close(back)
					receive(t, dialed, frames...)
				}()
				send(t, dialed, frames...)
				send(t, accepted, frames...)
				receive(t, accepted, frames...)
				<-back
			})
		})
	}
}

func TestBothDialAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		other := make(chan *transport.Link)
		go func() { other <- w.dial(b, "a") }()
		ab := w.dial(a, "b")
		ba := <-other
		acceptedA, acceptedB := accept(t, a), accept(t, b)
		for _, l := range []struct{ from, to *transport.Link }{{ab, acceptedB}, {ba, acceptedA}} {
			receive(t, l.to, hello)
			send(t, l.to, numbered(1, 100))
			receive(t, l.from, numbered(1, 100))
		}
	})
}

// A cut shows as a count of packets that stands still, and then ends the link on both sides.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		dialed, accepted := w.connect(a, b, "b")
		links := []*transport.Link{dialed, accepted}
		for range 10 { // both hear each other all the time, though neither sends frames
			before := []uint64{dialed.Stats().Received, accepted.Stats().Received}
			time.Sleep(1500 * time.Millisecond)
			for i, l := range links {
				if l.Stats().Received == before[i] {
					t.Fatalf("link %d hears nothing of a living peer", i)
				}
			}
		}
		w.Cut("a", "b")
		start := time.Now()
		time.Sleep(2 * latency)
		before := []uint64{dialed.Stats().Received, accepted.Stats().Received}
		for i, l := range links {
			<-l.Done()
			if l.Stats().Received != before[i] {
				t.Errorf("link %d hears something through a cut", i)
			}
			if l.Err() != transport.ErrSilent {
				t.Errorf("link %d: %v", i, l.Err())
			}
			if _, err := l.Receive(); err != transport.ErrSilent {
				t.Errorf("link %d: Receive: %v", i, err)
			}
			if err := l.Send(hello); !errors.Is(err, net.ErrClosed) {
				t.Errorf("link %d: Send: %v", i, err)
			}
		}
		if took := time.Since(start); took < 14*time.Second || took > 17*time.Second {
			t.Errorf("the links ended after %v", took)
		}
	})
}

func TestCutAndHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		dialed, accepted := w.connect(a, b, "b")
		w.Cut("a", "b")
		send(t, dialed, numbered(1, 3000))
		time.Sleep(5 * time.Second)
		w.Heal("a", "b")
		receive(t, accepted, numbered(1, 3000))
	})
}

// A peer that crashes and comes back tells the peers that still write to it.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		dialed, accepted := w.connect(a, b, "b")
		w.Crash("b")
		<-accepted.Done()
		if _, err := b.Accept(t.Context()); err == nil {
			t.Error("an endpoint without a socket accepts")
		}
		b.Close()
		w.endpoint("b")
		time.Sleep(time.Second)
		send(t, dialed, numbered(1, 100))
		within(t, time.Second, "the stateless reset", dialed.Done())
		if dialed.Err() != transport.ErrRestarted {
			t.Errorf("the link ended with %v", dialed.Err())
		}
		again := w.dial(a, "b")
		receive(t, accept(t, w.ends[2]), hello)
		if err := again.Err(); err != nil {
			t.Errorf("the new link: %v", err)
		}
	})
}

func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b, c := w.endpoint("a"), w.endpoint("b"), w.endpoint("c")
		dialed, accepted := w.connect(a, b, "b") // b receives nothing more
		fine, other := w.connect(a, c, "c")
		big, sent := numbered(1, 60000), 0
		for ; ; sent++ {
			if err := dialed.Send(big); err != nil {
				if err != transport.ErrQueueFull {
					t.Fatalf("after %d frames: %v", sent, err)
				}
				break
			}
			if sent%8 == 0 { // let b's window fill first
				time.Sleep(latency)
			}
			if sent > 200 {
				t.Fatal("the queue has no bound")
			}
		}
		<-dialed.Done()
		within(t, time.Second, "the peer's end", accepted.Done())
		checkClosed(t, dialed, transport.ClosedError{Code: transport.CodeSlow, Reason: "does not read"})
		checkClosed(t, accepted, transport.ClosedError{Remote: true, Code: transport.CodeSlow, Reason: "does not read"})
		send(t, fine, hello)
		receive(t, other, hello)
	})
}

// A peer behind a slow line takes little at a time, for long, and is not cut off for that; and
// frames of SendLast stand behind all others.
func TestSlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.Line("b", 16_000, 64<<10)
		dialed, accepted := w.connect(w.endpoint("a"), w.endpoint("b"), "b")
		start := time.Now()
		want := [][]byte{numbered(0, 20_000)}
		send(t, dialed, want...)
		synctest.Wait() // it is being written: else the first of the last might be before it
		for i := range 4 {
			if err := dialed.SendLast(numbered(10+i, 30_000)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 4 { // 100 kB take 50 s in all
			want = append(want, numbered(1+i, 20_000))
		}
		send(t, dialed, want[1:]...)
		for i := range 4 {
			want = append(want, numbered(10+i, 30_000))
		}
		receive(t, accepted, want[:1]...)
		receive(t, accepted, want[1:]...)
		if took := time.Since(start); took < 100*time.Second {
			t.Errorf("took only %v", took)
		}
	})
}
