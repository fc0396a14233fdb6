package overlay

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
	"quicpeer/transport"
)

// answers reads the receipts that come back on a stream, and how it ends.
func (s *stranger) answers(stream *transport.Stream) (codes []pb.ReceiptCode, end error) {
	s.t.Helper()
	stream.SetDeadline(time.Now().Add(5 * time.Second))
	for {
		m, err := stream.Read(pb.MaxControlFrame)
		if err != nil {
			return codes, err
		}
		codes = append(codes, m.GetReceipt().GetCode())
	}
}

// whole writes messages on a stream of their own.
func (s *stranger) whole(to *peer, counters ...byte) *transport.Stream {
	s.t.Helper()
	var frames []byte
	for _, n := range counters {
		frames = append(frames, encoded(s.message(to, n, func(m *pb.Message) { m.Content = fmt.Sprint(n) }))...)
	}
	stream := s.write(frames)
	if err := stream.CloseWrite(); err != nil {
		s.t.Fatal(err)
	}
	return stream
}

// wantAgain fails unless a stream is refused until its sender has begun again.
func (s *stranger) wantAgain(stream *transport.Stream) {
	s.t.Helper()
	var reset *transport.ResetError
	if codes, err := s.answers(stream); len(codes) != 0 || !cutOffBy(err, &reset) || reset.Code != transport.CodeAgain {
		s.t.Errorf("answered by %v, %v", codes, err)
	}
}

func cutOffBy(err error, reset **transport.ResetError) (ok bool) {
	*reset, ok = err.(*transport.ResetError)
	return ok && (*reset).Remote
}

// wantAnswers fails unless all messages of a stream are answered by DELIVERED.
func (s *stranger) wantAnswers(stream *transport.Stream, n int) {
	s.t.Helper()
	codes, err := s.answers(stream)
	if err != io.EOF || !slices.Equal(codes, slices.Repeat([]pb.ReceiptCode{pb.ReceiptCode_DELIVERED}, n)) {
		s.t.Errorf("answered by %v, %v", codes, err)
	}
}

// A stream that is cut off costs that stream alone. The streams behind it are refused until
// its sender has begun again, so no message is lost and none comes twice.
func TestStreamCutOff(t *testing.T) {
	for how, cut := range map[string]func(*transport.Stream){
		"cancelled": func(s *transport.Stream) { s.Cancel(transport.CodeInternal) },
		"ended within a frame": func(s *transport.Stream) {
			_ = s.CloseWrite()
			time.Sleep(100 * time.Millisecond)
			s.Cancel(transport.CodeInternal) // gives its place back
		},
		"cancelled a little later": func(s *transport.Stream) { time.Sleep(time.Second); s.Cancel(transport.CodeInternal) },
	} {
		t.Run(how, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				peers := w.network("alice", "bob")
				alice := peers[0]
				s := w.stranger("mallory")
				s.join(alice)
				s.wantAnswers(s.whole(alice, 1), 1)
				half := encoded(s.message(alice, 3, nil))
				broken := s.write(slices.Concat(encoded(s.message(alice, 2, func(m *pb.Message) { m.Content = "2" })), half[:20]))
				time.Sleep(100 * time.Millisecond)
				cut(broken)
				four, five := s.whole(alice, 4), s.whole(alice, 5, 6)
				s.wantAgain(four)
				s.wantAgain(five)
				s.wantAnswers(s.whole(alice, 3, 4), 2)
				s.wantAnswers(s.whole(alice, 5, 6), 2)
				s.wantAnswers(s.whole(alice, 7), 1)
				// Nothing was taken before: the first message itself is the first to be
				// refused.
				cut(s.write(encoded(s.message(alice, 8, nil))[:20]))
				s.wantAgain(s.whole(alice, 8))
				s.wantAnswers(s.whole(alice, 8), 1)
				// A stream that begins with a message that was taken is a fresh start.
				cut(s.write(encoded(s.message(alice, 9, nil))[:20]))
				s.wantAnswers(s.whole(alice, 8, 9), 2)
				// The fresh start is cut off as well: a stream that follows it is not a fresh
				// start.
				cut(s.write(encoded(s.message(alice, 10, nil))[:20]))
				s.wantAgain(s.whole(alice, 12))
				cut(s.write(encoded(s.message(alice, 10, nil))[:20]))
				s.wantAgain(s.whole(alice, 12))
				s.wantAnswers(s.whole(alice, 10, 11, 12), 3)
				s.expectOpen()
				want := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}
				if got := alice.bodies("mallory"); !slices.Equal(got, want) {
					t.Errorf("alice was shown %v", got)
				}
				unimpressed(t, peers)
			})
		})
	}
}

