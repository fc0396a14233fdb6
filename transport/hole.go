package transport

import (
	"io"
	"sync/atomic"
	"time"
)

// hole detects that a path has become narrower than the packets that QUIC sends over it: those
// vanish silently, while small ones, keepalives and acknowledgements, still come and go.
// quic-go looks once for the largest packet that passes, and has no detection of such black
// holes (RFC 8899, 4.3).
//
// Missing answers don't show it: a peer that does not read answers nothing either. But QUIC
// repeats data that is not acknowledged, and a peer that does not read does acknowledge. So a
// link is in a hole when it is heard, hardly anything new is written on it, and large packets
// go out all the same, again and again.
type hole struct {
	written atomic.Uint64 // bytes of streams that QUIC has sent for the first time

	began  time.Time
	last   passed // at the last look
	bad    int    // looks that found only repeats, with others between
	others int    // looks since that found none
	stuck  bool
}

// passed counts the traffic of a link.
type passed struct {
	at                      time.Time
	written, sent           uint64
	packetsOut, packetsBack uint64
}

const (
	holeLook  = 1500 * time.Millisecond // at least between two looks: a guess
	holePTOs  = 4                       // probe timeouts between two looks, each twice the one before: two repeats at least
	holeLooks = 2                       // bad ones: so that a burst of losses is none
	holeFades = 20                      // looks without repeats, and the count begins anew: the pauses between repeats double
	holeEnds  = 2 * time.Minute         // without any: two of QUIC's longest probe timeouts
	// holeYoung is how long quic-go looks for the largest packet of a new link, with packets
	// that may get lost: some ten, one in five round trips.
	holeYoung     = 10 * time.Second
	holeYoungRTTs = 60
	// holeFew is how many bytes of streams in a look are hardly anything; holeRepeats is a
	// large packet and more; smallPacket is the size of a small packet, such as an
	// acknowledgement.
	holeFew     = 1 << 10
	holeRepeats = 1500
	smallPacket = 60
)

// Stuck says that the peer is heard but no longer acknowledges large packets, so that the link
// is of little use. One goroutine must call it now and then.
func (l *Link) Stuck() bool {
	if time.Since(l.hole.last.at) < holeLook {
		return l.hole.stuck // without a look at the figures: this is called often
	}
	s := l.conn.ConnectionStats()
	now := passed{time.Now(), l.hole.written.Load(), s.BytesSent, s.PacketsSent, s.PacketsReceived}
	return l.hole.look(now, s.SmoothedRTT, s.MeanDeviation)
}

func (h *hole) look(now passed, rtt, deviation time.Duration) bool {
	if h.began.IsZero() {
		h.began, h.last = now.at, now
	}
	timeout := rtt + 4*deviation + 25*time.Millisecond // the probe timeout, RFC 9002, 6.2.1
	took := now.at.Sub(h.last.at)
	if took < max(holeLook, holePTOs*timeout) {
		return h.stuck
	}
	written, packets := now.written-h.last.written, now.packetsOut-h.last.packetsOut
	repeats := int64(now.sent-h.last.sent) - int64(written) - smallPacket*int64(packets)
	young := now.at.Sub(h.began) < max(holeYoung, holeYoungRTTs*rtt)
	switch {
	case written > holeFew || young:
		h.bad, h.others, h.stuck = 0, 0, false
	case now.packetsBack == h.last.packetsBack:
		h.bad = 0 // the peer is silent altogether
	case repeats >= holeRepeats:
		h.bad, h.others = h.bad+1, 0
		h.stuck = h.stuck || h.bad >= holeLooks
	default:
		if h.others++; h.others >= holeFades {
			h.bad = 0
		}
		h.stuck = h.stuck && time.Duration(h.others)*took < holeEnds
	}
	h.last = now
	return h.stuck
}

// sending is a stream that can be written: of both directions, or of one.
type sending interface {
	io.Writer
	WriteWithLimit(p []byte, limit func(int) int) (int, error)
}

// write writes to a stream of the link, counting what QUIC sends of it for the first time.
func (h *hole) write(s sending, p []byte) (int, error) {
	if len(p) <= holeFew {
		h.written.Add(uint64(len(p))) // QUIC takes it at once as a rule
		return s.Write(p)
	}
	return s.WriteWithLimit(p, func(n int) int {
		h.written.Add(uint64(n))
		return n
	})
}
