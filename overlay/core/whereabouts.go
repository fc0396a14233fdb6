package core

import (
	"net/netip"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Where we can be reached ourselves. Our interfaces' addresses are known; whether we are
// behind a NAT, and how that shows us, only others can say, and each new link begins
// with it. What results is in our record, which is renewed and flooded when it changes.

// Bounds of it, guesses.
const (
	maxObservations = 16
	maxObservedIPs  = 3               // in the record; a host with two uplinks has two
	renewPause      = 1 * time.Second // between two records for new addresses
	observedFor     = 30 * time.Minute
	strangerAfter   = 5 * time.Minute // we have dialled nothing at its IP for so long
	relinksAtOnce   = 3               // because others see us elsewhere, which anybody can say
	relinkEvery     = 30 * time.Second
)

// MaxOwnAddresses is how many of our interfaces' addresses our record has. It leaves room for
// what routers and others say.
const MaxOwnAddresses = pb.MaxAddresses - 2

// whereabouts is what a peer knows of where it is.
type whereabouts struct {
	*env
	table *table
	links *links

	own       []netip.AddrPort // of our interfaces
	near      []netip.Prefix   // the subnets of these
	before    []netip.AddrPort // where loopback is all there is: what was there before
	mapped    netip.AddrPort   // a port that our router leads to us
	forwarded netip.AddrPort   // a stranger has reached us there from outside
	seen      []observation    // the newest last
	nextRenew time.Duration
	relinks   allowance
	pending   bool // our record may have to be renewed, and could not be yet
}

// observation is how one peer sees us.
type observation struct {
	link LinkID
	by   string // its fingerprint
	at   time.Duration
	addr netip.AddrPort
}

// moved is Moved.
func (re *reach) moved(own []netip.AddrPort, near []netip.Prefix) {
	old := re.where.own
	re.where.own, re.where.near = own, near
	switch here := onlyLoopback(own); {
	case here && !onlyLoopback(old):
		re.where.before = old
	case !here:
		re.where.before = nil
	}
	gone := slices.ContainsFunc(old, func(a netip.AddrPort) bool { return !slices.Contains(re.where.own, a) })
	re.note(Info, "the addresses of this host have changed", "addresses", re.where.own)
	if gone {
		re.where.forwarded = netip.AddrPort{}
		// What was our own and is no more is nobody's, and without a network nobody sees us.
		re.where.seen = slices.DeleteFunc(re.where.seen, func(o observation) bool {
			return re.links.link(o.link) == nil || slices.Contains(old, o.addr) || onlyLoopback(own)
		})
		re.relink()
	}
	re.addressesChanged()
}

// mappedTo is Mapped.
func (re *reach) mappedTo(addr netip.AddrPort) {
	re.where.mapped = addr
	re.addressesChanged()
}

// seenAt is Seen.
func (re *reach) seenAt(id LinkID, address string) {
	l := re.links.link(id)
	if l == nil || l.state == linkClosing {
		return
	}
	re.note(Debug, "a peer's address has changed", "peer", string(l.peer), "was", l.address, "address", address)
	l.address = address
	if l.state == linkUp {
		re.links.send(l, &pb.Observed{Address: address})
	}
}

// observe takes how the peer of a link sees us.
func (re *reach) observe(l *link, address string) {
	addr := parseAddress(address)
	l.within = l.within || addr.Addr().IsLoopback()
	if !addr.IsValid() || addr.Addr().IsLoopback() {
		return
	}
	w := re.where
	moved := false
	by := l.key.String()
	w.seen = slices.DeleteFunc(w.seen, func(o observation) bool {
		moved = moved || o.by == by && o.link == l.id && o.addr != addr
		return o.by == by || re.now > o.at+observedFor && re.links.link(o.link) == nil
	})
	if len(w.seen) == maxObservations {
		w.seen = slices.Delete(w.seen, 0, 1)
	}
	w.seen = append(w.seen, observation{l.id, by, re.now, addr})
	if !re.where.isSeenAt(w.forwarded.Addr()) {
		w.forwarded = netip.AddrPort{}
	}
	if moved && w.relinks.take(re.now, relinksAtOnce-1, relinkEvery) {
		re.note(Debug, "we are seen at another address", "address", addr, "by", string(l.peer))
		re.relink()
	}
	re.happen(relocated{})
}

// isStranger says that we never had a link to a peer: no hole is left that it comes by.
func (t *table) isStranger(id certs.ID, key certs.PublicKey) bool {
	e := t.get(id, key)
	return e == nil || e.our().lastAddress == ""
}

// current are the observations that hold now: of those we are linked to, or else were.
func (wh *whereabouts) current() []observation {
	list := slices.DeleteFunc(slices.Clone(wh.seen), func(o observation) bool { return wh.links.link(o.link) == nil })
	if len(list) == 0 {
		return wh.seen
	}
	return list
}

// isSeenAt says that most of those who see us, by that version of IP, do it at this one.
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

// reachedByStranger notes that a stranger has reached us from outside at the address that it
// names, and nothing of ours has gone to its IP before: strangers can dial us there. That
// it is an address of our router others have to say, for as long as it is one: a stranger
// could name anybody's.
func (re *reach) reachedByStranger(l *link, claimed string) {
	from, addr := parseAddress(l.address), parseAddress(claimed)
	if !from.IsValid() || !addr.IsValid() || re.where.isNear(from.Addr()) || re.hosts.dialled(from.Addr(), re.now-strangerAfter) ||
		from.Addr().IsLoopback() || !isGlobal(addr.Addr()) || slices.Contains(re.where.own, addr) ||
		re.where.isOwnIP(addr.Addr()) || !re.where.isSeenAt(addr.Addr()) {
		return
	}
	re.where.forwarded = addr
	re.happen(relocated{})
}

// reachable is what our record says: where to dial us, and where we are seen.
func (wh *whereabouts) reachable() (addresses, observed []netip.AddrPort) {
	w := wh
	addresses = slices.Clone(w.own[:min(len(w.own), MaxOwnAddresses)])
	for _, a := range []netip.AddrPort{w.mapped, w.forwarded} {
		if a.IsValid() && !slices.Contains(addresses, a) {
			addresses = append(addresses[:min(len(addresses), pb.MaxAddresses-1)], a)
		}
	}
	return addresses, wh.observedAddresses()
}

// observedAddresses are those that are not our own, one of each IP: what most see, and
// of equals what we have said before, since behind a symmetric NAT everybody sees another
// port. Of many IPs those count where most linked peers see us. Who can be dialled from
// outside has none.
func (wh *whereabouts) observedAddresses() []netip.AddrPort {
	w := wh
	var list []netip.AddrPort
	if w.mapped.IsValid() || w.forwarded.IsValid() {
		return nil
	}
	count := func(a netip.AddrPort) (n int) {
		for _, o := range w.seen {
			if o.addr == a {
				n += 2
			}
		}
		if n > 0 && wh.table.self != nil && slices.Contains(wh.table.self.record.Observed, a.String()) {
			n++
		}
		return n
	}
	namers := map[netip.Addr]int{}
	for _, o := range w.seen {
		if slices.Contains(w.own, o.addr) {
			continue
		}
		if wh.links.link(o.link) != nil {
			namers[o.addr.Addr()]++
		}
		i := slices.IndexFunc(list, func(a netip.AddrPort) bool { return a.Addr() == o.addr.Addr() })
		switch {
		case i < 0:
			list = append(list, o.addr)
		case count(o.addr) > count(list[i]):
			list[i] = o.addr
		}
	}
	if len(list) > maxObservedIPs {
		slices.SortStableFunc(list, func(a, b netip.AddrPort) int { return namers[b.Addr()] - namers[a.Addr()] })
		list = list[:maxObservedIPs]
	}
	return list
}

// addressesChanged renews our record if need be, and gives whoever could not be reached
// another chance.
func (re *reach) addressesChanged() {
	re.happen(relocated{})
	for _, e := range re.wanted {
		d := e.with()
		d.failures, d.nextDial = 0, re.now
	}
	re.wake(re.now)
}

// leaveAddresses is what follows when a peer has given up an address that we have dialled:
// our link to it leads to nowhere, since the side that has dialled follows nobody.
func (re *reach) leaveAddresses(e *entry, old *Record) {
	for _, l := range slices.Clone(re.links.list) {
		if l.state != linkUp || l.entry != e || l.dial == nil || !old.names(l.address) || e.record.names(l.address) {
			continue
		}
		if newer := re.links.linkTo(l.key); newer != l && !newer.quiet {
			re.links.close(l, CloseDead, "the peer has left that address")
		} else {
			re.dialFor(e, toRelink)
		}
	}
}

// names says that a peer has said that it is at the address.
func (r *Record) names(address string) bool {
	return slices.Contains(r.Addresses, address) || slices.Contains(r.Observed, address)
}

// relink dials the peers anew that have dialled us: the links that they made lead to where
// we were. Those that we have made follow us (RFC 9000, 9: the server follows the client).
func (re *reach) relink() {
	for _, l := range re.links.list {
		if e := l.entry; l.state == linkUp && l.dial == nil && e != nil && e.alive() && re.links.linkTo(l.key) == l {
			e.with().nextDial = re.now
			re.dialFor(e, toRelink)
		}
	}
}

// NAT says what is known of how a peer's packets get out.
type NAT string

// The kinds of NAT. Whether one lets strangers in is not looked for: that takes a peer
// that has never been spoken to.
const (
	NATUnknown   NAT = "unknown"   // no peer has said where it sees this one
	NATNone      NAT = "none"      // it is seen at an address of its own
	NATBehind    NAT = "nat"       // it is behind one; which kind takes a second peer outside
	NATEven      NAT = "even"      // every peer sees it at the same port: holes can be punched
	NATSymmetric NAT = "symmetric" // each peer sees it at another port: not to everybody
	NATOpen      NAT = "open"      // behind one, with a port that leads in
)

func (wh *whereabouts) nat() NAT {
	w := wh
	var outside []netip.AddrPort
	agree := 0 // of the pairs that see the same IP; those that see another port count against it
	for _, o := range wh.current() {
		if slices.Contains(w.own, o.addr) || !o.addr.Addr().Is4() {
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
	case w.mapped.IsValid() || w.forwarded.IsValid():
		return NATOpen
	case len(w.seen) == 0:
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

// parseAddress is an IP:PORT of somebody's word; the zero AddrPort if it is none that a
// packet can be sent to.
func parseAddress(text string) netip.AddrPort {
	a, err := netip.ParseAddrPort(text)
	ip := a.Addr().Unmap()
	if err != nil || a.Port() == 0 || ip.IsUnspecified() || ip.IsMulticast() || ip == broadcastIP ||
		ip.Is6() && ip.IsLinkLocalUnicast() && ip.Zone() == "" {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, a.Port())
}

var broadcastIP = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func texts(list []netip.AddrPort) []string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return out
}
