package core

import (
	"fmt"
	"quicpeer/certs"
	"quicpeer/pb"
	"time"
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
	met       bool            // an acquaintance, see join.go
	metAt     string          // where a link to it stood
	peer      certs.ID        // it, or who has let us in
	peerKey   certs.PublicKey
}

// maxTargets bounds the candidates that full peers can make us dial.
const maxTargets = 64

// isUsers says that the user has given the target.
func (t *target) isUsers() bool { return t.found == "" && t.key == (certs.PublicKey{}) }

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

// isSought says that a target is one for seekAbsent: somebody met; or, once we are in the
// network, an address of the user's that has let us in, or did not for long.
func (t *target) isSought(ready bool) bool {
	return t.met || ready && t.isUsers() && (t.reached || t.failures >= givenTries)
}
