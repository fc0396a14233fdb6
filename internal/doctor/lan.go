package doctor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// service is what peers with --discover answer to.
const service = "_quicpeer._udp.local."

// The multicast groups of mDNS.
var (
	group4 = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}
	group6 = &net.UDPAddr{IP: net.ParseIP("ff02::fb"), Port: 5353}
)

// maxInterfaces bounds how many interfaces are tried, in their order: hosts of containers have
// hundreds.
const maxInterfaces = 32

// lookAtLAN tries multicast on each interface that is up, all at once.
func lookAtLAN(ctx context.Context) []Interface {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	all = slices.DeleteFunc(all, func(i net.Interface) bool { return i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 })
	all = all[:min(len(all), maxInterfaces)]
	list := make([]Interface, len(all))
	ctx, cancel := context.WithTimeout(ctx, lanTime)
	defer cancel()
	var tries sync.WaitGroup
	for n, i := range all {
		tries.Go(func() { list[n] = lookAt(ctx, i) })
	}
	tries.Wait()
	return list
}

// lookAt tries multicast on an interface: by IPv4, or by IPv6 where it has no IPv4 address, as
// discovery does.
func lookAt(ctx context.Context, i net.Interface) Interface {
	f := Interface{Name: i.Name, CanMulti: i.Flags&net.FlagMulticast != 0}
	addresses, err := i.Addrs()
	if err != nil {
		f.Err = err
		return f
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			f.Addresses = append(f.Addresses, p.Addr())
		}
	}
	if !f.CanMulti || len(f.Addresses) == 0 {
		return f
	}
	network, group := "udp6", group6
	if slices.ContainsFunc(f.Addresses, netip.Addr.Is4) {
		network, group = "udp4", group4
	}
	ear, err := net.ListenMulticastUDP(network, &i, group)
	if err != nil {
		f.Err = err
		return f
	}
	defer ear.Close()
	mouth, err := speak(network, i)
	if err != nil {
		f.Err = err
		return f
	}
	defer mouth.Close()
	mark := fmt.Sprintf("doctor-%016x", rand.Uint64())
	if _, err := mouth.WriteTo(question(mark), &net.UDPAddr{IP: group.IP, Port: group.Port, Zone: zone(network, i)}); err != nil {
		f.Err = err
		return f
	}
	var ears sync.WaitGroup
	var mu sync.Mutex
	for _, c := range []*net.UDPConn{ear, mouth} { // a question from another port is answered there
		ears.Go(func() { f.listen(ctx, c, mark, &mu) })
	}
	ears.Wait()
	return f
}

func zone(network string, i net.Interface) string {
	if network == "udp6" {
		return i.Name
	}
	return ""
}

// speak opens a socket that sends multicasts over an interface, and lets this machine hear them.
func speak(network string, i net.Interface) (*net.UDPConn, error) {
	c, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, err
	}
	if network == "udp4" {
		p := ipv4.NewPacketConn(c)
		err = firstError(p.SetMulticastInterface(&i), p.SetMulticastTTL(255), p.SetMulticastLoopback(true))
	} else {
		p := ipv6.NewPacketConn(c)
		err = firstError(p.SetMulticastInterface(&i), p.SetMulticastHopLimit(255), p.SetMulticastLoopback(true))
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func firstError(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// question asks for peers, and for a name that nobody has: our mark.
func question(mark string) []byte {
	ask := func(name string) dnsmessage.Question {
		return dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET}
	}
	m := dnsmessage.Message{Questions: []dnsmessage.Question{ask(service), ask(mark + ".local.")}}
	b, err := m.Pack()
	if err != nil {
		panic("doctor: " + err.Error()) // the names are short and valid
	}
	return b
}

// listen hears packets on a socket until ctx ends.
func (f *Interface) listen(ctx context.Context, c *net.UDPConn, mark string, mu *sync.Mutex) {
	defer context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Now()) })()
	b := make([]byte, 9000)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		ip := from.Addr().Unmap()
		mu.Lock()
		switch what := heard(b[:n], mark); {
		case what == ourQuestion:
			f.Heard = true
		case what == peerAnswers && !slices.Contains(f.Addresses, ip.WithZone("")) && !slices.Contains(f.Others, ip) && len(f.Others) < maxOthers:
			f.Others = append(f.Others, ip)
		}
		mu.Unlock()
	}
}

// maxOthers bounds the peers on a LAN that are listed.
const maxOthers = 16

// What a packet is.
const (
	somethingElse = iota
	ourQuestion
	peerAnswers
)

// heard says what a packet of mDNS is.
func heard(packet []byte, mark string) int {
	var p dnsmessage.Parser
	header, err := p.Start(packet)
	if err != nil {
		return somethingElse
	}
	if !header.Response {
		questions, err := p.AllQuestions()
		if err == nil && len(questions) == 2 && strings.HasPrefix(questions[1].Name.String(), mark+".") {
			return ourQuestion
		}
		return somethingElse
	}
	if p.SkipAllQuestions() != nil {
		return somethingElse
	}
	for {
		a, err := p.AnswerHeader()
		if err != nil {
			return somethingElse
		}
		if a.Type == dnsmessage.TypePTR && strings.EqualFold(a.Name.String(), service) {
			return peerAnswers
		}
		if p.SkipAnswer() != nil {
			return somethingElse
		}
	}
}
