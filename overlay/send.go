package overlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
	"quicpeer/transport"
)

// activity is the life of a link: a context that ends with it, and when a direct
// message last went or came, by which an idle link is known.
type activity struct {
	ctx    context.Context
	last   atomic.Int64 // nanoseconds since the node's start
	silent atomic.Bool  // nothing has been heard for silentAfter
	stuck  atomic.Bool  // what is written does not get through
	// retired: nothing new is sent on it, and it ends when what is on its way has been
	// answered.
	retired atomic.Bool
}

// works says that the peer is heard and hears us.
func (a *activity) works() bool { return !a.silent.Load() && !a.stuck.Load() }

func (a *activity) touch(since time.Time) { a.last.Store(int64(time.Since(since))) }

// writtenStream is a stream with messages whose receipts are to be read.
type writtenStream struct {
	stream *transport.Stream
	batch  []*delivery.Outgoing
	round  int
	err    error // the receiver has cut it off
}

// maxStreams is how many streams of messages are on their way at once on a link:
// about as many as the other side allows, see transport.Link.OpenStream.
const maxStreams = 8

// send writes the outbox's messages to the link until it ends: what waits goes
// on one short-lived stream together. A lone message is written by Send itself,
// see sendLone.
func (o *outbox) send(l *messageLink) {
	var reader sync.WaitGroup
	reader.Go(func() { o.readReceipts(l, o.written) })
	stop := context.AfterFunc(l.used.ctx, o.wakeAll)
	defer stop()
	for {
		batch := o.next(l)
		if batch == nil {
			break
		}
		stream, err := l.OpenStream(l.used.ctx)
		if err != nil {
			l.Abort(transport.CodeInternal, "a message stream failed: "+err.Error())
			break
		}
		if !o.write(l, stream, batch) {
			break
		}
		o.wrote()
	}
	close(o.written)
	if !l.used.retired.Load() {
		l.Shut(transport.CodeDuplicateLink, "another peer has the ID") // does nothing to a link that has ended
	}
	reader.Wait()
	l.Shut(transport.CodeDuplicateLink, "another connection is used")
	o.detach()
	o.node.forgetOutbox(o)
	o.node.want(o.to)
}

// retireTime is how long a link that is used no more waits for receipts: less than the
// 500 ms in which the other side wants its goodbye answered.
const retireTime = 300 * time.Millisecond

// retire has a link end once what is on its way on it has been answered.
func (n *Node) retire(l *messageLink, code transport.Code, why string) {
	if o := n.existingOutbox(l.peer); o == nil || !o.retire(l) {
		l.Shut(code, why)
		return
	}
	n.wg.Go(func() {
		late := time.NewTimer(retireTime)
		defer late.Stop()
		select {
		case <-late.C:
			l.Shut(code, why)
		case <-l.Done():
		}
	})
}

// retire stops the use of a link; false says that nothing is on its way on it.
func (o *outbox) retire(l *messageLink) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link != l || o.box.Flying(delivery.Direct) == 0 {
		return false
	}
	l.used.retired.Store(true)
	o.changed.Broadcast()
	return true
}

// write writes a batch on its stream and says whether that went well; if not, it
// ends the link. The caller has the right to write.
func (o *outbox) write(l *messageLink, stream *transport.Stream, batch []*delivery.Outgoing) bool {
	o.frames = o.encode(o.frames[:0], batch)
	err := stream.Write(o.frames)
	if err == nil {
		err = stream.CloseWrite()
	}
	if err != nil && !cutOff(err) {
		l.Abort(transport.CodeInternal, "a message stream failed: "+err.Error())
		return false
	}
	l.used.touch(o.node.start)
	o.written <- writtenStream{stream, batch, o.round, err}
	return true
}

// encode turns a batch into frames. The bodies were checked by Send, so that it
// can't fail.
func (o *outbox) encode(frames []byte, batch []*delivery.Outgoing) []byte {
	for _, m := range batch {
		var err error
		frames, err = pb.Append(frames, pb.Wrap(o.node.author().Message(m, o.to)))
		if err != nil {
			panic("overlay: a message that can't be encoded: " + err.Error())
		}
	}
	return frames
}

// readReceipts reads the receipts of the streams in the order of their writing. When
// one is cut off, the rest of its round is void. After a failure that is the end of the
// link, or becomes it, all are.
func (o *outbox) readReceipts(l *messageLink, written <-chan writtenStream) {
	failed := false
	for w := range written {
		if failed || !o.counts(w) {
			w.stream.Cancel(transport.CodeAgain)
			continue
		}
		err := w.err
		if err == nil {
			err = o.readStream(l, w)
		}
		switch {
		case err == nil:
			o.wentWell()
		case cutOff(err):
			o.node.log.Debug("a message stream was cut off by its receiver", "peer", string(l.peer), "why", err)
			w.stream.Cancel(transport.CodeAgain)
			o.beginAgain()
		default:
			failed = true
			if errors.Is(err, pb.ErrMalformed) {
				o.node.violation(l, fmt.Errorf("receipts: %w", err))
			}
			w.stream.Cancel(transport.CodeProtocol)
		}
	}
}

func (o *outbox) readStream(l *messageLink, w writtenStream) error {
	for _, m := range w.batch {
		frame, err := w.stream.Read(pb.MaxControlFrame)
		if err == io.EOF {
			return errNoReceipt
		}
		if err != nil {
			return err
		}
		r := frame.GetReceipt()
		if r == nil || !bytes.Equal(r.GetId(), m.ID[:]) {
			return fmt.Errorf("%w: a frame of type %v instead of the receipt of a message", pb.ErrMalformed, frame.GetType())
		}
		l.used.touch(o.node.start)
		if settles(r) {
			o.receipt(m.Position, receiptOf(r, false))
		} else {
			o.unsettled(m, r)
		}
	}
	// The end of the stream, which gives it back to QUIC.
	frame, err := w.stream.Read(pb.MaxControlFrame)
	switch err {
	case nil:
		return fmt.Errorf("%w: a frame of type %v behind the last receipt", pb.ErrMalformed, frame.GetType())
	case io.EOF:
		return nil
	}
	return err
}
