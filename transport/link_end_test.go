package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/pb"
	"quicpeer/transport"
)

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

// Frames queued before a goodbye arrive, in both directions.
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

// TestRacesAreQuiet: nothing is logged for people when a dialer uses another of its
// connections, whether it closes this one or gives it up in the middle of the handshake.
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
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, _ := w.endpoint("a"), w.endpoint("b")
		ctx, cancel := context.WithTimeout(t.Context(), latency+latency/2)
		defer cancel()
		if l, err := a.Dial(ctx, w.Addr("b"), identity("b").Key()); err == nil {
			t.Fatalf("connected: %v", l)
		}
		time.Sleep(2 * pb.IdleTimeout)
		if said := w.log.String(); strings.Contains(said, "did not come about") {
			t.Errorf("given up: it says %q", said)
		}
	})
}
