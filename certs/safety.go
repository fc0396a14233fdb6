package certs

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"strings"
)

// safetyRounds makes each try of a key that resembles another costly, see [SafetyNumber].
const safetyRounds = 5200

// SafetyNumber is what two people compare to be sure that nobody stands between them: 60 digits
// in groups of five, the same on both sides. The first half follows from the smaller of the two
// keys, the second from the other.
//
// It is made as by Signal's NumericFingerprintGenerator, without an identifier: SHA-512, 5200
// times over the key, of which 30 bytes become six groups. A half stands for 100 bits. One short
// hash over both keys would be weaker, since who stands in between chooses a key for each side,
// and could look for a pair whose hashes agree.
func SafetyNumber(one, other PublicKey) string {
	if bytes.Compare(one[:], other[:]) > 0 {
		one, other = other, one
	}
	return strings.Join(append(safetyHalf(one), safetyHalf(other)...), " ")
}

// safetyHalf is the groups of digits of a key.
func safetyHalf(key PublicKey) (groups []string) {
	hash := append([]byte{0, 0}, key[:]...) // of version 0
	for range safetyRounds {
		sum := sha512.Sum512(append(hash, key[:]...))
		hash = sum[:]
	}
	for i := range 6 {
		var n uint64
		for _, b := range hash[5*i : 5*i+5] {
			n = n<<8 | uint64(b)
		}
		groups = append(groups, fmt.Sprintf("%05d", n%100_000))
	}
	return groups
}
