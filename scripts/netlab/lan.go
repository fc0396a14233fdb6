package netlab

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LAN is an Ethernet of its own: a switch, which is a bridge in a network namespace, and
// hosts, each a namespace with an interface on that switch. It is the kernel that cuts them
// off from each other, so the programs on them have the socket that users have.
type LAN struct {
	Hosts  []*Host
	bridge *Namespace
}

// Host is one of a LAN.
type Host struct {
	*Namespace
	Name    string
	Address netip.Addr
	port    string // of the switch
	refuses bool   // packets of some host, see Refuse
	far     *distance
}

// NewLAN builds a LAN with hosts of these names. The error says what is missing for that.
func NewLAN(names []string) (n *LAN, err error) {
	if err := Missing("tc"); err != nil {
		return nil, err
	}
	n = &LAN{}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	if n.bridge, err = New(); err != nil {
		return n, err
	}
	if err := n.bridge.IP("link add name switch type bridge", "link set switch up"); err != nil {
		return n, fmt.Errorf("a bridge: %w", err)
	}
	for _, name := range names {
		if err := n.add(name); err != nil {
			return n, fmt.Errorf("hosts with an interface on a bridge: %w", err)
		}
	}
	if err := n.Cut(func(string, string) bool { return false }); err != nil {
		return n, fmt.Errorf("tc's filters of type bpf: %w", err)
	}
	return n, nil
}

// add makes a host and plugs it in.
func (n *LAN) add(name string) error {
	ns, err := n.bridge.New()
	if err != nil {
		return err
	}
	number := len(n.Hosts) + 1
	h := &Host{Namespace: ns, Name: name, Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(number)}), port: "port" + strconv.Itoa(number)}
	n.Hosts = append(n.Hosts, h)
	return cmp.Or(
		n.bridge.Connect(h.port, ns, "eth0"),
		n.bridge.IP(fmt.Sprintf("link set %s master switch up", h.port)),
		n.bridge.batch("tc", []string{fmt.Sprintf("qdisc add dev %s clsact", h.port)}),
		h.IP(
			"link set dev lo up",
			"link set dev eth0 addrgenmode none", // no IPv6, of which the cuts know nothing
			fmt.Sprintf("addr add %s/24 dev eth0", h.Address)),
		n.Link(h, "up"))
}

// Host is the host of a name.
func (n *LAN) Host(name string) (*Host, error) {
	i := slices.IndexFunc(n.Hosts, func(h *Host) bool { return h.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%s has no host; netns names all who have one", name)
	}
	return n.Hosts[i], nil
}

// Cut makes the switch drop what goes between hosts that are to be apart, and nothing else:
// without a word to the sender, as a broken network does. tc can do it alone, so no
// firewall's tools are needed.
func (n *LAN) Cut(apart func(a, b string) bool) error {
	var lines []string
	for _, to := range n.Hosts {
		var from []netip.Addr
		for _, h := range n.Hosts {
			if h != to && apart(h.Name, to.Name) {
				from = append(from, h.Address)
			}
		}
		lines = append(lines, fmt.Sprintf("filter replace dev %s egress pref 1 protocol ip handle 1 bpf direct-action bytecode %s",
			to.port, dropFrom(from)))
	}
	return n.bridge.batch("tc", lines)
}

// dropFrom is a program for the kernel's packet filter which drops a packet that
// comes from one of the addresses. An instruction is its code, how many to skip
// if a comparison holds, how many if not, and an operand.
func dropFrom(list []netip.Addr) string {
	const (
		load, equal, end = 0x20, 0x15, 0x06
		sourceAt         = 14 + 12 // behind the header of Ethernet, in that of IPv4
		pass, drop       = 0, 2
	)
	program := []string{fmt.Sprint(load, 0, 0, sourceAt)}
	for i, a := range list {
		bytes := a.As4()
		program = append(program, fmt.Sprint(equal, len(list)-i, 0, binary.BigEndian.Uint32(bytes[:])))
	}
	program = append(program, fmt.Sprint(end, 0, 0, pass), fmt.Sprint(end, 0, 0, drop))
	return fmt.Sprintf("%q", strconv.Itoa(len(program))+","+strings.Join(program, ","))
}

// Link takes a host's interface down or up, and then waits until the switch's port forwards
// again: a busy kernel takes a moment for that, and drops packets meanwhile.
func (n *LAN) Link(h *Host, state string) error {
	if err := h.IP("link set dev eth0 " + state); err != nil || state != "up" {
		return err
	}
	for by := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		port, err := n.bridge.Run("", "ip", "-d", "link", "show", "dev", h.port)
		switch {
		case err != nil:
			return err
		case strings.Contains(port, " state forwarding "):
			return nil
		case time.Now().After(by):
			return fmt.Errorf("the switch does not forward to %s: %s", h.Name, port)
		}
	}
}

// Narrow makes the way between a host and the switch drop packets of more than so many bytes,
// without a word: the host's own interface knows nothing of it. Packets that a host hands to
// its kernel together are taken apart before they leave it, or they would pass.
func (n *LAN) Narrow(h *Host, bytes int) error {
	for _, every := range n.Hosts {
		if err := every.IP("link set dev eth0 gso_max_segs 1"); err != nil {
			return err
		}
	}
	return n.bridge.IP(fmt.Sprintf("link set dev %s mtu %d", h.port, bytes))
}

// Slow makes the line between a host and the switch slow in both directions, with a queue of some
// seconds before it.
func (n *LAN) Slow(h *Host, kbit int) error {
	const line = "qdisc replace dev %s root tbf rate %dkbit burst 3000 latency 4s"
	if err := h.batch("tc", []string{fmt.Sprintf(line, "eth0", kbit)}); err != nil {
		return err
	}
	return n.bridge.batch("tc", []string{fmt.Sprintf(line, h.port, kbit)})
}

// Refuse makes a host answer what comes from another by ICMP, as a firewall does that forbids
// it (type 3, code 13). Only a router answers so, so the host becomes one; and its rules are
// asked before it looks whether a packet is for itself.
func (h *Host) Refuse(from *Host) error {
	if err := h.set("ipv4/ip_forward=1"); err != nil {
		return err
	}
	if !h.refuses {
		h.refuses = true
		if err := h.IP("rule add pref 10 lookup local", "rule del pref 0"); err != nil {
			return err
		}
	}
	return h.IP(fmt.Sprintf("rule add pref 1 from %s iif eth0 prohibit", from.Address))
}

// Close takes all away.
func (n *LAN) Close() {
	for _, h := range n.Hosts {
		if h.far != nil {
			h.far.close()
		}
		h.Close()
	}
	if n.bridge != nil {
		n.bridge.Close()
	}
}
