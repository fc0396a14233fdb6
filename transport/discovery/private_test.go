package discovery

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"quicpeer/certs"
)

var ours, others = certs.NewDoor(certs.PublicKey{1}), certs.NewDoor(certs.PublicKey{2})

// marked is an answer of a peer of a private network.
func marked(salt, mark, ip string) answer {
	e := said("", "", "", ip, 5000)
	e.text = map[string]string{"s": salt, "n": mark}
	return e
}

func tagsOf(door *certs.Door, salt [8]byte) (s, n string) {
	mark := door.Mark(salt)
	return hex.EncodeToString(salt[:]), hex.EncodeToString(mark[:])
}

// TestPrivateSays: what a peer of a private network says tells neither who it is nor where it
// belongs, and nothing of it is the same in another run; one of an open network says what it
// always has.
func TestPrivateSays(t *testing.T) {
	says := func(door *certs.Door) string {
		d := newDiscovery(Config{ID: "alice", Key: certs.PublicKey{7}, Network: "home#team", Door: door})
		text := d.instance() + " " + d.run
		return text + " " + strings.Join(d.text(), " ")
	}
	first, second := strings.Fields(says(ours)), strings.Fields(says(ours))
	if len(first) != 4 || len(first[2]) != len("s=")+16 || len(first[3]) != len("n=")+16 {
		t.Fatalf("it says %q", first)
	}
	for i, word := range first {
		if word == second[i] {
			t.Errorf("two runs say %q", word)
		}
		for _, secret := range []string{"alice", certs.PublicKey{7}.String(), "home", "team"} {
			if strings.Contains(word, secret) {
				t.Errorf("it says %q", word)
			}
		}
	}
	open := strings.Fields(says(nil))
	want := []string{"alice-" + open[1], open[1], "id=alice", "key=" + certs.PublicKey{7}.String(), "net=home#team"}
	if fmt.Sprint(open) != fmt.Sprint(want) {
		t.Errorf("in an open network it says %q", open)
	}
}

// TestPrivateParse: only who knows the network recognises a mark.
func TestPrivateParse(t *testing.T) {
	salt := [8]byte{0xab, 2, 3}
	s, n := tagsOf(ours, salt)
	d := &Discovery{cfg: Config{Door: ours, Network: "team"}}
	if p, err := d.parse(marked(s, n, "192.168.1.7")); err != nil || p != (Peer{Address: netip.MustParseAddrPort("192.168.1.7:5000")}) {
		t.Errorf("%+v, %v", p, err)
	}
	both := marked(s, n, "192.168.1.7")
	maps.Copy(both.text, said("eve", fingerprint, "team", "192.168.1.7", 5000).text)
	if p, err := d.parse(both); err != nil || p.ID != "" || p.Key != "" {
		t.Errorf("what is said beside the mark counts: %+v, %v", p, err)
	}
	_, foreign := tagsOf(others, salt)
	_, ofAnother := tagsOf(ours, [8]byte{9})
	_, ofZero := tagsOf(ours, [8]byte{})
	for what, e := range map[string]answer{
		"another network":          marked(s, foreign, "192.168.1.7"),
		"the mark of another salt": marked(s, ofAnother, "192.168.1.7"),
		"no mark":                  marked(s, "", "192.168.1.7"),
		"no salt":                  marked("", n, "192.168.1.7"),
		"nothing":                  {},
		"half a mark":              marked(s, n[:8], "192.168.1.7"),
		"more than a mark":         marked(s, n+"00", "192.168.1.7"),
		"letters":                  marked(s, "zz"+n[2:], "192.168.1.7"),
		"letters in the salt":      marked("zz"+s[2:], ofZero, "192.168.1.7"),
		"no address":               marked(s, n, "0.0.0.0"),
		"an open network":          said("bob", fingerprint, "team", "192.168.1.7", 5000),
	} {
		if p, err := d.parse(e); err == nil {
			t.Errorf("%s: %+v", what, p)
		}
	}
	for _, network := range []string{"team", ""} {
		if p, err := parse(marked(s, n, "192.168.1.7"), network); err == nil {
			t.Errorf("in the open network %q: %+v", network, p)
		}
	}
	own := &Discovery{cfg: Config{Door: ours}, salt: salt}
	if !own.isOwn(marked(s, n, "192.168.1.7")) || !own.isOwn(marked(strings.ToUpper(s), n, "192.168.1.7")) || d.isOwn(marked(s, n, "192.168.1.7")) {
		t.Error("a peer does not know its own answer from others")
	}
}

// TestPrivateFound: members find each other, and learn nothing but addresses; an open network of
// the same name and another private network neither find them nor are found. What goes over the
// LAN has none of their names in it.
func TestPrivateFound(t *testing.T) {
	if !onLAN(t) {
		return
	}
	first, _ := beginBehind(t, 1, "team", ours)
	open, _ := begin(t, 2, "team")
	foreign, _ := beginBehind(t, 4, "team", others)
	third, _ := beginBehind(t, 3, "team", ours)
	for _, test := range []struct {
		found chan Peer
		want  string
	}{{third, "10.7.0.1:5001"}, {first, "10.7.0.1:5003"}} {
		select {
		case p := <-test.found:
			if p != (Peer{Address: netip.MustParseAddrPort(test.want)}) {
				t.Errorf("found %+v, not %s", p, test.want)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s is not found", test.want)
		}
	}
	for _, found := range []chan Peer{open, foreign} {
		if len(found) > 0 {
			t.Errorf("a stranger has found %+v", <-found)
		}
	}
	text := ask(t, 4)
	for _, secret := range []string{"p1", "p3", "p4", certs.PublicKey{1}.String(), certs.PublicKey{3}.String(), certs.PublicKey{4}.String()} {
		if strings.Contains(text, secret) {
			t.Errorf("the LAN hears %q", secret)
		}
	}
	if !strings.Contains(text, "p2-") || strings.Count(text, "net=team") != 1 || strings.Count(text, "\x12s=") != 3 {
		t.Errorf("it hears %q", text)
	}
}

// ask is what a stranger hears who asks the LAN for peers, once so many have answered.
func ask(t *testing.T, peers int) (text string) {
	t.Helper()
	card, err := net.InterfaceByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 7, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := ipv4.NewPacketConn(conn).SetMulticastInterface(card); err != nil {
		t.Fatal(err)
	}
	// A question for the service's PTR records (RFC 6763, 4.1).
	question := "\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00" + "\x09_quicpeer\x04_udp\x05local\x00" + "\x00\x0c\x00\x01"
	if _, err := conn.WriteTo([]byte(question), &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 9000)
	for range peers {
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b[:n])
	}
	return text
}

func FuzzPrivateParse(f *testing.F) {
	s, n := tagsOf(ours, [8]byte{1})
	f.Add(s, n)
	f.Add(strings.ToUpper(s), n)
	f.Add("", "")
	f.Fuzz(func(t *testing.T, salt, mark string) {
		d := &Discovery{cfg: Config{Door: ours}}
		p, err := d.parse(marked(salt, mark, "192.168.1.7"))
		if err != nil {
			return
		}
		raw, err := hex.DecodeString(salt)
		if err != nil || len(raw) != 8 || p.ID != "" || p.Key != "" {
			t.Fatalf("takes %q as %+v", salt, p)
		}
		if _, want := tagsOf(ours, [8]byte(raw)); !strings.EqualFold(mark, want) {
			t.Errorf("takes the mark %q", mark)
		}
	})
}
