package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// server is the ID of the receiving peer.
const server certs.ID = "server"

func servePeer() error {
	node, err := overlay.Start(context.Background(), overlay.Config{ID: server, Listen: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	go func() {
		untilInputEnds()
		node.Close()
	}()
	for event := range node.Events() {
		if ready, ok := event.(overlay.Ready); ok {
			fmt.Println(ready.Listen[0])
		}
	}
	return node.Err()
}

type peerClient struct {
	process *process
	node    *overlay.Node
}

func newPeerClient(address string, p *process) (client, error) {
	node, err := overlay.Start(context.Background(), overlay.Config{ID: "client", Listen: "127.0.0.1:0", Join: []string{address}})
	if err != nil {
		return nil, err
	}
	return &peerClient{p, node}, nil
}

func (c *peerClient) close() {
	c.node.Close()
	c.process.close()
}

var message = strings.Repeat("x", body)

// run answers each delivery with the next message until the time is over.
func (c *peerClient) run(inFlight int, d time.Duration) (trial, error) {
	sent := make(map[overlay.MessageID]time.Time)
	send := func() error {
		now := time.Now()
		id, err := c.node.Send(context.Background(), server, message, "")
		sent[id] = now
		return err
	}
	begin := time.Now()
	for range inFlight {
		if err := send(); err != nil {
			return trial{}, err
		}
	}
	var times []time.Duration
	for event := range c.node.Events() {
		switch e := event.(type) {
		case overlay.Delivered:
			at, ours := sent[e.Message]
			if !ours {
				continue // the one at which the run before ended
			}
			times = append(times, time.Since(at))
			delete(sent, e.Message)
			if time.Since(begin) < d {
				if err := send(); err != nil {
					return trial{}, err
				}
			} else if len(sent) == 0 {
				return summary(times, time.Since(begin)), nil
			}
		case overlay.Buffered, overlay.Failed, overlay.PeerLeft:
			return trial{}, fmt.Errorf("unexpected %#v", event)
		}
	}
	return trial{}, c.node.Err()
}
