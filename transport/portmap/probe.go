package portmap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// Found is what Probe has found out about the router.
type Found struct {
	Router netip.Addr // the default route's; zero: there is none
	By     string     // a protocol by which it maps ports; empty: none has answered
	// External is its own address, zero if it doesn't say. If it is not one of the internet
	// (see Behind), the router is behind another NAT, and a port of it is of no use.
	External netip.Addr
}

// Behind says that the router is behind a NAT itself.
func (f Found) Behind() bool { return f.External.IsValid() && !global(f.External) }

// Probe asks whether a router maps ports, without mapping one. It takes up to two seconds, or until
// ctx ends.
func Probe(ctx context.Context) Found {
	f := Found{Router: gateway()}
	if f.Router.IsValid() {
		if by, external, err := probePMP(ctx, netip.AddrPortFrom(f.Router, controlPort)); err == nil {
			f.By, f.External = by, external
			return f
		}
	}
	if device, err := findIGD(ctx); err == nil {
		f.By = "UPnP"
		if text, err := device.GetExternalIPAddressCtx(ctx); err == nil {
			f.External, _ = netip.ParseAddr(text) // zero where it is none
		}
	}
	return f
}

// probeTries is how often the router is asked, and probeWait how long it has to answer.
const (
	probeTries = 2
	probeWait  = 250 * time.Millisecond
)

// probePMP asks a router for its address by NAT-PMP (RFC 6886, 3.2). A server that knows PCP alone
// answers that it doesn't know this version (RFC 6887, 9).
func probePMP(ctx context.Context, router netip.AddrPort) (by string, external netip.Addr, err error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(router))
	if err != nil {
		return "", external, err
	}
	defer conn.Close()
	answer := make([]byte, 64)
	for range probeTries {
		if err = ctx.Err(); err != nil {
			return "", external, err
		}
		_ = conn.SetDeadline(time.Now().Add(probeWait)) // never fails
		if _, err = conn.Write([]byte{0, 0}); err != nil {
			return "", external, err
		}
		n, readErr := conn.Read(answer)
		switch b := answer[:n]; {
		case readErr != nil:
			err = readErr
		case n >= 4 && b[0] == pcpVersion:
			return "PCP", external, nil
		case n >= 12 && b[0] == 0 && b[1] == pcpResponse && b[2] == 0 && b[3] == 0:
			return "NAT-PMP", netip.AddrFrom4([4]byte(b[8:12])), nil
		default:
			err = errors.New("an answer that is not one of NAT-PMP")
		}
	}
	return "", external, err
}
