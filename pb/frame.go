// Package pb is the wire of quicpeer: the messages of quicpeer.proto, which is
// their specification, frames around them, and [Check], the one gate that every
// received frame passes. Behind the gate code may assume well-formed messages.
package pb

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Limits of one frame in bytes, its length prefix not counted.
const (
	// MaxControlFrame holds a broadcast of 64 KiB or 64 announcements with room
	// to spare; a guess above that.
	MaxControlFrame = 128 << 10
	// MaxMessageFrame holds a message of [MaxBody].
	MaxMessageFrame = MaxBody + 4<<10
)

// ErrMalformed is the error of [Read] and [Check] for a frame that breaks the protocol; the
// connection it came from must be closed.
var ErrMalformed = errors.New("malformed frame")

// Append adds m to b as one frame. It fails only for text that is not UTF-8.
func Append(b []byte, m *PeerMessage) ([]byte, error) {
	b = protowire.AppendVarint(b, uint64(proto.Size(m)))
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
}

// UnknownError is the error of [Read] and [Check] for a frame whose type or content this
// version does not know. Such a frame is to be skipped.
type UnknownError struct {
	Type  PeerMessageType
	Bytes int // of the frame; 0 from Check
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("a frame of type %v whose content is not known", e.Type)
}

// Read reads the next frame of at most limit bytes and checks it. It returns
// io.EOF at the end of the stream between two frames, io.ErrUnexpectedEOF inside
// one, an error that is [ErrMalformed] for a frame that breaks the protocol,
// *[UnknownError] for one that is to be skipped, and the stream's own error otherwise.
func Read(r *bufio.Reader, limit int) (*PeerMessage, error) {
	size, err := readSize(r)
	if err != nil {
		return nil, err
	}
	if size > uint64(limit) {
		return nil, fmt.Errorf("%w: its %d bytes exceed the limit of %d", ErrMalformed, size, limit)
	}
	b, err := readBytes(r, int(size))
	if err != nil {
		return nil, err
	}
	// Fields that this version does not know are dropped: otherwise they would be kept in the
	// table and passed on, although no check has bounded their size. A routed frame keeps
	// them, since most peers only carry it; see OpenRouted.
	m := new(PeerMessage)
	err = proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, m)
	if err == nil && m.GetRouted() != nil {
		m = new(PeerMessage)
		err = proto.Unmarshal(b, m)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	err = Check(m)
	if unknown, ok := err.(*UnknownError); ok {
		unknown.Bytes = len(b)
	}
	return m, err
}

// Buffered says that Read does not have to wait: the next frame is in the buffer as a whole.
func Buffered(r *bufio.Reader) bool {
	b, _ := r.Peek(r.Buffered()) // never fails
	size, n := protowire.ConsumeVarint(b)
	return n > 0 && size <= uint64(len(b)-n)
}

// readBytes reads so many bytes. They are valid until the next read: small frames stay in the
// buffer, since protobuf copies what it takes out of them.
func readBytes(r *bufio.Reader, size int) (b []byte, err error) {
	if size <= r.Size() {
		if b, err = r.Peek(size); err == nil {
			_, err = r.Discard(size)
		}
	} else {
		b = make([]byte, size)
		_, err = io.ReadFull(r, b)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// readSize reads the length before a frame, a varint of at most 10 bytes as protobuf
// has them.
func readSize(r *bufio.Reader) (size uint64, err error) {
	for i := range binary.MaxVarintLen64 {
		c, err := r.ReadByte()
		if err == io.EOF && i > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		size |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return size, nil
		}
	}
	return 0, fmt.Errorf("%w: a length without end", ErrMalformed)
}

// Wrap puts a content into the PeerMessage of its type. It panics if content can't be the
// content of a PeerMessage.
func Wrap(content proto.Message) *PeerMessage {
	m := new(PeerMessage)
	switch c := content.(type) {
	case *Message:
		m.Content = &PeerMessage_Message{c}
	case *Receipt:
		m.Content = &PeerMessage_Receipt{c}
	case *HandshakeStart:
		m.Content = &PeerMessage_HandshakeStart{c}
	case *HandshakeResponse:
		m.Content = &PeerMessage_HandshakeResponse{c}
	case *PropagationMessage:
		m.Content = &PeerMessage_Propagation{c}
	case *Neighbour:
		m.Content = &PeerMessage_Neighbour{c}
	case *Reconcile:
		m.Content = &PeerMessage_Reconcile{c}
	case *Broadcast:
		m.Content = &PeerMessage_Broadcast{c}
	case *NeighbourList:
		m.Content = &PeerMessage_NeighbourList{c}
	case *Routes:
		m.Content = &PeerMessage_Routes{c}
	case *Routed:
		m.Content = &PeerMessage_Routed{c}
	case *BroadcastsHeld:
		m.Content = &PeerMessage_BroadcastsHeld{c}
	case *BroadcastsWanted:
		m.Content = &PeerMessage_BroadcastsWanted{c}
	case *Deposit:
		m.Content = &PeerMessage_Deposit{c}
	case *DepositAnswer:
		m.Content = &PeerMessage_DepositAnswer{c}
	case *Observed:
		m.Content = &PeerMessage_Observed{c}
	case *Sync:
		m.Content = &PeerMessage_Sync{c}
	case *LinkPing:
		m.Content = &PeerMessage_LinkPing{c}
	case *LinkPong:
		m.Content = &PeerMessage_LinkPong{c}
	case *PastWanted:
		m.Content = &PeerMessage_PastWanted{c}
	case *PastGiven:
		m.Content = &PeerMessage_PastGiven{c}
	default:
		panic(fmt.Sprintf("pb: %T is not a content of a PeerMessage", content))
	}
	m.Type = typeOf(m.Content)
	return m
}
