package core

import (
	"net/netip"
	"slices"
	"time"
)

// hosts bounds how often we dial one IP (in IPv6 a /64) that does not answer: members can name
// any address as their own, and must not make others send packets to a victim. A dial that is
// answered does not count.
type hosts struct{ list []hostDials }

type hostDials struct {
	prefix netip.Prefix
	spent  limiter
	last   time.Duration
}

// Bounds of dials, guesses: an unanswered dial is up to ten datagrams of 1280 bytes in 3 s, so
// one in 2 s is 50 kbit/s.
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

// take counts a dial, or refuses it.
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

// makeRoom forgets the host that was dialled least recently of those that may be dialled freely.
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

// answered takes a dial back off the count.
func (h *hosts) answered(ip netip.Addr) {
	p := hostOf(ip)
	for i := range h.list {
		if h.list[i].prefix == p {
			h.list[i].spent.next -= hostDialEvery
		}
	}
}

// dialled reports whether anything was dialled at the host since then.
func (h *hosts) dialled(ip netip.Addr, since time.Duration) bool {
	p := hostOf(ip)
	return slices.ContainsFunc(h.list, func(d hostDials) bool { return d.prefix == p && d.last >= since })
}
