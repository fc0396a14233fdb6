package core

import (
	"time"
)

// doubt is whether it may be us who can't hear, and for how much longer than others we
// wait because of that.
type doubt struct {
	*env
	lastHeard time.Duration // anybody
	deaf      bool          // no link is heard
	// deafProven: a dial has failed since no link is heard.
	deafProven bool
	storm      bool          // several links are silent
	lag        time.Duration // by how much ticks come late, the worst of the last seconds
	doubtTill  time.Duration
}

// leniency is what we add to all silence because we come late to our own work: so may
// what we should have heard. Without it a machine with too much to do calls the living
// lost, and the floods and links that follow leave it even more to do.
func (db *doubt) leniency() time.Duration { return min(lagWeight*db.lag, mostPatience) }

// patience is how long a link may be silent. It grows with each time that the peer was
// called lost and was not.
func (db *doubt) patience(l *link) time.Duration {
	p := quietAfter
	if e := l.entry; e != nil && e.our().revived > 0 && db.now < e.our().revivedAt+patienceFor {
		for range e.our().revived {
			p += p / 2
		}
	}
	return min(p, mostPatience) + db.leniency() + l.slowness()
}

// doubtful says that it may be us who can't hear.
func (db *doubt) doubtful() bool { return db.deaf || db.now < db.doubtTill }
