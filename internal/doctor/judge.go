package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Limits of what is well. All are guesses.
const (
	lowDisk      = 64 << 20  // bytes: below that a peer soon can't keep messages
	shortDisk    = 512 << 20 // bytes: the history alone may take 256 MiB
	enoughFiles  = 256       // open files: the socket, the state directory, clients, commands
	clockSlack   = time.Minute
	enoughBuffer = 128 << 10 // bytes: below that packets of a few busy peers are lost
)

// oldest is a time before which no clock is right: this program is younger.
var oldest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// port names the UDP port that must be let in.
func (f Facts) portText() string {
	if f.Port == 0 {
		return "the UDP port (now another one at each start; --listen :5000 keeps one)"
	}
	return fmt.Sprintf("UDP port %d", f.Port)
}

// portNumber is the port for a command that opens it.
func (f Facts) portNumber() string {
	if f.Port == 0 {
		return "5000"
	}
	return fmt.Sprint(f.Port)
}

func judgeSocket(f Facts) (all []Finding) {
	s := f.Socket
	if s.Err != nil {
		next := "give another --listen"
		switch {
		case errors.Is(s.Err, syscall.EADDRINUSE):
			next = "find that program with: ss -lunp (or lsof -nP -iUDP); or choose another port with --listen, or port 0 for a free one"
		case errors.Is(s.Err, syscall.EADDRNOTAVAIL):
			next = "this machine has no such address; --listen :5000 listens on all it has"
		case errors.Is(s.Err, fs.ErrPermission):
			next = "choose a port above 1023"
		}
		all = append(all, Finding{"socket", Problem, fmt.Sprintf("a peer can't listen on %s: %v", s.Listen, s.Err), "another program has the port, or this user or machine may not use it", next})
	}
	switch {
	case s.SendErr != nil:
		all = append(all, Finding{"socket", Problem, fmt.Sprintf("UDP packets can't be sent, not even to this machine: %v", s.SendErr),
			"a packet filter on this machine, or the sandbox or container it runs in, forbids UDP", "look at: nft list ruleset (or iptables -S), and at the rules of the container or sandbox"})
	case s.Tried && !s.Heard:
		all = append(all, Finding{"socket", Problem, "UDP packets to this machine don't arrive, not even its own",
			"a packet filter on this machine drops them", "let UDP in, such as: nft insert rule inet filter input udp dport " + f.portNumber() + " accept"})
	}
	grow := "on Linux, as root: sysctl -w net.core.rmem_max=7500000 net.core.wmem_max=7500000, and the same in /etc/sysctl.d to keep it"
	small := min(s.Receive, s.Send)
	sizes := fmt.Sprintf("the socket's buffers have %s to receive and %s to send; %s are wanted", bytesText(s.Receive), bytesText(s.Send), bytesText(s.Wanted))
	switch {
	case s.Receive == 0 || s.Send == 0 || s.Wanted == 0:
	case small < enoughBuffer:
		all = append(all, Finding{"buffers", Problem, sizes, "packets are lost whenever a few peers speak at once", grow})
	case small < s.Wanted:
		all = append(all, Finding{"buffers", Note, sizes, "that is enough for chat; when many peers speak at once packets are lost and sent again", grow})
	default:
		all = append(all, Finding{"buffers", Fine, sizes, "", ""})
	}
	if !hasCheck(all, "socket") {
		what := "a peer can listen on " + s.Listen
		switch {
		case f.State.Held && f.Peer == nil:
			what = "a UDP socket can be opened"
		case f.Peer != nil:
			what = "the running peer listens on " + strings.Join(f.Peer.Listen, ", ")
		}
		all = append(all, Finding{Check: "socket", Level: Fine, What: what})
	}
	return all
}

func hasCheck(list []Finding, check string) bool {
	for _, f := range list {
		if f.Check == check {
			return true
		}
	}
	return false
}

// openers are the commands that let the port in, by the firewall.
var openers = map[string]string{
	"ufw":                  "sudo ufw allow %s/udp",
	"firewalld":            "sudo firewall-cmd --permanent --add-port=%[1]s/udp && sudo firewall-cmd --reload",
	"nft":                  "sudo nft insert rule inet filter input udp dport %s accept (with your table and chain, see: sudo nft list ruleset)",
	"the macOS firewall":   "System Settings > Network > Firewall > Options: allow quicpeer (UDP port %s)",
	"the Windows firewall": `netsh advfirewall firewall add rule name=quicpeer dir=in action=allow protocol=UDP localport=%s`,
}

func judgeFirewalls(f Facts) (all []Finding) {
	for _, w := range f.Firewalls {
		next := fmt.Sprintf(openers[w.Name], f.portNumber())
		if f.Port == 0 {
			next += ", and start with --listen :5000"
		}
		switch {
		case w.Hidden != "":
			all = append(all, Finding{"firewall", Note, w.Name + " is on this machine, but its rules can't be seen: " + w.Hidden,
				"if it keeps " + f.portText() + " closed, others can't dial this peer", "run this again as root; or let the port in: " + next})
		case !w.Active:
		case w.Strict && !w.Open && f.Port == 0:
			all = append(all, Finding{"firewall", Problem, w.Name + " lets in only what a rule names, and this peer has no fixed port",
				"others can't dial this peer, and no rule can name its port", next})
		case w.Strict && !w.Open:
			all = append(all, Finding{"firewall", Problem, w.Name + " keeps " + f.portText() + " closed", "others can't dial this peer; it can dial them", next})
		default:
			all = append(all, Finding{"firewall", Fine, fmt.Sprintf("%s lets %s in", w.Name, f.portText()), "", ""})
		}
	}
	if len(all) == 0 {
		return one("firewall", Fine, "no firewall is active on this machine", "one on the router, or of the host around a container, can't be seen from here", "")
	}
	return all
}

