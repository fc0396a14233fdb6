package core

import (
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Effects is what the core wants done, in the order of the fields; within a
// field in the order of the slice.
type Effects struct {
	// Epoch, if not 0, is to be stored before anything else is done.
	Epoch uint64
	// Events are for the user.
	Events []Event
	// Custody is to be stored, in this order: what is kept for others from now on, or
	// no more.
	Custody []CustodyWrite
	// Up are links over which direct messages may flow from now on.
	Up []LinkUp
	// Frames are to be queued on their links.
	Frames []Frame
	// Closes are links to be closed once their frames are written. The driver
	// reports each by Disconnected.
	Closes []Close
	// Dials are to be answered by Connected or DialFailed.
	Dials []Dial
	// Cancels are dials that are not wanted any more; they need no answer.
	Cancels []DialID
	// Verify are signatures to be judged elsewhere, in their order, and answered by
	// Verified.
	Verify []Verify
	// Unreachable are peers of the table for whom messages wait and whom a dial
	// has just not reached.
	Unreachable []certs.ID
	// Envelopes are for us, to be opened.
	Envelopes []Envelope
	// Refused are those of ours that did not go all the way.
	Refused []Refused
	// Releave are peers that are still not here, for whom what is left with others will
	// soon be kept no more. What they have not confirmed is to be left anew, from the first.
	Releave []certs.ID
	// Joined is what became of the addresses that Join was called with.
	Joined []Joining
	// Withdrawn are peers for whom something was withdrawn (see Core.Withdraw). What else
	// there is for them is to be left anew, from the first.
	Withdrawn []certs.ID
	// Notes are for the log.
	Notes []Note
	// Err, if not nil, is the end of this peer: one of the error types of this package.
	Err error
}

// Frame is an encoded frame for a link. Its bytes are shared and never changed.
type Frame struct {
	Link LinkID
	Data []byte
	// Relayed says that it carries a broadcast that is passed on or sent again, which a
	// link that is very busy may go without: it comes by others, or is asked for.
	Relayed bool
	// Envelope says that it carries something sealed, or the word that such has been
	// collected. Both are sent again by who misses the answer, so they go behind all other
	// frames, and a link on which very much waits may go without.
	Envelope bool
}

// Verify is a wish to have signatures judged.
type Verify struct {
	ID     VerifyID
	Claims []Claim
}

// LinkUp is a link and the peer at its other end.
type LinkUp struct {
	Link  LinkID
	ID    certs.ID
	Key   certs.PublicKey
	Epoch uint64
}

// Dial is a wish for a connection to one peer.
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
	CloseIdle                         // it served nothing
	CloseTimeout                      // the handshake did not come
	CloseDead                         // it was silent, or its peer was restarted
)

// Close is a wish to close a link.
type Close struct {
	Link   LinkID
	Reason CloseReason
	Text   string
}

// Event is something for the user: one of the types below.
type Event interface{ isEvent() }

// Ready: the peer is in the network.
type Ready struct{}

// Joined: a peer is there that wasn't.
type Joined struct {
	ID  certs.ID
	Key certs.PublicKey
	Via certs.ID // who told us; empty when direct
}

// Left: a peer is there no more.
type Left struct {
	ID       certs.ID
	Farewell bool // it said goodbye; else it is lost
}

// Broadcasted: a message to everyone, for us.
type Broadcasted struct {
	Content *pb.BroadcastContent
	Direct  bool   // it came from its author
	Epoch   uint64 // of its author's run
	Nonce   uint64 // of the same
	Number  uint64 // among those of the run
}

// ShownBroadcasts names the broadcasts of one run of a peer.
type ShownBroadcasts struct {
	Author certs.PublicKey
	Epoch  uint64
	Nonce  uint64
}

func (Ready) isEvent()       {}
func (Joined) isEvent()      {}
func (Left) isEvent()        {}
func (Broadcasted) isEvent() {}

// Level says how much a note matters.
type Level int

// The levels of notes.
const (
	Debug Level = iota
	Info
	Warn
)

// Kind says what a note tells, where programs and not only people must know: who watches
// a network counts these, and no wording of the log matters to it.
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

// Drain returns what the core wants since the last call and forgets it. It is to
// be called after each input.
func (c *Core) Drain() Effects {
	c.settle()
	c.links.flushAnnouncements()
	out := c.out
	c.out = Effects{}
	return out
}

// Empty says that nothing is wanted.
func (e *Effects) Empty() bool {
	return e.Epoch == 0 && e.Err == nil && len(e.Events)+len(e.Up)+len(e.Frames)+len(e.Closes)+
		len(e.Dials)+len(e.Cancels)+len(e.Verify)+len(e.Unreachable)+len(e.Notes)+len(e.Custody)+len(e.Envelopes)+
		len(e.Refused)+len(e.Releave)+len(e.Withdrawn)+len(e.Joined) == 0
}
