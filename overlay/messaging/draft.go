package messaging

import (
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// Draft is a message to be sent.
type Draft struct {
	Body    string    // UTF-8 of at most 1 MiB (pb.MaxBody); any bytes, if Binary
	Binary  bool      // the body is data, not text
	ReplyTo MessageID // the message that it replies to; zero: none
	Ref     string    // comes back in each event of the message
	// WantsReply tells the receiver that a reply is waited for; Request sets it.
	WantsReply bool

	request *request // of the caller that waits for a reply; nil: none does
}

// checkDraft reports what is wrong with the body.
func (d Draft) checkDraft() error {
	if err := CheckBody(d.Body, pb.MaxBody); err != ErrNotUTF8 || !d.Binary {
		return err
	}
	return nil
}

// CheckBody reports what is wrong with the body of a message.
func CheckBody(body string, limit int) error {
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

// Restore gives the messages of earlier runs what they have beside a text. It is called once, before
// Start.
func (d *Directory) Restore() error {
	return d.engine.disk.Load(store.Unsettled, func(_, value []byte) error {
		s := new(pb.StoredMessage)
		if err := proto.Unmarshal(value, s); err != nil {
			return damaged("message", err)
		}
		if r := d.existing(certs.ID(s.GetMessage().GetReceiver())); r != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			d.engine.held.force(int64(r.box.Restore(s.GetMessage())))
		}
		return nil
	})
}
