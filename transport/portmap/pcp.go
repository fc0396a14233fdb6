package portmap

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

var errNoGateway = errors.New("there is no route to a router")

// controlPort is the port of PCP and NAT-PMP servers.
const controlPort = 5351

// pcp asks by the Port Control Protocol, RFC 6887.
type pcp struct {
	gateway netip.Addr // for tests; zero: the system's
	nonce   [12]byte   // names our mapping, so that no other host renews or deletes it
}

// Sizes and numbers of RFC 6887, 7 and 11.1.
const (
	pcpVersion  = 2
	pcpMap      = 1
	pcpResponse = 0x80
	pcpUDP      = 17
	pcpSize     = 24 + 36 // the header, and that of MAP
)

func (p *pcp) ask(ctx context.Context, port uint16) (*mapping, error) {
	if p.nonce == ([12]byte{}) {
		rand.Read(p.nonce[:]) // never fails, see crypto/rand
	}
	router := p.gateway
	if !router.IsValid() {
		if router = gateway(); !router.IsValid() {
			return nil, errNoGateway
		}
	}
	external, granted, err := p.exchange(ctx, router, port, lease)
	if err != nil {
		return nil, err
	}
	return &mapping{external, granted, func(ctx context.Context) error {
		_, _, err := p.exchange(ctx, router, port, 0)
		return err
	}}, nil
}

// exchange sends a request until the answer comes: again after 0.25, 0.5 and 1 s, then it
// gives up. RFC 6887, 8.1.1, begins with 3 s, which is too slow for a peer that has other ways
// in.
func (p *pcp) exchange(ctx context.Context, router netip.Addr, port uint16, lifetime time.Duration) (netip.AddrPort, time.Duration, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(router, controlPort)))
	if err != nil {
		return netip.AddrPort{}, 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	request := p.request(local, port, lifetime)
	answer := make([]byte, 1100) // the longest that the protocol knows
	for wait := 250 * time.Millisecond; wait <= time.Second; wait *= 2 {
		if _, err := conn.Write(request); err != nil {
			return netip.AddrPort{}, 0, err
		}
		_ = conn.SetReadDeadline(time.Now().Add(wait)) // never fails
		if ctx.Err() != nil {
			break
		}
		for {
			n, err := conn.Read(answer)
			if err != nil {
				break
			}
			external, granted, ours, err := p.parse(answer[:n], port)
			if ours {
				return external, granted, err
			}
		}
	}
	return netip.AddrPort{}, 0, errors.New("no answer")
}

func (p *pcp) request(local netip.Addr, port uint16, lifetime time.Duration) []byte {
	b := make([]byte, 0, pcpSize)
	b = append(b, pcpVersion, pcpMap, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(lifetime/time.Second))
	ip := local.As16()
	b = append(b, ip[:]...)
	b = append(b, p.nonce[:]...)
	b = append(b, pcpUDP, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, port)
	b = binary.BigEndian.AppendUint16(b, port) // the suggested external port
	any4 := netip.IPv4Unspecified().As16()
	return append(b, any4[:]...)
}

// parse reads an answer; ours says that it answers our request, granted or not.
func (p *pcp) parse(b []byte, port uint16) (external netip.AddrPort, granted time.Duration, ours bool, err error) {
	if len(b) >= 4 && b[0] != pcpVersion {
		return external, 0, true, fmt.Errorf("the router speaks version %d", b[0])
	}
	if len(b) < pcpSize || b[1] != pcpResponse|pcpMap {
		return external, 0, false, nil
	}
	m := b[24:]
	if [12]byte(m[:12]) != p.nonce || m[12] != pcpUDP || binary.BigEndian.Uint16(m[16:]) != port {
		return external, 0, false, nil
	}
	if code := b[3]; code != 0 {
		return external, 0, true, fmt.Errorf("the router refuses: result %d of RFC 6887, 7.4", code)
	}
	granted = time.Duration(binary.BigEndian.Uint32(b[4:])) * time.Second
	external = netip.AddrPortFrom(netip.AddrFrom16([16]byte(m[20:36])).Unmap(), binary.BigEndian.Uint16(m[18:]))
	if granted > 0 && external.Port() == 0 {
		return external, 0, true, errors.New("the router grants port 0")
	}
	return external, granted, true, nil
}
