package pb_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// TestReachRefused: frames and records about reach that break the protocol.
func TestReachRefused(t *testing.T) {
	key, long := make([]byte, 32), strings.Repeat("1", 65)
	routed := func(m *pb.Routed) *pb.Routed {
		m.From, m.To, m.Passed, m.Parents = "alice", "bob", []string{"alice"}, []byte{0}
		return m
	}
	for what, m := range map[string]proto.Message{
		"no address":              &pb.Observed{},
		"a long address":          &pb.Observed{Address: long},
		"a call of nobody":        &pb.Call{Key: key},
		"a call without a key":    &pb.Call{Id: "bob"},
		"a go to a short key":     &pb.Go{Id: "bob", Key: key[:31]},
		"a go to a long address":  &pb.Go{Id: "bob", Key: key, Observed: long},
		"a long refusal":          &pb.Refusal{Reason: strings.Repeat("x", pb.MaxReason+1)},
		"a routed call of nobody": routed(&pb.Routed{Content: &pb.Routed_Call{Call: &pb.Call{Key: key}}}),
		"a routed answer to it":   routed(&pb.Routed{Content: &pb.Routed_Called{Called: &pb.Call{Id: "bob"}}}),
		"a routed go to nobody":   routed(&pb.Routed{Content: &pb.Routed_Go{Go: &pb.Go{}}}),
		"a long observed address": &pb.HandshakeStart{Version: 1, Id: "a", Record: signed(goodRecord()), Observed: long},
	} {
		if err := pb.Check(pb.Wrap(m)); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	for what, observed := range map[string][]string{
		"too many": slices.Repeat([]string{"203.0.113.1:1"}, pb.MaxObserved+1), "no port": {"203.0.113.1"}, "port 0": {"203.0.113.1:0"}, "a name": {"host:1"},
	} {
		r := goodRecord()
		r.Observed = observed
		if _, err := pb.ParseRecord(signed(r)); err == nil {
			t.Errorf("observed addresses, %s: taken", what)
		}
	}
}
