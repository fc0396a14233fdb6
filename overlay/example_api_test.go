package overlay_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"quicpeer/overlay"
)

// start starts a peer on this host, whose events go to show until it has left.
func start(id overlay.ID, join []string, show func(overlay.Event)) *overlay.Node {
	cfg := overlay.Config{ID: id, Listen: "127.0.0.1:0", Join: join}
	n, err := overlay.Start(context.Background(), cfg)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for event := range n.Events() {
			show(event)
		}
	}()
	return n
}

// startFirst starts a peer of a new network, and returns where others can join it.
func startFirst(id overlay.ID, show func(overlay.Event)) (n *overlay.Node, addresses []string) {
	ready := make(chan []string, 1)
	n = start(id, nil, func(event overlay.Event) {
		if e, ok := event.(overlay.Ready); ok {
			ready <- e.Listen
		}
		show(event)
	})
	return n, <-ready
}

// ignore is for peers whose events don't matter.
func ignore(overlay.Event) {}

// Two networks become one: each peer then has all others in its table.
func ExampleNode_Join() {
	ctx := context.Background()
	joined := make(chan overlay.ID, 1)
	alice, _ := startFirst("alice", func(event overlay.Event) {
		if e, ok := event.(overlay.PeerJoined); ok {
			joined <- e.ID
		}
	})
	defer alice.Close()
	bob, addresses := startFirst("bob", ignore)
	defer bob.Close()

	who, err := alice.Join(ctx, addresses[0])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("let in by", who)
	fmt.Println("in the table:", <-joined)
	// Output:
	// let in by bob
	// in the table: bob
}

// A message has its sender's key, which nobody else can have: its fingerprint tells one bob from
// another.
func ExampleMessage() {
	ctx := context.Background()
	messages := make(chan overlay.Message, 1)
	alice, addresses := startFirst("alice", func(event overlay.Event) {
		if m, ok := event.(overlay.Message); ok {
			messages <- m
		}
	})
	defer alice.Close()
	bob := start("bob", addresses, ignore)
	defer bob.Close()

	if _, err := bob.Send(ctx, "alice", "it's me", ""); err != nil {
		log.Fatal(err)
	}
	m := <-messages
	fmt.Println(m.From, m.Body, m.Key == bob.Key(), m.Key.String() == bob.Key().String())
	// Output: bob it's me true true
}

// A message that waits for its receiver can be withdrawn.
func ExampleNode_Cancel() {
	ctx := context.Background()
	failed := make(chan overlay.Failed, 1)
	alice, _ := startFirst("alice", func(event overlay.Event) {
		if e, ok := event.(overlay.Failed); ok {
			failed <- e
		}
	})
	defer alice.Close()

	id, err := alice.Send(ctx, "bob", "see you at 5", "the first")
	if err != nil {
		log.Fatal(err)
	}
	if err := alice.Cancel(id); err != nil {
		log.Fatal(err)
	}
	e := <-failed
	fmt.Printf("%s to %s: %s\n", e.Ref, e.To, e.Error)
	fmt.Println("waiting:", len(alice.Waiting()))
	// Output:
	// the first to bob: cancelled
	// waiting: 0
}

// Data need not be text.
func ExampleNode_SendBytes() {
	ctx := context.Background()
	messages := make(chan overlay.Message, 1)
	alice, addresses := startFirst("alice", func(event overlay.Event) {
		if m, ok := event.(overlay.Message); ok {
			messages <- m
		}
	})
	defer alice.Close()
	bob := start("bob", addresses, ignore)
	defer bob.Close()

	if _, err := bob.SendBytes(ctx, "alice", []byte{0xca, 0xfe, 0xff}, ""); err != nil {
		log.Fatal(err)
	}
	m := <-messages
	fmt.Println(m.Binary, hex.EncodeToString([]byte(m.Body)))
	// Output: true cafeff
}

// A reader of the history goes on from its place, in this run or a later one.
func ExampleHistory_Place() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	run := func(ref string) {
		state, err := overlay.OpenState(dir, "alice")
		if err != nil {
			log.Fatal(err)
		}
		defer state.Close()
		n, err := overlay.Start(context.Background(), overlay.Config{State: state, Listen: "127.0.0.1:0"})
		if err != nil {
			log.Fatal(err)
		}
		defer n.Close()
		if _, err := n.Broadcast(context.Background(), "hello", ref); err != nil {
			log.Fatal(err)
		}
		for event := range n.Events() {
			if _, ok := event.(overlay.Sent); ok {
				break // it is in the history
			}
		}
		next, err := n.History().Place("example")
		if err != nil {
			log.Fatal(err)
		}
		for p, err := range n.History().Events(next) {
			if err != nil {
				log.Fatal(err)
			}
			if e, ok := p.Event.(overlay.Sent); ok {
				fmt.Println("sent:", e.Ref)
				if err := n.History().SetPlace("example", e.Pos+1); err != nil {
					log.Fatal(err)
				}
			}
		}
	}
	run("first")
	run("second")
	// Output:
	// sent: first
	// sent: second
}

