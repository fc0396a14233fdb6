package overlay

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/pb"
	"quicpeer/transport"
)

// TestQuestionsWithoutReading: a peer that asks for the table and reads nothing has some answers
// queued for it, and the next when it reads.
func TestQuestionsWithoutReading(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.network("alice", "bob")[0]
		s := w.stranger("mallory")
		l, err := s.endpoint.Dial(t.Context(), w.Addr("alice"), alice.Key())
		if err != nil {
			t.Fatal(err)
		}
		s.link = l
		hello := s.hello()
		hello.Record = s.record(func(r *pb.Record) { r.Tags = bytes.Repeat([]byte("x"), pb.MaxTags) })
		s.say(hello)
		if m, err := l.Receive(); err != nil || m.GetHandshakeResponse().GetCode() != pb.HandshakeCode_OK {
			t.Fatal(m, err)
		}
		ask := &pb.Reconcile{Ranges: []*pb.TableRange{{Last: math.MaxUint64, Kind: pb.RangeKind_HELD}}}
		for range 10 { // it would be closed as unused after 5 s
			for range 100 {
				s.say(ask)
			}
			time.Sleep(200 * time.Millisecond)
		}
		if queued := alice.endpoint.Queued(); queued < maxQueuedAsking || queued > maxQueuedAsking+16<<10 {
			t.Errorf("%d bytes are queued", queued)
		}
		answers := func() (n int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, m := range s.frames {
				if m.GetReconcile().GetAnswer() && len(m.GetReconcile().GetAnnouncements()) == 0 {
					n++
				}
			}
			return n
		}
		s.use(l)
		time.Sleep(time.Second)
		read := answers()
		s.say(ask)
		time.Sleep(time.Second)
		if now := answers(); read < 50 || read > 500 || now != read+1 {
			t.Errorf("%d answers, and %d with one more question", read, now)
		}
	})
}

// TestEmptyStreamsAreNoUse: a link on which nothing but empty streams come is closed as unused.
func TestEmptyStreamsAreNoUse(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		s := w.stranger("mallory")
		s.join(peers[0])
		for range 8 {
			time.Sleep(time.Second)
			if stream := s.link.TryOpenStream(); stream != nil {
				_ = stream.CloseWrite()
				synctest.Wait()
				stream.Cancel(transport.CodeBye)
			}
		}
		if closed := (*transport.ClosedError)(nil); !errors.As(s.link.Err(), &closed) || closed.Code != transport.CodeIdle {
			t.Errorf("the link's end: %v", s.link.Err())
		}
	})
}
