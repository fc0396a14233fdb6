package messaging

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// TestRecording: what is written of an event is what is read of it, and is a pb.StoredEvent.
func TestRecording(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	id := func() (id MessageID) {
		for i := range id {
			id[i] = byte(random.Uint32())
		}
		return id
	}
	some := func() bool { return random.IntN(2) == 0 }
	text := func() string { return strings.Repeat("é\x00x", random.IntN(3)) }
	path := func() Path {
		if some() {
			return PathRelayed
		}
		return PathDirect
	}
	at := func() time.Time { return time.Unix(0, random.Int64N(1<<62)-1<<60) }
	key := certs.PublicKey{1, 2, 3}
	for range 5000 {
		var it item
		m := Message{
			ID: id(), From: "bob", Key: key, NewKey: some(), To: "me", Body: text(), Binary: some(), SentAt: at(), Path: path(),
			Before: some(), Unproved: some(), WantsReply: some(),
		}
		if some() {
			m.ReplyTo = id()
		}
		if m.Kind = kinds[random.IntN(len(kinds))]; m.Kind.isAbout() {
			m.About = id()
		}
		switch random.IntN(7) {
		case 0:
			it = item{event: m, sender: &sender{key: key}, stamp: delivery.Stamp{Hash: 7}}
		case 1:
			it = item{event: m, sender: &sender{key: certs.PublicKey{9}}}
		case 2:
			m.To = "#room"
			it = item{event: m, author: key}
		case 3:
			it = item{event: Sent{Message: id(), To: "bob", Ref: text(), Body: text(), SentAt: at(), Binary: some(), ReplyTo: m.ReplyTo, Kind: m.Kind, About: m.About}}
		case 4:
			it = item{event: Delivered{Message: id(), To: "bob", Ref: text(), Path: path(), RTT: time.Duration(random.Int64N(1 << 40))}, settled: &delivery.Outgoing{}}
		case 5:
			it = item{event: Buffered{Message: id(), To: "bob", Ref: text(), Reason: text()}}
		case 6:
			it = item{event: Failed{Message: id(), To: "bob", Ref: text(), Error: text()}, settled: &delivery.Outgoing{Position: delivery.Position{Epoch: random.Uint64()}, Cancelled: some()}}
		}
		var r recording
		now := at()
		r.add(3, &it, now)
		if len(r.entries) != 1 || r.places[0] != 3 {
			t.Fatalf("%d entries of %v", len(r.entries), it.event)
		}
		entry := r.entries[0]
		entry.Pos = 77
		got, err := decodeEntry(entry, "me")
		if err != nil {
			t.Fatal(err)
		}
		if want := withPos(it.event, 77); !reflect.DeepEqual(got.Event, want) || !got.At.Equal(now) {
			t.Errorf("got  %+v at %v\nwant %+v at %v", got.Event, got.At, want, now)
		}
		if b, err := proto.Marshal(got.stored); err != nil || len(b) != len(entry.Data) || len(got.stored.ProtoReflect().GetUnknown()) > 0 {
			t.Errorf("%v is encoded in %d bytes, and again in %d, %v", got.stored, len(entry.Data), len(b), err)
		}
		if it.settled != nil && (got.outgoing().Cancelled != it.settled.Cancelled || got.stored.GetEpoch() != it.settled.Epoch) {
			t.Errorf("%+v is read as %+v", it.settled, got.outgoing())
		}
		if want := entry.Author; it.sender != nil && want != it.sender.key || it.author != (certs.PublicKey{}) && want != broadcastMark(it.author) {
			t.Errorf("the author of %v is %v", it.event, want)
		}
	}
}

// TestRecordingHidden: of what the program does not get, only who has sent it and its stamp are kept; of events that
// are about no message, nothing.
func TestRecordingHidden(t *testing.T) {
	var r recording
	r.add(0, &item{event: PeerJoined{ID: "bob"}}, time.Now())
	r.add(1, &item{event: Message{From: "bob", Body: "x"}, author: certs.PublicKey{1}, hidden: true, stamp: delivery.Stamp{Hash: 5}}, time.Now())
	want := store.Entry{Author: broadcastMark(certs.PublicKey{1}), Stamp: delivery.Stamp{Hash: 5}}
	if len(r.entries) != 1 || r.places[0] != 1 || len(r.entries[0].Data) > 0 || r.entries[0].Author != want.Author || r.entries[0].Stamp != want.Stamp {
		t.Errorf("%+v", r.entries)
	}
	signed := &pb.Signed{Payload: []byte("payload"), Signature: []byte("signature")}
	r.reset()
	r.add(0, &item{event: Message{To: Everyone, Body: "in there", signed: signed}, author: certs.PublicKey{1}}, time.Now())
	s := new(pb.StoredEvent)
	if err := proto.Unmarshal(r.entries[0].Data, s); err != nil || !proto.Equal(s.GetBroadcast(), signed) || len(s.GetBody()) > 0 {
		t.Errorf("%v, %v", s, err)
	}
}

func BenchmarkRecording(b *testing.B) {
	id := MessageID{1, 2, 3}
	items := []item{
		{event: Message{ID: id, From: "bob", Key: certs.PublicKey{1}, To: "me", Body: strings.Repeat("x", 100), SentAt: time.Now()}, sender: &sender{key: certs.PublicKey{1}}},
		{event: Sent{Message: id, To: "bob", Body: strings.Repeat("x", 100), SentAt: time.Now()}},
		{event: Delivered{Message: id, To: "bob", RTT: 1000000}},
	}
	var r recording
	for b.Loop() {
		r.reset()
		now := time.Now()
		for i := range items {
			r.add(i, &items[i], now)
		}
	}
}
