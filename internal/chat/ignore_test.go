package chat

import (
	"strings"
	"testing"

	"quicpeer/certs"
	"quicpeer/internal/lines/linestest"
)

func TestTextIgnores(t *testing.T) {
	n := linestest.New("me")
	var b strings.Builder
	x := newTestText(&b)
	for _, test := range []struct{ line, want string }{
		{"/ignore", "12:01:05 * nobody is ignored\n"},
		{"/ignore carol", "12:01:05 ? no peer of that name is known\n"},
		{"/ignore b!b", "12:01:05 ? b!b is not a valid ID: an ID consists of letters, digits, '.', '_' and '-', not '!'\n"},
		{"/ignore bob carol", "12:01:05 ? bob carol is not a valid ID: an ID consists of letters, digits, '.', '_' and '-', not ' '\n"},
		{"/unignore bob", "12:01:05 ? nobody is ignored under that ID\n"},
		{"/unignore", "12:01:05 ? it is /unignore ID; /ignore lists who is ignored\n"},
		{"/ignore bob ", "12:01:05 * bob is ignored; /unignore bob ends that\n"},
		{"/ignore", "12:01:05 * 1 peer ignored:\n    bob  " + certs.PublicKey{1}.String() + "\n"},
		{"/unignore @bob", "12:01:05 * bob is not ignored any more\n"},
		{" /ignore @bob", "12:01:05 * bob is ignored; /unignore bob ends that\n"},
		{"/ignor bob", "12:01:05 ? there is no command /ignor (did you mean /ignore?); /help lists them, and a text that begins with / is typed with //\n"},
	} {
		b.Reset()
		if leave, err := linestest.Execute(t, x, n, test.line); leave || err != nil || b.String() != test.want {
			t.Errorf("%s: got  %q\nwant %q", test.line, b.String(), test.want)
		}
	}
}
