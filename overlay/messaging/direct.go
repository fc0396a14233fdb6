package messaging

import (
	"bytes"
	"cmp"
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
	maxBatch       = 128 // messages written at once
	maxBatchBytes  = 64 << 10
	maxFlightBytes = 256 << 10
	maxLoneBytes   = 1000 // of a message that Send writes itself: less than a packet, so that QUIC takes it at once
	// maxStreamBytes is how much goes on one stream, unless it is one batch: less than the
	// window of a stream (160 KiB), so that no stream waits for its window to be renewed.
	maxStreamBytes = 128 << 10
	// linger is how long a stream stays open after its last message. A stream of its own costs
	// a message two of four packets: that QUIC allows another stream, and an acknowledgement.
	linger = 20 * time.Millisecond
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
	left    bool   // another link is used instead
	frames  []byte // a buffer
	round   int    // of what is written, see again

	written chan *messageStream // those whose receipts are to be read
	reading *messageStream      // the stream whose receipts are read
	open    *messageStream      // it takes more messages; nil: none does
	wrote   time.Duration       // when a message was last written
	idle    *time.Timer         // looks for an open stream that has lingered
}

// messageStream is a stream of messages, on which their receipts come back.
type messageStream struct {
	*transport.Stream
	round int
	size  int               // bytes written on it
	first delivery.Position // of its messages

	// The receiver's lock guards these.
	owed  []*delivery.Outgoing // messages without receipts
	ended bool                 // no message follows
	err   error                // why it was given up: its receiver has cut it off, or messages have moved
}

// works says that the lane has a link over which the receiver is heard, and hears us.
func (d *directLane) works() bool { return d.link != nil && d.link.Works() }

// attach gives the lane a link. The caller is to run send on it, and holds r.mu.
func (d *directLane) attach(l *Link) {
	*d = directLane{r: d.r, link: l, written: make(chan *messageStream, MaxStreams), frames: d.frames, idle: time.AfterFunc(time.Hour, d.r.wakeAll)}
	d.idle.Stop()
}

// detach takes the link away; what was in flight on it waits again.
func (d *directLane) detach() {
	r := d.r
	r.mu.Lock()
	defer r.mu.Unlock()
	d.idle.Stop()
	d.link, d.open = nil, nil
	r.box.Rewind(delivery.Direct)
	r.notify()
	if !r.present {
		r.tellAllWait(r.away)
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

// send writes the messages to the link until it ends: all that wait go together on the open
// stream, or on a new one. Send writes a lone message itself.
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
		frames := d.encode(batch)
		s, err := d.streamFor(l, len(frames))
		if err != nil {
			l.Abort(transport.CodeInternal, "a message stream failed: "+err.Error())
			break
		}
		if !d.write(l, s, batch, frames) {
			break
		}
	}
	left := d.end()
	if !left && !l.retired.Load() {
		l.Shut(transport.CodeDuplicateLink, "another peer has the ID") // does nothing to a link that has ended
	}
	reader.Wait()
	if !left {
		l.Shut(transport.CodeDuplicateLink, "another connection is used")
	}
	d.detach()
	r.engine.directory.forget(r)
	r.engine.cfg.Wish(LinkWish{r.to})
}

// end has no further stream opened on the link; left says that messages have moved to another one, and
// the link lives on.
func (d *directLane) end() (left bool) {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	d.ended = true
	close(d.written)
	return d.left
}

// moveTo ends the use of a link that does not work, if another does. Messages under way on it go
// again on the other; the link itself lives on, since its peer may be heard again.
func (d *directLane) moveTo(better *Link) {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	if d.link == nil || d.link.Works() || !better.Works() || d.left {
		return
	}
	d.left = true
	d.again.round++ // which voids its streams
	d.open = nil
	if d.reading != nil {
		d.reading.giveUp(errLeft)
	}
	d.r.notify()
}

// errLeft: the messages have moved to another link.
var errLeft = errors.New("another link is used")

