package core

import (
	"encoding/binary"
	"testing"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// ranges returns ranges of broadcasts of some of the peers.
func (fz *fuzzer) ranges() []*pb.BroadcastRange {
	var list []*pb.BroadcastRange
	for range 1 + fz.next()%3 {
		prefix := certs.MessagePrefix(testIdentity(uint64(fz.next()%6)).Key(), uint64(1+fz.next()%4), 0)
		first := uint64(1 + fz.next()%8)
		list = append(list, &pb.BroadcastRange{
			Author: base.TagOf(fz.id()), Run: binary.BigEndian.Uint64(prefix[:]), First: first, Last: first + uint64(fz.next()%8),
		})
	}
	return list
}

// checkBroadcasts checks the remembered broadcasts, and that all are shown in order.
func (fz *fuzzer) checkBroadcasts(t *testing.T, events []base.Event) {
	t.Helper()
	c := fz.c
	bytes := 0
	for _, b := range c.broadcasts.Recent {
		if i, found := b.Run.Search(b.Number); !found || b.Run.Recent[i] != b || c.broadcasts.Runs[b.Run.Name] != b.Run {
			t.Fatalf("broadcast %d is at one place only", b.Number)
		}
		bytes += len(b.Signed.GetPayload())
	}
	if bytes != c.broadcasts.RecentBytes {
		t.Fatalf("%d bytes are remembered, not %d", bytes, c.broadcasts.RecentBytes)
	}
	for _, e := range events {
		if b, ok := e.(base.Broadcasted); ok {
			run, number := string(b.Content.GetId()[:8]), binary.BigEndian.Uint64(b.Content.GetId()[8:])
			if number <= fz.shown[run] {
				t.Fatalf("broadcast %d of a run is shown after %d", number, fz.shown[run])
			}
			fz.shown[run] = number
		}
	}
}
