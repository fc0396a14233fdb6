package certs

import (
	"bytes"
	"strings"
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
		"record": VerifyRecord, "broadcast": VerifyBroadcast, "letter": VerifyLetter, "collected": VerifyCollected,
		"withdraw": VerifyWithdraw,
	}
	for purpose, signed := range map[string]*pb.Signed{
		"record":    identity.SignRecord(&pb.Record{Id: "alice", Key: key[:]}),
		"broadcast": identity.SignBroadcast(&pb.BroadcastContent{Sender: "alice", Key: key[:]}),
		"letter":    identity.SignLetter(&pb.Letter{Sender: "alice", Key: key[:]}),
		"collected": identity.SignCollected(&pb.CollectedContent{Key: key[:]}),
		"withdraw":  identity.SignWithdraw(&pb.WithdrawContent{Key: key[:]}),
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

// TestNames: what names a peer is read, written and made as others expect it.
func TestNames(t *testing.T) {
	for s, ok := range map[string]bool{
		"alice": true, "a": true, "A.b_c-9": true, strings.Repeat("x", 64): true,
		"": false, "al ice": false, "ålice": false, "a\n": false, strings.Repeat("x", 65): false,
	} {
		if id, err := ParseID(s); (err == nil) != ok || ok && string(id) != s {
			t.Errorf("%q: %q, %v", s, id, err)
		}
	}
	// The keys of RFC 8032, 7.1, test 1; the SHA-256 of the public one was computed by another program.
	seed := []byte("\x9d\x61\xb1\x9d\xef\xfd\x5a\x60\xba\x84\x4a\xf4\x92\xec\x2c\xc4\x44\x49\xc5\x69\x7b\x32\x69\x19\x70\x3b\xac\x03\x1c\xae\x7f\x60")
	const fingerprint = "SHA256:If4x36FUomFia/hUBG/SJxt77UtqvkWqWId+9H+XIbk"
	if got := NewIdentity(seed).String(); got != fingerprint {
		t.Errorf("the fingerprint is %s", got)
	}
	drawn := RandomID(bytes.NewReader([]byte{0, 1, 31, 32, 254, 255}))
	if _, err := ParseID(string(drawn)); err != nil || drawn == RandomID(bytes.NewReader(make([]byte, 6))) {
		t.Errorf("drawn: %q, %v", drawn, err)
	}
}

// TestMessagePrefix: each run of each peer has its own.
func TestMessagePrefix(t *testing.T) {
	seen := map[[8]byte]bool{}
	runs := 0
	for _, key := range []PublicKey{{1}, {2}} {
		for epoch := range uint64(3) {
			for nonce := range uint64(3) {
				prefix := MessagePrefix(key, epoch, nonce)
				if again := MessagePrefix(key, epoch, nonce); again != prefix {
					t.Errorf("one run has %x and %x", prefix, again)
				}
				seen[prefix] = true
				runs++
			}
		}
	}
	if len(seen) != runs {
		t.Errorf("%d prefixes of %d runs", len(seen), runs)
	}
}

// TestDerived: secrets for other purposes follow from the key, and are not each other's.
func TestDerived(t *testing.T) {
	a, again, b := NewIdentity(make([]byte, 32)), NewIdentity(make([]byte, 32)), NewIdentity(bytes.Repeat([]byte{1}, 32))
	if a.ResetKey() != again.ResetKey() || a.ResetKey() == b.ResetKey() || a.ResetKey() == a.derive("quicpeer sealing") {
		t.Error("the key of stateless resets does not follow from the key alone")
	}
}
