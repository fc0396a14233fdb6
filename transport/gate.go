package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// Bounds of the gate.
const (
	// The limit of strangers on their way in: in the handshake, or before their control
	// stream. Each costs 54 KB (measured), up to 2 MiB more if it fills its window (see
	// linkWindow), and lasts at most 15 s. A core does some 450 handshakes a second, so 96 are
	// its work for a fifth of a second. A guess beyond that.
	maxHalfOpen = 96
	// The limit for one address, which keeps one host from shutting the door for all others. A
	// NAT or a test may well bring dozens.
	maxHalfOpenPerHost = maxHalfOpen / 3
	// From this number on a stranger must show that packets reach the address it claims
	// (QUIC's Retry, one more round trip): forged addresses can't take all places.
	doubtfulHalfOpen = maxHalfOpen / 2
	// The shortest time between two log lines about strangers turned away.
	refusalLogPeriod = time.Second
)

// gate bounds the resources of strangers before they have a link. A stranger counts from its
// first packet, before any work for TLS, until the owner of the endpoint has taken its link or
// the connection has ended.
type gate struct {
	gateLimits
	log     *slog.Logger
	entered func(strangers int) // called when one has; nil: nobody wants to know
	leaves  sync.WaitGroup      // one for each stranger whose end is still to be reported

	mu      sync.Mutex
	open    map[*stranger]struct{}
	within  map[any]int // of each group
	refused int         // turned away since they were logged
	logged  time.Time   // when
	turned  uint64      // turned away since the start
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
	ctx = context.WithValue(ctx, strangerKey{}, s)
	g.leaves.Add(1)
	forget := context.AfterFunc(ctx, func() {
		defer g.leaves.Done()
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

// logRefusal logs, at long intervals, that strangers are turned away.
func (g *gate) logRefusal(s *stranger) {
	g.mu.Lock()
	g.refused++
	g.turned++
	refused, now := g.refused, time.Now()
	if now.Sub(g.logged) < refusalLogPeriod {
		g.mu.Unlock()
		return
	}
	g.logged, g.refused = now, 0
	g.mu.Unlock()
	g.log.Warn("too many connections on their way in: refused", "from", s.from, "refused", refused)
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

// arrived says that a connection is not on its way in any more.
func arrived(conn *quic.Conn) {
	s, _ := conn.Context().Value(strangerKey{}).(*stranger)
	s.gate.leave(s, nil)
}

// leave ends the counting of s: it has become a link (nil), or has ended.
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
	if counted && cause != nil {
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
