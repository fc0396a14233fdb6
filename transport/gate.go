package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
)

// Bounds of the gate.
const (
	// The limit of strangers on their way in: in the handshake of TLS, before their control stream,
	// or before the owner has let them in. Each costs 54 KB (measured), 320 KiB more if it fills
	// the windows of its control stream and its hop stream (see Link.Admit), and lasts at most
	// 20 s. A core does some 450 handshakes a second, so 96 are its work for a fifth of a second.
	// A guess beyond that.
	maxHalfOpen = 96
	// The limit for one address, which keeps one host from shutting the door for all others. A
	// NAT or a test may well bring dozens.
	maxHalfOpenPerHost = maxHalfOpen / 3
	// From this number on a stranger must show that packets reach the address it claims
	// (QUIC's Retry, one more round trip): forged addresses can't take all places.
	doubtfulHalfOpen = maxHalfOpen / 2
)

// gate bounds the resources of strangers before they have a link. A stranger counts from its
// first packet, before any work for TLS, until the owner of the endpoint has let it in (see
// Link.Admit) or the connection has ended.
type gate struct {
	gateLimits
	log      *slog.Logger
	entered  func(strangers int) // called when one has; nil: nobody wants to know
	unproved *unproved           // addresses; nil: strangers come over others
	leaves   sync.WaitGroup      // one for each stranger whose end is still to be reported

	mu     sync.Mutex
	open   map[*stranger]struct{}
	within map[any]int // of each group
	turned uint64      // away since the start
}

// gateLimits are those of one gate.
type gateLimits struct {
	all, doubtful int
	groups        func(*quic.ClientInfo) []group
}

// group is what several strangers have in common, and how many of them may be on their way in.
type group struct {
	name any
	most int
}

// stranger is a connection on its way in.
type stranger struct {
	gate   *gate
	from   string
	groups []group
	forget func() bool // cancels the report of its end
	link   atomic.Bool // the owner has its link, and says itself why it ends
	proves func(bool)  // closes the account of its address, see unproved; nil: there is none
}

// strangerKey is the key of the *stranger in the context of an accepted connection.
type strangerKey struct{}

func (g *gate) init(log *slog.Logger, limits gateLimits, entered func(strangers int)) {
	g.log, g.gateLimits, g.entered = log, limits, entered
	g.open = map[*stranger]struct{}{}
	g.within = map[any]int{}
}

// outerLimits are those of strangers that come directly.
func outerLimits() gateLimits {
	return gateLimits{all: maxHalfOpen, doubtful: doubtfulHalfOpen, groups: func(from *quic.ClientInfo) []group {
		return []group{{host(addrPort(from.RemoteAddr).Addr()), maxHalfOpenPerHost}}
	}}
}

// enter is quic-go's ConnContext: an error refuses the connection.
func (g *gate) enter(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	s := &stranger{gate: g, from: addressText(info.RemoteAddr), groups: g.groups(info)}
	if !g.count(s) {
		g.logRefusal(s)
		return nil, errors.New("too many connections on their way in")
	}
	if g.entered != nil {
		g.entered(g.inside())
	}
	if g.unproved != nil && !info.AddrVerified {
		s.proves = g.unproved.enter(addrPort(info.RemoteAddr))
	}
	ctx = context.WithValue(ctx, strangerKey{}, s)
	g.leaves.Add(1)
	forget := context.AfterFunc(ctx, func() {
		defer g.leaves.Done()
		s.addressProved(false)
		g.leave(s, context.Cause(ctx))
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	s.forget = forget
	return ctx, nil
}

// inside is how many strangers are on their way in.
func (g *gate) inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.open)
}

// count counts s in, if there is room.
func (g *gate) count(s *stranger) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	full := func(h group) bool { return g.within[h.name] >= h.most }
	if len(g.open) >= g.all || slices.ContainsFunc(s.groups, full) {
		return false
	}
	g.open[s] = struct{}{}
	for _, h := range s.groups {
		g.within[h.name]++
	}
	return true
}

// logRefusal counts and logs that a stranger is turned away.
func (g *gate) logRefusal(s *stranger) {
	g.mu.Lock()
	g.turned++
	g.mu.Unlock()
	g.log.Warn("too many connections on their way in: refused", "from", s.from)
}

// refusals is how many strangers were turned away.
func (g *gate) refusals() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.turned
}

// doubts is quic-go's VerifySourceAddress.
func (g *gate) doubts(net.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.open) >= g.doubtful
}

// strangerOf is the stranger that an accepted connection has come as; nil: we have dialled.
func strangerOf(conn *quic.Conn) *stranger {
	s, _ := conn.Context().Value(strangerKey{}).(*stranger)
	return s
}

// addressProved says that the stranger has finished the handshake of TLS, or (false) never will.
func (s *stranger) addressProved(yes bool) {
	if s.proves != nil {
		s.proves(yes)
	}
}

// arrived says that it is not on its way in any more.
func (s *stranger) arrived() { s.gate.leave(s, nil) }

// leave ends the counting of s: it was let in (nil), or has ended.
func (g *gate) leave(s *stranger, cause error) {
	g.mu.Lock()
	_, counted := g.open[s]
	if counted {
		delete(g.open, s)
		for _, h := range s.groups {
			if g.within[h.name]--; g.within[h.name] == 0 {
				delete(g.within, h.name)
			}
		}
	}
	g.mu.Unlock()
	if counted && cause != nil && !s.link.Load() {
		// A peer that dials several of our addresses uses one: it closes another connection, or
		// gives it up without a word in the middle of the handshake.
		level := slog.LevelInfo
		closed, ok := errors.AsType[*ClosedError](reasonOf(cause))
		if ok && closed.Remote && closed.Code == CodeDuplicateLink || errors.Is(reasonOf(cause), ErrSilent) {
			level = slog.LevelDebug
		}
		g.log.Log(context.Background(), level, "a connection did not come about", "from", s.from, "reason", printable(fmt.Sprint(reasonOf(cause))))
	}
}

// reasonOf keeps the words of TLS for the log; for the dialling side explain replaces them.
func reasonOf(cause error) error {
	var t *quic.TransportError
	if errors.As(cause, &t) {
		return t
	}
	return explain(cause)
}

// await waits until every stranger's end is known. It is called when quic-go has
// closed all connections and takes no more.
func (g *gate) await() {
	g.mu.Lock()
	for s := range g.open {
		if s.forget() {
			g.leaves.Done() // quic-go has dropped it without ending its context
		}
	}
	g.mu.Unlock()
	g.leaves.Wait()
}