// nextBatch waits for messages and for the right to write, and sends a batch of them
// on its way; nil is the end of the link, or of its use: its peer has lost the ID
// to another. Meanwhile it ends a stream that has lingered.
func (d *directLane) nextBatch(l *Link) []*delivery.Outgoing {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	for {
		switch now := d.r.engine.now(); {
		case d.writing:
		case d.unfit(l):
			d.ended = true
			d.endStream()
			return nil
		case d.mayWrite(now):
			return d.takeBatch()
		case d.open != nil && now >= d.wrote+linger:
			d.endStream()
		}
		d.awaitChange()
	}
}

// takeBatch takes the next batch and the right to write. r.mu is held.
func (d *directLane) takeBatch() []*delivery.Outgoing {
	batch, _ := d.r.box.Take(delivery.Direct, directLimits)
	d.writing, d.round = true, d.again.round
	d.again.begin(batch[0].Position)
	return batch
}

func (d *directLane) unfit(l *Link) bool {
	return !l.usable() || d.left || l.key != d.r.key
}

// takeLone takes the only waiting message and the right to write, if the message is small,
// none is on its way before it, no other goroutine writes, and the link takes it at once. r.mu
// is held.
func (d *directLane) takeLone() lone {
	box := &d.r.box
	if !d.works() || d.writing || d.ended || d.again.failures > 0 || box.Len() != 1 || box.Flying(delivery.Direct) > 0 ||
		len(box.Oldest().Body) > maxLoneBytes || d.unfit(d.link) {
		return lone{}
	}
	s := d.open
	if s == nil {
		stream := d.link.TryOpenStream()
		if stream == nil {
			return lone{}
		}
		s = d.opened(stream, d.again.round)
	} else if !s.roomFor(2 * maxLoneBytes) {
		return lone{}
	}
	return lone{d.link, s, d.takeBatch()}
}

// writeLone writes what takeLone has taken. A failure ends the link, and send with it.
func (d *directLane) writeLone(m lone) { d.write(m.link, m.stream, m.batch, d.encode(m.batch)) }

// roomFor says that a stream has room for so many bytes more.
func (s *messageStream) roomFor(size int) bool { return s.size+size <= maxStreamBytes }

// streamFor is the stream for so many bytes: the open one if they fit, else a new one. The
// caller has the right to write.
func (d *directLane) streamFor(l *Link, size int) (*messageStream, error) {
	d.r.mu.Lock()
	s := d.open
	if s != nil && !s.roomFor(size) {
		d.endStream()
		s = nil
	}
	anew := d.again.anew
	d.r.mu.Unlock()
	if s != nil {
		return s, nil
	}
	stream, err := l.OpenStream(l.ctx)
	if err == nil && anew {
		stream.Cancel(transport.CodeAgain)
		stream, err = l.OpenStream(l.ctx)
	}
	if err != nil {
		return nil, err
	}
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	return d.opened(stream, d.round), nil
}

// opened notes a new stream for messages of a round. r.mu is held.
func (d *directLane) opened(stream *transport.Stream, round int) *messageStream {
	s := &messageStream{Stream: stream, round: round}
	if round == d.again.round {
		d.open = s
		d.wrote = d.r.engine.now()
		d.idle.Reset(linger)
	}
	d.written <- s // has room: each of these has a slot of the link
	return s
}

// endStream ends the open stream, if there is one. Nobody may be writing. r.mu is held.
func (d *directLane) endStream() {
	if s := d.open; s != nil {
		d.open = nil
		s.ended = true
		if s.CloseWrite() != nil {
			s.giveUp(errStopped)
		}
	}
}

// giveUp notes why a stream is not used any more, for the goroutine that reads its receipts, and
// wakes it. The first reason counts. The receiver's lock is held.
func (s *messageStream) giveUp(why error) {
	s.ended, s.err = true, cmp.Or(s.err, why)
	s.SetDeadline(time.Unix(0, 1)) // long ago
}

