package reach

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// TestHostsAreBounded: however many hosts are dialled, and whenever, each is dialled DialsOfHost
// times at once, then at a pace, and as often again as it has answered; and few are remembered.
func TestHostsAreBounded(t *testing.T) {
	for seed := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var h Hosts
		now := time.Duration(0)
		budget := make(map[int]time.Duration) // what each host has left, as time
		const full = DialsOfHost * HostDialEvery
		for range 3000 {
			host := rnd.IntN(5)
			ip := netip.AddrFrom4([4]byte{198, 51, 100, byte(host)})
			if host >= 3 { // any address of a /64 is the same host; two that are side by side are two
				ip = netip.AddrFrom16([16]byte{0x20, 0x01, 0xd, 0xb8, 7: byte(host & 1), 8: byte(rnd.IntN(256)), 15: byte(rnd.IntN(256))})
			}
			left, known := budget[host]
			if !known {
				left = full
			}
			switch taken := h.Take(ip, now); {
			case taken != (left >= HostDialEvery):
				t.Fatalf("seed %d: after %v, with %v left: %v", seed, now, left, taken)
			case taken:
				left -= HostDialEvery
			}
			if rnd.IntN(8) == 0 && left < full-HostDialEvery {
				h.Answered(ip)
				left += HostDialEvery
			}
			budget[host] = left
			pause := time.Duration(rnd.Int64N(int64(HostDialEvery / 4)))
			now += pause
			for host := range budget {
				budget[host] = min(full, budget[host]+pause)
			}
			h.Take(netip.AddrFrom4([4]byte{10, byte(rnd.IntN(256)), byte(rnd.IntN(256)), 1}), now)
		}
		if len(h.List) != MaxHosts {
			t.Errorf("seed %d: %d hosts are remembered", seed, len(h.List))
		}
		if !h.Take(netip.MustParseAddr("127.0.0.1"), now) {
			t.Errorf("seed %d: our own host is counted", seed)
		}
	}
}

// TestHostsMakeRoom: a host that is dialled all the time does not keep others away.
func TestHostsMakeRoom(t *testing.T) {
	var h Hosts
	for range DialsOfHost {
		h.Take(netip.MustParseAddr("198.51.100.7"), 0)
	}
	for i := range MaxHosts - 1 {
		h.Take(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), time.Duration(i)*time.Millisecond)
	}
	if !h.Take(netip.MustParseAddr("203.0.113.5"), 20*time.Second) {
		t.Error("a new host is refused, and all but one are free")
	}
}
