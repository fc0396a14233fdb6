package core

import (
	"net/netip"
	"slices"
	"time"
)

// Candidate is an address of a peer, and how long after the others' begin it is dialled.
type Candidate struct {
	Address string
	After   time.Duration
}

// MaxCandidates is how many addresses of a peer are dialled at once.
const MaxCandidates = 8

// kind orders the addresses of a peer: the near ones first.
type kind int

const (
	loopback kind = iota
	lan           // in a subnet of ours, or behind the same NAT
	global6
	global4
	observed // behind a NAT
	unlikely // private and not of our site, or a bridge that is on every host
	useless  // our own, or no address at all
)

// headStart is how long a kind is alone in the race before the next one begins. A LAN
// answers in 4 to 12 ms (measured), and a way over the router and back must not win; of
// the two versions of IP the newer one gets a bit; the unlikely ones wait for all that
// may take a round trip. Guesses in that frame.
var headStart = [...]time.Duration{
	loopback: 20 * time.Millisecond,
	lan:      100 * time.Millisecond,
	global6:  50 * time.Millisecond,
	global4:  50 * time.Millisecond,
	observed: 250 * time.Millisecond,
}

// candidates are the addresses at which the peer is dialled; met says that it knows and
// does the same, or can't be told, and more is where it is seen by who has told us. Before
// that only those count at which it may well answer.
func (wh *whereabouts) candidates(e *entry, met bool, more netip.AddrPort) []Candidate {
	type ranked struct {
		address netip.AddrPort
		kind    kind
	}
	var list []ranked
	add := func(a netip.AddrPort, k kind) {
		if k != useless && (met || k != unlikely) && !slices.ContainsFunc(list, func(r ranked) bool { return r.address == a }) {
			list = append(list, ranked{a, k})
		}
	}
	if last := parseAddress(e.our().lastAddress); last.IsValid() && last.Addr().IsLoopback() {
		add(last, loopback) // it is here, whatever its record says
	}
	alone := wh.hereAlone()
	for _, text := range e.record.Addresses {
		a := parseAddress(text)
		add(a, wh.kindOf(a, e))
		if here := wh.hereBefore(a); alone && here.IsValid() && !wh.isOwn(here) {
			add(here, loopback)
		}
	}
	if met {
		if more.IsValid() {
			k := wh.kindOf(more, e)
			switch {
			case more.Addr().IsLoopback() && !wh.isUseless(more):
				k = loopback
			case k == global4 || k == global6:
				k = observed
			}
			add(more, k)
		}
		for _, text := range e.record.Observed {
			if a := parseAddress(text); a.IsValid() && !wh.isOwn(a) {
				add(a, observed)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b ranked) int { return int(a.kind - b.kind) })
	var out []Candidate
	after := time.Duration(0)
	for i, r := range list[:min(len(list), MaxCandidates)] {
		if i > 0 && r.kind != list[i-1].kind {
			after += headStart[list[i-1].kind]
		}
		out = append(out, Candidate{r.address.String(), after})
	}
	return out
}

// kindOf ranks an address of a peer.
func (wh *whereabouts) kindOf(a netip.AddrPort, e *entry) kind {
	ip := a.Addr()
	switch {
	case wh.isUseless(a):
		return useless
	case ip.IsLoopback() && !wh.hereAlone():
		return useless
	case ip.IsLoopback():
		return loopback
	case wh.isOwnIP(ip) && !wh.sameHost(e):
		return unlikely // a bridge of containers, which has the same address everywhere
	case isGlobal(ip) && ip.Is6() && !wh.isNear(ip):
		return global6
	case isGlobal(ip) && !wh.isNear(ip):
		return global4
	}
	switch same, known := wh.sameSite(e); {
	case known && same:
		return lan
	case !known && wh.isNear(ip):
		return lan
	}
	return unlikely
}

// sameSite says whether we and the peer are seen behind the same address, as far as that
// is known: the private addresses of two homes are often the same.
func (wh *whereabouts) sameSite(e *entry) (same, known bool) {
	ours, theirs := wh.table.self.record.Observed, e.record.Observed
	for _, o := range ours {
		for _, t := range theirs {
			if parseAddress(o).Addr() == parseAddress(t).Addr() {
				return true, true
			}
		}
	}
	return false, len(ours) > 0 && len(theirs) > 0
}

// sameHost says that all of the peer's addresses are ours too.
func (wh *whereabouts) sameHost(e *entry) bool {
	for _, text := range e.record.Addresses {
		if !wh.isOwnIP(parseAddress(text).Addr()) {
			return false
		}
	}
	return true
}

func (wh *whereabouts) isOwn(a netip.AddrPort) bool {
	w := wh
	return slices.Contains(w.own, a) || a == w.mapped || a == w.forwarded
}

func (wh *whereabouts) isOwnIP(ip netip.Addr) bool {
	return slices.ContainsFunc(wh.own, func(a netip.AddrPort) bool { return a.Addr() == ip })
}

// isUseless says that nobody else answers there, or too many.
func (wh *whereabouts) isUseless(a netip.AddrPort) bool {
	return !a.IsValid() || wh.isOwn(a) || wh.isBroadcast(a.Addr())
}

// isBroadcast says that all hosts of a subnet of ours would get a packet to the address.
func (wh *whereabouts) isBroadcast(ip netip.Addr) bool {
	return ip.Is4() && slices.ContainsFunc(wh.near, func(p netip.Prefix) bool {
		// The last address: the next one is outside. A /31 and a /32 have none (RFC 3021).
		return p.Bits() < 31 && p.Contains(ip) && !p.Contains(ip.Next())
	})
}

// isNear says that an address is in a subnet of ours.
func (wh *whereabouts) isNear(ip netip.Addr) bool {
	return slices.ContainsFunc(wh.near, func(p netip.Prefix) bool { return p.Contains(ip.WithZone("")) })
}

// isGlobal says that an address means the same everywhere. 100.64.0.0/10 is what
// providers use behind their own NATs (RFC 6598).
func isGlobal(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !sharedSpace.Contains(ip)
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// signedHost says that a peer has named the IP in its record.
func signedHost(r *Record, ip netip.Addr) bool {
	for _, list := range [][]string{r.Addresses, r.Observed} {
		for _, text := range list {
			if parseAddress(text).Addr() == ip {
				return true
			}
		}
	}
	return false
}

// hosts bounds how often anything is dialled at one IP (in IPv6 a /64) that does not
// answer: members can name any address as their own, and must not make others send
// packets to somebody who is none. A dial that is answered is given back.
type hosts struct{ list []hostDials }

type hostDials struct {
	prefix netip.Prefix
	spent  allowance
	last   time.Duration
}

// Bounds of it, guesses: a dial that is not answered in 3 s is up to ten datagrams of
// 1280 bytes, so one in 2 s is 50 kbit/s.
const (
	maxHosts      = 512
	dialsOfHost   = 32 // at once
	hostDialEvery = 2 * time.Second
)

func hostOf(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.WithZone("").Prefix(bits) // never fails for an IP
	return p
}

// take counts a dial.
func (h *hosts) take(ip netip.Addr, now time.Duration) bool {
	if ip.IsLoopback() {
		return true
	}
	p := hostOf(ip)
	i := slices.IndexFunc(h.list, func(d hostDials) bool { return d.prefix == p })
	if i < 0 {
		if len(h.list) == maxHosts && !h.makeRoom(now) {
			return false
		}
		i = len(h.list)
		h.list = append(h.list, hostDials{prefix: p})
	}
	h.list[i].last = now
	return h.list[i].spent.take(now, dialsOfHost-1, hostDialEvery)
}

// makeRoom forgets, of the hosts that may be dialled freely, the one that was not for longest.
func (h *hosts) makeRoom(now time.Duration) bool {
	oldest := -1
	for i, d := range h.list {
		if d.spent.next <= now && (oldest < 0 || d.last < h.list[oldest].last) {
			oldest = i
		}
	}
	if oldest < 0 {
		return false
	}
	h.list = slices.Delete(h.list, oldest, oldest+1)
	return true
}

// answered gives a dial back.
func (h *hosts) answered(ip netip.Addr) {
	p := hostOf(ip)
	for i := range h.list {
		if h.list[i].prefix == p {
			h.list[i].spent.next -= hostDialEvery
		}
	}
}

// dialled says that something was dialled there since then.
func (h *hosts) dialled(ip netip.Addr, since time.Duration) bool {
	p := hostOf(ip)
	return slices.ContainsFunc(h.list, func(d hostDials) bool { return d.prefix == p && d.last >= since })
}

// affordable drops the candidates whose host has been dialled too often.
func (re *reach) affordable(list []Candidate) []Candidate {
	return slices.DeleteFunc(list, func(a Candidate) bool { return !re.hosts.take(parseAddress(a.Address).Addr(), re.now) })
}
