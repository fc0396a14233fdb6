package messaging

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/store"
)

// MaxIgnored bounds the keys that are ignored (a guess).
const MaxIgnored = 1024

// IgnoredPeer is a peer whose messages are not shown: the holder of the key, whatever its ID is.
type IgnoredPeer struct {
	ID  certs.ID        `json:"id"` // under which it is ignored
	Key certs.PublicKey `json:"key"`
}

// Ignored is the peers that are ignored.
type Ignored struct {
	engine *Engine

	mu    sync.RWMutex
	byKey map[certs.PublicKey]certs.ID
}

// Has says that messages of the peer with this key are not shown.
func (l *Ignored) Has(key certs.PublicKey) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, found := l.byKey[key]
	return found
}

// load loads a peer from the disk.
func (l *Ignored) load(key, value []byte) error {
	id, err := certs.ParseID(string(value))
	switch {
	case err != nil:
		return damaged("ignored peer", err)
	case len(key) != len(certs.PublicKey{}):
		return damaged("ignored peer", fmt.Errorf("a key of %d bytes", len(key)))
	case len(l.byKey) == MaxIgnored:
		return damaged("ignored peer", fmt.Errorf("there are more than %d", MaxIgnored))
	}
	l.put(certs.PublicKey(key), id)
	return nil
}

// put enters a peer.
func (l *Ignored) put(key certs.PublicKey, id certs.ID) {
	if l.byKey == nil {
		l.byKey = make(map[certs.PublicKey]certs.ID)
	}
	l.byKey[key] = id
}

// Ignore hides the peer that has an ID now, or had it last: from now on its messages are refused,
// and its broadcasts are not shown, until Unignore, also after a restart. It returns when that is
// on disk.
func (l *Ignored) Ignore(id certs.ID) error {
	e := l.engine
	if id == e.cfg.ID {
		return ErrIgnoreSelf
	}
	key, known := e.directory.KeyOf(id)
	if !known {
		return ErrUnknownPeer
	}
	return l.change(func() ([]store.Op, error) {
		if _, found := l.byKey[key]; !found && len(l.byKey) >= MaxIgnored {
			return nil, ErrIgnoredFull
		}
		l.put(key, id)
		return []store.Op{{Bucket: store.Ignored, Key: key[:], Value: []byte(id)}}, nil
	})
}

// Unignore is the reverse of Ignore, for all that are ignored under an ID. What came meanwhile is
// not shown.
func (l *Ignored) Unignore(id certs.ID) error {
	return l.change(func() (ops []store.Op, err error) {
		for key, as := range l.byKey {
			if as == id {
				delete(l.byKey, key)
				ops = append(ops, store.Op{Bucket: store.Ignored, Key: key[:]})
			}
		}
		if ops == nil {
			return nil, ErrNotIgnored
		}
		return ops, nil
	})
}

// change changes who is ignored, and waits until that is on disk.
func (l *Ignored) change(how func() ([]store.Op, error)) error {
	e := l.engine
	safe := make(chan struct{})
	l.mu.Lock()
	if e.ctx.Err() != nil {
		l.mu.Unlock()
		return ErrClosed
	}
	ops, err := how()
	if err == nil {
		e.disk.Write(func() { close(safe) }, ops...) // under the lock: changes come to the disk in their order
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-safe:
		return nil
	case <-e.ctx.Done():
		return ErrClosed
	}
}

// Peers lists them, in the order of their IDs.
func (l *Ignored) Peers() []IgnoredPeer {
	l.mu.RLock()
	var list []IgnoredPeer
	for key, id := range l.byKey {
		list = append(list, IgnoredPeer{id, key})
	}
	l.mu.RUnlock()
	slices.SortFunc(list, func(a, b IgnoredPeer) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), slices.Compare(a.Key[:], b.Key[:]))
	})
	return list
}
