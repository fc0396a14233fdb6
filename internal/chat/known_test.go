package chat

import (
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

func TestTextAboutPeers(t *testing.T) {
	before, after := certs.PublicKey{1}, certs.PublicKey{2}
	morning := time.Date(2026, 3, 4, 9, 0, 0, 0, time.Local)
	n := linestest.New("me")
	n.Known = overlay.Whois{
		ID: "bob", Key: after, Pin: before, Pinned: morning, Verified: true, SafetyNumber: "1 2 3 4", Here: morning,
		How: overlay.HowRelayed, Via: "carol", RTT: time.Millisecond,
	}
	var b strings.Builder
	x := newTestText(&b)
	for _, test := range []struct{ line, want string }{
		{"/whois eve", "12:01:05 ? no peer of that name is known\n"},
		{"/whois bob", "12:01:05 * bob:\n    key         " + after.String() + "\n    key before  " + before.String() + ": what you write waits for it; /trust bob goes on with the other\n" +
			"    pinned      since 09:00, verified\n    here        since 09:00\n    reached     relayed via carol, round trip 1.0 ms\n"},
		{"/verify bob", "12:01:05 * the safety number of you and bob:\n    1 2\n    3 4\n    this is for the new key: if bob sees the same, /trust bob goes on with it\n"},
		{"/trust bob", "12:01:05 * bob is trusted under the new key; what waits goes there\n"},
		{"/trust bob", "12:01:05 ? bob has no other key than before\n"},
		{"/verify bob", "12:01:05 * the safety number of you and bob:\n    1 2\n    3 4\n    if bob sees the same by /verify, nobody stands between you; then type /verify bob ok\n"},
		{"/verify bob ok", "12:01:05 * bob is verified\n"},
		{"/verify bob", "12:01:05 * the safety number of you and bob:\n    1 2\n    3 4\n    you have verified it\n"},
		{"/forget bob", "12:01:05 * bob is not pinned any more\n"},
		{"/forget bob", "12:01:05 ? bob is not pinned\n"},
		{"/ping bob", "12:01:05 * pong of bob: 1.5 ms, direct at 192.0.2.1:5000\n"},
		{"/ping carol", "12:01:05 * pong of carol: 20.0 ms, carried via bob\n"},
		{"/ping eve", "12:01:05 ? eve: no answer\n"},
		{"/whois b!b", "12:01:05 ? b!b is not a valid ID: an ID consists of letters, digits, '.', '_' and '-', not '!'\n"},
		{"/verify", "12:01:05 ? it is /verify ID, or /verify ID ok when the numbers are the same\n"},
	} {
		b.Reset()
		if leave, err := linestest.Execute(t, x, n, test.line); leave || err != nil || b.String() != test.want {
			t.Errorf("%s: got  %q\nwant %q", test.line, b.String(), test.want)
		}
	}
	n.Known = overlay.Whois{ID: "bob", Key: before, SafetyNumber: "1 2", How: overlay.HowLAN, Address: "192.168.1.2:5000"}
	b.Reset()
	want := "12:01:05 * bob:\n    key      " + before.String() + "\n    pinned   no\n    here     no\n    reached  lan, at 192.168.1.2:5000\n"
	if _, err := linestest.Execute(t, x, n, "/whois bob"); err != nil || b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}

// An ok is about the key whose number was shown, though the peer has another by then.
func TestVerifiesWhatWasShown(t *testing.T) {
	n := linestest.New("me")
	n.Known = overlay.Whois{ID: "bob", Key: certs.PublicKey{1}}
	var b strings.Builder
	x := newTestText(&b)
	for _, line := range []string{"/verify bob", "/verify bob ok"} {
		if _, err := linestest.Execute(t, x, n, line); err != nil {
			t.Fatal(err)
		}
		n.Known.Key = certs.PublicKey{2}
	}
	if n.Known.Verified || !strings.Contains(b.String(), "? bob has another key") {
		t.Errorf("verified: %v, %q", n.Known.Verified, b.String())
	}
}
