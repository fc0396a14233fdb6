package portmap

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var outside = netip.MustParseAddrPort("203.0.113.9:5000")

// fakeProtocol is a protocol that a test plays.
type fakeProtocol struct {
	mu       sync.Mutex
	external netip.AddrPort
	lease    time.Duration
	err      error
	asked    int
	released []netip.AddrPort
}

func (f *fakeProtocol) set(external netip.AddrPort, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.external, f.err = external, err
}

func (f *fakeProtocol) ask(context.Context, uint16) (*mapping, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.err != nil {
		return nil, f.err
	}
	external := f.external
	return &mapping{external, f.lease, func(context.Context) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.released = append(f.released, external)
		return nil
	}}, nil
}

// times is how often the protocol was asked.
func (f *fakeProtocol) times() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// told collects the addresses that Changed receives.
type told struct {
	mu   sync.Mutex
	list []netip.AddrPort
}

func (c *told) changed(a netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, a)
}

func (c *told) last() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.list) == 0 {
		return netip.AddrPort{}
	}
	return c.list[len(c.list)-1]
}

// TestMapper: a mapping is kept, renewed, lost, found again by another protocol, and given
// back.
func TestMapper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fakeProtocol{err: errors.New("no answer")}, &fakeProtocol{external: outside, lease: time.Hour}
		var c told
		m := start(Config{Port: 5000, Changed: c.changed, Log: slog.New(slog.DiscardHandler)}, []protocol{{"first", first.ask}, {"second", second.ask}})
		synctest.Wait()
		if c.last() != outside || !strings.Contains(m.State(), "203.0.113.9:5000 by second") {
			t.Fatalf("mapped at %v: %s", c.last(), m.State())
		}
		moved := netip.MustParseAddrPort("203.0.113.10:5001")
		second.set(moved, nil)
		time.Sleep(renewEvery + time.Second)
		if c.last() != moved || second.times() != 2 {
			t.Errorf("after a renewal: %v, asked %d times", c.last(), second.times())
		}
		second.set(moved, errors.New("no answer"))
		time.Sleep(renewEvery)
		if c.last().IsValid() || !strings.Contains(m.State(), "none: first: no answer; second: no answer") {
			t.Errorf("after a refusal: %v, %s", c.last(), m.State())
		}
		time.Sleep(10 * time.Second)
		asked := first.times()
		first.set(outside, nil)
		m.Refresh()
		synctest.Wait()
		if c.last() != outside || first.times() != asked+1 {
			t.Errorf("after new interfaces: %v, asked %d times more", c.last(), first.times()-asked)
		}
		m.Close()
		if len(first.released) != 1 || first.released[0] != outside || c.last() != outside {
			t.Errorf("given back at the end: %v; told %v", first.released, c.last())
		}
	})
}

// TestBehindAnother: an address that is not one of the internet is given back.
func TestBehindAnother(t *testing.T) {
	for _, address := range []string{"10.0.0.1:5000", "192.168.1.1:5000", "100.64.1.1:5000", "127.0.0.1:5000", "0.0.0.0:5000", "224.0.0.1:5000", "169.254.1.1:5000"} {
		synctest.Test(t, func(t *testing.T) {
			w := &fakeProtocol{external: netip.MustParseAddrPort(address), lease: time.Hour}
			var c told
			m := start(Config{Port: 5000, Changed: c.changed, Log: slog.New(slog.DiscardHandler)}, []protocol{{"way", w.ask}})
			synctest.Wait()
			state := m.State()
			m.Close()
			if len(c.list) != 0 || len(w.released) != 1 || !strings.Contains(state, "behind a NAT itself") {
				t.Errorf("%s: told %v, given back %v, %s", address, c.list, w.released, state)
			}
		})
	}
}

// TestPause: the intervals between refused requests grow.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeProtocol{err: errors.New("no")}
		m := start(Config{Port: 1, Changed: func(netip.AddrPort) {}, Log: slog.New(slog.DiscardHandler)}, []protocol{{"way", w.ask}})
		time.Sleep(24 * time.Hour)
		if n := w.times(); n < 90 || n > 110 {
			t.Errorf("asked %d times in a day", n)
		}
		m.Close()
	})
}

