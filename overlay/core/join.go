package core

import (
	"fmt"
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"time"
)

// joiner gets us into a network, and back into it.
type joiner struct {
	*env
	table *table
	links *links
	where *whereabouts
	reach *reach
	sync  *syncer

	targets    []*target
	discoverBy time.Duration // when to begin a network of our own; 0: never
	heldBy     time.Duration // when to believe that our ID is in use; 0: no door says so
	home       home
}

// dialTargets dials the targets that are due: those that are tried at once, so that peers that
// join each other while starting do not remain an island; of the absent, those that are searched
// for at the pace of a search, and of the rest one now and then.
func (jn *joiner) dialTargets() {
	alone := jn.links.linksUp() == 0
	var longest *target // of the rest, the one that has waited longest
	for _, t := range jn.targets {
		if t.dialing || t.hopeless || jn.now < t.next {
			continue
		}
		switch {
		case jn.isTried(t, alone):
			jn.dialTarget(t)
		case jn.now < jn.home.searchFrom || !t.isSought(jn.ready) || !jn.absent(t):
		case alone || !jn.ready || t.failures == 0 && !t.reached:
			if jn.home.pace.take(jn.now, searchAtOnce-1, searchEach) {
				jn.dialTarget(t)
			}
		case longest == nil || t.next < longest.next:
			longest = t
		}
	}
	if longest != nil && jn.now >= jn.home.nextAbsent {
		living := len(jn.table.entries) - jn.table.gone
		every := max(absentEvery, time.Duration(living)*time.Second)
		jn.home.nextAbsent = jn.now + every/2 + jn.jitter(every)
		jn.dialTarget(longest)
	}
}

// isTried reports whether a target is dialled as soon as it is due, and not only while its peer
// is absent. Without any link all but the acquaintances are.
func (jn *joiner) isTried(t *target, alone bool) bool {
	switch {
	case t.met:
		return false
	case t.found != "":
		return t.failures < foundTries && !t.reached && !jn.table.isMember(t.peer, t.found)
	case t.key != (certs.PublicKey{}): // a candidate that a full door has named
		return alone || !jn.ready && !t.reached
	}
	if !jn.ready && t.broken > 0 && jn.links.linkTo(t.peerKey) == nil {
		return true // we have no table yet, and another door may have none for us
	}
	return alone || !t.reached && (!jn.ready || t.failures < givenTries)
}

func (jn *joiner) dialTarget(t *target) {
	t.dialing = true
	d := &dial{target: t, key: t.key}
	jn.reach.startDial(d)
	if list := jn.targetCandidates(t); len(list) > 0 {
		jn.reach.race(d, list)
	} else {
		jn.reach.dialEnded(d, nowhere, false)
	}
}

// targetCandidates returns the addresses of a target. Those given by the user are dialled as they
// are; those named by others are restricted like those of members.
func (jn *joiner) targetCandidates(t *target) []Candidate {
	var list []Candidate
	for _, a := range t.addresses[:min(len(t.addresses), MaxCandidates)] {
		list = append(list, Candidate{Address: a})
	}
	if !t.isUsers() {
		list = slices.DeleteFunc(list, func(a Candidate) bool {
			return jn.where.isUseless(parseAddress(a.Address)) || !jn.mayBeHere(t, a.Address)
		})
		list = jn.reach.affordable(list)
	}
	return list
}

// targetEnded takes the end of a dial of the target, successful or not.
func (jn *joiner) targetEnded(t *target, why string) {
	t.dialing = false
	t.failures++
	most := joinBackoff
	switch {
	case t.met:
		most = maxAbsentBackoff
	case jn.ready:
		most = maxBackoff
	}
	t.next = jn.now + jn.backoff(t.failures, most)
	if why != "" {
		if !t.reached { // the behaviour of a door that let us in says more
			t.why, t.refusal = why, nil
		}
		jn.joinEnded(t, "", why)
	}
}

// doorOpened is called when the peer at the other end of the link has let us in.
func (jn *joiner) doorOpened(t *target, l *link) {
	t.failures, t.why, t.refusal, t.reached = 0, "", nil, true
	t.peer, t.peerKey = l.peer, l.key
	jn.joinEnded(t, l.peer, "")
}

// heldElsewhere is called when a door has proved that another peer has our ID. It may have made
// that up, so others may still let us in: we stop once all have been tried, or have had the time
// of a dial.
func (jn *joiner) heldElsewhere(t *target, holder certs.PublicKey) {
	t.holder, t.hopeless = holder, true
	if jn.heldBy == 0 {
		jn.heldBy = jn.now + dialTimeout
		jn.wake(jn.heldBy)
	}
}