// write writes a batch on a stream, gives the right to write back, and says whether that went
// well; if not, it ends the link.
func (d *directLane) write(l *Link, s *messageStream, batch []*delivery.Outgoing, frames []byte) bool {
	d.r.mu.Lock()
	if s.size == 0 {
		s.first = batch[0].Position
	}
	s.owed = append(s.owed, batch...)
	d.r.mu.Unlock()
	s.size += len(frames)
	d.r.engine.Precedence.begin()
	err := s.Write(frames)
	now := d.r.engine.now()
	l.touch(now)
	return d.wroteTo(l, s, err, now)
}

// wroteTo notes that a batch was written, or why not, and gives the right to write back.
func (d *directLane) wroteTo(l *Link, s *messageStream, err error, now time.Duration) bool {
	r := d.r
	r.mu.Lock()
	defer r.mu.Unlock()
	d.writing, d.wrote = false, now
	void := s.round != d.again.round
	switch {
	case err != nil && !void && !cutOff(err):
		l.Abort(transport.CodeInternal, "a message stream failed: "+err.Error())
	case err != nil:
		s.giveUp(err)
		if d.open == s {
			d.open = nil
		}
		err = nil
	case d.open == s && (d.again.failures > 0 || !s.roomFor(1)):
		d.endStream()
	}
	if r.box.Next(delivery.Direct) != nil || d.unfit(l) {
		r.notify()
	}
	return err == nil
}

// encode turns a batch into frames. The bodies were checked by Send, so that it
// can't fail.
func (d *directLane) encode(batch []*delivery.Outgoing) []byte {
	author, frames := d.r.engine.author(), d.frames[:0]
	message := new(pb.Message)
	frame := pb.Wrap(message)
	for _, m := range batch {
		author.Fill(message, m, d.r.to)
		var err error
		frames, err = pb.Append(frames, frame)
		if err != nil {
			panic("messaging: a message that can't be encoded: " + err.Error())
		}
	}
	d.frames = frames
	return frames
}

// retire stops the use of a link; false says that no message is on its way on it.
func (d *directLane) retire(l *Link) bool {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	if d.link != l {
		return false
	}
	l.retired.Store(true) // else the next message would go on a link that is being closed
	d.r.notify()
	return d.r.box.Flying(delivery.Direct) > 0
}

// readReceipts reads the receipts of the streams in the order of their writing. When
// one is cut off, the rest of its round is void. After a failure that is the end of the
// link, or becomes it, all are.
func (d *directLane) readReceipts(l *Link, written <-chan *messageStream) {
	failed := false
	for s := range written {
		if failed || !d.counts(s) {
			s.Cancel(transport.CodeAgain)
			continue
		}
		switch err := d.readAnswers(l, s); {
		case err == nil:
			d.wentWell()
		case err == errLeft:
			s.Cancel(transport.CodeAgain)
		case cutOff(err):
			d.r.engine.log.Debug("a message stream was cut off by its receiver", "peer", string(l.peer), "why", err)
			s.Cancel(transport.CodeAgain)
			d.beginAgain(s)
		default:
			failed = true
			if errors.Is(err, pb.ErrMalformed) {
				l.violation(d.r.engine.log, fmt.Errorf("receipts: %w", err))
			}
			s.Cancel(transport.CodeProtocol)
			l.Abort(transport.CodeInternal, "receipts failed: "+err.Error()) // does nothing to a link that has ended
		}
	}
}

// readAnswers reads receipts until the end of the stream, which gives it back to QUIC.
func (d *directLane) readAnswers(l *Link, s *messageStream) error {
	var frames []*pb.PeerMessage // those that have come together
	for {
		frame, err := s.Read(pb.MaxControlFrame)
		if err != nil {
			return d.endOf(s, err)
		}
		frames = append(frames[:0], frame)
		for s.Ready() {
			if frame, err = s.Read(pb.MaxControlFrame); err != nil {
				break
			}
			frames = append(frames, frame)
		}
		now := d.r.engine.now()
		l.touch(now)
		if err := d.answered(s, frames, now); err != nil {
			return err
		}
		if err != nil {
			return d.endOf(s, err)
		}
	}
}

