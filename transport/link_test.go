package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
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

// A cut shows as a number of packets that stands still, and then ends the link on
// both sides.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		dialed, accepted := w.connect(a, b, "b")
		links := []*transport.Link{dialed, accepted}
		for range 10 { // both hear each other all the time, though nobody speaks
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

// A peer that crashes and comes back tells those who still write to it.
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

func checkClosed(t *testing.T, l *transport.Link, want transport.ClosedError) {
	t.Helper()
	var got *transport.ClosedError
	if !errors.As(l.Err(), &got) || *got != want {
		t.Errorf("the link ended with %v, want %v", l.Err(), &want)
	}
	if !errors.Is(l.Err(), net.ErrClosed) {
		t.Errorf("%v is not net.ErrClosed", l.Err())
	}
}

func TestGoodbye(t *testing.T) {
	for _, c := range []struct {
		name    string
		dialer  bool // the dialer is first to say goodbye
		answers bool
		loss    float64
		least   time.Duration // the whole takes
		most    time.Duration
	}{
		{"dialer first", true, true, 0, 3 * latency, 5 * latency},
		{"other side first", false, true, 0, 3 * latency, 5 * latency},
		{"no answer", true, false, 0, 500 * time.Millisecond, 600 * time.Millisecond},
		{"with loss", true, true, 0.1, 3 * latency, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				a, b := w.endpoint("a"), w.endpoint("b")
				first, second := w.connect(a, b, "b")
				if !c.dialer {
					first, second = second, first
				}
				send(t, first, hello) // the window is known to be open
				receive(t, second, hello)
				w.Lose(c.loss)
				start := time.Now()
				first.Shut(transport.CodeIdle, "nothing to do")
				if err := first.Send(hello); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Send after Shut: %v", err)
				}
				go func() { // as the owner has to
					for {
						if _, err := first.Receive(); err != nil {
							return
						}
					}
				}()
				receiveBye(t, second)
				if c.answers {
					second.Shut(transport.CodeBye, "")
				}
				<-first.Done()
				<-second.Done()
				if took := time.Since(start); took < c.least || took > c.most {
					t.Errorf("took %v", took)
				}
				checkClosed(t, first, transport.ClosedError{Code: transport.CodeIdle, Reason: "nothing to do"})
				if c.loss == 0 {
					checkClosed(t, second, transport.ClosedError{Remote: true, Code: transport.CodeIdle, Reason: "nothing to do"})
				}
			})
		})
	}
}

// What is queued before a goodbye arrives, in both directions.
func TestGoodbyeAfterFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		dialed, accepted := w.connect(a, b, "b")
		var frames [][]byte
		for i := range 50 {
			frames = append(frames, numbered(i, 2000))
		}
		send(t, dialed, frames...)
		dialed.Shut(transport.CodeBye, "")
		receive(t, accepted, frames...)
		receiveBye(t, accepted)
		send(t, accepted, frames...)
		accepted.Shut(transport.CodeBye, "")
		receive(t, dialed, frames...)
		receiveBye(t, dialed)
		within(t, time.Second, "the end", dialed.Done())
		within(t, time.Second, "the end", accepted.Done())
	})
}

func TestBothSayGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		dialed, accepted := w.connect(a, b, "b")
		send(t, dialed, numbered(1, 5000))
		dialed.Shut(transport.CodeBye, "")
		send(t, accepted, numbered(2, 5000))
		accepted.Shut(transport.CodeBye, "")
		both := make(chan struct{})
		go func() {
			defer close(both)
			receive(t, dialed, numbered(2, 5000))
			receiveBye(t, dialed)
		}()
		receive(t, accepted, numbered(1, 5000))
		receiveBye(t, accepted)
		<-both
		within(t, 5*latency, "the end", dialed.Done())
		within(t, 5*latency, "the end", accepted.Done())
	})
}

// Abort ends a link whose peer reads nothing, even one that is saying goodbye.
func TestAbort(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*transport.Link)
		want transport.ClosedError
	}{
		{"idle", func(l *transport.Link) { l.Abort(transport.CodeRefused, "no") },
			transport.ClosedError{Code: transport.CodeRefused, Reason: "no"}},
		{"writing", func(l *transport.Link) {
			for range 40 {
				l.Send(numbered(1, 60000))
			}
			time.Sleep(time.Second)
			l.Abort(transport.CodeInternal, "")
			l.Abort(transport.CodeBye, "too late")
			l.Shut(transport.CodeBye, "too late")
		}, transport.ClosedError{Code: transport.CodeInternal}},
		{"in goodbye", func(l *transport.Link) {
			l.Shut(transport.CodeBye, "")
			time.Sleep(latency)
			l.Abort(transport.CodeShutdown, "now")
		}, transport.ClosedError{Code: transport.CodeShutdown, Reason: "now"}},
		{"goodbye while writing", func(l *transport.Link) {
			for range 40 {
				l.Send(numbered(1, 60000))
			}
			time.Sleep(time.Second)
			l.Shut(transport.CodeBye, "bye")
			time.Sleep(500 * time.Millisecond)
		}, transport.ClosedError{Code: transport.CodeBye, Reason: "bye"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				a, b := w.endpoint("a"), w.endpoint("b")
				dialed, accepted := w.connect(a, b, "b")
				c.do(dialed)
				within(t, time.Millisecond, "the end", dialed.Done())
				checkClosed(t, dialed, c.want)
				within(t, 2*latency, "the peer's end", accepted.Done())
				c.want.Remote = true
				checkClosed(t, accepted, c.want)
				if _, err := accepted.Receive(); err == nil || err == io.EOF {
					t.Errorf("Receive: %v", err)
				}
			})
		})
	}
}

