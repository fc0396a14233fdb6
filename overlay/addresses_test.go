package overlay

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// pretendHost is a host's interfaces: "NAME ADDRESS/BITS…", one a line.
func pretendHost(text string) []hostInterface {
	var list []hostInterface
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		i := hostInterface{name: words[0], loopback: words[0] == "lo"}
		for _, w := range words[1:] {
			i.prefixes = append(i.prefixes, netip.MustParsePrefix(w))
		}
		list = append(list, i)
	}
	return list
}

// The addresses that a host reports, by the interfaces that it has.
func TestChooseAddresses(t *testing.T) {
	const lo = "lo 127.0.0.1/8 ::1/128\n"
	many := lo
	for i := range 40 {
		many += fmt.Sprintf("kube%d 10.%d.0.1/24 fe80::%d/64\n", i, 100+i, i+1)
	}
	unknown := strings.ReplaceAll(many, "kube", "x")
	for _, test := range []struct {
		name    string
		socket  string
		host    string
		sources string
		first   string // of the addresses, in order
		count   int
		near    string // among the subnets; or "-": none
	}{
		{"a laptop", "[::]:1", lo + "wlan0 192.168.7.5/24 2001:db8:1::5/64 fe80::5/64\n", "192.168.7.5 2001:db8:1::5",
			"192.168.7.5:1 [2001:db8:1::5]:1", 2, "192.168.7.0/24"},
		{"a socket of IPv4", "0.0.0.0:1", lo + "wlan0 192.168.7.5/24 2001:db8:1::5/64\n", "192.168.7.5", "192.168.7.5:1", 1, "192.168.7.0/24"},
		{"one address", "192.168.7.5:1", lo + "wlan0 192.168.7.5/24\neth0 10.0.0.5/8\n", "", "192.168.7.5:1", 1, "192.168.7.0/24"},
		{"one loopback address", "127.0.0.1:1", lo + "wlan0 192.168.7.5/24\n", "", "127.0.0.1:1", 1, "-"},
		{"containers first", "[::]:1", lo + "docker0 172.17.0.1/16\neth0 192.168.7.5/24\n", "", "192.168.7.5:1 172.17.0.1:1", 2, "172.17.0.0/16"},
		{"forty bridges before the LAN's card", "[::]:1", many + "eth0 192.168.7.5/24\n", "", "192.168.7.5:1 10.100.0.1:1", 41, "192.168.7.0/24"},
		{"forty interfaces of names that nobody knows", "[::]:1", unknown + "enp3s0 192.168.7.5/24\n", "", "192.168.7.5:1", 41, "10.139.0.0/24"},
		{"forty, and a card of no name, where the default route is", "[::]:1", many + "lan0 192.168.7.5/24 192.168.8.5/24\n", "192.168.7.5",
			"192.168.7.5:1 192.168.8.5:1", 42, "192.168.8.0/24"},
		{"a router whose LAN is a bridge", "[::]:1", lo + "eth1 10.3.0.2/24\nbr-lan 192.168.7.1/24\n", "192.168.7.1", "192.168.7.1:1 10.3.0.2:1", 2, "10.3.0.0/24"},
		{"a VPN that is the way to everything", "[::]:1", lo + "eth0 192.168.7.5/24\ntun0 10.8.0.2/24\n", "10.8.0.2", "10.8.0.2:1 192.168.7.5:1", 2, "192.168.7.0/24"},
		{"nothing but loopback", "[::]:1", lo, "", "127.0.0.1:1 [::1]:1", 2, "-"},
		{"nothing but loopback, a socket of IPv4", "0.0.0.0:1", lo, "", "127.0.0.1:1", 1, "-"},
		{"nothing but loopback and what has no address", "[::]:1", lo + "eth0\nutun0 fe80::1/64\n", "", "127.0.0.1:1 [::1]:1", 2, "-"},
		{"a cable between two laptops", "[::]:1", lo + "eth0 169.254.7.5/16 fe80::5/64\n", "", "169.254.7.5:1", 1, "169.254.0.0/16"},
		{"the same, and containers", "[::]:1", lo + "docker0 172.17.0.1/16\neth0 169.254.7.5/16\n", "", "169.254.7.5:1 172.17.0.1:1", 2, "169.254.0.0/16"},
		{"the same, and a LAN", "[::]:1", lo + "eth0 169.254.7.5/16\nwlan0 192.168.7.5/24\n", "192.168.7.5", "192.168.7.5:1 169.254.7.5:1", 2, "169.254.0.0/16"},
		{"an address of the internet on loopback", "[::]:1", "lo 127.0.0.1/8 203.0.113.9/32\neth0 10.0.0.5/24\n", "10.0.0.5", "10.0.0.5:1 203.0.113.9:1", 2, "10.0.0.0/24"},
	} {
		var sources []netip.Addr
		for _, s := range strings.Fields(test.sources) {
			sources = append(sources, netip.MustParseAddr(s))
		}
		own, near := chooseAddresses(netip.MustParseAddrPort(test.socket), pretendHost(test.host), sources)
		for i, first := range strings.Fields(test.first) {
			if len(own) != test.count || own[i].String() != first {
				t.Errorf("%s: %d addresses %v, where %s is to be in place %d", test.name, len(own), own, first, i)
			}
		}
		if none := test.near == "-"; none != (len(near) == 0) || !none && !slices.Contains(near, netip.MustParsePrefix(test.near)) {
			t.Errorf("%s: near is %v", test.name, near)
		}
	}
	huge := ""
	for i := range 1000 {
		huge += fmt.Sprintf("x%d 10.%d.%d.1/24\n", i, i/250, i%250)
	}
	if own, near := chooseAddresses(netip.MustParseAddrPort("[::]:1"), pretendHost(huge), nil); len(own) != maxOwnAddresses || len(near) != maxOwnAddresses {
		t.Errorf("of 1000 interfaces there are %d addresses, %d subnets", len(own), len(near))
	}
}
