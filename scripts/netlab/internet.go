package netlab

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Plan shows an Internet, and the kinds of its routers.
const Plan = `             pub 203.0.113.10   n1 .21   n2 .22         addresses of their own, no firewall
                       │          │        │
         ──────────────┴── internet ───────┴──────────
               │ .1                        │ .2
           router A                    router B
       ┌──────┴──────┐                     │
   10.0.1.0/24  10.0.3.0/24           10.0.2.0/24
    a1 .11       a3 .11                b1 .11
    a2 .12                             b2 .12

Kinds of router. All translate addresses; A routes between its two LANs.
  open         lets what nobody expects in as far as itself, as a bare Linux router
  cone         lets anybody in at a port that is in use (full cone), also from its LAN
  restricted   keeps the port, lets in what was sent to (what most homes have)
  symmetric    another port for each destination, lets in what was sent to
  blocked      as restricted, and UDP passes to and from pub alone
`

// Internet is a bridge with three public hosts and two home routers, which translate
// addresses, with hosts behind them: see Plan.
type Internet struct{ places map[string]*Namespace }

// places are the namespaces of an Internet: its bridge, the routers, and the hosts.
var places = []string{"inet", "natA", "natB", "pub", "n1", "n2", "a1", "a2", "a3", "b1", "b2"}

// plugs say where a host is connected: namespace, bridge, address, and gateway if it has one.
var plugs = map[string][4]string{
	"pub": {"inet", "internet", "203.0.113.10/24", ""},
	"n1":  {"inet", "internet", "203.0.113.21/24", ""},
	"n2":  {"inet", "internet", "203.0.113.22/24", ""},
	"a1":  {"natA", "lan1", "10.0.1.11/24", "10.0.1.1"},
	"a2":  {"natA", "lan1", "10.0.1.12/24", "10.0.1.1"},
	"a3":  {"natA", "lan2", "10.0.3.11/24", "10.0.3.1"},
	"b1":  {"natB", "lan1", "10.0.2.11/24", "10.0.2.1"},
	"b2":  {"natB", "lan1", "10.0.2.12/24", "10.0.2.1"},
}

// router is one of the two: its address, and its LANs.
type router struct {
	address string
	lans    []int
}

var routers = map[string]router{"A": {"203.0.113.1", []int{1, 3}}, "B": {"203.0.113.2", []int{2}}}

// NewInternet builds one with routers of these kinds. It takes nft of nftables.
func NewInternet(kindA, kindB string) (i *Internet, err error) {
	i = &Internet{places: map[string]*Namespace{}}
	defer func() {
		if err != nil {
			i.Close()
		}
	}()
	inet, err := New()
	if err != nil {
		return i, err
	}
	i.places["inet"] = inet
	for _, name := range places[1:] {
		ns, err := inet.New()
		if err != nil {
			return i, err
		}
		i.places[name] = ns
	}
	err = cmp.Or(inet.IP("link add internet type bridge", "link set internet up"), inet.set("bridge/bridge-nf-call-iptables=0"))
	for name, r := range routers {
		err = cmp.Or(err, i.connect("nat"+name, r))
	}
	for host, at := range plugs {
		err = cmp.Or(err, i.plug(host, at))
	}
	return i, cmp.Or(err, i.Translate("A", kindA, ""), i.Translate("B", kindB, ""))
}

// connect makes a router's interfaces.
func (i *Internet) connect(name string, r router) error {
	ns := i.places[name]
	lines := []string{"link set lo up", "addr add " + r.address + "/24 dev wan", "link set wan up"}
	for n, lan := range r.lans {
		bridge := fmt.Sprintf("lan%d", n+1)
		lines = append(lines, "link add "+bridge+" type bridge", fmt.Sprintf("addr add 10.0.%d.1/24 dev %s", lan, bridge), "link set "+bridge+" up")
	}
	return cmp.Or(
		i.cable("inet", "internet", name, "wan"),
		ns.set("ipv4/ip_forward=1", "ipv4/conf/all/rp_filter=0", "ipv4/conf/all/send_redirects=0",
			"bridge/bridge-nf-call-iptables=0", "bridge/bridge-nf-call-ip6tables=0"),
		ns.IP(lines...))
}

// plug connects a host, at eth0.
func (i *Internet) plug(host string, at [4]string) error {
	lines := []string{"link set lo up", "addr add " + at[2] + " dev eth0", "link set eth0 up"}
	if at[3] != "" {
		lines = append(lines, "route add default via "+at[3])
	}
	return cmp.Or(i.cable(at[0], at[1], host, "eth0"), i.places[host].IP(lines...))
}

// cable connects a bridge to an interface of another place. Its end at the bridge has the name
// of that place.
func (i *Internet) cable(at, bridge, place, name string) error {
	ns := i.places[at]
	return cmp.Or(ns.Connect(place, i.places[place], name), ns.IP("link set "+place+" master "+bridge+" up"))
}

// Close takes an Internet of NewInternet away.
func (i *Internet) Close() {
	for _, ns := range i.places {
		ns.Close()
	}
}

// Host is where the programs of a host run.
func (i *Internet) Host(name string) (*Namespace, error) {
	ns := i.places[name]
	if ns == nil {
		return nil, fmt.Errorf("there are the hosts %s, not %s", strings.Join(places, ", "), name)
	}
	return ns, nil
}

func (i *Internet) router(name string) (*Namespace, router, error) {
	r, ok := routers[name]
	if !ok {
		return nil, r, fmt.Errorf("there are the routers A and B, not %s", name)
	}
	return i.places["nat"+name], r, nil
}

