package main

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// header is the length of what stands before a carried packet on the hop stream, without the two
// bytes of its own length. See transport/carrier.go.
const header = 17

// raw is what the hostile process has: a hop stream to the relay and one to itself.
type raw struct {
	relay, self *quic.SendStream
	stop        atomic.Bool
}

// Open connects to the relay, at this address, with bare quic-go, and to an endpoint of the
// hostile process's own.
func (p *peer) Open(relayAt string, _ *int) (err error) {
	if p.raw.relay, err = openHop(relayAt, relay); err == nil {
		p.raw.self, err = openHop(p.address, hostile)
	}
	return err
}

// openHop makes a link to a peer as a dialer must, and a hop stream on it.
func openHop(address, name string) (*quic.SendStream, error) {
	own := hostile
	if name == hostile {
		own = c // nobody may connect to itself
	}
	conf, err := identity(own).TLS(identity(name).Key(), nil)
	if err != nil {
		return nil, err
	}
	conn, err := quic.DialAddr(context.Background(), address, conf, &quic.Config{KeepAlivePeriod: time.Second, MaxIncomingUniStreams: 1})
	if err != nil {
		return nil, err
	}
	control, err := conn.OpenStream()
	if err != nil {
		return nil, err
	}
	if _, err := control.Write(question); err != nil {
		return nil, err
	}
	if _, err := control.Read(make([]byte, len(accepted))); err != nil {
		return nil, err
	}
	return conn.OpenUniStream()
}

// Garbage is a kind of packets.
type Garbage struct {
	What     string
	To, From string // empty: a random tag
	Size     int    // of the packet; -header: not even a header
}

// write makes about a megabyte of them.
func (g Garbage) write() (frames []byte) {
	random := rand.NewChaCha8([32]byte{})
	tagOf := func(name string) uint64 {
		if name == "" {
			return random.Uint64()
		}
		return uint64(tag(name))
	}
	packet := make([]byte, max(0, g.Size))
	for len(frames) < 1<<20 {
		frames = binary.BigEndian.AppendUint16(frames, uint16(header+g.Size))
		if g.Size > 0 {
			frames = append(frames, 16) // hops left
			frames = binary.BigEndian.AppendUint64(frames, tagOf(g.To))
			frames = binary.BigEndian.AppendUint64(frames, tagOf(g.From))
			random.Read(packet)
			frames = append(frames, packet...)
		}
	}
	return frames
}

// Flood says what is written, and whether to this process itself instead of the relay.
type Flood struct {
	Garbage
	Self bool
}

// Flood writes garbage as fast as it is taken, until Stop.
func (p *peer) Flood(f Flood, sent *Sent) error {
	stream, frames := p.raw.relay, f.Garbage.write()
	if f.Self {
		stream = p.raw.self
	}
	p.raw.stop.Store(false)
	began := time.Now()
	for !p.raw.stop.Load() {
		n, err := stream.Write(frames)
		if err != nil {
			return err
		}
		sent.Bytes += n
	}
	sent.Time = time.Since(began)
	return nil
}

// Stop ends Flood.
func (p *peer) Stop(_ int, _ *int) error {
	p.raw.stop.Store(true)
	return nil
}
