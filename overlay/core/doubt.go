package core

import (
	"time"
)

// Bounds of our patience, guesses unless said otherwise.
const (
	isolatedAfter = 3 * time.Second        // without hearing anybody, before all are shown as lost
	doubtLate     = 300 * time.Millisecond // a tick so late: we may be deaf ourselves
	patienceFor   = 10 * time.Minute       // with a peer that has refuted a LOST
	mostPatience  = 8 * time.Second        // the study's figure
	lagWeight     = 8                      // patience added for each unit of our own lateness
	lagFades      = 32                     // in ticks: half of the lag in 6 s
)

// doubt judges whether we may be the one who can't hear, and how much longer we therefore wait
// for others. It is Lifeguard's local health awareness, by the lateness of our own ticks.
type doubt struct {
	*env
	lastHeard time.Duration // from any peer
	deaf      bool          // no link is heard
	// deafProven: a dial has failed since the last link fell silent.
	deafProven bool
	storm      bool          // several links are silent
	lag        time.Duration // by how much ticks come late, the worst of the last seconds
	doubtTill  time.Duration
}

// leniency is added to all allowed silence while we are late to our own work, since packets may
// then wait in our queues. Without it an overloaded machine calls the living lost, and the floods
// and links that follow give it even more to do.
func (db *doubt) leniency() time.Duration { return min(lagWeight*db.lag, mostPatience) }

// patience is how long a link may be silent. It grows each time the peer has refuted a LOST.
func (db *doubt) patience(l *link) time.Duration {
	p := quietAfter
	if e := l.entry; e != nil && e.our().revived > 0 && db.now < e.our().revivedAt+patienceFor {
		for range e.our().revived {
			p += p / 2
		}
	}
	return min(p, mostPatience) + db.leniency() + l.slowness()
}

// doubtful reports whether we may be the one who can't hear.
func (db *doubt) doubtful() bool { return db.deaf || db.now < db.doubtTill }
