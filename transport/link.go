package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
	"quicpeer/pb"
)

// goodbyeTime is how long a goodbye may take: the design's 300 ms for the answer,
// and some more for a lost packet.
const goodbyeTime = 500 * time.Millisecond

// Link is a connection to an authenticated peer. Its methods may be called from any goroutine,
// but Receive and AcceptStream by only one at a time.
//
// The owner must call Receive until it fails, also after Shut: otherwise the peer's goodbye
// goes unseen.
type Link struct {
	endpoint *Endpoint
	conn     *quic.Conn
	control  *quic.Stream
	reader   *bufio.Reader // of control
	peer     certs.PublicKey
	log      *slog.Logger
	queue    queue
	hole     hole
	hop      *hop          // for carried links; nil: it is one itself
	slots    chan struct{} // holds a token for each message stream of ours (see OpenStream)
	done     chan struct{}
	unknowns unknowns

	peerBye  chan struct{} // closed when the peer has ended its control stream
	peerOnce sync.Once

	// Of a link that was accepted:
	stranger *stranger          // it has come as
	strange  context.Context    // ends when it is one no more
	admitted context.CancelFunc // ends that
	guarded  chan struct{}      // closed when guard has ended; nil: nothing guards it
	early    *quic.Stream       // that guard has accepted when the peer was just let in
}

// Peer is the public key of the other side.
func (l *Link) Peer() certs.PublicKey { return l.peer }

// RemoteAddr is the address that the peer's packets come from. If the peer has
// dialled, it can change.
func (l *Link) RemoteAddr() netip.AddrPort { return addrPort(l.conn.RemoteAddr()) }

// Stats describes the traffic that a link has seen.
type Stats struct {
	// Received counts packets. A living peer sends at least one each second, so a number that
	// stands still means a silent peer.
	Received uint64
	// RTT is the smoothed round trip time; 0 before it is known.
	RTT time.Duration
	// Jitter is the mean deviation of the round trip times.
	Jitter time.Duration
}

// Stats returns the figures of the link, also after its end.
func (l *Link) Stats() Stats { return statsOf(l.conn) }

func statsOf(conn *quic.Conn) Stats {
	s := conn.ConnectionStats()
	return Stats{Received: s.PacketsReceived, RTT: s.SmoothedRTT, Jitter: s.MeanDeviation}
}

// Send queues a frame, encoded by [pb.Append], for the control stream. It never blocks; frames
// are written in the order of the calls. The frame is copied. A peer that leaves 4 MiB unread,
// or reads nothing for 10 s, is cut off: ErrQueueFull; so is one that leaves much unread while
// 24 MiB wait for all peers together. On a link that is ending the error is net.ErrClosed.
func (l *Link) Send(frame []byte) error { return l.queued(l.queue.put(frame)) }

// SendLast is Send for a frame that gives way to all frames of Send, even to later ones, until
// it is being written. The frame is kept and must not be changed.
func (l *Link) SendLast(frame []byte) error { return l.queued(l.queue.putLast(frame)) }

func (l *Link) queued(err error) error {
	if err == ErrQueueFull {
		l.log.Warn("link closed: the peer does not read", "addr", l.RemoteAddr(), "queued", maxQueued)
		l.Abort(CodeSlow, "does not read")
	}
	shed(l.endpoint)
	return err
}

// Queued returns how many bytes of frames are not written yet, of all links together.
func (e *Endpoint) Queued() int { return int(e.queued.Load()) }

