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

// network are the peers that run, by their IDs. When a step has failed, those behind it do
// nothing.
type network struct {
	options
	path, dir string // of the program, and for the state directories
	peers     map[string]*harness.Peer
	door      string
	err       error // of the first step that has failed
}

// result is how long the last message took.
type result struct{ fromStart, fromReady time.Duration }

// start starts all peers, lets the sender meet the receiver, and ends the receiver.
func (n *network) start() {
	for _, id := range []string{"holder-0", "holder-1", "holder-2", receiver, sender} {
		n.run(id)
	}
	n.await(sender, "peer_joined", "id", receiver, 1)
	n.end(receiver)
	n.await(sender, "peer_left", "id", receiver, 1)
}

// run starts a peer. All join through the first.
func (n *network) run(id string) {
	if n.err != nil {
		return
	}
	p, err := harness.StartPeer(n.path, n.dir, id, n.door, nil)
	if err != nil {
		n.err = err
		return
	}
	n.door = cmp.Or(n.door, p.Address)
	n.peers[id] = p
}

// end makes a peer leave.
func (n *network) end(id string) {
	if n.err != nil {
		return
	}
	p := n.peers[id]
	delete(n.peers, id)
	p.Input.Close()
	if err := p.Ended(undelivered); err != nil {
		n.err = fmt.Errorf("%s: %w", id, err)
	}
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
	n.start()
	n.send()
	if senderGone {
		n.end(sender)
	}
	r = n.receive()
	if senderGone {
		n.run(sender)
	}
	n.settle()
	return r, n.err
}

// send makes the sender accept messages for the receiver, who is not here.
func (n *network) send() {
	if n.err != nil {
		return
	}
	w := bufio.NewWriter(n.peers[sender].Input) // it keeps its first error, for Flush
	for i := range n.messages {
		fmt.Fprintf(w, `{"cmd":"send","to":"%s","body":"%s"}`+"\n", receiver, bodyOf(i))
		if n.pace > 0 {
			w.Flush()
			time.Sleep(n.pace)
		}
	}
	n.err = w.Flush()
	n.await(sender, "buffered", "to", receiver, n.messages)
}

// bodyOf is the text of the i-th message: 100 bytes.
func bodyOf(i int) string { return fmt.Sprintf("%07d %s", i, strings.Repeat("x", 92)) }

// receive starts the receiver and waits for the messages.
func (n *network) receive() (r result) {
	began := time.Now()
	n.run(receiver)
	ready := n.await(receiver, "ready", "id", receiver, 1)
	messages := n.await(receiver, "message", "from", sender, n.messages)
	if n.err != nil {
		return r
	}
	for i, e := range messages {
		if n.err == nil && e.Field("body") != bodyOf(i) {
			n.err = fmt.Errorf("message %d was to be shown, and not %s", i, e.Raw)
		}
	}
	last := messages[n.messages-1].At
	return result{last.Sub(began), last.Sub(ready[0].At)}
}

// settle waits until the sender has all receipts, and ends the receiver, who must
// have shown nothing else.
func (n *network) settle() {
	n.await(sender, "delivered", "to", receiver, n.messages)
	p := n.peers[receiver]
	n.end(receiver)
	if n.err != nil {
		return
	}
	shown, _ := p.Await(harness.NewPace().In(0), 0, func(e *harness.Event) bool { return e.Name == "message" })
	if len(shown) != n.messages {
		n.err = fmt.Errorf("%d messages were shown, not %d; the last is %s", len(shown), n.messages, shown[len(shown)-1].Raw)
	}
}

// await waits until a peer has printed so many events of a name with this value in a field.
// One of a message that has failed, or of a wrong command, is an error.
func (n *network) await(id, name, field, value string, count int) []*harness.Event {
	if n.err != nil {
		return nil
	}
	var fault *harness.Event
	found, err := n.peers[id].Await(harness.NewPace().In(patience), count, func(e *harness.Event) bool {
		if fault == nil && (e.Name == "failed" || e.Name == "error") {
			fault = e
		}
		return e.Name == name && e.Field(field) == value
	})
	switch {
	case fault != nil:
		n.err = fmt.Errorf("%s: %s", id, fault.Raw)
	case err != nil:
		n.err = fmt.Errorf("%s has printed %d %s events in %v, not %d", id, len(found), name, patience, count)
	}
	return found
}