// answered takes the receipts of the messages that were written first. An error is a frame
// that is none.
func (d *directLane) answered(s *messageStream, frames []*pb.PeerMessage, now time.Duration) (err error) {
	r := d.r
	r.mu.Lock()
	ends := make([]item, 0, len(frames))
	for _, frame := range frames {
		word := frame.GetReceipt()
		switch {
		case len(s.owed) == 0:
			err = fmt.Errorf("%w: a frame of type %v behind the last receipt", pb.ErrMalformed, frame.GetType())
		case word == nil || !bytes.Equal(word.GetId(), s.owed[0].ID[:]):
			err = fmt.Errorf("%w: a frame of type %v instead of the receipt of a message", pb.ErrMalformed, frame.GetType())
		}
		if err != nil {
			break
		}
		m := s.owed[0]
		s.owed[0] = nil // the slice goes on to hold its beginning
		s.owed = s.owed[1:]
		switch {
		case d.link.key != r.key: // the messages are for another peer now, and go again
		case settles(word):
			ends = r.settle(ends, m.Position, receiptOf(word, d.link.carried), now)
		default:
			d.unsettled(m, word, now)
		}
	}
	if r.box.Flying(delivery.Direct) == 0 {
		r.engine.Precedence.end()
	}
	r.settled(ends) // unlocks
	return err
}

// endOf says what the end of the answers on a stream means: nil if they were complete.
func (d *directLane) endOf(s *messageStream, err error) error {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	switch {
	case s.err != nil:
		return s.err
	case err == io.EOF && (len(s.owed) > 0 || !s.ended):
		return errNoReceipt
	case err == io.EOF:
		return nil
	}
	return err
}

// mayWrite says that a stream with messages may be written to the link. After a stream was cut
// off they go one at a time. r.mu is held.
func (d *directLane) mayWrite(now time.Duration) bool {
	box := &d.r.box
	if d.again.repeatAt != 0 && now >= d.again.repeatAt {
		d.again.repeatAt = 0
		box.Rewind(delivery.Direct)
	}
	return box.Fits(delivery.Direct, directLimits) &&
		(d.again.failures == 0 || now >= d.again.at && box.Flying(delivery.Direct) == 0)
}

// awaitChange waits until the state changes, or something is due: messages that go again, or
// the end of a stream that has lingered. r.mu is held.
func (d *directLane) awaitChange() {
	now := d.r.engine.now()
	if d.open != nil && !d.writing {
		d.idle.Reset(max(d.wrote+linger-now, 0))
	}
	if next := d.again.next(now); next > now {
		d.r.waitUntil(now, next)
		return
	}
	d.r.changed.Wait()
}

// counts says that a stream is of this round, so that its receipts are to be read.
func (d *directLane) counts(s *messageStream) bool {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	d.reading = s
	return s.round == d.again.round
}

// beginAgain ends a round in which a stream was cut off: all messages without a receipt go again.
func (d *directLane) beginAgain(cut *messageStream) {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	a := &d.again
	if a.failures == 0 {
		a.began = cut.first
	}
	a.at = d.r.engine.now() + min(againFirst<<min(a.failures, 16), againMost)
	a.round++
	d.open = nil                       // it is cancelled like all of its round
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
// intervals. It holds up no other. r.mu is held.
func (d *directLane) unsettled(m *delivery.Outgoing, word *pb.Receipt, now time.Duration) {
	r := d.r
	r.engine.log.Debug("a receipt that is not known settles nothing", "peer", string(r.to), "code", word.GetCode().String(), "reason", word.GetReason())
	if a := &d.again; a.repeatAt == 0 {
		a.repeatAt = now + min(repeatFirst<<min(a.repeats, 16), againMost)
		a.repeats++
	}
	if _, waits := r.box.PositionOf(m.ID); waits {
		r.tellWaits(m, notTaken)
	}
	r.notify()
}
