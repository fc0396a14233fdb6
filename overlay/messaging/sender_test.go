package messaging

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

func numberedKey(n int) (key certs.PublicKey) {
	binary.BigEndian.PutUint32(key[:], uint32(n))
	return key
}

// TestSendersAreForgotten: only so many senders are remembered. One with which nothing is going on
// makes room, and is known again by how far it was shown; one that is busy stays.
func TestSendersAreForgotten(t *testing.T) {
	mark := delivery.Mark{Runs: []delivery.Run{{Position: delivery.Position{Epoch: 3, Counter: 7}}}, Hash: 5}
	var list senders
	list.init(new(Engine), map[certs.PublicKey]delivery.Mark{numberedKey(0): mark})
	known := list.of(numberedKey(0), nil)
	delete(list.marks, numberedKey(0)) // those of earlier runs may be pushed out
	if !list.forgetOne() || len(list.byKey) != 0 {
		t.Fatal("an idle sender is not forgotten")
	}
	again := list.of(numberedKey(0), nil)
	if again == known || !reflect.DeepEqual(again.inbox.Mark(), mark) {
		t.Errorf("it is known by %+v", again.inbox.Mark())
	}

	reads := new(reader)
	for n := range maxSenders {
		list.of(numberedKey(n), reads)
	}
	if list.of(numberedKey(maxSenders), reads) != nil || len(list.byKey) != maxSenders {
		t.Errorf("a new sender pushes out one that is busy: %d", len(list.byKey))
	}
	for _, s := range list.byKey {
		clear(s.wakes)
	}
	if list.of(numberedKey(maxSenders), reads) == nil || len(list.byKey) != maxSenders {
		t.Errorf("an idle sender makes no room: %d", len(list.byKey))
	}

	for n := range maxSenders + 1 {
		list.keepMark(numberedKey(n), mark)
		list.keepMark(numberedKey(-1-n), delivery.Mark{}) // nothing to remember
	}
	if len(list.marks) != maxSenders {
		t.Errorf("%d marks are kept", len(list.marks))
	}
}

// TestMissingMessagesArePassedOver: what waits for a message that never comes is shown in the end,
// and the missing one is then refused.
func TestMissingMessagesArePassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{cfg: Config{ID: "bob", Start: time.Now()}, log: slog.New(slog.DiscardHandler), events: newEventQueue(), disk: new(Disk)}
		e.answers = answers{engine: e, waiting: make(chan answer, 9)}
		e.directory.init(e, nil)
		e.senders.init(e, nil)
		s := e.senders.of(numberedKey(1), nil)
		e.events.Push(PeerJoined{ID: "alice", Key: s.key})
		bodies := func() (list []string) {
			for _, event := range queued(e.events)[1:] {
				list = append(list, event.(Message).Body)
			}
			return list
		}
		parcel := func(counter uint64) *delivery.Parcel {
			id := binary.BigEndian.AppendUint64(make([]byte, 8), counter)
			p := &delivery.Parcel{
				Messages: []*pb.Message{{Id: id, Sender: "alice", Epoch: 1, Content: fmt.Sprint("message ", counter)}},
				Answer:   "alice",
			}
			if counter > 1 {
				p.After = delivery.Position{Epoch: 1, Counter: counter - 1}
			}
			return p
		}
		s.offer(parcel(1), delivery.Addressee{ID: "alice"})
		s.offer(parcel(3), delivery.Addressee{ID: "alice"})
		time.Sleep(delivery.Patience)
		s.passOver(e.now() - delivery.Patience)
		if got := bodies(); !slices.Equal(got, []string{"message 1"}) {
			t.Fatalf("before its time: %q", got)
		}
		time.Sleep(time.Nanosecond)
		s.passOver(e.now() - delivery.Patience)
		if got := bodies(); !slices.Equal(got, []string{"message 1", "message 3"}) {
			t.Fatalf("then: %q", got)
		}
		late := parcel(2)
		s.offer(late, delivery.Addressee{ID: "alice"})
		if got := late.Receipts(); len(got) != 1 || got[0].GetReason() != delivery.TooLate {
			t.Errorf("the answer to it is %v", got)
		}
		s.offer(parcel(4), delivery.Addressee{ID: "alice"}) // its turn has come
		if got := bodies(); !slices.Equal(got, []string{"message 1", "message 3", "message 4"}) {
			t.Errorf("in the end: %q", got)
		}
	})
}
