// Package join gets us into a network, and back into it: the addresses to join by, what is found
// on the LAN, and the peers of earlier runs.
package join

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/reconcile"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// Joiner gets us into a network, and back into it.
type Joiner struct {
	*base.Env
	table *table.Table
	links *link.Links
	where *reach.Whereabouts
	reach *reach.Reach
	sync  *reconcile.Syncer

	targets    []*link.Target
	discoverBy time.Duration // when to begin a network of our own; 0: never
	heldBy     time.Duration // when to believe that our ID is in use; 0: no door says so
	home       home
}

// New returns a joiner, which Begin sets going.
func New(en *base.Env, t *table.Table, ls *link.Links, wh *reach.Whereabouts, re *reach.Reach, sy *reconcile.Syncer) *Joiner {
	return &Joiner{Env: en, table: t, links: ls, where: wh, reach: re, sync: sy}
}

// Begin looks for the addresses to join, or else on the LAN if we are to, and for acquaintances.
func (jn *Joiner) Begin() {
	if !jn.Ready && jn.Cfg.JoinTimeout > 0 {
		jn.JoinBy = jn.Now + jn.Cfg.JoinTimeout
	}
	if !jn.Ready && len(jn.Cfg.Join) == 0 {
		jn.discoverBy = jn.Now + DiscoverFor
		jn.Wake(jn.discoverBy)
	}
	for _, address := range jn.Cfg.Join {
		jn.targets = append(jn.targets, &link.Target{Address: address, Addresses: []string{address}, Given: true, Pinned: jn.Cfg.Pinned[address]})
	}
	jn.meetAgain(jn.Cfg.Met)
	jn.DialTargets()
}

// DialTargets dials the targets that are due: those that are tried at once, so that peers that
// join each other while starting do not remain an island; of the absent, those that are searched
// for at the pace of a search, least tried first, and of the rest one now and then.
func (jn *Joiner) DialTargets() {
	alone := jn.links.LinksUp() == 0
	var sought []*link.Target
	var longest *link.Target // of the rest, the one that has waited longest
	for _, t := range jn.targets {
		if t.Dialing || t.Hopeless || jn.Now < t.Next || !jn.mayDial(t) {
			continue
		}
		switch {
		case jn.isTried(t, alone):
			jn.dialTarget(t)
		case jn.Now < jn.home.searchFrom || !t.IsSought(jn.Ready) || !jn.absent(t):
		case alone || !jn.Ready || t.Failures == 0 && !t.Reached || jn.Now < jn.home.returnBy:
			sought = append(sought, t)
		case longest == nil || t.Next < longest.Next:
			longest = t
		}
	}
	slices.SortStableFunc(sought, func(t, u *link.Target) int { return cmp.Compare(t.Failures, u.Failures) })
	for _, t := range sought {
		if !jn.home.pace.Take(jn.Now, searchAtOnce-1, searchEach) {
			break
		}
		jn.dialTarget(t)
	}
	if longest != nil && jn.Now >= jn.home.nextAbsent {
		living := jn.table.Living()
		every := max(absentEvery, time.Duration(living)*time.Second)
		jn.home.nextAbsent = jn.Now + every/2 + jn.Jitter(every)
		jn.dialTarget(longest)
	}
}

// isTried reports whether a target is dialled as soon as it is due, and not only while its peer
// is absent. Without any link all but the acquaintances are.
func (jn *Joiner) isTried(t *link.Target, alone bool) bool {
	switch {
	case t.Met:
		return false
	case t.Found != "":
		return t.Failures < FoundTries && !t.Reached && !jn.isHere(t)
	case t.Key != (certs.PublicKey{}): // a candidate that a full door has named
		return alone || !jn.Ready && !t.Reached
	}
	if !jn.Ready && t.Broken > 0 && jn.links.LinkTo(t.PeerKey) == nil {
		return true // we have no table yet, and another door may have none for us
	}
	return alone || !t.Reached && (!jn.Ready || t.Failures < link.GivenTries)
}

