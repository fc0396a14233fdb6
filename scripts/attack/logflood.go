package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
	"quicpeer/transport"
)

// The attack of logflood: how long, and how many do it at once.
const (
	logFloodFor  = 15 * time.Second
	logFloodMany = 24
)

// logflood: a stranger that is let in nowhere does all that a peer logs, as often as it can.
var logflood = &attack{
	name: "logflood", about: "F11 lines in 15 s", bar: "≤ 60", hosts: []string{"a"}, short: true,
	play: func(p *player) error {
		to, err := p.target(0)
		if err != nil {
			return err
		}
		stranger, outsider := newLiar("mallory"), newLiar("mallory")
		if err := p.open(stranger); err != nil {
			return err
		}
		conn, err := transport.Listen(p.at.String() + ":0")
		if err != nil {
			return err
		}
		door := certs.NewDoor(newLiar("").identity.Key()) // of some private network
		if outsider.endpoint, err = transport.NewEndpoint(transport.Config{Conn: conn, Identity: outsider.identity, Door: door}); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(p.ctx, logFloodFor)
		defer cancel()
		start := &pb.HandshakeStart{Version: pb.Version, Id: "mallory", Network: "another", Record: stranger.record(pb.AnnouncementType_JOIN, 0)}
		words := [][]byte{
			base.Encode(start), // of another network: refused
			{0},                // a frame without content
			{5, 1, 2, 3, 4, 5}, // no protobuf
			base.Encode(&pb.Neighbour{Type: pb.NeighbourType_REQUEST}), // before the handshake
			base.Encode(start)[:1], // and no more
			nil,                    // no control stream
		}
		for i := range logFloodMany {
			go func() { // until the process ends
				for n := i; ctx.Err() == nil; n++ {
					l := stranger
					if n%8 == 0 {
						l = outsider
					}
					dialling, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
					link, err := l.endpoint.Dial(dialling, to, certs.PublicKey{})
					cancel()
					if err != nil {
						continue
					}
					if w := words[n%len(words)]; w != nil {
						_ = link.Send(w)
					}
					select {
					case <-link.Done():
					case <-time.After(100 * time.Millisecond):
						if n%10 > 0 { // the others stay until the peer has had enough
							link.Abort(transport.CodeBye, "")
						}
					}
				}
			}()
		}
		<-ctx.Done()
		p.say("done", nil)
		return nil
	},
	run: func(s *stage) (string, bool, error) {
		victim, err := s.honest(1)
		if err != nil {
			return "", false, err
		}
		lines := func() int {
			text, err := os.ReadFile(victim[0].log)
			if err != nil {
				return -1
			}
			return bytes.Count(text, []byte("\n"))
		}
		s.begin()
		before := lines()
		if _, err := s.play("done", logFloodFor+patience, victim[0].at); err != nil {
			return "", false, err
		}
		written := lines() - before
		return fmt.Sprint(written), written >= 3 && written <= 60, nil
	},
}
