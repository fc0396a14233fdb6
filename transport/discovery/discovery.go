// Package discovery finds peers on the LAN, and lets them find this one, by multicast DNS
// service discovery (RFC 6762, RFC 6763), service _quicpeer._udp.
//
// A peer asks at once when it starts, and the peers that are there answer within milliseconds.
// So the later of two finds the earlier one, and needs no announcement of its own. It asks
// again a few times in the first seconds, in case a packet was lost, and then once a minute,
// in case a cable was plugged in elsewhere.
//
// Any host on the LAN can answer anything, so an answer is only a hint: it counts for the address that it
// comes from, which must be in a subnet of ours, and the peer there shows its key in the handshake like every
// other. A host that floods the LAN is heard a few times a second, and the others no less for that (lan.go).
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
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"quicpeer/certs"
	"quicpeer/transport"
)

// askAt is when to ask the LAN, after the start and after the previous time.
var askAt = []time.Duration{0, 250 * time.Millisecond, 750 * time.Millisecond, 2 * time.Second}

// askEvery is how often to ask from then on (RFC 6762, 5.2, allows up to an hour).
const askEvery = time.Minute

// Config describes this peer, and the function that receives the peers found.
type Config struct {
	ID      certs.ID
	Key     certs.PublicKey
	Network string      // peers of others are not found
	Door    *certs.Door // of a private network, in the place of ID, Key and Network; nil: an open one
	Port    uint16      // UDP
	// Found is called for each peer that answers, again each time that the LAN is asked.
	// It is not called after Close.
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

// keepAsking asks and answers, and begins anew when the interfaces have changed.
func (d *Discovery) keepAsking(ctx context.Context, on *lan) {
	for ctx.Err() == nil {
		if on != nil {
			reader := make(chan struct{})
			go func() {
				defer close(reader)
				on.read(d.heard)
			}()
			d.ask(ctx, on)
			_ = on.close() // of multicast sockets; an error would change nothing
			<-reader
		} else {
			d.pause(ctx, askEvery)
		}
		if ctx.Err() != nil {
			return
		}
		var err error
		if on, err = d.listen(); err != nil {
			on = nil
			d.cfg.Log.Debug("no interface for multicast now", "error", err)
		}
	}
}

// ask asks until ctx ends or the interfaces change.
func (d *Discovery) ask(ctx context.Context, on *lan) {
	for i := 0; ; i++ {
		pause := askEvery
		if i < len(askAt) {
			pause = askAt[i]
		}
		if d.pause(ctx, pause) {
			return
		}
		if err := on.toAll(question()); err != nil {
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
func (d *Discovery) listen() (on *lan, err error) {
	for _, loopback := range []bool{false, true} {
		for _, group := range []netip.AddrPort{group4, group6} {
			on, openErr := openLAN(group, loopback)
			if openErr == nil {
				d.alone.Store(loopback)
				return on, nil
			}
			if err == nil {
				err = openErr
			}
		}
	}
	return nil, err
}

// instance is the name of this peer among those that offer the service.
func (d *Discovery) instance() string {
	if d.cfg.Door != nil {
		return d.run
	}
	return strings.ReplaceAll(string(d.cfg.ID[:min(len(d.cfg.ID), 48)]), ".", "-") + "-" + d.run // a name's labels end at dots
}

// text is what this peer says about itself.
func (d *Discovery) text() []string {
	if d.cfg.Door != nil {
		mark := d.cfg.Door.Mark(d.salt)
		return []string{"s=" + hex.EncodeToString(d.salt[:]), "n=" + hex.EncodeToString(mark[:])}
	}
	return []string{"id=" + string(d.cfg.ID), "key=" + d.cfg.Key.String(), "net=" + d.cfg.Network}
}

// heard handles a packet: it answers a question, and takes answers.
func (d *Discovery) heard(on *lan, from netip.AddrPort, packet []byte) {
	asked, answers, err := readPacket(packet, from.Addr())
	switch {
	case err != nil:
		d.cfg.Log.Debug("a packet of the LAN is ignored", "from", from, "why", err)
	case asked != nil:
		on.reply(from, asked, d.service())
	}
	for _, a := range answers {
		d.found(a)
	}
}

// service is what this peer answers.
func (d *Discovery) service() service {
	return service{instance: d.instance(), host: "quicpeer-" + d.run + ".local.", port: d.cfg.Port, text: d.text()}
}

// found handles an answer.
func (d *Discovery) found(e answer) {
	p, err := d.parse(e)
	switch {
	case err != nil:
		d.cfg.Log.Debug("an answer of the LAN is ignored", "address", e.address, "why", err)
	case d.isOwn(e):
	// Multicast does not leave the LAN, so an answer with an address elsewhere is about
	// another host.
	case !transport.OwnSubnet(p.Address.Addr()), p.Address.Addr().IsLoopback() && !d.alone.Load():
		d.cfg.Log.Debug("an answer of the LAN with an address elsewhere is ignored", "address", p.Address)
	default:
		d.cfg.Found(p)
	}
}

// isOwn reports whether a valid answer is our own.
func (d *Discovery) isOwn(e answer) bool {
	if d.cfg.Door != nil {
		return strings.EqualFold(e.text["s"], hex.EncodeToString(d.salt[:]))
	}
	return e.text["key"] == d.cfg.Key.String()
}

// parse checks the contents of an answer.
func (d *Discovery) parse(e answer) (p Peer, err error) {
	if d.cfg.Door != nil {
		err = d.checkMark(e.text["s"], e.text["n"])
	} else {
		p, err = d.parseOpen(e.text)
	}
	if err != nil {
		return Peer{}, err
	}
	ip := e.address.Addr()
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || e.address.Port() == 0 || ip.IsLinkLocalUnicast() && ip.Is6() && ip.Zone() == "" {
		return Peer{}, fmt.Errorf("no address to dial: %v", e.address)
	}
	p.Address = e.address
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
