package certs

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// TestSigned: a signature for one purpose is not valid for another, nor under another key, nor
// for changed bytes.
func TestSigned(t *testing.T) {
	identity, stranger := NewIdentity(make([]byte, 32)), NewIdentity([]byte("................................"))
	key := identity.Key()
	verifiers := map[string]func(PublicKey, *pb.Signed) bool{
		"record": VerifyRecord, "broadcast": VerifyBroadcast, "collected": VerifyCollected,
	}
	for purpose, signed := range map[string]*pb.Signed{
		"record":    identity.SignRecord(&pb.Record{Id: "alice", Key: key[:]}),
		"broadcast": identity.SignBroadcast(&pb.BroadcastContent{Sender: "alice", Key: key[:]}),
		"collected": identity.SignCollected(&pb.CollectedContent{Key: key[:]}),
	} {
		for as, verify := range verifiers {
			if verify(key, signed) != (as == purpose) {
				t.Errorf("a %s as a %s: %v", purpose, as, as != purpose)
			}
		}
		verify := verifiers[purpose]
		if verify(stranger.Key(), signed) {
			t.Errorf("a %s of another key passes", purpose)
		}
		changed := proto.Clone(signed).(*pb.Signed)
		changed.Payload[0] ^= 1
		if verify(key, changed) {
			t.Errorf("a changed %s passes", purpose)
		}
		changed = proto.Clone(signed).(*pb.Signed)
		changed.Signature[7] ^= 1
		if verify(key, changed) {
			t.Errorf("a %s with a changed signature passes", purpose)
		}
		if verify(key, &pb.Signed{Payload: signed.GetPayload(), Signature: signed.GetSignature()[:63]}) {
			t.Errorf("a %s with a short signature passes", purpose)
		}
	}
}
