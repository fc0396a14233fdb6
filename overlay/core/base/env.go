// Package base is what the machines of one peer share: its configuration, the time of the
// current input, the effects so far, and the signed records by which peers name each other.
package base

import (
	"time"
)

// Backoff after failed dials in a row (guesses).
const (
	FirstBackoff = 250 * time.Millisecond
	MaxBackoff   = 30 * time.Second
	LostBackoff  = 2 * time.Second // for lost peers; heal decides how often they are dialled at all
	JoinBackoff  = 1 * time.Second // at most, between attempts at an address to join
)

// A happening is something that one machine finds out and others have to know. Core passes it on
// when the machine has returned, so that no machine calls one below it.

// Happening is a struct, declared beside the machine that finds it out.
type Happening any

// Happen records something that other machines have to know.
func (en *Env) Happen(what Happening) { en.Events = append(en.Events, what) }

// Env is shared by the machines of a core: who the peer is, how far it has come, the time of the
// current input, and the effects so far.
type Env struct {
	Cfg      Config
	Now      time.Duration
	NextTick time.Duration
	Out      Effects
	Events   []Happening // for Core.settle
	Passes   *Passes     // who belongs to a private network
	Counts   Counts

	Accepted bool          // a door has let us in, or we are the network
	Ready    bool          // the user has been shown who is here
	ReadyAt  time.Duration // since when
	Leaving  bool          // we have said goodbye
	Ended    bool          // this peer has stopped
	Visiting bool          // we are a visitor, see overlay/core/visitors.go
	JoinBy   time.Duration // when to give up joining; 0: never
	// Untried says that we have begun as a network of our own and nobody has judged our epoch
	// yet: a later run of ours that others know is then one from before the clock went back.
	Untried bool
}

// Begin sets the time of an input.
func (en *Env) Begin(now time.Duration) {
	if now > en.Now {
		en.Now = now
	}
}

// Wake asks for a tick at that time, if it is sooner than the next.
func (en *Env) Wake(at time.Duration) { en.NextTick = min(en.NextTick, max(at, en.Now)) }

// Jitter is a random part of a duration, so that peers that start together do not
// go on doing everything together.
func (en *Env) Jitter(d time.Duration) time.Duration {
	return time.Duration(en.Cfg.Rand.Int64N(int64(d)))
}

func (en *Env) Note(level Level, text string, args ...any) { en.Tell(level, Remark, text, args...) }

// Tell is note for events that are counted.
func (en *Env) Tell(level Level, kind Kind, text string, args ...any) {
	en.Out.Notes = append(en.Out.Notes, Note{level, kind, text, args})
}

// Backoff is the pause after so many failures, between half and all of
// FirstBackoff·2^(failures-1).
func (en *Env) Backoff(failures int, most time.Duration) time.Duration {
	d := min(FirstBackoff<<min(failures-1, 16), most)
	return d/2 + time.Duration(en.Cfg.Rand.Int64N(int64(d/2)+1))
}

// Staying: a visitor does something that only members do.
type Staying struct{}

// TableTaken: we have the whole table of a door, or are alone.
type TableTaken struct{}

// Failed: this peer has to stop.
type Failed struct{ Why error }
