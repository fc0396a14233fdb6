package portmap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	natpmp "github.com/jackpal/go-nat-pmp"
)

// natPMPTime is how long to wait for an answer: the library takes no context.
const natPMPTime = time.Second

// natPMP asks by NAT-PMP, RFC 6886.
type natPMP struct {
	gateway netip.Addr // for tests; zero: the system's
}

func (p *natPMP) ask(_ context.Context, port uint16) (*mapping, error) {
	router := p.gateway
	if !router.IsValid() {
		if router = gateway(); !router.IsValid() {
			return nil, errNoGateway
		}
	}
	client := natpmp.NewClientWithTimeout(router.AsSlice(), natPMPTime)
	address, err := client.GetExternalAddress()
	if err != nil {
		return nil, fmt.Errorf("its address: %w", err)
	}
	granted, err := client.AddPortMapping("udp", int(port), int(port), int(lease/time.Second))
	switch {
	case err != nil:
		return nil, err
	case granted.InternalPort != port:
		return nil, errors.New("an answer about another port")
	case granted.MappedExternalPort == 0 || granted.PortMappingLifetimeInSeconds == 0:
		return nil, errors.New("the router grants port 0, or no time")
	}
	return &mapping{
		external: netip.AddrPortFrom(netip.AddrFrom4(address.ExternalIPAddress), granted.MappedExternalPort),
		lease:    time.Duration(granted.PortMappingLifetimeInSeconds) * time.Second,
		release: func(context.Context) error {
			_, err := client.AddPortMapping("udp", int(port), 0, 0)
			return err
		},
	}, nil
}
