package messaging

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"quicpeer/certs"
	"quicpeer/transport"
)

// Link is a link as this package uses it.
type Link struct {
	*transport.Link
	number  uint64
	key     certs.PublicKey
	ctx     context.Context // ends with the link
	carried bool            // its packets go over others
	ours    bool            // it is carried, and we have dialled

	peer  certs.ID // as of LinkUp, like the next
	epoch uint64

	last   atomic.Int64 // when a direct message last went or came, in nanoseconds of the engine's time
	silent atomic.Bool  // no packet has been heard for a while
	stuck  atomic.Bool  // large packets do not get through
	// retired: no new messages are sent on it, and it ends when those on their way have been
	// answered.
	retired atomic.Bool
}

// NewLink is a link that counts as used now. Of two links the one with the greater number
// is the newer one.
func NewLink(l *transport.Link, number uint64, now time.Duration) *Link {
	link := &Link{Link: l, number: number, key: l.Peer(), ctx: l.Context(), carried: l.Carried()}
	link.last.Store(int64(now))
	return link
}

// Works says that the peer is heard and hears us.
func (l *Link) Works() bool { return !l.silent.Load() && !l.stuck.Load() }

// SetSilent sets whether the link has been silent for a while, and returns whether that has
// changed.
func (l *Link) SetSilent(silent bool) (news bool) { return silent != l.silent.Swap(silent) }

// SetStuck sets whether large packets do not get through, and returns whether that has
// changed.
func (l *Link) SetStuck(stuck bool) (news bool) { return stuck != l.stuck.Swap(stuck) }

// LastUsed is when a direct message last went or came.
func (l *Link) LastUsed() time.Duration { return time.Duration(l.last.Load()) }

func (l *Link) touch(now time.Duration) { l.last.Store(int64(now)) }

// betterThan says which of two links to one peer is used: one that works, then one that does not go
// over others, then the newer one.
func (l *Link) betterThan(other *Link) bool {
	works := l.Works()
	switch {
	case works != other.Works():
		return works
	case l.carried != other.carried:
		return other.carried
	}
	return l.number > other.number
}

// path is how messages go over the link.
func (l *Link) path() Path {
	if l.carried {
		return PathRelayed
	}
	return PathDirect
}

// usable says that it can carry messages to its peer.
func (l *Link) usable() bool { return l.ctx.Err() == nil && !l.retired.Load() }

// violation ends a link whose peer has broken the protocol on a message stream.
func (l *Link) violation(log *slog.Logger, why error) {
	log.Warn("peer breaks the protocol", "peer", string(l.peer), "address", l.RemoteAddr().String(), "why", why)
	l.Abort(transport.CodeProtocol, why.Error())
}
