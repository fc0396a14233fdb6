package overlay

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
	"quicpeer/transport"
)

// A stranger's first frames, and the door's answers.
func TestHostileHandshakes(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *stranger, h *pb.HandshakeStart)
		want   pb.HandshakeCode
		reason string
	}{
		{"version", func(s *stranger, h *pb.HandshakeStart) { h.Version = 99 }, pb.HandshakeCode_VERSION, "version 1"},
		{"network", func(s *stranger, h *pb.HandshakeStart) { h.Network = "\x1b[31m" }, pb.HandshakeCode_NETWORK, "this is the network"},
		{"network of the record", func(s *stranger, h *pb.HandshakeStart) {
			h.Record = s.record(func(r *pb.Record) { r.Network = "other" })
		}, pb.HandshakeCode_MALFORMED, "of another network"},
		{"ID with control characters", func(s *stranger, h *pb.HandshakeStart) { h.Id = "a\x1b[2J\nb" }, pb.HandshakeCode_MALFORMED, `an ID consists of`},
		{"no ID", func(s *stranger, h *pb.HandshakeStart) { h.Id = "" }, pb.HandshakeCode_MALFORMED, "empty"},
		{"record of another ID", func(s *stranger, h *pb.HandshakeStart) { h.Id = "another" }, pb.HandshakeCode_MALFORMED, "of another ID"},
		{"record of another key", func(s *stranger, h *pb.HandshakeStart) {
			h.Record = s.record(func(r *pb.Record) { r.Key = make([]byte, 32) })
		}, pb.HandshakeCode_MALFORMED, "of another key"},
		{"record signed by another", func(s *stranger, h *pb.HandshakeStart) {
			r, _ := pb.ParseRecord(h.GetRecord())
			h.Record = state("x", "x").Identity.SignRecord(r)
		}, pb.HandshakeCode_MALFORMED, "not signed by its key"},
		{"record of a farewell", func(s *stranger, h *pb.HandshakeStart) {
			h.Record = s.record(func(r *pb.Record) { r.Type, r.Addresses = pb.AnnouncementType_LEAVE, nil })
		}, pb.HandshakeCode_MALFORMED, "not a JOIN"},
		{"garbage as record", func(s *stranger, h *pb.HandshakeStart) {
			h.Record = &pb.Signed{Payload: []byte("garbage"), Signature: make([]byte, 64)}
		}, pb.HandshakeCode_MALFORMED, "record"},
		{"the door's own ID", func(s *stranger, h *pb.HandshakeStart) {
			h.Id = "alice"
			h.Record = s.record(func(r *pb.Record) { r.Id = "alice" })
		}, pb.HandshakeCode_DUPLICATE_ID, "in use"},
		{"a member's ID, of an older epoch", func(s *stranger, h *pb.HandshakeStart) {
			h.Id = "bob"
			h.Record = s.record(func(r *pb.Record) { r.Id, r.Epoch = "bob", 1 })
		}, pb.HandshakeCode_DUPLICATE_ID, "in use"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				peers := w.network("alice", "bob")
				s := w.stranger("mallory")
				h := s.hello()
				test.change(s, h)
				s.dial(peers[0])
				s.say(h)
				s.expectClosed(time.Second, transport.CodeRefused, test.want.String())
				r := s.await(func(*pb.PeerMessage) bool { return true }).GetHandshakeResponse()
				if r.GetCode() != test.want || !strings.Contains(r.GetReason(), test.reason) {
					t.Errorf("the answer is %v", r)
				}
				s.expectLogged(test.reason)
				if strings.ContainsAny(w.log.String(), "\x1b\x00") {
					t.Error("the log carries control characters")
				}
				unimpressed(t, peers)
				if len(peers[0].Peers()) != 1 || len(peers[1].Peers()) != 1 {
					t.Error("the stranger is in the table")
				}
			})
		})
	}
}

