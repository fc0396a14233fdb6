package pb_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// signed is a Signed in good form around a message.
func signed(m proto.Message) *pb.Signed {
	payload, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return &pb.Signed{Payload: payload, Signature: make([]byte, 64)}
}

func goodRecord() *pb.Record {
	return &pb.Record{
		Type: pb.AnnouncementType_JOIN, Id: "alice", Key: make([]byte, 32), Network: "net",
		Addresses: []string{"192.0.2.1:5000", "[2001:db8::1]:5000"}, Epoch: 1, Seq: 2,
	}
}

func goodContent() *pb.BroadcastContent {
	return &pb.BroadcastContent{Id: make([]byte, 16), Sender: "alice", Key: make([]byte, 32), Network: "net", Content: "hello", SentAt: 1}
}

// wellFormed is one of each kind of message.
func wellFormed() []*pb.PeerMessage {
	join := &pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: signed(goodRecord()), Hops: 1}
	var list []*pb.PeerMessage
	for _, m := range []proto.Message{
		&pb.Message{Id: make([]byte, 16), Sender: "alice", Receiver: "bob", Content: "hello", SentAt: 1},
		&pb.Receipt{Id: make([]byte, 16), Code: pb.ReceiptCode_DELIVERED},
		&pb.HandshakeStart{Version: 1, Network: "net", Id: "alice", Record: signed(goodRecord()), Software: "test"},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(goodRecord())},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_FULL, Reason: "full", Candidates: []*pb.Signed{signed(goodRecord())}},
		&pb.PropagationMessage{Announcements: []*pb.Announcement{join}},
		&pb.Neighbour{Type: pb.NeighbourType_REQUEST},
		&pb.SyncRequest{Digest: make([]byte, 32)},
		&pb.SyncRequest{AfterId: "alice", AfterKey: make([]byte, 32)},
		&pb.SyncReply{Announcements: []*pb.Announcement{join}, Done: true},
		&pb.SyncReply{Done: true},
		&pb.Broadcast{Content: signed(goodContent()), Hops: 2},
	} {
		list = append(list, pb.Wrap(m))
	}
	return list
}

func TestCheckAccepts(t *testing.T) {
	for _, m := range wellFormed() {
		if err := pb.Check(m); err != nil {
			t.Errorf("%v: %v", m, err)
		}
		frame, err := pb.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := pb.Read(bufio.NewReader(bytes.NewReader(frame)), pb.MaxControlFrame)
		if err != nil || !proto.Equal(m, again) {
			t.Errorf("%v is read as %v: %v", m, again, err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	big := &pb.Signed{Payload: make([]byte, 70<<10), Signature: make([]byte, 64)}
	short := &pb.Signed{Payload: []byte("x"), Signature: make([]byte, 63)}
	announce := func(a *pb.Announcement) *pb.PropagationMessage {
		return &pb.PropagationMessage{Announcements: []*pb.Announcement{a}}
	}
	good := &pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: signed(goodRecord())}
	for _, m := range []proto.Message{
		&pb.Message{Id: make([]byte, 15), Sender: "a", Receiver: "b"},
		&pb.Message{Id: make([]byte, 16), Receiver: "b"},
		&pb.Message{Id: make([]byte, 16), Sender: "a", Receiver: "b c"},
		&pb.Message{Id: make([]byte, 16), Sender: "a", Receiver: "b", Content: long(pb.MaxBody + 1)},
		&pb.Receipt{Code: pb.ReceiptCode_DELIVERED},
		&pb.Receipt{Id: make([]byte, 16)},
		&pb.Receipt{Id: make([]byte, 16), Code: 99},
		&pb.Receipt{Id: make([]byte, 16), Code: pb.ReceiptCode_REJECTED, Reason: long(pb.MaxReason + 1)},
		&pb.HandshakeStart{},
		&pb.HandshakeStart{Record: short},
		&pb.HandshakeStart{Record: big},
		&pb.HandshakeStart{Record: signed(goodRecord()), Network: long(65)},
		&pb.HandshakeStart{Record: signed(goodRecord()), Id: long(4*64 + 1)},
		&pb.HandshakeStart{Record: signed(goodRecord()), Software: long(65)},
		&pb.HandshakeResponse{},
		&pb.HandshakeResponse{Code: 99},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_OK},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_STALE},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_DUPLICATE_ID, Record: short},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_FULL, Candidates: make([]*pb.Signed, 9)},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_FULL, Candidates: []*pb.Signed{short}},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_FULL, Reason: long(pb.MaxReason + 1)},
		&pb.PropagationMessage{},
		&pb.PropagationMessage{Announcements: slicesRepeat(good, pb.MaxAnnouncements+1)},
		announce(&pb.Announcement{Record: good.Record}),
		announce(&pb.Announcement{Type: 4, Record: good.Record}),
		announce(&pb.Announcement{Type: pb.AnnouncementType_JOIN}),
		announce(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: big}),
		announce(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: good.Record, Hops: pb.MaxHops + 1}),
		&pb.Neighbour{},
		&pb.Neighbour{Type: 4},
		&pb.Neighbour{Type: -1},
		&pb.SyncRequest{Digest: make([]byte, 31)},
		&pb.SyncRequest{AfterId: "a"},
		&pb.SyncRequest{AfterKey: make([]byte, 32)},
		&pb.SyncRequest{Digest: make([]byte, 32), AfterId: "alice", AfterKey: make([]byte, 32)},
		&pb.SyncReply{Announcements: slicesRepeat(good, pb.MaxAnnouncements+1)},
		&pb.Broadcast{},
		&pb.Broadcast{Content: big},
		&pb.Broadcast{Content: signed(goodContent()), Hops: pb.MaxHops + 1},
	} {
		if err := pb.Check(pb.Wrap(m)); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%T %.100v: %v", m, m, err)
		}
	}
	mixed := pb.Wrap(&pb.Neighbour{Type: pb.NeighbourType_REQUEST})
	mixed.Type = pb.PeerMessageType_SYNC
	for _, m := range []*pb.PeerMessage{{}, {Type: pb.PeerMessageType_MESSAGE}, mixed} {
		if err := pb.Check(m); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%v: %v", m, err)
		}
	}
}

