package transport_test

import (
	"net/netip"
	"testing"

	"quicpeer/transport"
)

func TestOwnSubnet(t *testing.T) {
	if !transport.OwnSubnet(netip.MustParseAddr("127.0.0.5")) {
		t.Error("this host is not in its own subnet")
	}
	for _, ip := range []string{"203.0.113.77", "2001:db8:77::1", "224.0.0.251"} {
		if transport.OwnSubnet(netip.MustParseAddr(ip)) {
			t.Errorf("%s is taken for one of this LAN", ip)
		}
	}
}
