package transport

import (
	"context"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
)

// Bounds of carried links, guesses.
const (
	// The limit of carried strangers on their way in, those that come over one link, and those of
	// them with one tag. Others can forge a tag, but not over a link that is not theirs. From
	// doubtfulCarried on strangers must answer first.
	maxCarriedOpen        = 16
	maxCarriedOpenPerLink = 4
	maxCarriedOpenPerTag  = 2
	doubtfulCarried       = 8
)

// carriedGroups are those that a carried stranger belongs to.
func carriedGroups(from *quic.ClientInfo) []group {
	a := from.RemoteAddr.(carriedAddr)
	return []group{{a, maxCarriedOpenPerTag}, {a.over, maxCarriedOpenPerLink}}
}

// CarryWishes are what the carrier wants to know, or to have brought to another peer. Somebody
// must read it all the time. Wishes are dropped when 256 wait; they come again.
func (e *Endpoint) CarryWishes() <-chan CarryWish { return e.inside.carrier.wishes }

// SetWay says over which link packets for a peer go, which is to be a neighbour's that knows how
// to carry; nil: no way is known now. The peer must be one that is there: its packets are taken
// from now on.
func (e *Endpoint) SetWay(to Tag, over *Link) {
	if over != nil && over.hop == nil {
		over = nil // it is carried itself
	}
	e.inside.carrier.set(to, over)
}

// ForgetWay takes no more packets of a peer, and carries none to it.
func (e *Endpoint) ForgetWay(to Tag) { e.inside.carrier.forget(to) }

// Ways lists the peers to which packets go, for which SetWay is to be called whenever the links
// may have changed, and a few times a second. It forgets those that were not used for a minute.
func (e *Endpoint) Ways() (list []Tag) {
	for _, w := range e.inside.carrier.all() {
		if time.Since(time.Unix(0, w.used.Load())) > wayUnused {
			e.inside.carrier.forget(w.tag)
		} else {
			list = append(list, w.tag)
		}
	}
	return list
}

// TakeCarried takes a packet that a search has brought us, as CarryWish.Packet of another peer.
func (e *Endpoint) TakeCarried(from Tag, b []byte) {
	c := e.inside.carrier
	if len(b) < 2 || len(b) > 1+maxPacket-packetHeader || from == c.own {
		return
	}
	w := c.wayTo(from)
	if w == nil {
		c.wish(CarryWish{To: from})
		return
	}
	p := newPacket()
	p.address(c.own, from)
	p.size = packetHeader + copy(p.b[packetHeader:], b[1:])
	w.found(b[0] == 1, time.Now())
	c.arrives(nil, p)
}

// DialCarried connects to a peer over others. want is its key. It is like [Endpoint.Dial], but
// tries once. SetWay should come first.
func (e *Endpoint) DialCarried(ctx context.Context, to Tag, want certs.PublicKey) (*Link, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.ctx, func() { cancel(context.Cause(e.ctx)) })()
	return e.dialOver(ctx, route{e.inside.transport, carriedAddr{way: e.inside.carrier.learn(to)}, carriedConfig()}, want)
}

// Carried says that the packets of the link go over other peers.
func (l *Link) Carried() bool { return l.hop == nil }

// LastCarried is when the link last carried something for a carried link.
func (l *Link) LastCarried() (t time.Time) {
	if l.hop != nil && l.hop.used.Load() != 0 {
		t = time.Unix(0, l.hop.used.Load())
	}
	return t
}