// First frames that are not a handshake at all.
func TestHostileBeginnings(t *testing.T) {
	tests := []struct {
		name  string
		do    func(s *stranger, alice *peer)
		limit time.Duration
		code  transport.Code
		words string
	}{
		{"silence", func(s *stranger, alice *peer) {}, 6 * time.Second, transport.CodeHandshakeTimeout, "control stream"},
		{"half a frame", func(s *stranger, alice *peer) { s.sayBytes(encoded(s.hello())[:9]) }, 6 * time.Second,
			transport.CodeHandshakeTimeout, "handshake did not come"},
		{"garbage", func(s *stranger, alice *peer) { s.sayBytes([]byte("\x04GET / HTTP/1.1\r\n\r\n")) }, time.Second, transport.CodeProtocol, "malformed"},
		{"a frame too long", func(s *stranger, alice *peer) { s.sayBytes([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}) }, time.Second, transport.CodeProtocol, "malformed"},
		{"another frame", func(s *stranger, alice *peer) { s.say(&pb.Neighbour{Type: pb.NeighbourType_REQUEST}) }, time.Second,
			transport.CodeProtocol, "before the handshake"},
		{"an announcement", func(s *stranger, alice *peer) {
			s.say(&pb.PropagationMessage{Announcements: []*pb.Announcement{{Type: pb.AnnouncementType_JOIN, Record: s.record(nil)}}})
		}, time.Second, transport.CodeProtocol, "before the handshake"},
		{"an answer", func(s *stranger, alice *peer) {
			s.say(&pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: s.record(nil)})
		}, time.Second, transport.CodeProtocol, "before the handshake"},
		{"a direct message", func(s *stranger, alice *peer) { s.say(s.message(alice, 1, nil)) }, time.Second, transport.CodeProtocol, "MESSAGE on the control stream"},
		{"a message stream", func(s *stranger, alice *peer) {
			s.sayBytes(encoded(s.hello())[:9])
			stream, err := s.link.OpenStream(s.t.Context())
			if err == nil {
				err = stream.Write(encoded(s.message(alice, 1, nil)))
			}
			if err != nil {
				s.t.Fatal(err)
			}
		}, time.Second, transport.CodeProtocol, "a message stream of a stranger"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				peers := w.network("alice", "bob")
				s := w.stranger("mallory")
				s.dial(peers[0])
				test.do(s, peers[0])
				s.expectClosed(test.limit, test.code, test.words)
				unimpressed(t, peers)
			})
		})
	}
}

// Strangers from one host that begin a frame and say no more leave room for a newcomer, and for each
// other once the node has had enough of them.
func TestManyBeginnings(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice")
		s := w.stranger("mallory")
		begin := func() (links []*transport.Link) {
			for range 60 {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				if l, err := s.endpoint.Dial(ctx, w.Addr("alice"), peers[0].Key()); err == nil && l.Send(encoded(s.hello())[:1]) == nil {
					links = append(links, l)
				}
				cancel()
			}
			return links
		}
		for range 2 {
			links := begin()
			if n := len(links); n != 32 {
				t.Errorf("%d links of one host are taken", n)
			}
			if len(peers) == 1 {
				peers = append(peers, w.start("bob", "alice"))
			}
			time.Sleep(6 * time.Second)
			for _, l := range links {
				if l.Err() == nil {
					t.Error("a link that never said more still stands")
				}
			}
		}
		unimpressed(t, peers)
	})
}

