package messaging

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
	"quicpeer/transport"
)

// reader reads the direct messages of one link and gives receipts for them.
type reader struct {
	engine   *Engine
	link     *Link
	sender   *sender
	receipts chan receipt   // those that are due; nil before the first message
	writer   sync.WaitGroup // of them
	wake     chan struct{}  // more of the sender's messages are safe

	epoch  uint64 // of the last message
	nonce  uint64
	prefix [8]byte
	cut    delivery.Interruption
}

// receipt is a receipt due on a stream once the message has been shown, and that is safe; the
// last of a stream marks its end.
type receipt struct {
	stream  *transport.Stream
	message *pb.Message // without its content
	refused string      // why, if it is
	end     bool
}

// maxReceipts is how many receipts may be due on a link before reading stops.
const maxReceipts = 1024

// receive reads the link's messages until it ends.
func receive(e *Engine, l *Link) {
	in := &reader{engine: e, link: l, wake: make(chan struct{}, 1)}
	if in.sender = e.senders.of(l.key, in); in.sender == nil {
		l.Abort(transport.CodeInternal, "too many peers write at once")
		return
	}
	if err := in.readStreams(); err != nil {
		l.violation(e.log, err)
	}
	if in.receipts != nil {
		close(in.receipts)
		in.writer.Wait()
	}
	in.sender.mu.Lock()
	delete(in.sender.wakes, in)
	in.sender.mu.Unlock()
}

// readStreams takes the message streams one after the other, which keeps the messages in the
// order in which they were written. An error is a breach of the protocol; the end of the link
// is nil. Streams behind one that was cut off are refused until the sender has begun again,
// see again.go.
func (in *reader) readStreams() error {
	for {
		stream, err := in.link.AcceptStream(in.link.ctx)
		if err != nil {
			return nil
		}
		in.link.touch(in.engine.now())
		if in.receipts == nil { // many links never carry a message
			in.receipts = make(chan receipt, maxReceipts)
			in.writer.Go(in.writeReceipts)
		}
		switch err := in.readMessages(stream); {
		case err == nil:
			in.cut.WentWell()
		case err == errEnded:
			stream.Cancel(transport.CodeProtocol)
			return nil
		case err == errNotAgain:
			stream.Cancel(transport.CodeAgain)
		case cutOff(err):
			in.engine.log.Debug("a message stream was cut off by its sender", "peer", string(in.link.peer), "why", err)
			stream.Cancel(transport.CodeAgain)
			if !in.cut.CutOff() {
				return fmt.Errorf("%d message streams in a row that were cut off", delivery.MaxCutOff)
			}
		default:
			stream.Cancel(transport.CodeProtocol)
			return err
		}
	}
}

// errEnded: the link has ended, or the node.
var errEnded = errors.New("ended")

func (in *reader) readMessages(stream *transport.Stream) error {
	for first := true; ; first = false {
		frame, err := stream.Read(pb.MaxMessageFrame)
		switch {
		case err == io.EOF:
			return in.owe(receipt{stream: stream, end: true})
		case errors.Is(err, pb.ErrMalformed):
			return fmt.Errorf("message stream: %w", err)
		case cutOff(err):
			return err
		case err != nil:
			return errEnded
		}
		m := frame.GetMessage()
		if err := in.judge(m); err != nil {
			return err
		}
		in.link.touch(in.engine.now())
		if first && !in.cut.Admits(delivery.PositionOf(m), in.sender.taken()) {
			return errNotAgain
		}
		refused, ok := in.sender.take(in.link.ctx, m, in.link.peer)
		if !ok {
			return errEnded
		}
		m.Content = "" // it may have to wait for long
		if err := in.owe(receipt{stream: stream, message: m, refused: refused}); err != nil {
			return err
		}
	}
}

// judge checks a message for this peer from the other end, and returns why it is refused.
func (in *reader) judge(m *pb.Message) error {
	switch {
	case m == nil:
		return fmt.Errorf("a message stream carries something else than messages")
	case certs.ID(m.GetSender()) != in.link.peer:
		return fmt.Errorf("a message that claims another sender: %s", m.GetSender())
	case certs.ID(m.GetReceiver()) != in.engine.cfg.ID:
		return fmt.Errorf("a message for another peer: %s", m.GetReceiver())
	case m.GetEpoch() > in.link.epoch:
		return fmt.Errorf("a message of a run that is to come")
	case [8]byte(m.GetId()[:8]) != in.prefixOf(m.GetEpoch(), m.GetNonce()):
		return fmt.Errorf("a message ID of another run or peer")
	}
	return nil
}

// prefixOf is the beginning of the message IDs of a run of the peer.
func (in *reader) prefixOf(epoch, nonce uint64) [8]byte {
	if in.epoch != epoch || in.nonce != nonce || in.prefix == [8]byte{} {
		in.epoch, in.nonce, in.prefix = epoch, nonce, certs.MessagePrefix(in.link.key, epoch, nonce)
	}
	return in.prefix
}

// owe queues a receipt.
func (in *reader) owe(r receipt) error {
	select {
	case in.receipts <- r:
		return nil
	case <-in.link.ctx.Done():
		return errEnded
	}
}

// writeReceipts writes the receipts in order, as soon as their messages have been handled:
// those due at once go out together.
func (in *reader) writeReceipts() {
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
		answer := in.sender.receipt(r)
		if answer == nil {
			flush()
			if answer = in.awaitSafe(r); answer == nil {
				continue // the link has ended; the rest is drained
			}
		}
		frames = appendReceipt(frames, answer)
		if len(frames) >= maxBatchBytes {
			flush()
		}
	}
}

// awaitSafe waits until the message has been shown and that is safe, and returns its
// receipt; nil is the end of the link.
func (in *reader) awaitSafe(r receipt) *pb.Receipt {
	for {
		if answer := in.sender.receipt(r); answer != nil {
			return answer
		}
		select {
		case <-in.wake:
		case <-in.link.ctx.Done():
			return nil
		}
	}
}

func appendReceipt(frames []byte, r *pb.Receipt) []byte {
	frames, err := pb.Append(frames, pb.Wrap(r))
	if err != nil {
		panic("messaging: a receipt that can't be encoded: " + err.Error())
	}
	return frames
}
