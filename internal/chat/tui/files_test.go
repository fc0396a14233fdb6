package tui

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/emulator"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// The row above the line goes when nothing is under way any more, also when nobody has said so.
func TestFilesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, emulator.New(60, 12), nil)
		tell := func(e overlay.Event) { _ = r.chat.Event(e, func() {}) }
		tell(files.Progress{File: 1, Peer: "bob", Name: "a\x1b[2J", Bytes: 1, Of: 4, Rate: 999, Left: 61 * time.Second})
		r.settle()
		r.want("00:00 * nobody else is here yet\n↓ 1 a\\x1b[2J 25 % 999 bytes/s 1:01 left\nme>")
		tell(files.Progress{File: 1, Ours: true, Peer: "carol", Name: "a", Bytes: 1, Of: 2})
		tell(files.Waits{File: 1, Peer: "bob", Name: "a", Reason: "bob is not here"})
		r.settle()
		r.want("00:00 * nobody else is here yet\n00:00 * 1 a waits (bob is not here)\n↑ 1 a to carol 50 %\nme>")
		time.Sleep(silence / 2)
		tell(files.Progress{File: 1, Ours: true, Peer: "carol", Name: "a", Bytes: 2, Of: 2})
		time.Sleep(silence / 2)
		r.settle()
		if !strings.Contains(r.Text(), "↑ 1 a to carol 100 %\nme>") {
			t.Errorf("a slow one has gone:\n%s", frame(r.Text()))
		}
		time.Sleep(2 * silence)
		r.settle()
		if strings.Contains(r.Text(), "↑") {
			t.Errorf("a silent one stands there:\n%s", frame(r.Text()))
		}
	})
}

func TestManyFilesUnderWay(t *testing.T) {
	var u underway
	for i := range 3 * maxUnderway {
		u.note(files.Progress{File: i, Peer: "bob", Name: strings.Repeat("界", 500)}, time.Time{})
		u.note(files.Progress{File: i, Peer: "carol"}, time.Time{})
	}
	if len(u) != maxUnderway || most(u.row(80)) > 80 {
		t.Errorf("%d in a row of %d columns", len(u), most(u.row(80)))
	}
	for _, peer := range []certs.ID{"bob", ""} {
		u.note(files.Ended{File: 1, Peer: peer}, time.Time{})
	}
	if len(u) != maxUnderway-2 {
		t.Errorf("%d are left", len(u))
	}
}
