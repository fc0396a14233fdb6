package overlay

import (
	"context"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/terse"
	"quicpeer/transport"
)

// Leave shuts the node down in order. It accepts no more messages, waits until those on their
// way to peers in the network have their receipts and those for absent peers are left with
// others, says goodbye and closes everything. When ctx ends it stops waiting: then it takes at
// most a second more for the goodbyes, and 5 s for a slow disk to finish its writes.
//
// It returns how many messages of this run have not reached their receivers. With a state
// directory they are kept there, as are those that earlier runs have left; without one each
// has been reported by Failed. Events go on until the loop over them has seen the last; until
// then the state directory is in use. The error is Err's: why the node had already stopped by
// itself. Later calls, and a call after such a stop, only wait for the end.
func (n *Node) Leave(ctx context.Context) (undelivered int, err error) {
	n.mu.Lock()
	again := n.leaving
	n.leaving = true
	n.mu.Unlock()
	if again {
		<-n.left
		return n.undelivered, n.Err()
	}
	defer close(n.left)
	n.messages.TakeNoMore()
	n.messages.AwaitReceipts(ctx)
	n.awaitCustody(ctx)
	n.messages.AwaitAnswers(ctx)
	n.awaitQueues(ctx)
	n.awaitEnds(ctx, endCarried{})
	n.post(coreInput{core.Leave{}})
	n.awaitEnds(ctx, openLinks{})
	n.stop()
	return n.undelivered, n.Err()
}

// stop ends everything and waits for it.
func (n *Node) stop() {
	n.cancel()
	n.reach.stop()
	n.endpoint.Close()
	n.wg.Wait()
	n.undelivered = n.messages.Shutdown()
	terse.End(n.log)
}

// Close is Leave with a ctx that has ended: it says goodbye and waits for no receiver.
// Messages reported by Sent are on the disk, and so is the note of those that were shown. No
// goroutine of the node is left when it returns and no loop over Events runs. Call it also
// when the node has stopped by itself.
func (n *Node) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := n.Leave(ctx)
	return err
}

func (n *Node) isLeaving() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leaving
}

// fail notes why the node stops, and closes it.
func (n *Node) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return
	}
	n.err = err
	if n.leaving {
		return // it stops anyway
	}
	go n.Close() // it waits for the loop, which is here; the caller of Leave or Close waits for it
}

// Err says why the node has stopped by itself: *DuplicateIDError and
// ErrStartedElsewhere when the network turns out to have another peer of our ID,
// or an error of the disk. Nil while it runs, and after Leave and Close.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// awaitQueues waits until queued broadcasts have been written.
func (n *Node) awaitQueues(ctx context.Context) {
	list, _ := ask(&n.mailbox, openLinks{})
	for _, l := range list {
		select {
		case <-l.Drained(0):
		case <-ctx.Done():
			if queued := l.Queued(); queued > 0 {
				n.log.Warn("leaving before everything was written to the neighbours", "bytes", queued)
				return
			}
		}
	}
}

// How long to wait for the last links at the end. A link closes itself 500 ms after its
// goodbye if the peer does not answer it.
const (
	goodbyeTime = 2 * time.Second
	hurriedTime = 1 * time.Second // once the caller's ctx has ended
)

// awaitEnds waits until links have closed.
func (n *Node) awaitEnds(ctx context.Context, which question[[]*transport.Link]) {
	list, _ := ask(&n.mailbox, which)
	late := time.NewTimer(goodbyeTime)
	defer late.Stop()
	defer context.AfterFunc(ctx, func() { late.Reset(hurriedTime) })()
	for _, l := range list {
		select {
		case <-l.Done():
		case <-late.C:
			return
		case <-n.ended:
			return
		}
	}
}
