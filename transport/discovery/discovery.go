// Package discovery finds peers on the LAN, and lets them find this one, by multicast DNS
// service discovery (RFC 6762, RFC 6763), service _quicpeer._udp.
//
// A peer asks at once when it starts, and the peers that are there answer within milliseconds.
// So the later of two finds the earlier one, and needs no announcement of its own. It asks
// again a few times in the first seconds, in case a packet was lost, and then once a minute,
// in case a cable was plugged in elsewhere.
//
// Any host on the LAN can answer anything, so an answer is only a hint: its addresses must be
// in our own subnets, and the peer there shows its key in the handshake like every other.
//
// A peer of a private network tells the LAN neither who it is nor which network that is: it sends
// a random number, and beside it a mark of that number which only those can make and recognise
// that know the network (certs.Door).
package discovery

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/logging"
	"github.com/pion/mdns/v2"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"quicpeer/certs"
	"quicpeer/transport"
)

const service = "_quicpeer._udp"

// askAt is when to ask the LAN, after the start and after the previous time.
var askAt = []time.Duration{0, 250 * time.Millisecond, 750 * time.Millisecond, 2 * time.Second}

// askEvery is how often to ask from then on (RFC 6762, 5.2, allows up to an hour); neverAsk
// keeps the library from asking at intervals of its own.
const (
	askEvery = time.Minute
	neverAsk = 24 * time.Hour
)

// Config describes this peer, and the function that receives the peers found.
type Config struct {
	ID      certs.ID
	Key     certs.PublicKey
	Network string      // peers of others are not found
	Door    *certs.Door // of a private network, in the place of ID, Key and Network; nil: an open one
	Port    uint16      // UDP
	// Found is called for each peer that answers, again each time that the LAN is asked.
	// Several goroutines may call it, but none after Close.
	Found func(Peer)
	Log   *slog.Logger
}

// Peer is a peer on the LAN, by its own word. One of a private network says nothing but that it
// belongs to it.
type Peer struct {
	ID      certs.ID
	Key     string // the fingerprint
	Address netip.AddrPort
}

// Discovery is a running search.
type Discovery struct {
	cfg    Config
	run    string  // random, so that a peer that restarts is found again
	salt   [8]byte // random, of the mark of a private network
	cancel context.CancelFunc
	anew   chan struct{}
	alone  atomic.Bool // only loopback is here, so peers found there count
	done   sync.WaitGroup
}

// Start begins to ask and to answer; Close ends it. If no interface can do multicast it logs
// that, and tries again after Refresh and once a minute.
func Start(cfg Config) *Discovery {
	d := newDiscovery(cfg)
	conn, err := d.listen()
	if err != nil {
		cfg.Log.Warn("peers on the LAN are not found, nor find this one, until there is an interface that can do multicast", "error", err)
	}
	var ctx context.Context
	ctx, d.cancel = context.WithCancel(context.Background())
	d.done.Go(func() { d.keepAsking(ctx, conn) })
	return d
}

func newDiscovery(cfg Config) *Discovery {
	d := &Discovery{cfg: cfg, anew: make(chan struct{}, 1), run: fmt.Sprintf("%08x", rand.Uint32())}
	binary.BigEndian.PutUint64(d.salt[:], rand.Uint64())
	return d
}

// Refresh must be called when the host's interfaces have changed.
func (d *Discovery) Refresh() {
	select {
	case d.anew <- struct{}{}:
	default:
	}
}

// Close ends the search. Found is not called after it has returned.
func (d *Discovery) Close() {
	d.cancel()
	d.done.Wait()
}

// keepAsking asks, and begins anew when the interfaces have changed.
func (d *Discovery) keepAsking(ctx context.Context, conn *mdns.Conn) {
	for ctx.Err() == nil {
		if conn != nil {
			d.ask(ctx, conn)
			_ = conn.Close() // of multicast sockets; an error would change nothing
		} else {
			d.pause(ctx, askEvery)
		}
		if ctx.Err() != nil {
			return
		}
		var err error
		if conn, err = d.listen(); err != nil {
			conn = nil
			d.cfg.Log.Debug("no interface for multicast now", "error", err)
		}
	}
}

// ask asks until ctx ends or the interfaces change.
func (d *Discovery) ask(ctx context.Context, conn *mdns.Conn) {
	last := func() {}
	defer func() { last() }()
	for i := 0; ; i++ {
		pause := askEvery
		if i < len(askAt) {
			pause = askAt[i]
		}
		if d.pause(ctx, pause) {
			return
		}
		last() // a session of the library reports each peer once
		session, cancel := context.WithCancel(ctx)
		last = cancel
		if err := conn.Browse(session, service); err != nil {
			d.cfg.Log.Debug("asking the LAN", "error", err)
			return
		}
	}
}

// pause waits; true says that the wait was cut short.
func (d *Discovery) pause(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-d.anew:
		return true
	case <-ctx.Done():
		return true
	}
}

// listen joins the multicast group on all interfaces, by IPv4, or by IPv6 on hosts without
// IPv4; over loopback on hosts without another interface.
func (d *Discovery) listen() (conn *mdns.Conn, err error) {
	for _, loopback := range []bool{false, true} {
		for _, open := range []func() (*ipv4.PacketConn, *ipv6.PacketConn, error){listen4, listen6} {
			v4, v6, openErr := open()
			if openErr == nil {
				conn, openErr = mdns.NewServer(v4, v6, d.options(loopback)...)
			}
			if openErr == nil {
				d.alone.Store(loopback)
				conn.OnServiceDiscovered(d.found)
				return conn, nil
			}
			closeBoth(v4, v6)
			if err == nil {
				err = openErr
			}
		}
	}
	return nil, err
}

