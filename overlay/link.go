package overlay

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/pb"
	"quicpeer/transport"
)

// nodeLink is a link as the loop keeps it.
type nodeLink struct {
	messageLink
	up       bool
	address  netip.AddrPort
	received uint64        // packets, at the last look
	heard    time.Duration // when that had grown
	ended    []func()      // to be called when it has ended
}

// accept takes the links that others dial.
func (n *Node) accept() {
	for {
		l, err := n.endpoint.Accept(n.ctx)
		if err != nil {
			if n.ctx.Err() == nil {
				n.post(func() { n.fail(err) })
			}
			return
		}
		n.post(func() { n.connected(l, 0) })
	}
}

// connected gives a link its number, tells the core and begins to read.
func (n *Node) connected(l *transport.Link, dial core.DialID) {
	n.lastLink++
	id := n.lastLink
	ctx, cancel := context.WithCancel(n.ctx)
	now := n.now()
	nl := &nodeLink{messageLink: messageLink{Link: l, id: id, key: l.Peer(), used: &activity{ctx: ctx}}, heard: now, address: l.RemoteAddr()}
	nl.used.last.Store(int64(now))
	n.links[id] = nl
	n.core.Connected(now, id, dial, l.Peer(), nl.address.String())
	n.wg.Go(func() {
		defer cancel()
		n.read(&nl.messageLink)
	})
	n.wg.Go(func() {
		<-l.Done()
		cancel() // its message streams end
	})
}

// read gives the frames of a control stream to the core until the link ends.
func (n *Node) read(l *messageLink) {
	var end error
	for end == nil {
		var m *pb.PeerMessage
		if m, end = l.Receive(); end == nil {
			n.post(func() { n.core.Receive(n.now(), l.id, m) })
		}
	}
	if end == io.EOF {
		n.post(func() { n.retire(l, transport.CodeBye, "goodbye") })
	} else {
		l.Shut(transport.CodeBye, "goodbye")
	}
	<-l.Done()
	err := l.Err()
	n.post(func() { n.disconnected(l.id, end == io.EOF || friendly(err), err) })
}

// disconnected takes a link out of the books.
func (n *Node) disconnected(id core.LinkID, friendly bool, err error) {
	l := n.links[id]
	delete(n.links, id)
	why := "goodbye"
	if err != nil {
		why = err.Error()
	}
	n.core.Disconnected(n.now(), id, friendly, why)
	for _, f := range l.ended {
		f()
	}
	if l.up {
		n.match(l.peer)
	}
}

// friendly says that the end of a link does not mean that its peer is going: the
// peer has closed it, or we have, because it broke the protocol. A goodbye at the
// end of the control stream is friendly too: who leaves has said LEAVE before it.
func friendly(err error) bool {
	var closed *transport.ClosedError
	if !errors.As(err, &closed) {
		return false
	}
	if !closed.Remote {
		return closed.Code == transport.CodeProtocol
	}
	switch closed.Code {
	case transport.CodeBye, transport.CodeShutdown, transport.CodeInternal:
		return false
	}
	return true
}

// onLastLink calls f when there is no link any more.
func (n *Node) onLastLink(f func()) {
	left := len(n.links)
	if left == 0 {
		f()
		return
	}
	for _, l := range n.links {
		l.ended = append(l.ended, func() {
			if left--; left == 0 {
				f()
			}
		})
	}
}

// codes are what the peer is told of the core's reasons to close a link.
var codes = [...]transport.Code{
	core.CloseBye:       transport.CodeBye,
	core.CloseProtocol:  transport.CodeProtocol,
	core.CloseRefused:   transport.CodeRefused,
	core.CloseDuplicate: transport.CodeDuplicateLink,
	core.CloseIdle:      transport.CodeIdle,
	core.CloseTimeout:   transport.CodeHandshakeTimeout,
	core.CloseDead:      transport.CodeDuplicateLink, // to a peer that lives after all: dial again
}

// closeLink closes a link for a reason of the core's. There is no goodbye to
// somebody dead.
func (n *Node) closeLink(c core.Close) {
	l := n.links[c.Link]
	switch {
	case l == nil:
	case c.Reason == core.CloseDead:
		l.Abort(codes[c.Reason], c.Text)
	case c.Reason == core.CloseDuplicate:
		n.retire(&l.messageLink, codes[c.Reason], c.Text)
	default:
		l.Shut(codes[c.Reason], c.Text)
	}
}

// linkUp opens a link to direct messages.
func (n *Node) linkUp(up core.LinkUp) {
	l := n.links[up.Link]
	if l == nil {
		return
	}
	l.up, l.peer, l.epoch = true, up.ID, up.Epoch
	n.noteLink(up, l.address.String())
	n.wg.Go(func() { n.receive(&l.messageLink) })
	n.match(up.ID)
}

// match gives the outbox of a peer its newest link if it has none, and wishes for
// one if there is none; until it comes, messages go over others.
func (n *Node) match(id certs.ID) {
	n.mu.Lock()
	key, present := n.present[id]
	o := n.outboxes[id]
	n.mu.Unlock()
	if o == nil || !present {
		return
	}
	var best *nodeLink
	for _, l := range n.links {
		if l.up && l.peer == id && l.key == key && l.used.ctx.Err() == nil && !l.used.retired.Load() && (best == nil || l.id > best.id) {
			best = l
		}
	}
	if best == nil {
		if o.wanting() {
			after := time.Duration(0)
			if n.core.Want(n.now(), id) {
				after = relayAfter
			}
			o.startRelay(after)
		}
		return
	}
	if o.attach(&best.messageLink) {
		n.wg.Go(func() { o.send(&best.messageLink) })
	}
	n.bypass(best)
}

// bypass has what waits for the peer of a link that is silent or stuck go over others as
// well.
func (n *Node) bypass(l *nodeLink) {
	if !l.up || l.used.works() {
		return
	}
	if o := n.existingOutbox(l.peer); o != nil && o.wanting() {
		o.startRelay(0)
	}
}
