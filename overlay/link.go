package overlay

import (
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
	"quicpeer/pb"
	"quicpeer/transport"
)

// How many bytes may be queued on a link, of the 4 MiB at which it is cut off (guesses): above
// the first, questions about our table wait; above the second, Broadcast blocks; above the third,
// relayed frames are dropped.
const (
	maxQueuedAsking   = 64 << 10
	maxQueuedSending  = 256 << 10
	maxQueuedRelaying = 3 << 20
)

// The same of several links (guesses): questions also wait while the first is queued for the links of
// their host, and relayed frames are dropped above maxQueuedAsking while the second is for all, of the
// 24 MiB at which the worst reader is cut off.
const (
	maxQueuedHost = 4 << 20
	maxQueuedMost = 12 << 20
)

// silentAfter is how long a link may be silent before its messages also go over other peers.
// Keepalives come each 500 ms, as a rule, and what was written at the moment at which the path
// broke should not wait for 2 s. After the same time the core looks into the silence.
const silentAfter = 1400 * time.Millisecond

// muteAfter is how long a link that carries packets may hear nothing, not even acknowledgements, before
// others are rather used for that: some of QUIC's probe timeouts on a short line.
const muteAfter = 300 * time.Millisecond

// links holds the open connections, as the loop knows them.
type links struct {
	all    map[base.LinkID]*nodeLink
	last   base.LinkID
	asking int // bytes of the questions that wait
}

// nodeLink is an open connection.
type nodeLink struct {
	*messaging.Link
	id       base.LinkID
	peer     certs.ID // once messages may go over it
	address  netip.AddrPort
	received uint64          // packets, at the last look
	heard    time.Duration   // when that had grown
	awaits   time.Duration   // since then packets are carried and nothing is heard; 0: it is, or none are
	told     core.Heard      // the last one
	question *pb.PeerMessage // about our table, which waits for the peer to read; nil: none
}

// busiest returns the link with the most bytes queued; nil without links.
func (s *links) busiest() (most *nodeLink) {
	for _, l := range s.all {
		if most == nil || l.Queued() > most.Queued() {
			most = l
		}
	}
	return most
}

// admit says which links are those of strangers no more, before any peer is told so.
func (s *links) admit(out base.Effects) {
	for _, up := range out.Up {
		if nl := s.all[up.Link]; nl != nil {
			nl.Admit()
		}
	}
	for _, c := range out.Closes {
		if nl := s.all[c.Link]; nl != nil && c.Reason == base.CloseDuplicate {
			nl.Admit() // its peer was let in, and may use it until it hears of that
		}
	}
}

// openLinks asks for the open links.
type openLinks struct{}

func (openLinks) answer(l *loop) (list []*transport.Link) {
	for _, nl := range l.links.all {
		list = append(list, nl.Link.Link)
	}
	return list
}

// endCarried ends the links over others in good order, while those are there that carry them.
type endCarried struct{}

func (endCarried) answer(l *loop) (list []*transport.Link) {
	for _, nl := range l.links.all {
		if nl.Carried() {
			nl.Shut(transport.CodeBye, "leaving")
			list = append(list, nl.Link.Link)
		}
	}
	return list
}

// accept takes the links that other peers dial.
func (n *Node) accept() {
	for {
		l, err := n.endpoint.Accept(n.ctx)
		if err != nil {
			if n.ctx.Err() == nil {
				n.fail(err)
			}
			return
		}
		n.post(connected{link: l})
	}
}

// connected: a connection is established.
type connected struct {
	link *transport.Link
	dial base.DialID // 0: the other side has dialled, or the link goes over others
	ours bool        // it goes over others, and we have dialled
}

func (c connected) handle(l *loop) { l.connect(c) }

// connect numbers the link, tells the core and begins to read.
func (l *loop) connect(c connected) *nodeLink {
	n := l.node
	l.links.last++
	now := l.now()
	nl := &nodeLink{
		Link: messaging.NewLink(c.link, uint64(l.links.last), now),
		id:   l.links.last, heard: now, address: c.link.RemoteAddr(),
	}
	l.links.all[nl.id] = nl
	l.step(core.Connected{Link: nl.id, Dial: c.dial, Key: nl.Peer(), Address: nl.at(), Carried: nl.Carried(), Ours: c.ours})
	n.wg.Go(func() { n.read(nl) })
	return nl
}

