package overlay

import (
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/pb"
	"quicpeer/transport"
	"quicpeer/transport/simtest"
)

// seenStream is a message stream as its receiver sees it.
type seenStream struct {
	sizes []int         // of the frames, about
	ended time.Duration // from the last message to its end
}

// watch answers all message streams of a link until it ends, and returns how to get what was
// seen; answer may change what is written for a message.
func (s *stranger) watch(answer func(stream *transport.Stream, n int, receipt []byte)) func() []seenStream {
	var (
		mu    sync.Mutex
		seen  []seenStream
		total int
	)
	go func() {
		for {
			stream, err := s.link.AcceptStream(s.t.Context())
			if err != nil {
				return
			}
			mu.Lock()
			seen = append(seen, seenStream{ended: -1})
			mu.Unlock()
			last := time.Now()
			for {
				frame, err := stream.Read(pb.MaxMessageFrame)
				mu.Lock()
				now := &seen[len(seen)-1]
				if err != nil {
					now.ended = time.Since(last)
					mu.Unlock()
					if err == io.EOF {
						_ = stream.CloseWrite()
					}
					break
				}
				last = time.Now()
				now.sizes = append(now.sizes, len(frame.GetMessage().GetContent()))
				total++
				n := total
				mu.Unlock()
				answer(stream, n, encoded(&pb.Receipt{Id: frame.GetMessage().GetId(), Code: pb.ReceiptCode_DELIVERED}))
			}
		}
	}()
	return func() []seenStream {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

func honest(stream *transport.Stream, _ int, receipt []byte) { _ = stream.Write(receipt) }

// A message stream stays open for 20 ms after its last message, and carries 128 KiB at most.
func TestMessageStreamsLinger(t *testing.T) {
	const kib = 1 << 10
	type written struct {
		pause time.Duration // before it
		size  int
	}
	tests := []struct {
		name     string
		messages []written
		want     []int         // messages of each stream
		ended    time.Duration // how long the last stream stays open
	}{
		{"one", []written{{0, 1}}, []int{1}, 20 * time.Millisecond},
		{"within 20 ms", []written{{0, 1}, {19 * time.Millisecond, 1}, {19 * time.Millisecond, 1}}, []int{3}, 20 * time.Millisecond},
		{"after 20 ms", []written{{0, 1}, {21 * time.Millisecond, 1}}, []int{1, 1}, 20 * time.Millisecond},
		{"large ones", []written{{0, 60 * kib}, {0, 60 * kib}, {0, 1}}, []int{3}, 20 * time.Millisecond},
		{"no room for another", []written{{0, 70 * kib}, {0, 70 * kib}, {0, 1}}, []int{1, 2}, 20 * time.Millisecond},
		{"one that fills a stream", []written{{0, 130 * kib}, {50 * time.Millisecond, 1}}, []int{1, 1}, 20 * time.Millisecond},
		{"the largest", []written{{0, 1024 * kib}}, []int{1}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				alice := w.start("alice")
				s := w.stranger("mallory")
				s.join(alice)
				seen := s.watch(honest)
				for _, m := range test.messages {
					time.Sleep(m.pause)
					alice.send("mallory", strings.Repeat("x", m.size))
				}
				time.Sleep(time.Second)
				var got []int
				for _, stream := range seen() {
					got = append(got, len(stream.sizes))
				}
				if !slices.Equal(got, test.want) {
					t.Fatalf("the streams carry %v messages, not %v", got, test.want)
				}
				for i, stream := range seen() {
					if stream.ended < 0 {
						t.Errorf("stream %d is open", i)
					}
				}
				// Packets on their way may overtake each other's pacing, hence the millisecond.
				if last := seen()[len(got)-1].ended; last < test.ended-time.Millisecond || last > test.ended+time.Millisecond {
					t.Errorf("the last stream has ended after %v, not %v", last, test.ended)
				}
				alice.eventually(time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == len(test.messages) })
			})
		})
	}
}

// However many messages follow each other, no stream carries more than 128 KiB.
func TestMessageStreamsAreBounded(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		s := w.stranger("mallory")
		s.join(alice)
		seen := s.watch(honest)
		const n = 1000
		for i := range n {
			alice.send("mallory", strings.Repeat("x", 100+i))
			if i%50 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
		alice.eventually(time.Minute, "all are delivered", func() bool { return len(all[Delivered](alice)) == n })
		streams := seen()
		if len(streams) < n*600>>17 || len(streams) > 20 {
			t.Errorf("%d streams", len(streams))
		}
		for i, stream := range streams {
			sum := 0
			for _, size := range stream.sizes {
				sum += size
			}
			if sum > 128<<10 {
				t.Errorf("stream %d carries %d bytes", i, sum)
			}
		}
	})
}

// A receiver that ends its answers on a stream that is still open cuts it off: nothing is lost,
// and the link stays.
func TestAnswersEndEarly(t *testing.T) {
	for name, answer := range map[string]func(stream *transport.Stream, n int, receipt []byte){
		"behind a receipt": func(stream *transport.Stream, n int, receipt []byte) {
			_ = stream.Write(receipt)
			if n == 2 {
				_ = stream.CloseWrite()
			}
		},
		"before a receipt": func(stream *transport.Stream, n int, receipt []byte) {
			if n == 2 {
				_ = stream.CloseWrite()
				return
			}
			_ = stream.Write(receipt)
		},
		"by cancelling": func(stream *transport.Stream, n int, receipt []byte) {
			if n == 2 {
				stream.Cancel(transport.CodeAgain)
				return
			}
			_ = stream.Write(receipt)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{Network: simtest.New(1, 2*time.Millisecond), t: t, log: new(logBuffer), states: map[string]*State{}}
				t.Cleanup(w.Close)
				alice := w.start("alice")
				s := w.stranger("mallory")
				s.join(alice)
				s.watch(answer)
				for range 20 {
					alice.send("mallory", "x")
					time.Sleep(7 * time.Millisecond) // longer than a round trip, shorter than a stream lingers
				}
				alice.eventually(5*time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == 20 })
				s.expectOpen()
			})
		})
	}
}
