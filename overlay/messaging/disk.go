package messaging

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
)

// Disk stores a peer's messages in its state directory over restarts. Without a directory it
// stores nothing, and writes count as safe at once. Its first error ends the peer.
type Disk struct {
	store   *store.Store // nil: nothing is kept
	fail    func(error)
	failure func(error) // is called with the outcome of what nobody waits for
	log     *slog.Logger
	uptime  uptime // the loop's own
	users   users

	history bool // what is said is kept
	unsaid  unsaid
	places  places
}

// DiskConfig is the configuration of a disk.
type DiskConfig struct {
	State *store.State // without a directory nothing is stored
	// History bounds the history; NoHistory: there is none, but for what was shown.
	History   store.HistoryConfig
	NoHistory bool
	Step      func(string) bool // for tests of crashes, see store.OpenWith
	Fail      func(error)       // receives the first error
	Log       *slog.Logger
}

// OpenDisk opens a disk. The caller must close it, even after an error.
func OpenDisk(cfg DiskConfig) (*Disk, error) {
	d := &Disk{fail: cfg.Fail, log: cfg.Log}
	d.failure = func(err error) { d.isSafe(err) }
	cfg.History.Floor = d.unsaid.floor
	s, err := cfg.State.OpenMessages(cfg.History, cfg.Step, cfg.Fail)
	if err != nil {
		return d, err
	}
	d.store = s
	d.history = s != nil && !cfg.NoHistory
	return d, d.loadUptime()
}

// loadUptime sets the clock to where the last run has left it.
func (d *Disk) loadUptime() error {
	if d.store == nil {
		d.uptime.next = uptimeEvery
		return nil
	}
	before, err := d.store.Number("uptime")
	if before > math.MaxInt64 {
		err = damaged("uptime", fmt.Errorf("%d nanoseconds", before))
	}
	d.uptime = uptime{before: time.Duration(before), next: uptimeEvery}
	return err
}

// Keeps says that there is a state directory.
func (d *Disk) Keeps() bool { return d.store != nil }

// Load is store.Store.Load.
func (d *Disk) Load(b store.Bucket, f func(key, value []byte) error) error {
	if d.store == nil {
		return nil
	}
	return d.store.Load(b, f)
}

// Write stores something, and calls done, if it isn't nil, when that is safe.
func (d *Disk) Write(done func(), ops ...store.Op) {
	if d.store == nil {
		if done != nil {
			done()
		}
		return
	}
	d.store.Write(d.then(done), ops...)
}

// then calls done, if it isn't nil, if err is nil.
func (d *Disk) then(done func()) func(error) {
	if done == nil {
		return d.failure
	}
	return func(err error) {
		if d.isSafe(err) {
			done()
		}
	}
}

// isSafe says that a write went well. Else the peer ends.
func (d *Disk) isSafe(err error) bool {
	if err != nil && !errors.Is(err, store.ErrKilled) {
		d.fail(err)
	}
	return err == nil
}

// noteShown stores that the messages of an author up to one have been shown, and calls done
// when that is safe, or with an error, which is for isSafe. Without a history that is noted now, after it was
// shown.
func (d *Disk) noteShown(author certs.PublicKey, it item, done func(error)) {
	if d.store == nil {
		done(nil)
		return
	}
	pos := it.pos
	if pos == 0 {
		note := []store.Entry{{Author: author, Stamp: it.stamp}}
		if err := d.store.Say(note); err != nil {
			done(err)
			return
		}
		pos = note[0].Pos
	}
	d.store.Shown(pos, false, done)
}

// say writes entries to the history, and gives them their positions; false: it can't be written, so
// the peer ends.
func (d *Disk) say(entries []store.Entry) bool { return d.isSafe(d.store.Say(entries)) }

