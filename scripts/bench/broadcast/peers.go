package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/scripts/bench/crowd"
	"quicpeer/transport"
)

// patience bounds the wait for the network, a guess.
const patience = time.Minute

// peers are nodes of quicpeer without state directories, each with keys and a socket of its own.
type peers []*overlay.Node

// startPeers starts a network: all others join through the first, at once.
func startPeers(n int, heard func(at int, body string)) (crowd.Network, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	door, err := transport.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	all, failed := make(peers, n), make([]error, n)
	all[0], failed[0] = overlay.Start(ctx, overlay.Config{ID: "n0", Conn: door})
	var group sync.WaitGroup
	for at := 1; at < n; at++ {
		group.Go(func() {
			all[at], failed[at] = overlay.Start(ctx, overlay.Config{
				ID: certs.ID(fmt.Sprintf("n%d", at)), Listen: "127.0.0.1:0", Join: []string{door.LocalAddr().String()},
			})
		})
	}
	group.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	for at, node := range all {
		go read(node, func(body string) { heard(at, body) })
	}
	return all, all.complete(ctx)
}

// read gives on the broadcasts that a node shows.
func read(node *overlay.Node, heard func(body string)) {
	for event := range node.Events() {
		if m, ok := event.(overlay.Message); ok && m.To == overlay.Everyone {
			heard(m.Body)
		}
	}
}

// complete waits until everybody knows all others.
func (p peers) complete(ctx context.Context) error {
	for at, node := range p {
		for len(node.Peers()) < len(p)-1 {
			if ctx.Err() != nil {
				return fmt.Errorf("n%d knows %d of %d others: %v", at, len(node.Peers()), len(p)-1, node.Err())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

// Say implements [crowd.Network].
func (p peers) Say(from int, body string) error {
	_, err := p[from].Broadcast(context.Background(), body, "")
	return err
}
