package core

import (
	"net/netip"
	"quicpeer/pb"
	"slices"
)

// told redials a peer that announces something new, or that we have found lost.
func (re *reach) told(ch change) {
	e, d := ch.entry, ch.entry.side
	switch {
	case ch.old == nil:
	case ch.news.ours:
		d = e.with()
		d.failures, d.nextDial = 0, re.now+firstBackoff
	case ch.news.state == pb.AnnouncementType_JOIN:
		if d != nil {
			d.failures, d.nextDial = 0, re.now
		}
		re.leaveAddresses(e, ch.old)
	}
}

// moved handles Moved.
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
		// A former address of ours is not ours any more, and without a network nobody sees us.
		re.where.seen = slices.DeleteFunc(re.where.seen, func(o observation) bool {
			return re.links.link(o.link) == nil || slices.Contains(old, o.addr) || onlyLoopback(own)
		})
		re.relink()
	}
	re.addressesChanged()
}

// mappedTo handles Mapped.
func (re *reach) mappedTo(addr netip.AddrPort) {
	re.where.mapped = addr
	re.addressesChanged()
}

// seenAt handles Seen.
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

// observe takes our reflexive address: how the peer of a link sees us.
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

// reachedByStranger records that a stranger has reached us from outside, at the address that it
// names, though nothing of ours has gone to its IP before: so strangers can dial us there. Others
// have to confirm, for as long as it holds, that this is an address of our router: a stranger
// could name any.
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

// addressesChanged renews our record if necessary, and allows new dials to peers that could not
// be reached.
func (re *reach) addressesChanged() {
	re.happen(relocated{})
	for _, e := range re.wanted {
		d := e.with()
		d.failures, d.nextDial = 0, re.now
	}
	re.wake(re.now)
}

// leaveAddresses closes our link to a peer that has given up the address that we dialled: the
// link leads nowhere, since a QUIC client does not follow its server.
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

// relink redials the peers that have dialled us, whose links lead to where we were. Links that we
// have made ourselves follow us (RFC 9000, 9: the server follows the client).
func (re *reach) relink() {
	for _, l := range re.links.list {
		if e := l.entry; l.state == linkUp && l.dial == nil && e != nil && e.alive() && re.links.linkTo(l.key) == l {
			e.with().nextDial = re.now
			re.dialFor(e, toRelink)
		}
	}
}

// relocated: our addresses may differ from those in our record.
type relocated struct{}