// at is the address of the peer; empty over others.
func (nl *nodeLink) at() string {
	if nl.Carried() {
		return ""
	}
	return nl.address.String()
}

// carried: a link over others is established, or is not.
type carried struct {
	wish messaging.CarryWish
	link *transport.Link
	err  error
}

// handle begins to use the link at once, since TLS has shown whose it is: its word would take
// another round trip, and a refusal ends the link.
func (c carried) handle(l *loop) {
	n := l.node
	if c.err != nil {
		n.log.Debug("no link over others", "peer", string(c.wish.To), "why", c.err)
		c.wish.Failed()
		return
	}
	nl := l.connect(connected{link: c.link, ours: true})
	nl.peer = c.wish.To
	n.messages.CarriedUp(nl.Link, c.wish.To)
	l.match(c.wish.To)
}

// read hands the frames of a control stream to the core until the link ends.
func (n *Node) read(l *nodeLink) {
	var end error
	for end == nil {
		var m *pb.PeerMessage
		if m, end = l.Receive(); end == nil {
			n.post(received{l, m})
		}
	}
	if end == io.EOF {
		n.post(farewell{l})
	} else {
		l.Shut(transport.CodeBye, "goodbye")
	}
	<-l.Done()
	err := l.Err()
	n.post(disconnected{l.id, end == io.EOF || friendly(err), err})
}

// farewell: the other side has ended the control stream.
type farewell struct{ link *nodeLink }

func (f farewell) handle(l *loop) {
	l.node.messages.Retire(f.link.Link, transport.CodeBye, "goodbye")
}

// disconnected: a link has ended.
type disconnected struct {
	link     base.LinkID
	friendly bool
	err      error
}

// handle removes the link.
func (d disconnected) handle(l *loop) {
	nl := l.links.all[d.link]
	delete(l.links.all, d.link)
	l.links.forgetQuestion(nl)
	why := "goodbye"
	if d.err != nil {
		why = d.err.Error()
	}
	l.step(core.Disconnected{Link: d.link, Friendly: d.friendly, Why: why})
	l.leadAnew()
	if nl.peer != "" {
		l.node.messages.LinkDown(nl.Link)
		l.match(nl.peer)
	}
}

// friendly says that the end of a link does not mean that its peer is going: the peer has
// closed it, or we have, because the peer broke the protocol. A goodbye at the end of the
// control stream is friendly too: a peer that leaves has announced LEAVE before it.
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

// codes translates the core's reasons to close a link into those that the peer sees.
var codes = [...]transport.Code{
	base.CloseBye:       transport.CodeBye,
	base.CloseProtocol:  transport.CodeProtocol,
	base.CloseRefused:   transport.CodeRefused,
	base.CloseDuplicate: transport.CodeDuplicateLink,
	base.CloseIdle:      transport.CodeIdle,
	base.CloseTimeout:   transport.CodeHandshakeTimeout,
	base.CloseDead:      transport.CodeDuplicateLink, // to a peer that lives after all: dial again
}

// closeLink closes a link for the core's reason. A dead peer gets no goodbye.
func (l *loop) closeLink(c base.Close) {
	nl := l.links.all[c.Link]
	switch {
	case nl == nil:
	case c.Reason == base.CloseDead:
		nl.Abort(codes[c.Reason], c.Text)
	case c.Reason == base.CloseDuplicate:
		l.node.messages.Retire(nl.Link, codes[c.Reason], c.Text)
	default:
		nl.Shut(codes[c.Reason], c.Text)
	}
}

// sendFrame queues a frame on its link. It drops a relayed broadcast or letter if the link is
// so busy that announcements might soon find no room.
func (l *loop) sendFrame(f base.Frame) {
	nl := l.links.all[f.Link]
	switch {
	case nl == nil:
	case f.Envelope && nl.busy(l.node.endpoint.Queued()):
		l.node.log.Debug("a letter is not passed on: the peer reads too slowly", "peer", string(nl.peer))
	case f.Relayed && nl.busy(l.node.endpoint.Queued()):
		l.dropped.warn(l.node.log, "broadcasts not passed on: the peer reads too slowly", "peer", string(nl.peer))
	case f.Envelope:
		_ = nl.SendLast(f.Data) // so that what keeps the network together doesn't wait for it
	default:
		_ = nl.Send(f.Data) // an error is the end of the link, which its reader reports
	}
}

