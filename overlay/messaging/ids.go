package messaging

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// MessageIDs gives the messages of this run their IDs and positions, once it is in the
// network.
type MessageIDs struct {
	nonce uint64 // of the run

	mu      sync.Mutex
	epoch   uint64
	prefix  [8]byte
	counter uint64
}

// Begin fixes how the IDs begin. A peer that has begun alone may raise its epoch when it
// finds its network; the next messages are of the later one.
func (m *MessageIDs) Begin(key certs.PublicKey, epoch uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch, m.prefix = epoch, certs.MessagePrefix(key, epoch, m.nonce)
}

// next is the next message, without what it says.
func (m *MessageIDs) next() *delivery.Outgoing {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counter++
	return &delivery.Outgoing{
		Position: delivery.Position{Epoch: m.epoch, Counter: m.counter}, Nonce: m.nonce,
		ID: MessageID(binary.BigEndian.AppendUint64(m.prefix[:], m.counter)),
	}
}

// Run is the epoch and the nonce of the next message.
func (m *MessageIDs) Run() (epoch, nonce uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch, m.nonce
}

// SetCounter has the next message follow the one of that counter, as in a machine that was
// put back with its memory. It is for tests.
func (m *MessageIDs) SetCounter(counter uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counter = counter
}

// broadcastMark is the name of the mark for the broadcasts of a peer that were shown, beside
// that of its direct messages.
func broadcastMark(author certs.PublicKey) certs.PublicKey {
	return sha256.Sum256(append([]byte("quicpeer broadcasts\x00"), author[:]...))
}