// router is a fake router on a loopback address, which answers datagrams to the control port.
func router(t *testing.T, ip string, answer func(request []byte) []byte) netip.Addr {
	t.Helper()
	addr := netip.MustParseAddr(ip)
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, controlPort)))
	if err != nil {
		t.Skip("the control port of this loopback address is not to be had: ", err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if reply := answer(b[:n]); reply != nil {
				_, _ = conn.WriteToUDPAddrPort(reply, from)
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		done.Wait()
	})
	return addr
}

// granting answers a PCP request as a good router does.
func granting(request []byte) []byte {
	b := append([]byte{}, request...)
	b[1] |= pcpResponse
	b[2], b[3] = 0, 0
	binary.BigEndian.PutUint16(b[24+18:], 6000)
	ip := netip.MustParseAddr("203.0.113.9").As16()
	copy(b[24+20:], ip[:])
	return b
}

// checkGranted wants a mapping that was asked for an hour and then given back.
func checkGranted(t *testing.T, granted *mapping, err error, lifetimes <-chan uint32) {
	t.Helper()
	if err != nil || granted.external != netip.MustParseAddrPort("203.0.113.9:6000") || granted.lease != lease {
		t.Fatalf("%+v, %v", granted, err)
	}
	if first := <-lifetimes; first != uint32(lease/time.Second) {
		t.Errorf("asked for %d s", first)
	}
	if err := granted.release(t.Context()); err != nil || <-lifetimes != 0 {
		t.Errorf("given back: %v", err)
	}
}

func TestPCP(t *testing.T) {
	lifetimes := make(chan uint32, 8)
	ip := router(t, "127.0.77.1", func(request []byte) []byte {
		lifetimes <- binary.BigEndian.Uint32(request[4:])
		return granting(request)
	})
	p := &pcp{gateway: ip}
	granted, err := p.ask(t.Context(), 5000)
	checkGranted(t, granted, err, lifetimes)
}