// A stranger that was let in breaks the protocol, and is disconnected.
func TestHostileMembers(t *testing.T) {
	announce := func(s *stranger, what pb.AnnouncementType, record *pb.Signed) {
		s.say(&pb.PropagationMessage{Announcements: []*pb.Announcement{{Type: what, Record: record}}})
	}
	broadcast := func(s *stranger, change func(*pb.BroadcastContent)) {
		prefix := certs.MessagePrefix(s.state.Identity.Key(), s.epoch, 0)
		c := &pb.BroadcastContent{
			Id: append(prefix[:], 0x80, 0, 0, 0, 0, 0, 0, 1), Sender: "mallory", Key: s.key(), Content: "x",
		}
		change(c)
		s.say(&pb.Broadcast{Content: s.state.Identity.SignBroadcast(c)})
	}
	direct := func(change func(*pb.Message)) func(s *stranger, alice *peer) {
		return func(s *stranger, alice *peer) { s.write(encoded(s.message(alice, 1, change))) }
	}
	tests := []struct {
		name  string
		do    func(s *stranger, alice *peer)
		words string
	}{
		{"a second handshake", func(s *stranger, alice *peer) { s.say(s.hello()) }, "a handshake after the handshake"},
		{"garbage", func(s *stranger, alice *peer) { s.sayBytes([]byte{3, 0xff, 0xff, 0xff}) }, "malformed"},
		{"a table never asked for", func(s *stranger, alice *peer) { s.say(&pb.Reconcile{Answer: true}) }, "not asked for"},

		{"a forged farewell of another", func(s *stranger, alice *peer) {
			r, _ := pb.ParseRecord(s.knows("bob"))
			r.Type, r.Addresses, r.Seq = pb.AnnouncementType_LEAVE, nil, r.GetSeq()+1
			announce(s, pb.AnnouncementType_LEAVE, s.state.Identity.SignRecord(r))
		}, "has not signed"},
		{"a forged farewell of the receiver", func(s *stranger, alice *peer) {
			r, _ := pb.ParseRecord(s.knows("alice"))
			r.Type, r.Addresses, r.Seq = pb.AnnouncementType_LEAVE, nil, r.GetSeq()+1
			announce(s, pb.AnnouncementType_LEAVE, s.state.Identity.SignRecord(r))
		}, "has not signed"},
		{"a forged loss", func(s *stranger, alice *peer) {
			r, _ := pb.ParseRecord(s.knows("bob"))
			r.Seq++
			s.say(&pb.PropagationMessage{Announcements: []*pb.Announcement{
				{Type: pb.AnnouncementType_LOST, Record: s.state.Identity.SignRecord(r), Accusers: []string{"mallory"}},
			}})
		}, "has not signed"},
		{"a farewell made of a JOIN", func(s *stranger, alice *peer) {
			announce(s, pb.AnnouncementType_LEAVE, s.knows("bob"))
		}, "does not bear out"},
		{"a peer of another network", func(s *stranger, alice *peer) {
			announce(s, pb.AnnouncementType_JOIN, s.record(func(r *pb.Record) { r.Network, r.Seq = "other", 1 }))
		}, "of another network"},

		{"a broadcast in another's name", func(s *stranger, alice *peer) {
			bob := s.knows("bob")
			r, _ := pb.ParseRecord(bob)
			broadcast(s, func(c *pb.BroadcastContent) {
				prefix := certs.MessagePrefix([32]byte(r.GetKey()), r.GetEpoch(), r.GetNonce())
				copy(c.Id, prefix[:])
				c.Sender, c.Key = "bob", r.GetKey()
			})
		}, "its author has not signed"},
		{"a broadcast of another network", func(s *stranger, alice *peer) {
			broadcast(s, func(c *pb.BroadcastContent) { c.Network = "other" })
		}, "a broadcast of another network"},

		{"a message in another's name", direct(func(m *pb.Message) { m.Sender = "bob" }), "claims another sender"},
		{"a message for another", direct(func(m *pb.Message) { m.Receiver = "bob" }), "for another peer"},
		{"a foreign message ID", direct(func(m *pb.Message) { m.Id[0]++ }), "message ID of another"},
		{"a message too long", direct(func(m *pb.Message) { m.Content = strings.Repeat("x", pb.MaxBody+1) }), "malformed"},
		{"a message ID too short", direct(func(m *pb.Message) { m.Id = m.Id[:8] }), "malformed"},
		{"a receipt among messages", func(s *stranger, alice *peer) {
			s.write(encoded(&pb.Receipt{Id: make([]byte, 16), Code: pb.ReceiptCode_DELIVERED}))
		}, "something else than messages"},
		{"garbage among messages", func(s *stranger, alice *peer) {
			s.write(append(encoded(s.message(alice, 1, nil)), 3, 0xff, 0xff, 0xff))
		}, "malformed"},
		{"a frame without end", func(s *stranger, alice *peer) {
			s.write([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		}, "malformed"},
		{"streams cut off without end", func(s *stranger, alice *peer) {
			for range delivery.MaxCutOff + 1 {
				s.write(encoded(s.message(alice, 1, nil))[:20]).Cancel(transport.CodeInternal)
			}
		}, "cut off"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				peers := w.network("alice", "bob")
				s := w.stranger("mallory")
				s.join(peers[0])
				test.do(s, peers[0])
				s.expectClosed(3*time.Second, transport.CodeProtocol, test.words)
				unimpressed(t, peers)
				for _, p := range peers {
					for _, m := range all[Message](p) {
						if m.From == "mallory" && m.Body != "x" || m.To == Everyone {
							t.Errorf("%s was shown %+v", p.ID(), clipped(m))
						}
					}
				}
			})
		})
	}
}

// A door that answers with nonsense lets no peer in, and does no harm.
func TestHostileDoor(t *testing.T) {
	welcome := func(record *pb.Signed) []proto.Message {
		return []proto.Message{&pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: record}}
	}
	tests := []struct {
		name   string
		answer func(s *stranger) []proto.Message
		words  string
	}{
		{"a question", func(s *stranger) []proto.Message { return []proto.Message{s.hello()} }, "before the handshake"},
		{"a record of another key", func(s *stranger) []proto.Message {
			other := state("other", "other").Identity
			k := other.Key()
			return welcome(other.SignRecord(&pb.Record{Type: pb.AnnouncementType_JOIN, Id: "other", Key: k[:], Epoch: 1}))
		}, "of another key"},
		{"a record of another network", func(s *stranger) []proto.Message {
			return welcome(s.record(func(r *pb.Record) { r.Network = "other" }))
		}, "of another network"},
		{"a table that it only describes", func(s *stranger) []proto.Message {
			return append(welcome(s.record(nil)), &pb.Reconcile{Answer: true, Ranges: []*pb.TableRange{{Last: math.MaxUint64}}})
		}, "not asked about"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				s := w.stranger("mallory")
				results := startAll(t.Context(), w.config("bob", "mallory"))
				s.accept(time.Second)
				s.say(test.answer(s)...)
				s.expectClosed(time.Second, transport.CodeProtocol, test.words)
				var unreachable *UnreachableError
				if r := <-results; !errors.As(r.err, &unreachable) {
					t.Errorf("Start: %v", r.err)
				}
			})
		})
	}
}
