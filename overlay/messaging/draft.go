package messaging

import (
	"unicode/utf8"

	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// Draft is a message to be sent.
type Draft struct {
	Body    string    // UTF-8 of at most 1 MiB (pb.MaxBody), to many 64 KiB (pb.MaxBroadcast); any bytes, if Binary
	Binary  bool      // the body is data, not text
	ReplyTo MessageID // the message that it replies to; zero: none
	Kind    Kind      // empty: an ordinary message
	About   MessageID // the message that an edit, deletion or reaction is about
	Ref     string    // comes back in each event of the message
	// WantsReply tells the receiver that a reply is waited for; Request sets it.
	WantsReply bool

	request *request // of the caller that waits for a reply; nil: none does
}

// check reports what is wrong with a message to one peer, and completes it.
func (d *Draft) check() error {
	if err := checkBody(d.Body, pb.MaxBody); err != nil && (err != ErrNotUTF8 || !d.Binary) {
		return err
	}
	return d.checkKind()
}

// CheckWide reports what is wrong with a message to many, and completes it.
func CheckWide(d *Draft) error {
	if d.Binary || d.WantsReply {
		return ErrNotToMany
	}
	if err := checkBody(d.Body, pb.MaxBroadcast); err != nil {
		return err
	}
	return d.checkKind()
}

// checkBody reports what is wrong with the body of a message.
func checkBody(body string, limit int) error {
	if len(body) > limit {
		return &TooLongError{Bytes: len(body), Limit: limit}
	}
	if !utf8.ValidString(body) {
		return ErrNotUTF8
	}
	return nil
}

// refuseData ends the messages with data for a peer whose version takes text only. r.mu is held.
func (r *receiver) refuseData() {
	var data []delivery.Position
	for _, m := range r.box.All() {
		if m.Binary {
			data = append(data, m.Position)
		}
	}
	var ends []item
	for _, p := range data {
		ends = r.settle(ends, p, delivery.Receipt{Refused: true, Final: true, Reason: ErrTextOnly.Error()}, r.engine.now())
	}
	r.engine.events.pushAll(ends)
}
