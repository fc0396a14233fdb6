package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// network is an Ethernet of its own for the peers of a scenario: a switch, which
// is a bridge in a network namespace, and hosts, each a namespace with an
// interface on that switch. It is the kernel that cuts them off from each other,
// so the peers have the socket that users have.
type network struct {
	bridge *namespace
	hosts  []*host
}

// host is where one peer lives.
type host struct {
	*namespace
	name    string
	address netip.AddrPort // of the peer
	port    string         // of the switch
	refuses bool           // somebody, see refuse
}

// newNetwork builds the network. Who may not build one is told so by the error.
func newNetwork(names []string) (n *network, err error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("a Linux system, this is %s", runtime.GOOS)
	}
	for _, tool := range []string{"unshare", "nsenter", "ip", "tc"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("unshare and nsenter of util-linux, ip and tc of iproute2: %w", err)
		}
	}
	n = &network{}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if n.bridge, err = newSwitch(); err != nil {
		return n, fmt.Errorf("network namespaces, by root or by a user who may make user namespaces: %w", err)
	}
	if err := n.bridge.batch("ip", "link add name switch type bridge", "link set switch up"); err != nil {
		return n, fmt.Errorf("a bridge: %w", err)
	}
	for _, name := range names {
		if err := n.add(name); err != nil {
			return n, fmt.Errorf("hosts with an interface on a bridge: %w", err)
		}
	}
	if err := n.cut(nil); err != nil {
		return n, fmt.Errorf("tc's filters of type bpf: %w", err)
	}
	return n, nil
}

// newSwitch makes the first namespace. Root needs nothing else; others are root
// in a user namespace of their own, which not every system allows.
func newSwitch() (*namespace, error) {
	if ns, err := unshare(nil, "--net"); err == nil {
		return ns, nil
	}
	ns, err := unshare(nil, "--user", "--map-root-user", "--net")
	if err == nil {
		ns.enter = append(ns.enter, "--user", "--preserve-credentials")
	}
	return ns, err
}

// add makes a host and plugs it in.
func (n *network) add(name string) error {
	ns, err := unshare(n.bridge.enter, "--net")
	if err != nil {
		return err
	}
	number := len(n.hosts) + 1
	h := &host{
		namespace: ns, name: name, port: "port" + strconv.Itoa(number),
		address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(number)}), 5000),
	}
	h.enter = append(h.enter, n.bridge.enter[len(h.enter):]...) // the user namespace, if there is one
	n.hosts = append(n.hosts, h)
	err = n.bridge.batch("ip",
		fmt.Sprintf("link add name %s type veth peer name eth0 netns %d", h.port, h.cat.Process.Pid),
		fmt.Sprintf("link set dev %s master switch", h.port),
		fmt.Sprintf("link set dev %s up", h.port))
	if err != nil {
		return err
	}
	if err := n.bridge.batch("tc", fmt.Sprintf("qdisc add dev %s clsact", h.port)); err != nil {
		return err
	}
	return h.batch("ip",
		"link set dev lo up",
		"link set dev eth0 addrgenmode none", // no IPv6, of which the cuts know nothing
		fmt.Sprintf("addr add %s/24 dev eth0", h.address.Addr()),
		"link set dev eth0 up")
}

func (n *network) host(name string) (*host, error) {
	i := slices.IndexFunc(n.hosts, func(h *host) bool { return h.name == name })
	if i < 0 {
		return nil, fmt.Errorf("%s has no host; netns names all who have one", name)
	}
	return n.hosts[i], nil
}

// cut makes the switch drop what goes between the pairs, and nothing else: without
// a word to who has sent it, as a broken network does. tc can do it alone, so no
// firewall's tools are needed.
func (n *network) cut(cuts map[pair]bool) error {
	var lines []string
	for _, to := range n.hosts {
		var from []netip.Addr
		for _, h := range n.hosts {
			if cuts[pairOf(h.name, to.name)] {
				from = append(from, h.address.Addr())
			}
		}
		lines = append(lines, fmt.Sprintf("filter replace dev %s egress pref 1 protocol ip handle 1 bpf direct-action bytecode %s",
			to.port, dropFrom(from)))
	}
	return n.bridge.batch("tc", lines...)
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

// link takes a host's interface down or up.
func (h *host) link(state string) error { return h.batch("ip", "link set dev eth0 "+state) }

// narrow makes the way between a host and the switch drop packets of more than so many bytes,
// without a word: the host's own interface knows nothing of it. Packets that a host hands to
// its kernel together are taken apart before they leave it, or they would pass.
func (n *network) narrow(h *host, bytes int) error {
	for _, every := range n.hosts {
		if err := every.batch("ip", "link set dev eth0 gso_max_segs 1"); err != nil {
			return err
		}
	}
	return n.bridge.batch("ip", fmt.Sprintf("link set dev %s mtu %d", h.port, bytes))
}

// refuse makes a host answer what comes from another by ICMP, as a firewall does that forbids
// it (type 3, code 13). Only a router answers so, so the host becomes one; and its rules are
// asked before it looks whether a packet is for itself.
func (h *host) refuse(from *host) error {
	if err := h.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"); err != nil {
		return err
	}
	if !h.refuses {
		h.refuses = true
		if err := h.batch("ip", "rule add pref 10 lookup local", "rule del pref 0"); err != nil {
			return err
		}
	}
	return h.batch("ip", fmt.Sprintf("rule add pref 1 from %s iif eth0 prohibit", from.address.Addr()))
}

