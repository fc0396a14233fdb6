package overlay

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
	"quicpeer/transport"
)

// invented is a field that no version knows.
func invented(number protowire.Number, size int) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), make([]byte, size))
}

// inventedFrame is a frame that no version knows.
func inventedFrame(size int) []byte {
	b := append(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 900), invented(901, size)...)
	return append(protowire.AppendVarint(nil, uint64(len(b))), b...)
}

// inventions are frames of a future version on a control stream.
func inventions(from *peer, to certs.ID) []byte {
	unreadable := &pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: &pb.Signed{Payload: make([]byte, 5000), Signature: make([]byte, 3309)}}
	routed := &pb.Routed{From: string(from.ID()), To: string(to), Passed: []string{string(from.ID())}, Parents: []byte{0}}
	routed.ProtoReflect().SetUnknown(invented(902, 1000))
	neighbour := &pb.Neighbour{Type: 99}
	neighbour.ProtoReflect().SetUnknown(invented(903, 10))
	frames := inventedFrame(5000)
	for _, content := range []proto.Message{
		neighbour, routed, &pb.Observed{Address: "quic://relay.example/x"},
		&pb.PropagationMessage{Announcements: []*pb.Announcement{unreadable, {Type: 99}}},
		&pb.Broadcast{Content: unreadable.Record},
	} {
		frames = append(frames, encoded(content)...)
	}
	return append(frames, inventedFrame(0)...)
}

// A peer that speaks a future version lives among ordinary ones for an hour, with unknown
// fields and frames on control streams, on message streams, and in the midst of its messages.
// No link is cut off, and all messages arrive.
func TestLongLifeOfANewerPeer(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		rounds := enough(60, 3)
		peers := w.network("alice", "bob", "carol", "newer")
		newer := peers[len(peers)-1]
		done := make(chan struct{})
		var inventing sync.WaitGroup
		inventing.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				case <-time.After(3 * time.Second):
				}
				links := make(chan []*transport.Link, 1)
				newer.post(onLoop(func(l *loop) {
					var list []*transport.Link
					for _, nl := range l.links.all {
						_ = nl.Send(inventions(newer, peers[i%3].ID())) // it may be ending
						list = append(list, nl.Link.Link)
					}
					links <- list
				}))
				for _, l := range <-links {
					stream := l.TryOpenStream()
					if stream == nil {
						continue
					}
					_ = stream.Write(inventedFrame(100)) // its link may be ending
					_ = stream.CloseWrite()
					inventing.Go(func() { _, _ = stream.Read(pb.MaxControlFrame) })
				}
			}
		})
		want := 0
		for round := range rounds {
			for _, p := range peers {
				for _, q := range peers {
					if p != q {
						p.send(q.ID(), fmt.Sprint(p.ID(), round))
					}
				}
				if _, err := p.Broadcast(t.Context(), fmt.Sprint("all", round), ""); err != nil {
					t.Fatal(err)
				}
			}
			want += 2 * (len(peers) - 1)
			time.Sleep(time.Minute)
		}
		close(done)
		for _, p := range peers {
			p.eventually(10*time.Second, "all messages came", func() bool { return len(all[Message](p)) == want })
			p.eventually(10*time.Second, "all are delivered", func() bool { return len(all[Delivered](p)) == want/2 })
			if gone := all[PeerLeft](p); len(gone) != 0 {
				t.Errorf("%s was told of %v", p.ID(), gone)
			}
		}
		inventing.Wait()
		if strings.Contains(w.log.String(), brokenProtocol) {
			t.Error("somebody is said to break the protocol")
		}
	})
}
