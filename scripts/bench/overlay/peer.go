package main

import (
	"context"
	"sync"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// peer is a node of quicpeer with all that it has in a program: keys, QUIC, its
// own socket, and a reader of its events.
type peer struct {
	name string
	node *overlay.Node
	wire *wire
	seen *census
	done sync.WaitGroup
}

func startPeer(ctx context.Context, name, door string, seen *census, sent *traffic) (member, error) {
	wire, err := listen(sent)
	if err != nil {
		return nil, err
	}
	// It tries to join for as long as ctx allows.
	cfg := overlay.Config{ID: certs.ID(name), Conn: wire, JoinTimeout: -1}
	if door != "" {
		cfg.Join = []string{door}
	}
	node, err := overlay.Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	p := &peer{name: name, node: node, wire: wire, seen: seen}
	p.done.Go(p.watch)
	return p, nil
}

// watch reports what the node sees, until it ends.
func (p *peer) watch() {
	for event := range p.node.Events() {
		switch e := event.(type) {
		case overlay.PeerJoined:
			p.seen.joined(p.name, string(e.ID))
		case overlay.PeerLeft:
			p.seen.left(p.name, string(e.ID))
		}
	}
	if err := p.node.Err(); err != nil {
		p.seen.stopped(p.name, err)
	}
}

func (p *peer) address() string { return p.wire.LocalAddr().String() }

func (p *peer) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := p.node.Leave(ctx)
	p.done.Wait()
	return err
}

// kill cuts the wire first, so no peer hears the goodbye.
func (p *peer) kill() {
	p.wire.cut()
	p.node.Close() // its error is Err's, which watch has reported
	p.done.Wait()
}
