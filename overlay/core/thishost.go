package core

import (
	"net/netip"
	"slices"
)

// A host that has no network has loopback addresses alone, and then its peers name these, so
// that they find each other. To everybody else they mean nothing, or worse, somebody else: a
// peer must not dial its own host because of such a record. So the loopback address of another
// peer counts only for who was met over loopback, for what a neighbour says that was (see
// receiveGo), and for a peer that has no other addresses itself and no way out: whoever it
// hears of is here too. (What this can't tell is a network over link-local addresses of IPv6
// alone, with several peers on each host. Who is dialled shows its key there as everywhere.)

// hereAlone says that whoever we hear of is on this host.
func (wh *whereabouts) hereAlone() bool {
	if !onlyLoopback(wh.own) {
		return false
	}
	return !slices.ContainsFunc(wh.links.list, func(l *link) bool { return l.state == linkUp && !l.quiet && !l.within })
}

func onlyLoopback(list []netip.AddrPort) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(a netip.AddrPort) bool { return !a.Addr().IsLoopback() })
}

// mayBeHere says that an address of a target that others have named may be dialled, should it
// be one of loopback.
func (jn *joiner) mayBeHere(t *target, address string) bool {
	return !parseAddress(address).Addr().IsLoopback() || t.found != "" || t.metAt == address || jn.where.hereAlone()
}

// hereBefore is where a peer may be now that was on this host when it still had a network: at
// the same port.
func (wh *whereabouts) hereBefore(a netip.AddrPort) netip.AddrPort {
	was := slices.ContainsFunc(wh.before, func(b netip.AddrPort) bool { return a.Addr() == b.Addr() })
	if i := slices.IndexFunc(wh.own, func(b netip.AddrPort) bool { return a.Addr().Is4() == b.Addr().Is4() }); was && i >= 0 {
		return netip.AddrPortFrom(wh.own[i].Addr(), a.Port())
	}
	return netip.AddrPort{}
}
