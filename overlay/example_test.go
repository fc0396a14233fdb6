package overlay_test

import (
	"context"
	"fmt"
	"log"

	"quicpeer/overlay"
)

// Two peers in one process: alice starts a network, bob joins it and says hello.
func Example() {
	ctx := context.Background()
	alice, err := overlay.Start(ctx, overlay.Config{ID: "alice", Listen: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()

	for event := range alice.Events() {
		switch e := event.(type) {
		case overlay.Ready:
			bob, err := overlay.Start(ctx, overlay.Config{ID: "bob", Listen: "127.0.0.1:0", Join: e.Listen})
			if err != nil {
				log.Fatal(err)
			}
			defer bob.Close()
			if _, err := bob.Send(ctx, "alice", "hello", ""); err != nil {
				log.Fatal(err)
			}
		case overlay.Message:
			fmt.Printf("%s: %s\n", e.From, e.Body)
			return
		}
	}
	// Output: bob: hello
}
