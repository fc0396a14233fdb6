// Package pb is the wire of quicpeer: the messages of quicpeer.proto, which is
// their specification, frames around them, and [Check], the one gate that every
// received frame passes. Behind the gate code may assume well-formed messages.
package pb

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protodelim"
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

// ErrMalformed is what [Read] and [Check] say of a frame that breaks the
// protocol; the connection it came from must be closed.
var ErrMalformed = errors.New("malformed frame")

// Append adds m to b as one frame. It fails only for text that is not UTF-8.
func Append(b []byte, m *PeerMessage) ([]byte, error) {
	b = protowire.AppendVarint(b, uint64(proto.Size(m)))
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
}

// Read reads the next frame of at most limit bytes and checks it. It returns
// io.EOF at the end of the stream between two frames, io.ErrUnexpectedEOF inside
// one, an error that is [ErrMalformed] for a frame that breaks the protocol, and
// the stream's own error otherwise.
func Read(r *bufio.Reader, limit int) (*PeerMessage, error) {
	if _, err := r.Peek(1); err != nil {
		return nil, err
	}
	source := &erringReader{r: r}
	m := new(PeerMessage)
	// Fields that this version does not know are dropped: they would be kept in the
	// table and passed on, without anybody having checked their size.
	err := protodelim.UnmarshalOptions{
		MaxSize:          int64(limit),
		UnmarshalOptions: proto.UnmarshalOptions{DiscardUnknown: true},
	}.UnmarshalFrom(source, m)
	switch {
	case err == nil:
		return m, Check(m)
	case source.err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, io.ErrUnexpectedEOF
	case source.err != nil:
		return nil, source.err
	default:
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
}

// erringReader remembers the error of the reader below, so that Read can tell a
// broken stream from a broken frame.
type erringReader struct {
	r   *bufio.Reader
	err error
}

func (e *erringReader) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	if err != nil {
		e.err = err
	}
	return n, err
}

func (e *erringReader) ReadByte() (byte, error) {
	c, err := e.r.ReadByte()
	if err != nil {
		e.err = err
	}
	return c, err
}

// Wrap puts a content into the PeerMessage of its type. It panics on anything
// that is no content of a PeerMessage.
func Wrap(content proto.Message) *PeerMessage {
	switch c := content.(type) {
	case *Message:
		return &PeerMessage{Type: PeerMessageType_MESSAGE, Content: &PeerMessage_Message{c}}
	case *Receipt:
		return &PeerMessage{Type: PeerMessageType_RECEIPT, Content: &PeerMessage_Receipt{c}}
	case *HandshakeStart:
		return &PeerMessage{Type: PeerMessageType_HANDSHAKE, Content: &PeerMessage_HandshakeStart{c}}
	case *HandshakeResponse:
		return &PeerMessage{Type: PeerMessageType_HANDSHAKE, Content: &PeerMessage_HandshakeResponse{c}}
	case *PropagationMessage:
		return &PeerMessage{Type: PeerMessageType_ANNOUNCEMENT, Content: &PeerMessage_Propagation{c}}
	case *Neighbour:
		return &PeerMessage{Type: PeerMessageType_NEIGHBOUR, Content: &PeerMessage_Neighbour{c}}
	case *SyncRequest:
		return &PeerMessage{Type: PeerMessageType_SYNC, Content: &PeerMessage_SyncRequest{c}}
	case *SyncReply:
		return &PeerMessage{Type: PeerMessageType_SYNC, Content: &PeerMessage_SyncReply{c}}
	case *Broadcast:
		return &PeerMessage{Type: PeerMessageType_BROADCAST, Content: &PeerMessage_Broadcast{c}}
	case *SyncDigest:
		return &PeerMessage{Type: PeerMessageType_SYNC, Content: &PeerMessage_SyncDigest{c}}
	case *SyncBuckets:
		return &PeerMessage{Type: PeerMessageType_SYNC, Content: &PeerMessage_SyncBuckets{c}}
	case *SyncVersions:
		return &PeerMessage{Type: PeerMessageType_SYNC, Content: &PeerMessage_SyncVersions{c}}
	case *NeighbourList:
		return &PeerMessage{Type: PeerMessageType_ROUTES, Content: &PeerMessage_NeighbourList{c}}
	case *Routes:
		return &PeerMessage{Type: PeerMessageType_ROUTES, Content: &PeerMessage_Routes{c}}
	case *Routed:
		return &PeerMessage{Type: PeerMessageType_ROUTED, Content: &PeerMessage_Routed{c}}
	case *BroadcastsHeld:
		return &PeerMessage{Type: PeerMessageType_BROADCAST, Content: &PeerMessage_BroadcastsHeld{c}}
	case *BroadcastsWanted:
		return &PeerMessage{Type: PeerMessageType_BROADCAST, Content: &PeerMessage_BroadcastsWanted{c}}
	case *Deposit:
		return &PeerMessage{Type: PeerMessageType_CUSTODY, Content: &PeerMessage_Deposit{c}}
	case *DepositAnswer:
		return &PeerMessage{Type: PeerMessageType_CUSTODY, Content: &PeerMessage_DepositAnswer{c}}
	case *Observed:
		return &PeerMessage{Type: PeerMessageType_REACH, Content: &PeerMessage_Observed{c}}
	case *Call:
		return &PeerMessage{Type: PeerMessageType_REACH, Content: &PeerMessage_Call{c}}
	case *Refusal:
		return &PeerMessage{Type: PeerMessageType_REACH, Content: &PeerMessage_CallRefused{c}}
	case *Go:
		return &PeerMessage{Type: PeerMessageType_REACH, Content: &PeerMessage_Go{c}}
	default:
		panic(fmt.Sprintf("pb: %T is no content of a PeerMessage", content))
	}
}
