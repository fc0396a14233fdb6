package messaging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
	"quicpeer/transport"
)

// Bounds of the messages on their way over a connection (guesses).
const (
	maxBatch       = 128 // messages on one stream
	maxBatchBytes  = 64 << 10
	maxFlightBytes = 256 << 10
	maxLoneBytes   = 1000 // of a message that Send writes itself: less than a packet, so that QUIC takes it at once
	// MaxStreams is how many streams of messages are on their way at once on a link:
	// about as many as the other side allows, see transport.Link.OpenStream.
	MaxStreams = 8
)

// directLimits are the limits of a connection.
var directLimits = delivery.Limits{Messages: maxBatch, Bytes: maxBatchBytes, FlightBytes: maxFlightBytes, Flight: MaxWaiting}

// directLane sends a receiver's messages over a connection to it. The receiver's lock guards
// it, except for the fields of the writer.
type directLane struct {
	r     *receiver
	link  *Link // nil: there is none
	again again // on the link

	// The right to write to the link: of send, or of Send for a lone message. The goroutine
	// that sets writing has the fields below to itself until it unsets it. ended says that the
	// link takes no more messages, and no writer follows.
	writing bool
	ended   bool
	written chan writtenStream
	frames  []byte // a buffer
	round   int    // of what is written, see again
}

// writtenStream is a stream with messages whose receipts are to be read.
type writtenStream struct {
	stream *transport.Stream
	batch  []*delivery.Outgoing
	round  int
	err    error // the receiver has cut it off
}

// works says that the lane has a link over which the receiver is heard, and hears us.
func (d *directLane) works() bool { return d.link != nil && d.link.Works() }

// attach gives the lane a link. The caller is to run send on it, and holds r.mu.
func (d *directLane) attach(l *Link) {
	*d = directLane{r: d.r, link: l, written: make(chan writtenStream, MaxStreams), frames: d.frames}
}

// detach takes the link away; what was in flight on it waits again.
func (d *directLane) detach() {
	r := d.r
	r.mu.Lock()
	defer r.mu.Unlock()
	d.link = nil
	r.box.Rewind(delivery.Direct)
	r.notify()
	if !r.present {
		r.tellAllWait(hasLeft)
		r.engine.custodian.look()
	}
}

// keepLink says that the link is in use while receipts are awaited on it.
func (d *directLane) keepLink(now time.Duration) {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	if d.link != nil && d.r.box.Flying(delivery.Direct) > 0 {
		d.link.touch(now)
	}
}

// send writes the messages to the link until it ends: all that wait go on one short-lived
// stream together. Send writes a lone message itself.
func (d *directLane) send(l *Link) {
	r := d.r
	var reader sync.WaitGroup
	reader.Go(func() { d.readReceipts(l, d.written) })
	stop := context.AfterFunc(l.ctx, r.wakeAll)
	defer stop()
	for {
		batch := d.nextBatch(l)
		if batch == nil {
			break
		}
		stream, err := l.OpenStream(l.ctx)
		if err != nil {
			l.Abort(transport.CodeInternal, "a message stream failed: "+err.Error())
			break
		}
		if !d.write(l, stream, batch) {
			break
		}
		d.wrote()
	}
	close(d.written)
	if !l.retired.Load() {
		l.Shut(transport.CodeDuplicateLink, "another peer has the ID") // does nothing to a link that has ended
	}
	reader.Wait()
	l.Shut(transport.CodeDuplicateLink, "another connection is used")
	d.detach()
	r.engine.directory.forget(r)
	r.engine.cfg.Wish(LinkWish{r.to})
}

// nextBatch waits for messages and for the right to write, and sends a batch of them
// on its way; nil is the end of the link, or of its use: its peer has lost the ID
// to another.
func (d *directLane) nextBatch(l *Link) []*delivery.Outgoing {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	for d.writing || !d.unfit(l) && !d.mayWrite() {
		d.awaitChange()
	}
	if d.unfit(l) {
		d.ended = true
		return nil
	}
	return d.takeBatch()
}

// takeBatch takes the next batch and the right to write. r.mu is held.
func (d *directLane) takeBatch() []*delivery.Outgoing {
	batch, _ := d.r.box.Take(delivery.Direct, directLimits)
	d.writing, d.round = true, d.again.round
	return batch
}

func (d *directLane) unfit(l *Link) bool {
	return !l.usable() || d.r.present && l.key != d.r.key
}

// takeLone takes the only waiting message and the right to write, if the message is small,
// none is on its way before it, no other goroutine writes, and the link takes a stream at
// once. r.mu is held.
func (d *directLane) takeLone() lone {
	box := &d.r.box
	if !d.works() || d.writing || d.ended || d.again.failures > 0 || box.Len() != 1 || box.Flying(delivery.Direct) > 0 ||
		len(box.Oldest().Body) > maxLoneBytes || d.unfit(d.link) {
		return lone{}
	}
	stream := d.link.TryOpenStream()
	if stream == nil {
		return lone{}
	}
	return lone{d.link, stream, d.takeBatch()}
}

// writeLone writes what takeLone has taken. A failure ends the link, and send with it.
func (d *directLane) writeLone(m lone) {
	d.write(m.link, m.stream, m.batch)
	d.wrote()
}

