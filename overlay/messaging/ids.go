package messaging

import (
	"encoding/binary"
	"sync"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
)

// messageIDs gives the messages of this run their IDs and positions, once it is in the
// network.
type messageIDs struct {
	nonce uint64 // of the run

	mu      sync.Mutex
	epoch   uint64
	prefix  [8]byte
	counter uint64
}

// begin fixes how the IDs begin. A peer that has begun alone may raise its epoch when it
// finds its network; the next messages are of the later one.
func (m *messageIDs) begin(key certs.PublicKey, epoch uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch, m.prefix = epoch, certs.MessagePrefix(key, epoch, m.nonce)
}

// next is the next message, without what it says.
func (m *messageIDs) next() *delivery.Outgoing {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counter++
	return &delivery.Outgoing{
		Position: delivery.Position{Epoch: m.epoch, Counter: m.counter}, Nonce: m.nonce,
		ID: MessageID(binary.BigEndian.AppendUint64(m.prefix[:], m.counter)),
	}
}

// run is the epoch and the nonce of the next message.
func (m *messageIDs) run() (epoch, nonce uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch, m.nonce
}

func (m *messageIDs) setCounter(counter uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counter = counter
}