func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		dialed, accepted := w.connect(a, b, "b")
		w.Lose(0.05)
		for _, l := range []struct{ from, to *transport.Link }{{dialed, accepted}, {accepted, dialed}} {
			const streams = 100 // above the limit, so that places must become free
			var group sync.WaitGroup
			group.Go(func() {
				for i := range streams {
					s, err := l.from.OpenStream(t.Context())
					if err != nil {
						t.Errorf("OpenStream: %v", err)
						return
					}
					frames := append(message(string(rune('a'+i%26))), message("second")...)
					if err := errors.Join(s.Write(frames), s.CloseWrite()); err != nil {
						t.Errorf("Write: %v", err)
					}
					group.Go(func() {
						if m, err := s.Read(1000); err != nil || m.GetType() != pb.PeerMessageType_RECEIPT {
							t.Errorf("the receipt: %v, %v", m, err)
						}
						if _, err := s.Read(1000); err != io.EOF {
							t.Errorf("after the receipt: %v", err)
						}
					})
				}
			})
			for i := range streams {
				s, err := l.to.AcceptStream(t.Context())
				if err != nil {
					t.Fatalf("AcceptStream: %v", err)
				}
				m, err := s.Read(1000)
				if want := string(rune('a' + i%26)); err != nil || m.GetMessage().GetContent() != want {
					t.Fatalf("stream %d: %v, %v", i, m, err)
				}
				_, err1 := s.Read(1000)
				_, err2 := s.Read(1000)
				if err1 != nil || err2 != io.EOF {
					t.Fatalf("stream %d: %v, %v", i, err1, err2)
				}
				receipt := frame(&pb.Receipt{Id: make([]byte, 16), Code: pb.ReceiptCode_DELIVERED})
				if err := errors.Join(s.Write(receipt), s.CloseWrite()); err != nil {
					t.Fatalf("the receipt: %v", err)
				}
			}
			group.Wait()
		}
	})
}

// Streams that nobody reads hold up neither the control stream nor the stream
// that is being read.
func TestStreamsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		dialed, accepted := w.connect(a, b, "b")
		const streams = 8
		body := message(string(make([]byte, pb.MaxBody)))
		var group sync.WaitGroup
		for range streams {
			s, err := dialed.OpenStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			group.Go(func() {
				if err := errors.Join(s.Write(body), s.CloseWrite()); err != nil {
					t.Errorf("Write: %v", err)
				}
				if _, err := s.Read(1000); err != io.EOF {
					t.Errorf("Read: %v", err)
				}
			})
		}
		time.Sleep(10 * time.Second) // the windows of the streams are full
		for i := range 20 {
			send(t, dialed, numbered(i, 60000))
			receive(t, accepted, numbered(i, 60000))
		}
		order := make([]*transport.Stream, streams)
		for i := range order {
			s, err := accepted.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			order[streams-1-i] = s // the hardest order
		}
		for i, s := range order {
			s.SetDeadline(time.Now().Add(time.Minute))
			if _, err := s.Read(pb.MaxMessageFrame); err != nil {
				t.Fatalf("stream %d: %v", i, err)
			}
			if _, err := s.Read(pb.MaxMessageFrame); err != io.EOF {
				t.Fatalf("stream %d: %v", i, err)
			}
			s.CloseWrite()
		}
		group.Wait()
	})
}

func TestStreamReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		dialed, accepted := w.connect(a, b, "b")
		s, err := dialed.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Write(message("half of it")[:5]); err != nil {
			t.Fatal(err)
		}
		r, err := accepted.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.SetDeadline(time.Now().Add(time.Second))
		var timeout net.Error
		if _, err := r.Read(1000); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("a stalled stream: %v", err)
		}
		r.Cancel(transport.CodeInternal)
		var reset *transport.ResetError
		if _, err := s.Read(1000); !errors.As(err, &reset) || *reset != (transport.ResetError{Remote: true, Code: transport.CodeInternal}) {
			t.Errorf("the other side's Read: %v", err)
		}
		if err := s.Write(hello); !errors.As(err, &reset) || !reset.Remote {
			t.Errorf("the other side's Write: %v", err)
		}
		s.Cancel(transport.CodeBye)
		send(t, dialed, hello)
		receive(t, accepted, hello)
	})
}

// The ninth message stream waits for one of eight, for its context or for the end.
func TestOpenStreamWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		dialed, _ := w.connect(a, b, "b")
		var open []*transport.Stream
		for range 8 {
			s, err := dialed.OpenStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := dialed.OpenStream(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the ninth: %v", err)
		}
		open[3].Cancel(transport.CodeBye)
		open[3].Cancel(transport.CodeBye) // gives back one place, not two
		if _, err := dialed.OpenStream(t.Context()); err != nil {
			t.Errorf("in the place of a cancelled one: %v", err)
		}
		time.AfterFunc(time.Second, func() { dialed.Abort(transport.CodeBye, "") })
		if _, err := dialed.OpenStream(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("at the end of the link: %v", err)
		}
	})
}

// TestRacesAreQuiet: that a dialer uses another of its connections is nothing to tell people.
func TestRacesAreQuiet(t *testing.T) {
	for code, told := range map[transport.Code]bool{transport.CodeDuplicateLink: false, transport.CodeInternal: true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			a, _ := w.endpoint("a"), w.endpoint("b")
			l, err := a.Dial(t.Context(), w.Addr("b"), identity("b").Key())
			if err != nil {
				t.Fatal(err)
			}
			l.Abort(code, "")
			time.Sleep(time.Second)
			if strings.Contains(w.log.String(), "did not come about") != told {
				t.Errorf("%v: it says %q", code, w.log.String())
			}
		})
	}
}
