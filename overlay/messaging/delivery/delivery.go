// Package delivery decides about the messages to one peer: which of them are on their way and
// which come next ([Outbox], the sender's side), which are new, repeats, too early or too late
// ([Inbox], the receiver's side), and how they travel sealed over other peers ([Seal],
// [Open]).
//
// The two sides are machines without I/O, clock or goroutines, so that the simulator
// in this package's tests can crash them between any two writes to the disk.
//
// # Once, and in order
//
// Each message has a [Position] among all messages of its sender: the epoch of the run that
// accepted it and a counter that rises from message to message. The outbox of a receiver holds
// its messages by position until each is settled: by a receipt of the receiver, or because it
// has waited too long. On every path the outbox sends them in this order and, when a path has
// failed, again from the oldest.
//
//	sender                                             receiver
//	7 8 9  ── direct: 7 8 9, one after the other ────▶  taken 9, shown 8
//	       ◀── receipts of 7 8 ────────────────────────
//	9 10   ── over others: 10 after 9 ───────────────▶  waits for 9
//	       ── over others: 9 ────────────────────────▶  9, then 10
//
// The receiver remembers one position of each run of a sender to recognize repeats: how far it
// has shown. A run is an epoch and a random nonce, since a sender whose state was restored
// from a backup may use an epoch and its counters again; the last messages are also known by a
// hash of their contents, since a machine that was restored with its memory uses the nonce
// again, too. Direct messages come in order, since a connection keeps it. Letters over other
// peers are overtaken and lost, so each names the position that must be shown before it, and
// waits for that. A position can be missing for ever, if its message was left with a holder
// that is gone and its sender is gone too. After [Patience] it is passed over, which the
// receiver notes as a [Gap]: if the message comes after all it is refused, and its sender
// reports it as failed.
package delivery

import (
	"cmp"
	"time"
)

// Position is a message's place among all messages of its sender. The zero value
// stands before all of them.
type Position struct{ Epoch, Counter uint64 }

// Compare orders positions: negative if p is before q.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Epoch, q.Epoch), cmp.Compare(p.Counter, q.Counter))
}

// possible says whether a message can have this position: counters begin at 1, and those with
// the highest bit are of broadcasts.
func (p Position) possible() bool { return p.Counter > 0 && p.Counter < 1<<63 }

// Before says that p comes before q.
func (p Position) Before(q Position) bool { return p.Compare(q) < 0 }

// Lifetime is how long a message waits for its receiver, while its sender runs, before it
// fails. Patience is how long a letter waits for a message that should have come before it (a
// guess: long enough for a holder of that message to come back, and short enough that a chat
// is not forgotten meanwhile).
const (
	Lifetime = 7 * 24 * time.Hour
	Patience = time.Hour
)