// A service answers requests; who asks waits for the reply, for as long as its context allows.
func ExampleNode_Request() {
	ctx := context.Background()
	service, addresses := startFirst("clock", func(event overlay.Event) {
		m, ok := event.(overlay.Message)
		if !ok || !m.WantsReply || m.Body != "time" {
			return
		}
		if _, err := m.Reply(ctx, "12:00"); err != nil {
			log.Println(err)
		}
	})
	defer service.Close()
	alice := start("alice", addresses, ignore)
	defer alice.Close()

	soon, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	reply, err := alice.Request(soon, "clock", "time")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.From, "says", reply.Body)

	late, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = alice.Request(late, "clock", "weather")
	fmt.Println(errors.Is(err, context.DeadlineExceeded), err)
	// Output:
	// clock says 12:00
	// true no reply from clock: context deadline exceeded
}

// Neither a request nor its reply need be text.
func ExampleNode_RequestBytes() {
	ctx := context.Background()
	service, addresses := startFirst("sha256", func(event overlay.Event) {
		m, ok := event.(overlay.Message)
		if !ok || !m.WantsReply || !m.Binary {
			return
		}
		sum := sha256.Sum256([]byte(m.Body))
		if _, err := m.ReplyBytes(ctx, sum[:]); err != nil {
			log.Println(err)
		}
	})
	defer service.Close()
	alice := start("alice", addresses, ignore)
	defer alice.Close()

	soon, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	reply, err := alice.RequestBytes(soon, "sha256", []byte{0xca, 0xfe, 0xff})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Binary, hex.EncodeToString([]byte(reply.Body[:4])))
	// Output: true a438cee2
}

// A message to a room is shown to those who are in it.
func ExampleNode_JoinRoom() {
	ctx := context.Background()
	messages := make(chan overlay.Message, 1)
	entered := make(chan overlay.PeerChanged, 1)
	alice, addresses := startFirst("alice", func(event overlay.Event) {
		switch e := event.(type) {
		case overlay.Message:
			messages <- e
		case overlay.PeerChanged:
			entered <- e
		}
	})
	defer alice.Close()
	if err := alice.JoinRoom("#dev"); err != nil {
		log.Fatal(err)
	}
	bob := start("bob", addresses, ignore)
	defer bob.Close()

	_, err := bob.SendRoom(ctx, "#dev", "hello", "")
	fmt.Println(errors.Is(err, overlay.ErrNotInRoom))
	if err := bob.JoinRoom("#dev"); err != nil {
		log.Fatal(err)
	}
	e := <-entered
	fmt.Println(e.ID, "is in", e.Rooms)
	for _, room := range alice.Rooms() {
		fmt.Println(room.Name, room.Members)
	}
	if _, err := bob.SendRoom(ctx, "#dev", "hello", ""); err != nil {
		log.Fatal(err)
	}
	m := <-messages
	fmt.Printf("%s %s: %s\n", m.To, m.From, m.Body)
	if err := bob.PartRoom("#dev"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(bob.Rooms()))
	// Output:
	// true
	// bob is in [#dev]
	// #dev [alice bob]
	// #dev bob: hello
	// 0
}

// Tags tell all others what a peer is, and change while it runs.
func ExampleNode_SetTags() {
	changes := make(chan overlay.PeerChanged, 2)
	alice, addresses := startFirst("alice", func(event overlay.Event) {
		if e, ok := event.(overlay.PeerChanged); ok {
			changes <- e
		}
	})
	defer alice.Close()
	bob := start("bob", addresses, ignore)
	defer bob.Close()

	if err := bob.SetTags(map[string]string{"role": "db", "zone": "a"}); err != nil {
		log.Fatal(err)
	}
	e := <-changes
	fmt.Println(e.ID, e.Tags)
	for _, peer := range alice.Peers() {
		fmt.Println(peer.ID, peer.Tags["role"])
	}
	// Output:
	// bob map[role:db zone:a]
	// bob db
}
