package overlay

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
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
	s.await(func(m *pb.PeerMessage) bool { return m.GetReconcile() != nil })
}

// startFirstAt starts a node that is let in by the stranger, and a bit later by alice.
func (w *world) startFirstAt(s *stranger, cfg Config) <-chan started {
	w.t.Helper()
	w.Cut("alice", "bob")
	results := startAll(w.t.Context(), cfg)
	s.welcome()
	w.Heal("alice", "bob")
	return results
}

// One door lets the node in and never sends its table; the other one behaves.
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
		piece := &pb.Reconcile{Answer: true, Announcements: []*pb.Announcement{{Type: pb.AnnouncementType_JOIN, Record: s.record(nil)}}}
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

// A table of 700 kB over 320 kbit/s: it takes longer than the usual time to join, and comes.
func TestTableOverASlowLine(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		s := w.stranger("mallory")
		table := []*pb.Record{}
		for i := range 30 * pb.MaxAnnouncements {
			table = append(table, &pb.Record{Type: pb.AnnouncementType_JOIN, Id: fmt.Sprint("p", i), Key: s.key(), Epoch: 1})
		}
		tag := func(r *pb.Record) string { sum := sha256.Sum256([]byte(r.GetId())); return string(sum[:8]) }
		slices.SortFunc(table, func(a, b *pb.Record) int { return strings.Compare(tag(a), tag(b)) })
		start := time.Now()
		results := startAll(t.Context(), w.config("bob", "mallory"))
		s.welcome()
		i := 0
		for piece := range slices.Chunk(table, pb.MaxAnnouncements) {
			time.Sleep(600 * time.Millisecond)
			reply := &pb.Reconcile{Answer: true}
			for _, r := range piece {
				reply.Announcements = append(reply.Announcements, &pb.Announcement{Type: r.GetType(), Record: s.state.Identity.SignRecord(r)})
			}
			s.say(reply)
			if i%8 == 7 {
				first := binary.BigEndian.Uint64([]byte(tag(piece[len(piece)-1]))) + 1
				s.say(&pb.Reconcile{Answer: true, Ranges: []*pb.TableRange{{First: first, Last: math.MaxUint64}}})
			}
			i++
		}
		s.say(&pb.Reconcile{Answer: true})
		r := <-results
		if r.err != nil {
			t.Fatalf("after %v: %v", time.Since(start), r.err)
		}
		bob := w.peer(r.node)
		bob.listen()
		if n := len(bob.Peers()); n != len(table)+1 || time.Since(start) < 15*time.Second {
			t.Errorf("after %v it has %d peers", time.Since(start), n)
		}
	})
}

// The only door does not send its table: the error does not call it unreachable.
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
