package doctor

import (
	"strings"
	"testing"

	"quicpeer/scripts/netlab"
)

// host runs lines of the command ip on the host of the test.
func host(t *testing.T, lines ...string) {
	t.Helper()
	if err := netlab.Here.IP(lines...); err != nil {
		t.Fatal(err)
	}
}

// found is the finding of a check, the gravest.
func found(t *testing.T, list []Finding, check string) Finding {
	t.Helper()
	for _, f := range list {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("nothing is said of %s: %+v", check, list)
	return Finding{}
}

func look(t *testing.T) []Finding {
	t.Helper()
	list := Judge(Gather(t.Context(), Request{Listen: ":5000", StateDir: t.TempDir(), Root: "/", Run: RunCommand}))
	for _, f := range list {
		t.Logf("%+v", f)
	}
	return list
}

// A host with no network says so; with a card multicast is heard, until the card can't do it.
func TestNetworkOfAHost(t *testing.T) {
	if !netlab.Alone(t) {
		return
	}
	if f := found(t, look(t), "network"); f.Level != Problem || !strings.Contains(f.What, "no network") {
		t.Errorf("%+v", f)
	}
	host(t, "link add lan0 type veth peer name lan0x", "address add 192.168.7.5/24 dev lan0", "link set lan0x up", "link set lan0 up")
	if f := found(t, look(t), "multicast"); f.Level != Note || !strings.Contains(f.What, "multicast works on lan0") {
		t.Errorf("%+v", f)
	}
	host(t, "link set lan0 multicast off")
	if f := found(t, look(t), "multicast"); f.Level != Note || !strings.Contains(f.What, "lan0 can't do multicast") {
		t.Errorf("%+v", f)
	}
}

// Filters that keep out packets are found by trying, and by their rules.
func TestFilteredHost(t *testing.T) {
	if err := netlab.Missing("nft"); err != nil {
		t.Skip("needs ", err)
	}
	if !netlab.Alone(t) {
		return
	}
	host(t, "link add lan0 type veth peer name lan0x", "address add 192.168.7.5/24 dev lan0", "link set lan0x up", "link set lan0 up")
	rules := func(text string) []Finding {
		t.Helper()
		if _, err := netlab.Here.Run("flush ruleset\n"+text, "nft", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		return look(t)
	}
	list := rules("table inet f { chain input { type filter hook input priority 0; meta l4proto udp drop\n}\n}")
	if f := found(t, list, "socket"); f.Level != Problem || !strings.Contains(f.What, "don't arrive") {
		t.Errorf("%+v", f)
	}
	if f := found(t, list, "multicast"); f.Level != Problem || !strings.Contains(f.What, "not heard") {
		t.Errorf("%+v", f)
	}
	list = rules("table inet f { chain output { type filter hook output priority 0; meta l4proto udp drop\n}\n}")
	if f := found(t, list, "socket"); f.Level != Problem || !strings.Contains(f.What, "can't be sent") {
		t.Errorf("%+v", f)
	}
	const closed = `table inet f { chain input { type filter hook input priority 0; policy drop; iif "lo" accept; ct state established,related accept; udp dport 5353 accept; %s
}
}`
	list = rules(strings.Replace(closed, "%s", "tcp dport 5000 accept", 1))
	if f := found(t, list, "firewall"); f.Level != Problem || !strings.Contains(f.What, "keeps UDP port 5000 closed") {
		t.Errorf("%+v", f)
	}
	if f := found(t, list, "socket"); f.Level != Fine {
		t.Errorf("%+v", f)
	}
	list = rules(strings.Replace(closed, "%s", "udp dport { 4000, 4999-5001 } accept", 1))
	if f := found(t, list, "firewall"); f.Level != Fine {
		t.Errorf("%+v", f)
	}
}
