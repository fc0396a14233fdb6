package messaging

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/store"
)

// MaxIgnored bounds the keys that are ignored, and those that were ignored lately (a guess).
const MaxIgnored = 1024

// HiddenFor is how long the end of ignoring a key is remembered: longer than the past of a room
// reaches back.
const HiddenFor = 8 * 24 * time.Hour

// hiddenKey is before a public key in the bucket of numbers; the number is until when that key was
// ignored, nanoseconds since 1970.
const hiddenKey = "hidden "

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
	until map[certs.PublicKey]time.Time // when the ignoring of a key ended
}

// Has says that messages of the peer with this key are not shown.
func (l *Ignored) Has(key certs.PublicKey) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, found := l.byKey[key]
	return found
}

// Hides says that what the peer with this key said at a time is not shown as the past: the peer is
// ignored, or was ignored then or later. When the ignoring began is not stored, so what was said
// before that is hidden too.
func (l *Ignored) Hides(key certs.PublicKey, said time.Time) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, found := l.byKey[key]
	return found || !said.After(l.until[key])
}

// open loads those of earlier runs.
func (l *Ignored) open(e *Engine) error {
	l.engine = e
	l.byKey, l.until = make(map[certs.PublicKey]certs.ID), make(map[certs.PublicKey]time.Time)
	if err := errors.Join(e.disk.Load(store.Ignored, l.load), e.disk.Load(store.Self, l.loadUntil)); err != nil {
		return err
	}
	if ops := l.tidy(time.Now()); ops != nil {
		e.disk.Write(nil, ops...)
	}
	return nil
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
	l.byKey[certs.PublicKey(key)] = id
	return nil
}

// loadUntil loads until when a peer was ignored.
func (l *Ignored) loadUntil(name, value []byte) error {
	key, isHidden := bytes.CutPrefix(name, []byte(hiddenKey))
	switch {
	case !isHidden:
		return nil
	case len(key) != len(certs.PublicKey{}) || len(value) != 8:
		return damaged("time until when a peer was ignored", fmt.Errorf("a key of %d bytes, a number of %d", len(key), len(value)))
	}
	l.until[certs.PublicKey(key)] = time.Unix(0, int64(binary.BigEndian.Uint64(value)))
	return nil
}

// setUntil notes until when a peer was ignored.
func (l *Ignored) setUntil(key certs.PublicKey, at time.Time) store.Op {
	l.until[key] = at
	return store.NumberOp(hiddenKey+string(key[:]), uint64(at.UnixNano()))
}

// tidy forgets the times that can't matter any more, and the earliest of too many. A time in the
// future, from before the clock was set back, becomes now: otherwise it would hide for too long.
func (l *Ignored) tidy(now time.Time) (ops []store.Op) {
	keys := slices.SortedFunc(maps.Keys(l.until), func(a, b certs.PublicKey) int { return l.until[a].Compare(l.until[b]) })
	for i, key := range keys {
		switch at := l.until[key]; {
		case i < len(keys)-MaxIgnored || now.Sub(at) > HiddenFor:
			delete(l.until, key)
			ops = append(ops, store.Op{Bucket: store.Self, Key: []byte(hiddenKey + string(key[:]))})
		case at.After(now):
			ops = append(ops, l.setUntil(key, now))
		}
	}
	return ops
}

// Ignore hides the peer that has an ID now, or had it last: from now on its messages are refused,
// and its broadcasts are not shown, until Unignore, also after a restart. It returns when that is
// on disk.
func (l *Ignored) Ignore(id certs.ID) error {
	e := l.engine
	if id == e.cfg.ID {
		return ErrIgnoreSelf
	}
	known, err := e.directory.Known(id)
	if err != nil {
		return ErrUnknownPeer
	}
	key := known.Key
	return l.change(func() ([]store.Op, error) {
		if _, found := l.byKey[key]; !found && len(l.byKey) >= MaxIgnored {
			return nil, ErrIgnoredFull
		}
		l.byKey[key] = id
		return []store.Op{{Bucket: store.Ignored, Key: key[:], Value: []byte(id)}}, nil
	})
}

// Unignore is the reverse of Ignore, for all that are ignored under an ID. What came meanwhile is
// not shown, nor what was said meanwhile and comes later as the past.
func (l *Ignored) Unignore(id certs.ID) error {
	return l.change(func() (ops []store.Op, err error) {
		now := time.Now().Round(0) // the time of day, as it is stored
		for key, as := range l.byKey {
			if as == id {
				delete(l.byKey, key)
				ops = append(ops, store.Op{Bucket: store.Ignored, Key: key[:]}, l.setUntil(key, now))
			}
		}
		if ops == nil {
			return nil, ErrNotIgnored
		}
		return append(ops, l.tidy(now)...), nil
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
