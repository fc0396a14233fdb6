package portmap

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicpeer/scripts/netlab"
)

// TestMiniupnpd asks the router program of many homes, by each protocol. It runs in a network
// namespace of its own, in which this host is also the router's LAN.
func TestMiniupnpd(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs Linux and root")
	}
	for _, tool := range []string{"nft", "miniupnpd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs nft and miniupnpd: ", err)
		}
	}
	if netlab.Alone(t, "--pid", "--fork", "--kill-child", "--mount-proc") {
		askMiniupnpd(t)
	}
}

const miniupnpdTables = `
table inet filter { chain forward { type filter hook forward priority 0; jump miniupnpd
 }
 chain miniupnpd { }
}
table inet nat { chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd
 }
 chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd
 }
 chain prerouting_miniupnpd { }
 chain postrouting_miniupnpd { }
}`

const miniupnpdConfig = `
ext_ifname=wan
listening_ip=lan
enable_natpmp=yes
enable_upnp=yes
upnp_table_name=filter
upnp_nat_table_name=nat
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
secure_mode=no
uuid=00000000-0000-0000-0000-000000000001
allow 1024-65535 0.0.0.0/0 1024-65535
`

func askMiniupnpd(t *testing.T) {
	router, err := netlab.Here.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(router.Close)
	run := func(input string, words ...string) string {
		t.Helper()
		out, err := router.Run(input, words...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if err := netlab.Here.Connect("eth0", router, "lan"); err != nil {
		t.Fatal(err)
	}
	if err := netlab.Here.IP("addr add 10.7.0.2/24 dev eth0", "link set eth0 up"); err != nil {
		t.Fatal(err)
	}
	err = router.IP("addr add 10.7.0.1/24 dev lan", "link set lan up",
		"link add wan type veth peer name wan1", "addr add 100.200.3.1/24 dev wan", "link set wan up", "link set wan1 up")
	if err != nil {
		t.Fatal(err)
	}
	run(miniupnpdTables, "nft", "-f", "-")
	conf := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(conf, []byte(miniupnpdConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := router.Command("miniupnpd", "-d", "-f", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	rules := func() string { return run("", "nft", "list", "table", "inet", "nat") }
	lan := netip.MustParseAddr("10.7.0.1")
	for _, w := range []protocol{{"PCP", (&pcp{gateway: lan}).ask}, {"NAT-PMP", (&natPMP{gateway: lan}).ask}, {"UPnP", (&upnp{}).ask}} {
		var granted *mapping
		err := fmt.Errorf("not asked")
		begin := time.Now()
		for deadline := begin.Add(20 * time.Second); err != nil && time.Now().Before(deadline); { // until it is up
			begin = time.Now()
			granted, err = w.ask(t.Context(), 4001)
		}
		if err != nil || granted.external != netip.MustParseAddrPort("100.200.3.1:4001") {
			t.Errorf("%s: %+v, %v", w.name, granted, err)
			continue
		}
		t.Logf("%s: mapped in %v for %v", w.name, time.Since(begin).Round(time.Millisecond), granted.lease)
		if list := rules(); !strings.Contains(list, "4001") {
			t.Errorf("%s: no rule: %s", w.name, list)
		}
		if err := granted.release(t.Context()); err != nil {
			t.Errorf("%s: giving back: %v", w.name, err)
		}
		if list := rules(); strings.Contains(list, "4001") {
			t.Errorf("%s: the rule is left: %s", w.name, list)
		}
	}
}
