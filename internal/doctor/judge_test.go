package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// well are the facts of a machine on which nothing stands in the way.
func well() Facts {
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	return Facts{
		Port:   5000,
		Socket: Socket{Listen: ":5000", Receive: 7 << 20, Send: 7 << 20, Wanted: 7 << 20, Tried: true, Heard: true},
		Interfaces: []Interface{{Name: "eth0", CanMulti: true, Heard: true, Others: addresses("192.168.1.9"),
			Addresses: addresses("192.168.1.5", "2001:db8::5", "fe80::5")}},
		Router: Router{Gateway: netip.MustParseAddr("192.168.1.1"), By: "PCP"},
		Clock:  Clock{Now: now, Synced: true, Newest: now.Add(-time.Hour)},
		State:  State{Dir: "/s", Exists: true, Mode: 0o700, Held: true, Free: 1 << 40},
		Files:  Files{Most: 1024},
		Peer:   &Peer{ID: "me", Listen: []string{"192.168.1.5:5000"}, Net: overlay.Net{NAT: overlay.NATNone, Peers: []overlay.Way{{ID: "bob", How: overlay.HowDialled}}}},
	}
}

func addresses(list ...string) (all []netip.Addr) {
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

func TestAllWell(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Judge(well()) {
		if f.Level != Fine || f.Next != "" {
			t.Errorf("%+v", f)
		}
		seen[f.Check] = true
	}
	for _, check := range []string{"socket", "buffers", "firewall", "network", "multicast", "nat", "router", "peers", "clock", "state", "disk", "files"} {
		if !seen[check] {
			t.Errorf("nothing is said of %s", check)
		}
	}
}

// Each fault makes one finding, which says what and what to do next, and nothing else changes for
// the worse.
func TestJudge(t *testing.T) {
	relayed := func(change func(*overlay.Way), nat overlay.NAT) func(*Facts) {
		return func(f *Facts) {
			w := overlay.Way{ID: "bob", How: overlay.HowRelayed, Via: "carol", Tries: 3, Error: "timeout"}
			change(&w)
			f.Peer.Net = overlay.Net{NAT: nat, Peers: []overlay.Way{w}}
		}
	}
	for name, test := range map[string]struct {
		change func(*Facts)
		check  string
		level  Level
		says   []string // words of the finding
	}{
		"port in use":     {func(f *Facts) { f.Socket.Err = &net.OpError{Op: "listen", Err: syscall.EADDRINUSE} }, "socket", Problem, []string{"can't listen on :5000", "ss -lunp"}},
		"foreign address": {func(f *Facts) { f.Socket.Err = syscall.EADDRNOTAVAIL }, "socket", Problem, []string{"no such address"}},
		"low port":        {func(f *Facts) { f.Socket.Err = os.ErrPermission }, "socket", Problem, []string{"above 1023"}},
		"nothing sent":    {func(f *Facts) { f.Socket = Socket{SendErr: syscall.EPERM} }, "socket", Problem, []string{"can't be sent", "nft list ruleset"}},
		"nothing heard":   {func(f *Facts) { f.Socket.Heard = false }, "socket", Problem, []string{"don't arrive", "udp dport 5000 accept"}},
		"stock buffers":   {func(f *Facts) { f.Socket.Receive = 208 << 10 }, "buffers", Note, []string{"208 KiB", "net.core.rmem_max=7500000"}},
		"tiny buffers":    {func(f *Facts) { f.Socket.Send = 64 << 10 }, "buffers", Problem, []string{"64 KiB", "sysctl"}},
		"ufw":             {func(f *Facts) { f.Firewalls = []Firewall{{Name: "ufw", Active: true, Strict: true}} }, "firewall", Problem, []string{"keeps UDP port 5000 closed", "sudo ufw allow 5000/udp"}},
		"firewalld":       {func(f *Facts) { f.Firewalls = []Firewall{{Name: "firewalld", Active: true, Strict: true}} }, "firewall", Problem, []string{"--add-port=5000/udp"}},
		"unseen":          {func(f *Facts) { f.Firewalls = []Firewall{{Name: "nft", Hidden: "not permitted"}} }, "firewall", Note, []string{"not permitted", "as root"}},
		"no fixed port":   {func(f *Facts) { f.Port = 0; f.Firewalls = []Firewall{{Name: "ufw", Active: true, Strict: true}} }, "firewall", Problem, []string{"no fixed port", "--listen :5000"}},
		"no network":      {func(f *Facts) { f.Interfaces = nil; f.Router = Router{By: "PCP"} }, "network", Problem, []string{"no network", "ip addr"}},
		"no IPv6":         {func(f *Facts) { f.Interfaces[0].Addresses = addresses("192.168.1.5", "fe80::5", "fd00::5") }, "ipv6", Note, []string{"IPv6"}},
		"no IPv6 route":   {func(f *Facts) { f.NoRoute6 = syscall.ENETUNREACH }, "ipv6", Note, []string{"no route", "ip -6 route"}},
		"a VPN": {func(f *Facts) {
			f.Interfaces = append(f.Interfaces, Interface{Name: "wg0", Addresses: addresses("10.9.0.1")})
		}, "multicast", Note, []string{"wg0 can't do multicast"}},
		"multicast fails": {func(f *Facts) { f.Interfaces[0].Heard = false; f.Interfaces[0].Err = syscall.EADDRINUSE }, "multicast", Problem, []string{"eth0 fails", "5353"}},
		"multicast lost":  {func(f *Facts) { f.Interfaces[0].Heard = false }, "multicast", Problem, []string{"not heard", "5353/udp"}},
		"half an interface": {func(f *Facts) {
			f.Interfaces = append(f.Interfaces, Interface{Name: "veth0", CanMulti: true, Addresses: addresses("fe80::1")})
			f.Files.Most = 1
		}, "files", Problem, nil},
		"nobody answers": {func(f *Facts) { f.Interfaces[0].Others = nil }, "multicast", Note, []string{"no peer has answered", "AP isolation", "--discover"}},
		"two NATs": {func(f *Facts) {
			f.Router = Router{By: "UPnP", Behind: true, External: netip.MustParseAddr("100.64.0.1")}
		}, "router", Note, []string{"behind another NAT", "100.64.0.1"}},
		"no mapping":       {func(f *Facts) { f.Router.By = "" }, "router", Note, []string{"192.168.1.1 maps no ports", "forward UDP port 5000"}},
		"no route":         {func(f *Facts) { f.Router = Router{} }, "router", Note, []string{"no default route"}},
		"symmetric":        {func(f *Facts) { f.Peer.Net.NAT = overlay.NATSymmetric }, "nat", Problem, []string{"symmetric", "--map-port"}},
		"some NAT":         {func(f *Facts) { f.Peer.Net.NAT = overlay.NATBehind }, "nat", Note, []string{"second peer outside"}},
		"unknown NAT":      {func(f *Facts) { f.Peer.Net.NAT = overlay.NATUnknown }, "nat", Note, []string{"no peer has said"}},
		"clock in 1970":    {func(f *Facts) { f.Clock = Clock{Now: time.Unix(100, 0), Synced: true} }, "clock", Problem, []string{"1970", "set-ntp"}},
		"clock went back":  {func(f *Facts) { f.Clock.Newest = f.Clock.Now.Add(3 * time.Hour) }, "clock", Problem, []string{"3 hours in the future"}},
		"clock unkept":     {func(f *Facts) { f.Clock.Synced = false }, "clock", Note, []string{"nothing keeps"}},
		"clock unseen":     {func(f *Facts) { f.Clock.Hidden = "not permitted" }, "clock", Note, []string{"not permitted", "date -u"}},
		"a peer's clock":   {func(f *Facts) { f.Peer.Clocks = []PeerClock{{"bob", time.Hour}, {"carol", 0}, {"dave", time.Second}} }, "clock", Problem, []string{"the clock of bob is ahead", "60 minutes"}},
		"or a slow one":    {func(f *Facts) { f.Peer.Clocks = []PeerClock{{"bob", -time.Hour}} }, "clock", Note, []string{"bob may be behind", "on their way"}},
		"our clock":        {func(f *Facts) { f.Peer.Clocks = []PeerClock{{"bob", time.Hour}, {"carol", time.Hour}, {"dave", 0}} }, "clock", Problem, []string{"2 of 3 peers", "this one that is wrong"}},
		"nothing kept":     {func(f *Facts) { f.State = State{} }, "state", Note, []string{"keeps nothing", "--id"}},
		"state unseen":     {func(f *Facts) { f.State.Err = errors.New("input/output error") }, "state", Problem, []string{"input/output error", "ls -ld /s"}},
		"no place":         {func(f *Facts) { f.State.Exists = false; f.State.ReadOnly = true }, "state", Problem, []string{"can't be made", "--state-dir"}},
		"another user's":   {func(f *Facts) { f.State.Foreign = true }, "state", Problem, []string{"another user"}},
		"not writable":     {func(f *Facts) { f.State.ReadOnly = true }, "state", Problem, []string{"chmod u+rwx /s"}},
		"too open":         {func(f *Facts) { f.State.Mode = 0o777 }, "state", Problem, []string{"0777", "chmod 700 /s"}},
		"disk nearly full": {func(f *Facts) { f.State.Free = 63 << 20 }, "disk", Problem, []string{"63.0 MiB left", "make room"}},
		"disk short":       {func(f *Facts) { f.State.Free = 300 << 20 }, "disk", Note, []string{"300.0 MiB left"}},
		"no inodes":        {func(f *Facts) { f.State.NoNodes = true }, "disk", Problem, []string{"no inodes", "df -i"}},
		"disk unseen":      {func(f *Facts) { f.State.DiskErr = errors.New("no such call") }, "disk", Note, []string{"no such call"}},
		"few files":        {func(f *Facts) { f.Files.Most = 64 }, "files", Problem, []string{"only 64 files", "ulimit -n 1024"}},
		"alone":            {func(f *Facts) { f.Peer.Net.Peers = nil }, "peers", Note, []string{"alone", "--join"}},
		"its firewall":     {relayed(func(*overlay.Way) {}, overlay.NATNone), "peers", Problem, []string{"bob is not direct: messages go over carol", "firewall", "3 times", "timeout", "on bob's side"}},
		"no path":          {relayed(func(w *overlay.Way) { w.How, w.Via = overlay.HowNone, "" }, overlay.NATOpen), "peers", Problem, []string{"can't be reached"}},
		"no path, no try":  {relayed(func(w *overlay.Way) { w.How, w.Tries = overlay.HowNone, 0 }, overlay.NATOpen), "peers", Problem, []string{"no attempt", "in a minute"}},
		"its NAT":          {relayed(func(w *overlay.Way) { w.Behind, w.Tries = true, 1 }, overlay.NATOpen), "peers", Problem, []string{"it is behind a NAT", "tried once", "forward its port"}},
		"both NATs":        {relayed(func(w *overlay.Way) { w.Behind = true }, overlay.NATEven), "peers", Problem, []string{"both are behind NATs, and that one", "one of the two with --map-port"}},
		"not tried yet":    {relayed(func(w *overlay.Way) { w.Tries = 0 }, overlay.NATNone), "peers", Note, []string{"1 peer is reached over others"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := well()
			test.change(&f)
			var worse []Finding
			for _, got := range Judge(f) {
				if got.Level != Fine {
					worse = append(worse, got)
				}
			}
			if len(worse) != 1 {
				t.Fatalf("%d findings: %+v", len(worse), worse)
			}
			got := worse[0]
			if got.Check != test.check || got.Level != test.level || got.What == "" || got.Next == "" {
				t.Errorf("got %+v", got)
			}
			text := got.What + "\n" + got.Why + "\n" + got.Next
			for _, words := range test.says {
				if !strings.Contains(text, words) {
					t.Errorf("it doesn't say %q: %+v", words, got)
				}
			}
		})
	}
}

func TestJudgeWithoutAPeer(t *testing.T) {
	f := well()
	f.Peer = nil
	list := Judge(f)
	for _, want := range []string{"doesn't answer here", "takes a running peer"} {
		if !slices.ContainsFunc(list, func(g Finding) bool { return g.Level == Note && strings.Contains(g.What, want) }) {
			t.Errorf("nothing says %q: %+v", want, list)
		}
	}
	f.State.Held = false
	f.Interfaces[0].Addresses = addresses("198.51.100.7", "2001:db8::5")
	if list := Judge(f); len(list) == 0 || list[0].Level != Fine {
		t.Errorf("%+v", list)
	}
}

func TestClocks(t *testing.T) {
	at := time.Unix(1e9, 0)
	got := Clocks([]Heard{
		{"bob", at.Add(-time.Hour), at}, // it had to wait
		{"carol", at.Add(time.Hour), at.Add(time.Second)},
		{"bob", at, at.Add(time.Second)},
	})
	if want := []PeerClock{{"bob", -time.Second}, {"carol", time.Hour - time.Second}}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestManyPeersAreCounted(t *testing.T) {
	f := well()
	f.Peer.Net.NAT = overlay.NATSymmetric
	for i := range 100 {
		f.Peer.Net.Peers = append(f.Peer.Net.Peers, overlay.Way{ID: certs.ID(fmt.Sprint("p", i)), How: overlay.HowRelayed, Via: "bob", Tries: 2, Behind: true})
	}
	list := Judge(f)
	problems := Problems(list)
	if problems != maxShown+2 || !slices.ContainsFunc(list, func(g Finding) bool { return g.What == "80 more peers are not direct" }) {
		t.Errorf("%d problems", problems)
	}
	if !slices.ContainsFunc(list, func(g Finding) bool {
		return strings.Contains(g.Why, "this one shows this peer at another port to each")
	}) {
		t.Error("the NAT is not named as the reason")
	}
	if !slices.IsSortedFunc(list, func(a, b Finding) int { return ranks[a.Level] - ranks[b.Level] }) {
		t.Error("the gravest don't come first")
	}
}
