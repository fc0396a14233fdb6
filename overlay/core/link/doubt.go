package link

import (
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
)

// Bounds of our awareness, guesses unless said otherwise.
const (
	IsolatedAfter = 3 * time.Second        // without hearing anybody, before all are shown as lost
	LateStep      = 100 * time.Millisecond // we are so late: one worse
	WorstHealth   = 6                      // with it 9.8 s of silence are allowed; the study had 9.4 s
	betterEvery   = time.Second            // one better
)

// Doubt judges whether we may be the one who can't hear. Its score is Lifeguard's local health
// multiplier: all times that we allow others are longer by as much. It grows when we come late to
// our own work, since packets may then wait in our queues, and when others contradict us; else it
// shrinks. Without it an overloaded machine calls the living lost, and the floods and links that
// follow give it even more to do.
type Doubt struct {
	*base.Env
	links  *Links
	Score  int           // 0: we are well
	better time.Duration // when it shrinks

	LastHeard time.Duration // from any peer
	Deaf      bool          // no link is heard
	// DeafProven: a dial has failed since the last link fell silent.
	DeafProven bool
	Storm      bool // several links are silent
}

// NewDoubt returns the doubt of a peer that is well.
func NewDoubt(en *base.Env, ls *Links) *Doubt { return &Doubt{Env: en, links: ls, LastHeard: en.Now} }

// Stretch is a time that we allow others.
func (db *Doubt) Stretch(d time.Duration) time.Duration { return d * time.Duration(1+db.Score) }

// AtLeast worsens the score to the given one.
func (db *Doubt) AtLeast(score int) {
	if score > 0 && score >= db.Score {
		db.Score, db.better = min(score, WorstHealth), db.Now+betterEvery
	}
}

// Recover lets the score shrink with time.
func (db *Doubt) Recover() {
	if db.Score > 0 && db.Now >= db.better {
		db.Score, db.better = db.Score-1, db.Now+betterEvery
	}
}

// Patience is how long a link may be silent.
func (db *Doubt) Patience(l *Link) time.Duration { return db.Stretch(QuietAfter) + l.Slowness() }

// Doubtful reports whether we may be the one who can't hear, and so had better not judge others.
func (db *Doubt) Doubtful() bool { return db.Deaf || db.Score >= WorstHealth }

// GiveTime decides how long a suspect may refute. Two accusers of an old LOST are as good as one:
// where two halves of a network meet there are many suspects, who all refute at once. So are any
// number of a suspect that we hear ourselves, theirs is the bad path, and of one that such were wrong
// about just now. Accusers can be invented. So what a suspect gets in any case is the time that its word
// takes to come, where it or we are far away from most others.
func (db *Doubt) GiveTime(e *table.Entry) {
	give, far := table.SuspectAlone, e.Record.RoundTrip+db.links.table.Self.Record.RoundTrip
	l := db.links.LinkTo(e.Record.Key)
	if l != nil {
		far = max(far, min(l.RoundTrip, base.MaxRoundTrip))
	}
	heard := l != nil && l.HeardLately(db.Now)
	refuted := e.Side.Refuted > 0 && db.Now < e.Side.Refuted+table.RefutedFor
	if len(e.Side.Accusers) > 1 && !heard && !refuted && e.Side.Since < e.Said+table.SuspectAlone {
		give = min(db.Stretch(table.SuspectFor), table.SuspectMost)
	}
	e.Side.Until = e.Side.Since + give + far
}