// close takes all away.
func (n *network) close() {
	for _, h := range n.hosts {
		h.close()
	}
	if n.bridge != nil {
		n.bridge.close()
	}
}

// namespace is one without a name: it lives as long as a cat in it does, and the
// cat as long as its standard input, a pipe from the harness, is open. So
// nothing is left over, however the harness ends.
type namespace struct {
	cat   *exec.Cmd
	input io.Closer
	enter []string // the words before a command that is to run in it
}

// unshare makes namespaces of the kinds that the flags name, from within others
// that enter leads into.
func unshare(enter []string, flags ...string) (*namespace, error) {
	words := slices.Concat(enter, []string{"unshare"}, flags, []string{"cat"})
	cmd := exec.Command(words[0], words[1:]...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	ownGroup(cmd) // an interrupt is for the peers first
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// The echo says that cat runs, and so that the namespace is there.
	io.WriteString(input, "here\n")
	if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		input.Close()
		err := cmd.Wait() // then all of the complaint is there
		return nil, fmt.Errorf("%s (%w)", strings.TrimSpace(complaint.String()), err)
	}
	ns := &namespace{cat: cmd, input: input}
	ns.enter = []string{"nsenter", "--target=" + strconv.Itoa(cmd.Process.Pid), "--net"}
	return ns, nil
}

func (ns *namespace) close() {
	ns.input.Close()
	ns.cat.Wait()
}

// batch runs ip or tc in the namespace with many lines at once.
func (ns *namespace) batch(tool string, lines ...string) error {
	return ns.runWith(strings.Join(lines, "\n")+"\n", tool, "-batch", "-")
}

// run runs a command in the namespace.
func (ns *namespace) run(words ...string) error { return ns.runWith("", words...) }

func (ns *namespace) runWith(input string, command ...string) error {
	words := slices.Concat(ns.enter, command)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", command[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}

// netns is the verb.
func (s *scenario) netns(args []string) error {
	if len(args) == 0 || len(args) > 254 {
		return errUsage
	}
	for i, name := range args {
		if !nameWord.MatchString(name) || slices.Contains(args[:i], name) {
			return errUsage
		}
	}
	if s.network != nil || len(s.peers) > 0 {
		return errors.New("netns comes once, before all that names a peer")
	}
	n, err := newNetwork(args)
	if err != nil {
		s.t.Skip("netns needs " + err.Error())
	}
	s.network = n
	for _, h := range n.hosts {
		s.place(h.name).fixed = h.address.String()
	}
	return nil
}

// link is the verb.
func (s *scenario) link(args []string) error {
	if len(args) != 2 || args[1] != "down" && args[1] != "up" {
		return errUsage
	}
	h, err := s.host(args[0])
	if err != nil {
		return err
	}
	s.engine.show.typed(h.name, "(link "+args[1]+")")
	return h.link(args[1])
}

// narrow is the verb.
func (s *scenario) narrow(args []string) error {
	if len(args) != 2 {
		return errUsage
	}
	bytes, err := strconv.Atoi(args[1])
	if err != nil || bytes < 68 || bytes > 1500 { // IPv4's least (RFC 791), and Ethernet's most
		return errUsage
	}
	h, err := s.host(args[0])
	if err != nil {
		return err
	}
	s.engine.show.typed(h.name, "(narrow "+args[1]+")")
	return s.network.narrow(h, bytes)
}

// refuse is the verb.
func (s *scenario) refuse(args []string) error {
	if len(args) != 2 || args[0] == args[1] {
		return errUsage
	}
	a, err := s.host(args[0])
	if err != nil {
		return err
	}
	b, err := s.host(args[1])
	if err != nil {
		return err
	}
	if err := a.refuse(b); err != nil {
		return err
	}
	return b.refuse(a)
}

func (s *scenario) host(name string) (*host, error) {
	if s.network == nil {
		return nil, errors.New("only a host of netns has an interface of its own")
	}
	return s.network.host(name)
}