// checkHolder stops a newcomer whose ID is in use, and reports whether it has.
func (jn *joiner) checkHolder() (over bool) {
	holder, open := certs.PublicKey{}, false
	for _, t := range jn.targets {
		if t.holder != (certs.PublicKey{}) {
			holder = t.holder
		}
		open = open || t.failures == 0 && !t.reached && !t.met
	}
	if holder != (certs.PublicKey{}) && !jn.accepted && !jn.ended && (!open || jn.now >= jn.heldBy) {
		jn.happen(failed{&DuplicateIDError{Holder: holder}})
		return true
	}
	return false
}

// addCandidates adds the peers that a full door has named.
func (jn *joiner) addCandidates(list []*pb.Signed) {
	for _, signed := range list {
		record, err := jn.cfg.Open(signed)
		if err != nil || jn.doors() >= maxTargets {
			continue
		}
		key := record.Key
		known := key == jn.cfg.Identity.Key() || len(record.Addresses) == 0
		for _, t := range jn.targets {
			known = known || t.key == key
		}
		if !known && jn.cfg.Verify(Claim{Key: key, Signed: record.Signed}) {
			jn.targets = append(jn.targets, &target{address: record.Addresses[0], addresses: record.Addresses, key: key})
		}
	}
	jn.dialTargets()
}

// doors counts the targets without the acquaintances.
func (jn *joiner) doors() int {
	n := 0
	for _, t := range jn.targets {
		if !t.met {
			n++
		}
	}
	return n
}

// checkJoining tries again, or fails when the time is up or no address is left to hope for.
func (jn *joiner) checkJoining() {
	if jn.ready || jn.ended || jn.leaving {
		return
	}
	if jn.stopDiscovering() {
		return
	}
	if jn.checkHolder() {
		return
	}
	jn.sync.requestTable()
	hope := jn.discoverBy != 0
	for _, t := range jn.targets {
		hope = hope || !t.hopeless && !t.met
	}
	for _, l := range jn.links.list {
		hope = hope || l.state == linkUp
	}
	late := jn.joinBy != 0 && jn.now >= jn.joinBy && jn.discoverBy == 0 && !jn.sync.tableComes()
	if late || !hope {
		jn.happen(failed{jn.joinFailure()})
		return
	}
	jn.dialTargets()
}

// joinFailure is why we are not in the network.
func (jn *joiner) joinFailure() error {
	for _, t := range jn.targets {
		if t.obstacle == ObstacleTwin {
			return &StartedElsewhereError{}
		}
		if t.holder != (certs.PublicKey{}) {
			return &DuplicateIDError{Holder: t.holder}
		}
	}
	return jn.joinError()
}

func (jn *joiner) joinError() *JoinError {
	e := &JoinError{Obstacles: jn.obstacles()}
	met := 0
	for _, t := range jn.targets {
		if t.met {
			if t.failures > 0 {
				met++
			}
			continue
		}
		why := t.why
		switch {
		case why == "" && t.reached:
			why = jn.sync.tableSoFar(t)
		case why == "":
			why = "no answer"
		}
		if t.found != "" {
			why += " (found on the LAN)"
		}
		e.Failures = append(e.Failures, t.address+": "+why)
		if t.refusal != nil && t.refusal.GetCode() != pb.HandshakeCode_FULL && e.Refusal == nil {
			e.Refusal, e.Address = t.refusal, t.address
		}
	}
	if met > 0 {
		e.Failures = append(e.Failures, fmt.Sprintf("nor does any of %d peers answer that were met before", met))
	}
	return e
}

// Discovery on the LAN is the driver's task; what it finds is dialled like an address to join. A
// peer that was given no address and finds nobody in time begins a network; networks that find
// each other later become one, as the halves of a cut network do.

const (
	discoverFor = 2 * time.Second // for an answer of the LAN, which takes milliseconds
	maxFound    = 32              // of the targets
	foundTries  = 5               // failed dials in a row before it has to be found again
)

// foundOnLAN handles Found.
func (jn *joiner) foundOnLAN(id certs.ID, fingerprint string, addresses []string) {
	if jn.ended || jn.leaving || len(addresses) == 0 || jn.table.isMember(id, fingerprint) {
		return
	}
	jn.targets = slices.DeleteFunc(jn.targets, func(t *target) bool {
		return t.found != "" && !t.dialing && (t.hopeless || t.reached || t.failures >= foundTries)
	})
	n := 0
	for _, t := range jn.targets {
		if t.found == fingerprint {
			if !t.dialing {
				t.addresses = addresses[:min(len(addresses), MaxCandidates)]
			}
			return // it is dialled when it is due
		}
		if t.found != "" {
			n++
		}
	}
	if n < maxFound {
		jn.note(Debug, "found on the LAN", "key", fingerprint, "addresses", addresses)
		jn.targets = append(jn.targets, &target{address: addresses[0], addresses: addresses[:min(len(addresses), MaxCandidates)], peer: id, found: fingerprint})
		jn.dialTargets()
	}
}

