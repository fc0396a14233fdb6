package overlay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/pb"
	"quicpeer/transport"
)

// sender is what a receiver remembers of one run of a peer that writes to it:
// how far it has taken its messages into the queue, and how far the program has
// handled them. Counters rise from message to message, and the streams of a link
// are read in order, so that a message with a counter below is a repeat.
type sender struct {
	key     certs.PublicKey
	epoch   uint64
	prefix  [8]byte
	taking  sync.Mutex // held while a message is put into the queue: links to one sender take turns
	taken   uint64
	handled atomic.Uint64

	mu    sync.Mutex
	wakes map[*inbox]struct{}
}

// maxSenders bounds the memory of those who write; beyond it some that have no
// link are forgotten.
const maxSenders = 1 << 16

// handle notes that the program has handled the messages up to the counter.
func (s *sender) handle(counter uint64) {
	s.handled.Store(counter)
	s.mu.Lock()
	defer s.mu.Unlock()
	for in := range s.wakes {
		select {
		case in.wake <- struct{}{}:
		default:
		}
	}
}

// linked says that there is a link to the sender.
func (s *sender) linked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.wakes) > 0
}

// inbox reads the direct messages of one link and gives receipts for them.
type inbox struct {
	node     *Node
	link     *messageLink
	sender   *sender
	receipts chan receipt
	wake     chan struct{} // the sender's messages have been handled further
}

// receipt is one that is due on a stream once the counter has been handled; the
// last of a stream is its end.
type receipt struct {
	stream  *transport.Stream
	id      MessageID
	counter uint64
	end     bool
}

// maxReceipts is how many receipts may be due on a link before reading stops.
const maxReceipts = 1024

// receive reads the link's messages until it ends.
func (n *Node) receive(l *messageLink) {
	in := &inbox{node: n, link: l, sender: n.senderOf(l), receipts: make(chan receipt, maxReceipts), wake: make(chan struct{}, 1)}
	in.sender.mu.Lock()
	in.sender.wakes[in] = struct{}{}
	in.sender.mu.Unlock()
	var writer sync.WaitGroup
	writer.Go(in.writeReceipts)
	if err := in.readStreams(); err != nil {
		n.violation(l, err)
	}
	close(in.receipts)
	writer.Wait()
	in.sender.mu.Lock()
	delete(in.sender.wakes, in)
	in.sender.mu.Unlock()
}

// readStreams takes the message streams one after the other, which keeps the
// messages in the order in which they were written. An error is a breach of the
// protocol; the end of the link is nil. After a stream that has not ended well
// no other is read: what it lacks comes on the next link, and would pass for a
// repeat if later messages had been taken.
func (in *inbox) readStreams() error {
	for {
		stream, err := in.link.AcceptStream(in.link.used.ctx)
		if err != nil {
			return nil
		}
		in.link.used.touch(in.node.start)
		if err := in.readStream(stream); err != nil {
			stream.Cancel(transport.CodeProtocol)
			if err == errEnded {
				return nil
			}
			return err
		}
	}
}

// errEnded: the link has ended, or the node.
var errEnded = errors.New("ended")

func (in *inbox) readStream(stream *transport.Stream) error {
	for {
		frame, err := stream.Read(pb.MaxMessageFrame)
		switch {
		case err == io.EOF:
			return in.due(receipt{stream: stream, end: true})
		case breach(err):
			return fmt.Errorf("message stream: %w", err)
		case err != nil:
			return errEnded
		}
		m := frame.GetMessage()
		if err := in.judge(m); err != nil {
			return err
		}
		in.link.used.touch(in.node.start)
		counter := binary.BigEndian.Uint64(m.GetId()[8:])
		if !in.take(m, counter) {
			return errEnded
		}
		if err := in.due(receipt{stream: stream, id: MessageID(m.GetId()), counter: counter}); err != nil {
			return err
		}
	}
}

// breach says that a stream has failed by what the peer did to it, and not by the
// end of the link.
func breach(err error) bool {
	var reset *transport.ResetError
	return errors.Is(err, pb.ErrMalformed) || err == io.ErrUnexpectedEOF || errors.As(err, &reset)
}

