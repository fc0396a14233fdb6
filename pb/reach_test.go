package pb_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// TestReachRefused: frames and records about reach that break the protocol.
func TestReachRefused(t *testing.T) {
	key := make([]byte, 32)
	routed := func(m *pb.Routed) *pb.Routed {
		m.From, m.To, m.Passed, m.Parents = "alice", "bob", []string{"alice"}, []byte{0}
		return m
	}
	for what, m := range map[string]proto.Message{
		"a call of nobody":        &pb.Call{Key: key},
		"a call without a key":    &pb.Call{Id: "bob"},
		"a go to a short key":     &pb.Go{Id: "bob", Key: key[:31]},
		"a long refusal":          &pb.Refusal{Reason: strings.Repeat("x", pb.MaxReason+1)},
		"a routed call of nobody": routed(&pb.Routed{Content: &pb.Routed_Call{Call: &pb.Call{Key: key}}}),
		"a routed answer to it":   routed(&pb.Routed{Content: &pb.Routed_Called{Called: &pb.Call{Id: "bob"}}}),
		"a routed go to nobody":   routed(&pb.Routed{Content: &pb.Routed_Go{Go: &pb.Go{}}}),
	} {
		if err := judge(m); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}