// A node whose streams are cut off again and again, by a receiver that takes only what the
// rule allows, sends all its messages in order, but for some that are withdrawn meanwhile.
func TestSenderBeginsAgain(t *testing.T) {
	for seed := range uint64(12) {
		simulate(t, func(t *testing.T, w *world) {
			alice := w.start("alice")
			s := w.stranger("mallory")
			s.join(alice)
			const n = 400
			rng, pauses := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
			var got []string
			taken := delivery.Position{}
			var cut delivery.Interruption
			take := func(stream *transport.Stream) {
				most := rng.IntN(12) // new ones, then it is cut off
				if rng.IntN(3) == 0 {
					most = -1
				}
				for first := true; ; first = false {
					frame, err := stream.Read(pb.MaxMessageFrame)
					if err == io.EOF {
						_ = stream.CloseWrite()
						return
					}
					if err != nil || most == 0 {
						stream.Cancel(transport.CodeAgain)
						cut.CutOff()
						return
					}
					m := frame.GetMessage()
					p := delivery.PositionOf(m)
					if first && !cut.Admits(p, taken) {
						stream.Cancel(transport.CodeAgain)
						return
					}
					if taken.Before(p) {
						most--
						taken = p
						got = append(got, m.GetContent())
					}
					_ = stream.Write(encoded(&pb.Receipt{Id: m.GetId(), Code: pb.ReceiptCode_DELIVERED})) // it may be cut off by alice
				}
			}
			var reader sync.WaitGroup
			reader.Go(func() {
				for {
					stream, err := s.link.AcceptStream(t.Context())
					if err != nil {
						return
					}
					take(stream)
				}
			})
			var ids []MessageID
			withdrawn := map[string]bool{}
			for i := range n {
				ids = append(ids, alice.send("mallory", fmt.Sprint(i)))
				if pauses.IntN(8) == 0 {
					time.Sleep(time.Duration(pauses.IntN(100)) * time.Millisecond)
				}
				if seed%3 > 0 && pauses.IntN(5) == 0 {
					for j := i - pauses.IntN(min(i+1, 20)); j <= i; j++ {
						if alice.Cancel(ids[j]) == nil {
							withdrawn[fmt.Sprint(j)] = true
						}
					}
				}
			}
			alice.eventually(10*time.Minute, "all is delivered", func() bool { return len(all[Delivered](alice))+len(withdrawn) == n })
			s.expectOpen()
			s.link.Abort(transport.CodeInternal, "the test is over")
			reader.Wait()
			kept := func(list []string) []string {
				return slices.DeleteFunc(list, func(body string) bool { return withdrawn[body] })
			}
			if !slices.Equal(kept(got), kept(numbers(n))) {
				t.Errorf("seed %d: mallory got %s", seed, brief(got))
			}
		})
	}
}

// TestStreamStopped: a receiver cuts a stream off, and the news that it reads no more comes before that
// there will be no answers. Meanwhile the sender ends the stream; then it begins again.
func TestStreamStopped(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		mallory := &stranger{t: t, w: w, state: state("mallory", "mallory"), epoch: uint64(time.Now().UnixMilli())}
		tr := &quic.Transport{Conn: w.Node("mallory")}
		defer tr.Close()
		tls, err := mallory.state.Identity.TLS(alice.Key(), nil)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := tr.Dial(t.Context(), net.UDPAddrFromAddrPort(w.Addr("alice")), tls, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseWithError(0, "")
		control, err := conn.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := control.Write(encoded(mallory.hello())); err != nil {
			t.Fatal(err)
		}
		awaitEvent(alice, time.Second, func(j PeerJoined) bool { return j.ID == "mallory" })
		next := func() (s *quic.Stream, content string) {
			t.Helper()
			s, err := conn.AcceptStream(within(t, time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			m, err := pb.Read(bufio.NewReader(s), pb.MaxMessageFrame)
			if err != nil {
				t.Fatal(err)
			}
			return s, m.GetMessage().GetContent()
		}
		var writer sync.WaitGroup
		writer.Go(func() { // the stream is open when it is cut off, and nothing follows
			for i := range 3 {
				alice.send("mallory", fmt.Sprint(i))
				time.Sleep(15 * time.Millisecond)
			}
		})
		defer writer.Wait()
		first, _ := next()
		first.CancelRead(quic.StreamErrorCode(transport.CodeAgain))
		time.Sleep(500 * time.Millisecond) // the packet with the other half is lost, and comes again
		first.CancelWrite(quic.StreamErrorCode(transport.CodeAgain))
		if _, content := next(); content != "0" {
			t.Errorf("then %q comes", content)
		}
	})
}

// Streams are cut off in the middle of a conversation of two nodes. Everything arrives, once
// and in order, over the same link.
func TestStreamsCutOffInTheMidst(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		alice, bob := peers[0], peers[1]
		talk(alice, bob)
		before := alice.linkIDs()
		link := make(chan *transport.Link, 1)
		alice.post(onLoop(func(l *loop) { link <- l.links.all[before[len(before)-1]].Link.Link }))
		l := <-link
		const n = 3000
		done := make(chan struct{})
		var cutter sync.WaitGroup
		cutter.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				case <-time.After(70 * time.Millisecond):
				}
				stream, err := l.OpenStream(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				_ = stream.Write(bytes.Repeat([]byte{99}, 1+i%90)) // half a frame; it may have ended
				if i%2 == 0 {
					time.Sleep(time.Duration(i%7) * time.Millisecond)
				}
				stream.Cancel(transport.CodeInternal)
			}
		})
		for i := range n {
			alice.send("bob", fmt.Sprint(i))
			if i%10 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		close(done)
		cutter.Wait()
		bob.awaitBodies(5*time.Minute, "alice", append([]string{"talk"}, numbers(n)...)...)
		alice.eventually(time.Minute, "all is delivered", func() bool { return len(all[Delivered](alice)) >= n+1 })
		if after := alice.linkIDs(); !slices.Equal(before, after) {
			t.Errorf("the links were %v and are %v", before, after)
		}
	})
}

