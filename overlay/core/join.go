package core

import (
	"fmt"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

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
func (c *Core) dialTargets() {
	alone := c.linksUp() == 0
	for _, t := range c.targets {
		if !t.dialing && !t.hopeless && c.now >= t.next && c.isTried(t, alone) {
			c.dialTarget(t)
		}
	}
}

// isTried says that a target is dialled as soon as it is due. The others are seekAbsent's.
func (c *Core) isTried(t *target, alone bool) bool {
	switch {
	case t.met:
		return false
	case t.found != "":
		return t.failures < foundTries && !t.reached && !c.isMember(t.foundID, t.found)
	case t.key != (certs.PublicKey{}): // a door among others
		return alone || !c.ready && !t.reached
	}
	if !c.ready && t.broken > 0 && c.linkTo(t.peerKey) == nil {
		return true // we have no table yet, and another door may have none for us
	}
	return alone || !t.reached && (!c.ready || t.failures < givenTries)
}

func (c *Core) dialTarget(t *target) {
	t.dialing = true
	d := &dial{target: t, key: t.key}
	c.startDial(d)
	if list := c.targetCandidates(t); len(list) > 0 {
		c.race(d, list)
	} else {
		c.dialEnded(d, nowhere, false)
	}
}

// targetCandidates are its addresses. What a user has written is dialled as it is; what
// others have named, as what members name.
func (c *Core) targetCandidates(t *target) []Candidate {
	var list []Candidate
	for _, a := range t.addresses[:min(len(t.addresses), MaxCandidates)] {
		list = append(list, Candidate{Address: a})
	}
	if !t.isUsers() {
		list = slices.DeleteFunc(list, func(a Candidate) bool {
			return c.isUseless(parseAddress(a.Address)) || !c.mayBeHere(t, a.Address)
		})
		list = c.affordable(list)
	}
	return list
}

// isUsers says that the user has given the target.
func (t *target) isUsers() bool { return t.found == "" && t.key == (certs.PublicKey{}) }

// ended is the end of a dial of the target, whatever its success.
func (t *target) ended(c *Core, why string) {
	t.dialing, t.tried = false, true
	t.failures++
	most := joinBackoff
	switch {
	case t.met:
		most = maxAbsentBackoff
	case c.ready:
		most = maxBackoff
	}
	t.next = c.now + c.backoff(t.failures, most)
	if why != "" {
		if !t.reached { // what a door has done that let us in says more
			t.why, t.refusal = why, nil
		}
		c.joinEnded(t, "", why)
	}
}

// accepted notes that the peer at the other end of the link has let us in.
func (t *target) accepted(c *Core, l *link) {
	t.failures, t.why, t.refusal, t.reached = 0, "", nil, true
	t.peer, t.peerKey = l.peer, l.key
	c.joinEnded(t, l.peer, "")
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
func (t *target) heldElsewhere(c *Core, holder certs.PublicKey) {
	t.holder, t.hopeless = holder, true
	if c.heldBy == 0 {
		c.heldBy = c.now + dialTimeout
		c.wake(c.heldBy)
	}
}

// checkHolder ends a newcomer whose ID is in use.
func (c *Core) checkHolder() {
	holder, open := certs.PublicKey{}, false
	for _, t := range c.targets {
		if t.holder != (certs.PublicKey{}) {
			holder = t.holder
		}
		open = open || !t.tried && !t.met
	}
	if holder != (certs.PublicKey{}) && !c.accepted && !c.ended && (!open || c.now >= c.heldBy) {
		c.fail(&DuplicateIDError{Holder: holder})
	}
}

// addCandidates adds the peers that a full one has named.
func (c *Core) addCandidates(list []*pb.Signed) {
	for _, signed := range list {
		record, err := c.cfg.Open(signed)
		if err != nil || c.doors() >= maxTargets {
			continue
		}
		key := record.Key
		known := key == c.cfg.Identity.Key() || len(record.Addresses) == 0
		for _, t := range c.targets {
			known = known || t.key == key
		}
		if !known && c.cfg.Verify(Claim{Key: key, Signed: record.Signed}) {
			c.targets = append(c.targets, &target{address: record.Addresses[0], addresses: record.Addresses, key: key})
		}
	}
	c.dialTargets()
}

// doors is how many targets there are beside the acquaintances.
func (c *Core) doors() int {
	n := 0
	for _, t := range c.targets {
		if !t.met {
			n++
		}
	}
	return n
}

// checkJoining tries again, or gives up when the time is over or no address is
// left to hope for.
func (c *Core) checkJoining() {
	if c.ready || c.ended || c.leaving {
		return
	}
	if c.stopDiscovering() {
		return
	}
	if c.checkHolder(); c.ended {
		return
	}
	c.requestTable()
	hope := c.discoverBy != 0
	for _, t := range c.targets {
		hope = hope || !t.hopeless && !t.met
	}
	for _, l := range c.links {
		hope = hope || l.state == linkUp
	}
	late := c.joinBy != 0 && c.now >= c.joinBy && c.discoverBy == 0 && !c.tableComes()
	if late || !hope {
		c.fail(c.joinFailure())
		return
	}
	c.dialTargets()
	c.seekAbsent()
}

// joinFailure is why we are not in the network.
func (c *Core) joinFailure() error {
	for _, t := range c.targets {
		if t.obstacle == ObstacleTwin {
			return &StartedElsewhereError{}
		}
		if t.holder != (certs.PublicKey{}) {
			return &DuplicateIDError{Holder: t.holder}
		}
	}
	return c.joinError()
}

func (c *Core) joinError() *JoinError {
	e := &JoinError{Obstacles: c.obstacles()}
	met := 0
	for _, t := range c.targets {
		if t.met {
			if t.failures > 0 {
				met++
			}
			continue
		}
		why := t.why
		switch {
		case why == "" && t.reached:
			why = c.tableSoFar(t)
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
