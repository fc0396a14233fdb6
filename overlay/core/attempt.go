package core

import (
	"fmt"
	"quicpeer/certs"
	"quicpeer/pb"
	"time"
)

// givenTries bounds of a given address that never let us in, at the pace of a join: 20 to 40 s.
const givenTries = 8

// dial is a connection that we try to make, to a target of the join or to an entry.
type dial struct {
	id      DialID
	target  *target
	peer    certs.ID
	key     certs.PublicKey
	seeking bool     // a neighbour
	racing  bool     // its addresses are being dialled
	meeting *meeting // the peer is asked to dial us too; nil: it is not
	why     string   // why the dialled addresses have failed
}

// meeting is our CONNECT to a peer.
type meeting struct {
	number   uint64
	sent     time.Duration
	answered bool
	due      time.Duration // then both dial; without an answer the meeting has failed
	observed []string      // where the peer is seen, as it says
}

// target is an address to join by: given by the user, found on the LAN, named by a full door, or
// known from earlier runs.
type target struct {
	address   string // for people
	addresses []string
	key       certs.PublicKey // of a candidate; zero: anyone
	found     string          // on the LAN, with the key of that fingerprint; empty: otherwise
	dialing   bool
	next      time.Duration
	failures  int
	why       string // of the last failure
	obstacle  Obstacle
	refusal   *pb.HandshakeResponse
	holder    certs.PublicKey // the key that has our ID, as the door says; zero: it does not say so
	hopeless  bool            // refused for good, or our own address
	reached   bool            // it has let us in once
	broken    int             // times that it let us in and did not send its table
	given     bool            // by the configuration
	asked     bool            // by a Join that is not answered yet
	met       bool            // an acquaintance, see join.go
	metAt     string          // where a link to it stood
	peer      certs.ID        // the peer there, or the one that has let us in
	peerKey   certs.PublicKey
}

// isUsers reports whether the user has given the target.
func (t *target) isUsers() bool { return t.found == "" && t.key == (certs.PublicKey{}) }

// refused takes the refusal of a door.
func (t *target) refused(response *pb.HandshakeResponse) {
	t.refusal = response
	t.why = "refused: " + refusalText(response)
	switch response.GetCode() {
	case pb.HandshakeCode_DUPLICATE_ID, pb.HandshakeCode_FULL, pb.HandshakeCode_STALE, pb.HandshakeCode_LEAVING: // it may pass
	default: // also for codes that we don't know
		t.hopeless = true
	}
}

// refusalText words a refusal for users.
func refusalText(response *pb.HandshakeResponse) string {
	return fmt.Sprintf("%v: %s", response.GetCode(), response.GetReason())
}

// isSought reports whether the target is looked for while its peer is absent: an acquaintance; or, once we are in
// the network, an address of the user's that has let us in, or has not for long.
func (t *target) isSought(ready bool) bool {
	return t.met || ready && t.isUsers() && (t.reached || t.failures >= givenTries)
}
