package messaging

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
	"quicpeer/transport"
)

// reader reads the direct messages of one link and gives receipts for them.
type reader struct {
	engine *Engine
	link   *Link
	sender *sender
	batch  []arrival // a buffer

	// The receipts of what was read, in order. The sender's lock guards owed and ended.
	owed   []receipt
	ended  bool           // nothing is read any more
	wake   chan struct{}  // the first receipt may be due, or ended is set
	room   chan struct{}  // some were written
	writer sync.WaitGroup // of the goroutine that writes them, from the first message on
	writes bool           // it runs

	epoch  uint64 // of the last message
	nonce  uint64
	prefix [8]byte
	cut    delivery.Interruption
}

// arrival is a message that has come.
type arrival struct {
	message *pb.Message
	stamp   delivery.Stamp
	refused string // why, if it is
}

// receipt is a receipt due on a stream once the message has been shown, and that is safe; the
// last of a stream marks its end.
type receipt struct {
	stream   *transport.Stream
	id       []byte
	position delivery.Position
	refused  string // why, if it is
	end      bool
}

// maxReceipts is how many receipts may be due on a link before reading stops.
const maxReceipts = 1024

// receive reads the link's messages until it ends.
func receive(e *Engine, l *Link) {
	in := &reader{engine: e, link: l, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	if in.sender = e.senders.of(l.key, in); in.sender == nil {
		l.Abort(transport.CodeInternal, "too many peers write at once")
		return
	}
	if err := in.readStreams(); err != nil {
		l.violation(e.log, err)
	}
	in.sender.mu.Lock()
	delete(in.sender.wakes, in)
	in.ended = true
	signal(in.wake)
	in.sender.mu.Unlock()
	in.writer.Wait()
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
		if !in.writes { // many links never carry a message
			in.writes = true
			in.writer.Go(in.writeReceipts)
		}
		if stream.Begins() { // a long message takes its time; an empty stream does not count
			in.link.touch(in.engine.now())
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
		end := in.nextMessages(stream)
		if len(in.batch) > 0 {
			in.link.touch(in.engine.now())
			if first && !in.cut.Admits(in.batch[0].stamp.Position, in.sender.taken()) {
				return errNotAgain
			}
			in.engine.Precedence.begin()
			if !in.sender.take(in.link, in.batch) || !in.owe(stream) {
				return errEnded
			}
		}
		switch {
		case end == nil:
		case end == io.EOF:
			in.oweEnd(stream)
			return nil
		default:
			return end
		}
	}
}

// nextMessages waits for a message, and reads it with those that have come with it into the
// batch. Nothing follows an error, or the end of the stream.
func (in *reader) nextMessages(stream *transport.Stream) error {
	clear(in.batch)
	in.batch = in.batch[:0]
	for len(in.batch) == 0 || stream.Ready() {
		frame, err := stream.Read(pb.MaxMessageFrame)
		switch {
		case err == io.EOF || cutOff(err):
			return err
		case errors.Is(err, pb.ErrMalformed):
			return fmt.Errorf("message stream: %w", err)
		case err != nil:
			return errEnded
		}
		m := frame.GetMessage()
		if err := in.judge(m); err != nil {
			return err
		}
		in.batch = append(in.batch, arrival{message: m, stamp: delivery.StampOf(m)})
	}
	return nil
}

// judge checks a message for this peer from the other end, and returns why it is refused.
func (in *reader) judge(m *pb.Message) error {
	switch {
	case m == nil:
		return fmt.Errorf("a message stream carries something else than messages")
	case certs.ID(m.GetSender()) != in.link.peer.Claimed():
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

// owe queues the receipts of a batch that was taken; it waits while very many wait. False is
// the end of the link.
func (in *reader) owe(stream *transport.Stream) bool {
	s := in.sender
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(in.owed) > maxReceipts {
		s.mu.Unlock()
		select {
		case <-in.room:
		case <-in.link.ctx.Done():
		}
		s.mu.Lock()
		if in.link.ctx.Err() != nil {
			return false
		}
	}
	for _, a := range in.batch {
		in.owed = append(in.owed, receipt{stream: stream, id: a.message.GetId(), position: a.stamp.Position, refused: a.refused})
	}
	in.tellDue()
	return true
}

// oweEnd notes the end of a stream behind its receipts.
func (in *reader) oweEnd(stream *transport.Stream) {
	in.sender.mu.Lock()
	defer in.sender.mu.Unlock()
	in.owed = append(in.owed, receipt{stream: stream, end: true})
	in.tellDue()
}

// tellDue wakes the goroutine that writes receipts, if the first is due. The sender's lock is
// held.
func (in *reader) tellDue() {
	if len(in.owed) > 0 && in.mayAnswer(in.owed[0]) {
		signal(in.wake)
	}
}

// mayAnswer says that a receipt may be written. The sender's lock is held.
func (in *reader) mayAnswer(r receipt) bool {
	return r.end || in.sender.inbox.Due(r.position, r.refused)
}

// writeReceipts writes the receipts in order, as soon as their messages have been handled:
// those due at once go out together.
func (in *reader) writeReceipts() {
	var (
		due    []receipt
		frames []byte
		ok     bool
	)
	word := pb.Wrap(new(pb.Receipt)) // filled anew for each
	for {
		if due, ok = in.nextReceipts(due); !ok {
			return
		}
		for i, r := range due {
			if !r.end {
				frames = appendReceipt(frames, word, r)
			}
			if last := i == len(due)-1; len(frames) > 0 && (r.end || last || due[i+1].stream != r.stream) {
				// A failure shows up as the end of the link, or the peer has reset its stream.
				_ = r.stream.Write(frames)
				in.engine.Precedence.end()
				frames = frames[:0]
			}
			if r.end {
				_ = r.stream.CloseWrite()
			}
		}
	}
}

// nextReceipts waits for receipts that are due, and takes them; false is the end of the link.
// It uses the memory of the previous ones.
func (in *reader) nextReceipts(previous []receipt) (due []receipt, ok bool) {
	for {
		in.sender.mu.Lock()
		n := 0
		for n < len(in.owed) && in.mayAnswer(in.owed[n]) {
			n++
		}
		due = append(previous[:0], in.owed[:n]...)
		in.owed = slices.Delete(in.owed, 0, n)
		ended := in.ended
		in.sender.mu.Unlock()
		switch {
		case n > 0:
			signal(in.room)
			return due, true
		case ended:
			return nil, false
		}
		<-in.wake
	}
}

func appendReceipt(frames []byte, frame *pb.PeerMessage, r receipt) []byte {
	delivery.Answer(frame.GetReceipt(), r.id, r.refused)
	frames, err := pb.Append(frames, frame)
	if err != nil {
		panic("messaging: a receipt that can't be encoded: " + err.Error())
	}
	return frames
}
