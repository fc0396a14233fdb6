package chat

import (
	"math"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

func newTestText(b *strings.Builder) *Frontend {
	x := New(lines.NewOutput(b), Look{Width: func() int { return 0 }})
	x.now = func() time.Time { return time.Date(2026, 3, 4, 12, 1, 5, 0, time.Local) }
	return x
}

// local returns a time in March 2026.
func local(day, hour, minute, second int) time.Time {
	return time.Date(2026, 3, day, hour, minute, second, 0, time.Local)
}

// A new day begins with a line that shows its date.
func TestTextDays(t *testing.T) {
	var b strings.Builder
	x := newTestText(&b)
	at := local(4, 23, 59, 59)
	x.now = func() time.Time { return at }
	joined := func() {
		t.Helper()
		if err := x.Show(overlay.PeerJoined{ID: "bob"}); err != nil {
			t.Fatal(err)
		}
	}
	joined()
	joined()
	at = local(5, 0, 0, 0)
	joined()
	joined()
	at = local(9, 8, 0, 0) // nobody said a word meanwhile
	if err := x.block("lines:", "x"); err != nil {
		t.Fatal(err)
	}
	at = local(1, 8, 0, 0) // the clock was wrong
	if err := x.Left(0); err != nil {
		t.Fatal(err)
	}
	want := "23:59:59 * bob joined\n23:59:59 * bob joined\n" +
		"00:00:00 * it is Thursday, 2026-03-05\n00:00:00 * bob joined\n00:00:00 * bob joined\n" +
		"08:00:00 * it is Monday, 2026-03-09\n08:00:00 * lines:\n    x\n" +
		"08:00:00 * it is Sunday, 2026-03-01\n08:00:00 * left\n"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}

// With Dated every line carries the date.
func TestTextDated(t *testing.T) {
	var b strings.Builder
	x := newTestText(&b)
	x.look.Dated = true
	at := local(4, 23, 59, 59)
	x.now = func() time.Time { return at }
	for range 2 {
		if err := x.Show(overlay.Message{From: "bob", To: "me", Body: "a\nb"}); err != nil {
			t.Fatal(err)
		}
		at = local(5, 0, 0, 0)
	}
	want := "2026-03-04 23:59:59 bob -> you: a\n                      b\n2026-03-05 00:00:00 bob -> you: a\n                      b\n"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}

// The lines that the comment at Frontend lists.
func TestTextLines(t *testing.T) {
	key := certs.NewIdentity(make([]byte, 32)).Key()
	for _, test := range []struct {
		event overlay.Event
		want  string
	}{
		{overlay.Ready{ID: "me", Key: key, Listen: []string{"1.2.3.4:5", "[::1]:5"}}, "12:01:05 * you are me, " + key.String() + ", listening on 1.2.3.4:5, [::1]:5\n"},
		{overlay.PeerJoined{ID: "bob"}, "12:01:05 * bob joined\n"},
		{overlay.PeerJoined{ID: "bob", Via: "alice"}, "12:01:05 * bob joined (via alice)\n"},
		{overlay.PeerLeft{ID: "bob", Reason: overlay.ReasonLeft}, "12:01:05 * bob left\n"},
		{overlay.PeerLeft{ID: "bob", Reason: overlay.ReasonLost}, "12:01:05 * bob was lost\n"},
		{overlay.KeyChanged{ID: "bob", Was: certs.PublicKey{}, Is: key}, "12:01:05 ! bob has another key than before (was " + certs.PublicKey{}.String() + ", is " + key.String() + "): a new installation, or somebody else. What you write waits; /trust bob goes on\n"},
		{overlay.Message{From: "bob", NewKey: true, To: "me", Body: "a\nb"}, "12:01:05 bob (new key) -> you: a\n           b\n"},
		{overlay.Message{From: "bob", NewKey: true, To: overlay.Everyone, Body: "hello"}, "12:01:05 bob (new key): hello\n"},
		{overlay.Message{From: "bob", NewKey: true, To: "me", Body: "before", SentAt: local(4, 12, 0, 4)}, "12:01:05 bob (new key) -> you (sent 12:00): before\n"},
		{overlay.Message{From: "bob", To: overlay.Everyone, Body: "hello"}, "12:01:05 bob: hello\n"},
		{overlay.Message{From: "bob", To: "me", Body: "hello"}, "12:01:05 bob -> you: hello\n"},
		{overlay.Message{From: "bob", To: "me", Body: "now", SentAt: local(4, 12, 0, 5)}, "12:01:05 bob -> you: now\n"},
		{overlay.Message{From: "bob", To: "me", Body: "before", SentAt: local(4, 12, 0, 4)}, "12:01:05 bob -> you (sent 12:00): before\n"},
		{overlay.Message{From: "bob", To: overlay.Everyone, Body: "a\nb", SentAt: local(3, 22, 10, 0)}, "12:01:05 bob (sent 22:10): a\n           b\n"},
		{overlay.Message{From: "bob", To: "me", Body: "in ten minutes", SentAt: local(2, 12, 0, 0)}, "12:01:05 bob -> you (sent 2026-03-02 12:00): in ten minutes\n"},
		{overlay.Message{From: "bob", To: "me", Body: "\xff", Binary: true}, "12:01:05 bob -> you: [1 byte of data]\n"},
		{overlay.Message{From: "bob", To: "me", Body: strings.Repeat("\xff", 999), Binary: true}, "12:01:05 bob -> you: [999 bytes of data]\n"},
		{overlay.Message{From: "bob", To: "me", Body: strings.Repeat("\xff", 12<<10), Binary: true}, "12:01:05 bob -> you: [12 kB of data]\n"},
		{overlay.PeerChanged{ID: "bob"}, ""},
		// Clocks that are wrong.
		{overlay.Message{From: "bob", To: "me", Body: "x", SentAt: local(5, 12, 0, 0)}, "12:01:05 bob -> you: x\n"},
		{overlay.Message{From: "bob", To: "me", Body: "x", SentAt: time.Unix(0, 0)}, "12:01:05 bob -> you: x\n"},
		{overlay.Message{From: "bob", To: "me", Body: "x", SentAt: time.Unix(0, math.MaxInt64)}, "12:01:05 bob -> you: x\n"},
		{overlay.Message{From: "bob", To: "me", Body: "x", SentAt: time.Unix(0, math.MinInt64)}, "12:01:05 bob -> you: x\n"},
		{overlay.Message{From: "bob", To: "me", Body: "a\n12:01:05 * eve left\r\nb\x1b[H"}, "12:01:05 bob -> you: a\n           12:01:05 * eve left\n           b\\x1b[H\n"},
		{overlay.Sent{To: "bob", Ref: "hello"}, ""},
		{overlay.Delivered{To: "bob", Ref: "hello"}, "12:01:05 * delivered to bob: hello\n"},
		{overlay.Buffered{To: "bob", Ref: "he\nllo", Reason: "x\ny"}, `12:01:05 * waiting for bob (x\ny): he\nllo` + "\n"},
		{overlay.Failed{To: "bob", Ref: "hello", Error: "refused"}, "12:01:05 ! not delivered to bob (refused): hello\n"},
	} {
		var b strings.Builder
		if err := newTestText(&b).Show(test.event); err != nil || b.String() != test.want {
			t.Errorf("got  %qwant %q", b.String(), test.want)
		}
	}
}

func TestTextObeys(t *testing.T) {
	n := linestest.New("me")
	n.Table = []overlay.Peer{
		{ID: "alice", State: overlay.StateAlive, Direct: true, Addresses: []string{"1.2.3.4:5", "[::1]:5"}, RTT: 1500 * time.Microsecond},
		{ID: "bob", State: overlay.StateSuspect, Via: "alice"},
	}
	n.Waits = []overlay.Waiting{
		{To: "bob", Count: 2, Since: time.Date(2026, 3, 3, 12, 2, 0, 0, time.Local)},
		{To: "carol", Count: 1, Since: time.Date(2026, 3, 3, 12, 1, 0, 0, time.Local)},
	}
	key := certs.PublicKey{}.String()
	for _, test := range []struct{ line, want string }{
		{"", ""},
		{"hello", ""},
		{"@bob hi", ""},
		{"@me hi", "12:01:05 ? not sent (a peer can't send to itself): hi\n"},
		{strings.Repeat("x", 64<<10+1), "12:01:05 ? not sent (the message is too long: a message to everyone has at most 65536 bytes (64 KiB)): " + strings.Repeat("x", 40) + "…\n"},
		{"\xff", "12:01:05 ? the line is not UTF-8, nothing was sent\n"},
		{"/nonsense", "12:01:05 ? there is no command /nonsense; /help lists them, and a text that begins with / is typed with //\n"},
		{"/peers", "12:01:05 * 2 peers here: alice, bob\n"},
		{"/buffer", "12:01:05 * waiting: 2 for bob (since 12:02), 1 for carol (since 2026-03-03 12:01)\n"},
		{"/table", "12:01:05 * 2 peers in the routing table:\n" +
			"    ID     STATE    HOW        RTT     ADDRESSES          KEY\n" +
			"    alice  alive    direct     1.5 ms  1.2.3.4:5 [::1]:5  " + key + "\n" +
			"    bob    suspect  via alice  -                          " + key + "\n"},
	} {
		var b strings.Builder
		leave, err := linestest.Execute(t, newTestText(&b), n, test.line)
		if leave || err != nil || b.String() != test.want {
			t.Errorf("%.40q: got  %q\nwant %q", test.line, b.String(), test.want)
		}
	}
	if got := strings.Join(n.Sent(), "|"); got != "*: hello|bob: hi" {
		t.Errorf("sent %q", got)
	}
	var b strings.Builder
	if leave, err := linestest.Execute(t, newTestText(&b), n, "/quit"); !leave || err != nil || b.Len() > 0 {
		t.Error("/quit doesn't leave quietly")
	}
	empty := linestest.New("me")
	for line, want := range map[string]string{"/peers": "nobody else is here", "/table": "nobody else", "/buffer": "no messages are waiting", "/help": "/msg ID text"} {
		b.Reset()
		if _, err := linestest.Execute(t, newTestText(&b), empty, line); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %q", line, b.String())
		}
	}
}

// On a terminal: short times, dim or coloured, and lines folded at its width before the
// terminal would do it.
func TestTextOnTerminal(t *testing.T) {
	var b strings.Builder
	x := newTestText(&b)
	x.look.Terminal, x.look.Colour, x.look.Width = true, true, func() int { return 20 }
	if err := x.Show(overlay.Message{From: "bob", To: overlay.Everyone, Body: strings.Repeat("x", 20)}); err != nil {
		t.Fatal(err)
	}
	if err := x.Show(overlay.Delivered{To: "bob", Ref: "hi"}); err != nil {
		t.Fatal(err)
	}
	want := "\x1b[2m12:01\x1b[0m " + x.name("bob") + ": xxxxxxxxx\n        xxxxxxxxxxx\n" +
		"\x1b[2m12:01\x1b[0m \x1b[2m✓\x1b[0m \x1b[2mbob: hi\x1b[0m\n"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
	if x.name("bob") == x.name("alice") {
		t.Error("the colours of bob and alice are the same")
	}
}
