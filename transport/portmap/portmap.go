// Package portmap asks the router for a UDP port that leads in from outside, keeps it, and
// gives it back. It tries three protocols in turn: PCP (RFC 6887) and NAT-PMP (RFC 6886),
// which answer in milliseconds, and UPnP (IGD:1 and 2), which takes seconds.
//
//	port 5000 of this host ◀── router ◀── its address:port, for anybody
//
// The router's answers are checked: an address outside the internet's ranges is of no use,
// since then the router is behind a NAT itself.
package portmap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	// The lease to ask for. RFC 6886, 3.3, recommends two hours; with one hour the hole of a
	// peer that has crashed is closed sooner.
	lease = time.Hour
	// The longest time until a mapping is renewed, and so until it is noticed that a router
	// has restarted or has got another address. A guess.
	renewEvery = 5 * time.Minute
	// The pause after a failed attempt, at first and at most. Guesses.
	firstPause = time.Minute
	mostPause  = 15 * time.Minute
	// The limit of one attempt: UPnP waits 2 s for answers, for three kinds of service.
	tryTime = 15 * time.Second
	// The limit of giving a mapping back: the user waits.
	releaseTime = time.Second
)

// Config says which port to map.
type Config struct {
	Port uint16 // UDP, of this host; the router is asked for the same one
	// Changed receives the address that leads in from outside, and the zero address when there
	// is none any more. One goroutine calls it, and not after Close.
	Changed func(netip.AddrPort)
	Log     *slog.Logger
}

// mapping is a mapping that a router has granted.
type mapping struct {
	external netip.AddrPort
	lease    time.Duration // 0: for ever
	release  func(context.Context) error
}

// protocol is a way to ask the router for a mapping. ask also renews a mapping that it was granted before.
type protocol struct {
	name string
	ask  func(ctx context.Context, port uint16) (*mapping, error)
}

// Mapper keeps a mapping.
type Mapper struct {
	cfg       Config
	protocols []protocol
	cancel    context.CancelFunc
	anew      chan struct{}
	done      sync.WaitGroup

	mu    sync.Mutex
	state string
}

// Start begins to ask.
func Start(cfg Config) *Mapper {
	return start(cfg, []protocol{
		{"PCP", (&pcp{}).ask},
		{"NAT-PMP", (&natPMP{}).ask},
		{"UPnP", (&upnp{}).ask},
	})
}

func start(cfg Config, protocols []protocol) *Mapper {
	m := &Mapper{cfg: cfg, protocols: protocols, anew: make(chan struct{}, 1), state: "the router is being asked"}
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	m.done.Go(func() { m.run(ctx) })
	return m
}

// Refresh must be called when the host's interfaces have changed: the router may be another
// one.
func (m *Mapper) Refresh() {
	select {
	case m.anew <- struct{}{}:
	default:
	}
}

// Close gives the mapping back, which takes a second at most, and ends the Mapper.
func (m *Mapper) Close() {
	m.cancel()
	m.done.Wait()
}

// State describes, for people, what is mapped by which protocol, or why nothing is.
func (m *Mapper) State() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *Mapper) setState(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = fmt.Sprintf(format, args...)
}

func (m *Mapper) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		p, granted, err := m.try(ctx)
		if err == nil {
			pause = firstPause
			m.keep(ctx, p, granted)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		m.setState("none: %v", err)
		level := slog.LevelInfo
		if pause == firstPause { // it is not to be said again and again
			level = slog.LevelWarn
		}
		m.cfg.Log.Log(ctx, level, "the router maps no port", "error", err)
		if m.wait(ctx, pause) {
			pause = firstPause
		} else {
			pause = min(2*pause, mostPause)
		}
	}
}

// wait waits; true says that the interfaces have changed, or ctx has ended.
func (m *Mapper) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-m.anew:
		return true
	case <-ctx.Done():
		return true
	}
}

// try asks by one protocol after the other, never at once: a router that knows several keeps
// one list of mappings for all, and a mapping given back by one would be gone for the other.
func (m *Mapper) try(ctx context.Context) (protocol, *mapping, error) {
	var failed []string
	for _, p := range m.protocols {
		granted, err := m.askOne(ctx, p)
		if err == nil {
			return p, granted, nil
		}
		failed = append(failed, p.name+": "+err.Error())
	}
	return protocol{}, nil, errors.New(strings.Join(failed, "; "))
}

func (m *Mapper) askOne(ctx context.Context, p protocol) (*mapping, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	granted, err := p.ask(ctx, m.cfg.Port)
	if err == nil && !global(granted.external.Addr()) {
		m.giveBack(p, granted)
		err = fmt.Errorf("the router is behind a NAT itself: its address is %v", granted.external.Addr())
	}
	return granted, err
}

// keep renews what was granted until that fails, the interfaces change or ctx ends.
func (m *Mapper) keep(ctx context.Context, p protocol, granted *mapping) {
	m.cfg.Log.Info("the router leads a port to this peer", "address", granted.external, "by", p.name)
	m.cfg.Changed(granted.external)
	defer func() {
		m.giveBack(p, granted)
		if ctx.Err() == nil {
			m.cfg.Changed(netip.AddrPort{})
		}
	}()
	for {
		m.setState("%v by %s", granted.external, p.name)
		pause := renewEvery
		if granted.lease > 0 {
			pause = max(time.Second, min(granted.lease/2, renewEvery))
		}
		if m.wait(ctx, pause) {
			return
		}
		renewed, err := m.askOne(ctx, p)
		if err != nil {
			m.cfg.Log.Info("the router does not renew the port", "by", p.name, "error", err)
			return
		}
		if renewed.external != granted.external {
			m.cfg.Changed(renewed.external)
		}
		granted = renewed
	}
}

func (m *Mapper) giveBack(p protocol, granted *mapping) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	if err := granted.release(ctx); err != nil {
		m.cfg.Log.Debug("giving a port back", "by", p.name, "error", err)
	}
}

// global says whether an address is one of the internet. The other ranges are those of a
// router behind another one: RFC 1918, RFC 6598 (providers' NATs).
func global(ip netip.Addr) bool {
	return ip.Is4() && ip.IsGlobalUnicast() && !ip.IsPrivate() && !sharedSpace.Contains(ip)
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")
