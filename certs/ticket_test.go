package certs

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// goldenTicket is a ticket with a door of each kind, and goldenText its text, which must never
// change.
var goldenTicket = &Ticket{
	Network: PublicKey(bytes.Repeat([]byte{1}, 32)),
	Name:    "home",
	Seed:    [16]byte([]byte("0123456789abcdef")),
	Issuer:  [8]byte{1, 2, 3, 4, 5, 6, 7, 8},
	ID:      "bob",
	Doors: []TicketDoor{
		{"192.0.2.7:5000", [8]byte{9, 9}}, {"[2001:db8::1]:5001", [8]byte{8}}, {"peer.example:443", [8]byte{7}},
	},
}

const goldenText = "qp1aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcmbrgiztinjwg44dsylcmnsgkzqbaibqibiga4eagytpmicgq33nmua4aaaca4jyqcijaaaaaaaaaabcaainxaaaaaaaaaaaaaaaaaaace4jbaaaaaaaaaaaaaymobswk4romv4gc3lqnrsqdoyhaaaaaaaaaaangwkvwi"

// drawnTicket is any ticket.
var drawnTicket = rapid.Custom(func(t *rapid.T) *Ticket {
	fixed := func(n int) []byte { return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes") }
	ticket := &Ticket{
		Network: PublicKey(fixed(32)),
		Name:    rapid.StringMatching(`[a-zA-Z .é]{0,12}`).Draw(t, "name"),
		Seed:    [16]byte(fixed(16)),
		Issuer:  [8]byte(fixed(8)),
		ID:      ID(rapid.StringMatching(`[a-zA-Z0-9._-]{1,64}`).Draw(t, "ID")),
	}
	ticket.Network[0] |= 1 // not zero
	for range rapid.IntRange(0, MaxTicketDoors).Draw(t, "doors") {
		var host string
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			host = netip.AddrFrom4([4]byte(append([]byte{10}, fixed(3)...))).String()
		case 1:
			host = netip.AddrFrom16([16]byte(append([]byte{0x20}, fixed(15)...))).String()
		case 2:
			host = rapid.StringMatching(`[a-z][a-zA-Z0-9_-]{0,60}(\.[a-z]{1,20}){0,3}`).Draw(t, "host")
		}
		port := rapid.IntRange(1, 65535).Draw(t, "port")
		ticket.Doors = append(ticket.Doors, TicketDoor{net.JoinHostPort(host, strconv.Itoa(port)), [8]byte(fixed(8))})
	}
	return ticket
})

// TestTicketText: what was written is read, whatever pasting has done to case and blanks; and
// the golden ticket reads as it always has.
func TestTicketText(t *testing.T) {
	if got := goldenTicket.Text(); got != goldenText {
		t.Errorf("the golden ticket is now\n%s", got)
	}
	if got, err := ParseTicket(goldenText); err != nil || !reflect.DeepEqual(got, goldenTicket) {
		t.Errorf("the golden ticket is read as %#v, %v", got, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		ticket := drawnTicket.Draw(t, "ticket")
		text := ticket.Text()
		if len(text) > 1941 {
			t.Errorf("a ticket of %d characters", len(text))
		}
		pasted := text
		if rapid.Bool().Draw(t, "upper case") {
			pasted = strings.ToUpper(text)
		}
		for range rapid.IntRange(0, 3).Draw(t, "breaks") {
			at := rapid.IntRange(0, len(pasted)).Draw(t, "at")
			pasted = pasted[:at] + rapid.SampledFrom([]string{" ", "\n", "\r\n    ", "\t"}).Draw(t, "break") + pasted[at:]
		}
		got, err := ParseTicket(pasted)
		if err != nil || !reflect.DeepEqual(got, ticket) || !IsTicket(pasted) {
			t.Fatalf("%q is read as %+v, %v", pasted, got, err)
		}
	})
}

