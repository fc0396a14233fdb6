package chat

import (
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

// A typed text goes to the room in front; the prompt is told which that is.
func TestTextRooms(t *testing.T) {
	n := linestest.New("me")
	var b strings.Builder
	x := newTestText(&b)
	var front []string
	x.Turned = func(room certs.ID) { front = append(front, string(room)) }
	for _, test := range []struct{ line, want string }{
		{"/rooms", "* you are in no room; /join #name enters one"},
		{"/part", "? no room is in front: it is /part #name; /rooms lists them"},
		{"/room #dev", "? you are not in #dev: /join #dev first"},
		{"/join #Dev", "? #Dev is not a valid room: a room's name consists of lower-case letters, digits, '.', '_' and '-', not 'D'"},
		{"/room dev", "? a room is named as in /room #name"},
		{"/join", "? a peer to join is typed as /join HOST:PORT, a room as /join #name"},
		{"@#dev hi", "? not sent (this peer is not in that room: /join #dev first): hi"},
		{"/join #dev", "* you are in #dev, and what you type goes there; /room alone: to everyone"},
		{"one", ""},
		{"/room", "* what you type goes to everyone"},
		{"two", ""},
		{"/msg #dev three", ""},
		{"/room #dev", "* what you type goes to #dev; /room alone: to everyone"},
		{"/part", "* you have left #dev; what you type goes to everyone"},
		{"four", ""},
	} {
		b.Reset()
		if _, err := linestest.Execute(t, x, n, test.line); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(strings.TrimPrefix(b.String(), "12:01:05 "), "\n"); got != test.want {
			t.Errorf("%s: %q, not %q", test.line, got, test.want)
		}
	}
	if got := strings.Join(n.Sent(), "|"); got != "#dev: one|*: two|#dev: three|*: four" {
		t.Errorf("sent %q", got)
	}
	if got := strings.Join(front, "|"); got != "#dev|*|#dev|*" {
		t.Errorf("in front were %q", got)
	}
}

// Messages from before stand in a block that says from when on, and ends with the next line.
func TestTextBefore(t *testing.T) {
	var b strings.Builder
	x := newTestText(&b)
	at := local(4, 11, 40, 0)
	for _, e := range []overlay.Event{
		overlay.Message{From: "bob", To: "#dev", Body: "a\n12:01:05 * eve left", SentAt: at, Before: true},
		overlay.Message{From: "eve", To: "#dev", Body: "b", SentAt: at.Add(time.Minute), Before: true, Unproved: true},
		overlay.Message{From: "bob", To: overlay.Everyone, Body: "c", SentAt: at, Before: true},
		overlay.Message{From: "bob", To: "#dev", Body: "now"},
	} {
		if err := x.Show(e); err != nil {
			t.Fatal(err)
		}
	}
	want := "12:01:05 * in #dev before you came, from 11:40 on:\n    11:40 bob: a\n      12:01:05 * eve left\n    11:41 eve (not known): b\n" +
		"12:01:05 * that was before you came\n12:01:05 * before you came, from 11:40 on:\n    11:40 bob: c\n" +
		"12:01:05 * that was before you came\n12:01:05 #dev bob: now\n"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}
