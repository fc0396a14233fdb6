package overlay

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// BenchmarkStart starts a peer with a history of a million messages to everyone of the last days, the most that
// it keeps: after it was killed, and after it has left.
func BenchmarkStart(b *testing.B) {
	state, err := OpenState(b.TempDir(), "alice")
	if err != nil {
		b.Fatal(err)
	}
	defer state.Close()
	var killed atomic.Bool
	start := func() (n *Node, stop func()) {
		killed.Store(false)
		n, err := Start(b.Context(), Config{State: state, Listen: "127.0.0.1:0", step: func(string) bool { return !killed.Load() }})
		if err != nil {
			b.Fatal(err)
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			for range n.Events() {
			}
		}()
		return n, func() { n.Close(); <-read }
	}
	n, stop := start()
	for i := range 1_000_000 {
		hearBob(n, Everyone, i, time.Now())
	}
	for _, kill := range []bool{true, false} {
		killed.Store(kill)
		stop()
		b.Run(fmt.Sprintf("killed=%t", kill), func(b *testing.B) {
			for b.Loop() {
				_, stop = start()
				b.StopTimer()
				killed.Store(kill)
				stop()
				b.StartTimer()
			}
		})
		_, stop = start()
	}
	stop()
}

var bobsKey = state("bob", "bob").Identity.Key()

// hearBob shows a message of bob's, whose signature nobody looks at again.
func hearBob(n *Node, room certs.ID, i int, at time.Time) {
	c := &pb.BroadcastContent{Id: fmt.Appendf(nil, "%016d", i), Sender: "bob", Key: bobsKey[:], Content: strings.Repeat("x", 60), SentAt: at.UnixNano()}
	if room != Everyone {
		c.Room = string(room)
	}
	payload, err := proto.Marshal(c)
	if err != nil {
		panic(err)
	}
	m := Message{ID: MessageID(c.Id), From: "bob", Key: bobsKey, To: room, Body: c.Content, SentAt: at}
	stamp := delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 1, Counter: uint64(i + 1)}}}
	for !n.messages.Rooms.Heard(m, &pb.Signed{Payload: payload, Signature: make([]byte, 64)}, stamp, false) {
		runtime.Gosched() // too many wait to be read
	}
}