// busy says that a link takes no more of what is not its peer's alone, with so much queued on all links.
func (nl *nodeLink) busy(all int) bool {
	queued := nl.Queued()
	return queued > maxQueuedRelaying || queued > maxQueuedAsking && all > maxQueuedMost
}

// drops counts dropped broadcasts, and logs the count at most once a second.
type drops struct {
	count int
	next  time.Time
}

func (d *drops) warn(log *slog.Logger, text string, args ...any) {
	d.count++
	if now := time.Now(); !now.Before(d.next) {
		d.next = now.Add(time.Second)
		log.Warn(text, append(args, "dropped since the start", d.count)...)
	}
}

// listen reports to the core what was heard on a link, if there is news. While nothing comes its
// address stays as it is.
func (l *loop) listen(nl *nodeLink) {
	now, stats := l.now(), nl.Stats()
	if stats.Received != nl.received {
		nl.received, nl.heard, nl.awaits = stats.Received, now, 0
		if address := nl.RemoteAddr(); address != nl.address {
			nl.address = address
			l.step(core.Seen{Link: nl.id, Address: address.String()})
		}
	}
	patience, slow, used := silentAfter, base.Slowness(stats.RTT, stats.Jitter), nl.LastUsed()
	if nl.Carried() {
		patience = carriedSilent
	} else if last := nl.LastCarried(); !last.IsZero() {
		at := last.Sub(l.start)
		used = max(used, at)
		if nl.awaits == 0 && at > nl.heard {
			nl.awaits = now
		}
	}
	changed := nl.SetSilent(now-nl.heard > patience+slow)
	if stuck := !nl.Carried() && nl.Stuck(); nl.SetStuck(stuck) {
		changed = true
		l.step(core.Stuck{Link: nl.id, Stuck: stuck})
	}
	if changed && nl.peer != "" {
		l.match(nl.peer)
	}
	l.node.messages.Bypass(nl.Link)
	if nl.question != nil && l.links.mayAsk(nl) {
		received{nl, l.links.forgetQuestion(nl)}.answer(l)
	}
	if news := (core.Heard{Link: nl.id, Heard: nl.heard, Used: used, RoundTrip: stats.RTT, Jitter: stats.Jitter, Mute: nl.awaits > 0 && now-nl.awaits > muteAfter+slow}); news != nl.told {
		nl.told = news
		l.step(news)
	}
}

// linkUp opens a link to direct messages.
func (l *loop) linkUp(up base.LinkUp) {
	nl, n := l.links.all[up.Link], l.node
	if nl == nil {
		return
	}
	if nl.peer != "" && nl.peer != up.ID { // we write to the peer of that ID before it has said its name
		nl.Abort(transport.CodeRefused, "another ID than the one that was looked for")
		return
	}
	nl.peer = up.ID
	if !up.Carried {
		n.noteLink(l.core.Record(up.ID), up, nl.address.String())
	}
	n.messages.LinkUp(nl.Link, up.ID, up.Epoch)
	l.leadAnew()
	l.match(up.ID)
}

// noteLinks stores where a peer is reached that was linked before it was shown as here, as the door of
// a newcomer is.
func noteLinks(l *loop, j base.Joined) {
	for _, nl := range l.links.all {
		if nl.peer == j.ID && nl.Peer() == j.Key && !nl.Carried() {
			l.node.noteLink(l.core.Record(j.ID), base.LinkUp{ID: j.ID, Key: j.Key}, nl.address.String())
		}
	}
}

// match has messages use the newest link to a peer, and asks the core for a link if they need
// one and have none.
func (l *loop) match(id certs.ID) {
	if l.node.messages.Match(id) {
		l.node.messages.Dialling(id, l.step(core.Want{To: id}).OK)
	}
}
