package core

import (
	"time"
)

// Bounds of our awareness, guesses unless said otherwise.
const (
	isolatedAfter = 3 * time.Second        // without hearing anybody, before all are shown as lost
	lateStep      = 100 * time.Millisecond // we are so late: one worse
	worstHealth   = 6                      // with it 9.8 s of silence are allowed; the study had 9.4 s
	betterEvery   = time.Second            // one better
)

// doubt judges whether we may be the one who can't hear. Its score is Lifeguard's local health
// multiplier: all times that we allow others are longer by as much. It grows when we come late to
// our own work, since packets may then wait in our queues, and when others contradict us; else it
// shrinks. Without it an overloaded machine calls the living lost, and the floods and links that
// follow give it even more to do.
type doubt struct {
	*env
	score  int           // 0: we are well
	better time.Duration // when it shrinks

	lastHeard time.Duration // from any peer
	deaf      bool          // no link is heard
	// deafProven: a dial has failed since the last link fell silent.
	deafProven bool
	storm      bool // several links are silent
}

// stretch is a time that we allow others.
func (db *doubt) stretch(d time.Duration) time.Duration { return d * time.Duration(1+db.score) }

// atLeast worsens the score to the given one.
func (db *doubt) atLeast(score int) {
	if score > 0 && score >= db.score {
		db.score, db.better = min(score, worstHealth), db.now+betterEvery
	}
}

// recover lets the score shrink with time.
func (db *doubt) recover() {
	if db.score > 0 && db.now >= db.better {
		db.score, db.better = db.score-1, db.now+betterEvery
	}
}

// patience is how long a link may be silent.
func (db *doubt) patience(l *link) time.Duration { return db.stretch(quietAfter) + l.slowness() }

// doubtful reports whether we may be the one who can't hear, and so had better not judge others.
func (db *doubt) doubtful() bool { return db.deaf || db.score >= worstHealth }

// giveTime decides how long a suspect may refute. Two accusers of an old LOST are as good as one:
// where two halves of a network meet there are many suspects, who all refute at once.
func (db *doubt) giveTime(e *entry) {
	e.side.until = e.side.since + suspectAlone
	if len(e.side.accusers) > 1 && e.side.since < e.said+suspectAlone {
		e.side.until = e.side.since + min(db.stretch(suspectFor), suspectAlone)
	}
}
