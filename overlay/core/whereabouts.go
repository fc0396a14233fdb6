package core

import (
	"net/netip"
	"quicpeer/pb"
	"slices"
	"time"
)

// Our own addresses. Those of our interfaces are known; whether we are behind a NAT, and what our
// reflexive address is, only others can say, and each new link begins with it. The result is in
// our record, which is renewed and flooded when it changes.

// Bounds of it, guesses.
const (
	maxObservations = 16
	maxObservedIPs  = 3               // in the record; a host with two uplinks has two
	renewPause      = 1 * time.Second // between two records for new addresses
	observedFor     = 30 * time.Minute
	strangerAfter   = 5 * time.Minute // we have dialled nothing at its IP for so long
	relinksAtOnce   = 3               // because of a new reflexive address, which anybody can claim
	relinkEvery     = 30 * time.Second
)

// whereabouts is what a peer knows of its own addresses, and of where others may be reached.
type whereabouts struct {
	*env
	table *table
	links *links

	own       []netip.AddrPort // of our interfaces
	near      []netip.Prefix   // the subnets of these
	before    []netip.AddrPort // if only loopback is left: the addresses before
	mapped    netip.AddrPort   // a port that our router leads to us
	forwarded netip.AddrPort   // a stranger has reached us there from outside
	seen      []observation    // the newest last
	nextRenew time.Duration
	relinks   limiter
	pending   bool // our record may have to be renewed, once that is possible
}

// observation is our reflexive address: where one peer sees us.
type observation struct {
	link LinkID
	by   string // its fingerprint
	at   time.Duration
	addr netip.AddrPort
}

// current returns the observations that count: of linked peers, or else of former ones.
func (wh *whereabouts) current() []observation {
	list := slices.DeleteFunc(slices.Clone(wh.seen), func(o observation) bool { return wh.links.link(o.link) == nil })
	if len(list) == 0 {
		return wh.seen
	}
	return list
}

// isSeenAt reports whether most of those that see us, by that version of IP, see us at this
// address.
func (wh *whereabouts) isSeenAt(ip netip.Addr) bool {
	n := 0
	for _, o := range wh.current() {
		switch {
		case o.addr.Addr() == ip:
			n++
		case o.addr.Addr().Is4() == ip.Is4():
			n--
		}
	}
	return n > 0
}

// reachable returns the addresses for our record: where to dial us, and where we are seen.
func (wh *whereabouts) reachable() (addresses, observed []netip.AddrPort) {
	addresses = slices.Clone(wh.own[:min(len(wh.own), MaxOwnAddresses)])
	for _, a := range []netip.AddrPort{wh.mapped, wh.forwarded} {
		if a.IsValid() && !slices.Contains(addresses, a) {
			addresses = append(addresses[:min(len(addresses), pb.MaxAddresses-1)], a)
		}
	}
	return addresses, wh.observedAddresses()
}

// observedAddresses returns the reflexive addresses that are not our own, one for each IP: the
// one that most peers see, and of equals the one in our record, since behind a symmetric NAT
// every peer sees another port. Of many IPs those count where most linked peers see us. A peer
// that can be dialled from outside names none.
func (wh *whereabouts) observedAddresses() []netip.AddrPort {
	if wh.mapped.IsValid() || wh.forwarded.IsValid() {
		return nil
	}
	weights, namers := map[netip.AddrPort]int{}, map[netip.Addr]int{}
	for _, o := range wh.seen {
		weights[o.addr] += 2
		if wh.links.link(o.link) != nil {
			namers[o.addr.Addr()]++
		}
	}
	if wh.table.self != nil {
		for _, text := range wh.table.self.record.Observed {
			weights[parseAddress(text)]++
		}
	}
	var list []netip.AddrPort
	for _, o := range wh.seen {
		i := slices.IndexFunc(list, func(a netip.AddrPort) bool { return a.Addr() == o.addr.Addr() })
		switch {
		case slices.Contains(wh.own, o.addr):
		case i < 0:
			list = append(list, o.addr)
		case weights[o.addr] > weights[list[i]]:
			list[i] = o.addr
		}
	}
	if len(list) > maxObservedIPs {
		slices.SortStableFunc(list, func(a, b netip.AddrPort) int { return namers[b.Addr()] - namers[a.Addr()] })
		list = list[:maxObservedIPs]
	}
	return list
}

// latest is where we were seen last, at each IP. Our record may be older: it follows the most, and
// those count whose links lead nowhere now.
func (wh *whereabouts) latest() (list []string) {
	var hosts []netip.Addr
	for _, o := range slices.Backward(wh.seen) {
		if !slices.Contains(wh.own, o.addr) && !slices.Contains(hosts, o.addr.Addr()) && len(list) < pb.MaxObserved {
			hosts, list = append(hosts, o.addr.Addr()), append(list, o.addr.String())
		}
	}
	return list
}

