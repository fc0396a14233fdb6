package transport

import (
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/pb"
)

// Parameters of QUIC. Figures called measured are of quic-go v0.65.0.
const (
	// The limit of a handshake, which takes one round trip; quic-go's default, and long enough
	// for five retransmissions of the first packet (at 0.2, 0.6, 1.4 and 3 s).
	handshakeTimeout = 5 * time.Second
	// The smallest packet that QUIC allows (RFC 9000, 14), 1228 bytes with the headers of IPv4
	// and UDP, 1248 with those of IPv6. With quic-go's 1280 no packet gets through a tunnel of
	// 1280 behind a router (Tailscale, WireGuard, 6in4). If there is room for more, quic-go
	// finds it.
	packetSize = 1200
	// Streams that a peer may have open in the eyes of QUIC, where a stream counts
	// until its last packet is acknowledged, up to 25 ms after both sides are done
	// with it. With 8 a link carried 400 streams a second, with 256 it carries what
	// the processor does (measured). Bounds a peer that opens streams for fun.
	maxStreams = 256
	// Message streams that we have open on a link: a batch of messages shares a
	// stream, so a few keep a link busy. More wait in OpenStream.
	maxOpen = 8
	// Flow control windows: how far a peer may write ahead of our reading. What lies
	// unread on one stream must never keep another from moving: streams are read
	// one after the other, and announcements can't wait for messages. So the window
	// of the connection holds those of maxOpen streams and the control stream, and
	// neither grows. A quarter of it stays free, since quic-go renews a window only
	// when a quarter has been read; the hop stream, which is always read on, takes of
	// that for a moment. 160 KiB are 13 Mbit/s a stream at 100 ms round trip. The 2 MiB bound what one peer can make us hold.
	streamWindow = 160 << 10
	linkWindow   = 2 << 20

	// The limit for opening the control stream after the handshake: one round trip and
	// retransmissions, as for the handshake.
	controlTimeout = 5 * time.Second
	// How long a closed endpoint repeats its notices of closing to peers that have missed them
	// and still send. A guess: a round trip and a bit.
	closeGrace = 100 * time.Millisecond

	// How long an idle carried link is silent. Each keepalive crosses all links on the way, and
	// silence on it accuses nobody.
	carriedKeepalive = 5 * time.Second
)

// quicConfig is the configuration of every connection, dialled or accepted. Datagrams and
// 0-RTT are off by default and stay off: they could be replayed or forged without a
// connection.
func quicConfig() *quic.Config {
	return &quic.Config{
		Versions:                       []quic.Version{quic.Version1},
		HandshakeIdleTimeout:           handshakeTimeout,
		MaxIdleTimeout:                 pb.IdleTimeout,
		KeepAlivePeriod:                pb.KeepaliveEvery,
		InitialPacketSize:              packetSize,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          1, // the hop stream
		InitialStreamReceiveWindow:     streamWindow,
		MaxStreamReceiveWindow:         streamWindow,
		InitialConnectionReceiveWindow: linkWindow,
		MaxConnectionReceiveWindow:     linkWindow,
	}
}

// carriedConfig is the configuration of a connection over others. Its packets are the smallest
// that QUIC allows and stay that: on a stream larger ones gain nothing (473 to 515 Mbit/s against
// 488 to 499, measured).
func carriedConfig() *quic.Config {
	c := quicConfig()
	c.KeepAlivePeriod = carriedKeepalive
	c.DisablePathMTUDiscovery = true
	c.MaxIncomingUniStreams = -1 // nothing is carried over it
	return c
}

// beginQlogs has connections traced from now on, unless dir is empty.
func (e *Endpoint) beginQlogs(dir string) {
	if dir != "" {
		e.qlogs = newQlogs(dir, e.log)
		go e.qlogs.keepWriting() // which endQlogs waits for
	}
}

// traced has connections of a configuration traced, if that is wanted.
func (e *Endpoint) traced(c *quic.Config) *quic.Config {
	if e.qlogs != nil {
		c.Tracer = e.qlogs.trace
	}
	return c
}

func (e *Endpoint) endQlogs() {
	if e.qlogs != nil {
		e.qlogs.finishAll()
	}
}
