package certs

import (
	"crypto/sha256"
	"encoding/binary"
)

// MessagePrefix is the first 8 bytes of the IDs of all messages of one run of a peer: a hash
// of its key, epoch and nonce, so that a message of another run does not pass as one of this.
// Runs of versions without nonces have 0.
func MessagePrefix(key PublicKey, epoch, nonce uint64) [8]byte {
	b := binary.BigEndian.AppendUint64(append([]byte("quicpeer message\x00"), key[:]...), epoch)
	if nonce != 0 {
		b = binary.BigEndian.AppendUint64(b, nonce)
	}
	sum := sha256.Sum256(b)
	return [8]byte(sum[:8])
}
