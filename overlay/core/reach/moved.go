package reach

import (
	"net/netip"
	"slices"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Told redials a peer that announces something new, or that we have found lost.
func (re *Reach) Told(ch link.Change) {
	e, d := ch.Entry, ch.Entry.Side
	switch {
	case ch.Old == nil:
	case ch.News.Ours:
		d = e.With()
		d.Failures, d.NextDial = 0, re.Now+base.FirstBackoff
	case ch.News.State == pb.AnnouncementType_JOIN:
		if d != nil && (d.LastAddress != "" || d.Wanted) {
			d.Failures, d.NextDial = 0, re.Now
		}
		re.leaveAddresses(e, ch.Old)
	}
}

// Moved handles Moved.
func (re *Reach) Moved(own []netip.AddrPort, near []netip.Prefix) {
	old := re.where.Own
	re.where.Own, re.where.Near = own, near
	switch here := onlyLoopback(own); {
	case here && !onlyLoopback(old):
		re.where.before = old
	case !here:
		re.where.before = nil
	}
	gone := slices.ContainsFunc(old, func(a netip.AddrPort) bool { return !slices.Contains(re.where.Own, a) })
	re.Note(base.Info, "the addresses of this host have changed", "addresses", re.where.Own)
	if gone {
		re.where.Forwarded = netip.AddrPort{}
		// A former address of ours is not ours any more, and without a network nobody sees us.
		re.where.Seen = slices.DeleteFunc(re.where.Seen, func(o observation) bool {
			return re.links.Link(o.Link) == nil || slices.Contains(old, o.Addr) || onlyLoopback(own)
		})
		re.relink()
	}
	re.addressesChanged()
}

// MappedTo handles Mapped.
func (re *Reach) MappedTo(addr netip.AddrPort) {
	re.where.Mapped = addr
	re.addressesChanged()
}

// SeenAt handles Seen.
func (re *Reach) SeenAt(id base.LinkID, address string) {
	l := re.links.Link(id)
	if l == nil || l.State == link.LinkClosing {
		return
	}
	re.Note(base.Debug, "a peer's address has changed", "peer", string(l.Peer), "was", l.Address, "address", address)
	l.Address = address
	if l.State == link.LinkUp {
		re.links.Send(l, &pb.Observed{Address: address})
	}
}

// Observe takes our reflexive address: how the peer of a link sees us.
func (re *Reach) Observe(l *link.Link, address string) {
	addr := ParseAddress(address)
	l.Within = l.Within || addr.Addr().IsLoopback()
	if !addr.IsValid() || addr.Addr().IsLoopback() {
		return
	}
	w := re.where
	moved := false
	by := l.Key.String()
	w.Seen = slices.DeleteFunc(w.Seen, func(o observation) bool {
		moved = moved || o.by == by && o.Link == l.ID && o.Addr != addr
		return o.by == by || re.Now > o.at+observedFor && re.links.Link(o.Link) == nil
	})
	if len(w.Seen) == maxObservations {
		w.Seen = slices.Delete(w.Seen, 0, 1)
	}
	w.Seen = append(w.Seen, observation{l.ID, by, re.Now, addr})
	if !re.where.isSeenAt(w.Forwarded.Addr()) {
		w.Forwarded = netip.AddrPort{}
	}
	if moved && w.relinks.Take(re.Now, relinksAtOnce-1, relinkEvery) {
		re.Note(base.Debug, "we are seen at another address", "address", addr, "by", string(l.Peer))
		re.relink()
	}
	re.Happen(Relocated{})
}

// ReachedByStranger records that a stranger has reached us from outside, at the address that it
// names, though nothing of ours has gone to its IP before: so strangers can dial us there. Others
// have to confirm, for as long as it holds, that this is an address of our router: a stranger
// could name any.
func (re *Reach) ReachedByStranger(l *link.Link, claimed string) {
	from, addr := ParseAddress(l.Address), ParseAddress(claimed)
	if !from.IsValid() || !addr.IsValid() || re.where.isNear(from.Addr()) || re.Hosts.dialled(from.Addr(), re.Now-strangerAfter) ||
		from.Addr().IsLoopback() || !isGlobal(addr.Addr()) || slices.Contains(re.where.Own, addr) ||
		re.where.isOwnIP(addr.Addr()) || !re.where.isSeenAt(addr.Addr()) {
		return
	}
	re.where.Forwarded = addr
	re.Happen(Relocated{})
}

// addressesChanged renews our record if necessary, and allows new dials to peers that could not
// be reached.
func (re *Reach) addressesChanged() {
	re.Happen(Relocated{})
	for _, e := range re.wanted {
		d := e.With()
		d.Failures, d.NextDial = 0, re.Now
	}
	re.Wake(re.Now)
}

// leaveAddresses closes our link to a peer that has given up the address that we dialled: the
// link leads nowhere, since a QUIC client does not follow its server.
func (re *Reach) leaveAddresses(e *table.Entry, old *base.Record) {
	for _, l := range slices.Clone(re.links.List) {
		if l.State != link.LinkUp || l.Entry != e || l.Dial == nil || !old.Names(l.Address) || e.Record.Names(l.Address) {
			continue
		}
		if newer := re.links.LinkTo(l.Key); newer != l && !newer.Quiet {
			re.links.Close(l, base.CloseDead, "the peer has left that address")
		} else {
			re.DialFor(e, ToRelink)
		}
	}
}

// relink redials the peers that have dialled us, whose links lead to where we were. Links that we
// have made ourselves follow us (RFC 9000, 9: the server follows the client).
func (re *Reach) relink() {
	for _, l := range re.links.List {
		if e := l.Entry; l.State == link.LinkUp && l.Dial == nil && e != nil && e.Alive() && re.links.LinkTo(l.Key) == l {
			e.With().NextDial = re.Now
			re.DialFor(e, ToRelink)
		}
	}
}

// Relocated: our addresses may differ from those in our record.
type Relocated struct{}