// write writes a batch on its stream and says whether that went well; if not, it
// ends the link. The caller has the right to write.
func (d *directLane) write(l *Link, stream *transport.Stream, batch []*delivery.Outgoing) bool {
	d.frames = d.encode(d.frames[:0], batch)
	err := stream.Write(d.frames)
	if err == nil {
		err = stream.CloseWrite()
	}
	if err != nil && !cutOff(err) {
		l.Abort(transport.CodeInternal, "a message stream failed: "+err.Error())
		return false
	}
	l.touch(d.r.engine.now())
	d.written <- writtenStream{stream, batch, d.round, err}
	return true
}

// wrote gives the right to write back.
func (d *directLane) wrote() {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	d.writing = false
	d.r.notify()
}

// encode turns a batch into frames. The bodies were checked by Send, so that it
// can't fail.
func (d *directLane) encode(frames []byte, batch []*delivery.Outgoing) []byte {
	author := d.r.engine.author()
	for _, m := range batch {
		var err error
		frames, err = pb.Append(frames, pb.Wrap(author.Message(m, d.r.to)))
		if err != nil {
			panic("messaging: a message that can't be encoded: " + err.Error())
		}
	}
	return frames
}

// retire stops the use of a link; false says that no message is on its way on it.
func (d *directLane) retire(l *Link) bool {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	if d.link != l || d.r.box.Flying(delivery.Direct) == 0 {
		return false
	}
	l.retired.Store(true)
	d.r.notify()
	return true
}

// readReceipts reads the receipts of the streams in the order of their writing. When
// one is cut off, the rest of its round is void. After a failure that is the end of the
// link, or becomes it, all are.
func (d *directLane) readReceipts(l *Link, written <-chan writtenStream) {
	failed := false
	for w := range written {
		if failed || !d.counts(w) {
			w.stream.Cancel(transport.CodeAgain)
			continue
		}
		err := w.err
		if err == nil {
			err = d.readAnswers(l, w)
		}
		switch {
		case err == nil:
			d.wentWell()
		case cutOff(err):
			d.r.engine.log.Debug("a message stream was cut off by its receiver", "peer", string(l.peer), "why", err)
			w.stream.Cancel(transport.CodeAgain)
			d.beginAgain()
		default:
			failed = true
			if errors.Is(err, pb.ErrMalformed) {
				l.violation(d.r.engine.log, fmt.Errorf("receipts: %w", err))
			}
			w.stream.Cancel(transport.CodeProtocol)
		}
	}
}

func (d *directLane) readAnswers(l *Link, w writtenStream) error {
	for _, m := range w.batch {
		frame, err := w.stream.Read(pb.MaxControlFrame)
		if err == io.EOF {
			return errNoReceipt
		}
		if err != nil {
			return err
		}
		word := frame.GetReceipt()
		if word == nil || !bytes.Equal(word.GetId(), m.ID[:]) {
			return fmt.Errorf("%w: a frame of type %v instead of the receipt of a message", pb.ErrMalformed, frame.GetType())
		}
		l.touch(d.r.engine.now())
		if settles(word) {
			d.r.receipt(m.Position, receiptOf(word, false))
		} else {
			d.unsettled(m, word)
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

// mayWrite says that a stream with messages may be written to the link. After a stream was cut
// off they go one at a time. r.mu is held.
func (d *directLane) mayWrite() bool {
	now, box := d.r.engine.now(), &d.r.box
	if d.again.repeatAt != 0 && now >= d.again.repeatAt {
		d.again.repeatAt = 0
		box.Rewind(delivery.Direct)
	}
	return box.Fits(delivery.Direct, directLimits) &&
		(d.again.failures == 0 || now >= d.again.at && box.Flying(delivery.Direct) == 0)
}

// awaitChange waits until the state changes, or messages are due to go again. r.mu is held.
func (d *directLane) awaitChange() {
	now := d.r.engine.now()
	if next := d.again.next(now); next > now {
		d.r.waitUntil(now, next)
		return
	}
	d.r.changed.Wait()
}

// counts says that a stream is of this round.
func (d *directLane) counts(w writtenStream) bool {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	return w.round == d.again.round
}

// beginAgain ends a round: all messages without a receipt go again.
func (d *directLane) beginAgain() {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	a := &d.again
	a.at = d.r.engine.now() + min(againFirst<<min(a.failures, 16), againMost)
	a.round++
	if a.failures++; a.failures == 6 { // for three seconds
		d.r.tellAllWait(notTaken)
	}
	d.r.box.Rewind(delivery.Direct)
	d.r.notify()
}

// wentWell notes that a stream has all its receipts.
func (d *directLane) wentWell() {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	if d.again.failures > 0 {
		d.again.failures = 0
		d.r.notify()
	}
}

// unsettled takes a receipt with an unknown code: the message waits, and goes again at growing
// intervals. It holds up no other.
func (d *directLane) unsettled(m *delivery.Outgoing, word *pb.Receipt) {
	r := d.r
	r.engine.log.Debug("a receipt that is not known settles nothing", "peer", string(r.to), "code", word.GetCode().String(), "reason", word.GetReason())
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := &d.again; a.repeatAt == 0 {
		a.repeatAt = r.engine.now() + min(repeatFirst<<min(a.repeats, 16), againMost)
		a.repeats++
	}
	if _, waits := r.box.PositionOf(m.ID); waits {
		r.tellWaits(m, notTaken)
	}
	r.notify()
}
