package pb

import (
	"cmp"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// Private networks: what grants, passes, removals and redemptions look like. Who may sign them is
// package certs' subject, and what they mean that of overlay/core/base.

// Limits of them, in bytes unless said otherwise.
const (
	MaxKeep       = 512 // entries in Removal.keep; a bound of the design: who is beyond needs another ticket
	KeepSize      = 16
	maxGrant      = 160 // an ID of 64, a key, a number, and some room for newer fields
	maxRemoval    = 10 << 10
	maxRedemption = 192
	MaxPass       = 512 // two signed grants
)

// ParseGrant opens the payload of a signed grant and checks it. It does not check the signature.
func ParseGrant(s *Signed) (*Grant, error) {
	g := new(Grant)
	err := unmarshal(s, maxGrant, g)
	if err == nil {
		err = cmp.Or(CheckID(g.GetId()), checkLength("key", g.GetKey(), KeySize))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: grant: %v", ErrMalformed, err)
	}
	return g, nil
}

// ParseRemoval opens the payload of a signed removal and checks it. It does not check the
// signature.
func ParseRemoval(s *Signed) (*Removal, error) {
	r := new(Removal)
	err := unmarshal(s, maxRemoval, r)
	if err == nil {
		err = cmp.Or(
			CheckID(r.GetId()),
			checkLength("key", r.GetKey(), KeySize),
			checkAtMost("statements to keep", len(r.GetKeep()), MaxKeep),
		)
	}
	for _, k := range r.GetKeep() {
		err = cmp.Or(err, checkLength("a statement to keep", k, KeepSize))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: removal: %v", ErrMalformed, err)
	}
	return r, nil
}

// ParseRedemption opens the payload of a signed redemption and checks it. It does not check the
// signature.
func ParseRedemption(s *Signed) (*Redemption, error) {
	r := new(Redemption)
	err := unmarshal(s, maxRedemption, r)
	if err == nil {
		err = cmp.Or(
			checkLength("ticket", r.GetTicket(), KeySize),
			checkLength("key", r.GetKey(), KeySize),
			CheckID(r.GetId()),
		)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: redemption: %v", ErrMalformed, err)
	}
	return r, nil
}

// CheckPass reports why p can't be a pass: its size, and what [ParseGrant] says of its grants.
func CheckPass(p *Pass) error {
	if err := checkAtMost("pass", proto.Size(p), MaxPass); err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	_, err := ParseGrant(p.GetGrant())
	if err == nil && p.GetIssuer() != nil {
		_, err = ParseGrant(p.GetIssuer())
	}
	return err
}

// checkRedeemed checks an answer to a redemption.
func checkRedeemed(r *Redeemed) error {
	err := cmp.Or(checkLength("ticket", r.GetTicket(), KeySize), checkAtMost("reason", len(r.GetReason()), MaxReason))
	if err == nil && r.GetCode() == HandshakeCode_GRANTED {
		err = CheckPass(r.GetPass())
	}
	return err
}
