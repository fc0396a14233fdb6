package chat

import (
	"strings"
	"testing"

	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

// Commands about messages: each is about the last one in front, of this peer or of another.
func TestTextRefers(t *testing.T) {
	n := linestest.New("me")
	var b strings.Builder
	x := newTestText(&b)
	do := func(line string) string {
		t.Helper()
		b.Reset()
		before := len(n.Sent())
		if _, err := linestest.Execute(t, x, n, line); err != nil {
			t.Fatal(err)
		}
		return strings.Join(n.Sent()[before:], "|") + strings.TrimSuffix(strings.TrimPrefix(b.String(), "12:01:05"), "\n")
	}
	show := func(e overlay.Event) {
		t.Helper()
		if err := x.Show(e); err != nil {
			t.Fatal(err)
		}
	}
	nothing := " ? there is no message of yours here since this began; /room ID or /room #name puts another conversation in front"
	for _, test := range []struct{ line, want string }{
		{"/me waves", "*: waves (action)"},
		{"/me", " ? it is /me TEXT"},
		{"/edit x", nothing},
		{"/delete", nothing},
		{"/react 👍", strings.Replace(nothing, "of yours", "of another", 1)},
		{"/reply x", strings.Replace(nothing, "of yours", "of another", 1)},
		{"/r x", " ? nobody has written to you alone yet; a message to one peer is typed as @ID text"},
	} {
		if got := do(test.line); got != test.want {
			t.Errorf("%s: %q, not %q", test.line, got, test.want)
		}
	}
	mine, hers, direct := overlay.MessageID{1}, overlay.MessageID{2}, overlay.MessageID{3}
	show(overlay.Sent{Message: mine, To: overlay.Everyone, Body: "one"})
	show(overlay.Sent{Message: overlay.MessageID{9}, To: overlay.Everyone, Kind: overlay.KindEdit, About: mine, Body: "two"})
	show(overlay.Message{ID: hers, From: "bob", To: overlay.Everyone, Body: "hi"})
	show(overlay.Message{ID: direct, From: "carol", To: "me", Body: "psst"})
	show(overlay.Message{ID: overlay.MessageID{8}, From: "bob", To: overlay.Everyone, Body: "👍", Kind: overlay.KindReaction, About: mine})
	show(overlay.Message{ID: overlay.MessageID{7}, From: "bob", To: overlay.Everyone, Body: "long ago", Before: true})
	for _, test := range []struct{ line, want string }{
		{"/edit  two ", "*:  two  (edit of " + mine.String() + ")"},
		{"/delete", "*:  (delete of " + mine.String() + ")"},
		{"/react 👍 ", "*: 👍 (reaction of " + hers.String() + ")"},
		{"/reply yes", "*: yes (replies to " + hers.String() + ")"},
		{"/r yes", "carol: yes (replies to " + direct.String() + ")"},
		{"/room @carol", " * that was before you came\n12:01:05 * what you type goes to carol alone; /room alone: to everyone"},
		{"yes", "carol: yes"},
		{"/react 👍", "carol: 👍 (reaction of " + direct.String() + ")"},
		{"/edit x", nothing},
		{"/part", " * what you type goes to everyone"},
		{"yes", "*: yes"},
		{"/full", " ? that is for a terminal, with line editing"},
	} {
		if got := do(test.line); got != test.want {
			t.Errorf("%s: %q, not %q", test.line, got, test.want)
		}
	}
}

// A screen says which message /edit is about: of an older one, or in a conversation that is in front no longer. That
// holds for one line.
func TestTextEdits(t *testing.T) {
	n := linestest.New("me")
	var b strings.Builder
	x := newTestText(&b)
	for _, e := range []overlay.Sent{{Message: overlay.MessageID{1}, To: "carol"}, {Message: overlay.MessageID{2}, To: overlay.Everyone}} {
		if err := x.Show(e); err != nil {
			t.Fatal(err)
		}
	}
	x.Edited.Set("carol", overlay.MessageID{1})
	for range 2 {
		if _, err := linestest.Execute(t, x, n, "/edit x"); err != nil {
			t.Fatal(err)
		}
	}
	want := "carol: x (edit of " + overlay.MessageID{1}.String() + ")|*: x (edit of " + overlay.MessageID{2}.String() + ")"
	if got := strings.Join(n.Sent(), "|"); got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

// What such messages look like in plain lines.
func TestTextKinds(t *testing.T) {
	for _, test := range []struct {
		event overlay.Message
		want  string
	}{
		{overlay.Message{Kind: overlay.KindAction, To: overlay.Everyone, Body: "joined"}, "· bob joined"},
		{overlay.Message{Kind: overlay.KindEdit, To: "me", Body: "new"}, "bob -> you (edited): new"},
		{overlay.Message{Kind: overlay.KindDelete, To: "#dev", Body: "x"}, "#dev bob: (has deleted a message)"},
		{overlay.Message{Kind: overlay.KindReaction, To: "#dev", Body: "👍\n*"}, "#dev bob: (reacts with 👍\n           *)"},
	} {
		var b strings.Builder
		test.event.From = "bob"
		if err := newTestText(&b).Show(test.event); err != nil || b.String() != "12:01:05 "+test.want+"\n" {
			t.Errorf("%q, not %q", b.String(), test.want)
		}
	}
}

// /away changes one tag, and leaves the others.
func TestTextAway(t *testing.T) {
	n := linestest.New("me")
	n.Own = map[string]string{"role": "db"}
	n.Table = []overlay.Peer{{ID: "bob", Tags: map[string]string{"away": "out\nto lunch"}}}
	for _, test := range []struct{ line, want, tag string }{
		{"/back", "* you are not away; /away TEXT says so to the others", ""},
		{"/away at lunch", "* the others see that you are away: at lunch; /back ends that", "at lunch"},
		{"/back", "* you are back", ""},
		{"/peers", `* 1 peer here: bob (away: out\nto lunch)`, ""},
	} {
		var b strings.Builder
		if _, err := linestest.Execute(t, newTestText(&b), n, test.line); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), "12:01:05 "); got != test.want {
			t.Errorf("%s: %q", test.line, got)
		}
		if n.Own["away"] != test.tag || n.Own["role"] != "db" {
			t.Errorf("%s: the tags are %v", test.line, n.Own)
		}
	}
}

// A visitor comes and goes unseen; one that stays has joined.
func TestTextVisitors(t *testing.T) {
	var b strings.Builder
	x := newTestText(&b)
	for _, e := range []overlay.Event{
		overlay.PeerJoined{ID: "script", Visitor: true},
		overlay.Message{From: "script", To: "me", Body: "the backup is done"},
		overlay.PeerLeft{ID: "script", Reason: overlay.ReasonLeft, Visitor: true},
		overlay.PeerJoined{ID: "eve", Visitor: true},
		overlay.PeerChanged{ID: "eve"},
		overlay.PeerLeft{ID: "eve", Reason: overlay.ReasonLost},
	} {
		if err := x.Show(e); err != nil {
			t.Fatal(err)
		}
	}
	want := "12:01:05 script -> you: the backup is done\n12:01:05 * eve joined\n12:01:05 * eve was lost\n"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}