// Translate makes a router one of another kind; its mappings stay. The ports of new ones
// are from a range LOW-HIGH, unless that is empty.
func (i *Internet) Translate(name, kind, ports string) error {
	ns, r, err := i.router(name)
	if err != nil {
		return err
	}
	var blocked, cone, learn, back string
	masquerade, input := "masquerade", "drop"
	if ports != "" {
		masquerade += " to :" + ports
	}
	switch kind {
	case "restricted":
	case "open":
		input = "accept"
	case "symmetric":
		masquerade += " random,fully-random"
	case "blocked":
		blocked = "meta l4proto udp ip saddr != 203.0.113.10 ip daddr != 203.0.113.10 drop"
	case "cone":
		cone = "ip daddr " + r.address + " meta l4proto udp dnat to udp dport map @inside"
		back = `iifname "lan*" oifname "lan*" ct status dnat snat to ` + r.address
		learn = `iifname "lan*" oifname "wan" meta l4proto udp update @inside { udp sport timeout 120s : ip saddr }`
	default:
		return fmt.Errorf("there is no router of the kind %s", kind)
	}
	_, err = ns.Run(fmt.Sprintf(`flush ruleset
		table ip natlab {
			map inside { type inet_service : ipv4_addr; flags dynamic,timeout; size 65535; }
			chain incoming { type nat hook prerouting priority dstnat; %s
			}
			chain outgoing { type nat hook postrouting priority srcnat; %s
				oifname "wan" ip saddr 10.0.0.0/16 meta l4proto udp %s
				oifname "wan" ip saddr 10.0.0.0/16 masquerade
			}
			chain learn { type filter hook forward priority mangle; %s
			}
			chain forward { type filter hook forward priority filter; policy drop; %s
				ct state established,related accept
				iifname "lan*" accept
				ct status dnat accept
			}
			chain input { type filter hook input priority filter; policy accept;
				iifname "wan" ct state established,related accept
				iifname "wan" meta l4proto icmp accept
				iifname "wan" %s
			}
		}
		`, cone, back, masquerade, learn, blocked, input), "nft", "-f", "-")
	return err
}

// Flush makes a router forget all mappings, as a reboot does: a masquerade forgets what
// went over an interface that goes down.
func (i *Internet) Flush(name string) error {
	ns, _, err := i.router(name)
	if err != nil {
		return err
	}
	return ns.IP("link set wan down", "link set wan up")
}

// Rebind is Flush, and new mappings get other ports.
func (i *Internet) Rebind(name, kind string) error {
	if err := i.Translate(name, kind, "20000-20999"); err != nil {
		return err
	}
	return i.Flush(name)
}

// Timeouts says how many seconds a router's idle mapping lives.
func (i *Internet) Timeouts(name, seconds string) error {
	ns, _, err := i.router(name)
	if err != nil {
		return err
	}
	return ns.set("netfilter/nf_conntrack_udp_timeout="+seconds, "netfilter/nf_conntrack_udp_timeout_stream="+seconds)
}

// Lose makes so many percent of UDP's packets get lost, both ways, between the internet and
// a public host or a router. It happens on the internet's side, so that they have left their
// trace in the router.
func (i *Internet) Lose(port string, percent int) error {
	if _, ok := routers[port]; ok {
		port = "nat" + port
	}
	if !slices.Contains([]string{"natA", "natB", "pub", "n1", "n2"}, port) {
		return fmt.Errorf("packets can be lost at A, B, pub, n1 and n2, not at %s", port)
	}
	rules := fmt.Sprintf("table netdev loss_%[1]s\ndelete table netdev loss_%[1]s\n", port)
	if percent > 0 {
		rules += fmt.Sprintf(`table netdev loss_%[1]s {
			chain up { type filter hook ingress device "%[1]s" priority 0; ip protocol udp numgen random mod 100 < %[2]d drop; }
			chain down { type filter hook egress device "%[1]s" priority 0; ip protocol udp numgen random mod 100 < %[2]d drop; }
		}
		`, port, percent)
	}
	_, err := i.places["inet"].Run(rules, "nft", "-f", "-")
	return err
}

// Readdress gives a host behind a router another address, ADDRESS/BITS.
func (i *Internet) Readdress(host, address string) error {
	ns, err := i.Host(host)
	if err != nil {
		return err
	}
	return ns.IP("addr flush dev eth0", "addr add "+address+" dev eth0", "route add default via "+address[:strings.LastIndexByte(address, '.')+1]+"1")
}

// An Internet whose namespaces have names, PREFIX-PLACE as ip netns knows them, stays when
// the program that made it has ended. It takes root.

// Keep gives the namespaces names, so that they stay after Close.
func (i *Internet) Keep(prefix string) error {
	for name, ns := range i.places {
		if err := Here.IP("netns attach " + prefix + "-" + name + " " + strconv.Itoa(ns.cat.Process.Pid)); err != nil {
			return errors.Join(err, Remove(prefix))
		}
	}
	return nil
}

// Kept is the Internet that was kept.
func Kept(prefix string) *Internet {
	i := &Internet{places: map[string]*Namespace{}}
	for _, name := range places {
		i.places[name] = named(prefix + "-" + name)
	}
	return i
}

// Remove takes away the Internet that was kept, with all that runs there.
func Remove(prefix string) error {
	for _, place := range places {
		name := prefix + "-" + place
		if _, err := os.Stat(filepath.Join("/run/netns", name)); err != nil {
			continue
		}
		pids, err := Here.Run("", "ip", "netns", "pids", name)
		if err != nil {
			return err
		}
		for pid := range strings.FieldsSeq(pids) {
			if n, err := strconv.Atoi(pid); err == nil {
				if p, err := os.FindProcess(n); err == nil {
					p.Kill() // an error says that it has ended
				}
			}
		}
		if err := Here.IP("netns del " + name); err != nil {
			return err
		}
	}
	return nil
}
