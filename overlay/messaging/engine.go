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
// The words: a [delivery.Outbox] is the messages to one peer without a receipt; the
// receiver is what the engine knows and does about that peer, on three lanes; a
// [delivery.Inbox] is what is remembered of a peer that writes to us, the sender; a
// reader reads the message streams of one link.
//
// An [Engine] does not know the network. What it wants of it goes out as a [Wish], which
// the owner grants on its loop; what it has to know comes in as method calls, of which
// those that say so are made on the loop, one after the other.
//
// # Locks
//
// They are taken in this order, and none is held while waiting for anything else:
//
//	Directory.mu → senders.mu → receiver.mu, sender.mu → budget, EventQueue, tally, Disk
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
)

// Config is what an engine is made of.
type Config struct {
	ID        certs.ID
	Identity  *certs.Identity
	Network   string
	Nonce     uint64    // of this run
	Start     time.Time // the origin of its time
	NoCustody bool      // nothing is left with others
	Disk      *Disk
	Met       []Contact // in earlier runs
	Log       *slog.Logger
	// Wish has the owner's loop grant a wish; it may wait for the loop, and after the loop's
	// end does nothing.
	Wish func(Wish)
	// Fail tells the owner why it has to end. It may not call the engine.
	Fail func(error)
}

// Engine is the direct messages of a peer. Its methods may be called by any goroutine
// but for those that are the loop's.
type Engine struct {
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
	unanswered tally // messages shown of which that is not safe, and answers that are not sent
	custodian  custodian

	// The loop's own.
	links      map[uint64]*Link // that are up, by number
	words      []lastWord       // from earlier runs
	nextExpire time.Duration
}

// now is the engine's time.
func (e *Engine) now() time.Duration { return time.Since(e.cfg.Start) }

// author is who writes our letters.
func (e *Engine) author() delivery.Author {
	return delivery.Author{ID: e.cfg.ID, Identity: e.cfg.Identity, Network: e.cfg.Network}
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
func (e *Engine) NewMessage(body, ref string) *delivery.Outgoing {
	m := e.ids.next()
	m.Body, m.Ref, m.SentAt, m.Taken = body, ref, time.Now(), e.now()
	return m
}