// shed cuts links off until the queues of all that go on are within maxQueuedAll: of the host for
// which most is queued, over however many links, the one with the longest queue. So a host that
// reads nothing on many links loses those, and a slow reader elsewhere keeps its own.
func shed(e *Endpoint) {
	if e.queued.Load() <= maxQueuedAll {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	sizes, hosts, sum := make(map[*Link]int), make(map[netip.Prefix]int), 0
	for l := range e.links {
		n := l.queue.living()
		sizes[l] = n
		hosts[host(l.RemoteAddr().Addr())] += n
		sum += n
	}
	for sum > maxQueuedAll {
		var worst *Link
		for l, n := range sizes {
			if worst == nil {
				worst = l
			}
			own, most := hosts[host(l.RemoteAddr().Addr())], hosts[host(worst.RemoteAddr().Addr())]
			if own > most || own == most && n > sizes[worst] {
				worst = l
			}
		}
		worst.log.Warn("link closed: the peer does not read, and too much waits for others too", "addr", worst.RemoteAddr(), "queued", sizes[worst])
		worst.Abort(CodeSlow, "does not read")
		sum -= sizes[worst]
		hosts[host(worst.RemoteAddr().Addr())] -= sizes[worst]
		delete(sizes, worst)
	}
}

// Queued returns how many bytes of frames are not written yet; 0 after the end.
func (l *Link) Queued() int { return l.queue.length() }

// QueuedFirst is Queued without the frames of SendLast, which give way.
func (l *Link) QueuedFirst() int { return l.queue.first() }

// Drained is closed as soon as Queued is at most limit.
func (l *Link) Drained(limit int) <-chan struct{} { return l.queue.drained(limit) }

// Receive waits for the next frame of the control stream; frames that this version does not
// know are skipped. io.EOF is the peer's goodbye: answer it with Shut. A frame that breaks the
// protocol closes the link; the error then is pb.ErrMalformed. After any error there is
// nothing more to receive.
func (l *Link) Receive() (*pb.PeerMessage, error) {
	m, err := l.unknowns.read(l.reader, pb.MaxControlFrame)
	if t := m.GetType(); err == nil && (t == pb.PeerMessageType_MESSAGE || t == pb.PeerMessageType_RECEIPT) {
		err = fmt.Errorf("%w: %v on the control stream", pb.ErrMalformed, m.GetType())
	}
	var reset *quic.StreamError
	switch {
	case err == nil:
		return m, nil
	case err == io.EOF:
		l.peerOnce.Do(func() { close(l.peerBye) })
		return nil, io.EOF
	case err == io.ErrUnexpectedEOF:
		err = fmt.Errorf("%w: the control stream ends within a frame", pb.ErrMalformed)
	case errors.As(err, &reset):
		err = fmt.Errorf("%w: the control stream was cancelled", pb.ErrMalformed)
	}
	if errors.Is(err, pb.ErrMalformed) {
		l.violation(err.Error())
		return nil, err
	}
	return nil, explain(err)
}

// violation ends a link whose peer breaks the protocol.
func (l *Link) violation(reason string) {
	l.log.Warn("link closed: the peer breaks the protocol", "addr", l.RemoteAddr(), "reason", printable(reason))
	l.Abort(CodeProtocol, reason)
}

// Shut says goodbye and returns at once. The link then writes what is queued, ends the control
// stream, waits for the peer's answer and closes the connection with code and reason; after
// 500 ms it closes it in any case. Shut is also the answer to a goodbye of the peer. Answers
// on message streams that are still on their way when the link closes are lost: wait for them
// before.
func (l *Link) Shut(code Code, reason string) {
	deadline := time.Now().Add(goodbyeTime)
	if l.queue.end(ending{code: code, reason: reason, goodbye: true, deadline: deadline}) {
		_ = l.control.SetWriteDeadline(deadline) // never fails
	}
}

// Abort closes the connection without a goodbye, and returns at once.
func (l *Link) Abort(code Code, reason string) {
	if l.queue.end(ending{code: code, reason: reason}) {
		// This frees the link's goroutine from a Write that waits for the peer. It never
		// fails.
		_ = l.control.SetWriteDeadline(time.Now())
	}
}

// Context ends when the connection does.
func (l *Link) Context() context.Context { return l.conn.Context() }

// Done is closed when the connection has ended and with it the link's goroutine.
func (l *Link) Done() <-chan struct{} { return l.done }

// run is the goroutine of the link: it writes what is queued and in the end
// closes the connection.
func (l *Link) run() {
	defer close(l.done)
	how := l.write()
	if how.goodbye {
		how = l.goodbye(how)
	}
	l.queue.finish(how)
	// On an ended connection this does nothing; it never fails.
	_ = l.conn.CloseWithError(quic.ApplicationErrorCode(how.code), cut(how.reason))
}

// write writes frames until the link is to end, and returns how to end it.
func (l *Link) write() ending {
	var batch []byte
	for {
		var how *ending
		batch, how = l.queue.take(batch)
		switch {
		case how != nil && (!how.goodbye || len(batch) == 0):
			return *how
		case len(batch) == 0:
			select {
			case <-l.queue.wake:
			case <-l.conn.Context().Done():
				return ending{}
			}
			continue
		}
		if err := l.writeBatch(batch); err != nil {
			return l.writeFailed(err)
		}
	}
}

// writePatience is how long a peer may take no bytes at all of the control stream (a guess),
// and patientRTTs the round trips that it has beside: on a slow line all links share the
// queue, and each may have only a few packets in it.
const (
	writePatience = 10 * time.Second
	patientRTTs   = 3
)

// writeBatch writes the queued frames. A peer that has stopped reading is cut off, even if
// little is queued; one that takes a byte now and then is not: its line may be slow.
func (l *Link) writeBatch(batch []byte) error {
	for len(batch) > 0 {
		l.queue.unlessEnding(func() {
			_ = l.control.SetWriteDeadline(time.Now().Add(writePatience + patientRTTs*l.Stats().RTT)) // never fails
		})
		n, err := l.hole.write(l.control, batch)
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

// writeFailed says how to end a link whose control stream can't be written.
func (l *Link) writeFailed(err error) ending {
	if how := l.queue.how(); how != nil { // the deadline of Shut or Abort, as a rule
		return ending{code: how.code, reason: how.reason}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.log.Warn("link closed: the peer does not read", "addr", l.RemoteAddr(), "for", writePatience)
		return ending{code: CodeSlow, reason: "does not read"}
	}
	var reset *quic.StreamError
	if errors.As(err, &reset) {
		return ending{code: CodeProtocol, reason: "control stream cancelled"}
	}
	return ending{code: CodeInternal, reason: explain(err).Error()} // the connection has ended
}

// goodbye ends the control stream, waits until the connection can be closed without loss, and
// returns how to close it. The side that says goodbye first closes on the answer, when it has
// all that the peer had to send. The side that answers leaves the closing to the other, which
// may not have read the answer yet.
func (l *Link) goodbye(how ending) ending {
	answer := l.peerBye
	select {
	case <-l.peerBye:
		answer = nil
	default:
	}
	_ = l.control.Close() // fails only if the stream was cancelled: then the connection ends too
	timer := time.NewTimer(time.Until(how.deadline))
	defer timer.Stop()
	for {
		select {
		case <-answer:
			return how
		case <-timer.C:
			return how
		case <-l.conn.Context().Done():
			return how
		case <-l.queue.wake:
			if now := l.queue.how(); !now.goodbye { // Abort
				return *now
			}
		}
	}
}
