package reach

import (
	"net/netip"
	"slices"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Our own addresses. Those of our interfaces are known; whether we are behind a NAT, and what our
// reflexive address is, only others can say, and each new link begins with it. The result is in
// our record, which is renewed and flooded when it changes.

// Bounds of it, guesses.
const (
	maxObservations = 16
	maxObservedIPs  = 3 // in the record; a host with two uplinks has two
	observedFor     = 30 * time.Minute
	strangerAfter   = 5 * time.Minute // we have dialled nothing at its IP for so long
	relinksAtOnce   = 3               // because of a new reflexive address, which anybody can claim
	relinkEvery     = 30 * time.Second
)

// Whereabouts is what a peer knows of its own addresses, and of where others may be reached.
type Whereabouts struct {
	*base.Env
	table *table.Table
	links *link.Links

	Own       []netip.AddrPort // of our interfaces
	Near      []netip.Prefix   // the subnets of these
	before    []netip.AddrPort // if only loopback is left: the addresses before
	Mapped    netip.AddrPort   // a port that our router leads to us
	Forwarded netip.AddrPort   // a stranger has reached us there from outside
	Seen      []observation    // the newest last
	relinks   base.Limiter
}

// NewWhereabouts begins with the addresses of our interfaces.
func NewWhereabouts(en *base.Env, t *table.Table, ls *link.Links) *Whereabouts {
	return &Whereabouts{Env: en, table: t, links: ls, Own: en.Cfg.Addresses, Near: en.Cfg.Near}
}

// observation is our reflexive address: where one peer sees us.
type observation struct {
	Link base.LinkID
	by   string // its fingerprint
	at   time.Duration
	Addr netip.AddrPort
}

// current returns the observations that count: of linked peers, or else of former ones.
func (wh *Whereabouts) current() []observation {
	list := slices.DeleteFunc(slices.Clone(wh.Seen), func(o observation) bool { return wh.links.Link(o.Link) == nil })
	if len(list) == 0 {
		return wh.Seen
	}
	return list
}

// isSeenAt reports whether most of those that see us, by that version of IP, see us at this
// address.
func (wh *Whereabouts) isSeenAt(ip netip.Addr) bool {
	n := 0
	for _, o := range wh.current() {
		switch {
		case o.Addr.Addr() == ip:
			n++
		case o.Addr.Addr().Is4() == ip.Is4():
			n--
		}
	}
	return n > 0
}

// Reachable returns the addresses for our record: where to dial us, and where we are seen.
func (wh *Whereabouts) Reachable() (addresses, observed []netip.AddrPort) {
	addresses = slices.Clone(wh.Own[:min(len(wh.Own), base.MaxOwnAddresses)])
	for _, a := range []netip.AddrPort{wh.Mapped, wh.Forwarded} {
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
func (wh *Whereabouts) observedAddresses() []netip.AddrPort {
	if wh.Mapped.IsValid() || wh.Forwarded.IsValid() {
		return nil
	}
	weights, namers := map[netip.AddrPort]int{}, map[netip.Addr]int{}
	for _, o := range wh.Seen {
		weights[o.Addr] += 2
		if wh.links.Link(o.Link) != nil {
			namers[o.Addr.Addr()]++
		}
	}
	if wh.table.Self != nil {
		for _, text := range wh.table.Self.Record.Observed {
			weights[ParseAddress(text)]++
		}
	}
	var list []netip.AddrPort
	for _, o := range wh.Seen {
		i := slices.IndexFunc(list, func(a netip.AddrPort) bool { return a.Addr() == o.Addr.Addr() })
		switch {
		case slices.Contains(wh.Own, o.Addr):
		case i < 0:
			list = append(list, o.Addr)
		case weights[o.Addr] > weights[list[i]]:
			list[i] = o.Addr
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
func (wh *Whereabouts) latest() (list []string) {
	var hosts []netip.Addr
	for _, o := range slices.Backward(wh.Seen) {
		if !slices.Contains(wh.Own, o.Addr) && !slices.Contains(hosts, o.Addr.Addr()) && len(list) < pb.MaxObserved {
			hosts, list = append(hosts, o.Addr.Addr()), append(list, o.Addr.String())
		}
	}
	return list
}

func (wh *Whereabouts) Nat() base.NAT {
	var outside []netip.AddrPort
	agree := 0 // of the pairs that see the same IP; those that see another port count against it
	for _, o := range wh.current() {
		if slices.Contains(wh.Own, o.Addr) || !o.Addr.Addr().Is4() {
			continue
		}
		for _, a := range outside {
			switch {
			case a == o.Addr:
				agree++
			case a.Addr() == o.Addr.Addr():
				agree--
			}
		}
		outside = append(outside, o.Addr)
	}
	switch {
	case wh.Mapped.IsValid() || wh.Forwarded.IsValid():
		return base.NATOpen
	case len(wh.Seen) == 0:
		return base.NATUnknown
	case len(outside) == 0:
		return base.NATNone
	case len(outside) == 1:
		return base.NATBehind
	case agree < 0:
		return base.NATSymmetric
	}
	return base.NATEven
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

// Candidates returns the addresses to dial a peer at. met says that the peer dials us too, or
// can't be told to; seen is where others see it now, as it says itself. Without met only addresses
// count at which the peer may well answer.
func (wh *Whereabouts) Candidates(e *table.Entry, met bool, seen []string) []base.Candidate {
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
	if last := ParseAddress(e.Our().LastAddress); last.IsValid() && last.Addr().IsLoopback() {
		add(last, loopback) // it is here, whatever its record says
	}
	alone := wh.HereAlone()
	for _, text := range e.Record.Addresses {
		a := ParseAddress(text)
		add(a, wh.kindOf(a, e))
		if here := wh.hereBefore(a); alone && here.IsValid() && !wh.isOwn(here) {
			add(here, loopback)
		}
	}
	if met {
		for _, text := range slices.Concat(seen, e.Record.Observed) {
			if a := ParseAddress(text); signedHost(e.Record, a.Addr()) && wh.kindOf(a, e) != useless {
				add(a, observed)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b ranked) int { return int(a.kind - b.kind) })
	var out []base.Candidate
	after := time.Duration(0)
	for i, r := range list[:min(len(list), MaxCandidates)] {
		if i > 0 && r.kind != list[i-1].kind {
			after += headStart[list[i-1].kind]
		}
		out = append(out, base.Candidate{Address: r.address.String(), After: after})
	}
	return out
}

// kindOf ranks an address of a peer.
func (wh *Whereabouts) kindOf(a netip.AddrPort, e *table.Entry) kind {
	ip := a.Addr()
	switch {
	case wh.IsUseless(a):
		return useless
	case ip.IsLoopback() && !wh.HereAlone():
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
func (wh *Whereabouts) sameSite(e *table.Entry) (same, known bool) {
	ours, theirs := wh.table.Self.Record.Observed, e.Record.Observed
	for _, o := range ours {
		for _, t := range theirs {
			if ParseAddress(o).Addr() == ParseAddress(t).Addr() {
				return true, true
			}
		}
	}
	return false, len(ours) > 0 && len(theirs) > 0
}

// sameHost reports whether all addresses of the peer are ours too.
func (wh *Whereabouts) sameHost(e *table.Entry) bool {
	for _, text := range e.Record.Addresses {
		if !wh.isOwnIP(ParseAddress(text).Addr()) {
			return false
		}
	}
	return true
}

func (wh *Whereabouts) isOwn(a netip.AddrPort) bool {
	return slices.Contains(wh.Own, a) || a == wh.Mapped || a == wh.Forwarded
}

func (wh *Whereabouts) isOwnIP(ip netip.Addr) bool {
	return slices.ContainsFunc(wh.Own, func(a netip.AddrPort) bool { return a.Addr() == ip })
}

// IsUseless reports whether no other peer, or too many hosts, would answer at the address.
func (wh *Whereabouts) IsUseless(a netip.AddrPort) bool {
	return !a.IsValid() || wh.isOwn(a) || wh.isBroadcast(a.Addr())
}

// isBroadcast reports whether all hosts of a subnet of ours would get a packet to the address.
func (wh *Whereabouts) isBroadcast(ip netip.Addr) bool {
	return ip.Is4() && slices.ContainsFunc(wh.Near, func(p netip.Prefix) bool {
		// The last address: the next one is outside. A /31 and a /32 have none (RFC 3021).
		return p.Bits() < 31 && p.Contains(ip) && !p.Contains(ip.Next())
	})
}

// isNear reports whether an address is in a subnet of ours.
func (wh *Whereabouts) isNear(ip netip.Addr) bool {
	return slices.ContainsFunc(wh.Near, func(p netip.Prefix) bool { return p.Contains(ip.WithZone("")) })
}

// NearLink reports whether a link stays within the LAN or the host.
func (wh *Whereabouts) NearLink(l *link.Link) bool {
	ip := ParseAddress(l.Address).Addr()
	return ip.IsLoopback() || wh.isNear(ip)
}

// A host without a network has loopback addresses only, and then its peers name these, so that
// they find each other. To other hosts they mean nothing, or worse, somebody else: a peer must
// not dial its own host because of such a record. So the loopback address of another peer counts
// only if that peer was met over loopback, or if we have
// no other addresses ourselves and no way out: then every peer that we hear of is here too. (This
// fails only in a network over IPv6 link-local addresses alone, with several peers on each host.
// As everywhere, the peer dialled shows its key.)

// HereAlone reports whether every peer that we hear of is on this host.
func (wh *Whereabouts) HereAlone() bool {
	if !onlyLoopback(wh.Own) {
		return false
	}
	return !slices.ContainsFunc(wh.links.List, func(l *link.Link) bool { return l.State == link.LinkUp && !l.Quiet && !l.Within })
}

// hereBefore is where a peer may be now that was on this host while it still had a network: at
// the same port.
func (wh *Whereabouts) hereBefore(a netip.AddrPort) netip.AddrPort {
	was := slices.ContainsFunc(wh.before, func(b netip.AddrPort) bool { return a.Addr() == b.Addr() })
	if i := slices.IndexFunc(wh.Own, func(b netip.AddrPort) bool { return a.Addr().Is4() == b.Addr().Is4() }); was && i >= 0 {
		return netip.AddrPortFrom(wh.Own[i].Addr(), a.Port())
	}
	return netip.AddrPort{}
}
