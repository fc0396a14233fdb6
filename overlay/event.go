package overlay

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging"
)

// Event is one event of a node: Ready, PeerJoined, PeerChanged, PeerLeft, KeyChanged, Message,
// Sent, Delivered, Buffered or Failed.
//
// The JSON names there, and in [Peer], [Waiting] and [Net], are those of the command's
// JSON lines (README.md), which package jsonl writes.
type Event = messaging.Event

// Beside makes the type that embeds it an Event, see package files. No node yields one.
type Beside = messaging.Beside

// The events of the network.
type (
	// Ready is the first event: the socket is bound, and with addresses to join the network's
	// table has been received. It has our ID and Key, and Listen, each HOST:PORT that others
	// can dial.
	Ready = messaging.Ready
	// PeerJoined: a peer, with ID and Key, is new in the table. Via is the neighbour it was
	// heard from; empty when direct. Of a Visitor people need hardly be told, see PeerChanged.
	PeerJoined = messaging.PeerJoined
	// PeerLeft: a peer, with its ID, has left the table, for a Reason; it may have been a Visitor to the end.
	PeerLeft = messaging.PeerLeft
	// KeyChanged: the peer of an ID that we have written with is here under another key: it was
	// installed anew, or is somebody else. Messages to the ID wait until Node.Trust. It comes once
	// for each key, behind the PeerJoined.
	KeyChanged = messaging.KeyChanged
	// Returned: without an address to join, or with none that has answered, this peer has found its
	// network again by the peer of that ID, at that Address, which it knows from an earlier run. It comes at
	// most once.
	Returned = messaging.Returned
	// Reason is why a peer has left the table.
	Reason = messaging.Reason
)

// The reasons of a PeerLeft.
const (
	ReasonLeft = messaging.ReasonLeft // it said goodbye
	ReasonLost = messaging.ReasonLost // it crashed or can't be reached

	ReasonRemoved = messaging.ReasonRemoved // it is out of this private network for good
)

// The events of private networks.
type (
	// Removed: a peer, with ID and Key, is out of this private network for good, By an admin. Ref is
	// that of our own Remove.
	Removed = messaging.Removed
	// Redeemed: somebody with ID and Key has used a ticket of ours, or tried to; Why says then why it
	// was refused.
	Redeemed = messaging.Redeemed
)

// The events of messages. An event of our own message has its ID in Message, its receiver in
// To, and in Ref the value that Send or Broadcast was given.
type (
	// Message is a message to this peer, shown once: its ID, From, the sender's Key, whether
	// that is a NewKey of the ID (see KeyChanged), To (our own ID, or Everyone), Body, SentAt by
	// the sender's clock, Path, and the Kind of message, with the one that it is About. Its sender gets the receipt when the loop over [Node.Events]
	// comes back for the next event.
	Message = messaging.Message
	// Sent: a Send or Broadcast of ours was accepted. It precedes every other event of its
	// message, and has what was sent: Body, SentAt, ReplyTo, Kind and About.
	Sent = messaging.Sent
	// Delivered: the receiver itself has acknowledged that it has the message, over a Path.
	// RTT is the time from Send to the receipt; 0 if the message had to wait for its receiver.
	Delivered = messaging.Delivered
	// Buffered: the message can't be delivered now, for a Reason, and waits.
	Buffered = messaging.Buffered
	// Failed: the message will not be delivered; Error says why.
	Failed = messaging.Failed
	// Path says how a message came.
	Path = messaging.Path
)

// The paths of a message.
const (
	PathDirect  = messaging.PathDirect  // over a connection between sender and receiver
	PathRelayed = messaging.PathRelayed // over other peers
)

// MessageID names a message for ever: 8 bytes that hash the sender's key and
// epoch (its run), then a counter.
type MessageID = messaging.MessageID

// ParseMessageID reads what MessageID.String gives.
func ParseMessageID(s string) (MessageID, error) { return messaging.ParseMessageID(s) }

// Everyone is the value of Message.To and Sent.To for a broadcast.
const Everyone = messaging.Everyone

// Our messages that have no receipt yet, as Node.Waiting and Node.Outgoing list them.
type (
	// Waiting sums up those to one peer, To: their Count, the Bytes of their bodies and refs,
	// and the time Since which the oldest has been under way, by its SentAt.
	Waiting = messaging.Waiting
	// Outgoing is one of them: Message, its ID, To, Ref, Body, Kind and SentAt.
	Outgoing = messaging.Outgoing
)

// IgnoredPeer is a peer whose messages are not shown: its Key, and the ID under which it is
// ignored.
type IgnoredPeer = messaging.IgnoredPeer

// PeerState is the state of a peer in the table.
type PeerState string

// The states of a peer.
const (
	StateAlive   PeerState = "alive"
	StateSuspect PeerState = "suspect" // some peer can't reach it; it has a moment to answer
)

// Peer is a row of the routing table.
type Peer struct {
	ID        certs.ID        `json:"id"`
	State     PeerState       `json:"state"`
	Direct    bool            `json:"direct"`    // there is a connection to it
	Via       certs.ID        `json:"via"`       // the neighbour nearest to it; empty when direct or unknown
	Addresses []string        `json:"addresses"` // IP:PORT
	RTT       time.Duration   `json:"rtt_ms"`    // of the connection; 0 where there is none
	Key       certs.PublicKey `json:"key"`
	// Rooms that it is in, and its Tags, see Node.SetTags.
	Rooms []string          `json:"rooms,omitzero"`
	Tags  map[string]string `json:"tags,omitzero"`
	// Visitor: it may be gone in a moment, see Config.Visitor.
	Visitor bool `json:"visitor,omitzero"`
}
