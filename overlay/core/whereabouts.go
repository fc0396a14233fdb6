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
func (c *Core) moved(own []netip.AddrPort, near []netip.Prefix) {
	old := c.where.own
	c.where.own, c.where.near = own, near
	switch here := onlyLoopback(own); {
	case here && !onlyLoopback(old):
		c.where.before = old
	case !here:
		c.where.before = nil
	}
	gone := slices.ContainsFunc(old, func(a netip.AddrPort) bool { return !slices.Contains(c.where.own, a) })
	c.note(Info, "the addresses of this host have changed", "addresses", c.where.own)
	if gone {
		c.where.forwarded = netip.AddrPort{}
		// What was our own and is no more is nobody's, and without a network nobody sees us.
		c.where.seen = slices.DeleteFunc(c.where.seen, func(o observation) bool {
			return c.link(o.link) == nil || slices.Contains(old, o.addr) || onlyLoopback(own)
		})
		c.relink()
	}
	c.addressesChanged()
}

// mappedTo is Mapped.
func (c *Core) mappedTo(addr netip.AddrPort) {
	c.where.mapped = addr
	c.addressesChanged()
}

// seenAt is Seen.
func (c *Core) seenAt(id LinkID, address string) {
	l := c.link(id)
	if l == nil || l.state == linkClosing {
		return
	}
	c.note(Debug, "a peer's address has changed", "peer", string(l.peer), "was", l.address, "address", address)
	l.address = address
	if l.state == linkUp {
		c.send(l, &pb.Observed{Address: address})
	}
}

// observe takes how the peer of a link sees us.
func (c *Core) observe(l *link, address string) {
	addr := parseAddress(address)
	l.within = l.within || addr.Addr().IsLoopback()
	if !addr.IsValid() || addr.Addr().IsLoopback() {
		return
	}
	w := &c.where
	moved := false
	by := l.key.String()
	w.seen = slices.DeleteFunc(w.seen, func(o observation) bool {
		moved = moved || o.by == by && o.link == l.id && o.addr != addr
		return o.by == by || c.now > o.at+observedFor && c.link(o.link) == nil
	})
	if len(w.seen) == maxObservations {
		w.seen = slices.Delete(w.seen, 0, 1)
	}
	w.seen = append(w.seen, observation{l.id, by, c.now, addr})
	if !c.isSeenAt(w.forwarded.Addr()) {
		w.forwarded = netip.AddrPort{}
	}
	if moved && w.relinks.take(c.now, relinksAtOnce-1, relinkEvery) {
		c.note(Debug, "we are seen at another address", "address", addr, "by", string(l.peer))
		c.relink()
	}
	c.renewAddresses()
}

// isStranger says that we never had a link to a peer: no hole is left that it comes by.
func (c *Core) isStranger(id certs.ID, key certs.PublicKey) bool {
	e := c.table.get(id, key)
	return e == nil || e.our().lastAddress == ""
}

// current are the observations that hold now: of those we are linked to, or else were.
func (c *Core) current() []observation {
	list := slices.DeleteFunc(slices.Clone(c.where.seen), func(o observation) bool { return c.link(o.link) == nil })
	if len(list) == 0 {
		return c.where.seen
	}
	return list
}

// isSeenAt says that most of those who see us, by that version of IP, do it at this one.
func (c *Core) isSeenAt(ip netip.Addr) bool {
	n := 0
	for _, o := range c.current() {
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
func (c *Core) reachedByStranger(l *link, claimed string) {
	from, addr := parseAddress(l.address), parseAddress(claimed)
	if !from.IsValid() || !addr.IsValid() || c.isNear(from.Addr()) || c.hosts.dialled(from.Addr(), c.now-strangerAfter) ||
		from.Addr().IsLoopback() || !isGlobal(addr.Addr()) || slices.Contains(c.where.own, addr) ||
		c.isOwnIP(addr.Addr()) || !c.isSeenAt(addr.Addr()) {
		return
	}
	c.where.forwarded = addr
	c.renewAddresses()
}

// reachable is what our record says: where to dial us, and where we are seen.
func (c *Core) reachable() (addresses, observed []netip.AddrPort) {
	w := &c.where
	addresses = slices.Clone(w.own[:min(len(w.own), MaxOwnAddresses)])
	for _, a := range []netip.AddrPort{w.mapped, w.forwarded} {
		if a.IsValid() && !slices.Contains(addresses, a) {
			addresses = append(addresses[:min(len(addresses), pb.MaxAddresses-1)], a)
		}
	}
	return addresses, c.observedAddresses()
}

// observedAddresses are those that are not our own, one of each IP: what most see, and
// of equals what we have said before, since behind a symmetric NAT everybody sees another
// port. Of many IPs those count where most linked peers see us. Who can be dialled from
// outside has none.
func (c *Core) observedAddresses() []netip.AddrPort {
	w := &c.where
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
		if n > 0 && c.self != nil && slices.Contains(c.self.record.Observed, a.String()) {
			n++
		}
		return n
	}
	namers := map[netip.Addr]int{}
	for _, o := range w.seen {
		if slices.Contains(w.own, o.addr) {
			continue
		}
		if c.link(o.link) != nil {
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
func (c *Core) addressesChanged() {
	c.renewAddresses()
	for _, e := range c.wanted {
		d := e.with()
		d.failures, d.nextDial = 0, c.now
	}
	c.wake(c.now)
}

// renewAddresses says anew where we are, if that has changed.
func (c *Core) renewAddresses() {
	c.where.pending = !c.accepted
	if c.self == nil || c.ended || c.leaving || !c.accepted {
		return
	}
	addresses, observed := c.reachable()
	if slices.Equal(texts(addresses), c.self.record.Addresses) && slices.Equal(texts(observed), c.self.record.Observed) {
		return
	}
	if c.now < c.where.nextRenew {
		c.where.pending = true
		c.wake(c.where.nextRenew)
		return
	}
	c.where.nextRenew = c.now + renewPause
	c.setOwnRecord(pb.AnnouncementType_JOIN, c.self.record.Seq+1)
	for _, l := range c.links { // who is no neighbour dials us as well
		if l.state == linkUp {
			c.announceTo(l, c.self)
		}
	}
}

// leaveAddresses is what follows when a peer has given up an address that we have dialled:
// our link to it leads to nowhere, since the side that has dialled follows nobody.
func (c *Core) leaveAddresses(e *entry, old *Record) {
	for _, l := range slices.Clone(c.links) {
		if l.state != linkUp || l.entry != e || l.dial == nil || !old.names(l.address) || e.record.names(l.address) {
			continue
		}
		if newer := c.linkTo(l.key); newer != l && !newer.quiet {
			c.close(l, CloseDead, "the peer has left that address")
		} else {
			c.dialFor(e, toRelink)
		}
	}
}

// names says that a peer has said that it is at the address.
func (r *Record) names(address string) bool {
	return slices.Contains(r.Addresses, address) || slices.Contains(r.Observed, address)
}

// relink dials the peers anew that have dialled us: the links that they made lead to where
// we were. Those that we have made follow us (RFC 9000, 9: the server follows the client).
func (c *Core) relink() {
	for _, l := range c.links {
		if e := l.entry; l.state == linkUp && l.dial == nil && e != nil && e.alive() && c.linkTo(l.key) == l {
			e.with().nextDial = c.now
			c.dialFor(e, toRelink)
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

func (c *Core) nat() NAT {
	w := &c.where
	var outside []netip.AddrPort
	agree := 0 // of the pairs that see the same IP; those that see another port count against it
	for _, o := range c.current() {
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