// violation ends a link whose peer has broken the protocol on a message stream.
func (n *Node) violation(l *messageLink, why error) {
	n.log.Warn("peer breaks the protocol", "peer", string(l.peer), "address", l.RemoteAddr().String(), "why", why)
	l.Abort(transport.CodeProtocol, why.Error())
}

// judge says what is wrong with a message for this peer from the other end.
func (in *inbox) judge(m *pb.Message) error {
	switch {
	case m == nil:
		return fmt.Errorf("a message stream carries something else than messages")
	case certs.ID(m.GetSender()) != in.link.peer:
		return fmt.Errorf("a message that claims another sender: %s", m.GetSender())
	case certs.ID(m.GetReceiver()) != in.node.id:
		return fmt.Errorf("a message for another peer: %s", m.GetReceiver())
	case [8]byte(m.GetId()[:8]) != in.sender.prefix:
		return fmt.Errorf("a message ID of another run or peer")
	}
	return nil
}

// take puts a message into the queue unless it is a repeat; false is the end of the link.
func (in *inbox) take(m *pb.Message, counter uint64) bool {
	s := in.sender
	s.taking.Lock()
	defer s.taking.Unlock()
	if counter <= s.taken {
		return true
	}
	message := Message{
		ID: MessageID(m.GetId()), From: in.link.peer, To: in.node.id, Body: m.GetContent(),
		SentAt: time.Unix(0, m.GetSentAt()), Path: PathDirect,
	}
	if !in.node.queue.pushMessage(in.link.used.ctx, message, s, counter) {
		return false
	}
	s.taken = counter
	return true
}

// due queues a receipt.
func (in *inbox) due(r receipt) error {
	select {
	case in.receipts <- r:
		return nil
	case <-in.link.used.ctx.Done():
		return errEnded
	}
}

// writeReceipts writes the receipts that are due, in order, as soon as their
// messages have been handled: what is due at once goes out together.
func (in *inbox) writeReceipts() {
	var (
		frames []byte
		stream *transport.Stream
	)
	flush := func() {
		if len(frames) > 0 {
			// A failure shows up as the end of the link, or the peer has reset its stream.
			_ = stream.Write(frames)
			frames = frames[:0]
		}
	}
	for {
		var r receipt
		var ok bool
		select {
		case r, ok = <-in.receipts:
		default:
			flush()
			r, ok = <-in.receipts
		}
		if !ok {
			flush()
			return
		}
		if r.stream != stream {
			flush()
			stream = r.stream
		}
		if r.end {
			flush()
			_ = stream.CloseWrite()
			continue
		}
		if in.sender.handled.Load() < r.counter {
			flush()
			if !in.awaitHandled(r.counter) {
				continue // the link has ended; the rest is drained
			}
		}
		frames = appendReceipt(frames, r.id)
		if len(frames) >= maxBatchBytes {
			flush()
		}
	}
}

// awaitHandled waits for the program to handle the message; false is the end of the link.
func (in *inbox) awaitHandled(counter uint64) bool {
	for in.sender.handled.Load() < counter {
		select {
		case <-in.wake:
		case <-in.link.used.ctx.Done():
			return false
		}
	}
	return true
}

func appendReceipt(frames []byte, id MessageID) []byte {
	frames, err := pb.Append(frames, pb.Wrap(&pb.Receipt{Id: id[:], Code: pb.ReceiptCode_DELIVERED}))
	if err != nil {
		panic("overlay: a receipt that can't be encoded: " + err.Error())
	}
	return frames
}

// senderOf returns what is remembered of the run of the peer at the other end.
func (n *Node) senderOf(l *messageLink) *sender {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.senders[l.key]
	if s != nil && s.epoch == l.epoch {
		return s
	}
	if len(n.senders) >= maxSenders {
		for key, old := range n.senders {
			if !old.linked() {
				delete(n.senders, key)
				break
			}
		}
	}
	s = &sender{key: l.key, epoch: l.epoch, prefix: core.MessagePrefix(l.key, l.epoch), wakes: make(map[*inbox]struct{})}
	if held := n.senders[l.key]; held == nil || held.epoch < l.epoch {
		n.senders[l.key] = s
	}
	return s
}
