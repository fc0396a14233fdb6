package route

import (
	"testing"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// TestCanRoute: nothing empty or too large is sent over others, nor anything to nobody or
// ourselves.
func TestCanRoute(t *testing.T) {
	en := &base.Env{Cfg: base.Config{ID: "self"}}
	tb := &table.Table{Env: en}
	rl := &Relay{Env: en, table: tb, links: link.NewLinks(en, tb)}
	for _, id := range []certs.ID{"self", "bob"} {
		tb.Insert(table.NewEntry(&base.Record{ID: id, Tag: base.TagOf(id)}, pb.AnnouncementType_JOIN, 0))
	}
	for _, test := range []struct {
		to   certs.ID
		size int
		ok   bool
	}{
		{"bob", 1, true}, {"bob", pb.MaxPart * pb.MaxParts, true},
		{"bob", 0, false}, {"bob", pb.MaxPart*pb.MaxParts + 1, false}, {"self", 1, false}, {"nobody", 1, false},
	} {
		if rl.CanRoute(test.to, make([]byte, test.size)) != test.ok {
			t.Errorf("%d bytes to %s: %v", test.size, test.to, !test.ok)
		}
	}
}