func (jn *Joiner) dialTarget(t *link.Target) {
	t.Dialing = true
	if t.Failures == 0 {
		jn.tell(t, "", "")
	}
	d := &link.Dial{Target: t, Key: t.Key}
	jn.reach.StartDial(d)
	met, unmet := jn.targetCandidates(t)
	switch ours := t.IsUsers() || t.Found != ""; {
	case ours && len(unmet) > 0:
		jn.reach.Race(d, unmet, reach.DialTimeout)
	case ours || !jn.reach.RaceCautiously(d, met, unmet, jn.briefly(t), jn.comesHome(t)):
		jn.reach.DialEnded(d, reach.Nowhere, false)
	}
}

// targetCandidates returns the addresses of a target. Those given by the user are dialled as they
// are; those found on the LAN as often as any host; those named by others are restricted like those of
// members.
func (jn *Joiner) targetCandidates(t *link.Target) (met, unmet []base.Candidate) {
	var list []base.Candidate
	for _, a := range t.Addresses[:min(len(t.Addresses), reach.MaxCandidates)] {
		list = append(list, base.Candidate{Address: a})
	}
	if t.IsUsers() {
		return nil, list
	}
	list = slices.DeleteFunc(list, func(a base.Candidate) bool {
		return jn.where.IsUseless(reach.ParseAddress(a.Address)) || !jn.mayBeHere(t, a.Address)
	})
	if t.Found != "" {
		return nil, jn.reach.Affordable(list)
	}
	return reach.Cautious(list, t.MetAt, t.Failures, func(string) bool { return false })
}

// mayDial reports whether there is something to dial for now: a target at which its peer was never met
// needs an allowance.
func (jn *Joiner) mayDial(t *link.Target) bool {
	return t.IsUsers() || t.Found != "" || t.MetAt != "" || jn.comesHome(t) || jn.reach.MaySpare()
}

// comesHome reports whether a target is looked for since we have just started: the others may have come
// back where we never met them. That is rare, and the pace of the search bounds it.
func (jn *Joiner) comesHome(t *link.Target) bool { return t.Met && jn.Now < jn.home.returnBy }

// briefly is how long a target is dialled where its peer was never met.
func (jn *Joiner) briefly(t *link.Target) time.Duration {
	if jn.comesHome(t) {
		return reach.DialTimeout
	}
	return reach.Briefly(t.Failures)
}

// TargetEnded takes the end of a dial of the target, successful or not.
func (jn *Joiner) TargetEnded(end reach.TargetEnded) {
	t, why := end.Target, end.Why
	t.Dialing = false
	t.Failures++
	most := base.JoinBackoff
	switch {
	case t.Met && jn.Now < jn.home.returnBy:
		most = returnBackoff
	case t.Met:
		most = maxAbsentBackoff
	case jn.Ready:
		most = base.MaxBackoff
	}
	t.Next = jn.Now + jn.Backoff(t.Failures, most)
	if why != "" {
		if !t.Reached { // the behaviour of a door that let us in says more
			t.Why, t.Refusal = why, nil
		}
		jn.joinEnded(t, "", why)
		if !end.Reached { // what a refusal means is still to be judged
			jn.tell(t, "", why)
		}
	}
}

// Refused takes the refusal of a door.
func (jn *Joiner) Refused(t *link.Target, response *pb.HandshakeResponse) {
	t.Refused(response)
	jn.tell(t, "", t.Why)
}

// tell reports what becomes of an address while we join. Nobody has asked for the acquaintances.
func (jn *Joiner) tell(t *link.Target, id certs.ID, why string) {
	if !jn.Ready && !t.Met {
		jn.Out.Tried = append(jn.Out.Tried, base.Joining{Address: t.Address, ID: id, Why: why})
	}
}

// DoorOpened is called when the peer at the other end of the link has let us in.
func (jn *Joiner) DoorOpened(t *link.Target, l *link.Link) {
	t.Failures, t.Why, t.Refusal, t.Reached = 0, "", nil, true
	t.Peer, t.PeerKey = l.Peer, l.Key
	jn.joinEnded(t, l.Peer, "")
	jn.tell(t, l.Peer, "")
}

// HeldElsewhere is called when a door has proved that another peer has our ID. It may have made
// that up, so others may still let us in: we stop once all have been tried, or have had the time
// of a dial.
func (jn *Joiner) HeldElsewhere(t *link.Target, holder certs.PublicKey) {
	t.Holder, t.Hopeless = holder, true
	if jn.heldBy == 0 {
		jn.heldBy = jn.Now + reach.DialTimeout
		jn.Wake(jn.heldBy)
	}
}

