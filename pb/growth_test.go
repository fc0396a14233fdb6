package pb_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// invented is field 999 with some bytes in it.
func invented(size int) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 999, protowire.BytesType), make([]byte, size))
}

// withUnknown is a message with an invented field.
func withUnknown[M proto.Message](m M) M {
	m = proto.CloneOf(m)
	m.ProtoReflect().SetUnknown(invented(3))
	return m
}

// framed puts the length before the bytes of a frame.
func framed(b []byte) []byte { return append(protowire.AppendVarint(nil, uint64(len(b))), b...) }

func read(b []byte) (*pb.PeerMessage, error) {
	return pb.Read(bufio.NewReader(bytes.NewReader(b)), pb.MaxControlFrame)
}

// TestUnknownFrames: a frame of an unknown type or content is skipped, and the next one is
// read; a frame without type and content is malformed.
func TestUnknownFrames(t *testing.T) {
	kind := func(number int32) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(number))
	}
	good, err := pb.Append(nil, wellFormed()[0])
	if err != nil {
		t.Fatal(err)
	}
	known, err := proto.Marshal(&pb.PeerMessage{Content: wellFormed()[5].GetContent()})
	if err != nil {
		t.Fatal(err)
	}
	for name, frame := range map[string][]byte{
		"a new content of a known type": append(kind(int32(pb.PeerMessageType_REACH)), invented(100)...),
		"a new content of a new type":   append(kind(900), invented(100)...),
		"a new type alone":              kind(900),
		"a known content of a new type": append(kind(900), known...),
	} {
		r := bufio.NewReader(bytes.NewReader(slices.Concat(framed(frame), good)))
		var unknown *pb.UnknownError
		if _, err := pb.Read(r, pb.MaxControlFrame); !errors.As(err, &unknown) || unknown.Bytes != len(frame) {
			t.Errorf("%s: %v", name, err)
		}
		if m, err := pb.Read(r, pb.MaxControlFrame); err != nil || !proto.Equal(m, wellFormed()[0]) {
			t.Errorf("%s, and what follows: %v, %v", name, m, err)
		}
		if _, err := pb.Read(r, pb.MaxControlFrame); err != io.EOF {
			t.Errorf("%s, and the end: %v", name, err)
		}
	}
	for name, frame := range map[string][]byte{"nothing": nil, "an invented field alone": invented(3), "a known content without its type": known} {
		if _, err := read(framed(frame)); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnknownFields: unknown fields are removed from things that are kept and passed on, and
// stay in a routed frame until its receiver opens it.
func TestUnknownFields(t *testing.T) {
	a := withUnknown(&pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: withUnknown(signed(goodRecord()))})
	routed := &pb.Routed{
		From: "a", To: "b", Passed: []string{"a"}, Parents: []byte{0},
		Content: &pb.Routed_Answer{Answer: withUnknown(&pb.Answer{Subject: make([]byte, 32)})},
	}
	for _, content := range []proto.Message{&pb.PropagationMessage{Announcements: []*pb.Announcement{a}}, withUnknown(routed)} {
		frame, err := pb.Append(nil, pb.Wrap(content))
		if err != nil {
			t.Fatal(err)
		}
		m, err := read(frame)
		if err != nil {
			t.Fatal(err)
		}
		if p := m.GetPropagation(); p != nil && (len(p.Announcements[0].ProtoReflect().GetUnknown())+len(p.Announcements[0].Record.ProtoReflect().GetUnknown()) > 0) {
			t.Errorf("an announcement keeps unknown fields")
		}
		r := m.GetRouted()
		if r == nil {
			continue
		}
		if !proto.Equal(r, content) {
			t.Errorf("what is routed is not carried as it came: %v", r)
		}
		opened, err := pb.OpenRouted(r)
		if err != nil || !proto.Equal(opened.GetAnswer(), &pb.Answer{Subject: make([]byte, 32)}) || len(opened.ProtoReflect().GetUnknown()) > 0 {
			t.Errorf("opened it is %v, %v", opened, err)
		}
	}
}

// TestCarriedContent: a relay need not know the content of the frame.
func TestCarriedContent(t *testing.T) {
	routed := func(m *pb.Routed) *pb.Routed {
		m.From, m.To, m.Passed, m.Parents = "alice", "bob", []string{"alice"}, []byte{0}
		return m
	}
	for name, m := range map[string]*pb.Routed{
		"a content that is not known": withUnknown(routed(&pb.Routed{})),
		"a question of a longer key":  routed(&pb.Routed{Content: &pb.Routed_Question{Question: &pb.Question{Subject: make([]byte, 1952), Id: "eve"}}}),
		"an envelope of 1000 parts":   routed(&pb.Routed{Content: &pb.Routed_Envelope{Envelope: &pb.Envelope{Parts: 1000, Sealed: []byte("x")}}}),
	} {
		frame, err := pb.Append(nil, pb.Wrap(m))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(frame); err != nil || !proto.Equal(got.GetRouted(), m) {
			t.Errorf("%s is read as %v: %v", name, got, err)
		}
		if _, err := pb.OpenRouted(m); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%s is opened: %v", name, err)
		}
	}
}

