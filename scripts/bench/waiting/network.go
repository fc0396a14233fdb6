package main

import (
	"bufio"
	"cmp"
	"fmt"
	"strings"
	"time"

	"quicpeer/scripts/internal/harness"
)

// The peers, beside three that hold messages for others.
const (
	sender   = "sender"
	receiver = "receiver"
)

// patience is the limit of each wait (a guess).
const patience = time.Minute

// undelivered is the exit status of a peer that keeps messages for its next run.
const undelivered = "5"

// network are the peers that run, by their IDs.
type network struct {
	options
	path, dir string // of the program, and for the state directories
	peers     map[string]*harness.Peer
	door      string
}

// result is how long the last message took.
type result struct{ fromStart, fromReady time.Duration }

// start starts all peers, lets the sender meet the receiver, and ends the receiver.
func (n *network) start() error {
	for _, id := range []string{"holder-0", "holder-1", "holder-2", receiver, sender} {
		if err := n.run(id); err != nil {
			return err
		}
	}
	_, err := n.await(sender, "peer_joined", "id", receiver, 1)
	if err == nil {
		err = n.end(receiver)
	}
	if err == nil {
		_, err = n.await(sender, "peer_left", "id", receiver, 1)
	}
	return err
}

// run starts a peer. All join through the first.
func (n *network) run(id string) (err error) {
	p, err := harness.StartPeer(n.path, n.dir, id, n.door, nil)
	if err == nil {
		n.door = cmp.Or(n.door, p.Address)
		n.peers[id] = p
	}
	return err
}

// end makes a peer leave.
func (n *network) end(id string) error {
	p := n.peers[id]
	delete(n.peers, id)
	p.Input.Close()
	if err := p.Ended(undelivered); err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	return nil
}

func (n *network) kill() {
	for _, p := range n.peers {
		p.Kill()
		p.Ended("killed")
	}
}

// round measures once, in a network of its own: a peer that comes and goes again and again is
// announced less and less often.
func (o options) round(path, dir string, senderGone bool) (r result, err error) {
	n := &network{options: o, path: path, dir: dir, peers: map[string]*harness.Peer{}}
	defer n.kill()
	receive := func() (err error) { r, err = n.receive(); return err }
	steps := []func() error{n.start, n.send, receive, n.settle}
	if senderGone {
		end, run := func() error { return n.end(sender) }, func() error { return n.run(sender) }
		steps = []func() error{n.start, n.send, end, receive, run, n.settle}
	}
	for _, step := range steps {
		if err == nil {
			err = step()
		}
	}
	return r, err
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
	_, err := n.await(sender, "buffered", "to", receiver, n.messages)
	return err
}

// bodyOf is the text of the i-th message: 100 bytes.
func bodyOf(i int) string { return fmt.Sprintf("%07d %s", i, strings.Repeat("x", 92)) }

// receive starts the receiver and waits for the messages.
func (n *network) receive() (r result, err error) {
	began := time.Now()
	if err := n.run(receiver); err != nil {
		return r, err
	}
	ready, err := n.await(receiver, "ready", "id", receiver, 1)
	if err != nil {
		return r, err
	}
	messages, err := n.await(receiver, "message", "from", sender, n.messages)
	if err != nil {
		return r, err
	}
	for i, e := range messages {
		if e.Field("body") != bodyOf(i) {
			return r, fmt.Errorf("message %d was to be shown, and not %s", i, e.Raw)
		}
	}
	last := messages[n.messages-1].At
	return result{last.Sub(began), last.Sub(ready[0].At)}, nil
}

// settle waits until the sender has all receipts, and ends the receiver, who must
// have shown nothing else.
func (n *network) settle() error {
	if _, err := n.await(sender, "delivered", "to", receiver, n.messages); err != nil {
		return err
	}
	p := n.peers[receiver]
	if err := n.end(receiver); err != nil {
		return err
	}
	shown, err := p.Await(harness.NewPace().In(patience), n.messages, func(e *harness.Event) bool { return e.Name == "message" })
	if err == nil && len(shown) > n.messages {
		err = fmt.Errorf("shown again: %s", shown[n.messages].Raw)
	}
	return err
}

// await waits until a peer has printed so many events of a name with this value in a field.
// One of a message that has failed, or of a wrong command, is an error.
func (n *network) await(id, name, field, value string, count int) ([]*harness.Event, error) {
	var fault *harness.Event
	found, err := n.peers[id].Await(harness.NewPace().In(patience), count, func(e *harness.Event) bool {
		if fault == nil && (e.Name == "failed" || e.Name == "error") {
			fault = e
		}
		return e.Name == name && e.Field(field) == value
	})
	switch {
	case fault != nil:
		return nil, fmt.Errorf("%s: %s", id, fault.Raw)
	case err != nil:
		return nil, fmt.Errorf("%s has printed %d %s events in %v, not %d", id, len(found), name, patience, count)
	}
	return found, nil
}
