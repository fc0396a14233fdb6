package simtest

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// Kind is a way in which routers treat packets.
type Kind int

// The kinds of router (RFC 4787 has the long names: mapping, then filtering).
const (
	// Open is a bare Linux masquerade: a mapping for each pair of source and destination,
	// which keeps the port. An unexpected packet ends at the router, and leaves an entry: a
	// later packet from within to its sender gets another port.
	Open Kind = iota
	// FullCone: endpoint-independent mapping and filtering; also from its own LAN.
	FullCone
	// Restricted: endpoint-independent mapping, address and port-dependent filtering:
	// what most homes have.
	Restricted
	// Symmetric: a mapping for each destination, with a port by chance.
	Symmetric
	// Firewall translates nothing, and lets in packets from addresses that were sent to.
	Firewall
)

// mappingLife is how long an idle mapping lives over which an answer has come, unless
// Timeout says otherwise.
const mappingLife = 2 * time.Minute

// unansweredLife is how long other mappings live, and unexpected packets are remembered:
// Linux's timeout for UDP that is not answered (nf_conntrack_udp_timeout).
const unansweredLife = 30 * time.Second

// router is a NAT or a firewall. It decides about one packet after the other.
type router struct {
	kind    Kind
	wan     netip.Addr
	life    time.Duration
	rand    *rand.Rand
	shift   uint16 // of kept ports, after Rebind
	given   byte   // addresses of its LAN
	link    *simnet.SimulatedLink
	entries []*mapping
	strays  map[flow]time.Time // Open: unexpected packets
}

// mapping is a router's memory of packets from within.
type mapping struct {
	inner    netip.AddrPort
	outer    uint16
	remote   netip.AddrPort // of a mapping for one destination; else zero
	used     time.Time
	sent     map[netip.AddrPort]time.Time // by destination
	answered bool
}

// flow is a port of the router and an address outside.
type flow struct {
	port   uint16
	remote netip.AddrPort
}

// forget drops entries that have been idle for too long.
func (r *router) forget(now time.Time) {
	kept := r.entries[:0]
	for _, m := range r.entries {
		life := r.life
		if !m.answered {
			life = min(life, unansweredLife)
		}
		if now.Sub(m.used) < life {
			kept = append(kept, m)
		}
	}
	r.entries = kept
	for f, at := range r.strays {
		if now.Sub(at) >= unansweredLife {
			delete(r.strays, f)
		}
	}
}

// out translates the source of a packet on its way out.
func (r *router) out(now time.Time, from, to netip.AddrPort) netip.AddrPort {
	r.forget(now)
	perDestination := r.kind == Symmetric || r.kind == Open
	var m *mapping
	for _, e := range r.entries {
		if e.inner == from && (!perDestination || e.remote == to) {
			m = e
		}
	}
	if m == nil {
		m = &mapping{inner: from, sent: map[netip.AddrPort]time.Time{}}
		if perDestination {
			m.remote = to
		}
		m.outer = r.port(from.Port(), to)
		r.entries = append(r.entries, m)
	}
	m.used, m.sent[to] = now, now
	if r.kind == Firewall {
		return from
	}
	return netip.AddrPortFrom(r.wan, m.outer)
}

// port chooses the outer port of a new mapping.
func (r *router) port(wished uint16, to netip.AddrPort) uint16 {
	port := wished + r.shift
	if r.kind == Symmetric {
		port = r.randomPort()
	}
	for r.taken(port, to) {
		port = r.randomPort()
	}
	return port
}

func (r *router) randomPort() uint16 { return 20000 + uint16(r.rand.IntN(40000)) }

func (r *router) taken(port uint16, to netip.AddrPort) bool {
	if _, stray := r.strays[flow{port, to}]; stray {
		return true
	}
	for _, m := range r.entries {
		if m.outer == port && (r.kind != Open || m.remote == to) {
			return true
		}
	}
	return false
}

// in finds the node within that gets a packet from outside; false: none does.
func (r *router) in(now time.Time, from, to netip.AddrPort) (inner netip.AddrPort, ok bool) {
	r.forget(now)
	for _, m := range r.entries {
		if r.kind == Firewall && m.inner != to || r.kind != Firewall && m.outer != to.Port() {
			continue
		}
		_, sent := m.sent[from]
		if sent || r.kind == FullCone {
			m.used, m.answered = now, true
			return m.inner, true
		}
	}
	if r.kind == Open {
		r.strays[flow{to.Port(), from}] = now
	}
	return inner, false
}

// reset forgets everything.
func (r *router) reset() {
	r.entries, r.strays = nil, map[flow]time.Time{}
}
