package link

import (
	"slices"
	"time"

	"quicpeer/certs"
)

// A peer that breaks the protocol, by a fault or on purpose, does so again over the next link. So
// it is logged once, and dialled more and more seldom.

// Bounds of it, guesses.
const (
	maxOffenders = 64
	offenceFor   = time.Hour // then it is as if it had never been
	offencesTold = 4         // different ones of one peer
)

// offences records the peers that have broken the protocol lately, the last one at the end.
type offences struct{ list []offence }

type offence struct {
	key  certs.PublicKey
	why  string
	at   time.Duration
	many int
}

// note counts an offence. many is how often the peer has offended so far, and again says that the
// log has this very offence already, or enough of this peer.
func (o *offences) note(key certs.PublicKey, why string, now time.Duration) (many int, again bool) {
	f := offence{key: key}
	if i := slices.IndexFunc(o.list, func(f offence) bool { return f.key == key }); i >= 0 {
		if now < o.list[i].at+offenceFor {
			f = o.list[i]
		}
		o.list = slices.Delete(o.list, i, i+1)
	} else if len(o.list) == maxOffenders {
		o.list = slices.Delete(o.list, 0, 1)
	}
	again = f.why == why || f.many >= offencesTold
	f.why, f.at = why, now
	f.many++
	o.list = append(o.list, f)
	return f.many, again
}
