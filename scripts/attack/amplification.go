package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/transport"
)

// amplificationDials is how often the attacker of amplification begins.
const amplificationDials = 10

// amplification: a stranger begins handshakes and never answers, as if its address were forged.
var amplification = &attack{
	name: "amplification", about: "F5 bytes out to in before the address is proved", bar: "≤ 3", hosts: []string{"a"}, short: true,
	play: func(p *player) error {
		to, err := p.target(0)
		if err != nil {
			return err
		}
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: p.at.AsSlice()})
		if err != nil {
			return err
		}
		deaf := &deafConn{UDPConn: conn}
		l := newLiar("mallory")
		if l.endpoint, err = transport.NewEndpoint(transport.Config{Conn: packetsOnly{deaf}, Identity: l.identity}); err != nil {
			return err
		}
		for range amplificationDials {
			deaf.begin(2) // the hello of TLS takes two packets
			ctx, cancel := context.WithTimeout(p.ctx, 150*time.Millisecond)
			_, _ = l.endpoint.Dial(ctx, to, certs.PublicKey{}) // in vain
			cancel()
		}
		select {
		case <-time.After(7 * time.Second): // a handshake ends after 5 s of silence
		case <-p.ctx.Done():
		}
		deaf.mu.Lock()
		defer deaf.mu.Unlock()
		p.say("done", map[string]any{"in": deaf.in, "out": deaf.out})
		return nil
	},
	run: func(s *stage) (string, bool, error) {
		victim, err := s.honest(1)
		if err != nil {
			return "", false, err
		}
		s.begin()
		done, err := s.play("done", patience, victim[0].at)
		if err != nil {
			return "", false, err
		}
		in, err := strconv.ParseFloat(done.Field("in"), 64)
		if err != nil {
			return "", false, err
		}
		out, err := strconv.ParseFloat(done.Field("out"), 64)
		if err != nil {
			return "", false, err
		}
		return fmt.Sprintf("%.2f (%.0f to %.0f bytes)", out/in, out, in), in > 0 && out > in && out <= 3*in, nil
	},
}

// deafConn is a socket that sends the first packets of each dial, and whose owner hears nothing.
type deafConn struct {
	*net.UDPConn

	mu      sync.Mutex
	left    int // packets that still go
	in, out int // bytes that have gone to the other side, and come from there
}

// packetsOnly hides what else the socket can do, so that all goes through its two methods.
type packetsOnly struct{ net.PacketConn }

func (packetsOnly) SetReadBuffer(int) error  { return nil }
func (packetsOnly) SetWriteBuffer(int) error { return nil }

func (c *deafConn) begin(packets int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = packets
}

func (c *deafConn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left < 0 {
		return len(b), nil
	}
	c.in += len(b)
	return c.UDPConn.WriteTo(b, to)
}

func (c *deafConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.UDPConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		c.mu.Lock()
		c.out += n
		c.mu.Unlock()
	}
}
