package messaging

import (
	"errors"
	"io"
	"time"

	"quicpeer/overlay/messaging/delivery"
	"quicpeer/transport"
)

// A message stream that is cancelled, or ends in the middle of a frame, costs that stream and
// not the link. Positions rise, and a receiver that has shown a later one has shown all before
// it; so it may take nothing behind a lost stream until the lost messages have come.
//
//	sender                                   receiver
//	7 8 ──▶ cut off behind 7                 has taken 7, waits for the sender
//	9 10 ─▶                                  refuses it: 9 is the first it refuses
//	all that has no receipt goes again,
//	from the oldest on, one stream at a time
//	8 9 10 ──▶                               8 is not behind 9: the sender has begun again
//
// If 8 and 9 are settled otherwise by then, as they were withdrawn or a letter has brought them, 10 is
// behind 9 for ever. So the sender cuts off a stream itself: the receiver then refuses 10 once, and
// takes it the next time.

// cutOff says that a stream has failed by itself: the link lives.
func cutOff(err error) bool {
	var reset *transport.ResetError
	return err == io.ErrUnexpectedEOF || err == errNoReceipt || err == errStopped || errors.As(err, &reset)
}

var (
	errNoReceipt = errors.New("the peer has ended its answers before the last receipt")
	// errStopped: a stream can't be ended, since its receiver has cut it off; the news of that comes
	// in two parts.
	errStopped = errors.New("the peer reads the stream no more")
	// errNotAgain: something before this stream is lost, and its sender has not begun again.
	errNotAgain = errors.New("an earlier message stream was cut off")
)

// Pauses before messages that were cut off, or got a receipt that settles nothing, go again
// (guesses): from the first, doubling, to the last.
const (
	againFirst  = 50 * time.Millisecond
	againMost   = time.Minute
	repeatFirst = time.Second
)

// again is the state of a lane after a stream of its link was cut off, or a message got a
// receipt with an unknown code.
type again struct {
	round    int           // streams of earlier rounds are void
	failures int           // rounds in a row that were cut off
	at       time.Duration // when the next begins

	began delivery.Position // the first message of the last of them
	anew  bool              // the next begins behind it, so the receiver has to be told

	repeats  int           // of messages whose receipt settles nothing
	repeatAt time.Duration // when they go again; 0: there are none
}

// begin notes the first message of a batch, which begins a round if streams were cut off.
func (a *again) begin(first delivery.Position) {
	a.anew = a.failures > 0 && a.began.Before(first)
	if a.failures > 0 {
		a.began = first
	}
}

// next is when messages go again, 0 if none do.
func (a *again) next(now time.Duration) time.Duration {
	switch {
	case a.failures > 0 && now < a.at && (a.repeatAt == 0 || a.at < a.repeatAt):
		return a.at
	default:
		return a.repeatAt
	}
}
