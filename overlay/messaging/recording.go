package messaging

import (
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// How events are written to the history: as a pb.StoredEvent. It is encoded by hand, since there are
// three for each message, and reflection took a tenth of the time of all else.

// recording is what a loop over events writes to the history at once. It is used again and again.
type recording struct {
	entries []store.Entry
	places  []int // of their events, among the items
	room    []byte
}

// reset empties it.
func (r *recording) reset() { r.entries, r.places, r.room = r.entries[:0], r.places[:0], r.room[:0] }

// add adds the event of item i, if it is one for the history.
func (r *recording) add(i int, it *item, now time.Time) {
	entry := store.Entry{Stamp: it.stamp}
	e := encoder{b: r.room}
	start := len(e.b)
	switch event := it.event.(type) {
	case Message:
		if it.sender != nil {
			entry.Author = it.sender.key
		} else if it.author != (certs.PublicKey{}) {
			entry.Author = broadcastMark(it.author)
		}
		if it.hidden && it.sender == nil {
			break // it is only to be remembered
		}
		entry.Message = true
		e.head(pb.StoredEventKind_RECEIVED, event.ID, now)
		e.received(event, entry.Author, it.sender != nil)
	case Sent:
		entry.Message = true
		e.head(pb.StoredEventKind_SENT, event.Message, now)
		e.ours(event.To, event.Ref, "")
		e.sent(event)
	case Delivered:
		e.head(pb.StoredEventKind_RECEIPT_CAME, event.Message, now)
		e.ours(event.To, event.Ref, "")
		e.flag(relayedField, event.Path == PathRelayed)
		e.number(rttField, uint64(event.RTT))
	case Buffered:
		e.head(pb.StoredEventKind_WAITS, event.Message, now)
		e.ours(event.To, event.Ref, event.Reason)
	case Failed:
		e.head(pb.StoredEventKind_FAILED, event.Message, now)
		e.ours(event.To, event.Ref, event.Error)
	default:
		return
	}
	if it.settled != nil {
		e.number(epochField, it.settled.Epoch)
		e.flag(cancelledField, it.settled.Cancelled)
	}
	r.room = e.b
	entry.Data = e.b[start:len(e.b):len(e.b)]
	r.entries, r.places = append(r.entries, entry), append(r.places, i)
}

// The fields of a pb.StoredEvent.
const (
	kindField protowire.Number = iota + 1
	atField
	idField
	fromField
	keyField
	toField
	bodyField
	sentAtField
	relayedField
	newKeyField
	beforeField
	refField
	reasonField
	rttField
	epochField
	cancelledField
	broadcastField
	binaryField
	replyToField
	wantsReplyField
	unprovedField
	messageKindField
	aboutField
)

// encoder appends fields to b. Those that are zero are left out.
type encoder struct{ b []byte }

func (e *encoder) head(kind pb.StoredEventKind, id MessageID, now time.Time) {
	e.number(kindField, uint64(kind))
	e.number(atField, uint64(now.UnixNano()))
	e.bytes(idField, id[:])
}

// received appends what is known of one that was received. One for this peer alone has no receiver, and its
// key is not said again where it is the author's of the entry.
func (e *encoder) received(m Message, author certs.PublicKey, direct bool) {
	e.text(fromField, string(m.From))
	if !direct || m.Key != author {
		e.bytes(keyField, m.Key[:])
	}
	if !direct {
		e.text(toField, string(m.To))
	}
	if m.signed == nil {
		e.text(bodyField, m.Body)
		e.reference(m.Kind, m.About, m.ReplyTo)
	}
	e.number(sentAtField, uint64(m.SentAt.UnixNano()))
	e.flag(relayedField, m.Path == PathRelayed)
	e.flag(newKeyField, m.NewKey)
	e.flag(beforeField, m.Before)
	e.flag(unprovedField, m.Unproved)
	e.flag(binaryField, m.Binary)
	e.flag(wantsReplyField, m.WantsReply)
	e.signed(m.signed)
}

// sent appends what a message of ours says.
func (e *encoder) sent(s Sent) {
	if s.signed == nil {
		e.text(bodyField, s.Body)
		e.reference(s.Kind, s.About, s.ReplyTo)
	}
	e.number(sentAtField, uint64(s.SentAt.UnixNano()))
	e.flag(binaryField, s.Binary)
	e.signed(s.signed)
}

// reference appends the kind of a message, and which others it names.
func (e *encoder) reference(kind Kind, about, replyTo MessageID) {
	e.number(messageKindField, uint64(kind.Wire()))
	e.id(aboutField, about)
	e.id(replyToField, replyTo)
}

// ours appends what is known of a message of ours.
func (e *encoder) ours(to certs.ID, ref, reason string) {
	e.text(toField, string(to))
	e.text(refField, ref)
	e.text(reasonField, strings.ToValidUTF8(reason, "\uFFFD"))
}

// signed appends a message to many as its author has signed it; its body is in there, its kind and which others it
// names.
func (e *encoder) signed(s *pb.Signed) {
	if s == nil {
		return
	}
	b, err := proto.Marshal(s)
	if err != nil {
		panic("messaging: a message that can't be encoded: " + err.Error()) // its parts are bytes
	}
	e.bytes(broadcastField, b)
}

func (e *encoder) number(field protowire.Number, n uint64) {
	if n != 0 {
		e.b = protowire.AppendTag(e.b, field, protowire.VarintType)
		e.b = protowire.AppendVarint(e.b, n)
	}
}

func (e *encoder) flag(field protowire.Number, is bool) {
	if is {
		e.number(field, 1)
	}
}

func (e *encoder) text(field protowire.Number, s string) {
	if s != "" {
		e.b = protowire.AppendTag(e.b, field, protowire.BytesType)
		e.b = protowire.AppendString(e.b, s)
	}
}

func (e *encoder) id(field protowire.Number, id MessageID) {
	if id != (MessageID{}) {
		e.bytes(field, id[:])
	}
}

func (e *encoder) bytes(field protowire.Number, b []byte) {
	e.b = protowire.AppendTag(e.b, field, protowire.BytesType)
	e.b = protowire.AppendBytes(e.b, b)
}
