package chat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

// outgoing returns n messages, newest first.
func outgoing(n int) (list []overlay.Outgoing) {
	for i := range n {
		list = append(list, overlay.Outgoing{
			Message: overlay.MessageID{15: byte(i + 1)}, To: certs.ID([]string{"bob", "carol"}[i%2]),
			Body: fmt.Sprint("text\n", i), SentAt: time.Date(2026, 3, 4, 11, 59-i, 0, 0, time.Local),
		})
	}
	return list
}

// A number refers to the list shown last, whatever has been delivered since.
func TestTextCancels(t *testing.T) {
	n := linestest.New("me")
	n.Out = outgoing(3)
	var b strings.Builder
	x := newTestText(&b)
	left := func() (s string) {
		for _, m := range n.Out {
			s += fmt.Sprint(m.Message[15])
		}
		return s
	}
	for _, test := range []struct{ line, want, left string }{
		{"/cancel 1", "12:01:05 ? there is no number 1; /cancel lists what waits, with numbers\n", "123"},
		{"/cancel", "12:01:05 * 3 messages without a receipt; /cancel N withdraws one:\n" +
			"    1  to bob    11:59  text\\n0\n    2  to carol  11:58  text\\n1\n    3  to bob    11:57  text\\n2\n", "123"},
		{"/cancel 2", "", "13"},
		{"/cancel 2", "12:01:05 ? no message of this ID waits: it has been delivered or has failed, or there was none\n", "13"},
		{"/cancel 3", "", "1"},
		{"/cancel 4", "12:01:05 ? there is no number 4; /cancel lists what waits, with numbers\n", "1"},
		{"/cancel 0", "12:01:05 ? there is no number 0; /cancel lists what waits, with numbers\n", "1"},
		{"/cancel bob", "12:01:05 ? it is /cancel to list what waits, /cancel N for one of these, or /cancel @ID for all to one peer\n", "1"},
		{"/cancel @b!b", "12:01:05 ? b!b is not a valid ID: an ID consists of letters, digits, '.', '_' and '-', not '!'\n", "1"},
		{"/cancel @carol", "12:01:05 ? nothing waits for carol\n", "1"},
	} {
		b.Reset()
		if leave, err := linestest.Execute(t, x, n, test.line); leave || err != nil || b.String() != test.want || left() != test.left {
			t.Errorf("%s: %s is left, got  %q\nwant %q", test.line, left(), b.String(), test.want)
		}
	}
	n.Out = outgoing(maxListed + 2)
	b.Reset()
	if _, err := linestest.Execute(t, x, n, "/cancel"); err != nil || strings.Count(b.String(), "\n") != maxListed+2 || !strings.HasSuffix(b.String(), "    and 2 from before\n") {
		t.Errorf("many: %q", b.String())
	}
	if _, err := linestest.Execute(t, x, n, "/cancel @carol"); err != nil || len(n.Out) != maxListed/2+1 {
		t.Errorf("%d are left, %v", len(n.Out), err)
	}
	n.Out = nil
	b.Reset()
	if _, err := linestest.Execute(t, x, n, "/cancel"); err != nil || b.String() != "12:01:05 * no messages are waiting\n" {
		t.Errorf("none: %q", b.String())
	}
}