func (wh *whereabouts) nat() NAT {
	var outside []netip.AddrPort
	agree := 0 // of the pairs that see the same IP; those that see another port count against it
	for _, o := range wh.current() {
		if slices.Contains(wh.own, o.addr) || !o.addr.Addr().Is4() {
			continue
		}
		for _, a := range outside {
			switch {
			case a == o.addr:
				agree++
			case a.Addr() == o.addr.Addr():
				agree--
			}
		}
		outside = append(outside, o.addr)
	}
	switch {
	case wh.mapped.IsValid() || wh.forwarded.IsValid():
		return NATOpen
	case len(wh.seen) == 0:
		return NATUnknown
	case len(outside) == 0:
		return NATNone
	case len(outside) == 1:
		return NATBehind
	case agree < 0:
		return NATSymmetric
	}
	return NATEven
}

// MaxCandidates is how many addresses of a peer are dialled at once.
const MaxCandidates = 8

// kind ranks the addresses of a peer, the near ones first.
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

// headStart is how long a kind is alone in the race before the next one begins. A LAN answers in
// 4 to 12 ms (measured), and the path over the router and back must not win; IPv6 gets a small
// advantage; the unlikely ones wait for everything that may take a round trip. Guesses within
// that frame.
var headStart = [...]time.Duration{
	loopback: 20 * time.Millisecond,
	lan:      100 * time.Millisecond,
	global6:  50 * time.Millisecond,
	global4:  50 * time.Millisecond,
	observed: 250 * time.Millisecond,
}

// candidates returns the addresses to dial a peer at. met says that the peer dials us too, or
// can't be told to; seen is where others see it now, as it says itself. Without met only addresses
// count at which the peer may well answer.
func (wh *whereabouts) candidates(e *entry, met bool, seen []string) []Candidate {
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
		for _, text := range slices.Concat(seen, e.record.Observed) {
			if a := parseAddress(text); signedHost(e.record, a.Addr()) && wh.kindOf(a, e) != useless {
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

// sameSite reports whether we and the peer are seen behind the same address, as far as known: the
// private addresses of two homes are often the same.
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

// sameHost reports whether all addresses of the peer are ours too.
func (wh *whereabouts) sameHost(e *entry) bool {
	for _, text := range e.record.Addresses {
		if !wh.isOwnIP(parseAddress(text).Addr()) {
			return false
		}
	}
	return true
}

func (wh *whereabouts) isOwn(a netip.AddrPort) bool {
	return slices.Contains(wh.own, a) || a == wh.mapped || a == wh.forwarded
}

func (wh *whereabouts) isOwnIP(ip netip.Addr) bool {
	return slices.ContainsFunc(wh.own, func(a netip.AddrPort) bool { return a.Addr() == ip })
}

// isUseless reports whether no other peer, or too many hosts, would answer at the address.
func (wh *whereabouts) isUseless(a netip.AddrPort) bool {
	return !a.IsValid() || wh.isOwn(a) || wh.isBroadcast(a.Addr())
}

// isBroadcast reports whether all hosts of a subnet of ours would get a packet to the address.
func (wh *whereabouts) isBroadcast(ip netip.Addr) bool {
	return ip.Is4() && slices.ContainsFunc(wh.near, func(p netip.Prefix) bool {
		// The last address: the next one is outside. A /31 and a /32 have none (RFC 3021).
		return p.Bits() < 31 && p.Contains(ip) && !p.Contains(ip.Next())
	})
}

// isNear reports whether an address is in a subnet of ours.
func (wh *whereabouts) isNear(ip netip.Addr) bool {
	return slices.ContainsFunc(wh.near, func(p netip.Prefix) bool { return p.Contains(ip.WithZone("")) })
}

// nearLink reports whether a link stays within the LAN or the host.
func (wh *whereabouts) nearLink(l *link) bool {
	ip := parseAddress(l.address).Addr()
	return ip.IsLoopback() || wh.isNear(ip)
}

// A host without a network has loopback addresses only, and then its peers name these, so that
// they find each other. To other hosts they mean nothing, or worse, somebody else: a peer must
// not dial its own host because of such a record. So the loopback address of another peer counts
// only if that peer was met over loopback, or if we have
// no other addresses ourselves and no way out: then every peer that we hear of is here too. (This
// fails only in a network over IPv6 link-local addresses alone, with several peers on each host.
// As everywhere, the peer dialled shows its key.)

// hereAlone reports whether every peer that we hear of is on this host.
func (wh *whereabouts) hereAlone() bool {
	if !onlyLoopback(wh.own) {
		return false
	}
	return !slices.ContainsFunc(wh.links.list, func(l *link) bool { return l.state == linkUp && !l.quiet && !l.within })
}

// hereBefore is where a peer may be now that was on this host while it still had a network: at
// the same port.
func (wh *whereabouts) hereBefore(a netip.AddrPort) netip.AddrPort {
	was := slices.ContainsFunc(wh.before, func(b netip.AddrPort) bool { return a.Addr() == b.Addr() })
	if i := slices.IndexFunc(wh.own, func(b netip.AddrPort) bool { return a.Addr().Is4() == b.Addr().Is4() }); was && i >= 0 {
		return netip.AddrPortFrom(wh.own[i].Addr(), a.Port())
	}
	return netip.AddrPort{}
}