// TestTicketTypo: no wrong, missing, doubled or swapped character passes.
func TestTicketTypo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(drawnTicket.Draw(t, "ticket").Text())
		at := rapid.IntRange(3, len(text)-2).Draw(t, "at")
		var wrong []byte
		switch rapid.IntRange(0, 3).Draw(t, "kind of typo") {
		case 0:
			wrong = bytes.Clone(text)
			wrong[at] = rapid.SampledFrom([]byte("abcxyz234567189-,.")).Draw(t, "character")
		case 1:
			wrong = text[:at]
		case 2:
			wrong = append(bytes.Clone(text[:at+1]), text[at:]...)
		case 3:
			wrong = bytes.Clone(text)
			wrong[at], wrong[at+1] = wrong[at+1], wrong[at]
		}
		if bytes.Equal(wrong, text) {
			t.Skip("no typo")
		}
		if got, err := ParseTicket(string(wrong)); err == nil || got != nil {
			t.Fatalf("%s instead of %s is read", wrong, text)
		} else if len(wrong) > 20 && strings.Contains(err.Error(), string(wrong[8:16])) {
			t.Fatalf("the error tells the ticket: %v", err)
		}
	})
	// The last character has bits that stand for nothing.
	last := strings.IndexByte("abcdefghijklmnopqrstuvwxyz234567", goldenText[len(goldenText)-1])
	for _, text := range []string{goldenText + "a", goldenText[:len(goldenText)-1] + string("abcdefghijklmnopqrstuvwxyz234567"[last|1])} {
		if _, err := ParseTicket(text); text != goldenText && err != errTicketTypo {
			t.Errorf("another text of the ticket: %v", err)
		}
	}
}

// sealTicket makes the text of any bytes, with the right characters at the end.
func sealTicket(b []byte) string {
	sum := sha256.Sum256(b)
	encoding := base32.StdEncoding.WithPadding(base32.NoPadding)
	return "qp1" + strings.ToLower(encoding.EncodeToString(append(bytes.Clone(b), sum[:4]...)))
}