// CheckHolder stops a newcomer whose ID is in use, and reports whether it has.
func (jn *Joiner) CheckHolder() (over bool) {
	holder, open := certs.PublicKey{}, false
	for _, t := range jn.targets {
		if t.Holder != (certs.PublicKey{}) {
			holder = t.Holder
		}
		open = open || t.Failures == 0 && !t.Reached && !t.Met
	}
	if holder != (certs.PublicKey{}) && !jn.Accepted && !jn.Ended && (!open || jn.Now >= jn.heldBy) {
		jn.Happen(base.Failed{Why: &base.DuplicateIDError{Holder: holder}})
		return true
	}
	return false
}

// AddCandidates adds the peers that a full door has named.
func (jn *Joiner) AddCandidates(list []*pb.Signed) {
	for _, signed := range list {
		record, err := jn.Cfg.Open(signed)
		if err != nil || jn.doors() >= maxTargets {
			continue
		}
		key := record.Key
		known := key == jn.Cfg.Identity.Key() || len(record.Addresses) == 0
		for _, t := range jn.targets {
			known = known || t.Key == key
		}
		barred, wrong := jn.Passes.PassOf(record)
		if !known && barred == nil && wrong == nil && jn.Cfg.Verify(jn.Passes.Claim(record)) {
			jn.targets = append(jn.targets, &link.Target{Address: record.Addresses[0], Addresses: record.Addresses, Key: key})
		}
	}
	jn.DialTargets()
}

// doors counts the targets without the acquaintances.
func (jn *Joiner) doors() int {
	n := 0
	for _, t := range jn.targets {
		if !t.Met {
			n++
		}
	}
	return n
}

// CheckJoining tries again, or fails when the time is up or no address is left to hope for.
func (jn *Joiner) CheckJoining() {
	if jn.Ready || jn.Ended || jn.Leaving {
		return
	}
	if jn.stopDiscovering() {
		return
	}
	if jn.CheckHolder() {
		return
	}
	jn.sync.RequestTable()
	hope := jn.discoverBy != 0
	for _, t := range jn.targets {
		hope = hope || !t.Hopeless && !t.Met
	}
	for _, l := range jn.links.List {
		hope = hope || l.State == link.LinkUp
	}
	late := jn.JoinBy != 0 && jn.Now >= jn.JoinBy && jn.discoverBy == 0 && !jn.sync.TableComes()
	if late || !hope {
		jn.Happen(base.Failed{Why: jn.joinFailure()})
		return
	}
	jn.DialTargets()
}

// joinFailure is why we are not in the network.
func (jn *Joiner) joinFailure() error {
	for _, t := range jn.targets {
		if t.Obstacle == base.ObstacleTwin {
			return &base.StartedElsewhereError{}
		}
		if t.Holder != (certs.PublicKey{}) {
			return &base.DuplicateIDError{Holder: t.Holder}
		}
	}
	return jn.JoinError()
}

