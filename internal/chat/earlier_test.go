package chat

import (
	"strings"
	"testing"
	"time"

	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

// What the history has shown at the beginning is not shown again when its event comes, and is known to /r all the same.
func TestTextEarlier(t *testing.T) {
	n := linestest.New("me")
	n.Told = []overlay.Said{{Pos: 5, From: "bob", To: "me", Body: "old"}}
	var b strings.Builder
	x := newTestText(&b)
	if err := x.Earlier(t.Context(), n, time.Time{}, 0); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	shown := 0
	for _, e := range []overlay.Event{
		overlay.Message{Pos: 5, From: "bob", To: "me", Body: "old", ID: overlay.MessageID{1}},
		overlay.Message{Pos: 6, From: "carol", To: overlay.Everyone, Body: "new"},
	} {
		if err := x.ShowThen(e, func() { shown++ }); err != nil {
			t.Fatal(err)
		}
	}
	if want := "12:01:05 carol: new\n"; b.String() != want || shown != 2 {
		t.Errorf("%q, not %q; %d are acknowledged", b.String(), want, shown)
	}
	if !x.earlier.has(overlay.Sent{Pos: 5}) || x.earlier.has(overlay.Delivered{Pos: 5}) {
		t.Error("what this peer has said would be shown twice, or a receipt not at all")
	}
	if _, err := linestest.Execute(t, x, n, "/r yes"); err != nil || len(n.Sent()) != 1 {
		t.Errorf("/r: %v, %v", n.Sent(), err)
	}
}