// TestTicketRefuses: what was not mistyped, and is not a ticket that a peer makes.
func TestTicketRefuses(t *testing.T) {
	head := append(append([]byte{1}, bytes.Repeat([]byte{1}, 32)...), make([]byte, 24)...)
	body := func(head []byte, rest ...string) string {
		return sealTicket(append(bytes.Clone(head), strings.Join(rest, "")...))
	}
	const tag, typo, content = "88888888", "its last characters don't fit", "ask for another"
	ok := "\x03bob\x04home"
	door := "\x01\x0a\x00\x00\x01\x13\x88" + tag
	if _, err := ParseTicket(body(head, ok, door, door, door, door)); err != nil {
		t.Fatal(err)
	}
	zero := bytes.Clone(head)
	clear(zero[1:33])
	newer := bytes.Clone(head)
	newer[0] = 2
	for name, test := range map[string]struct{ text, says string }{
		"empty":               {"", "begins with qp1"},
		"an address":          {"192.0.2.7:5000", "begins with qp1"},
		"the prefix alone":    {"qp1", typo},
		"three characters":    {"qp1abc", typo},
		"no base32":           {"qp1" + strings.Repeat("8", 80), typo},
		"too long":            {goldenText + strings.Repeat(" ", 4096), "too long"},
		"a newer version":     {body(newer, ok), "another version"},
		"nothing":             {sealTicket(nil), "another version"},
		"cut off":             {sealTicket(head[:30]), content},
		"no ID":               {body(head, "\x00\x04home"), content},
		"a bad ID":            {body(head, "\x03b b\x04home"), content},
		"a long ID":           {body(head, "\x41", strings.Repeat("b", 65), "\x04home"), content},
		"ID cut off":          {body(head, "\x41bob"), content},
		"no name":             {body(head, "\x03bob"), content},
		"a long name":         {body(head, "\x03bob\x19", strings.Repeat("n", 25)), content},
		"a # in the name":     {body(head, "\x03bob\x02n#"), content},
		"a name of controls":  {body(head, "\x03bob\x02n\x1b"), content},
		"no network":          {body(zero, ok), content},
		"five doors":          {body(head, ok, door, door, door, door, door), content},
		"a door cut off":      {body(head, ok, door[:9]), content},
		"a door of no kind":   {body(head, ok, "\x04\x0a\x00\x00\x01\x13\x88", tag), content},
		"port 0":              {body(head, ok, "\x01\x0a\x00\x00\x01\x00\x00", tag), content},
		"no address":          {body(head, ok, "\x01\x00\x00\x00\x00\x13\x88", tag), content},
		"a mapped address":    {body(head, ok, "\x02", strings.Repeat("\x00", 10), "\xff\xff\x0a\x00\x00\x01\x13\x88", tag), content},
		"an address as host":  {body(head, ok, "\x03\x0810.0.0.1\x13\x88", tag), content},
		"no host":             {body(head, ok, "\x03\x00\x13\x88", tag), content},
		"a host of controls":  {body(head, ok, "\x03\x02a\x1b\x13\x88", tag), content},
		"a host with a blank": {body(head, ok, "\x03\x03a b\x13\x88", tag), content},
		"a long host":         {body(head, ok, "\x03\xfe", strings.Repeat("a", 254), "\x13\x88", tag), content},
	} {
		if got, err := ParseTicket(test.text); got != nil || err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for text, is := range map[string]bool{
		"qp1": true, " QP1abc": true, "q\np1abc": true, "qp1.example:5000": false, "host:5000": false, "": false, strings.Repeat("q", 1<<20): false,
	} {
		if IsTicket(text) != is {
			t.Errorf("%.20q is a ticket: %v", text, !is)
		}
	}
}

// TestTicketDoors: a door that nobody could dial is left out.
func TestTicketDoors(t *testing.T) {
	ticket := *goldenTicket
	ticket.Doors = nil
	for _, address := range []string{"", "host", "host:0", "0.0.0.0:1", "[fe80::1%eth0]:1", "a b:1", "h:65536"} {
		ticket.Doors = []TicketDoor{{Address: address}, {Address: "[::ffff:10.0.0.1]:7"}}
		got, err := ParseTicket(ticket.Text())
		if err != nil || len(got.Doors) != 1 || got.Doors[0].Address != "10.0.0.1:7" {
			t.Errorf("%q: %v, %v", address, got.Doors, err)
		}
	}
}

// TestTicketKey: the ticket's key follows from the seed alone, and nothing but Text tells the
// seed.
func TestTicketKey(t *testing.T) {
	const public = "SHA256:wLVzuiIKO0fXcBGBcHn6b1WPbSwgrwe3NdDJxX7jsWs"
	other := *goldenTicket
	other.Seed[15] ^= 1
	if got := goldenTicket.Public(); got.String() != public || got == other.Public() || got != goldenTicket.Identity().Key() {
		t.Errorf("the key is %v", got)
	}
	if tag := KeyTag(PublicKey{}); fmt.Sprintf("%x", tag) != "66687aadf862bd77" { // SHA-256 of 32 zeros, by another program
		t.Errorf("the tag is %x", tag)
	}
	var log bytes.Buffer
	for _, ticket := range []any{goldenTicket, *goldenTicket} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
			fmt.Fprintf(&log, verb+"\n", ticket)
		}
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "ticket", ticket)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "ticket", ticket)
	}
	if n := strings.Count(log.String(), "a ticket for bob"); n != 18 {
		t.Errorf("%d lines name the ticket:\n%s", n, log.String())
	}
	for text, want := range map[string]string{
		"dial " + goldenText + ": no": "dial qp1…: no",
		strings.ToUpper(goldenText):   "qp1…",
		goldenText[:19]:               "qp1…",
		"qp1 is the prefix, qp1.host": "qp1 is the prefix, qp1.host",
	} {
		if got := HideTickets(text); got != want {
			t.Errorf("%s is shown as %s", text, got)
		}
	}
	hidden, _ := json.Marshal(goldenTicket.Seed[:])
	for _, secret := range []string{"0123456789", fmt.Sprintf("%x", goldenTicket.Seed), "48 49 50", string(hidden)} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q was printed:\n%s", secret, log.String())
		}
	}
}

func FuzzTicket(f *testing.F) {
	f.Add([]byte(goldenText), false)
	f.Add([]byte("\x01"+strings.Repeat("1", 56)+"\x03bob\x04home\x01\x0a\x00\x00\x01\x13\x8888888888"), true)
	f.Add([]byte("\x01"+strings.Repeat("1", 56)+"\x03bob\x00\x03\x01h\x13\x8888888888"), true)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		text := string(b)
		if seal { // else the characters at the end keep all but the golden one out
			text = sealTicket(b)
		}
		ticket, err := ParseTicket(text)
		if (ticket == nil) == (err == nil) {
			t.Fatalf("%v, %v", ticket, err)
		}
		if err != nil {
			return
		}
		written := ticket.Text()
		if seal && written != text {
			t.Errorf("%s is written as %s", text, written)
		}
		again, err := ParseTicket(written)
		if err != nil || !reflect.DeepEqual(again, ticket) {
			t.Errorf("%s is read again as %+v, %v", written, again, err)
		}
	})
}