func listen4() (*ipv4.PacketConn, *ipv6.PacketConn, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(224, 0, 0, 0), Port: 5353})
	if err != nil {
		return nil, nil, err
	}
	return ipv4.NewPacketConn(c), nil, nil
}

func listen6() (*ipv4.PacketConn, *ipv6.PacketConn, error) {
	c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.ParseIP("ff02::"), Port: 5353})
	if err != nil {
		return nil, nil, err
	}
	return nil, ipv6.NewPacketConn(c), nil
}

func closeBoth(v4 *ipv4.PacketConn, v6 *ipv6.PacketConn) {
	if v4 != nil {
		_ = v4.Close()
	}
	if v6 != nil {
		_ = v6.Close()
	}
}

func (d *Discovery) options(loopback bool) []mdns.ServerOption {
	host := "quicpeer-" + d.run + ".local"
	return []mdns.ServerOption{
		mdns.WithLoggerFactory(&logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}),
		mdns.WithIncludeLoopback(loopback),
		mdns.WithQueryInterval(neverAsk),
		mdns.WithCacheRefresh(false),
		mdns.WithLocalNames(host),
		mdns.WithService(mdns.ServiceInstance{Instance: d.instance(), Service: service, Host: host + ".", Port: d.cfg.Port, Text: d.text()}),
	}
}

// instance is the name of this peer among those that offer the service.
func (d *Discovery) instance() string {
	if d.cfg.Door != nil {
		return d.run
	}
	return string(d.cfg.ID[:min(len(d.cfg.ID), 48)]) + "-" + d.run
}

// text is what this peer says about itself.
func (d *Discovery) text() []mdns.TXTEntry {
	if d.cfg.Door != nil {
		mark := d.cfg.Door.Mark(d.salt)
		return []mdns.TXTEntry{
			mdns.NewTXTString("s", hex.EncodeToString(d.salt[:])),
			mdns.NewTXTString("n", hex.EncodeToString(mark[:])),
		}
	}
	return []mdns.TXTEntry{
		mdns.NewTXTString("id", string(d.cfg.ID)),
		mdns.NewTXTString("key", d.cfg.Key.String()),
		mdns.NewTXTString("net", d.cfg.Network),
	}
}

// found handles an answer.
func (d *Discovery) found(e mdns.ServiceEvent) {
	p, err := d.parse(e)
	switch {
	case err != nil:
		d.cfg.Log.Debug("an answer of the LAN is ignored", "instance", fmt.Sprintf("%q", e.Instance.Instance), "why", err)
	case d.isOwn(e):
	// Multicast does not leave the LAN, so an answer with an address elsewhere is about
	// another host.
	case !transport.OwnSubnet(p.Address.Addr()), p.Address.Addr().IsLoopback() && !d.alone.Load():
		d.cfg.Log.Debug("an answer of the LAN with an address elsewhere is ignored", "address", p.Address)
	default:
		d.cfg.Found(p)
	}
}

// textOf is what an answer says about its peer.
func textOf(e mdns.ServiceEvent) map[string]string {
	text := map[string]string{}
	for _, t := range e.Instance.Text {
		text[t.Key] = string(t.Value)
	}
	return text
}

// isOwn reports whether a valid answer is our own.
func (d *Discovery) isOwn(e mdns.ServiceEvent) bool {
	text := textOf(e)
	if d.cfg.Door != nil {
		return strings.EqualFold(text["s"], hex.EncodeToString(d.salt[:]))
	}
	return text["key"] == d.cfg.Key.String()
}

// parse checks the contents of an answer.
func (d *Discovery) parse(e mdns.ServiceEvent) (p Peer, err error) {
	text := textOf(e)
	if d.cfg.Door != nil {
		err = d.checkMark(text["s"], text["n"])
	} else {
		p, err = d.parseOpen(text)
	}
	if err != nil {
		return Peer{}, err
	}
	ip := e.Addr.Unmap()
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || e.Instance.Port == 0 || ip.IsLinkLocalUnicast() && ip.Is6() && ip.Zone() == "" {
		return Peer{}, fmt.Errorf("no address to dial: %v, port %d", e.Addr, e.Instance.Port)
	}
	p.Address = netip.AddrPortFrom(ip, e.Instance.Port)
	return p, nil
}

// parseOpen checks what a peer of an open network says about itself.
func (d *Discovery) parseOpen(text map[string]string) (Peer, error) {
	if text["net"] != d.cfg.Network {
		return Peer{}, fmt.Errorf("another network")
	}
	id, err := certs.ParseID(text["id"])
	if err != nil {
		return Peer{}, err
	}
	if err := checkFingerprint(text["key"]); err != nil {
		return Peer{}, err
	}
	return Peer{ID: id, Key: text["key"]}, nil
}

// checkMark checks what a peer of a private network says instead.
func (d *Discovery) checkMark(salt, mark string) error {
	var b [16]byte
	for i, s := range []string{salt, mark} {
		if len(s) != 16 {
			return fmt.Errorf("not of a private network")
		}
		if _, err := hex.Decode(b[8*i:], []byte(s)); err != nil {
			return fmt.Errorf("a mark that can't be read: %w", err)
		}
	}
	if want := d.cfg.Door.Mark([8]byte(b[:8])); !hmac.Equal(want[:], b[8:]) {
		return fmt.Errorf("another private network")
	}
	return nil
}

// checkFingerprint reports what is wrong with the text of a key's fingerprint, see
// certs.PublicKey.String.
func checkFingerprint(s string) error {
	hash, ok := strings.CutPrefix(s, "SHA256:")
	if sum, err := base64.RawStdEncoding.DecodeString(hash); !ok || err != nil || len(sum) != 32 {
		return fmt.Errorf("a key's fingerprint that is none")
	}
	return nil
}
