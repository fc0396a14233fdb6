package overlay

import (
	"context"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
	"quicpeer/transport"
)

// Links over others: the loop tells the transport over which links packets go, and opens such
// a link when messages want one.

const (
	// carryTimeout is how long the handshake of a carried link may take: as that of any other.
	carryTimeout = 5 * time.Second
	// carriedSilent is how long a carried link may be silent: more than its keepalives are apart.
	// Then its messages go as letters as well.
	carriedSilent = 7 * time.Second
)

// tagOf is how those who carry its packets name a peer.
func tagOf(id certs.ID) transport.Tag { return transport.Tag(base.TagOf(id)) }

// carryWished serves a wish of the transport.
func (l *loop) carryWished(w transport.CarryWish) {
	if w.Packet == nil {
		l.lead(w.To)
		return
	}
	l.step(core.Carry{To: uint64(w.To), Packet: w.Packet, Tries: l.node.endpoint.Tries(w.To)})
}

// lead tells the transport over which links packets go to a peer.
func (l *loop) lead(to transport.Tag) {
	ids, here := l.core.CarriesTo(uint64(to))
	if !here {
		l.node.endpoint.ForgetWay(to)
		return
	}
	var over []*transport.Link
	for _, id := range ids {
		if nl := l.links.all[id]; nl != nil {
			over = append(over, nl.Link.Link)
		}
	}
	l.node.endpoint.SetWay(to, over...)
}

// carrier is the neighbour over which a carried link to a peer goes; empty: none does now.
func (l *loop) carrier(to certs.ID) certs.ID {
	way := l.node.endpoint.WayTo(tagOf(to))
	for _, nl := range l.links.all {
		if nl.Link.Link == way {
			return nl.peer
		}
	}
	return ""
}

// leadAnew does so for all that are in use, since the links may have changed.
func (l *loop) leadAnew() {
	for _, to := range l.node.endpoint.Ways() {
		l.lead(to)
	}
}

// openCarried opens a link to a peer over others.
func (l *loop) openCarried(w messaging.CarryWish) {
	n := l.node
	tag, key, ok := l.core.CarriedPeer(w.To)
	if !ok {
		w.Failed()
		return
	}
	l.lead(transport.Tag(tag))
	n.wg.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, carryTimeout)
		defer cancel()
		link, err := n.endpoint.DialCarried(ctx, transport.Tag(tag), key)
		n.post(carried{w, link, err})
	})
}
