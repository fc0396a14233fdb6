package transport_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/transport"
)

// TestNarrowPath: links can be made over a path that takes no more than QUIC's smallest
// packet, and over one that was wider.
func TestNarrowPath(t *testing.T) {
	for _, bytes := range []int{1228, 1280, 1307, 1500} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.Search()
			w.Narrow("a", "b", bytes)
			dialed, accepted := w.connect(w.endpoint("a"), w.endpoint("b"), "b")
			big := numbered(1, 20_000)
			send(t, dialed, big)
			receive(t, accepted, big)
			send(t, accepted, big)
			receive(t, dialed, big)
		})
	}
}

// TestStuck: a link whose path has become narrower than its packets is recognized within
// seconds, at the side that writes, and no other link is.
func TestStuck(t *testing.T) {
	never := time.Duration(0)
	for name, test := range map[string]struct {
		spoil func(w *world)
		reads bool
		want  time.Duration // when it is known at the latest
	}{
		"narrow":                    {func(w *world) { w.Narrow("a", "b", 1300) }, true, 8 * time.Second},
		"narrow, and lossy":         {func(w *world) { w.Narrow("a", "b", 1300); w.Lose(0.1) }, true, 12 * time.Second},
		"wide":                      {func(*world) {}, true, never},
		"lossy":                     {func(w *world) { w.Lose(0.2) }, true, never},
		"slow":                      {func(w *world) { w.Line("b", 64_000, 64<<10) }, true, never},
		"nobody reads":              {func(*world) {}, false, never},
		"nobody reads, and lossy":   {func(w *world) { w.Lose(0.2) }, false, never},
		"cut off for 10 s":          {cutFor(10 * time.Second), true, never},
		"cut off for 5 s, and deaf": {cutFor(5 * time.Second), false, never},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				w.Search()
				dialed, accepted := w.connect(w.endpoint("a"), w.endpoint("b"), "b")
				if test.reads {
					go drain(accepted)
				}
				look := func(d time.Duration) (stuckAfter time.Duration) {
					for begin := time.Now(); time.Since(begin) < d; time.Sleep(250 * time.Millisecond) {
						if accepted.Stuck() {
							t.Fatal("the reader's side is stuck")
						}
						if dialed.Stuck() && stuckAfter == 0 {
							stuckAfter = time.Since(begin)
						}
					}
					return stuckAfter
				}
				if look(30*time.Second) != 0 {
					t.Fatal("stuck with nothing to send")
				}
				test.spoil(w)
				go func() {
					for range 20 {
						s, err := dialed.OpenStream(t.Context())
						if err != nil {
							return
						}
						if errors.Join(s.Write(message(strings.Repeat("x", 20_000))), s.CloseWrite()) != nil {
							return
						}
						go io.Copy(io.Discard, reader{s})
					}
				}()
				after := look(time.Minute)
				t.Logf("stuck after %v", after)
				if after > test.want || (after > 0) != (test.want > 0) {
					t.Errorf("stuck after %v", after)
				}
			})
		})
	}
}

func cutFor(d time.Duration) func(*world) {
	return func(w *world) {
		w.Cut("a", "b")
		time.AfterFunc(d, func() { w.Heal("a", "b") })
	}
}

// drain reads the streams of a link and ends them.
func drain(l *transport.Link) {
	for {
		s, err := l.AcceptStream(context.Background())
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, reader{s})
		_ = s.CloseWrite()
	}
}

// reader reads the frames of a stream and drops them.
type reader struct{ *transport.Stream }

func (r reader) Read([]byte) (int, error) {
	_, err := r.Stream.Read(1 << 20)
	return 0, err
}