func slicesRepeat(a *pb.Announcement, n int) []*pb.Announcement {
	list := make([]*pb.Announcement, n)
	for i := range list {
		list[i] = a
	}
	return list
}

func TestParseRecord(t *testing.T) {
	for i, change := range []func(*pb.Record){
		func(r *pb.Record) { r.Type = pb.AnnouncementType_LOST },
		func(r *pb.Record) { r.Type = 0 },
		func(r *pb.Record) { r.Id = "" },
		func(r *pb.Record) { r.Id = "a/b" },
		func(r *pb.Record) { r.Key = r.Key[:31] },
		func(r *pb.Record) { r.Network = "a\nb" },
		func(r *pb.Record) { r.Addresses = append(r.Addresses, "host:5000") },
		func(r *pb.Record) { r.Addresses = append(r.Addresses, "192.0.2.1:0") },
		func(r *pb.Record) { r.Addresses = append(r.Addresses, "192.0.2.1:70000") },
		func(r *pb.Record) { r.Addresses = make([]string, pb.MaxAddresses+1) },
		func(r *pb.Record) { r.Epoch = 0 },
	} {
		r := goodRecord()
		change(r)
		if _, err := pb.ParseRecord(signed(r)); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%d: %v is accepted: %v", i, r, err)
		}
	}
	if r, err := pb.ParseRecord(signed(goodRecord())); err != nil || !proto.Equal(r, goodRecord()) {
		t.Errorf("%v: %v", r, err)
	}
	if _, err := pb.ParseRecord(&pb.Signed{Payload: []byte{0xff}}); !errors.Is(err, pb.ErrMalformed) {
		t.Errorf("nonsense: %v", err)
	}
}

func TestParseBroadcast(t *testing.T) {
	for i, change := range []func(*pb.BroadcastContent){
		func(c *pb.BroadcastContent) { c.Id = nil },
		func(c *pb.BroadcastContent) { c.Sender = "a b" },
		func(c *pb.BroadcastContent) { c.Key = nil },
		func(c *pb.BroadcastContent) { c.Network = strings.Repeat("n", 65) },
		func(c *pb.BroadcastContent) { c.Content = strings.Repeat("x", pb.MaxBroadcast+1) },
	} {
		c := goodContent()
		change(c)
		if _, err := pb.ParseBroadcast(signed(c)); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%d: accepted: %v", i, err)
		}
	}
	if c, err := pb.ParseBroadcast(signed(goodContent())); err != nil || !proto.Equal(c, goodContent()) {
		t.Errorf("%v: %v", c, err)
	}
}

// TestLargestFrames: the largest broadcast and the largest table piece of small
// records fit into a control frame, the largest message into a message frame.
func TestLargestFrames(t *testing.T) {
	c := goodContent()
	c.Sender, c.Network, c.Content = strings.Repeat("s", 64), strings.Repeat("n", 64), strings.Repeat("x", pb.MaxBroadcast)
	m := &pb.Message{
		Id: make([]byte, 16), Sender: strings.Repeat("s", 64), Receiver: strings.Repeat("r", 64),
		Content: strings.Repeat("x", pb.MaxBody), SentAt: -1,
	}
	for limit, content := range map[int]proto.Message{
		pb.MaxControlFrame: &pb.Broadcast{Content: signed(c), Hops: pb.MaxHops}, pb.MaxMessageFrame: m,
	} {
		frame, err := pb.Append(nil, pb.Wrap(content))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pb.Read(bufio.NewReader(bytes.NewReader(frame)), limit); err != nil {
			t.Errorf("%T: %v", content, err)
		}
		if _, err := pb.Read(bufio.NewReader(bytes.NewReader(frame)), len(frame)/2); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%T above the limit: %v", content, err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	frame, err := pb.Append(nil, wellFormed()[0])
	if err != nil {
		t.Fatal(err)
	}
	broken := fmt.Errorf("the line is dead")
	for n := range frame {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if _, err := pb.Read(bufio.NewReader(bytes.NewReader(frame[:n])), pb.MaxControlFrame); err != want {
			t.Errorf("%d bytes of %d: %v", n, len(frame), err)
		}
		stream := io.MultiReader(bytes.NewReader(frame[:n]), &failing{broken})
		if _, err := pb.Read(bufio.NewReader(stream), pb.MaxControlFrame); err != broken {
			t.Errorf("%d bytes of %d, then an error: %v", n, len(frame), err)
		}
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }
