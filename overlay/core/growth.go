package core

import (
	"slices"
	"time"
)

// What a newer version says that this one doesn't know: see "How the wire grows" in
// pb/quicpeer.proto.

// maxFeatures is how many of the features that the other side of a link names are
// remembered (a guess).
const maxFeatures = 64

// foreign is what the other side of a link has of its own.
type foreign struct {
	features []uint32 // that it knows
	unread   allowance
	noted    bool // something could not be read
}

// name takes the features that the other side knows.
func (f *foreign) name(features []uint32) {
	f.features = slices.Clone(features[:min(len(features), maxFeatures)])
}

// knows says that the other side has named a feature: what is new may be sent to it.
func (f *foreign) knows(feature uint32) bool { return slices.Contains(f.features, feature) }

// skip drops an announcement or a broadcast that can't be read: a newer peer has made
// it, and who has sent it to us need not be that one. False says that there are so many
// that the link is closed: more than a network brings together (guesses).
func (ls *links) skip(l *link, why error) bool {
	if l == nil {
		return true
	}
	if !l.foreign.unread.take(ls.now, 8192, 10*time.Millisecond) {
		ls.violation(l, "too much that can't be read")
		return false
	}
	if !l.foreign.noted {
		l.foreign.noted = true
		ls.note(Debug, "something that can't be read is dropped, as will be all that follows", "peer", string(l.peer), "address", l.address, "why", why)
	}
	return true
}
