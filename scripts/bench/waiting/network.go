package main

import (
	"bufio"
	"fmt"
	"strings"
	"time"

	"quicpeer/scripts/bench/program"
)

// The peers. All join through the first of the holders.
const (
	sender   = "sender"
	receiver = "receiver"
	holders  = 3
)

// patience is the limit of each wait (a guess).
const patience = time.Minute

// undelivered is the exit status of a peer that keeps messages for its next run.
const undelivered = "5"

// network are the peers that run, by their IDs.
type network struct {
	path, dir string // of the program, and for the state directories
	messages  int
	pace      time.Duration
	peers     map[string]*peer
	door      string
}

// peer is a peer with its output that has not been read yet.
type peer struct {
	*program.Peer
	id    string
	lines chan printed
}

type printed struct {
	at   time.Time
	line []byte
}

// result is how long the last message took.
type result struct{ fromStart, fromReady time.Duration }

// start starts all peers, lets the sender meet the receiver, and ends the receiver.
func (n *network) start() error {
	for i := range holders {
		if err := n.run(fmt.Sprintf("holder-%d", i)); err != nil {
			return err
		}
	}
	if err := n.run(receiver); err != nil {
		return err
	}
	if err := n.run(sender); err != nil {
		return err
	}
	if err := n.peers[sender].awaitPeer("peer_joined", receiver); err != nil {
		return err
	}
	if err := n.end(receiver); err != nil {
		return err
	}
	return n.peers[sender].awaitPeer("peer_left", receiver)
}

// run starts a peer.
func (n *network) run(id string) error {
	p := &peer{id: id, lines: make(chan printed, 64*n.messages)}
	var err error
	p.Peer, err = program.Start(n.path, n.dir, id, n.door, func(line []byte) {
		p.lines <- printed{time.Now(), append([]byte(nil), line...)}
	})
	if err != nil {
		return err
	}
	if n.door == "" {
		n.door = p.Address
	}
	n.peers[id] = p
	return nil
}

// end makes a peer leave.
func (n *network) end(id string) error {
	p := n.peers[id]
	delete(n.peers, id)
	p.Input.Close()
	if err := p.Wait(undelivered); err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	return nil
}

func (n *network) kill() {
	for _, p := range n.peers {
		p.Kill()
		p.Wait("killed")
	}
}

// round measures once, in a network of its own: a peer that comes and goes again and again is
// announced less and less often.
func (o options) round(path, dir string, senderGone bool) (r result, err error) {
	n := &network{path: path, dir: dir, messages: o.messages, pace: o.pace, peers: make(map[string]*peer)}
	defer n.kill()
	if err := n.start(); err != nil {
		return r, err
	}
	if err := n.send(); err != nil {
		return r, err
	}
	if senderGone {
		if err := n.end(sender); err != nil {
			return r, err
		}
	}
	if r, err = n.receive(); err != nil {
		return r, err
	}
	if senderGone {
		if err := n.run(sender); err != nil {
			return r, err
		}
	}
	return r, n.settle()
}

// send makes the sender accept messages for the receiver, who is not here.
func (n *network) send() error {
	p := n.peers[sender]
	w := bufio.NewWriter(p.Input)
	for i := range n.messages {
		fmt.Fprintf(w, `{"cmd":"send","to":"%s","body":"%s"}`+"\n", receiver, bodyOf(i))
		if n.pace == 0 {
			continue
		}
		if err := w.Flush(); err != nil {
			return err
		}
		time.Sleep(n.pace)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return p.await("buffered", n.messages, func(printed) error { return nil })
}

// bodyOf is the text of the i-th message: 100 bytes.
func bodyOf(i int) string { return fmt.Sprintf("%07d %s", i, strings.Repeat("x", 92)) }

// receive starts the receiver and waits for the messages.
func (n *network) receive() (r result, err error) {
	began := time.Now()
	if err := n.run(receiver); err != nil {
		return r, err
	}
	p := n.peers[receiver]
	var ready, last time.Time
	if err := p.await("ready", 1, func(l printed) error { ready = l.at; return nil }); err != nil {
		return r, err
	}
	next := 0
	err = p.await("message", n.messages, func(l printed) error {
		if string(program.BodyOf(l.line)) != bodyOf(next) {
			return fmt.Errorf("message %d was to be shown, and not %s", next, l.line)
		}
		next++
		last = l.at
		return nil
	})
	return result{last.Sub(began), last.Sub(ready)}, err
}

// settle waits until the sender has all receipts, and ends the receiver, who must
// have shown nothing else.
func (n *network) settle() error {
	if err := n.peers[sender].await("delivered", n.messages, func(printed) error { return nil }); err != nil {
		return err
	}
	p := n.peers[receiver]
	if err := n.end(receiver); err != nil {
		return err
	}
	close(p.lines)
	for l := range p.lines {
		if program.EventOf(l.line) == "message" {
			return fmt.Errorf("shown again: %s", l.line)
		}
	}
	return nil
}

// awaitPeer waits until the peer tells that another one has come or gone.
func (p *peer) awaitPeer(event, id string) error {
	found := false
	for !found {
		err := p.await(event, 1, func(l printed) error {
			found = strings.Contains(string(l.line), `"id":"`+id+`"`)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// await waits for so many events of a name, lets others pass, and hands each to take.
func (p *peer) await(event string, count int, take func(printed) error) error {
	late := time.After(patience)
	for seen := 0; seen < count; {
		select {
		case l := <-p.lines:
			switch name := program.EventOf(l.line); name {
			case event:
				if err := take(l); err != nil {
					return err
				}
				seen++
			case "failed", "error":
				return fmt.Errorf("%s: %s", p.id, l.line)
			}
		case <-late:
			return fmt.Errorf("%s has printed %d %s events in %v, not %d", p.id, seen, event, patience, count)
		}
	}
	return nil
}
