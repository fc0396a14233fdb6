package cli

import (
	"strings"
	"testing"
	"testing/synctest"

	"quicpeer/internal/lines/linestest"
)

// A line that joins a peer says who has let this one in; the lines behind it don't wait for
// that, and the end of input does.
func TestJoinLines(t *testing.T) {
	for _, test := range []struct {
		json  bool
		lines string
		want  string
	}{
		{false, "/join door:1\n", "* joined door at door:1\n"},
		{true, `{"cmd":"join","address":"door:1","ref":"7"}` + "\n", `"address":"door:1","id":"door","ref":"7"}`},
		{false, strings.Repeat("/join slow:1\n", 3) + "/quit\n", "? this peer is leaving\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := linestest.New("me")
			var out buffer
			s, _ := newTestSession(n, strings.NewReader(test.lines), &out)
			s.options.json = test.json
			if err := s.run(t.Context()); err != nil {
				t.Error(err)
			}
			if !strings.Contains(out.String(), test.want) {
				t.Errorf("%q: printed %s, want %s", test.lines, out.String(), test.want)
			}
		})
	}
}
