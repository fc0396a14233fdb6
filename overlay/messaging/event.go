package messaging

import (
	"encoding/hex"
	"fmt"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// MessageID names a message for ever: 8 bytes that hash the sender's key and
// epoch (its run), then a counter.
type MessageID [16]byte

// String is the ID in hexadecimal.
func (m MessageID) String() string { return hex.EncodeToString(m[:]) }

// ParseMessageID reads what String gives.
func ParseMessageID(s string) (id MessageID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("a message ID has %d hexadecimal digits", 2*len(id))
	}
	return MessageID(b), nil
}

// Everyone is the value of Message.To and Sent.To for a broadcast.
const Everyone certs.ID = "*"

// Path says how a message came.
type Path string

// The paths of a message.
const (
	PathDirect  Path = "direct"  // over a connection between sender and receiver
	PathRelayed Path = "relayed" // over other peers
)

// Event is one event of a node: one of the types below that have an isEvent method.
//
// The JSON names here and in [Waiting] are those of the command's JSON lines (README.md),
// which package jsonl writes.
type Event interface{ isEvent() }

// Beside makes the type that embeds it an Event: of what programs above a node report beside its own events, such
// as transfers of files. No node yields one.
type Beside struct{}

func (Beside) isEvent() {}

// Ready is the first event: the socket is bound, and with addresses to join the
// network's table has been received.
type Ready struct {
	ID     certs.ID        `json:"id"`
	Key    certs.PublicKey `json:"key"`
	Listen []string        `json:"listen"` // HOST:PORT that others can dial
	// Network is the name of the network; of a private one NAME#HASH, with a hash of its key.
	Network string `json:"network"`
}

// PeerJoined: a peer is new in the table.
type PeerJoined struct {
	ID  certs.ID        `json:"id"`
	Key certs.PublicKey `json:"key"`
	Via certs.ID        `json:"via"` // the neighbour it was heard from; empty when direct

	Visitor bool `json:"visitor,omitzero"` // it may be gone in a moment; PeerChanged tells if it stays
}

// PeerChanged: a peer of the table is in other rooms or has other tags than before, or a visitor stays.
// For a peer that has rooms or tags it comes right behind its PeerJoined.
type PeerChanged struct {
	ID    certs.ID          `json:"id"`
	Rooms []string          `json:"rooms"` // in order
	Tags  map[string]string `json:"tags"`

	Visitor bool `json:"visitor,omitzero"` // it is one still
}

// Reason is why a peer has left the table.
type Reason string

// The reasons of a PeerLeft.
const (
	ReasonLeft Reason = "left" // it said goodbye
	ReasonLost Reason = "lost" // it crashed or can't be reached

	ReasonRemoved Reason = "removed" // it is out of this private network for good
)

// PeerLeft: a peer has left the table.
type PeerLeft struct {
	ID     certs.ID `json:"id"`
	Reason Reason   `json:"reason"`

	Visitor bool `json:"visitor,omitzero"` // it was one until then
}

// Message is a message to this peer, shown once. Its sender gets the receipt when the loop
// over [Engine.Events] comes back for the next event.
type Message struct {
	ID   MessageID `json:"message"`
	From certs.ID  `json:"from"`
	// Key is the sender's. NewKey says that its ID is held to another one, see [KeyChanged].
	Key    certs.PublicKey `json:"key"`
	NewKey bool            `json:"new_key,omitzero"`
	To     certs.ID        `json:"to"` // our own ID, a room, or Everyone
	Body   string          `json:"body"`
	Binary bool            `json:"binary,omitzero"` // the body is data, any bytes
	SentAt time.Time       `json:"sent_at"`         // by the sender's clock
	Path   Path            `json:"path"`
	Before bool            `json:"before,omitzero"` // of the room's or the network's past, from before we came
	// Unproved says that only Key is certain, and the ID is what the author called itself: it is neither
	// here nor was it met. Only of messages from before.
	Unproved bool   `json:"unproved,omitzero"`
	Pos      uint64 `json:"pos,omitzero"` // in the history, as in the events below
	// ReplyTo is the message that it replies to, by the word of its sender; zero: none. A direct message replies
	// to one of ours.
	ReplyTo MessageID `json:"reply_to,omitzero"`
	// Kind is empty for an ordinary message. About is the message that an edit, deletion or reaction is about,
	// by the word of its sender: see [Said.CountsFor].
	Kind  Kind      `json:"kind,omitzero"`
	About MessageID `json:"about,omitzero"`
	// WantsReply says that its sender waits for a reply, see [Message.Reply].
	WantsReply bool `json:"wants_reply,omitzero"`

	signed *pb.Signed // of a broadcast, for those who come later
	asked  *Engine    // of a request: who sends the reply
}

