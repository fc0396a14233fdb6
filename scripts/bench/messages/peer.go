package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/scripts/internal/harness"
	"quicpeer/transport"
)

// server is the ID of the receiving peer.
const server certs.ID = "server"

// peerOptions say how a peer is started.
type peerOptions struct {
	ID     string
	Listen string // its address; empty: one of IPv4
	Join   string // an address; empty: none
	State  string // its state directory; empty: none
	Cuts   string // the file of those that it can't reach; empty: it reaches all
}

// start starts a peer in this process. The directory is in use until the end of the process.
func (o peerOptions) start() (*overlay.Node, error) {
	cfg := overlay.Config{ID: certs.ID(o.ID), Listen: cmp.Or(o.Listen, "127.0.0.1:0")}
	if o.Join != "" {
		cfg.Join = []string{o.Join}
	}
	var err error
	if o.State != "" {
		if cfg.State, err = overlay.OpenState(o.State, cfg.ID); err != nil {
			return nil, err
		}
	}
	if o.Cuts != "" {
		conn, err := transport.Listen(cfg.Listen)
		if err != nil {
			return nil, err
		}
		cfg.Conn = transport.Cut(conn, o.Cuts)
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

// startLine starts a server, so many hops and a client, each of which reaches only the next. With one
// hop that is because server and client speak different versions of IP, so that none has to do
// without the kernel's help (see transport.Cut).
func startLine(dir string, hops int, stored bool) (client, error) {
	ids := []string{string(server)}
	for i := range hops {
		ids = append(ids, fmt.Sprintf("hop-%d", i+1))
	}
	c := &peerClient{relayed: hops > 0}
	var addresses []string
	var o peerOptions
	for i, id := range append(ids, "client") {
		o = peerOptions{ID: id}
		if stored {
			o.State = filepath.Join(dir, id)
		}
		if i > 0 {
			o.Join = addresses[i-1]
		}
		if hops == 1 && i > 0 {
			o.Listen = "[::]:0"
		}
		if hops == 1 && i > 1 {
			_, port, err := net.SplitHostPort(o.Join)
			if err != nil {
				return nil, err
			}
			o.Listen, o.Join = "[::1]:0", net.JoinHostPort("::1", port)
		} else if i > 1 {
			o.Cuts = filepath.Join(dir, id+".cuts")
			if err := harness.WriteCuts(o.Cuts, addresses[:i-1]); err != nil {
				return nil, err
			}
		}
		if id == "client" {
			break // it is in this process
		}
		p, err := start(o)
		if err != nil {
			return nil, err
		}
		c.processes = append(c.processes, p)
		addresses = append(addresses, p.address)
	}
	var err error
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
func (c *peerClient) run(inFlight int, d time.Duration) (t trial, err error) {
	pids := []int{os.Getpid()}
	for _, p := range c.processes {
		pids = append(pids, p.Pid())
	}
	before := harness.CPU(pids...)
	t, err = c.exchange(inFlight, d)
	t.cpu = (harness.CPU(pids...) - before) / time.Duration(max(1, t.count))
	return t, err
}

func (c *peerClient) exchange(inFlight int, d time.Duration) (trial, error) {
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
