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
	why       string // of the last failure
	refusal   *pb.HandshakeResponse
	hopeless  bool // refused for good, or our own address
	reached   bool // it has let us in once
}

// maxTargets bounds the candidates that full peers can make us dial.
const maxTargets = 64

// JoinError: nobody has let us in.
type JoinError struct {
	Failures []string // "ADDRESS: why"
	// Refusal is set if a peer has refused us for another reason than being full.
	Refusal *pb.HandshakeResponse
	Address string // who did
}

func (e *JoinError) Error() string { return fmt.Sprintf("could not join: %v", e.Failures) }

// dialTargets dials every address to join that is due and has not let us in yet,
// so that peers that join each other while starting do not stay an island;
// without any link all of them.
func (c *Core) dialTargets() {
	alone := c.linksUp() == 0
	for _, t := range c.targets {
		if t.found != "" && (t.failures >= foundTries || t.reached || c.isMember(t.foundID, t.found)) {
			continue
		}
		if t.key != (certs.PublicKey{}) && c.ready && !alone {
			continue // it was a door among others
		}
		if !t.dialing && !t.hopeless && (alone || !t.reached) && c.now >= t.next {
			t.dialing = true
			d := &dial{target: t, key: t.key}
			c.startDial(d)
			if list := c.targetCandidates(t); len(list) > 0 {
				c.race(d, list)
			} else {
				c.dialEnded(d, nowhere, false)
			}
		}
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
		list = slices.DeleteFunc(list, func(a Candidate) bool { return c.isUseless(parseAddress(a.Address)) })
		list = c.affordable(list)
	}
	return list
}

// isUsers says that the user has given the target.
func (t *target) isUsers() bool { return t.found == "" && t.key == (certs.PublicKey{}) }

// ended is the end of a dial of the target, whatever its success.
func (t *target) ended(c *Core, why string) {
	t.dialing = false
	t.failures++
	most := joinBackoff
	if c.ready {
		most = maxBackoff
	}
	t.next = c.now + c.backoff(t.failures, most)
	if why != "" {
		t.why, t.refusal = why, nil
	}
}

func (t *target) accepted() { t.failures, t.why, t.refusal, t.reached = 0, "", nil, true }

// refused notes the answer of a door that did not open.
func (t *target) refused(response *pb.HandshakeResponse) {
	t.refusal = response
	switch response.GetCode() {
	case pb.HandshakeCode_VERSION, pb.HandshakeCode_NETWORK, pb.HandshakeCode_MALFORMED:
		t.hopeless = true
	}
}

// addCandidates adds the peers that a full one has named.
func (c *Core) addCandidates(list []*pb.Signed) {
	for _, signed := range list {
		record, err := c.cfg.Open(signed)
		if err != nil || len(c.targets) >= maxTargets {
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

// checkJoining tries again, or gives up when the time is over or no address is
// left to hope for.
func (c *Core) checkJoining() {
	if c.ready || c.ended || c.leaving {
		return
	}
	if c.stopDiscovering() {
		return
	}
	hope := c.discoverBy != 0
	for _, t := range c.targets {
		hope = hope || !t.hopeless
	}
	for _, l := range c.links {
		hope = hope || l.state == linkUp
	}
	late := c.joinBy != 0 && c.now >= c.joinBy && c.discoverBy == 0
	if late || !hope {
		c.fail(c.joinError())
		return
	}
	c.dialTargets()
	c.requestTable()
}

func (c *Core) joinError() *JoinError {
	e := &JoinError{}
	for _, t := range c.targets {
		why := t.why
		switch {
		case why == "" && t.reached:
			why = "its table did not come in time"
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
	return e
}
