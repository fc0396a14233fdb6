package certs

import (
	"bytes"
	"errors"
	"testing"

	"quicpeer/pb"
)

// TestSeal: bytes sealed to a key are opened by it unchanged, by no other key, and not with a
// single bit changed or cut off.
func TestSeal(t *testing.T) {
	alice, bob, eve := NewIdentity(bytes.Repeat([]byte{1}, 32)), NewIdentity(bytes.Repeat([]byte{2}, 32)), NewIdentity(bytes.Repeat([]byte{3}, 32))
	if NewIdentity(bytes.Repeat([]byte{2}, 32)).SealingKey() != bob.SealingKey() || bob.SealingKey() == eve.SealingKey() {
		t.Fatal("the sealing key does not follow from the identity")
	}
	letter := alice.SignLetter(&pb.Letter{Sender: "alice", Network: "net"})
	sealed, err := Seal(bob.SealingKey(), letter)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Seal(bob.SealingKey(), letter)
	if err != nil || bytes.Equal(sealed, again) || bytes.Contains(sealed, []byte("alice")) {
		t.Errorf("sealed twice it is the same, or can be read: %v", err)
	}
	opened, err := bob.Open(sealed)
	if err != nil || !bytes.Equal(opened.GetPayload(), letter.GetPayload()) || !VerifyLetter(alice.Key(), opened) {
		t.Errorf("bob opens %v, %v", opened, err)
	}
	if _, err := eve.Open(sealed); !errors.Is(err, ErrNotForUs) {
		t.Errorf("eve: %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 0x10
		if _, err := bob.Open(changed); err == nil {
			t.Errorf("opened with byte %d changed", i)
		}
		if _, err := bob.Open(sealed[:i]); err == nil {
			t.Errorf("opened with %d of %d bytes", i, len(sealed))
		}
	}
}

// TestSealRefuses: no sealing to keys that would give a secret known to everybody.
func TestSealRefuses(t *testing.T) {
	if _, err := Seal(SealingKey{}, &pb.Signed{Payload: []byte("x")}); err == nil {
		t.Error("sealed to the zero key")
	}
	low := SealingKey{1} // a point of order 4 at most
	if _, err := Seal(low, &pb.Signed{Payload: []byte("x")}); err == nil {
		t.Error("sealed to a point of low order")
	}
}

func FuzzOpen(f *testing.F) {
	bob := NewIdentity(bytes.Repeat([]byte{2}, 32))
	sealed, err := Seal(bob.SealingKey(), &pb.Signed{Payload: []byte("p"), Signature: make([]byte, 64)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := bob.Open(b)
		if err == nil {
			_, _ = pb.ParseLetter(s) // whatever is in it, no panic
		}
	})
}