// Sent: a Send or Broadcast of ours was accepted. It precedes every other event
// of its message.
type Sent struct {
	Message MessageID `json:"message"`
	To      certs.ID  `json:"to"`
	Ref     string    `json:"ref"`
	Pos     uint64    `json:"pos,omitzero"`
	// The message itself. JSON lines leave out the body, since their reader has given it.
	Body    string    `json:"-"`
	Binary  bool      `json:"-"`
	SentAt  time.Time `json:"-"`
	ReplyTo MessageID `json:"reply_to,omitzero"`
	Kind    Kind      `json:"kind,omitzero"`
	About   MessageID `json:"about,omitzero"`

	signed *pb.Signed // of a broadcast
}

// Delivered: the receiver itself has acknowledged that it has the message.
type Delivered struct {
	Message MessageID `json:"message"`
	To      certs.ID  `json:"to"`
	Ref     string    `json:"ref"`
	Path    Path      `json:"path"`
	// RTT is the time from Send to the receipt; 0 if the message had to wait for
	// its receiver.
	RTT time.Duration `json:"rtt_ms"`
	Pos uint64        `json:"pos,omitzero"`
}

// Buffered: the message can't be delivered now, and waits.
type Buffered struct {
	Message MessageID `json:"message"`
	To      certs.ID  `json:"to"`
	Ref     string    `json:"ref"`
	Reason  string    `json:"reason"`
	Pos     uint64    `json:"pos,omitzero"`
}

// Failed: the message will not be delivered.
type Failed struct {
	Message MessageID `json:"message"`
	To      certs.ID  `json:"to"`
	Ref     string    `json:"ref"`
	Error   string    `json:"error"`
	Pos     uint64    `json:"pos,omitzero"`
}

// Returned: this peer has found its network again after a restart, by a peer of an earlier run at that
// address.
type Returned struct {
	ID      certs.ID `json:"id"`
	Address string   `json:"address"` // IP:PORT
}

// Removed: a peer is out of this private network for good, whether or not it was here.
type Removed struct {
	ID  certs.ID        `json:"id"`
	Key certs.PublicKey `json:"key"`
	By  certs.ID        `json:"by"` // the admin; empty: whoever has the network's key
	Ref string          `json:"ref"`
}

// Redeemed: somebody has used a ticket of ours.
type Redeemed struct {
	ID  certs.ID        `json:"id"`
	Key certs.PublicKey `json:"key"`
	Why string          `json:"why"` // why it was refused; empty: it was not
}

// KeyChanged: the peer of an ID that we have written with is here under another key: it was
// installed anew, or is somebody else. Messages to the ID wait until [Directory.Trust]. It comes
// once for each key.
type KeyChanged struct {
	ID  certs.ID        `json:"id"`
	Was certs.PublicKey `json:"was"`
	Is  certs.PublicKey `json:"is"`
}

func (KeyChanged) isEvent()  {}
func (Ready) isEvent()       {}
func (Returned) isEvent()    {}
func (Removed) isEvent()     {}
func (Redeemed) isEvent()    {}
func (PeerJoined) isEvent()  {}
func (PeerChanged) isEvent() {}
func (PeerLeft) isEvent()    {}
func (Message) isEvent()     {}
func (Sent) isEvent()        {}
func (Delivered) isEvent()   {}
func (Buffered) isEvent()    {}
func (Failed) isEvent()      {}

// Waiting says how many messages to a peer have no receipt yet.
type Waiting struct {
	To    certs.ID  `json:"to"`
	Count int       `json:"count"`
	Bytes int       `json:"bytes"` // of their bodies and refs
	Since time.Time `json:"since"` // when the oldest of them was sent
}

// Outgoing is a message of ours that has no receipt yet.
type Outgoing struct {
	Message MessageID
	To      certs.ID
	Ref     string
	Body    string
	Binary  bool // the body is data, any bytes
	Kind    Kind
	SentAt  time.Time
}
