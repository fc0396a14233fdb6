package chat

import (
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines/linestest"
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

func TestNetAsText(t *testing.T) {
	n := linestest.New("me")
	n.Report = someNet(time.Date(2026, 3, 4, 12, 1, 0, 0, time.Local))
	var b strings.Builder
	if leave, err := linestest.Execute(t, newTestText(&b), n, "/net"); leave || err != nil {
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
