package base

import (
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Effects is what the core wants done, in the order of the fields; within a field in the order of
// the slice.
type Effects struct {
	// Epoch, if not 0, has to be stored before anything else is done; so has Pass, if not nil.
	Epoch uint64
	Pass  *pb.Pass
	// Events are for the user.
	Events []Event
	// Custody has to be stored, in this order: deposits kept for others from now on, or not any
	// more.
	Custody []CustodyWrite
	// Removals have to be stored, in this order.
	Removals []RemovalWrite
	// Redeem are tickets that were used, to be answered by Redeemed.
	Redeem []Redeem
	// Up are links over which direct messages may flow from now on.
	Up []LinkUp
	// Frames have to be queued on their links.
	Frames []Frame
	// Closes are links to be closed once their frames are written. The driver
	// reports each by Disconnected.
	Closes []Close
	// Dials are to be answered by Connected or DialFailed.
	Dials []Dial
	// Cancels are dials not wanted any more; they need no answer.
	Cancels []DialID
	// Verify are batches of signatures to be judged elsewhere, in their order, and answered by
	// Verified.
	Verify []Verify
	// Unreachable are peers of the table that a dial has just not reached and for which messages
	// wait.
	Unreachable []certs.ID
	// Envelopes are for us, to be opened.
	Envelopes []Envelope
	// Carried are packets of carried links for us that a search has brought.
	Carried []Carried
	// CarriedWanted names peers to which a link over others is wanted, though no message waits.
	CarriedWanted []certs.ID
	// Pongs are the outcomes of Pings.
	Pongs []Pong
	// Releave names peers that are still away, whose deposits with others will soon expire or of
	// whose deposits something was withdrawn (see Withdraw). The driver leaves what they have not
	// confirmed anew, from the first.
	Releave []certs.ID
	// Recalls are to be answered by Recalled.
	Recalls []Recall
	// Joined reports the outcome for addresses given to Join.
	Joined []Joining
	// Tried says what becomes of the addresses to join by while this peer is in no network: each is
	// being tried, without an ID and Why; let us in; or has failed, and may be tried again.
	Tried []Joining
	// Notes are for the log.
	Notes []Note
	// Err, if not nil, is the end of this peer: one of the error types of this package.
	Err error
}

// RemovalWrite stores a removal from our private network or, if Lifted, deletes it.
type RemovalWrite struct {
	ID     certs.ID
	Key    certs.PublicKey
	Proof  *pb.Announcement
	Lifted bool
}

// Redeem asks whether a ticket is good. Nothing of it is proved.
type Redeem struct {
	Number     uint64
	Redemption *pb.Signed
}

// Frame is an encoded frame for a link. Its bytes are shared and never changed.
type Frame struct {
	Link LinkID
	Data []byte
	// Relayed marks a broadcast that is passed on or sent again. A very busy link may skip it: it
	// comes by other links, or is asked for.
	Relayed bool
	// Envelope marks something sealed, or a Collected for it, which the sender repeats until they
	// are answered, or a part of the past, for which others are asked as well. They go behind all
	// other frames, and a link with a long queue may skip them.
	Envelope bool
}

// Pong is the outcome of a Ping.
type Pong struct {
	Number  uint64
	Why     string // it was in vain; empty: it was answered
	Took    time.Duration
	How     PingHow
	Link    LinkID   // on which it went, unless it went by the way of letters
	Address string   // of that, if it is not carried
	Via     certs.ID // by the way of letters: the neighbour nearest to the peer
}

// PingHow is the way that a ping took.
type PingHow string

// The ways of a ping.
const (
	PingDirect  PingHow = "direct"  // over a connection
	PingCarried PingHow = "carried" // over one that other peers carry
	PingLetters PingHow = "letters" // from peer to peer, as letters go while there is neither
)

// Carried is a packet of a carried link.
type Carried struct {
	From   uint64 // the tag of its sender
	Packet []byte
}

// Verify asks to have signatures judged.
type Verify struct {
	ID     VerifyID
	Claims []Claim
}

// LinkUp is a link and the peer at its other end.
type LinkUp struct {
	Link    LinkID
	ID      certs.ID
	Key     certs.PublicKey
	Epoch   uint64
	Carried bool // over others
}

// Dial asks for a connection to one peer.
type Dial struct {
	ID  DialID
	Key certs.PublicKey // who must answer; zero: anyone
	// Candidates race; the first to connect is used. Another Dial of the same ID, before
	// the answer to the first, adds to the race.
	Candidates []Candidate
	Timeout    time.Duration
}

// CloseReason says why a link is closed.
type CloseReason int

// The reasons to close a link.
const (
	CloseBye       CloseReason = iota // one of the two leaves
	CloseProtocol                     // the peer broke the protocol
	CloseRefused                      // the handshake was refused
	CloseDuplicate                    // another link to the peer is used
	CloseIdle                         // it was not used
	CloseTimeout                      // the handshake did not come
	CloseDead                         // it was silent, or its peer was restarted
)

// Close asks to close a link.
type Close struct {
	Link   LinkID
	Reason CloseReason
	Text   string
}

// Event is something for the user: one of the types below.
type Event interface{ isEvent() }

// Ready: the peer is in the network.
type Ready struct{}

// Joined: a peer has come.
type Joined struct {
	ID  certs.ID
	Key certs.PublicKey
	Via certs.ID // who told us; empty when direct

	Visitor bool
}

// Changed: a peer that is here is in other rooms or has other tags than the user was told, or a visitor
// stays; behind the Joined of one that has any.
type Changed struct {
	ID    certs.ID
	Rooms []string
	Tags  string

	Visitor bool
}

// Left: a peer has gone.
type Left struct {
	ID       certs.ID
	Farewell bool // it said goodbye; else it is lost
	Removed  bool // it is out of this private network
	Visitor  bool // it was one until then
}

// Returned: the first peer of an earlier run has been found, at that address.
type Returned struct {
	ID      certs.ID
	Address string
}

// Removed: a key is out of this private network for good, whether or not it was here.
type Removed struct {
	ID  certs.ID
	Key certs.PublicKey
	By  certs.ID // the admin; empty: the network's key
}

// Broadcasted: a message to everyone, or to a room, for us.
type Broadcasted struct {
	Content *pb.BroadcastContent
	Signed  *pb.Signed
	Hidden  bool   // we are not in its room, or it was shown as Recalled
	Direct  bool   // it came from its author
	Epoch   uint64 // of its author's run
	Nonce   uint64 // of the same
	Number  uint64 // among those of the run
}

// Recalled: what was said in a room, or to everyone, before we came, in order.
type Recalled struct {
	Room string
	List []Bygone
}

// ShownBroadcasts names the broadcasts of one run of a peer.
type ShownBroadcasts struct {
	Author certs.PublicKey
	Epoch  uint64
	Nonce  uint64
}

func (Ready) isEvent() {}

func (Joined) isEvent() {}

func (Changed) isEvent() {}

func (Left) isEvent() {}

func (Returned) isEvent() {}

func (Removed) isEvent() {}

func (Broadcasted) isEvent() {}

func (Recalled) isEvent() {}

// Level says how much a note matters.
type Level int

// The levels of notes.
const (
	Debug Level = iota
	Info
	Warn
)

// Kind says what a note means where a program has to know: whoever watches a network counts
// these, whatever the wording of the log.
type Kind int

// The kinds of notes.
const (
	Remark     Kind = iota // for people only
	Violation              // the peer at the other end of a link has broken the protocol
	Accusation             // this peer has called another one lost
	Refutation             // this peer has answered that it was called lost
)

// Note is a line for the log.
type Note struct {
	Level Level
	Kind  Kind
	Text  string
	Args  []any // pairs, as for slog
}

// Empty reports whether nothing is wanted.
func (e *Effects) Empty() bool {
	return e.Epoch == 0 && e.Pass == nil && e.Err == nil && len(e.Removals)+len(e.Redeem)+len(e.Events)+len(e.Up)+len(e.Frames)+len(e.Closes)+
		len(e.Dials)+len(e.Cancels)+len(e.Verify)+len(e.Unreachable)+len(e.Notes)+len(e.Custody)+len(e.Envelopes)+
		len(e.Carried)+len(e.CarriedWanted)+len(e.Pongs)+len(e.Releave)+len(e.Recalls)+len(e.Joined)+len(e.Tried) == 0
}

// Slowness is how much more silence is allowed on a link whose round trips are long or vary.
// QUIC's keepalive comes after one and a half of its probe timeouts (a round trip and four mean
// deviations each, RFC 9002, 6.2.1), if that is more than the 500 ms asked for, and takes another
// round trip and a half to be answered.
func Slowness(roundTrip, jitter time.Duration) time.Duration {
	return max(0, 3*roundTrip+6*jitter-500*time.Millisecond)
}
