package pb_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// signed wraps a message in a well-formed Signed.
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
		Addresses: []string{"192.0.2.1:5000", "[2001:db8::1]:5000"}, Observed: []string{"203.0.113.1:4001"}, Epoch: 1, Seq: 2, Nonce: 7,
	}
}

func goodContent() *pb.BroadcastContent {
	return &pb.BroadcastContent{Id: make([]byte, 16), Sender: "alice", Key: make([]byte, 32), Network: "net", Content: "hello", SentAt: 1}
}

func inRoom(name string) *pb.BroadcastContent {
	c := goodContent()
	c.Room = name
	return c
}

// ofKind are a message and a broadcast of a kind, about a message ID of some bytes; negative: about none.
func ofKind(kind pb.MessageKind, body string, about int) []proto.Message {
	m := &pb.Message{Id: make([]byte, 16), Sender: "alice", Receiver: "bob", Content: body, Kind: kind}
	c := goodContent()
	c.Content, c.Kind = body, kind
	if about >= 0 {
		m.About, c.About = make([]byte, about), make([]byte, about)
	}
	return []proto.Message{m, &pb.Broadcast{Content: signed(c)}}
}

func goodLetter() *pb.Letter {
	return &pb.Letter{
		Sender: "alice", Key: make([]byte, 32), SealingKey: make([]byte, 32), ReceiverKey: make([]byte, 32), Network: "net", AfterEpoch: 1, AfterCounter: 2,
		Messages: []*pb.Message{{Id: make([]byte, 16), Sender: "alice", Receiver: "bob", Content: "hello", SentAt: 1, Epoch: 1, Nonce: 7}},
		Receipts: []*pb.Receipt{{Id: make([]byte, 16), Code: pb.ReceiptCode_DELIVERED}},
	}
}

func goodCollected() *pb.CollectedContent {
	return &pb.CollectedContent{Key: make([]byte, 32), Deposits: slices.Repeat([][]byte{make([]byte, pb.DepositIDSize)}, pb.MaxLetter)}
}

