package transport

import (
	"bufio"
	"context"
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/pb"
)

// Stream is a message stream: frames, FIN; back come frames, FIN. One goroutine may write
// while another reads. Both directions must come to an end: read until io.EOF and CloseWrite,
// or Cancel. A stream that is left in any other state keeps its place as long as the link
// lives.
type Stream struct {
	stream   *quic.Stream
	reader   *bufio.Reader
	unknowns *unknowns     // of the link
	hole     *hole         // of the link
	slots    chan struct{} // of the link, for a stream that we have opened; else nil
	leave    sync.Once     // gives the slot back
}

// newStream wraps a stream. The other side reads streams in the order of their numbers; so
// they are also sent in this order, and not in turns as is QUIC's default.
func (l *Link) newStream(s *quic.Stream, slots chan struct{}) *Stream {
	s.SetPriority(3, false) // 3 is the default urgency (RFC 9218, 4.1)
	return &Stream{stream: s, reader: bufio.NewReader(s), unknowns: &l.unknowns, hole: &l.hole, slots: slots}
}

// OpenStream opens a message stream. The peer sees it once something is written on it. At most
// 8 of ours are open on a link; further calls wait here until one has been read to io.EOF or
// cancelled: messages that come while all are busy belong together on the next one.
func (l *Link) OpenStream(ctx context.Context) (*Stream, error) {
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.conn.Context().Done():
		return nil, l.Err()
	}
	s, err := l.conn.OpenStreamSync(ctx)
	if err != nil {
		<-l.slots
		return nil, explain(err)
	}
	return l.newStream(s, l.slots), nil
}

// TryOpenStream is OpenStream without waiting; nil means that it would have to.
func (l *Link) TryOpenStream() *Stream {
	select {
	case l.slots <- struct{}{}:
	default:
		return nil
	}
	s, err := l.conn.OpenStream()
	if err != nil {
		<-l.slots
		return nil
	}
	return l.newStream(s, l.slots)
}

// AcceptStream waits for the next stream that the peer has opened, in the order
// of their numbers. A stranger has none: see [Link.Admit].
func (l *Link) AcceptStream(ctx context.Context) (*Stream, error) {
	if l.guarded != nil {
		select {
		case <-l.guarded:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s := l.early
	if l.early = nil; s == nil {
		var err error
		if s, err = l.conn.AcceptStream(ctx); err != nil {
			return nil, explain(err)
		}
	}
	return l.newStream(s, nil), nil
}

// free gives the slot back.
func (s *Stream) free() {
	if s.slots != nil {
		s.leave.Do(func() { <-s.slots })
	}
}

// Write writes frames, encoded by [pb.Append]. It waits while the peer does not read.
func (s *Stream) Write(frames []byte) error {
	_, err := s.hole.write(s.stream, frames)
	return explain(err)
}

// Begins waits until something comes on the stream; false says that it ends without.
func (s *Stream) Begins() bool {
	_, err := s.reader.Peek(1)
	return err == nil
}

// CloseWrite ends our direction. It must not run beside a Write.
func (s *Stream) CloseWrite() error { return explain(s.stream.Close()) }

// Read reads the next frame of at most limit bytes; frames that this version does not know are
// skipped. io.EOF is the end of the peer's direction, between two frames. A frame that breaks
// the protocol is pb.ErrMalformed or io.ErrUnexpectedEOF; it is up to the caller to close the
// link for it.
func (s *Stream) Read(limit int) (*pb.PeerMessage, error) {
	m, err := s.unknowns.read(s.reader, limit)
	if err == io.EOF {
		s.free() // the peer has read all of it before it ended its direction
	}
	if err != nil {
		return nil, explain(err)
	}
	return m, nil
}

// Ready says that Read does not have to wait: the next frame has come as a whole.
func (s *Stream) Ready() bool { return pb.Buffered(s.reader) }

// Cancel gives up both directions; the peer's Read and Write fail with a
// *[ResetError]. It does nothing to a direction that has ended.
func (s *Stream) Cancel(code Code) {
	s.stream.CancelRead(quic.StreamErrorCode(code))
	s.stream.CancelWrite(quic.StreamErrorCode(code))
	s.free()
}

// SetDeadline makes Read and Write fail with os.ErrDeadlineExceeded from t on; the
// zero time is never.
func (s *Stream) SetDeadline(t time.Time) {
	_ = s.stream.SetDeadline(t) // never fails
}
