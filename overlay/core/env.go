package core

import (
	"time"
)

// Backoff after failed dials in a row (guesses).
const (
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 30 * time.Second
	lostBackoff  = 2 * time.Second // for lost peers; heal decides how often they are dialled at all
	joinBackoff  = 1 * time.Second // at most, between attempts at an address to join
)

// A happening is something that one machine finds out and others have to know. Core passes it on
// when the machine has returned, so that no machine calls one below it.

// happening is a struct, declared beside the machine that finds it out.
type happening any

// happen records something that other machines have to know.
func (en *env) happen(what happening) { en.events = append(en.events, what) }

// env is shared by the machines of a core: who the peer is, how far it has come, the time of the
// current input, and the effects so far.
type env struct {
	cfg      Config
	now      time.Duration
	nextTick time.Duration
	out      Effects
	events   []happening // for Core.settle

	accepted bool          // a door has let us in, or we are the network
	ready    bool          // the user has been shown who is here
	leaving  bool          // we have said goodbye
	ended    bool          // this peer has stopped
	visiting bool          // we are a visitor, see visitors.go
	joinBy   time.Duration // when to give up joining; 0: never
	// untried says that we have begun as a network of our own and nobody has judged our epoch
	// yet: a later run of ours that others know is then one from before the clock went back.
	untried bool
}

// begin sets the time of an input.
func (en *env) begin(now time.Duration) {
	if now > en.now {
		en.now = now
	}
}

// wake asks for a tick at that time, if it is sooner than the next.
func (en *env) wake(at time.Duration) { en.nextTick = min(en.nextTick, max(at, en.now)) }

// jitter is a random part of a duration, so that peers that start together do not
// go on doing everything together.
func (en *env) jitter(d time.Duration) time.Duration {
	return time.Duration(en.cfg.Rand.Int64N(int64(d)))
}

func (en *env) note(level Level, text string, args ...any) { en.tell(level, Remark, text, args...) }

// tell is note for events that are counted.
func (en *env) tell(level Level, kind Kind, text string, args ...any) {
	en.out.Notes = append(en.out.Notes, Note{level, kind, text, args})
}

// backoff is the pause after so many failures, between half and all of
// firstBackoff·2^(failures-1).
func (en *env) backoff(failures int, most time.Duration) time.Duration {
	d := min(firstBackoff<<min(failures-1, 16), most)
	return d/2 + time.Duration(en.cfg.Rand.Int64N(int64(d/2)+1))
}

// staying: a visitor does something that only members do.
type staying struct{}

// tableTaken: we have the whole table of a door, or are alone.
type tableTaken struct{}

// failed: this peer has to stop.
type failed struct{ why error }
