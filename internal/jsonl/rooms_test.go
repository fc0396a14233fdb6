package jsonl

import (
	"strings"
	"testing"

	"quicpeer/internal/lines"
	"quicpeer/internal/lines/linestest"
)

// The commands of rooms are answered with all rooms; a message may go to a room, or to everyone.
func TestRoomCommands(t *testing.T) {
	n := linestest.New("me")
	var b strings.Builder
	j := New(lines.NewOutput(&b), "test")
	for _, test := range []struct{ line, want string }{
		{`{"cmd":"send","to":"#dev","body":"x","ref":"r"}`, "not in that room: /join #dev first"},
		{`{"cmd":"join","room":"#dev","ref":"r"}`, `"event":"rooms"`},
		{`{"cmd":"send","to":"#dev","body":"one"}`, ""},
		{`{"cmd":"send","to":"*","body":"two"}`, ""},
		{`{"cmd":"send","to":"#dev","body_base64":"AA==","ref":"r"}`, "only a message to one peer can have data"},
		{`{"cmd":"send","to":"*","body":"x","wants_reply":true,"ref":"r"}`, "only a message to one peer can have data"},
		{`{"cmd":"send","to":"#dev","body":"three","reply_to":"000102030405060708090a0b0c0d0e0f","kind":"action"}`, ""},
		{`{"cmd":"broadcast","body":"👍","kind":"reaction","about":"000102030405060708090a0b0c0d0e0f"}`, ""},
		{`{"cmd":"send","to":"#Dev","body":"x"}`, "lower-case"},
		{`{"cmd":"join","room":"dev"}`, "a room's name is"},
		{`{"cmd":"join","ref":"r"}`, `either \"address\" or \"room\"`},
		{`{"cmd":"join","room":"#a","address":"door:1"}`, `either \"address\" or \"room\"`},
		{`{"cmd":"rooms","ref":"r"}`, `"rooms":[{"room":"#dev","members":["bob","me"],"since":null}],"ref":"r"`},
		{`{"cmd":"part","room":"#ops"}`, "not in that room"},
		{`{"cmd":"part"}`, `\"room\" is missing`},
		{`{"cmd":"part","room":"#dev","ref":"r"}`, `"rooms":[],"ref":"r"`},
	} {
		b.Reset()
		if _, err := linestest.Execute(t, j, n, test.line); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s: %s lacks %s", test.line, got, test.want)
		}
	}
	if got := strings.Join(n.Sent(), "|"); got != "#dev: one|*: two|#dev: three (replies to 000102030405060708090a0b0c0d0e0f) (action)|*: 👍 (reaction of 000102030405060708090a0b0c0d0e0f)" {
		t.Errorf("sent %q", got)
	}
}
