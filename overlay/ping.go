package overlay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
)

// Ping is a round trip by the way that messages take.
type Ping struct {
	ID      certs.ID
	RTT     time.Duration
	How     PingHow
	Via     certs.ID // not direct: the neighbour over which it went first
	Address string   // direct: IP:PORT
}

// PingHow is the way that a ping took.
type PingHow = base.PingHow

// The ways of a ping; see package base.
const (
	PingDirect  = base.PingDirect
	PingCarried = base.PingCarried
	PingLetters = base.PingLetters
)

// pinger measures round trips to peers.
type pinger struct{ node *Node }

// Ping measures a round trip to a peer by the way that messages to it take now: the connection in use,
// direct or carried by others. Without one it is made, as for a message; if that takes more than 3 s the
// way of letters is measured. The peer's program gets no event. Errors: ErrToSelf, ErrUnknownPeer if
// no peer of that ID is known, ErrClosed, that of ctx; or nothing answers within 10 s, it is not in the
// network now, or the ID has another key than it is held to, so that messages wait.
func (p pinger) Ping(ctx context.Context, id certs.ID) (Ping, error) {
	n := p.node
	if id == n.id {
		return Ping{}, ErrToSelf
	}
	known, err := n.messages.Directory().Known(id)
	if err != nil {
		return Ping{}, ErrUnknownPeer
	}
	if known.Pin != known.Key && known.Pin != (certs.PublicKey{}) {
		return Ping{}, fmt.Errorf("%s has another key than before, so messages to it wait; /trust %s goes on with the new one", id, id)
	}
	done := make(chan pinged, 1)
	n.post(ping{id, done})
	got, err := awaitDone(ctx, &n.mailbox, done)
	switch {
	case err != nil || got.why == "":
	case n.isLeaving(): // then nobody is in its network
		err = ErrClosed
	default:
		err = fmt.Errorf("%s: %s", id, got.why)
	}
	return got.Ping, err
}

// pinged is the outcome of a ping.
type pinged struct {
	Ping
	why string // there is none
}

// ping: the program wants to know a round trip.
type ping struct {
	to   certs.ID
	done chan pinged // it has room for one
}

func (p ping) handle(l *loop) {
	number := rand.Uint64()
	l.pings[number] = p
	l.step(core.Ping{To: p.to, Number: number})
}

// pings holds the callers that wait for a Ping, by its number.
type pings map[uint64]ping

// ponged gives the outcome to its caller.
func (l *loop) ponged(p base.Pong) {
	asked, ok := l.pings[p.Number]
	if !ok {
		return
	}
	delete(l.pings, p.Number)
	got := pinged{Ping{ID: asked.to, RTT: p.Took, How: p.How, Via: p.Via, Address: p.Address}, p.Why}
	if p.How == PingCarried {
		got.Via = l.carrier(asked.to)
	}
	asked.done <- got
}

// carryForPing opens a link over others for a ping.
func (l *loop) carryForPing(to certs.ID) { l.openCarried(messaging.CarryWish{To: to}) }
