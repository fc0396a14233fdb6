package files

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/overlay/files/journal"
	"quicpeer/overlay/messaging/store"
)

// book holds the transfers of a node.
type book struct {
	teller
	dir string // where they are remembered
	log *slog.Logger
	key certs.PublicKey // this peer's

	ctx context.Context // ends with Close
	wg  sync.WaitGroup

	mu        sync.Mutex // none is taken within it, and nothing is waited for
	transfers map[int]*transfer
	byMessage map[offerKey]*transfer
	next      int // the highest number given
	closed    bool

	counts counts
}

// counts are bytes of contents since the start.
type counts struct{ read, sent, received atomic.Int64 }

// offerKey names an offer: others may use the ID of a message, but not under its key.
type offerKey struct {
	key     certs.PublicKey
	message overlay.MessageID
}

func newTransfer(b *book) *transfer {
	return &transfer{book: b, wake: make(chan struct{}, 1)}
}

// read reads what earlier runs have left.
func (b *book) read() error {
	names, err := filepath.Glob(filepath.Join(b.dir, "*"+recordFile))
	if err != nil {
		return err
	}
	for _, name := range names {
		number, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), recordFile))
		if err != nil || number < 1 {
			continue
		}
		t := newTransfer(b)
		if err := journal.ReadRecord(name, &t.record); err != nil {
			return err
		}
		if t.File != number {
			return fmt.Errorf("%s is about another number, %d", name, t.File)
		}
		b.next = max(b.next, number)
		b.transfers[number] = t
		switch {
		case t.Ours && (t.Message == overlay.MessageID{} || t.Volatile) && !t.State.Over():
			t.State, t.Error = StateFailed, "the program ended before it was sent"
			if t.Volatile {
				t.Error = "what was offered is gone with the program"
			}
			t.Ended = time.Now()
			if t.Temporary {
				t.removeTemporary()
			}
		case t.State == StateActive:
			t.State = StateWaiting
		}
		for i := range t.Receivers {
			if t.Receivers[i].State == StateActive {
				t.Receivers[i].State = StateWaiting
			}
		}
		if t.Message != (overlay.MessageID{}) {
			b.byMessage[offerKey{t.Key, t.Message}] = t
		}
	}
	return b.sweep()
}

// sweep removes what a crash has left of transfers that are not remembered, whose numbers are given again, and of offers
// of ours that are over.
func (b *book) sweep() error {
	if err := store.RemoveLeftovers(b.dir); err != nil {
		return err
	}
	names, err := filepath.Glob(filepath.Join(b.dir, "*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		number, suffix, _ := strings.Cut(filepath.Base(name), ".")
		n, err := strconv.Atoi(number)
		if suffix = "." + suffix; err != nil || suffix != manifestFile && suffix != sumsFile {
			continue
		}
		if t := b.transfers[n]; t == nil || t.Ours && t.State.Over() {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxOver is how many transfers that are over are remembered (a guess).
const maxOver = 64

// forget drops the oldest transfers that are over. It returns what is to be removed. b.mu is held.
func (b *book) forget() (drop []*transfer) {
	var over []*transfer
	for _, t := range b.transfers {
		if t.State.Over() && t.cancel == nil {
			over = append(over, t)
		}
	}
	slices.SortFunc(over, func(x, y *transfer) int { return cmp.Compare(x.File, y.File) })
	for _, t := range over[:max(0, len(over)-maxOver)] {
		if t.File == b.next {
			continue // its number must not be given again
		}
		delete(b.transfers, t.File)
		delete(b.byMessage, offerKey{t.Key, t.Message})
		drop = append(drop, t)
	}
	return drop
}

// add gives a transfer its number.
func (b *book) add(t *transfer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.Ours { // those of others count as handled also when this run ends: the next one goes on with them
		if b.closed {
			return overlay.ErrClosed
		}
		open := 0
		for _, other := range b.transfers {
			if other.Ours && !other.State.Over() {
				open++
			}
		}
		if open >= maxOffers {
			return ErrManyOffers
		}
	}
	b.next++
	t.File = b.next
	b.transfers[t.File] = t
	if t.Message != (overlay.MessageID{}) {
		b.byMessage[offerKey{t.Key, t.Message}] = t
	}
	return nil
}

// named notes the message of an offer of ours.
func (b *book) named(t *transfer, id overlay.MessageID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.Message = id
	b.byMessage[offerKey{t.Key, id}] = t
}

// remove takes out a transfer that has not come about.
func (b *book) remove(t *transfer) {
	b.mu.Lock()
	delete(b.transfers, t.File)
	delete(b.byMessage, offerKey{t.Key, t.Message})
	b.mu.Unlock()
	t.erase(recordFile, manifestFile, sumsFile)
}

// find returns the transfer of a number.
func (b *book) find(file int) (*transfer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.transfers[file]; t != nil {
		return t, nil
	}
	return nil, ErrUnknownFile
}

// sorted is all transfers in the order of their numbers. b.mu is held.
func (b *book) sorted() (all []*transfer) {
	for _, t := range b.transfers {
		all = append(all, t)
	}
	slices.SortFunc(all, func(x, y *transfer) int { return cmp.Compare(x.File, y.File) })
	return all
}

// Bounds of offers of others that are open, guesses: of one key, and of all. A new one takes the place of the oldest that
// was not accepted, of the same key or of the one that has most.
const (
	maxOffersOfOne = 8
	maxOffersOfAll = 128
)

// greediest is the oldest open offer of a key, or of the one that has most, if there are too many; nil: there are not.
func (b *book) greediest(key certs.PublicKey) *transfer {
	b.mu.Lock()
	defer b.mu.Unlock()
	count := make(map[certs.PublicKey]int)
	all := 0
	most := key
	for _, t := range b.sorted() {
		if t.Ours || t.State != StateOffered {
			continue
		}
		all++
		if count[t.Key]++; count[t.Key] > count[most] {
			most = t.Key
		}
	}
	if count[key] < maxOffersOfOne {
		key = most
	}
	if count[key] >= maxOffersOfOne || all >= maxOffersOfAll {
		for _, t := range b.sorted() {
			if !t.Ours && t.State == StateOffered && t.Key == key {
				return t
			}
		}
	}
	return nil
}

// Bounds of transfers that were accepted and are not over, of one key and of all: more are not taken without asking.
// An honest sender has no more offers than this one open; each takes a goroutine and some 30 KiB.
const (
	maxTakenOfOne = maxOffers
	maxTakenOfAll = 4 * maxOffers
)

// mayTake says whether one more offer of a key may be taken without asking.
func (b *book) mayTake(key certs.PublicKey) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	of, all := 0, 0
	for _, t := range b.transfers {
		if t.Ours || t.State.Over() || t.State == StateOffered {
			continue
		}
		all++
		if t.Key == key {
			of++
		}
	}
	return of < maxTakenOfOne && all < maxTakenOfAll
}

// sends says whether an offer of ours is being sent, and the ID of its message is not known yet. book.mu is held.
func (b *book) sends() bool {
	for _, t := range b.transfers {
		if t.Ours && t.Message == (overlay.MessageID{}) && !t.State.Over() {
			return true
		}
	}
	return false
}

// offerOf is the transfer that a message has offered; nil: none.
func (b *book) offerOf(key certs.PublicKey, message overlay.MessageID) *transfer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byMessage[offerKey{key, message}]
}

// list is all transfers as they stand.
func (b *book) list() []Transfer {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []Transfer{}
	for _, t := range b.sorted() {
		list = append(list, t.now(time.Now()))
	}
	return list
}

// background runs something that Close waits for.
func (b *book) background(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.wg.Go(do)
	}
}