func judgeInterfaces(f Facts) (all []Finding) {
	var v4, v6 bool
	for _, i := range f.Interfaces {
		for _, a := range i.Addresses {
			v4 = v4 || a.Is4() && !a.IsLinkLocalUnicast()
			v6 = v6 || a.Is6() && !a.IsLinkLocalUnicast() && !a.IsPrivate()
		}
	}
	switch {
	case !v4 && !v6 && !hasAddress(f.Interfaces):
		return one("network", Problem, "this machine has no network: no interface that is up has an address", "only peers on this machine can reach this one",
			"plug in the cable or join the Wi-Fi; ip addr (or ifconfig) shows the interfaces")
	case v6 && f.NoRoute6 != nil:
		return one("ipv6", Note, fmt.Sprintf("this machine has an IPv6 address, and no route to the internet by it: %v", f.NoRoute6), "peers are reached by IPv4 alone",
			"look at: ip -6 route; is IPv6 switched on at the router?")
	case !v6:
		return one("ipv6", Note, "no IPv6 address of the internet", "that is no fault, but with IPv6 on both sides no NAT stands between two peers", "switch IPv6 on at the router, if the provider has it")
	}
	return one("network", Fine, "this machine has addresses of "+map[bool]string{true: "IPv4 and IPv6", false: "IPv6"}[v4], "", "")
}

func hasAddress(list []Interface) bool {
	for _, i := range list {
		if len(i.Addresses) > 0 {
			return true
		}
	}
	return false
}

// judgeMulticast is about --discover. An interface that only has the address of IPv6 which it gives
// itself, such as the outer end of a container's, may fail.
func judgeMulticast(f Facts) (all []Finding) {
	var heard, others []string
	for _, i := range f.Interfaces {
		const useless = "--discover finds nobody over it"
		switch {
		case len(i.Addresses) == 0:
		case !i.Heard && !slices.ContainsFunc(i.Addresses, func(a netip.Addr) bool { return a.Is4() || !a.IsLinkLocalUnicast() }):
		case i.Heard:
			heard = append(heard, i.Name)
			for _, a := range i.Others {
				others = append(others, a.String())
			}
		case !i.CanMulti:
			all = append(all, Finding{"multicast", Note, i.Name + " can't do multicast", useless + "; usual for VPNs", "on another network, or join by an address: --join HOST:PORT"})
		case i.Err != nil:
			all = append(all, Finding{"multicast", Problem, fmt.Sprintf("multicast over %s fails: %v", i.Name, i.Err), useless,
				"is another program holding UDP port 5353 alone, or does a packet filter forbid it? Or join by an address: --join HOST:PORT"})
		default:
			all = append(all, Finding{"multicast", Problem, "a multicast sent over " + i.Name + " was not heard there", useless + ": a packet filter drops it",
				"let UDP port 5353 to 224.0.0.251 and ff02::fb in and out, such as: sudo ufw allow 5353/udp; or join by an address: --join HOST:PORT"})
		}
	}
	switch {
	case len(others) > 0:
		all = append(all, Finding{"multicast", Fine, "multicast works on " + strings.Join(heard, ", ") + ", and peers answer: " + strings.Join(others, ", "), "", ""})
	case len(heard) > 0:
		all = append(all, Finding{"multicast", Note, "multicast works on " + strings.Join(heard, ", ") + " as far as this machine sees, and no peer has answered",
			"either none runs with --discover there, or the Wi-Fi keeps its guests apart (AP isolation), which can't be seen from here",
			"start the other with --discover; if both run and don't find each other, switch off AP or client isolation, or join by an address: --join HOST:PORT"})
	}
	return all
}

func judgeRouter(f Facts) []Finding {
	r := f.Router
	if hasInternet(f.Interfaces) {
		return nil // no NAT, as far as this machine sees
	}
	switch {
	case r.Behind:
		return one("router", Note, fmt.Sprintf("the router maps ports by %s, but is behind another NAT: its address is %v", r.By, r.External),
			"--map-port is of no use; the provider, or a second router, translates addresses too", "forward the port on both routers, ask the provider for an address of its own, or use IPv6")
	case r.By != "":
		return one("router", Fine, "the router maps ports, by "+r.By+": --map-port works", "", "")
	case r.Gateway.IsValid():
		return one("router", Note, fmt.Sprintf("the router %v maps no ports: it answers neither PCP, NAT-PMP nor UPnP", r.Gateway), "--map-port does nothing here",
			"switch UPnP or NAT-PMP on in the router, or forward "+f.portText()+" to this machine by hand")
	}
	return one("router", Note, "there is no default route to a router", "this machine reaches its own LAN alone", "if it should reach the internet, look at: ip route")
}

// hasInternet says whether an interface has an IPv4 address of the internet.
func hasInternet(list []Interface) bool {
	for _, i := range list {
		for _, a := range i.Addresses {
			if a.Is4() && a.IsGlobalUnicast() && !a.IsPrivate() && !sharedSpace.Contains(a) {
				return true
			}
		}
	}
	return false
}

// sharedSpace are the addresses of providers' NATs, RFC 6598.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

func bytesText(n int) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%d KiB", n>>10)
	}
}