// stopDiscovering begins a network if nobody on the LAN has let us in.
func (jn *joiner) stopDiscovering() bool {
	if jn.discoverBy == 0 || jn.now < jn.discoverBy {
		return false
	}
	waiting := slices.ContainsFunc(jn.links.list, func(l *link) bool { return l.state == linkUp })
	if waiting && (jn.joinBy == 0 || jn.now < jn.joinBy || jn.sync.tableComes()) {
		return false // its table is on the way
	}
	jn.note(Info, "nobody has answered on the LAN: this is a new network")
	jn.happen(tableTaken{})
	return true
}

// doorEnded takes the end of a link to a door that has let us in, before we had a table. A door
// that does not send its table is redialled more and more seldom.
func (jn *joiner) doorEnded(t *target, did string) {
	if jn.ready || jn.ended {
		return
	}
	t.broken++
	t.next = jn.now + jn.backoff(t.broken, maxBackoff)
	t.why = "let us in, and " + did
}

// Coming home. A peer that starts again looks for the peers it had links to in earlier runs,
// whatever has become of the network meanwhile: at once, besides the addresses that it was given
// to join or, without any, while it is a network of one. And every peer now and then dials those
// that are gone without having been called lost: peers that have left, and the doors that let us
// in. So the first peer of a network finds it again after a clean restart, and two parts of a
// network that nobody linked become one as soon as one of all these dials is answered. (heal
// dials the lost.)

// Bounds of that search, guesses except those derived here. A search dials eight at once and four
// a second, so it is over within a minute. Afterwards each peer dials one in absentEvery or, if
// that is longer, in as many seconds as there are members: so the whole network dials about once
// a second, however large it is.
const (
	maxAcquaintances = 256
	searchAfter      = 1 * time.Second // after joining begins: the doors given by the user go first
	searchAtOnce     = 8
	searchEach       = 250 * time.Millisecond
	absentEvery      = 15 * time.Second
	maxAbsentBackoff = 5 * time.Minute
)

// home is the schedule of the search for peers that are not here.
type home struct {
	searchFrom time.Duration
	pace       limiter       // of the search
	nextAbsent time.Duration // no dial to an absent peer before
}

// meetAgain makes targets of the acquaintances of earlier runs.
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

// rememberGone makes an acquaintance of a peer that had a link to us and is about to leave the
// table. The acquaintance with the most failed dials makes room.
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

// withoutRepeats returns the addresses of an acquaintance, the one that worked first.
func withoutRepeats(first string, more ...[]string) []string {
	list := []string{first}
	for _, a := range slices.Concat(more...) {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// absent reports whether the peer met at a target is not in the table any more, or has left. heal
// looks for the lost and the missing.
func (jn *joiner) absent(t *target) bool {
	e := jn.table.get(t.peer, t.peerKey)
	return e == nil || e.state == pb.AnnouncementType_LEAVE
}

// joinAddress handles Join.
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

// joinEnded reports the outcome of a Join. A target that has never let us in is not tried again,
// since the caller knows.
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

// hindered records what a dial met instead of a peer.
func (jn *joiner) hindered(id DialID, by Obstacle) {
	if d := jn.reach.dials[id]; d != nil && d.target != nil {
		d.target.obstacle = by
		d.target.hopeless = d.target.hopeless || by == ObstacleTwin
	}
}

// obstacles returns the causes that keep us from the peers to join, each once. Acquaintances do
// not count: nobody asked for them.
func (jn *joiner) obstacles() []Obstacle {
	var list []Obstacle
	for _, t := range jn.targets {
		by := t.obstacle
		switch {
		case t.refusal != nil:
			by = ObstacleFull
		case t.reached:
			by = ObstacleTable
		}
		if (!t.met || t.reached) && !slices.Contains(list, by) {
			list = append(list, by)
		}
	}
	return list
}

// mayBeHere reports whether an address of a target that others have named may be dialled, should
// it be a loopback address.
func (jn *joiner) mayBeHere(t *target, address string) bool {
	return !parseAddress(address).Addr().IsLoopback() || t.found != "" || t.metAt == address || jn.where.hereAlone()
}

// told makes acquaintances of peers that have left.
func (jn *joiner) told(ch change) {
	if ch.old != nil && ch.news.state == pb.AnnouncementType_LEAVE {
		jn.rememberGone(ch.old, ch.entry.our().lastAddress)
	}
}

// remember makes an acquaintance of a peer that the table has dropped.
func (jn *joiner) remember(e *entry) {
	if !e.isGuest() {
		jn.rememberGone(e.record, e.our().lastAddress)
	}
}
