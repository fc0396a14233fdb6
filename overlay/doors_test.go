package overlay

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/pb"
)

// welcome lets a node in that has dialled the stranger.
func (s *stranger) welcome() {
	s.t.Helper()
	s.accept(5 * time.Second)
	s.say(&pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: s.record(nil)})
	s.await(func(m *pb.PeerMessage) bool { return m.GetSyncRequest() != nil })
}

// startFirstAt starts a node that is let in by the stranger, and by alice a bit later.
func (w *world) startFirstAt(s *stranger, cfg Config) <-chan started {
	w.t.Helper()
	w.Cut("alice", "bob")
	results := startAll(w.t.Context(), cfg)
	s.welcome()
	w.Heal("alice", "bob")
	return results
}

// One door lets in and never sends its table; the other one is good.
func TestOneDoorIsStuck(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		s := w.stranger("mallory")
		start := time.Now()
		r := <-w.startFirstAt(s, w.config("bob", "mallory", "alice"))
		if r.err != nil {
			t.Fatalf("after %v: %v", time.Since(start), r.err)
		}
		bob := w.peer(r.node)
		bob.listen()
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
		talk(alice, bob)
	})
}

// One door sends the same piece of its table again and again.
func TestOneDoorRepeats(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		s := w.stranger("mallory")
		piece := &pb.SyncReply{Last: true, Announcements: []*pb.Announcement{{Type: pb.AnnouncementType_JOIN, Record: s.record(nil)}}}
		start := time.Now()
		results := w.startFirstAt(s, w.config("bob", "mallory", "alice"))
		go func() {
			for s.link.Err() == nil {
				_ = s.link.Send(encoded(piece)) // until it is closed
				time.Sleep(latency)
			}
		}()
		r := <-results
		if r.err != nil {
			t.Fatalf("after %v: %v", time.Since(start), r.err)
		}
		bob := w.peer(r.node)
		bob.listen()
		talk(alice, bob)
		s.expectClosed(time.Second, 1, "does not go on")
	})
}

// The only door does not send its table: the error does not speak of who can't be reached.
func TestDoorWithoutTableIsNamed(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		s := w.stranger("mallory")
		results := startAll(t.Context(), w.config("bob", "mallory"))
		s.welcome()
		r := <-results
		var unreachable *UnreachableError
		if !errors.As(r.err, &unreachable) || !slices.Equal(unreachable.Obstacles, []Obstacle{ObstacleTable}) ||
			!strings.HasSuffix(r.err.Error(), ": let us in, and its table did not come") {
			t.Errorf("Start: %v", r.err)
		}
	})
}