// noteSettled deletes a message of ours once it is safe that the program has had its last event.
func (d *Disk) noteSettled(it item) {
	if it.pos == 0 {
		d.forgetMessage(it.settled)
		return
	}
	m := it.settled
	d.store.Shown(it.pos, true, func(err error) {
		if err == nil {
			d.forgetMessage(m)
		}
	})
}

// willSay says from where on the history may lack that a message was sent, until it has it; 0: there is
// no history.
func (d *Disk) willSay(id MessageID) uint64 {
	if !d.history {
		return 0
	}
	from := d.store.Said().Last + 1
	d.unsaid.expect(id, from)
	return from
}

// whenSafe calls done when all that was said so far is safe from a crash of the machine.
func (d *Disk) whenSafe(done func()) {
	d.store.Shown(0, true, func(err error) { // which says of nothing that it was shown
		if err == nil {
			done()
		}
	})
}

// said is the span of the history.
func (d *Disk) said() store.Span {
	if !d.history {
		return store.Span{}
	}
	return d.store.Said()
}

// noteGaps stores which messages of a sender were passed over, and calls done when that is
// safe.
func (d *Disk) noteGaps(key certs.PublicKey, gaps []delivery.Gap, done func()) {
	if d.store == nil {
		done()
		return
	}
	d.store.SetGaps(key, gaps, d.then(done))
}

// marks hands over how far the messages of each sender were shown in earlier runs.
func (d *Disk) marks() map[certs.PublicKey]delivery.Mark {
	if d.store == nil {
		return nil
	}
	return d.store.Marks()
}

// diskPatience is how long leaving waits for a disk that does not answer (a guess).
const diskPatience = 5 * time.Second

// Flush waits until all writes are safe, or have failed; at most for 5 s, or until ctx ends.
// It also fails if the state directory is gone, even with no write to wait for.
func (d *Disk) Flush(ctx context.Context) {
	if d.store == nil {
		return
	}
	done := make(chan struct{})
	d.store.Write(func(err error) {
		if err != nil {
			d.fail(err)
		}
		close(done)
	})
	late := time.NewTimer(diskPatience)
	defer late.Stop()
	select {
	case <-done:
	case <-ctx.Done():
	case <-late.C:
		d.log.Warn("leaving although the disk has not taken everything", "after", diskPatience)
	}
}

// Close closes the store. A second Close returns the same.
func (d *Disk) Close() error {
	if d.store == nil {
		return nil
	}
	return d.store.Close()
}

// users counts the users of an open disk: the engine, and the loops over Events, which may go
// on after the engine has stopped and still note the messages that they show. The last of them
// to end closes the store.
type users struct {
	mu      sync.Mutex
	loops   int
	stopped bool
}

// begin begins a loop; false says that the store is closed.
func (u *users) begin() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped && u.loops == 0 {
		return false
	}
	u.loops++
	return true
}

// end is the end of a loop, and says whether the store is to be closed.
func (u *users) end() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.loops--
	return u.stopped && u.loops == 0
}

// stop is the end of the engine, and says whether the store is to be closed.
func (u *users) stop() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopped = true
	return u.loops == 0
}

// damaged reports a record that was stored whole but makes no sense.
func damaged(what string, err error) error { return fmt.Errorf("a stored %s: %w", what, err) }

const keySize = 16 // of a message

func keyOfMessage(p delivery.Position) []byte {
	key := make([]byte, 0, keySize+1) // for a word
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(key, p.Epoch), p.Counter)
}

// forgetMessage deletes a message from the disk when the program has had its last event. This
// may be delayed: if the message is sent again, its receiver knows it, and the program gets
// the event again.
func (d *Disk) forgetMessage(m *delivery.Outgoing) {
	key := keyOfMessage(m.Position)
	if m.Cancelled {
		key = keyOfWord(m.Position)
	}
	d.Write(nil, store.Op{Bucket: store.Unsettled, Key: key})
}

// keyOfWord is the key of a message's last word: right after the key of the message.
func keyOfWord(p delivery.Position) []byte { return append(keyOfMessage(p), 'w') }
