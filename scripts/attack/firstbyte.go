package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
	"quicpeer/transport"
)

// The attack of firstbyte: connections a second, how long, and the streams that each fills.
const (
	firstByteRate    = 300
	firstByteFor     = 20 * time.Second
	firstByteStreams = 8
)

// firstbyte: a stranger opens connections, says one byte of its first frame on each, and fills the
// windows of streams that nobody reads.
var firstbyte = &attack{
	name: "firstbyte", about: "F2 first byte, 300 connections a second for 20 s", bar: "≤ 40 MB above idle, back within 30 s",
	hosts: []string{"a", "b"},
	play: func(p *player) error {
		to, err := p.target(0)
		if err != nil {
			return err
		}
		l := newLiar("mallory")
		if err := p.open(l); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(p.ctx, firstByteFor)
		defer cancel()
		frame := base.Encode(&pb.HandshakeStart{Version: pb.Version, Id: "mallory"})
		var opened atomic.Int64
		every := time.NewTicker(time.Second / firstByteRate)
		defer every.Stop()
		for ctx.Err() == nil {
			select {
			case <-every.C:
			case <-ctx.Done():
			}
			go func() { // until the process ends
				dialling, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				if link, err := l.endpoint.Dial(dialling, to, certs.PublicKey{}); err == nil {
					opened.Add(1)
					fillStreams(ctx, link, frame[:1])
				}
			}()
		}
		p.say("done", map[string]any{"opened": opened.Load()})
		return nil // and all connections are gone
	},
	run: func(s *stage) (string, bool, error) {
		victim, err := s.honest(1)
		if err != nil {
			return "", false, err
		}
		s.begin()
		if err := s.player(victim[0].at); err != nil {
			return "", false, err
		}
		// A newcomer from elsewhere gets in meanwhile.
		time.Sleep(firstByteFor / 2)
		began := time.Now()
		newcomer, err := s.start("b", "newcomer", "--join", victim[0].at)
		if err == nil {
			err = newcomer.ready(patience)
		}
		joined := time.Since(began)
		if err != nil {
			return "", false, err
		}
		done, err := s.said("done", firstByteFor+patience)
		if err != nil {
			return "", false, err
		}
		time.Sleep(30 * time.Second)
		f := s.watch.of(victim[0])
		peak, last := (f.peak-f.idle)/1e6, (f.last-f.idle)/1e6
		return fmt.Sprintf("%d MB above idle, %d MB 30 s later, a newcomer in after %.1f s, %v opened", peak, last, joined.Seconds(), done.Field("opened")),
			peak <= 40 && last <= 20, nil
	},
}

// fillStreams says something on the control stream, and fills the windows of streams.
func fillStreams(ctx context.Context, link *transport.Link, words []byte) {
	_ = link.Send(words)
	for range firstByteStreams {
		s, err := link.OpenStream(ctx)
		if err != nil {
			return
		}
		_ = s.Write(make([]byte, 160<<10)) // as much as a window takes
	}
	<-ctx.Done()
}
