package overlay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// names resolves HOST:PORT. It remembers the last addresses of a name for when it can't be
// resolved: a laptop comes home before its name server does.
type names struct {
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	mu   sync.Mutex
	last map[string]answered // by HOST:PORT
}

// answered is the last result for a name.
type answered struct {
	list []netip.AddrPort // its last addresses
	err  error            // why it could not be resolved, if that was the last answer
}

// Limits of resolving.
const (
	// lookupTime suffices for three name servers of which only the last answers, as many as
	// resolv.conf(5) can name: the resolver waits 5 s for each.
	lookupTime = 16 * time.Second
	// lookupMargin is how long before the end of the time to join an unanswered name counts as
	// not resolved, so that the error can say so. A guess.
	lookupMargin = 200 * time.Millisecond
	// maxNames is how many names are remembered, maxBehind how many addresses of one answer
	// are dialled, atOnce how many of them at a time. Guesses.
	maxNames  = 64
	maxBehind = 128
	atOnce    = 16
)

// lookupIP asks the system's resolver.
func lookupIP(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// literal is the address of an IP:PORT, which needs no name server.
func literal(address string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddrPort(address)
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), err == nil && a.Port() != 0
}

// remembered returns the last addresses of a name.
func (n *names) remembered(address string) []netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last[address].list
}

// note keeps an answer.
func (n *names) note(address string, list []netip.AddrPort, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	last, ok := n.last[address]
	if !ok && len(n.last) == maxNames {
		return
	}
	if err == nil {
		last.list = slices.Clone(list)
	}
	last.err = err
	n.last[address] = last
}

// lastError is why the last attempt to resolve a name failed.
func (n *names) lastError(address string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last[address].err
}

// resolve looks up the addresses behind HOST:PORT, within the given time.
func (n *names) resolve(ctx context.Context, address string, most time.Duration) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%q is not a valid port", service)
	}
	if host == "" {
		host = "localhost"
	}
	late, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	ips, err := n.lookup(late, host)
	if err == nil && len(ips) == 0 {
		err = errors.New("it has no address")
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case late.Err() != nil:
		if last := n.lastError(address); last != nil && most < lookupTime { // it was cut short
			return nil, last
		}
		return nil, &nameError{fmt.Errorf("no name server has answered within %v", most.Round(100*time.Millisecond))}
	default:
		err = &nameError{err}
		n.note(address, nil, err)
		return nil, err
	}
	var list []netip.AddrPort
	for _, ip := range ips {
		if a := netip.AddrPortFrom(ip.Unmap(), uint16(port)); len(list) < maxBehind && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	n.note(address, list, nil)
	return list, nil
}
