package transport

import (
	"context"
	"slices"
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
	a.bulk = false // whatever it comes for
	return []group{{a, maxCarriedOpenPerTag}, {a.over, maxCarriedOpenPerLink}}
}

// CarryWishes are what the carrier wants to know, or to have brought to another peer. Somebody
// must read it all the time. Wishes are dropped when 256 wait; they come again.
func (e *Endpoint) CarryWishes() <-chan CarryWish { return e.inside.carrier.wishes }

// SetWay says over which links packets for a peer can go, the best first, which are to be those of
// neighbours that know how to carry; none: no way is known now. The peer must be one that is there: its
// packets are taken from now on. They go over the first link, and over the next one after two seconds
// without an answer, since a peer on the way may drop what it should carry.
func (e *Endpoint) SetWay(to Tag, over ...*Link) {
	over = slices.DeleteFunc(over, func(l *Link) bool { return l.hop == nil }) // it is carried itself
	e.inside.carrier.set(to, over...)
}

// WayTo is the link over which packets for a peer go now; nil: over none.
func (e *Endpoint) WayTo(to Tag) *Link {
	if w := e.inside.carrier.find(to); w != nil {
		return w.next.Load()
	}
	return nil
}

// ForgetWay takes no more packets of a peer, and carries none to it.
func (e *Endpoint) ForgetWay(to Tag) { e.inside.carrier.forget(to) }

// Ways lists the peers to which packets go, for which SetWay is to be called whenever the links
// may have changed, and a few times a second. It forgets those that were not used for a minute.
func (e *Endpoint) Ways() (list []Tag) {
	for _, w := range e.inside.carrier.all() {
		now := time.Now()
		if now.Sub(time.Unix(0, w.used.Load())) > wayUnused {
			e.inside.carrier.forget(w.tag)
			continue
		}
		w.judge(now)
		list = append(list, w.tag)
	}
	return list
}

// Tries is how often packets for a peer went over a link in vain: so may have the searches for it.
func (e *Endpoint) Tries(to Tag) int {
	if w := e.inside.carrier.find(to); w != nil {
		return w.inVain()
	}
	return 0
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
	w := e.inside.carrier.learn(to)
	w.dials()
	r := route{e.inside.transport, carriedAddr{way: w}, e.traced(carriedConfig())}
	return e.dialLink(e.dialOnce(ctx, r, want, certs.ALPN))
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