// TestUnreadableParts: statements of other peers in a form that this version can't read don't
// make the frame of the peer that passes them on malformed.
func TestUnreadableParts(t *testing.T) {
	long := &pb.Signed{Payload: make([]byte, 5000), Signature: make([]byte, 3309)} // an ML-DSA signature
	for name, m := range map[string]proto.Message{
		"a new step between neighbours": &pb.Neighbour{Type: 99},
		"no step between neighbours":    &pb.Neighbour{},
		"a new receipt":                 &pb.Receipt{Id: make([]byte, 16), Code: 99, Reason: "later"},
		"a new refusal":                 &pb.HandshakeResponse{Code: 99, Reason: "no"},
		"a refusal with a large record": &pb.HandshakeResponse{Code: pb.HandshakeCode_STALE, Record: long},
		"large candidates":              &pb.HandshakeResponse{Code: pb.HandshakeCode_FULL, Candidates: []*pb.Signed{long}},
		"another version":               &pb.HandshakeStart{Version: 2, Id: strings.Repeat("x", 1000)},
		"features":                      &pb.HandshakeStart{Version: 1, Record: signed(goodRecord()), Features: make([]uint32, 1000)},
		"an address of another kind":    &pb.Observed{Address: strings.Repeat("x", 100)},
		"a handshake with one":          &pb.HandshakeStart{Version: 1, Record: signed(goodRecord()), Observed: strings.Repeat("x", 100)},
		"a large announcement":          &pb.PropagationMessage{Announcements: []*pb.Announcement{{Type: pb.AnnouncementType_JOIN, Record: long}}},
		"a new state":                   &pb.PropagationMessage{Announcements: []*pb.Announcement{{Type: 99, Record: signed(goodRecord())}}},
		"a table with both":             &pb.Reconcile{Answer: true, Announcements: []*pb.Announcement{{Type: pb.AnnouncementType_JOIN, Record: long}, {Type: 99}}},
		"a range of a new kind":         &pb.Reconcile{Ranges: []*pb.TableRange{{First: 1, Last: 2, Kind: 99}}},
		"a broadcast signed otherwise":  &pb.Broadcast{Content: long},
	} {
		if err := pb.Check(pb.Wrap(m)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRecordOfTomorrow: the readable parts of a record count, the rest is left out, and the
// record is accepted.
func TestRecordOfTomorrow(t *testing.T) {
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("192.0.2.%d:5000", i+1))
	}
	for name, test := range map[string]struct {
		change func(*pb.Record)
		right  func(*pb.Record) bool
	}{
		"other forms of addresses": {
			func(r *pb.Record) {
				r.Addresses = []string{"host.example:5000", "quic://192.0.2.9", "192.0.2.1:5000", "192.0.2.1:0", "192.0.2.1:70000", "", strings.Repeat("9", 100) + ":1", "[2001:db8::1]:1"}
			},
			func(r *pb.Record) bool {
				return slices.Equal(r.Addresses, []string{"192.0.2.1:5000", "[2001:db8::1]:1"})
			},
		},
		"30 addresses": {
			func(r *pb.Record) { r.Addresses = append([]string{"host:1"}, many...) },
			func(r *pb.Record) bool { return slices.Equal(r.Addresses, many[:pb.MaxAddresses]) },
		},
		"30 observed addresses": {
			func(r *pb.Record) { r.Observed = append([]string{"host:1"}, many...) },
			func(r *pb.Record) bool { return slices.Equal(r.Observed, many[:pb.MaxObserved]) },
		},
		"a larger sealing key": {
			func(r *pb.Record) { r.SealingKey = make([]byte, 1216) }, // X-Wing
			func(r *pb.Record) bool { return len(r.SealingKey) == 0 },
		},
		"a shorter sealing key": {
			func(r *pb.Record) { r.SealingKey = make([]byte, 31) },
			func(r *pb.Record) bool { return len(r.SealingKey) == 0 },
		},
		"an invented field": {
			func(r *pb.Record) { r.ProtoReflect().SetUnknown(invented(1000)) },
			func(r *pb.Record) bool { return proto.Equal(r, goodRecord()) },
		},
	} {
		r := goodRecord()
		test.change(r)
		s := signed(r)
		before := bytes.Clone(s.Payload)
		got, err := pb.ParseRecord(s)
		if err != nil || !test.right(got) || got.GetId() != "alice" || !bytes.Equal(s.Payload, before) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	l := goodLetter()
	l.SealingKey = make([]byte, 1216)
	if _, err := pb.ParseLetter(signed(l)); err != nil {
		t.Errorf("a letter of who has a larger sealing key: %v", err)
	}
}
