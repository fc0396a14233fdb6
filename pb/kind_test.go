package pb_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// TestKindsRefused: about stands there exactly where the kind needs it, in a direct message, a letter and a broadcast
// alike.
func TestKindsRefused(t *testing.T) {
	list := [][]proto.Message{
		ofKind(pb.MessageKind_PLAIN, "x", pb.MessageIDSize),
		ofKind(pb.MessageKind_ACTION, "x", pb.MessageIDSize),
		ofKind(pb.MessageKind_FILE, "x", pb.MessageIDSize),
		ofKind(pb.MessageKind_FILE, strings.Repeat("x", pb.MaxOffer+1), -1),
		ofKind(pb.MessageKind_REACTION, "", pb.MessageIDSize),
		ofKind(pb.MessageKind_REACTION, strings.Repeat("x", pb.MaxReaction+1), pb.MessageIDSize),
	}
	for _, kind := range []pb.MessageKind{pb.MessageKind_EDIT, pb.MessageKind_DELETE, pb.MessageKind_REACTION} {
		for _, about := range []int{-1, 0, pb.MessageIDSize - 1, pb.MessageIDSize + 1} {
			list = append(list, ofKind(kind, "x", about))
		}
	}
	for kind := pb.MessageKind_ACTION; kind <= pb.MessageKind_FILE; kind++ {
		m := ofKind(kind, "", pb.MessageIDSize)[0].(*pb.Message)
		m.Data = []byte("x")
		list = append(list, []proto.Message{m})
	}
	reply := goodContent()
	reply.ReplyTo = make([]byte, pb.MessageIDSize-1)
	list = append(list, []proto.Message{&pb.Broadcast{Content: signed(reply)}})
	for _, both := range list {
		for _, m := range both {
			if err := judge(m); err == nil {
				t.Errorf("accepted: %v", m)
			}
			if m, ok := m.(*pb.Message); ok {
				l := goodLetter()
				l.Messages = []*pb.Message{m}
				if _, err := pb.ParseLetter(signed(l)); err == nil {
					t.Errorf("accepted in a letter: %v", m)
				}
			}
		}
	}
}

// TestReference: a kind of tomorrow is an ordinary message, and about none.
func TestReference(t *testing.T) {
	id := [pb.MessageIDSize]byte{1, 2, 3}
	for kind := pb.MessageKind(-1); kind <= 7; kind++ {
		m := &pb.Message{Kind: kind}
		want := ""
		switch kind {
		case pb.MessageKind_EDIT, pb.MessageKind_DELETE, pb.MessageKind_REACTION:
			m.About, want = id[:], fmt.Sprint(kind, id)
		case pb.MessageKind_ACTION, pb.MessageKind_FILE:
			want = fmt.Sprint(kind, [pb.MessageIDSize]byte{})
		default:
			if kind != pb.MessageKind_PLAIN {
				m.About = id[:]
			}
			want = fmt.Sprint(pb.MessageKind_PLAIN, [pb.MessageIDSize]byte{})
		}
		if got, about := pb.Reference(m); fmt.Sprint(got, about) != want {
			t.Errorf("%v is %v about %v, want %s", kind, got, about, want)
		}
	}
}
