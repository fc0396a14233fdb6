package files

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// State is where a transfer stands.
type State string

// The states of a transfer, or of one of its receivers.
const (
	StateOffered   State = "offered"   // the receiver has not said whether it wants it
	StateWaiting   State = "waiting"   // it was accepted, and goes on when the other side is here, or there is room
	StateActive    State = "active"    // bytes come or go
	StateDone      State = "done"      // all of it is at its place
	StateFailed    State = "failed"    // it will not come: Error says why
	StateCancelled State = "cancelled" // one of the two sides did not want it
)

// Over says that nothing more happens to it.
func (s State) Over() bool { return s == StateDone || s == StateFailed || s == StateCancelled }

// Transfer is how a transfer stands.
type Transfer struct {
	File    int               `json:"file"`    // its number at this peer, from 1, which no other one gets
	Message overlay.MessageID `json:"message"` // that has offered it
	Ours    bool              `json:"ours"`    // this peer offers it
	From    certs.ID          `json:"from"`
	Key     certs.PublicKey   `json:"key"` // the sender's; with Message it names the offer
	To      certs.ID          `json:"to"`  // our own ID, a room, Everyone; of our own offers also a peer
	Name    string            `json:"name"`
	Size    int64             `json:"size"`  // bytes
	Files   int               `json:"files"` // how many files and directories
	Names   []string          `json:"names"` // the paths of the first ones, at most 20; of a directory with a final slash
	Note    string            `json:"note,omitzero"`
	Since   time.Time         `json:"since"` // it was offered
	State   State             `json:"state"`
	Bytes   int64             `json:"bytes"`            // verified and on this disk; of our own offers, sent to the receiver that has most
	Rate    int64             `json:"rate"`             // bytes a second, lately; 0: none come
	Left    time.Duration     `json:"left_ms,omitzero"` // until the end, at that rate; 0: not known; in JSON lines, milliseconds
	How     overlay.Path      `json:"how,omitzero"`     // how bytes come or would come: direct, or relayed, which is slower
	Dir     string            `json:"dir,omitzero"`     // where it is received, absolute
	Paths   []string          `json:"paths,omitzero"`   // of our own offers: what is sent; else, once done, what is there, at most 256 KiB of it
	Error   string            `json:"error,omitzero"`   // why it failed, or waits
	// Receivers are those of an offer of ours that have asked for it; State, Bytes, Rate and Left above are those of
	// the one that has most.
	Receivers []Receiver `json:"receivers,omitzero"`
}

// Receiver is how a receiver of an offer of ours stands.
type Receiver struct {
	ID    certs.ID        `json:"id"`
	Key   certs.PublicKey `json:"key"`
	State State           `json:"state"`
	Bytes int64           `json:"bytes"` // sent to it, those of earlier runs too
	Rate  int64           `json:"rate"`
	Error string          `json:"error,omitzero"`
}

// The events of files. An event of a transfer has its number in File.
type (
	// Offered: a transfer is offered to this peer, From another; or by this peer, To another, a room or everyone. For an
	// offer of a peer it follows the Message of kind file.
	Offered struct {
		overlay.Beside
		File    int               `json:"file"`
		Message overlay.MessageID `json:"message"`
		From    certs.ID          `json:"from"`
		To      certs.ID          `json:"to"`
		Name    string            `json:"name"`
		Size    int64             `json:"size"`
		Files   int               `json:"files"`
		Names   []string          `json:"names"`
		Note    string            `json:"note,omitzero"`
		Path    overlay.Path      `json:"path"` // direct, or relayed, which is slower
		// Accepted: it comes without being asked for, see Rule. Dir is where to.
		Accepted bool      `json:"accepted,omitzero"`
		Dir      string    `json:"dir,omitzero"`
		Declined bool      `json:"declined,omitzero"` // this peer takes no files, see Rule
		Skipped  []Skipped `json:"skipped,omitzero"`  // of our own: what is not sent, and why
		Ref      string    `json:"ref"`
	}
	// Progress: bytes have come or gone. For each transfer and peer it comes at most once a second.
	Progress struct {
		overlay.Beside
		File  int           `json:"file"`
		Ours  bool          `json:"ours"` // this peer offers it: bytes go
		Peer  certs.ID      `json:"peer"` // the other side
		Name  string        `json:"name"`
		Bytes int64         `json:"bytes"` // so far, those of earlier runs too
		Of    int64         `json:"of"`    // bytes
		Rate  int64         `json:"rate"`  // bytes a second
		Left  time.Duration `json:"left_ms"`
		How   overlay.Path  `json:"how"`
		Ref   string        `json:"ref"`
	}
	// Waits: a transfer that was accepted can't go on now, for a Reason; it goes on by itself.
	Waits struct {
		overlay.Beside
		File   int      `json:"file"`
		Peer   certs.ID `json:"peer"`
		Name   string   `json:"name"`
		Reason string   `json:"reason"`
		Ref    string   `json:"ref"`
	}
	// Done: all of it is at its place, here or at that Peer.
	Done struct {
		overlay.Beside
		File  int      `json:"file"`
		Peer  certs.ID `json:"peer"`
		Name  string   `json:"name"`
		Bytes int64    `json:"bytes"`
		Path  string   `json:"path"`           // where it is, absolute: the first of Paths; empty for our own offers
		Paths []string `json:"paths,omitzero"` // all top-level names
		Ref   string   `json:"ref"`
	}
	// Ended: a transfer has failed or was cancelled, here or at that Peer; empty: as a whole.
	Ended struct {
		overlay.Beside
		File      int      `json:"file"`
		Peer      certs.ID `json:"peer"`
		Name      string   `json:"name"`
		Error     string   `json:"error"`
		Cancelled bool     `json:"cancelled,omitzero"` // one of the two did not want it
		Ref       string   `json:"ref"`
	}
)

// Skipped is something that is not sent, and why.
type Skipped struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}
