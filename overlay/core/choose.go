package core

import "slices"

// Of several links to one peer one is kept.

// mostLinks to one peer wait for the side that chooses, a guess: both may dial two or three
// addresses of the other before they know that it is one.
const mostLinks = 6

// chooseLink deals with earlier links to the peer of a new one. Those of an earlier run
// are dead, and so is one that was silent, or stuck. Else the side with the smaller ID keeps one,
// and the other side uses any until they are closed, so that the two never close different
// ones: it hears of links in another order, and of silence at another time. It closes one
// only where the smaller can't keep that: a silent one long after which the new one came,
// or one of more than mostLinks. Of two that came up together the one within the LAN is
// kept, else the first, which serves already, if both sides have dialled. In all other
// cases somebody had a reason to dial again, and the newest is.
func (re *reach) chooseLink(l *link) {
	kept := 1
	for _, old := range slices.Backward(re.links.list) {
		if old == l || old.key != l.key || old.state != linkUp {
			continue
		}
		kept++
		switch {
		case old.epoch < l.epoch || old.stuck || old.quiet && (re.cfg.ID < l.peer || l.opened >= old.opened+2*simultaneous):
			re.links.close(old, CloseDead, "replaced by a new connection")
		case re.cfg.ID < l.peer || kept > mostLinks:
			surplus := old
			if re.keepsOlder(old, l) {
				surplus = l
			}
			re.links.close(surplus, CloseDuplicate, "another connection is used")
		}
	}
}

// keepsOlder says that of two living links to one peer the older is kept.
func (re *reach) keepsOlder(old, l *link) bool {
	if l.opened >= old.opened+simultaneous {
		return false
	}
	if near := re.where.nearLink(old); near != re.where.nearLink(l) {
		return near
	}
	return (old.dial == nil) != (l.dial == nil)
}

// nearLink says that a link stays within the LAN or the host.
func (wh *whereabouts) nearLink(l *link) bool {
	ip := parseAddress(l.address).Addr()
	return ip.IsLoopback() || wh.isNear(ip)
}
