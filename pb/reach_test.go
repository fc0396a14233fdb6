package pb_test

import (
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
		"a CONNECT without a key":    routed(&pb.Routed{Content: &pb.Routed_Connect{Connect: &pb.Connect{Number: 1}}}),
		"a SYNC with a short key":    routed(&pb.Routed{Content: &pb.Routed_Sync{Sync: &pb.Sync{Id: "bob", Key: key[:31]}}}),
		"a SYNC with many addresses": &pb.Sync{Id: "bob", Key: key, Observed: make([]string, pb.MaxObserved+1)},
		"a SYNC without an ID":       &pb.Sync{Key: key},
		"a SYNC for much later":      &pb.Sync{Id: "bob", Key: key, After: pb.MaxAfter + 1},
	} {
		if err := judge(m); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}
