package main

import (
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

func someNet(at time.Time) overlay.Net {
	return overlay.Net{
		NAT: overlay.NATEven, PortMap: "none: PCP: no answer",
		Addresses: []overlay.OwnAddress{
			{Address: "192.168.1.2:5000", Source: "interface"},
			{Address: "203.0.113.1:5000", Source: "observed", By: []certs.ID{"bob", "pub"}},
		},
		Peers: []overlay.Way{
			{ID: "bob", How: overlay.HowPunched, Address: "203.0.113.2:5000", Since: at, Behind: true},
			{ID: "carol", How: overlay.HowRelayed, Via: "pub", Behind: true, Tries: 2, Error: "no\x1b answer", Next: at},
		},
	}
}

func TestNetAsJSON(t *testing.T) {
	const at = `"time":"2026-03-04T11:01:05.250000Z"`
	n := newFakeNode("me")
	n.net = someNet(noon)
	for _, test := range []struct {
		n          *fakeNode
		line, want string
	}{
		{newFakeNode("me"), `{"cmd":"net"}`, `{"event":"net",` + at + `,"nat":"","addresses":[],"port_map":"","peers":[],"ref":""}`},
		{n, `{"cmd":"net","ref":"r"}`, `{"event":"net",` + at + `,"nat":"even","addresses":[{"address":"192.168.1.2:5000","source":"interface","by":[]},` +
			`{"address":"203.0.113.1:5000","source":"observed","by":["bob","pub"]}],"port_map":"none: PCP: no answer","peers":[` +
			`{"id":"bob","how":"punched","address":"203.0.113.2:5000","since":"2026-03-04T11:01:05.250000Z","via":"","behind_nat":true,"tries":0,"error":"","next_try":null},` +
			`{"id":"carol","how":"relayed","address":"","since":null,"via":"pub","behind_nat":true,"tries":2,"error":"no\u001b answer","next_try":"2026-03-04T11:01:05.250000Z"}],"ref":"r"}`},
	} {
		var b strings.Builder
		j := &jsonl{out: &output{w: &b}, now: func() time.Time { return noon }}
		if leave, err := obeyed(t, j, test.n, test.line); leave || err != nil || b.String() != test.want+"\n" {
			t.Errorf("got  %swant %s", b.String(), test.want)
		}
	}
}

func TestNetAsText(t *testing.T) {
	n := newFakeNode("me")
	n.net = someNet(time.Date(2026, 3, 4, 12, 1, 0, 0, time.Local))
	var b strings.Builder
	if leave, err := obeyed(t, newTestText(&b), n, "/net"); leave || err != nil {
		t.Fatal(leave, err)
	}
	for _, want := range []string{"same port to everybody", "port mapping: none: PCP", "observed by bob, pub", "punched", "relayed via pub", "2: no"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("what others say is not escaped: %q", b.String())
	}
}
