package discovery

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/time/rate"
)

// The groups and the port of multicast DNS (RFC 6762, 3), and the name of our service in it.
var (
	group4      = netip.MustParseAddrPort("224.0.0.251:5353")
	group6      = netip.MustParseAddrPort("[ff02::fb]:5353")
	serviceName = dnsmessage.MustNewName("_quicpeer._udp.local.")
	// onWire is how a packet names our service first: most packets of a LAN are about others.
	onWire = []byte("\x09_quicpeer\x04_udp\x05local\x00")
)

// Bounds of what is read, guesses. A host may run some peers, each of which asks four times in its first
// 3 s, and answers each question of others. To wait for one packet costs ten times what it costs to read one
// that is there already, so a flood is read in heaps; a socket's usual buffer holds 270 small packets.
const (
	maxPacket   = 9000 // RFC 6762, 17
	hostPackets = 32   // of one address, at once, and then so many a second:
	hostRate    = 4
	allPackets  = 1024 // of all together, likewise
	allRate     = 1024
	maxSources  = 1024 // addresses that are remembered for that; then any is forgotten
	maxFailures = 16   // to read, in a row: the socket is of no use
	restAfter   = 128  // packets that are of no use to us, for so long:
	rest        = 10 * time.Millisecond
	maxReplies  = 64 // at once, and then so many a second:
	replyRate   = 16
	maxAnswers  = 8   // in a packet: ours has one
	lifetime    = 120 // of our records, in seconds (RFC 6762, 10)
	unicastBit  = 1 << 15
)

// lan is a socket that takes part in multicast DNS. Whatever comes is bounded before it is parsed, by the
// address it comes from and in sum, so that a host that floods the LAN costs little and keeps nobody from
// being heard.
type lan struct {
	conn  *net.UDPConn
	group netip.AddrPort
	via   func(*net.Interface) error // chooses the interface of the packets that follow
	cards []card

	mu      sync.Mutex // packets are sent one after the other
	sources map[netip.Addr]*rate.Limiter
	all     *rate.Limiter
	replies *rate.Limiter
}

// card is an interface on which we are in the group, and one of its subnets.
type card struct {
	net.Interface
	prefix netip.Prefix // with our own address
}

// openLAN joins the group on all interfaces, or on those of loopback.
func openLAN(group netip.AddrPort, loopback bool) (*lan, error) {
	network, any := "udp4", net.IPv4(224, 0, 0, 0)
	if group.Addr().Is6() {
		network, any = "udp6", net.ParseIP("ff02::")
	}
	conn, err := net.ListenUDP(network, &net.UDPAddr{IP: any, Port: int(group.Port())}) // a group's address: others may listen there too
	if err != nil {
		return nil, err
	}
	on := &lan{
		conn: conn, group: group, sources: make(map[netip.Addr]*rate.Limiter),
		all: rate.NewLimiter(allRate, allPackets), replies: rate.NewLimiter(replyRate, maxReplies),
	}
	if err := on.join(loopback); err != nil {
		_ = conn.Close() // nothing was sent
		return nil, err
	}
	return on, nil
}

func (on *lan) join(loopback bool) error {
	var join func(*net.Interface, net.Addr) error
	if on.group.Addr().Is4() {
		p := ipv4.NewPacketConn(on.conn)
		join, on.via = p.JoinGroup, p.SetMulticastInterface
		_ = p.SetMulticastLoopback(true) // for the peers of this host; it is the default
	} else {
		p := ipv6.NewPacketConn(on.conn)
		join, on.via = p.JoinGroup, p.SetMulticastInterface
		_ = p.SetMulticastLoopback(true)
	}
	list, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range list {
		prefixes := on.prefixes(&i)
		if i.Flags&net.FlagUp == 0 || (i.Flags&net.FlagLoopback != 0) != loopback || len(prefixes) == 0 {
			continue
		}
		if join(&i, &net.UDPAddr{IP: on.group.Addr().AsSlice()}) == nil {
			for _, p := range prefixes {
				on.cards = append(on.cards, card{i, p})
			}
		}
	}
	if len(on.cards) == 0 {
		return errors.New("no interface can join the group " + on.group.Addr().String())
	}
	return nil
}

// prefixes are the subnets of an interface, of the version of IP that is spoken here.
func (on *lan) prefixes(i *net.Interface) (list []netip.Prefix) {
	addresses, _ := i.Addrs() // without any it is of no use
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() == on.group.Addr().Is4() {
			list = append(list, p)
		}
	}
	return list
}

func (on *lan) close() error { return on.conn.Close() }

