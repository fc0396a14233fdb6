package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/pb"
	"quicpeer/transport"
)

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

// Unread streams hold up neither the control stream nor the stream that is being read.
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
			order[streams-1-i] = s // the worst order
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
