package reach

import (
	"cmp"
	"slices"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
)

// A record can name any address, so a dial to one at which its peer was never met may hit a victim:
// a member could make each peer send it packets, and these are larger than the record. So what the
// network sends to such addresses is bounded as a whole, however many peers it has:
//
//   - Few addresses are dialled at once, and briefly at first: two packets, and two more after
//     200 ms. An attempt in vain is repeated more seldom than usual, at the next addresses.
//   - A peer that has just come or has few neighbours dials anybody, and so does one that lacks any, as long
//     as it is answered: where records are true, neighbours that go are replaced at once. All others take
//     turns: at any time a few of all peers may.
//   - Each peer has an allowance of such dials, of which those come back that are answered.
//   - Who has just lost as many peers as it still has links to may be cut off with few others, and
//     has to find these among all: it dials as if it had met everybody.
//
// So in an honest network, where nearly everybody answers, little of this is felt. A peer that
// messages wait for is dialled without turn or allowance, since our own user wants it.

// Bounds of dials to peers never met where they say, guesses except those derived here. One that nobody
// answers is as a rule 8 packets of 1228 bytes, with UDP's and IP's headers. By turns the network sends
// three times so much in 10 s at most, 3 kB a second; the packets that keep seven links of a member alive are
// 1 kB a second.
const (
	unmetAtFirst   = 7 // at once, by a peer that has just come: one for each neighbour it wants
	unmetProven    = 4 // at once, by one whose last was answered, as long as it lacks neighbours
	UnmetEvery     = 30 * time.Second
	unmetAddresses = 2                      // of a peer, in one dial
	unmetTimeout   = 500 * time.Millisecond // of the first dial, doubled with each failure
	unmetBackoff   = 5 * time.Minute        // at most, between two dials
	unmetMeeting   = 25 * time.Second       // of the SYNCs of a link, what one to such a peer is worth, see TestSimReflector
	turnFor        = 10 * time.Second       // how long it is one peer's turn
	turns          = 3                      // peers at a time
	newFor         = 15 * time.Second       // after it has joined, a peer has just come
	freeBelow      = 3                      // neighbours: with fewer a peer needs no turn
	freeAtFirst    = 5                      // the same of one that has just come
	bereftFor      = 5 * time.Minute        // so long a lost peer counts
)

// unmet decides which of the peers never met may be dialled.
type unmet struct {
	*base.Env
	table  *table.Table
	links  *link.Links
	spent  base.Limiter // of the allowance
	secret uint64       // see isOurTurn
	proven bool         // the last dial that the allowance paid for was answered
	bereft struct {     // see isBereft
		is     bool
		looked time.Duration // when that was found out
	}
}

// mayDial reports whether a peer may be dialled that no message waits for.
func (un *unmet) mayDial(e *table.Entry) bool {
	return e.Our().LastAddress != "" || un.isBereft() || un.maySpare() && (un.links.Neighbours() < un.free() || un.isOurTurn())
}

// maySpare reports whether the allowance has one left.
func (un *unmet) maySpare() bool {
	copied := un.spent
	return copied.Spend(un.Now, un.spare(), UnmetEvery)
}

// free is with fewer neighbours than how many we need no turn.
func (un *unmet) free() int {
	switch {
	case un.proven:
		return table.WantNeighbours
	case un.isNew():
		return freeAtFirst
	}
	return freeBelow
}

// spare is what may be spent at once: one dial, but more by a newcomer, and while they are answered.
func (un *unmet) spare() time.Duration {
	switch {
	case un.isNew():
		return (unmetAtFirst - 1) * UnmetEvery
	case un.proven && un.links.Neighbours() < table.WantNeighbours:
		return (unmetProven - 1) * UnmetEvery
	}
	return 0
}

