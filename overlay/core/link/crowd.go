package link

import (
	"net/netip"

	"quicpeer/overlay/core/base"
)

// Places are shared out by hosts once they are short, as Bitcoin's nodes do: a host can have as
// many keys as it likes, and must not keep others out by them. Where there is room nobody counts,
// since an office behind a NAT, or a test on one machine, brings dozens.

// Host is the host of the other end.
func (l *Link) Host() netip.Prefix { return base.HostOf(l.Address) }

// Crowder is the link to give up of these for one of another host: of the host with the most, if
// that has at least two more than the other, so that the two do not displace each other in turns.
// Of its links it is the best by that order, of those that may be given up; nil if there is none.
func Crowder(list []*Link, host netip.Prefix, may func(*Link) bool, better func(l, than *Link) bool) (one *Link) {
	links := make(map[netip.Prefix]int)
	for _, l := range list {
		links[l.Host()]++
	}
	for _, l := range list {
		n := links[l.Host()]
		if n < links[host]+2 || !may(l) {
			continue
		}
		if one != nil && (n < links[one.Host()] || n == links[one.Host()] && !better(l, one)) {
			continue
		}
		one = l
	}
	return one
}
