package overlay

import (
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging"
	"quicpeer/pb"
	"quicpeer/transport"
)

// A stranger claims that a living peer is lost. The peer refutes it, and users see nothing.
func TestLossOfALivingPeerIsRefuted(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		s := w.stranger("mallory")
		s.join(peers[0])
		record := s.knows("bob")
		for range 3 {
			s.say(&pb.PropagationMessage{Announcements: []*pb.Announcement{{Type: pb.AnnouncementType_LOST, Record: record}}})
			time.Sleep(100 * time.Millisecond)
		}
		unimpressed(t, peers)
	})
}

// A stream stalls within a frame, and the stranger opens as many more as it can.
// Its own messages suffer, nobody else's.
func TestStalledStreams(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		s := w.stranger("mallory")
		s.join(peers[0])
		s.write(encoded(s.message(peers[0], 1, nil))[:20])
		opened := 1
		ctx := within(t, 10*time.Second)
		for range 10_000 {
			stream, err := s.link.OpenStream(ctx)
			if err != nil {
				break
			}
			if err := stream.Write(encoded(s.message(peers[0], byte(opened+1), nil))); err != nil {
				t.Fatal(err)
			}
			opened++
		}
		if opened > messaging.MaxStreams {
			t.Errorf("%d streams were opened", opened)
		}
		s.expectOpen()
		unimpressed(t, peers)
		if got := peers[0].bodies("mallory"); len(got) != 0 {
			t.Errorf("alice was shown %d messages of a stalled link", len(got))
		}
	})
}

// A stranger sends again and again, and reads no receipts.
func TestReceiptsThatNobodyReads(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		s := w.stranger("mallory")
		s.join(peers[0])
		var frames []byte
		for range 1000 {
			frames = append(frames, encoded(s.message(peers[0], 1, nil))...) // one message and its repeats
		}
		stream := s.write(nil)
		stream.SetDeadline(time.Now().Add(10 * time.Second))
		for range 20 {
			if err := stream.Write(frames); err != nil {
				break
			}
		}
		s.expectOpen()
		unimpressed(t, peers)
		if got := peers[0].bodies("mallory"); len(got) > 1 {
			t.Errorf("alice was shown %d times the same message", len(got))
		}
	})
}

// Frames that come back on a stream of ours are checked too.
func TestHostileReceipts(t *testing.T) {
	tests := []struct {
		name   string
		answer func(s *stranger, m *pb.Message, stream *transport.Stream)
		words  string
	}{
		{"for another message", func(s *stranger, m *pb.Message, stream *transport.Stream) {
			_ = stream.Write(encoded(&pb.Receipt{Id: make([]byte, 16), Code: pb.ReceiptCode_DELIVERED}))
		}, "instead of the receipt"},
		{"a message", func(s *stranger, m *pb.Message, stream *transport.Stream) { _ = stream.Write(encoded(m)) }, "instead of the receipt"},
		{"two for one", func(s *stranger, m *pb.Message, stream *transport.Stream) {
			r := encoded(&pb.Receipt{Id: m.GetId(), Code: pb.ReceiptCode_DELIVERED})
			_ = stream.Write(append(r, r...))
		}, "behind the last receipt"},
		{"garbage", func(s *stranger, m *pb.Message, stream *transport.Stream) {
			_ = stream.Write([]byte{3, 0xff, 0xff, 0xff})
		}, "malformed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				peers := w.network("alice", "bob")
				s := w.stranger("mallory")
				s.join(peers[0])
				peers[0].send("mallory", "hello")
				stream, err := s.link.AcceptStream(within(t, time.Second))
				if err != nil {
					t.Fatal(err)
				}
				m, err := stream.Read(pb.MaxMessageFrame)
				if err != nil {
					t.Fatal(err)
				}
				test.answer(s, m.GetMessage(), stream)
				s.expectClosed(time.Second, transport.CodeProtocol, test.words)
				unimpressed(t, peers)
				if n := len(all[Delivered](peers[0])); n > 2 { // one to bob; one to mallory, who gave a receipt in one case
					t.Errorf("%d messages are delivered", n)
				}
			})
		})
	}
}

// A receiver can refuse a message for good.
func TestRejectedMessage(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		s := w.stranger("mallory")
		s.join(alice)
		id := alice.send("mallory", "hello")
		stream, err := s.link.AcceptStream(within(t, time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Write(encoded(&pb.Receipt{Id: id[:], Code: pb.ReceiptCode_REJECTED, Reason: "not today"})); err != nil {
			t.Fatal(err)
		}
		if f := awaitEvent(alice, time.Second, func(Failed) bool { return true }); f.Message != id || f.Error != "the receiver refuses it: not today" {
			t.Errorf("got %+v", f)
		}
	})
}

// A stranger has taken an ID at one door while its owner came in at another. For each peer the ID is of
// the one it has met first, and the other has a longer name: no message changes hands.
func TestIDIsTakenAtAnotherDoor(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		s := w.stranger("mallory")
		s.state = NewState("eve", s.state.Identity)
		s.epoch -= 1000 * 3600
		results := startAll(t.Context(), w.config("eve", "alice"))
		s.dial(peers[1])
		s.say(s.hello())
		j := awaitEvent(peers[1], time.Second, func(j PeerJoined) bool { return j.ID == "eve" })
		if j.Key != s.state.Identity.Key() {
			t.Fatal("the owner was first")
		}
		s.write(encoded(s.message(peers[1], 1, func(m *pb.Message) { m.Content = "I am eve" })))
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		eve := w.peer(r.node)
		eve.listen()
		alias := certs.Alias("eve", eve.Key())
		awaitEvent(peers[1], 5*time.Second, func(j PeerJoined) bool { return j.ID == alias && j.Key == eve.Key() })
		talk(peers[0], eve)
		peers[1].send("eve", "for the stranger")
		peers[1].send(alias, "for eve")
		eve.awaitBodies(5*time.Second, "bob", "for eve")
		eve.send("bob", "from eve")
		if m := awaitEvent(peers[1], 5*time.Second, func(m Message) bool { return m.Body == "from eve" }); m.From != alias {
			t.Errorf("bob is shown %+v", m)
		}
		time.Sleep(time.Minute)
		if got := eve.bodies("bob"); len(got) != 1 || eve.Err() != nil {
			t.Errorf("eve has %q, and ends with %v", got, eve.Err())
		}
		unimpressed(t, peers)
	})
}