// TestPCPRefused: answers that a router may give, or another host in its place.
func TestPCPRefused(t *testing.T) {
	change := func(at int, value byte) func([]byte) []byte {
		return func(request []byte) []byte {
			b := granting(request)
			b[at] = value
			return b
		}
	}
	for what, answer := range map[string]func([]byte) []byte{
		"an older version":       change(0, 0),
		"a refusal":              change(3, 8),
		"another nonce":          change(24, 0xff),
		"another protocol":       change(24+12, 6),
		"another port":           change(24+16, 0xff),
		"no answer, but an echo": func(r []byte) []byte { return r },
		"half an answer":         func(r []byte) []byte { return granting(r)[:40] },
		"nothing":                func([]byte) []byte { return []byte{} },
		"port 0": func(r []byte) []byte {
			b := granting(r)
			binary.BigEndian.PutUint16(b[24+18:], 0)
			return b
		},
	} {
		p := &pcp{}
		request := p.request(netip.MustParseAddr("192.168.1.2"), 5000, lease)
		_, _, ours, err := p.parse(answer(request), 5000)
		if ours && err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func FuzzPCP(f *testing.F) {
	p := &pcp{}
	f.Add(granting(p.request(netip.MustParseAddr("192.168.1.2"), 5000, lease)))
	f.Add([]byte{2, 0x81})
	f.Fuzz(func(t *testing.T, b []byte) {
		external, granted, ours, err := p.parse(b, 5000)
		if ours && err == nil && granted > 0 && external.Port() == 0 {
			t.Errorf("takes %v", external)
		}
	})
}

// TestNATPMP: the address, then the mapping, then it is given back.
func TestNATPMP(t *testing.T) {
	lifetimes := make(chan uint32, 8)
	ip := router(t, "127.0.77.2", func(request []byte) []byte {
		if request[1] == 0 {
			return []byte{0, 0x80, 0, 0, 0, 0, 0, 1, 203, 0, 113, 9}
		}
		b := append([]byte{0, 0x81, 0, 0, 0, 0, 0, 1}, request[4:6]...)
		b = append(b, 0x17, 0x70) // 6000
		lifetimes <- binary.BigEndian.Uint32(request[8:])
		return append(b, request[8:12]...)
	})
	granted, err := (&natPMP{gateway: ip}).ask(t.Context(), 5000)
	checkGranted(t, granted, err, lifetimes)
}

func TestNATPMPRefused(t *testing.T) {
	ip := router(t, "127.0.77.3", func(request []byte) []byte {
		if request[1] == 0 {
			return []byte{0, 0x80, 0, 0, 0, 0, 0, 1, 203, 0, 113, 9}
		}
		return []byte{0, 0x81, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0} // not authorized
	})
	if granted, err := (&natPMP{gateway: ip}).ask(t.Context(), 5000); err == nil {
		t.Errorf("granted %+v", granted)
	}
}

// fakeIGD is a router of UPnP.
type fakeIGD struct {
	address string
	taken   map[uint16]bool
	forever bool // knows no leases
	mapped  map[uint16]uint32
}

func (*fakeIGD) LocalAddr() net.IP { return net.IPv4(192, 168, 1, 2) }

func (d *fakeIGD) GetExternalIPAddressCtx(context.Context) (string, error) { return d.address, nil }

func (d *fakeIGD) AddPortMappingCtx(_ context.Context, _ string, external uint16, protocol string, internal uint16, client string, _ bool, _ string, lease uint32) error {
	if d.taken[external] || d.forever && lease > 0 || protocol != "UDP" || internal != 5000 || client != "192.168.1.2" {
		return errors.New("refused")
	}
	d.mapped[external] = lease
	return nil
}

func (d *fakeIGD) DeletePortMappingCtx(_ context.Context, _ string, external uint16, _ string) error {
	delete(d.mapped, external)
	return nil
}

func TestUPnP(t *testing.T) {
	for what, test := range map[string]struct {
		device fakeIGD
		want   string // the external address; empty: none
		lease  time.Duration
	}{
		"free":               {fakeIGD{address: "203.0.113.9"}, "203.0.113.9:5000", lease},
		"taken":              {fakeIGD{address: "203.0.113.9", taken: map[uint16]bool{5000: true}}, "203.0.113.9:6000", lease},
		"for ever":           {fakeIGD{address: "203.0.113.9", forever: true}, "203.0.113.9:5000", 0},
		"all taken":          {fakeIGD{address: "203.0.113.9", taken: map[uint16]bool{5000: true, 6000: true, 7000: true, 8000: true}}, "", 0},
		"nonsense":           {fakeIGD{address: "<script>"}, "", 0},
		"without an address": {fakeIGD{}, "", 0},
	} {
		d := test.device
		d.mapped = map[uint16]uint32{}
		u := &upnp{find: func(context.Context) (igd, error) { return &d, nil }}
		granted, err := u.ask(t.Context(), 5000)
		switch {
		case test.want == "" && err == nil:
			t.Errorf("%s: granted %+v", what, granted)
		case test.want == "":
		case err != nil || granted.external.String() != test.want || granted.lease != test.lease:
			t.Errorf("%s: %+v, %v", what, granted, err)
		default:
			if err := granted.release(t.Context()); err != nil || len(d.mapped) != 0 {
				t.Errorf("%s: after giving back: %v, %v", what, d.mapped, err)
			}
		}
	}
}

// TestGuard: descriptions are fetched from hosts of the LAN alone, and by their address.
func TestGuard(t *testing.T) {
	for _, url := range []string{"http://203.0.113.77/rootDesc.xml", "http://[2001:db8::1]/", "http://localhost/"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := guarded.RoundTrip(request); err == nil || !strings.Contains(err.Error(), "a device at") {
			t.Errorf("%s is fetched: %v, %v", url, response, err)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 3*maxUPnPBody))
	}))
	defer server.Close()
	response, err := (&http.Client{Transport: guarded}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); n != maxUPnPBody || err != nil {
		t.Errorf("%d bytes are read: %v", n, err)
	}
}

func TestDefaultRoute(t *testing.T) {
	table := "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n" +
		"eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n" +
		"eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n"
	if a := defaultRoute(bufio.NewScanner(strings.NewReader(table))); a.String() != "192.168.1.1" && a.String() != "1.1.168.192" {
		t.Errorf("the gateway is %v", a)
	}
	for _, nonsense := range []string{"", "x", "Iface\neth0\t00000000\tzz\t0\t0\t0\t0\t00000000\n", "eth0 00000000 00000000 0 0 0 0 00000000\n"} {
		if a := defaultRoute(bufio.NewScanner(strings.NewReader(nonsense))); a.IsValid() {
			t.Errorf("%q: %v", nonsense, a)
		}
	}
}