// wellFormed has one message of each kind.
func wellFormed() []*pb.PeerMessage {
	join := &pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: signed(goodRecord()), Hops: 1, Age: 3600, Broadcasts: 7}
	lost := &pb.Announcement{Type: pb.AnnouncementType_LOST, Record: signed(goodRecord()), Accusers: []string{"bob", "carol"}}
	routed := func(m *pb.Routed) *pb.Routed {
		m.From, m.To, m.Passed, m.Parents = "alice", "bob", []string{"alice", "carol", "dave"}, []byte{0, 0, 1}
		return m
	}
	var list []*pb.PeerMessage
	for _, m := range []proto.Message{
		&pb.Message{Id: make([]byte, 16), Sender: "alice", Receiver: "bob", Content: "hello", SentAt: 1},
		&pb.Message{Id: make([]byte, 16), Sender: "alice", Receiver: "bob", Data: []byte("\xff\x00"), WantsReply: true, ReplyTo: make([]byte, 16)},
		&pb.Message{Id: make([]byte, 16), Sender: "alice", Receiver: "bob", Data: []byte{}},
		&pb.Receipt{Id: make([]byte, 16), Code: pb.ReceiptCode_DELIVERED},
		&pb.HandshakeStart{Version: 1, Network: "net", Id: "alice", Record: signed(goodRecord()), Software: "test"},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(goodRecord())},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_FULL, Reason: "full", Candidates: []*pb.Signed{signed(goodRecord())}},
		&pb.PropagationMessage{Announcements: []*pb.Announcement{join, lost}},
		&pb.Neighbour{Type: pb.NeighbourType_REQUEST, Priority: true},
		&pb.Neighbour{Type: pb.NeighbourType_ACCEPT},
		&pb.Neighbour{Type: pb.NeighbourType_END},
		&pb.NeighbourList{},
		&pb.NeighbourList{Ids: slices.Repeat([]string{"carol"}, pb.MaxNeighbours)},
		&pb.Routes{},
		&pb.Routes{Peers: make([]uint32, pb.MaxRoutes), Hops: make([]byte, pb.MaxRoutes)},
		&pb.Reconcile{Ranges: tableRanges(1, 1, pb.RangeKind_HELD, pb.MaxHashes)},
		&pb.Reconcile{Ranges: tableRanges(pb.MaxTableRanges-1, 0, pb.RangeKind_OPEN, 0)},
		&pb.Reconcile{Ranges: tableRanges(1, pb.MaxHashes, pb.RangeKind_FINGERPRINTS, pb.MaxHashes)},
		&pb.Reconcile{Ranges: []*pb.TableRange{{Last: math.MaxUint64, Kind: pb.RangeKind_FINGERPRINTS, Hashes: []uint64{1}}}},
		&pb.Reconcile{Answer: true, Ranges: tableRanges(pb.MaxTableRanges, 16, pb.RangeKind_FINGERPRINTS, pb.MaxHashes)},
		&pb.Reconcile{Answer: true, Ranges: tableRanges(2, 0, 99, 3)},
		&pb.Reconcile{Answer: true, Announcements: []*pb.Announcement{join}},
		&pb.Reconcile{Answer: true},
		routed(&pb.Routed{Content: &pb.Routed_Question{Question: &pb.Question{Subject: make([]byte, 32), Id: "eve", Epoch: 1, Seq: 2}}}),
		routed(&pb.Routed{Content: &pb.Routed_Answer{Answer: &pb.Answer{Subject: make([]byte, 32), Epoch: 1, Fresh: true}}}),
		routed(&pb.Routed{Content: &pb.Routed_Answer{Answer: &pb.Answer{Subject: make([]byte, 32), Epoch: 1}}}),
		routed(&pb.Routed{Content: &pb.Routed_Ping{Ping: &pb.Ping{Number: 1, Key: make([]byte, 32)}}}),
		routed(&pb.Routed{Content: &pb.Routed_Pong{Pong: &pb.Ping{Number: 1, Key: make([]byte, 32)}}}),
		routed(&pb.Routed{Content: &pb.Routed_Envelope{Envelope: &pb.Envelope{Number: 1, Parts: 1, Sealed: []byte("x")}}}),
		routed(&pb.Routed{Content: &pb.Routed_Envelope{Envelope: &pb.Envelope{Part: pb.MaxParts - 1, Parts: pb.MaxParts, Sealed: make([]byte, pb.MaxPart)}}}),
		routed(&pb.Routed{Content: &pb.Routed_Carried{Carried: make([]byte, pb.MaxCarried)}}),
		routed(&pb.Routed{Content: &pb.Routed_Collected{Collected: &pb.Collected{Content: signed(goodCollected()), Receipts: make([]byte, pb.MaxDeposit)}}}),
		routed(&pb.Routed{Content: &pb.Routed_Collected{Collected: &pb.Collected{Content: signed(goodCollected())}}}),
		routed(&pb.Routed{Content: &pb.Routed_Withdraw{Withdraw: &pb.Withdraw{Content: signed(goodCollected()), Number: 1}}}),
		routed(&pb.Routed{Content: &pb.Routed_Withdrawn{Withdrawn: &pb.Withdrawn{Number: 1}}}),
		&pb.LinkPing{Number: 1},
		&pb.LinkPong{},
		&pb.Deposit{Receiver: "bob", ReceiverKey: make([]byte, 32), Sealed: make([]byte, pb.MaxDeposit)},
		&pb.Observed{Address: "203.0.113.1:4001"},
		routed(&pb.Routed{Content: &pb.Routed_Connect{Connect: &pb.Connect{Number: 1, Key: make([]byte, 32)}}}),
		routed(&pb.Routed{Content: &pb.Routed_Sync{Sync: &pb.Sync{Number: 1, Id: "bob", Key: make([]byte, 32), Observed: []string{"[2001:db8::1]:4001", "x", "", "quic://relay.example/bob"}}}}),
		&pb.Sync{Id: "bob", Key: make([]byte, 32), After: pb.MaxAfter},
		&pb.DepositAnswer{Deposit: make([]byte, pb.DepositIDSize), Kept: true},
		&pb.DepositAnswer{Deposit: make([]byte, pb.DepositIDSize), Reason: strings.Repeat("x", pb.MaxReason)},
		&pb.Broadcast{Content: signed(goodContent()), Hops: 2},
		&pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{{Author: 1, Run: 2, First: 1, Last: pb.MaxNumber}}},
		&pb.BroadcastsWanted{Ranges: slices.Repeat([]*pb.BroadcastRange{{First: 3, Last: 3}}, pb.MaxRanges)},
		&pb.Broadcast{Content: signed(inRoom("#" + strings.Repeat("a", pb.MaxRoom)))},
		&pb.PastWanted{Room: "*"},
		&pb.PastWanted{Room: "#dev", Have: make([]uint64, pb.MaxHave)},
		&pb.PastGiven{Room: "#dev", Broadcasts: slices.Repeat([]*pb.Signed{signed(inRoom("#dev"))}, pb.MaxPast), Passes: make([]*pb.Pass, pb.MaxPasses), End: true},
		&pb.PastGiven{Room: "*", Broadcasts: []*pb.Signed{{Payload: make([]byte, 70<<10)}}}, // somebody else has made it
	} {
		list = append(list, pb.Wrap(m))
	}
	for _, kind := range [][]proto.Message{
		ofKind(pb.MessageKind_ACTION, "waves", -1),
		ofKind(pb.MessageKind_EDIT, "better", pb.MessageIDSize),
		ofKind(pb.MessageKind_DELETE, "", pb.MessageIDSize),
		ofKind(pb.MessageKind_REACTION, strings.Repeat("x", pb.MaxReaction), pb.MessageIDSize),
		ofKind(99, strings.Repeat("x", pb.MaxReaction+1), 3), // of tomorrow
		{&pb.Message{Id: make([]byte, 16), Sender: "alice", Receiver: "bob", Data: []byte("x"), Kind: 99}},
	} {
		for _, m := range kind {
			list = append(list, pb.Wrap(m))
		}
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

// judge reports what is wrong with a content, in the view of the gate or of the code that
// opens its parts.
func judge(m proto.Message) error {
	if err := pb.Check(pb.Wrap(m)); err != nil {
		return err
	}
	switch m := m.(type) {
	case *pb.PropagationMessage:
		for _, a := range m.GetAnnouncements() {
			if err := pb.CheckAnnouncement(a); err != nil {
				return err
			}
		}
	case *pb.Reconcile:
		for _, a := range m.GetAnnouncements() {
			if err := pb.CheckAnnouncement(a); err != nil {
				return err
			}
		}
	case *pb.Broadcast:
		_, err := pb.ParseBroadcast(m.GetContent())
		return err
	case *pb.Routed:
		_, err := pb.OpenRouted(m)
		return err
	}
	return nil
}

func TestCheckRefuses(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	big := &pb.Signed{Payload: make([]byte, 70<<10), Signature: make([]byte, 64)}
	short := &pb.Signed{Payload: []byte("x"), Signature: make([]byte, 63)}
	announce := func(a *pb.Announcement) *pb.PropagationMessage {
		return &pb.PropagationMessage{Announcements: []*pb.Announcement{a}}
	}
	good := &pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: signed(goodRecord())}
	lost := func(accusers ...string) *pb.PropagationMessage {
		return announce(&pb.Announcement{Type: pb.AnnouncementType_LOST, Record: good.Record, Accusers: accusers})
	}
	key := make([]byte, 32)
	routed := func(change func(*pb.Routed)) *pb.Routed {
		m := &pb.Routed{
			From: "a", To: "b", Passed: []string{"a", "c"}, Parents: []byte{0, 0},
			Content: &pb.Routed_Ping{Ping: &pb.Ping{Number: 1, Key: make([]byte, 32)}},
		}
		change(m)
		return m
	}
	answer := func(a *pb.Answer) *pb.Routed {
		return routed(func(m *pb.Routed) { m.Content = &pb.Routed_Answer{Answer: a} })
	}
	envelope := func(e *pb.Envelope) *pb.Routed {
		return routed(func(m *pb.Routed) { m.Content = &pb.Routed_Envelope{Envelope: e} })
	}
	collected := func(c *pb.Collected) *pb.Routed {
		return routed(func(m *pb.Routed) { m.Content = &pb.Routed_Collected{Collected: c} })
	}
	question := func(q *pb.Question) *pb.Routed {
		return routed(func(m *pb.Routed) { m.Content = &pb.Routed_Question{Question: q} })
	}
	for _, m := range []proto.Message{
		&pb.Message{Id: make([]byte, 15), Sender: "a", Receiver: "b"},
		&pb.Message{Id: make([]byte, 16), Receiver: "b"},
		&pb.Message{Id: make([]byte, 16), Sender: "a", Receiver: "b c"},
		&pb.Message{Id: make([]byte, 16), Sender: "a", Receiver: "b", Content: long(pb.MaxBody + 1)},
		&pb.Message{Id: make([]byte, 16), Sender: "a", Receiver: "b", Data: make([]byte, pb.MaxBody+1)},
		&pb.Message{Id: make([]byte, 16), Sender: "a", Receiver: "b", Content: "a", Data: []byte{}},
		&pb.Message{Id: make([]byte, 16), Sender: "a", Receiver: "b", ReplyTo: make([]byte, 15)},
		&pb.Message{Id: make([]byte, 16), Sender: "a", Receiver: "b", ReplyTo: make([]byte, 17)},
		&pb.Receipt{Code: pb.ReceiptCode_DELIVERED},
		&pb.Receipt{Id: make([]byte, 16), Code: pb.ReceiptCode_REJECTED, Reason: long(pb.MaxReason + 1)},
		&pb.HandshakeStart{Version: 1},
		&pb.HandshakeStart{Version: 1, Record: short},
		&pb.HandshakeStart{Version: 1, Record: big},
		&pb.HandshakeStart{Version: 1, Record: signed(goodRecord()), Network: long(65)},
		&pb.HandshakeStart{Version: 1, Record: signed(goodRecord()), Id: long(4*64 + 1)},
		&pb.HandshakeStart{Version: 1, Record: signed(goodRecord()), Software: long(65)},
		&pb.HandshakeStart{Version: 1, Record: signed(goodRecord()), Broadcasts: pb.MaxNumber + 1},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(goodRecord()), Broadcasts: pb.MaxNumber + 1},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_OK},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: short},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_FULL, Candidates: make([]*pb.Signed, 9)},
		&pb.HandshakeResponse{Code: pb.HandshakeCode_FULL, Reason: long(pb.MaxReason + 1)},
		&pb.PropagationMessage{},
		&pb.PropagationMessage{Announcements: slices.Repeat([]*pb.Announcement{good}, pb.MaxAnnouncements+1)},
		announce(&pb.Announcement{Record: good.Record}),
		announce(&pb.Announcement{Type: 5, Record: good.Record}),
		announce(&pb.Announcement{Type: pb.AnnouncementType_JOIN}),
		announce(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: big}),
		announce(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: good.Record, Hops: pb.MaxHops + 1}),
		lost(),
		lost("a", "b", "c"),
		lost("a", ""),
		lost("a b"),
		lost(long(65)),
		&pb.NeighbourList{Ids: []string{""}},
		&pb.NeighbourList{Ids: slices.Repeat([]string{"a"}, pb.MaxNeighbours+1)},
		&pb.Routes{Peers: make([]uint32, 2), Hops: make([]byte, 1)},
		&pb.Routes{Hops: make([]byte, 1)},
		&pb.Routes{Peers: make([]uint32, pb.MaxRoutes+1), Hops: make([]byte, pb.MaxRoutes+1)},
		&pb.Reconcile{},
		&pb.Reconcile{Ranges: tableRanges(pb.MaxTableRanges, 0, pb.RangeKind_HELD, 0)},
		&pb.Reconcile{Ranges: tableRanges(pb.MaxTableRanges/16, 16, pb.RangeKind_FINGERPRINTS, 16)},
		&pb.Reconcile{Ranges: tableRanges(1, 1, pb.RangeKind_HELD, pb.MaxHashes+1)},
		&pb.Reconcile{Ranges: tableRanges(1, 1, pb.RangeKind_WANTED, pb.MaxHashes+1)},
		&pb.Reconcile{Ranges: tableRanges(1, 1, 99, pb.MaxHashes+1)},
		&pb.Reconcile{Ranges: tableRanges(1, 20, pb.RangeKind_FINGERPRINTS, pb.MaxHashes+1)},
		&pb.Reconcile{Ranges: tableRanges(1, 20, pb.RangeKind_FINGERPRINTS, 0)},
		&pb.Reconcile{Ranges: tableRanges(1, 3, pb.RangeKind_FINGERPRINTS, 4)},
		&pb.Reconcile{Ranges: []*pb.TableRange{{First: 2, Last: 1}}},
		&pb.Reconcile{Ranges: []*pb.TableRange{{First: 5, Last: 9}, {First: 9, Last: 10}}},
		&pb.Reconcile{Ranges: []*pb.TableRange{{First: 5, Last: 9}, {First: 1, Last: 2}}},
		&pb.Reconcile{Ranges: tableRanges(1, 1, pb.RangeKind_HELD, 1), Announcements: []*pb.Announcement{good}},
		&pb.Reconcile{Announcements: []*pb.Announcement{good}},
		&pb.Reconcile{Answer: true, Ranges: tableRanges(1, 1, pb.RangeKind_HELD, 1), Announcements: []*pb.Announcement{good}},
		&pb.Reconcile{Answer: true, Ranges: tableRanges(pb.MaxTableRanges+1, 0, pb.RangeKind_OPEN, 0)},
		&pb.Reconcile{Answer: true, Announcements: slices.Repeat([]*pb.Announcement{good}, pb.MaxAnnouncements+1)},
		routed(func(m *pb.Routed) { m.Content = nil }),
		routed(func(m *pb.Routed) { m.From = "" }),
		routed(func(m *pb.Routed) { m.To = "b c" }),
		routed(func(m *pb.Routed) { m.Passed[1] = "" }),
		routed(func(m *pb.Routed) { m.Parents = m.Parents[:1] }),
		routed(func(m *pb.Routed) { m.Parents = []byte{0, 2} }),
		routed(func(m *pb.Routed) { m.Parents = []byte{1, 0} }),
		routed(func(m *pb.Routed) {
			m.Passed, m.Parents = slices.Repeat([]string{"a"}, pb.MaxPassed+1), make([]byte, pb.MaxPassed+1)
		}),
		question(&pb.Question{Subject: key[:31], Id: "a"}),
		question(&pb.Question{Subject: key}),
		routed(func(m *pb.Routed) { m.Content = &pb.Routed_Ping{Ping: &pb.Ping{Number: 1}} }),
		routed(func(m *pb.Routed) { m.Content = &pb.Routed_Pong{Pong: &pb.Ping{Key: key[:31]}} }),
		envelope(nil),
		envelope(&pb.Envelope{Sealed: []byte("x")}),
		envelope(&pb.Envelope{Parts: 1}),
		envelope(&pb.Envelope{Part: 1, Parts: 1, Sealed: []byte("x")}),
		envelope(&pb.Envelope{Parts: pb.MaxParts + 1, Sealed: []byte("x")}),
		envelope(&pb.Envelope{Parts: 1, Sealed: make([]byte, pb.MaxPart+1)}),
		routed(func(m *pb.Routed) {
			m.Content = &pb.Routed_Carried{Carried: make([]byte, pb.MaxCarried+1)}
		}),
		collected(nil),
		collected(&pb.Collected{Content: short}),
		collected(&pb.Collected{Content: big}),
		routed(func(m *pb.Routed) { m.Content = &pb.Routed_Withdraw{Withdraw: &pb.Withdraw{Content: big}} }),
		routed(func(m *pb.Routed) { m.Content = &pb.Routed_Withdraw{Withdraw: &pb.Withdraw{}} }),
		collected(&pb.Collected{Content: signed(goodCollected()), Receipts: make([]byte, pb.MaxDeposit+1)}),
		&pb.Deposit{},
		&pb.Deposit{Receiver: "b", ReceiverKey: key},
		&pb.Deposit{Receiver: "b c", ReceiverKey: key, Sealed: key},
		&pb.Deposit{Receiver: "b", ReceiverKey: key[:31], Sealed: key},
		&pb.Deposit{Receiver: "b", ReceiverKey: key, Sealed: make([]byte, pb.MaxDeposit+1)},
		&pb.DepositAnswer{},
		&pb.DepositAnswer{Deposit: key},
		&pb.DepositAnswer{Deposit: key[:pb.DepositIDSize], Reason: long(pb.MaxReason + 1)},
		answer(&pb.Answer{Fresh: true}),
		answer(&pb.Answer{Subject: key[:31]}),
		announce(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: good.Record, Broadcasts: pb.MaxNumber + 1}),
		&pb.BroadcastsHeld{},
		&pb.BroadcastsHeld{Ranges: slices.Repeat([]*pb.BroadcastRange{{First: 1, Last: 1}}, pb.MaxRanges+1)},
		&pb.BroadcastsHeld{Ranges: []*pb.BroadcastRange{{Last: 1}}},
		&pb.BroadcastsWanted{},
		&pb.BroadcastsWanted{Ranges: []*pb.BroadcastRange{{First: 1, Last: 1}, {First: 2, Last: 1}}},
		&pb.BroadcastsWanted{Ranges: []*pb.BroadcastRange{{First: 1, Last: pb.MaxNumber + 1}}},
		&pb.PastWanted{},
		&pb.PastWanted{Room: "dev"},
		&pb.PastWanted{Room: "#Dev"},
		&pb.PastWanted{Room: "*", Have: make([]uint64, pb.MaxHave+1)},
		&pb.PastGiven{},
		&pb.PastGiven{Room: "#"},
		&pb.PastGiven{Room: "*", Broadcasts: make([]*pb.Signed, pb.MaxPast+1)},
		&pb.PastGiven{Room: "*", Passes: make([]*pb.Pass, pb.MaxPasses+1)},
		&pb.Broadcast{Content: signed(inRoom("*"))},
		&pb.Broadcast{Content: signed(inRoom("#Dev"))},
		&pb.Broadcast{Content: signed(inRoom("#" + strings.Repeat("a", pb.MaxRoom+1)))},
		&pb.Broadcast{},
		&pb.Broadcast{Content: big},
		&pb.Broadcast{Content: signed(goodContent()), Hops: pb.MaxHops + 1},
	} {
		if err := judge(m); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%T %.100v: %v", m, m, err)
		}
	}
	mixed := pb.Wrap(&pb.Neighbour{Type: pb.NeighbourType_REQUEST})
	mixed.Type = pb.PeerMessageType_SYNC
	for _, m := range []*pb.PeerMessage{{}, mixed} {
		if err := pb.Check(m); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%v: %v", m, err)
		}
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

// tableRanges are so many ranges of one kind, each with so many hashes and from first to
// first+width.
func tableRanges(n int, width uint64, kind pb.RangeKind, hashes int) (list []*pb.TableRange) {
	for i := range uint64(n) {
		first := i * (width + 1)
		list = append(list, &pb.TableRange{First: first, Last: first + width, Kind: kind, Hashes: make([]uint64, hashes)})
	}
	return list
}