// A receipt with an unknown code settles nothing: the link stays, the message is repeated at
// growing intervals, and messages behind it go on.
func TestUnknownReceipt(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		s := w.stranger("mallory")
		s.join(alice)
		id := alice.send("mallory", "first")
		var mu sync.Mutex
		var came []time.Time
		known := false
		var reader sync.WaitGroup
		ctx := within(t, 2*time.Hour)
		reader.Go(func() {
			for {
				stream, err := s.link.AcceptStream(ctx)
				if err != nil {
					return
				}
				for {
					m, err := stream.Read(pb.MaxMessageFrame)
					if err != nil {
						break
					}
					r := &pb.Receipt{Id: m.GetMessage().GetId(), Code: pb.ReceiptCode_DELIVERED}
					mu.Lock()
					if MessageID(r.Id) == id {
						came = append(came, time.Now())
						if !known {
							r.Code, r.Reason = 77, "perhaps tomorrow"
						}
					}
					mu.Unlock()
					_ = stream.Write(encoded(r)) // the link may be ending
				}
				_ = stream.CloseWrite()
			}
		})
		awaitEvent(alice, 3*time.Second, func(b Buffered) bool { return b.Message == id && b.Reason == "the peer does not take it now" })
		second := alice.send("mallory", "second")
		awaitEvent(alice, time.Second, func(d Delivered) bool { return d.Message == second })
		time.Sleep(time.Hour)
		mu.Lock()
		if n := len(came); n < 30 || n > 80 || came[1].Sub(came[0]) < time.Second {
			t.Errorf("in an hour it came %d times", n)
		}
		known = true
		mu.Unlock()
		s.expectOpen()
		awaitEvent(alice, 2*time.Minute, func(d Delivered) bool { return d.Message == id })
		if failed := all[Failed](alice); len(failed) != 0 {
			t.Errorf("failed: %v", failed)
		}
		s.link.Abort(transport.CodeInternal, "the test is over")
		reader.Wait()
	})
}

// A message without a position among those of its sender is refused, with a reason.
func TestImpossibleCounter(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		s := w.stranger("mallory")
		s.join(peers[0])
		for _, change := range []func(*pb.Message){
			func(m *pb.Message) { m.Id[15] = 0 },
			func(m *pb.Message) { m.Id[8] = 0x80 },
		} {
			stream := s.write(encoded(s.message(peers[0], 1, change)))
			m, err := stream.Read(pb.MaxControlFrame)
			if r := m.GetReceipt(); err != nil || r.GetCode() != pb.ReceiptCode_REJECTED || r.GetReason() != delivery.Impossible {
				t.Errorf("answered by %v, %v", m, err)
			}
			_ = stream.CloseWrite()
		}
		s.wantAnswers(s.whole(peers[0], 1), 1)
		if got := peers[0].bodies("mallory"); !slices.Equal(got, []string{"1"}) {
			t.Errorf("alice was shown %v", got)
		}
		unimpressed(t, peers)
	})
}
