package link

import (
	"fmt"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// GivenTries bounds of a given address that never let us in, at the pace of a join: 20 to 40 s.
const GivenTries = 8

// Dial is a connection that we try to make, to a target of the join or to an entry.
type Dial struct {
	ID      base.DialID
	Target  *Target
	Peer    certs.ID
	Key     certs.PublicKey
	Seeking bool     // a neighbour
	Racing  bool     // its addresses are being dialled
	Meeting *Meeting // nil: none is agreed or asked for
	Why     string   // why the dialled addresses have failed

	Paid  *base.Limiter // for addresses at which the peer was never met; nil: nothing
	Price time.Duration
}

// Pay takes the price of a dial from a limiter, once; false: it has not enough.
func (d *Dial) Pay(from *base.Limiter, now, burst, price time.Duration) bool {
	if d.Paid == nil && from.Spend(now, burst, price) {
		d.Paid, d.Price = from, price
	}
	return d.Paid != nil
}

// PayBack is for a dial that was answered: its peer is where it says.
func (d *Dial) PayBack() {
	if d.Paid != nil {
		d.Paid.Next -= d.Price
	}
	d.Paid = nil
}

// Meeting is a moment at which we and a peer dial each other, or our CONNECT for one.
type Meeting struct {
	Number   uint64 // of the CONNECT
	Agreed   bool
	Due      time.Duration // the moment; if there is none yet, when we give up
	Observed []string      // where the peer is seen, as others say
}

// Target is an address to join by: given by the user, found on the LAN, named by a full door, or
// known from earlier runs.
type Target struct {
	Address   string // for people
	Addresses []string
	Key       certs.PublicKey // of a candidate; zero: anyone
	Pinned    [8]byte         // a tag of the key that has to answer, from a ticket; zero: any
	Found     string          // on the LAN, with the key of that fingerprint; empty: otherwise
	Nameless  bool            // found there in a private network, whose peers tell nobody who they are: Found is the address
	Dialing   bool
	Next      time.Duration
	Failures  int
	Why       string // of the last failure
	Obstacle  base.Obstacle
	Refusal   *pb.HandshakeResponse
	Holder    certs.PublicKey // the key that has our ID, as the door says; zero: it does not say so
	Hopeless  bool            // refused for good, or our own address
	Reached   bool            // it has let us in once
	Broken    int             // times that it let us in and did not send its table
	Given     bool            // by the configuration
	Asked     bool            // by a Join that is not answered yet
	Met       bool            // an acquaintance, see overlay/core/join
	MetAt     string          // where a link to it stood
	Peer      certs.ID        // the peer there, or the one that has let us in
	PeerKey   certs.PublicKey
}

// IsUsers reports whether the user has given the target.
func (t *Target) IsUsers() bool { return t.Found == "" && t.Key == (certs.PublicKey{}) }

// Expects reports whether the peer with that key may answer: anybody on the LAN could, in the
// place of another. In a private network TLS has shown that it knows the network; a ticket names its
// doors.
func (t *Target) Expects(key certs.PublicKey) bool {
	if t.Pinned != ([8]byte{}) && t.Pinned != certs.KeyTag(key) {
		return false
	}
	return t.Found == "" || t.Nameless || t.Found == key.String()
}

// Refused takes the refusal of a door.
func (t *Target) Refused(response *pb.HandshakeResponse) {
	t.Refusal = response
	t.Why = "refused: " + RefusalText(response)
	switch response.GetCode() {
	case pb.HandshakeCode_DUPLICATE_ID, pb.HandshakeCode_FULL, pb.HandshakeCode_STALE, pb.HandshakeCode_LEAVING, pb.HandshakeCode_AWAY: // it may pass
	default: // also for codes that we don't know
		t.Hopeless = true
	}
}

// RefusalText words a refusal for users.
func RefusalText(response *pb.HandshakeResponse) string {
	return fmt.Sprintf("%v: %s", response.GetCode(), response.GetReason())
}

// IsSought reports whether the target is looked for while its peer is absent: an acquaintance; or, once we are in
// the network, an address of the user's that has let us in, or has not for long.
func (t *Target) IsSought(ready bool) bool {
	return t.Met || ready && t.IsUsers() && (t.Reached || t.Failures >= GivenTries)
}
