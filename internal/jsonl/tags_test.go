package jsonl

import (
	"strings"
	"testing"

	"quicpeer/internal/lines"
	"quicpeer/internal/lines/linestest"
)

// The command tags is answered with this peer's tags, which it replaces if it has any.
func TestTagCommand(t *testing.T) {
	n := linestest.New("me")
	n.Own = map[string]string{"role": "db"}
	var b strings.Builder
	j := New(lines.NewOutput(&b), "test")
	for _, test := range []struct{ line, want string }{
		{`{"cmd":"tags","ref":"r"}`, `"tags":{"role":"db"},"ref":"r"`},
		{`{"cmd":"tags","tags":{"role":"db","away":"at lunch"},"ref":"r"}`, `"event":"tags"`},
		{`{"cmd":"tags"}`, `"tags":{"away":"at lunch","role":"db"}`},
		{`{"cmd":"tags","tags":{"a":1},"ref":"r"}`, `"error":"\"tags\" is not an object of strings"`},
		{`{"cmd":"tags","tags":{"a":"1","a":"2"},"ref":"r"}`, `"code":"bad_command"`},
		{`{"cmd":"tags","tags":null}`, `not an object of strings`},
		{`{"cmd":"tags","tags":"x"}`, `not an object of strings`},
		{`{"cmd":"table","tags":{}}`, `the command table has no field \"tags\"`},
		{`{"cmd":"tags","tags":{"a":"` + strings.Repeat("x", 1100) + `"},"ref":"r"}`, `"error":"the tags are too long: 1108 bytes, the limit is 1024","code":"too_long"`},
		{`{"cmd":"tags"}`, `"tags":{"away":"at lunch","role":"db"}`},
		{`{"cmd":"tags","tags":{}}`, `"tags":{},"ref":""`},
	} {
		b.Reset()
		if _, err := linestest.Execute(t, j, n, test.line); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s lacks %s", test.line, got, test.want)
		}
	}
}
