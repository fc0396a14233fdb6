package messaging

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Kind says what a message is for. The zero value is an ordinary one.
type Kind string

// The kinds beside the ordinary one.
const (
	// KindAction: the body says what the sender does, in the third person: /me.
	KindAction Kind = "action"
	// KindEdit: the body takes the place of that of an earlier message of the same sender.
	KindEdit Kind = "edit"
	// KindDelete: an earlier message of the same sender is to be shown no more. A body is for programs that do
	// not know the kind.
	KindDelete Kind = "delete"
	// KindReaction: the body, at most 64 bytes (pb.MaxReaction), is a reaction to an earlier message: an emoji.
	KindReaction Kind = "reaction"
	// KindFile: the body, at most 16 KiB (pb.MaxOffer), offers files; package overlay/files makes and reads it.
	KindFile Kind = "file"
)

// kinds are the kinds by their numbers on the wire.
var kinds = [...]Kind{
	pb.MessageKind_PLAIN: "", pb.MessageKind_ACTION: KindAction, pb.MessageKind_EDIT: KindEdit,
	pb.MessageKind_DELETE: KindDelete, pb.MessageKind_REACTION: KindReaction, pb.MessageKind_FILE: KindFile,
}

// known says that there is such a kind.
func (k Kind) known() bool { return slices.Contains(kinds[:], k) }

// Wire is the number of a known kind.
func (k Kind) Wire() pb.MessageKind { return pb.MessageKind(slices.Index(kinds[:], k)) }

// isAbout says that messages of the kind are about another one.
func (k Kind) isAbout() bool { return k == KindEdit || k == KindDelete || k == KindReaction }

// Reference is the kind of a message, and the message that it is about.
func Reference(m interface {
	GetKind() pb.MessageKind
	GetAbout() []byte
}) (Kind, MessageID) {
	number, about := pb.Reference(m)
	return kinds[number], about
}

// deletionBody is what programs that do not know deletions show, if the sender has given no text for them.
const deletionBody = "(deletes a message)"

// ErrNotToMany: only a message to one peer can be data, or ask for a reply.
var ErrNotToMany = errors.New("only a message to one peer can have data or want a reply")

// KindError says what is wrong with the kind of a draft, or with what it is about.
type KindError struct{ Problem string }

func (e *KindError) Error() string { return e.Problem }

// checkKind reports what is wrong with the kind of a draft, and completes a deletion without a body.
func (d *Draft) checkKind() error {
	switch {
	case !d.Kind.known():
		return &KindError{fmt.Sprintf("there is no kind of message %q; there are action, edit, delete, reaction, file", d.Kind)}
	case d.Kind != "" && d.Binary:
		return &KindError{fmt.Sprintf("data can't be of the kind %s", d.Kind)}
	case d.Kind.isAbout() && d.About == MessageID{}:
		return &KindError{fmt.Sprintf("about: the kind %s needs the ID of the message that it is about", d.Kind)}
	case !d.Kind.isAbout() && d.About != MessageID{}:
		return &KindError{"about: only an edit, delete or reaction is about another message; a reply names it in reply_to"}
	case d.Kind == KindReaction && d.Body == "":
		return &KindError{"a reaction needs a body; to take one back, delete it"}
	case d.Kind == KindReaction && len(d.Body) > pb.MaxReaction:
		return &KindError{fmt.Sprintf("a reaction has at most %d bytes", pb.MaxReaction)}
	case d.Kind == KindFile && len(d.Body) > pb.MaxOffer:
		return &KindError{fmt.Sprintf("an offer of files has at most %d bytes", pb.MaxOffer)}
	case d.Kind == KindDelete && d.Body == "":
		d.Body = deletionBody
	}
	return nil
}

// CountsFor says whether s, an edit, deletion or reaction, counts for another message: it is about that message, in
// the same conversation, and an edit or deletion is by the same key. A front end must ask this before it changes what
// it shows, since About is the word of a sender, who can name any message.
func (s Said) CountsFor(other Said) bool {
	if !s.Kind.isAbout() || s.About != other.ID || s.Kind != KindReaction && s.Key != other.Key {
		return false
	}
	if isWide(s.To) || isWide(other.To) {
		return s.To == other.To
	}
	return s.From == other.From && s.To == other.To || s.From == other.To && s.To == other.From
}

// isWide says that a message to that receiver is for many.
func isWide(to certs.ID) bool { return to == Everyone || strings.HasPrefix(string(to), "#") }

// Said is the message as the history gives it.
func (m Message) Said() Said {
	return Said{
		Pos: m.Pos, ID: m.ID, From: m.From, Key: m.Key, To: m.To, Body: m.Body, Binary: m.Binary, SentAt: m.SentAt, Before: m.Before,
		NewKey: m.NewKey, Unproved: m.Unproved, ReplyTo: m.ReplyTo, Kind: m.Kind, About: m.About, State: StateReceived,
	}
}

// Said is the message as the history gives it; this peer has the ID from, and the key.
func (s Sent) Said(from certs.ID, key certs.PublicKey) Said {
	return Said{
		Pos: s.Pos, ID: s.Message, From: from, Key: key, To: s.To, Body: s.Body, Binary: s.Binary, Ref: s.Ref, SentAt: s.SentAt,
		ReplyTo: s.ReplyTo, Kind: s.Kind, About: s.About, State: StateSent,
	}
}
