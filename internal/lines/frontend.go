package lines

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
	"quicpeer/pb"
)

// Peer is the part of an [overlay.Node] that lines use.
type Peer interface {
	Post(ctx context.Context, to certs.ID, d overlay.Draft) (overlay.MessageID, error)
	Join(ctx context.Context, address string) (certs.ID, error)
	Ping(ctx context.Context, id certs.ID) (overlay.Ping, error)
	JoinRoom(certs.ID) error
	PartRoom(certs.ID) error
	Rooms() []overlay.Room
	Cancel(overlay.MessageID) error
	Ignore(certs.ID) error
	Unignore(certs.ID) error
	Ignored() []overlay.IgnoredPeer
	Peers() []overlay.Peer
	Waiting() []overlay.Waiting
	Outgoing() []overlay.Outgoing
	Net() overlay.Net
	Invite(ctx context.Context, id certs.ID, admin bool) (overlay.Invitation, error)
	Uninvite(ctx context.Context, id certs.ID) error
	Remove(ctx context.Context, id certs.ID, all bool, ref string) error
	Whois(certs.ID) (overlay.Whois, error)
	Trust(certs.ID) error
	Verify(certs.ID, certs.PublicKey) error
	Forget(certs.ID) error
	Tags() map[string]string // this peer's own
	SetTags(map[string]string) error
}

// Node is a running peer: what lines are about.
type Node interface {
	Peer
	// Status sums it up.
	Status() Status
	// Past returns messages of the history, in their order: the last ones that a query selects, at
	// most MaxPast of them and a few megabytes. A Last of 0 means 100. It ends with ctx.
	Past(context.Context, overlay.Query) ([]overlay.Said, error)
	// Files are those that it offers and receives.
	Files() Files
}

// Frontend is how the peer talks to its user: chat or JSON lines. A method that writes
// has written everything when it returns, in whole lines, and its error is an
// [OutputError]. The methods may be called concurrently.
type Frontend interface {
	// Show writes an event.
	Show(overlay.Event) error
	// Execute carries out a line and reports whether it says to leave. A message to
	// send, a peer to join or to ping, an act of an admin or files to offer or to name are only returned, for the
	// caller to do; m.To, m.Join, m.Ping, m.Act.Verb, m.Offer.To and m.Names are empty if there are none. m is valid
	// until the next line is read. The error
	// is an OutputError or a [Bad]; after a Bad nothing has changed, and the caller
	// reports it with Refuse. Reading the history ends with ctx.
	Execute(ctx context.Context, n Node, line []byte) (m Message, leave bool, err error)
	// Joined reports which peer has answered at the address given by a line.
	Joined(m Message, id certs.ID) error
	// Pinged reports a round trip.
	Pinged(m Message, p overlay.Ping) error
	// Acted reports what an act has led to: a ticket, if it was an invitation.
	Acted(m Message, invitation overlay.Invitation) error
	// Named reports all names of a transfer.
	Named(m Message, t files.Transfer) error
	// Refuse says why a line or its message was not accepted.
	Refuse(m Message, problem error) error
	// Left writes the last line.
	Left(undelivered int) error
}

// Message is a message to send, an address to join, a peer to ping, an act or files, as a line asks for.
type Message struct {
	To    certs.ID // overlay.Everyone: a broadcast; #name: a room; empty: not a message
	Join  string   // HOST:PORT; empty: not a join
	Ping  certs.ID // the peer to ping; empty: none
	Act   Act
	Offer Offer
	Names int // the file whose names are wanted; 0: none
	Body  string
	Ref   string
	Line  []byte // the line or its beginning, to be quoted in an error

	Binary     bool // the body is data
	ReplyTo    overlay.MessageID
	WantsReply bool
	Kind       overlay.Kind
	About      overlay.MessageID

	number int // of the line
}

func (m Message) size() int { return len(m.Body) + len(m.Ref) + len(m.Line) }

// send waits until the message is accepted or refused, or ctx ends.
func (m Message) send(ctx context.Context, n Node) (err error) {
	_, err = n.Post(ctx, m.To, overlay.Draft{
		Body: m.Body, Binary: m.Binary, ReplyTo: m.ReplyTo, WantsReply: m.WantsReply, Kind: m.Kind, About: m.About, Ref: m.Ref,
	})
	return err
}

// IsWide says that a message is for more than one peer.
func (m Message) IsWide() bool { return m.To == overlay.Everyone || overlay.IsRoom(m.To) }

// MaxPast is how many messages of the history an answer has at most; the rest is asked for with
// Before.
const MaxPast = 10000

// Bad is the error of a line that can't be executed, worded for the user.
type Bad string

func (e Bad) Error() string { return string(e) }

// denied is a Bad whose cause is known.
type denied struct {
	Bad
	cause error
}

func (e *denied) Unwrap() []error { return []error{e.Bad, e.cause} }

// Deny is the [Bad] of a line that can be understood, and not executed because of an error.
func Deny(err error) error { return &denied{Bad(Problem(err, false)), err} }

// CheckJoin refuses a ticket in the place of an address to join.
func CheckJoin(address string) error {
	if certs.IsTicket(address) {
		return Bad("a ticket is given at the start: quicpeer --join TICKET, or --join - to be asked for it; here it is the HOST:PORT of a peer")
	}
	return nil
}

// CheckReceiver refuses what is neither an ID, a room nor everyone.
func CheckReceiver(to certs.ID) error {
	if to == overlay.Everyone {
		return nil
	}
	_, err := certs.ParseName(strings.TrimPrefix(string(to), "#"))
	return err
}

// Code is the stable word for why a line was not executed.
func Code(err error) string {
	for _, known := range []struct {
		err  error
		code string
	}{
		{ErrLong, "too_long"}, {overlay.ErrTooLong, "too_long"}, {overlay.ErrTagsTooLong, "too_long"}, {overlay.ErrToSelf, "to_self"}, {overlay.ErrNotUTF8, "not_utf8"},
		{overlay.ErrOutboxFull, "outbox_full"}, {overlay.ErrNotWaiting, "not_waiting"}, {overlay.ErrNotPrivate, "not_private"},
		{overlay.ErrUnknownPeer, "unknown_peer"}, {overlay.ErrClosed, "leaving"}, {context.Canceled, "leaving"},
		{files.ErrUnknownFile, "unknown_file"}, {files.ErrOver, "file_over"}, {files.ErrOurs, "own_file"}, {files.ErrAccepted, "file_accepted"},
		{files.ErrManyOffers, "too_many"}, {files.ErrNoRoom, "no_room"}, {fs.ErrNotExist, "not_found"}, {fs.ErrPermission, "not_permitted"},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	if _, ok := errors.AsType[*overlay.KindError](err); ok {
		return "bad_command"
	}
	_, isBad := errors.AsType[Bad](err)
	_, isDenied := errors.AsType[*denied](err)
	if isBad && !isDenied {
		return "bad_command"
	}
	return "refused"
}

// Problem says why a message was not accepted.
func Problem(err error, broadcast bool) string {
	switch {
	case errors.Is(err, overlay.ErrTooLong) && broadcast:
		return fmt.Sprintf("the message is too long: a message to everyone has at most %d bytes (64 KiB)", pb.MaxBroadcast)
	case errors.Is(err, overlay.ErrTooLong):
		return fmt.Sprintf("the message is too long: a message has at most %d bytes (1 MiB)", pb.MaxBody)
	case errors.Is(err, context.Canceled), errors.Is(err, overlay.ErrClosed):
		return "this peer is leaving"
	}
	return err.Error()
}
