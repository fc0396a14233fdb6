package link

import (
	"net/netip"
	"slices"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
)

// Bounds of what is believed of peers that we know by the word of others alone, guesses.
const (
	maxBelieved  = 64              // at once of one host, while nothing speaks for it
	believeEvery = 5 * time.Second // and later; 18,000 in a day
	maxGood      = 10              // doublings: 65,536 at once
	worstGood    = -4
	lieCosts     = 4                // so four in five have to live
	goodFor      = 30 * time.Second // until one less
	badFor       = 5 * time.Minute  // until one better
	maxClaims    = 64               // of one host that may be looked at
	maxTrials    = 8                // of one host; with 64 their pings fill the link by which two networks of 150 meet (simulated)
	buriedBurst  = 1024             // peers that we have not known in life, of one host at once
	buriedEvery  = 20 * time.Millisecond
)

// Word is what the peers of one host say of peers that we have not met, and how far that is
// believed. Keys cost nothing, and links little; so it is the host that counts, whatever keys its
// links are of.
type Word struct {
	Host   string
	Good   int      // so many more of those that we have looked at live than do not; negative: each is looked at before it is believed
	Lies   int      // in a row, of those believed
	Claims []Claim  // some of those believed
	Trials []*Trial // not believed yet
	fades  time.Duration
	taken  base.Limiter
	buried base.Limiter
}

// Claim is an entry of the table that we know by a word alone.
type Claim struct {
	Entry  *table.Entry
	Taken  time.Duration // when it was believed
	Due    time.Duration // it is not looked at before, unless more presses
	Looked bool          // it is, or was, looked at
}

// Trial is a peer that is not in the table before it has answered.
type Trial struct {
	Link   base.LinkID // that has named it
	News   News
	Number uint64 // of the pings
	Tries  int
	Next   time.Duration
}

// HostOf names the host at the other end of a link; of an IPv6 address the subnet, since a host has
// as many as it likes. On our own host, or where nothing is known, the key has to do.
func (l *Link) HostOf() string {
	a, err := netip.ParseAddrPort(l.Address)
	ip := a.Addr().Unmap().WithZone("")
	switch {
	case err != nil || ip.IsLoopback():
		return l.Key.String()
	case ip.Is6():
		return netip.PrefixFrom(ip, 64).Masked().String()
	}
	return ip.String()
}

// most is how many may be believed before one of them has to prove to live.
func (w *Word) most() time.Duration {
	if w.Good < 0 {
		return 0
	}
	return maxBelieved << w.Good
}

// Believes reports whether one more can be believed at once.
func (w *Word) Believes(now time.Duration) bool {
	return max(0, w.taken.Next-now) < w.most()*believeEvery
}

// Presses reports whether so many are believed that some should be looked at, since more may come, or
// whether one of them was not alive.
func (w *Word) Presses(now time.Duration) bool {
	return w.Good < 0 || w.taken.Next-now >= w.most()*believeEvery/4
}

// Took records that one is believed, and when it may be looked at.
func (w *Word) Took(e *table.Entry, now, due time.Duration) {
	w.taken.Next = max(w.taken.Next, now) + believeEvery
	if len(w.Claims) == maxClaims {
		w.Claims = w.Claims[1:]
	}
	w.Claims = append(w.Claims, Claim{Entry: e, Taken: now, Due: due})
}

// Lives records that one of those believed or on trial has proved to live: so the others may well, too.
func (w *Word) Lives(now time.Duration) {
	w.Good, w.Lies = min(w.Good+1, maxGood), 0
	w.taken.Next = min(w.taken.Next, now+time.Duration(len(w.Claims))*believeEvery)
	w.fades = now + goodFor
}

// Failed records that one on trial does not answer.
func (w *Word) Failed(now time.Duration) {
	w.Good = max(w.Good-1, worstGood)
	w.fades = now + badFor
}

// Lied records that one that was believed does not live.
func (w *Word) Lied(now time.Duration) {
	w.Lies++
	w.Good = max(w.Good-lieCosts, worstGood)
	w.fades = now + badFor
}

// Fade forgets what was long ago: a host may have a liar by now, or none any more.
func (w *Word) Fade(now time.Duration) {
	switch {
	case w.Good == 0 || now < w.fades:
	case w.Good > 0:
		w.Good--
		w.fades = now + goodFor
	default:
		w.Good++
		w.fades = now + badFor
	}
}

// MayTry reports whether one more can be put on trial.
func (w *Word) MayTry() bool { return len(w.Trials) < maxTrials }

// MayBury reports whether one more peer is taken that we have not known in life; it counts if it does.
func (w *Word) MayBury(now time.Duration, counts bool) bool {
	if counts {
		return w.buried.Take(now, buriedBurst, buriedEvery)
	}
	return w.buried.Spend(now, buriedBurst*buriedEvery, 0)
}

// Find returns where the claim about an entry is, -1 if there is none.
func (w *Word) Find(e *table.Entry) int {
	return slices.IndexFunc(w.Claims, func(c Claim) bool { return c.Entry == e })
}

// Look records that a claim is looked at, and puts it behind the others.
func (w *Word) Look(c Claim) {
	if i := w.Find(c.Entry); i >= 0 {
		c.Looked = true
		w.Claims = append(slices.Delete(w.Claims, i, i+1), c)
	}
}
