package overlay

import (
	"context"

	"quicpeer/overlay/messaging"
)

// Messages with more than a text: data, requests and replies.

// Draft is a message for Node.Post: its Body, which is text or, if Binary, data; the message that it
// is a ReplyTo, if any; its Kind, and the message that it is About; whether it WantsReply; and its Ref.
type Draft = messaging.Draft

// Kind says what a message is for; empty: it is an ordinary one.
type Kind = messaging.Kind

// The kinds of messages beside the ordinary one.
const (
	KindAction   = messaging.KindAction   // the body says what the sender does, in the third person
	KindEdit     = messaging.KindEdit     // the body takes the place of that of an earlier message of the sender
	KindDelete   = messaging.KindDelete   // an earlier message of the sender is to be shown no more
	KindReaction = messaging.KindReaction // the body is a reaction to an earlier message, at most 64 bytes (MaxReaction)
	KindFile     = messaging.KindFile     // the body offers files, see package files
)

// KindError is an error of Post: something is wrong with the kind of the message, or with what it is about.
type KindError = messaging.KindError

// ErrNotToMany is an error of Post: a message to a room or to Everyone can't be data, nor want a reply.
var ErrNotToMany = messaging.ErrNotToMany

// RequestError says why the request with that ID has no reply from the peer that it was sent To: Err
// is that of the context, or says why the message has failed. The request itself still goes to its
// receiver; Node.Cancel withdraws it, if it still waits.
type RequestError = messaging.RequestError

// exchange is the part of a node that sends such messages.
type exchange struct {
	engine *messaging.Engine
	rooms  rooms
}

// SendBytes is Send for any bytes, at most 1 MiB: Message.Binary says so to the receiver. A peer whose
// version knows only text gets none: SendBytes returns ErrTextOnly if that is known of it, else the
// message fails when such a peer comes.
func (x exchange) SendBytes(ctx context.Context, to ID, body []byte, ref string) (MessageID, error) {
	return x.engine.Send(ctx, to, Draft{Body: string(body), Binary: true, Ref: ref})
}

// Post is Send, SendBytes, SendRoom and Broadcast with all that a message can have; to may be an ID, a room or
// Everyone. Further errors are *KindError and ErrNotToMany.
//
// An edit, deletion or reaction is a message like all others, with its own ID and receipt, and what becomes of
// the message that it is about is up to those who show it: see [Said.CountsFor]. Post does not look whether
// there is such a message, and whether it may be edited.
func (x exchange) Post(ctx context.Context, to ID, d Draft) (MessageID, error) {
	switch {
	case to == Everyone:
		return x.rooms.broadcast(ctx, to, d)
	case IsRoom(to):
		return x.rooms.send(ctx, to, d)
	}
	return x.engine.Send(ctx, to, d)
}

// Request sends a message and waits for the reply, which its receiver's program gives by
// Message.Reply or ReplyBytes. It is a message like all others, and waits for a receiver that is not here; so
// ctx should have a deadline. A *RequestError says that no reply came in time, or that the message has
// failed; Sent, Delivered and Failed come as for Send, with an empty Ref.
//
// The reply comes here alone, and not as an event. One that comes when Request has returned, after a
// restart, for the second time, or from another peer than the one asked, is an event like any other, with
// its ReplyTo. Request may be called from within the loop over Events; the receipt of the reply waits
// for that loop, so that it is behind those of the same peer's earlier messages. At most 1024 requests
// (MaxRequests) may wait at once: ErrManyRequests. Its other errors are those of Send.
func (x exchange) Request(ctx context.Context, to ID, body string) (Message, error) {
	return messaging.Request(ctx, x.engine, to, Draft{Body: body})
}

// RequestBytes is Request with any bytes, as SendBytes is Send. Another of its errors is ErrTextOnly.
func (x exchange) RequestBytes(ctx context.Context, to ID, body []byte) (Message, error) {
	return messaging.Request(ctx, x.engine, to, Draft{Body: string(body), Binary: true})
}
