package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/transport"
)

// server is the ID of the receiving peer.
const server certs.ID = "server"

// peerOptions say how a peer is started.
type peerOptions struct {
	id    string
	join  string // an address; empty: none
	state string // its state directory; empty: none
	cuts  string // the file of those that it can't reach; empty: it reaches all
}

func (o peerOptions) flags() []string {
	return []string{"-serve", "peer", "-id", o.id, "-join", o.join, "-state", o.state, "-cuts", o.cuts}
}

// start starts a peer in this process. The directory is in use until the end of
// the process.
func (o peerOptions) start() (*overlay.Node, error) {
	cfg := overlay.Config{ID: certs.ID(o.id), Listen: "127.0.0.1:0"}
	if o.join != "" {
		cfg.Join = []string{o.join}
	}
	var err error
	if o.state != "" {
		if cfg.State, err = overlay.OpenState(o.state, cfg.ID); err != nil {
			return nil, err
		}
	}
	if o.cuts != "" {
		conn, err := transport.Listen(cfg.Listen)
		if err != nil {
			return nil, err
		}
		cfg.Conn = transport.Cut(conn, o.cuts)
	}
	return overlay.Start(context.Background(), cfg)
}

// serve runs a peer that prints its address and receives messages.
func (o peerOptions) serve() error {
	node, err := o.start()
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

// peerClient is a peer at the end of a line of peers; the other end is the server.
type peerClient struct {
	processes []*process
	node      *overlay.Node
	relayed   bool // messages go over others, which they may have to wait for
}

// startLine starts a server, so many hops and a client, each of which reaches only
// the next.
func startLine(dir string, hops int, stored bool) (client, error) {
	c := &peerClient{relayed: hops > 0}
	var addresses []string
	next := func(id string) (peerOptions, error) {
		o := peerOptions{id: id}
		if stored {
			o.state = filepath.Join(dir, id)
		}
		if n := len(addresses); n > 0 {
			o.join = addresses[n-1]
		}
		if n := len(addresses); n > 1 {
			o.cuts = filepath.Join(dir, id+".cuts")
			return o, os.WriteFile(o.cuts, []byte(strings.Join(addresses[:n-1], "\n")), 0o600)
		}
		return o, nil
	}
	for i := range hops + 1 {
		id := string(server)
		if i > 0 {
			id = fmt.Sprintf("hop-%d", i)
		}
		o, err := next(id)
		if err != nil {
			return nil, err
		}
		p, err := start(o.flags()...)
		if err != nil {
			return nil, err
		}
		c.processes = append(c.processes, p)
		addresses = append(addresses, p.address)
	}
	o, err := next("client")
	if err != nil {
		return nil, err
	}
	c.node, err = o.start()
	return c, err
}

func (c *peerClient) close() {
	c.node.Close()
	for _, p := range c.processes {
		p.close()
	}
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
			if relayed := e.Path == overlay.PathRelayed; relayed != c.relayed {
				return trial{}, fmt.Errorf("a message has come %s", e.Path)
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
		case overlay.Buffered:
			if !c.relayed {
				return trial{}, fmt.Errorf("unexpected %#v", event)
			}
		case overlay.Failed, overlay.PeerLeft:
			return trial{}, fmt.Errorf("unexpected %#v", event)
		}
	}
	return trial{}, c.node.Err()
}