// isBereft reports whether, of the peers that we had links to, as many are silent or were lost lately as are here.
func (un *unmet) isBereft() bool {
	if un.Now == un.bereft.looked {
		return un.bereft.is
	}
	here, gone := 0, 0
	for _, l := range un.links.List {
		switch {
		case l.State != link.LinkUp:
		case l.Quiet:
			gone++
		default:
			here++
		}
	}
	for _, e := range un.table.Lost {
		if e.Our().LastAddress != "" && (e.Missing || e.Buried() && un.Now < e.Said+bereftFor) {
			gone++
		}
	}
	un.bereft.looked, un.bereft.is = un.Now, gone > 0 && gone >= here
	return un.bereft.is
}

// isNew reports whether we have just come, or are still joining.
func (un *unmet) isNew() bool {
	return !un.Ready || un.Now < un.ReadyAt+newFor
}

// isSlow reports whether a link of ours is slow, so that a handshake may be, too.
func (un *unmet) isSlow() bool {
	return slices.ContainsFunc(un.links.List, func(l *link.Link) bool { return l.State == link.LinkUp && l.Slowness() > 0 })
}

// isOurTurn reports whether it is our turn to dial peers never met. When that is nobody else can tell.
func (un *unmet) isOurTurn() bool {
	if un.secret == 0 {
		un.secret = un.Cfg.Rand.Uint64() | 1
	}
	return (un.secret>>1+uint64(un.Now/turnFor))%uint64(len(un.table.Entries)) < turns
}

// metAt reports whether an address is where a peer was last met.
func metAt(last, address string) bool {
	a, b := ParseAddress(last), ParseAddress(address)
	return a.IsValid() && b.IsValid() && base.Host(a.Addr()) == base.Host(b.Addr())
}

// MaySpare reports whether the allowance of dials to peers never met has one left.
func (re *Reach) MaySpare() bool { return re.unmet.maySpare() }

// Cautious splits the addresses of a peer into those at the host where it was met last, and a few of the
// others: after each failure the next ones; but always the first that counts as sure, which says
// that the peer dials us from there at this moment. Neither waits for what is left out.
func Cautious(list []base.Candidate, last string, failures int, sure func(address string) bool) (met, unmet []base.Candidate) {
	for _, c := range list {
		if metAt(last, c.Address) {
			met = append(met, c)
		} else {
			unmet = append(unmet, c)
		}
	}
	if n := len(unmet); n > unmetAddresses {
		fixed := 0
		if i := slices.IndexFunc(unmet, func(c base.Candidate) bool { return sure(c.Address) }); i >= 0 {
			first := unmet[i]
			unmet, fixed = slices.Insert(slices.Delete(unmet, i, i+1), 0, first), 1
		}
		rest := unmet[fixed:]
		from := failures * (unmetAddresses - fixed) % len(rest)
		unmet = slices.Concat(unmet[:fixed], rest[from:], rest[:from])[:unmetAddresses]
		slices.SortStableFunc(unmet, func(a, b base.Candidate) int { return cmp.Compare(a.After, b.After) })
	}
	for _, list := range [][]base.Candidate{met, unmet} {
		for i := range list {
			list[i].After -= min(list[0].After, list[i].After)
		}
	}
	return met, unmet
}

// Briefly is how long a peer is dialled where it was never met.
func Briefly(failures int) time.Duration { return min(DialTimeout, unmetTimeout<<min(failures, 8)) }

// RaceCautiously dials a peer: where it was met, and at a few other addresses, for which the allowance has to
// last unless the dial is paid for or is our user's own. It returns false if nothing is dialled.
func (re *Reach) RaceCautiously(d *link.Dial, met, unmet []base.Candidate, briefly time.Duration, users bool) bool {
	if met = re.Affordable(met); len(met) > 0 {
		re.Race(d, met, DialTimeout)
	}
	if len(unmet) > 0 && (users || d.Pay(&re.unmet.spent, re.Now, re.unmet.spare(), UnmetEvery)) {
		if unmet = re.Affordable(unmet); len(unmet) > 0 {
			re.Race(d, unmet, briefly)
		}
	}
	return d.Racing
}