// read hands over the packets that name our service, as many as are allowed, until the socket is closed.
func (on *lan) read(each func(on *lan, from netip.AddrPort, packet []byte)) {
	b := make([]byte, maxPacket)
	for failed, refused := 0, 0; failed < maxFailures; {
		n, from, err := on.conn.ReadFromUDPAddrPort(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			failed++
		default:
			failed = 0
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if err == nil && bytes.Contains(b[:n], onWire) && on.card(from.Addr()) != nil && on.mayHear(from.Addr(), time.Now()) {
			each(on, from, b[:n])
		} else if refused++; refused%restAfter == 0 {
			time.Sleep(rest)
		}
	}
}

// card is the interface of the subnet that an address is in; nil: it is not on the LAN (RFC 6762, 11).
func (on *lan) card(ip netip.Addr) *card {
	i := slices.IndexFunc(on.cards, func(c card) bool {
		return c.prefix.Contains(ip.WithZone("")) && (ip.Zone() == "" || ip.Zone() == c.Name)
	})
	if i < 0 {
		return nil
	}
	return &on.cards[i]
}

// mayHear bounds the packets from one address, and all of them. An address is forgotten at random
// where there are too many, so that none keeps others out.
func (on *lan) mayHear(ip netip.Addr, now time.Time) bool {
	s := on.sources[ip]
	if s == nil {
		for other := range on.sources {
			if len(on.sources) < maxSources {
				break
			}
			delete(on.sources, other)
		}
		s = rate.NewLimiter(hostRate, hostPackets)
		on.sources[ip] = s
	}
	return s.AllowN(now, 1) && on.all.AllowN(now, 1)
}

// toAll sends a packet to the group on all interfaces; the error is that of the last if none works.
func (on *lan) toAll(packet []byte) (err error) {
	sent, done := false, 0
	for i, c := range on.cards {
		if i > 0 && c.Index == done {
			continue // another subnet of the same interface
		}
		done = c.Index
		if e := on.send(&c, packet, on.group); e == nil {
			sent = true
		} else {
			err = e
		}
	}
	if sent {
		return nil
	}
	return err
}

func (on *lan) send(c *card, packet []byte, to netip.AddrPort) error {
	on.mu.Lock()
	defer on.mu.Unlock()
	if err := on.via(&c.Interface); err != nil {
		return err
	}
	_, err := on.conn.WriteToUDPAddrPort(packet, to)
	return err
}

// reply answers a question: to the group on its interface, or to the asker alone if that wants it or is no
// peer of multicast DNS (RFC 6762, 5.4 and 6.7).
func (on *lan) reply(from netip.AddrPort, q *query, s service) {
	c := on.card(from.Addr())
	if c == nil || !on.replies.Allow() {
		return
	}
	to := on.group
	legacy := from.Port() != on.group.Port()
	if legacy || q.unicast {
		to = from
	}
	if !legacy {
		q = &query{}
	}
	if packet, err := s.packet(q, c.prefix.Addr()); err == nil {
		_ = on.send(c, packet, to) // it asks again
	}
}

// query is a question for our service.
type query struct {
	id       uint16
	unicast  bool
	question *dnsmessage.Question // to be repeated in the answer; nil: not
}

// service is what a peer tells about itself.
type service struct {
	instance string
	host     string
	port     uint16
	text     []string // key=value
}

// answer is what a packet says about a peer at the address that it comes from.
type answer struct {
	address netip.AddrPort
	text    map[string]string
}

// question asks for all instances of our service (RFC 6763, 4.1).
func question() []byte {
	m := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: serviceName, Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET}}}
	packet, err := m.Pack()
	if err != nil {
		panic(err) // it is always the same
	}
	return packet
}

// packet answers a question, with all that the asker would ask next (RFC 6763, 12.1).
func (s service) packet(q *query, ip netip.Addr) ([]byte, error) {
	instance, err := dnsmessage.NewName(s.instance + "." + serviceName.String())
	if err != nil {
		return nil, err
	}
	host, err := dnsmessage.NewName(s.host)
	if err != nil {
		return nil, err
	}
	record := func(name dnsmessage.Name, body dnsmessage.ResourceBody) dnsmessage.Resource {
		return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: lifetime}, Body: body}
	}
	address := record(host, &dnsmessage.AAAAResource{AAAA: ip.As16()})
	if ip.Is4() {
		address = record(host, &dnsmessage.AResource{A: ip.As4()})
	}
	m := dnsmessage.Message{
		Header:  dnsmessage.Header{ID: q.id, Response: true, Authoritative: true},
		Answers: []dnsmessage.Resource{record(serviceName, &dnsmessage.PTRResource{PTR: instance})},
		Additionals: []dnsmessage.Resource{
			record(instance, &dnsmessage.SRVResource{Port: s.port, Target: host}), record(instance, &dnsmessage.TXTResource{TXT: s.text}), address,
		},
	}
	if q.question != nil {
		m.Questions = []dnsmessage.Question{*q.question}
	}
	return m.Pack()
}

// readPacket returns the question for our service that a packet has, or its answers. The addresses that
// it names do not count: it comes from where its peer is.
func readPacket(packet []byte, from netip.Addr) (asked *query, answers []answer, err error) {
	var m dnsmessage.Message
	if err := m.Unpack(packet); err != nil {
		return nil, nil, err
	}
	if !m.Response {
		for _, q := range m.Questions {
			if q.Type == dnsmessage.TypePTR && strings.EqualFold(q.Name.String(), serviceName.String()) {
				asked = &query{id: m.ID, unicast: q.Class&unicastBit != 0, question: &q}
			}
		}
		return asked, nil, nil
	}
	records := slices.Concat(m.Answers, m.Additionals)
	for _, r := range records {
		p, ok := r.Body.(*dnsmessage.PTRResource)
		if !ok || !strings.EqualFold(r.Header.Name.String(), serviceName.String()) {
			continue
		}
		if len(answers) == maxAnswers {
			return nil, answers, fmt.Errorf("it names more than %d peers", maxAnswers)
		}
		a := answer{text: make(map[string]string)}
		for _, r := range records {
			if !strings.EqualFold(r.Header.Name.String(), p.PTR.String()) {
				continue
			}
			switch b := r.Body.(type) {
			case *dnsmessage.SRVResource:
				a.address = netip.AddrPortFrom(from, b.Port)
			case *dnsmessage.TXTResource:
				for _, t := range b.TXT {
					key, value, _ := strings.Cut(t, "=")
					a.text[key] = value
				}
			}
		}
		answers = append(answers, a)
	}
	return nil, answers, nil
}
