package portmap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"

	"quicpeer/transport"
)

// upnp asks by UPnP: the router answers a multicast on the LAN, and takes commands by SOAP
// over HTTP.
type upnp struct {
	find func(context.Context) (igd, error) // for tests; nil: on the LAN

	mu    sync.Mutex
	found igd // kept for renewals
}

// igd is what the kinds of service have in common (WANIPConnection:1 and :2,
// WANPPPConnection:1).
type igd interface {
	LocalAddr() net.IP
	GetExternalIPAddressCtx(context.Context) (string, error)
	AddPortMappingCtx(ctx context.Context, remote string, external uint16, protocol string, internal uint16, client string, enabled bool, description string, lease uint32) error
	DeletePortMappingCtx(ctx context.Context, remote string, external uint16, protocol string) error
}

// Bounds of what is read from a device (guesses; a description has some 10 KiB).
const maxUPnPBody = 1 << 20

func (u *upnp) ask(ctx context.Context, port uint16) (*mapping, error) {
	u.mu.Lock()
	device, find := u.found, u.find
	u.mu.Unlock()
	if find == nil {
		find = findIGD
	}
	if device == nil {
		var err error
		if device, err = find(ctx); err != nil {
			return nil, err
		}
	}
	granted, err := mapUPnP(ctx, device, port)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.found = device; err != nil {
		u.found = nil
	}
	return granted, err
}

// portTries is how many external ports are tried, in case another host has the first.
const portTries = 4

func mapUPnP(ctx context.Context, device igd, port uint16) (*mapping, error) {
	text, err := device.GetExternalIPAddressCtx(ctx)
	if err != nil {
		return nil, fmt.Errorf("the router's address: %w", err)
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return nil, fmt.Errorf("the router's address %.40q: %w", text, err)
	}
	client := device.LocalAddr()
	if client == nil {
		return nil, errors.New("it is not known by which of our addresses the router knows us")
	}
	for i := range uint16(portTries) {
		external := port + 1000*i
		if external == 0 {
			continue
		}
		granted := lease
		err = device.AddPortMappingCtx(ctx, "", external, "UDP", port, client.String(), true, "quicpeer", uint32(lease/time.Second))
		if err != nil { // many routers know mappings for ever alone (error 725)
			granted = 0
			err = device.AddPortMappingCtx(ctx, "", external, "UDP", port, client.String(), true, "quicpeer", 0)
		}
		if err == nil {
			return &mapping{netip.AddrPortFrom(address.Unmap(), external), granted, func(ctx context.Context) error {
				return device.DeletePortMappingCtx(ctx, "", external, "UDP")
			}}, nil
		}
	}
	return nil, err
}

// findIGD searches the LAN for a router, by the three kinds of service at once.
func findIGD(ctx context.Context) (igd, error) {
	useGuard()
	found := make(chan igd, 3)
	var searches sync.WaitGroup
	searches.Go(func() {
		if list, _, err := internetgateway2.NewWANIPConnection2ClientsCtx(ctx); err == nil && len(list) > 0 {
			list[0].SOAPClient.HTTPClient.Transport = guarded
			found <- list[0]
		}
	})
	searches.Go(func() {
		if list, _, err := internetgateway2.NewWANIPConnection1ClientsCtx(ctx); err == nil && len(list) > 0 {
			list[0].SOAPClient.HTTPClient.Transport = guarded
			found <- list[0]
		}
	})
	searches.Go(func() {
		if list, _, err := internetgateway2.NewWANPPPConnection1ClientsCtx(ctx); err == nil && len(list) > 0 {
			list[0].SOAPClient.HTTPClient.Transport = guarded
			found <- list[0]
		}
	})
	searches.Wait()
	select {
	case device := <-found:
		return device, nil
	default:
		return nil, errors.New("no router answers")
	}
}

// useGuard has the library fetch descriptions by the guarded transport.
var useGuard = sync.OnceFunc(func() {
	goupnp.HTTPClientDefault = &http.Client{Transport: guarded, Timeout: 3 * time.Second}
})

// guarded speaks HTTP with hosts of our own subnets alone: any host on the LAN can answer a
// search, and must not make us fetch from elsewhere. It reads so many bytes and no more.
var guarded http.RoundTripper = guard{&http.Transport{
	Proxy: nil,
	DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, fmt.Errorf("a device at %.60q, which is not an IP address", address)
		}
		if !transport.OwnSubnet(a.Addr()) {
			return nil, fmt.Errorf("a device at %v, which is not on this LAN", a)
		}
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	},
	DisableKeepAlives: true,
}}

type guard struct{ http.RoundTripper }

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := g.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, maxUPnPBody), response.Body}
	}
	return response, err
}
