package core

import (
	"fmt"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
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
	discoverBy time.Duration // when to begin a network; 0: never
	heldBy     time.Duration // when to believe that our ID is in use; 0: nobody has said so
	home       home
}

// target is an address to join: one that the user gave, or a candidate that a
// full peer named.
type target struct {
	address   string // for people
	addresses []string
	key       certs.PublicKey // of a candidate; zero: anyone
	foundID   certs.ID        // on the LAN
	found     string          // with the key of that fingerprint; empty: the user has given it
	dialing   bool
	next      time.Duration
	failures  int
	tried     bool   // a dial of it has ended
	why       string // of the last failure
	obstacle  Obstacle
	refusal   *pb.HandshakeResponse
	holder    certs.PublicKey // who has our ID, it says; zero: it has not said so
	hopeless  bool            // refused for good, or our own address
	reached   bool            // it has let us in once
	broken    int             // times that it has let us in and we did not get its table
	given     bool            // at the start
	asked     bool            // by Join, which is to be answered
	met       bool            // an acquaintance, see home.go
	metAt     string          // where a link to it stood
	peer      certs.ID        // it, or who has let us in
	peerKey   certs.PublicKey
}

// maxTargets bounds the candidates that full peers can make us dial.
const maxTargets = 64

// JoinError: nobody has let us in.
type JoinError struct {
	Failures []string // "ADDRESS: why"
	// Refusal is set if a peer has refused us for another reason than being full.
	Refusal *pb.HandshakeResponse
	Address string // who did
	// Obstacles are what the dials came upon, each once.
	Obstacles []Obstacle
}

func (e *JoinError) Error() string { return fmt.Sprintf("could not join: %v", e.Failures) }

// dialTargets dials every address to join that is due and has not let us in yet,
// so that peers that join each other while starting do not stay an island;
// without any link all of them.
func (jn *joiner) dialTargets() {
	alone := jn.links.linksUp() == 0
	for _, t := range jn.targets {
		if !t.dialing && !t.hopeless && jn.now >= t.next && jn.isTried(t, alone) {
			jn.dialTarget(t)
		}
	}
}

// isTried says that a target is dialled as soon as it is due. The others are seekAbsent's.
func (jn *joiner) isTried(t *target, alone bool) bool {
	switch {
	case t.met:
		return false
	case t.found != "":
		return t.failures < foundTries && !t.reached && !jn.table.isMember(t.foundID, t.found)
	case t.key != (certs.PublicKey{}): // a door among others
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

// targetCandidates are its addresses. What a user has written is dialled as it is; what
// others have named, as what members name.
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

// isUsers says that the user has given the target.
func (t *target) isUsers() bool { return t.found == "" && t.key == (certs.PublicKey{}) }

// targetEnded is the end of a dial of the target, whatever its success.
func (jn *joiner) targetEnded(t *target, why string) {
	t.dialing, t.tried = false, true
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
		if !t.reached { // what a door has done that let us in says more
			t.why, t.refusal = why, nil
		}
		jn.joinEnded(t, "", why)
	}
}

// doorOpened notes that the peer at the other end of the link has let us in.
func (jn *joiner) doorOpened(t *target, l *link) {
	t.failures, t.why, t.refusal, t.reached = 0, "", nil, true
	t.peer, t.peerKey = l.peer, l.key
	jn.joinEnded(t, l.peer, "")
}

// refused notes the answer of a door that did not open.
func (t *target) refused(response *pb.HandshakeResponse) {
	t.refusal = response
	t.why = "refused: " + refusalText(response)
	switch response.GetCode() {
	case pb.HandshakeCode_DUPLICATE_ID, pb.HandshakeCode_FULL, pb.HandshakeCode_STALE, pb.HandshakeCode_LEAVING: // it may pass
	default: // a code that is not known among them
		t.hopeless = true
	}
}

// refusalText is a refusal for people.
func refusalText(response *pb.HandshakeResponse) string {
	return fmt.Sprintf("%v: %s", response.GetCode(), response.GetReason())
}

// heldElsewhere notes that a door has proved that somebody else has our ID, which it can have
// made up: others may let us in all the same. It is the end once all have been tried, or have
// had the time of a dial for it.
func (jn *joiner) heldElsewhere(t *target, holder certs.PublicKey) {
	t.holder, t.hopeless = holder, true
	if jn.heldBy == 0 {
		jn.heldBy = jn.now + dialTimeout
		jn.wake(jn.heldBy)
	}
}

// checkHolder ends a newcomer whose ID is in use, and says whether it has.
func (jn *joiner) checkHolder() (over bool) {
	holder, open := certs.PublicKey{}, false
	for _, t := range jn.targets {
		if t.holder != (certs.PublicKey{}) {
			holder = t.holder
		}
		open = open || !t.tried && !t.met
	}
	if holder != (certs.PublicKey{}) && !jn.accepted && !jn.ended && (!open || jn.now >= jn.heldBy) {
		jn.happen(failed{&DuplicateIDError{Holder: holder}})
		return true
	}
	return false
}

// addCandidates adds the peers that a full one has named.
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

// doors is how many targets there are beside the acquaintances.
func (jn *joiner) doors() int {
	n := 0
	for _, t := range jn.targets {
		if !t.met {
			n++
		}
	}
	return n
}

// checkJoining tries again, or gives up when the time is over or no address is
// left to hope for.
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
	jn.seekAbsent()
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