func (jn *Joiner) JoinError() *base.JoinError {
	e := &base.JoinError{Obstacles: jn.obstacles()}
	met := 0
	for _, t := range jn.targets {
		if t.Met {
			if t.Failures > 0 {
				met++
			}
			continue
		}
		why := t.Why
		switch {
		case why == "" && t.Reached:
			why = jn.sync.TableSoFar(t)
		case why == "":
			why = "no answer"
		}
		if t.Found != "" {
			why += " (found on the LAN)"
		}
		e.Failures = append(e.Failures, t.Address+": "+why)
		if t.Refusal != nil && t.Refusal.GetCode() != pb.HandshakeCode_FULL && e.Refusal == nil {
			e.Refusal, e.Address = t.Refusal, t.Address
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
	maxTargets  = 64              // without the acquaintances, so that full doors can't make us dial without end
	DiscoverFor = 2 * time.Second // for an answer of the LAN, which takes milliseconds
	MaxFound    = 32              // of the targets
	maxFoundAt  = 8               // of these at one host
	FoundTries  = 5               // failed dials in a row before it has to be found again
)

// FoundOnLAN handles Found.
func (jn *Joiner) FoundOnLAN(id certs.ID, fingerprint string, addresses []string) {
	if jn.Ended || jn.Leaving || len(addresses) == 0 {
		return
	}
	addresses = addresses[:min(len(addresses), reach.MaxCandidates)]
	found := &link.Target{Address: addresses[0], Addresses: addresses, Peer: id, Found: fingerprint}
	if fingerprint == "" {
		found.Found, found.Nameless = addresses[0], true
	}
	if jn.isHere(found) {
		return
	}
	jn.targets = slices.DeleteFunc(jn.targets, func(t *link.Target) bool {
		return t.Found != "" && !t.Dialing && (t.Hopeless || t.Reached || t.Failures >= FoundTries)
	})
	for _, t := range jn.targets {
		if t.Found == found.Found {
			if !t.Dialing {
				t.Addresses = addresses
			}
			return // it is dialled when it is due
		}
	}
	if jn.makeRoom(found) {
		jn.Note(base.Debug, "found on the LAN", "key", fingerprint, "addresses", addresses)
		jn.targets = append(jn.targets, found)
		jn.DialTargets()
	}
}

// makeRoom reports whether another target found on the LAN has a place, and gives up one for it if all are
// taken: any of a host that has most of them. So a host that makes up peers keeps no other out.
func (jn *Joiner) makeRoom(found *link.Target) bool {
	host := func(t *link.Target) netip.Addr { return reach.ParseAddress(t.Address).Addr() }
	places, count, most := make(map[netip.Addr]int), 0, 0
	for _, t := range jn.targets {
		if t.Found != "" {
			places[host(t)]++
			count, most = count+1, max(most, places[host(t)])
		}
	}
	if places[host(found)] >= maxFoundAt {
		return false
	}
	if count < MaxFound {
		return true
	}
	var worst []*link.Target
	for _, t := range jn.targets {
		if t.Found != "" && !t.Dialing && places[host(t)] == most {
			worst = append(worst, t)
		}
	}
	if len(worst) == 0 || places[host(found)] >= most {
		return false
	}
	one := worst[jn.Cfg.Rand.IntN(len(worst))]
	jn.targets = slices.DeleteFunc(jn.targets, func(t *link.Target) bool { return t == one })
	return true
}

// isHere reports whether a target found on the LAN is a peer of our network already, or ourselves.
func (jn *Joiner) isHere(t *link.Target) bool {
	if t.Nameless {
		return slices.ContainsFunc(t.Addresses, jn.table.IsMemberAt)
	}
	return jn.table.IsMember(t.Peer, t.Found)
}

// stopDiscovering begins a network if nobody on the LAN has let us in.
func (jn *Joiner) stopDiscovering() bool {
	if jn.discoverBy == 0 || jn.Now < jn.discoverBy {
		return false
	}
	waiting := slices.ContainsFunc(jn.links.List, func(l *link.Link) bool { return l.State == link.LinkUp })
	if waiting && (jn.JoinBy == 0 || jn.Now < jn.JoinBy || jn.sync.TableComes()) {
		return false // its table is on the way
	}
	if jn.Passes.Private() && jn.Cfg.Pass == nil {
		jn.Happen(base.Failed{Why: jn.joinFailure()}) // a ticket has to be turned into a pass
		return true
	}
	jn.Note(base.Warn, "nobody has answered on the LAN: this is a new network")
	jn.Happen(base.TableTaken{})
	return true
}

// DoorEnded takes the end of a link to a door that has let us in, before we had a table. A door
// that does not send its table is redialled more and more seldom.
func (jn *Joiner) DoorEnded(t *link.Target, did string) {
	if jn.Ready || jn.Ended {
		return
	}
	t.Broken++
	t.Next = jn.Now + jn.Backoff(t.Broken, base.MaxBackoff)
	t.Why = "let us in, and " + did
	jn.tell(t, "", t.Why)
}

// Coming home. A peer that starts again looks for the peers it had links to in earlier runs,
// whatever has become of the network meanwhile: at once, besides the addresses that it was given
// to join or, without any, while it is a network of one. And every peer now and then dials those
// that are gone without having been called lost: peers that have left, and the doors that let us
// in. So the first peer of a network finds it again after a clean restart, and two parts of a
// network that nobody linked become one as soon as one of all these dials is answered. (heal
// dials the lost.)

// Bounds of that search, guesses except those derived here. A search dials eight at once and four
// a second, so all are dialled within a minute. Afterwards each peer dials one in absentEvery or, if
// that is longer, in as many seconds as there are members: so the whole network dials about once
// a second, however large it is.
const (
	maxAcquaintances = 256
	SearchAfter      = 1 * time.Second // after joining begins: the doors given by the user go first
	searchAtOnce     = 8
	searchEach       = 250 * time.Millisecond
	absentEvery      = 15 * time.Second
	maxAbsentBackoff = 5 * time.Minute
	returnFor        = 5 * time.Minute // after a start: the others may be starting as well, and not find us where we are now
	returnBackoff    = 6 * time.Second // until then
)

// home is the schedule of the search for peers that are not here.
type home struct {
	searchFrom time.Duration
	pace       base.Limiter  // of the search
	nextAbsent time.Duration // no dial to an absent peer before
	returnBy   time.Duration // until then the search for the peers of earlier runs goes on at its pace
	found      *base.Returned
	away       bool // none of them has been found, nor has an address to join let us in
}

// meetAgain makes targets of the acquaintances of earlier runs.
func (jn *Joiner) meetAgain(list []base.Acquaintance) {
	for _, a := range list[:min(len(list), maxAcquaintances)] {
		if len(a.Addresses) > 0 && a.Key != jn.Cfg.Identity.Key() && jn.Passes.Removal(a.Key) == nil {
			jn.targets = append(jn.targets, &link.Target{Address: a.Addresses[0], Addresses: a.Addresses, Key: a.Key, Met: true, MetAt: a.Address, Peer: a.ID, PeerKey: a.Key})
		}
	}
	jn.home.searchFrom = jn.Now
	if !jn.Ready {
		jn.home.searchFrom += SearchAfter
	}
	jn.home.nextAbsent = jn.Now + absentEvery/2 + jn.Jitter(absentEvery)
	if len(list) > 0 {
		jn.home.returnBy, jn.home.away = jn.home.searchFrom+returnFor, true
	}
}

// Met tells the user when the first peer of earlier runs is found, unless an address to join has brought
// us into the network before.
func (jn *Joiner) Met(l *link.Link) {
	door := l.Dial != nil && l.Dial.Target != nil && l.Dial.Target.IsUsers()
	again := slices.ContainsFunc(jn.targets, func(t *link.Target) bool { return t.Met && t.PeerKey == l.Key })
	if jn.home.away && again && !door {
		jn.Note(base.Debug, "found the network again", "peer", string(l.Peer), "address", l.Address)
		jn.home.found = &base.Returned{ID: l.Peer, Address: l.Address}
	}
	jn.home.away = jn.home.away && !again && !door
	if jn.Ready {
		jn.TellMet()
	}
}

// TellMet tells the user which peer of earlier runs was found; while we join, that waits.
func (jn *Joiner) TellMet() {
	if jn.home.found != nil {
		jn.Out.Events = append(jn.Out.Events, *jn.home.found)
		jn.home.found = nil
	}
}

// rememberGone makes an acquaintance of a peer that had a link to us and is about to leave the
// table. The acquaintance with the most failed dials makes room.
func (jn *Joiner) rememberGone(r *base.Record, lastAddress string) {
	if lastAddress == "" || r.Visitor || len(r.Addresses)+len(r.Observed) == 0 || r.Key == jn.Cfg.Identity.Key() {
		return
	}
	addresses := withoutRepeats(lastAddress, r.Addresses, r.Observed)
	next := jn.Now + absentEvery/2 + jn.Jitter(absentEvery)
	count, worst := 0, -1
	for i, t := range jn.targets {
		if !t.Met {
			continue
		}
		if t.PeerKey == r.Key {
			t.Peer, t.Address, t.Addresses, t.MetAt, t.Failures, t.Next = r.ID, addresses[0], addresses, lastAddress, 1, next
			return
		}
		count++
		if !t.Dialing && (worst < 0 || t.Failures > jn.targets[worst].Failures) {
			worst = i
		}
	}
	if count >= maxAcquaintances {
		if worst < 0 {
			return
		}
		jn.targets = slices.Delete(jn.targets, worst, worst+1)
	}
	jn.targets = append(jn.targets, &link.Target{
		Address: addresses[0], Addresses: addresses, Key: r.Key, Met: true, MetAt: lastAddress, Peer: r.ID, PeerKey: r.Key, Failures: 1, Next: next,
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
func (jn *Joiner) absent(t *link.Target) bool {
	e := jn.table.Get(t.Peer, t.PeerKey)
	return e == nil || e.State == pb.AnnouncementType_LEAVE
}

// JoinAddress handles Join.
func (jn *Joiner) JoinAddress(address string) {
	var t *link.Target
	given := 0
	for _, other := range jn.targets {
		if other.IsUsers() {
			given++
			if other.Address == address {
				t = other
			}
		}
	}
	switch {
	case jn.Ended || jn.Leaving || !jn.Ready:
		jn.Out.Joined = append(jn.Out.Joined, base.Joining{Address: address, Why: "this peer is not in a network now"})
		return
	case t == nil && given >= maxTargets:
		jn.Out.Joined = append(jn.Out.Joined, base.Joining{Address: address, Why: "too many addresses were given to join already"})
		return
	case t == nil:
		t = &link.Target{Address: address, Addresses: []string{address}}
		jn.targets = append(jn.targets, t)
	}
	t.Asked, t.Hopeless, t.Failures = true, false, 0
	if !t.Dialing {
		jn.dialTarget(t)
	}
}

// joinEnded reports the outcome of a Join. A target that has never let us in is not tried again,
// since the caller knows.
func (jn *Joiner) joinEnded(t *link.Target, id certs.ID, why string) {
	if !t.Asked {
		return
	}
	t.Asked = false
	jn.Out.Joined = append(jn.Out.Joined, base.Joining{Address: t.Address, ID: id, Why: why})
	if id == "" && !t.Reached && !t.Given {
		jn.targets = slices.DeleteFunc(jn.targets, func(other *link.Target) bool { return other == t })
	}
}

// Hindered records what a dial met instead of a peer.
func (jn *Joiner) Hindered(id base.DialID, by base.Obstacle) {
	if d := jn.reach.Dials[id]; d != nil && d.Target != nil {
		d.Target.Obstacle = by
		d.Target.Hopeless = d.Target.Hopeless || by == base.ObstacleTwin
	}
}

// obstacles returns the causes that keep us from the peers to join, each once. Acquaintances do
// not count: nobody asked for them.
func (jn *Joiner) obstacles() []base.Obstacle {
	var list []base.Obstacle
	for _, t := range jn.targets {
		by := t.Obstacle
		switch {
		case t.Refusal != nil:
			by = base.ObstacleFull
		case t.Reached:
			by = base.ObstacleTable
		}
		if (!t.Met || t.Reached) && !slices.Contains(list, by) {
			list = append(list, by)
		}
	}
	return list
}

// mayBeHere reports whether an address of a target that others have named may be dialled, should
// it be a loopback address.
func (jn *Joiner) mayBeHere(t *link.Target, address string) bool {
	return !reach.ParseAddress(address).Addr().IsLoopback() || t.Found != "" || t.MetAt == address || jn.where.HereAlone()
}

// Told makes acquaintances of peers that have left.
func (jn *Joiner) Told(ch link.Change) {
	if ch.Old != nil && ch.News.State == pb.AnnouncementType_LEAVE {
		jn.rememberGone(ch.Old, ch.Entry.Our().LastAddress)
	}
	if ch.Entry.Removed() {
		jn.Expel(ch.Entry.Record.Key)
	}
}

// Expel stops looking for a peer that is out of this private network.
func (jn *Joiner) Expel(key certs.PublicKey) {
	jn.targets = slices.DeleteFunc(jn.targets, func(t *link.Target) bool { return t.Met && t.PeerKey == key && !t.Dialing })
}

// Remember makes an acquaintance of a peer that the table has dropped.
func (jn *Joiner) Remember(e *table.Entry) {
	if !e.IsGuest() && !e.Removed() {
		jn.rememberGone(e.Record, e.Our().LastAddress)
	}
}
