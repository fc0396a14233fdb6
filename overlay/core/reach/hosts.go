package reach

import (
	"net/netip"
	"slices"
	"time"

	"quicpeer/overlay/core/base"
)

// Hosts bounds how often we dial one IP (in IPv6 a /64) that does not answer: members can name
// any address as their own, and must not make others send packets to a victim. A dial that is
// answered does not count.
type Hosts struct{ List []hostDials }

type hostDials struct {
	prefix netip.Prefix
	spent  base.Limiter
	last   time.Duration
}

// Bounds of dials, guesses: an unanswered dial is up to ten datagrams of 1280 bytes in 3 s, so
// one in 2 s is 50 kbit/s.
const (
	MaxHosts      = 512
	DialsOfHost   = 32 // at once
	HostDialEvery = 2 * time.Second
)

// Take counts a dial, or refuses it.
func (h *Hosts) Take(ip netip.Addr, now time.Duration) bool {
	if ip.IsLoopback() {
		return true
	}
	p := base.Host(ip)
	i := slices.IndexFunc(h.List, func(d hostDials) bool { return d.prefix == p })
	if i < 0 {
		if len(h.List) == MaxHosts && !h.makeRoom(now) {
			return false
		}
		i = len(h.List)
		h.List = append(h.List, hostDials{prefix: p})
	}
	h.List[i].last = now
	return h.List[i].spent.Take(now, DialsOfHost-1, HostDialEvery)
}

// makeRoom forgets the host that was dialled least recently of those that may be dialled freely.
func (h *Hosts) makeRoom(now time.Duration) bool {
	oldest := -1
	for i, d := range h.List {
		if d.spent.Next <= now && (oldest < 0 || d.last < h.List[oldest].last) {
			oldest = i
		}
	}
	if oldest < 0 {
		return false
	}
	h.List = slices.Delete(h.List, oldest, oldest+1)
	return true
}

// Answered takes a dial back off the count.
func (h *Hosts) Answered(ip netip.Addr) {
	p := base.Host(ip)
	for i := range h.List {
		if h.List[i].prefix == p {
			h.List[i].spent.Next -= HostDialEvery
		}
	}
}

// dialled reports whether anything was dialled at the host since then.
func (h *Hosts) dialled(ip netip.Addr, since time.Duration) bool {
	p := base.Host(ip)
	return slices.ContainsFunc(h.List, func(d hostDials) bool { return d.prefix == p && d.last >= since })
}
