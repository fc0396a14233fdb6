package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
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
	log     *slog.Logger
	entered func(strangers int) // called when one has
	leaves  sync.WaitGroup      // one for each stranger whose end is still to be reported

	mu      sync.Mutex
	open    map[*stranger]struct{}
	perHost map[netip.Prefix]int
	refused int       // turned away since they were logged
	logged  time.Time // when
}

// stranger is a connection on its way in.
type stranger struct {
	addr   netip.AddrPort
	forget func() bool // cancels the report of its end
}

// strangerKey is the key of the *stranger in the context of an accepted connection.
type strangerKey struct{}

func (g *gate) init(log *slog.Logger, entered func(strangers int)) {
	g.log, g.entered = log, entered
	g.open = map[*stranger]struct{}{}
	g.perHost = map[netip.Prefix]int{}
}

// host is the unit that counts as one address: in IPv6 a /64, the least that a customer gets.
func host(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits) // fails for the zero address alone, and that may be one host
	return p
}

// enter is quic-go's ConnContext: an error refuses the connection.
func (g *gate) enter(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	s := &stranger{addr: addrPort(info.RemoteAddr)}
	if !g.count(s) {
		g.logRefusal(s)
		return nil, errors.New("too many connections on their way in")
	}
	g.entered(g.inside())
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
	h := host(s.addr.Addr())
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.open) >= maxHalfOpen || g.perHost[h] >= maxHalfOpenPerHost {
		return false
	}
	g.open[s] = struct{}{}
	g.perHost[h]++
	return true
}

// logRefusal logs, at long intervals, that strangers are turned away.
func (g *gate) logRefusal(s *stranger) {
	g.mu.Lock()
	g.refused++
	refused, now := g.refused, time.Now()
	if now.Sub(g.logged) < refusalLogPeriod {
		g.mu.Unlock()
		return
	}
	g.logged, g.refused = now, 0
	g.mu.Unlock()
	g.log.Warn("too many connections on their way in: refused", "from", s.addr, "refused", refused)
}

// doubts is quic-go's VerifySourceAddress.
func (g *gate) doubts(net.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.open) >= doubtfulHalfOpen
}

// leave ends the counting of s: it has become a link (nil), or has ended.
func (g *gate) leave(s *stranger, cause error) {
	g.mu.Lock()
	_, counted := g.open[s]
	if counted {
		delete(g.open, s)
		if h := host(s.addr.Addr()); g.perHost[h] > 1 {
			g.perHost[h]--
		} else {
			delete(g.perHost, h)
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
		g.log.Log(context.Background(), level, "a connection did not come about", "from", s.addr, "reason", printable(fmt.Sprint(reasonOf(cause))))
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
