// Package messaging carries direct messages: it sends ours until each has its
// receipt, and shows those of others once, in order.
//
//	Send ──▶ receiver ─┬─ direct:  streams of a link ──────────▶ its peer
//	                   ├─ relayed: sealed letters over others ─▶ its peer
//	                   └─ left:    deposits kept by others ────▶ its peer, later
//
//	link ──────▶ reader ──▶ sender ──▶ EventQueue ──▶ the program
//	letter ───────────────▶           (handled: noted on the disk, then receipts)
//
// The words: a [delivery.Outbox] holds the messages to one peer without a receipt; the
// receiver is the engine's side towards that peer, with three lanes; a [delivery.Inbox] is the
// memory of a peer that writes to us, the sender; a reader reads the message streams of one
// link.
//
// An [Engine] does not know the network. Its requests to the network go out as [Wish]es, which
// the owner grants on its loop; facts about the network come in as method calls, some of
// which, as their comments say, are made on the loop, one after the other.
//
// # Locks
//
// Locks are taken in this order, and none is held while waiting for anything else:
//
//	Directory.mu → senders.mu → receiver.mu, sender.mu → requests.mu → Ignored, budget, EventQueue, tally, Disk
//
// The owner's Fail, Config.Fail, may be called under any of them.
package messaging

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// Config is the configuration of an engine.
type Config struct {
	ID        certs.ID
	Identity  *certs.Identity
	Network   string
	Members   *Members  // of a private network; nil: it is open
	Nonce     uint64    // of this run
	Start     time.Time // the origin of its time
	NoCustody bool      // nothing is left with others
	Disk      *Disk
	Met       []Contact // in earlier runs
	// Tag names a broadcast, for the Latest of a room.
	Tag func(*pb.BroadcastContent) uint64
	Log *slog.Logger
	// Wish passes a wish to the owner's loop; it may wait for the loop, and does nothing after
	// the loop's end.
	Wish func(Wish)
	// Fail reports to the owner why it has to end. It may not call the engine.
	Fail func(error)
}

// Engine sends and receives the direct messages of a peer. Its methods may be called by any
// goroutine, except those that belong to the loop.
type Engine struct {
	Ignored Ignored // whose messages are not shown
	Rooms   Rooms   // that the peer is in
	// Precedence is what files give to messages.
	Precedence Precedence

	cfg    Config
	log    *slog.Logger
	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	begun  chan struct{} // closed by Begin: nothing from others is shown before
	wg     sync.WaitGroup

	events     *EventQueue
	disk       *Disk
	ids        MessageIDs
	held       budget // bytes in all outboxes
	directory  Directory
	senders    senders
	letters    letters
	answers    answers
	requests   requests
	unanswered tally // shown messages whose note is not safe yet, and answers that are not sent
	custodian  custodian
	commits    commits

	// The loop's own.
	links      map[uint64]*Link // that are up, by number
	early      []item           // what earlier runs have written to the history, and not shown
	words      []lastWord       // from earlier runs
	nextExpire time.Duration
}

// now is the engine's time.
func (e *Engine) now() time.Duration { return time.Since(e.cfg.Start) }

// author is this peer as the author of letters.
func (e *Engine) author() delivery.Author {
	a := delivery.Author{ID: e.cfg.ID, Identity: e.cfg.Identity, Network: e.cfg.Network}
	if e.cfg.Members != nil {
		a.Pass = e.cfg.Members.Own()
	}
	return a
}

// hasBegun says that Begin was called.
func (e *Engine) hasBegun() bool {
	select {
	case <-e.begun:
		return true
	default:
		return false
	}
}

// NewMessage gives a message its ID and position.
func (e *Engine) NewMessage(d Draft) *delivery.Outgoing {
	m := e.ids.next()
	m.Body, m.Binary, m.Ref, m.ReplyTo, m.WantsReply = d.Body, d.Binary, d.Ref, d.ReplyTo, d.WantsReply
	m.Kind, m.About = d.Kind.Wire(), d.About
	m.SentAt, m.Taken = time.Now(), e.now()
	if d.request != nil {
		e.requests.awaitReply(m.ID, d.request)
	}
	return m
}
