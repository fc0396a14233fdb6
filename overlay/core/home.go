package core

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Coming home. A peer that starts again looks for those it had links to in earlier
// runs, whatever has become of the network meanwhile: at once, beside the addresses that
// it was given to join or, without such, as a network of one. And everybody now and then
// dials whoever is not here any more, though it was not called lost: those who have left,
// and the doors that let us in. So the first peer of a network finds it after a clean
// restart, and two parts of one network that nobody linked become one as soon as one of
// all these dials is answered. (The lost are dialled by heal.)

// Bounds of it, guesses but for those derived here. A search dials eight at once and four
// a second, which is over within a minute. Afterwards each peer dials one in absentEvery
// or, if that is more, in a second for each member: so the network as a whole dials about
// once a second, however large it is.
const (
	maxAcquaintances = 256
	searchAfter      = 1 * time.Second // of joining: the doors that the user has given go first
	searchAtOnce     = 8
	searchEach       = 250 * time.Millisecond
	absentEvery      = 15 * time.Second
	maxAbsentBackoff = 5 * time.Minute
	givenTries       = 8 // of an address that never let us in, at the pace of a join: 20 to 40 s
)

// Acquaintance is a peer that was met in an earlier run, and where it may be now.
type Acquaintance struct {
	ID        certs.ID
	Key       certs.PublicKey
	Addresses []string // IP:PORT, the likeliest first
	Address   string   // of these, the one that a link to it had; empty: there was none
}

// home is what is needed to find those who are not here.
type home struct {
	searchFrom time.Duration
	pace       allowance     // of the search
	nextAbsent time.Duration // no dial to somebody absent before
}

// Joining is what became of a Join.
type Joining struct {
	Address string
	ID      certs.ID // who has let us in; empty: nobody
	Why     string   // then
}

// meetAgain takes the acquaintances of earlier runs for targets.
func (jn *joiner) meetAgain(list []Acquaintance) {
	for _, a := range list[:min(len(list), maxAcquaintances)] {
		if len(a.Addresses) > 0 && a.Key != jn.cfg.Identity.Key() {
			jn.targets = append(jn.targets, &target{address: a.Addresses[0], addresses: a.Addresses, key: a.Key, met: true, metAt: a.Address, peer: a.ID, peerKey: a.Key})
		}
	}
	jn.home.searchFrom = jn.now
	if !jn.ready {
		jn.home.searchFrom += searchAfter
	}
	jn.home.nextAbsent = jn.now + absentEvery/2 + jn.jitter(absentEvery)
}

// rememberGone keeps somebody who had a link to us, and is to be in the table no more,
// among the acquaintances. Who was dialled in vain most often makes room for it.
func (jn *joiner) rememberGone(r *Record, lastAddress string) {
	if lastAddress == "" || r.Visitor || len(r.Addresses)+len(r.Observed) == 0 || r.Key == jn.cfg.Identity.Key() {
		return
	}
	addresses := withoutRepeats(lastAddress, r.Addresses, r.Observed)
	next := jn.now + absentEvery/2 + jn.jitter(absentEvery)
	count, worst := 0, -1
	for i, t := range jn.targets {
		if !t.met {
			continue
		}
		if t.peerKey == r.Key {
			t.peer, t.address, t.addresses, t.metAt, t.failures, t.next = r.ID, addresses[0], addresses, lastAddress, 1, next
			return
		}
		count++
		if !t.dialing && (worst < 0 || t.failures > jn.targets[worst].failures) {
			worst = i
		}
	}
	if count >= maxAcquaintances {
		if worst < 0 {
			return
		}
		jn.targets = slices.Delete(jn.targets, worst, worst+1)
	}
	jn.targets = append(jn.targets, &target{
		address: addresses[0], addresses: addresses, key: r.Key, met: true, metAt: lastAddress, peer: r.ID, peerKey: r.Key, failures: 1, next: next,
	})
}

// withoutRepeats are the addresses of an acquaintance, the one that worked first.
func withoutRepeats(first string, more ...[]string) []string {
	list := []string{first}
	for _, a := range slices.Concat(more...) {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// absent says that whoever was met at a target is in the table no more, or as somebody
// who has left. The lost and the missing are heal's.
func (jn *joiner) absent(t *target) bool {
	e := jn.table.get(t.peer, t.peerKey)
	return e == nil || e.state == pb.AnnouncementType_LEAVE
}

// seekAbsent dials those who are to be looked for and are due.
func (jn *joiner) seekAbsent() {
	if jn.now < jn.home.searchFrom || jn.leaving {
		return
	}
	alone := jn.links.linksUp() == 0
	var longest *target
	for _, t := range jn.targets {
		if !t.isSought(jn.ready) || t.dialing || t.hopeless || jn.now < t.next || !jn.absent(t) {
			continue
		}
		if alone || !jn.ready || t.failures == 0 && !t.reached {
			if !jn.home.pace.take(jn.now, searchAtOnce-1, searchEach) {
				return
			}
			jn.dialTarget(t)
		} else if longest == nil || t.next < longest.next {
			longest = t
		}
	}
	if longest == nil || jn.now < jn.home.nextAbsent || !jn.ready {
		return
	}
	living := len(jn.table.entries) - jn.table.gone
	every := max(absentEvery, time.Duration(living)*time.Second)
	jn.home.nextAbsent = jn.now + every/2 + jn.jitter(every)
	jn.dialTarget(longest)
}

// isSought says that a target is one for seekAbsent: somebody met; or, once we are in the
// network, an address of the user's that has let us in, or did not for long.
func (t *target) isSought(ready bool) bool {
	return t.met || ready && t.isUsers() && (t.reached || t.failures >= givenTries)
}

// joinAddress is Join.
func (jn *joiner) joinAddress(address string) {
	var t *target
	given := 0
	for _, other := range jn.targets {
		if other.isUsers() {
			given++
			if other.address == address {
				t = other
			}
		}
	}
	switch {
	case jn.ended || jn.leaving || !jn.ready:
		jn.out.Joined = append(jn.out.Joined, Joining{Address: address, Why: "this peer is not in a network now"})
		return
	case t == nil && given >= maxTargets:
		jn.out.Joined = append(jn.out.Joined, Joining{Address: address, Why: "too many addresses were given to join already"})
		return
	case t == nil:
		t = &target{address: address, addresses: []string{address}}
		jn.targets = append(jn.targets, t)
	}
	t.asked, t.hopeless, t.failures = true, false, 0
	if !t.dialing {
		jn.dialTarget(t)
	}
}

// joinEnded tells what became of a Join. A target that has never let us in is not
// tried again: whoever asked has been told.
func (jn *joiner) joinEnded(t *target, id certs.ID, why string) {
	if !t.asked {
		return
	}
	t.asked = false
	jn.out.Joined = append(jn.out.Joined, Joining{Address: t.address, ID: id, Why: why})
	if id == "" && !t.reached && !t.given {
		jn.targets = slices.DeleteFunc(jn.targets, func(other *target) bool { return other == t })
	}
}
