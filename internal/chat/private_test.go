package chat

import (
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

var testTicket = (&certs.Ticket{
	Network: certs.PublicKey{1}, Name: "home", ID: "bob", Doors: []certs.TicketDoor{{Address: "192.0.2.7:5000"}},
}).Text()

// What an admin types, and the answers.
func TestTextActs(t *testing.T) {
	n := linestest.New("me")
	var b strings.Builder
	x := newTestText(&b)
	for _, test := range []struct{ ticket, line, want string }{
		{"", "/qr", "12:01:05 ? there is no ticket to show; /invite ID makes one\n"},
		{"", "/invite bob", "12:01:05 ? this network is not private\n"},
		{testTicket, "/qr", "12:01:05 ? there is no ticket to show; /invite ID makes one\n"},
		{testTicket, "/invite bob", "12:01:05 * for bob, once, until tomorrow 12:01, while you are here:\n    " + testTicket + "\n"},
		{testTicket, "/invite carol", "12:01:05 ? carol is a stranger\n"},
		{testTicket, "/invite carol admin", "12:01:05 * for carol, as an admin, once, until tomorrow 12:01, while you are here:\n    " + testTicket +
			"\n    nobody of this network can be dialled from outside: this ticket works on this LAN only (see --map-port)\n"},
		{testTicket, "/uninvite bob", "12:01:05 * no ticket for bob is good any more\n"},
		{testTicket, "/uninvite carol", "12:01:05 ? carol is a stranger\n"},
		{testTicket, "/remove bob", ""},
		{testTicket, "/remove carol", "12:01:05 ? carol is a stranger\n"},
		{testTicket, "/remove carol all", ""},
		{testTicket, "/remove", "12:01:05 ? it is typed as /remove ID [all]\n"},
		{testTicket, "/uninvite b c", "12:01:05 ? it is typed as /uninvite ID\n"},
		{testTicket, "/invite b c", "12:01:05 ? it is typed as /invite ID [admin]\n"},
		{testTicket, "/join " + testTicket, "12:01:05 ? a ticket is given at the start: quicpeer --join TICKET, or --join - to be asked for it; here it is the HOST:PORT of a peer\n"},
	} {
		b.Reset()
		n.Ticket = test.ticket
		if leave, err := linestest.Execute(t, x, n, test.line); leave || err != nil || b.String() != test.want {
			t.Errorf("%s: got  %q\nwant %q", test.line, b.String(), test.want)
		}
	}
	if sent := n.Sent(); len(sent) > 0 {
		t.Errorf("sent %q", sent)
	}
}

// Only what is still good can be shown as a code.
func TestTextForgetsTicket(t *testing.T) {
	n := linestest.New("me")
	n.Ticket = testTicket
	var b strings.Builder
	x := newTestText(&b)
	for _, line := range []string{"/invite bob", "/uninvite bob", "/qr"} {
		b.Reset()
		if _, err := linestest.Execute(t, x, n, line); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(b.String(), "there is no ticket to show") {
		t.Errorf("%s", b.String())
	}
}

// The events of a private network.
func TestTextPrivateEvents(t *testing.T) {
	key := certs.NewIdentity(make([]byte, 32)).Key()
	const hash = "k3j5abcdefghijklmnopqrstuv"
	greeting := func(where string) string {
		return "12:01:05 * you are me, " + key.String() + ", " + where + "listening on 1.2.3.4:5\n"
	}
	for _, test := range []struct {
		keyFile string
		event   overlay.Event
		want    string
	}{
		{"", overlay.Ready{ID: "me", Key: key, Listen: []string{"1.2.3.4:5"}, Network: "home#" + hash}, greeting("in the private network home#" + hash + ", ")},
		{"", overlay.Ready{ID: "me", Key: key, Listen: []string{"1.2.3.4:5"}, Network: "#" + hash}, greeting("in the private network #" + hash + ", ")},
		{"", overlay.Ready{ID: "me", Key: key, Listen: []string{"1.2.3.4:5"}, Network: "work"}, greeting("")},
		{"", overlay.Ready{ID: "me", Key: key, Listen: []string{"1.2.3.4:5"}, Network: "work #1"}, greeting("")},
		{"/s/network.key", overlay.Ready{ID: "me", Key: key, Listen: []string{"1.2.3.4:5"}, Network: "home#" + hash}, greeting("in the private network home#"+hash+", ") +
			"12:01:05 * keep a copy of /s/network.key in a safe place: without it nobody can name admins\n"},
		{"", overlay.Redeemed{ID: "bob", Key: key}, "12:01:05 * bob was let in (" + key.String() + ", by your ticket)\n"},
		{"", overlay.Redeemed{ID: "bob", Key: key, Why: "it\nhas ended"}, "12:01:05 ! a use of your ticket for bob was refused (" + key.String() + "): it\\nhas ended\n"},
		{"", overlay.PeerLeft{ID: "bob", Reason: overlay.ReasonRemoved}, ""},
		{"", overlay.Removed{ID: "bob", Key: key, By: "me"}, "12:01:05 * bob was removed from the network for good\n"},
		{"", overlay.Removed{ID: "bob", Key: key, By: "alice"}, "12:01:05 * bob was removed from the network for good, by alice\n"},
	} {
		var b strings.Builder
		x := newTestText(&b)
		x.KeyFile, x.self = test.keyFile, "me"
		if err := x.Show(test.event); err != nil || b.String() != test.want {
			t.Errorf("got  %qwant %q", b.String(), test.want)
		}
	}
}

// A time to come is as short as it can be.
func TestUntil(t *testing.T) {
	x := newTestText(new(strings.Builder))
	for at, want := range map[time.Time]string{
		local(4, 23, 59, 59): "23:59", local(5, 0, 0, 0): "tomorrow 00:00", local(5, 12, 1, 5): "tomorrow 12:01", local(6, 12, 0, 0): "2026-03-06 12:00",
	} {
		if got := x.until(at); got != want {
			t.Errorf("%v: %s", at, got)
		}
	}
}
