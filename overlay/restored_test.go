package overlay

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// epoch is the epoch of a peer's messages.
func (p *peer) epoch() uint64 {
	epoch, _ := p.messages.IDs().Run()
	return epoch
}

// storedKey is the key under which a message is stored.
func storedKey(p delivery.Position) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, p.Epoch), p.Counter)
}

// restore replaces a state directory by an earlier copy.
func (w *world) restore(name, backup string) {
	w.t.Helper()
	dir := w.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(backup)); err != nil {
		w.t.Fatal(err)
	}
	w.states[name] = state(name, name)
	w.states[name].Dir = dir
}

// backup is a copy of a state directory.
func (w *world) backup(name string) string {
	w.t.Helper()
	dir := w.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(w.states[name].Dir)); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// Once the clock was ahead, so each run has the epoch after the last one. Then alice's state
// is restored from a backup, while no peer runs that remembers that epoch. Messages that she
// sends under numbers used before are not shown twice, not out of order, and never reported as
// delivered without having been shown.
func TestRestoredBackup(t *testing.T) {
	for _, relayed := range []bool{false, true} {
		t.Run(fmt.Sprint("relayed ", relayed), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.keeping("alice", "bob")
				if relayed {
					w.Cut("alice", "bob")
				}
				if _, err := w.states["alice"].NextEpoch(1 << 60); err != nil {
					t.Fatal(err)
				}
				var carol *peer
				meet := func() (alice, bob *peer) {
					carol = w.start("carol")
					bob = w.start("bob", "carol")
					alice = w.start("alice", "carol")
					alice.eventually(5*time.Second, "both are here", func() bool { return len(alice.here()) == 2 })
					bob.eventually(5*time.Second, "both are here", func() bool { return len(bob.here()) == 2 })
					return alice, bob
				}
				send := func(alice *peer, bodies ...string) (ids []MessageID) {
					for _, body := range bodies {
						ids = append(ids, alice.send("bob", body))
					}
					alice.eventually(20*time.Second, "all are settled", func() bool {
						return len(all[Delivered](alice))+len(all[Failed](alice)) == len(bodies)
					})
					return ids
				}
				part := func(alice, bob *peer) {
					for _, p := range []*peer{alice, bob, carol} {
						if _, err := p.Leave(within(t, 5*time.Second)); err != nil {
							t.Fatal(err)
						}
						<-p.done
					}
				}
				alice, bob := meet()
				send(alice, "before the backup")
				part(alice, bob)
				backup := w.backup("alice")

				alice, bob = meet()
				first := alice.epoch()
				send(alice, "one", "two")
				bob.awaitBodies(time.Second, "alice", "one", "two")
				part(alice, bob)

				w.restore("alice", backup)
				alice, bob = meet()
				if alice.epoch() != first {
					t.Fatalf("the epoch is %d, not %d again", alice.epoch(), first)
				}
				ids := send(alice, "uno", "dos", "tres")
				bob.awaitBodies(time.Second, "alice", "tres")
				failed := all[Failed](alice)
				if d := all[Delivered](alice); len(d) != 1 || d[0].Message != ids[2] || len(failed) != 2 {
					t.Errorf("delivered %v, failed %v", d, failed)
				}
				for _, f := range failed {
					if !slices.Contains(ids[:2], f.Message) || !strings.Contains(f.Error, "put back from a backup") {
						t.Errorf("failed: %+v", f)
					}
				}
				// The same after restarts on both sides.
				part(alice, bob)
				alice, bob = meet()
				send(alice, "quattro")
				bob.awaitBodies(time.Second, "alice", "quattro")
			})
		})
	}
}

// The broadcasts of a restored author are not taken for those that were shown before.
func TestRestoredBroadcasts(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		if _, err := w.states["alice"].NextEpoch(1 << 60); err != nil {
			t.Fatal(err)
		}
		w.leave(w.start("alice"))
		backup := w.backup("alice")
		say := func(bodies ...string) {
			peers := w.network("bob", "alice")
			for _, body := range bodies {
				if _, err := peers[1].Broadcast(t.Context(), body, ""); err != nil {
					t.Fatal(err)
				}
			}
			peers[0].awaitBodies(time.Second, "alice", bodies...)
			w.leave(peers[1])
			w.leave(peers[0])
		}
		say("one", "two")
		w.restore("alice", backup)
		say("uno", "dos", "tres")
	})
}

// Running peers remember the epoch: the restored peer takes a later one at the door, and
// nothing fails.
func TestRestoredBackupIsTold(t *testing.T) {
	for _, end := range []string{"leaves", "is killed", "leaves and is not told whom to join", "is killed and is not told whom to join"} {
		t.Run(end, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.keeping("alice", "bob")
				if _, err := w.states["alice"].NextEpoch(1 << 60); err != nil {
					t.Fatal(err)
				}
				bob := w.start("bob")
				alice := w.start("alice", "bob")
				talk(alice, bob)
				w.leave(alice)
				backup := w.backup("alice")
				alice = w.start("alice", "bob")
				talk(alice, bob)
				first := alice.epoch()
				if strings.HasPrefix(end, "leaves") {
					w.leave(alice)
				} else {
					w.kill(alice)
				}
				w.restore("alice", backup)
				if strings.HasSuffix(end, "join") {
					alice = w.start("alice")
				} else {
					alice = w.start("alice", "bob")
				}
				alice.eventually(20*time.Second, "bob is here", func() bool { return len(alice.here()) == 1 })
				bob.eventually(5*time.Second, "alice is here", func() bool { return len(bob.here()) == 1 })
				talk(alice, bob)
				if f := all[Failed](alice); len(f) != 0 || alice.epoch() <= first {
					t.Errorf("in epoch %d after %d; failed: %v", alice.epoch(), first, f)
				}
			})
		})
	}
}

// A machine that is restored with its memory goes on with the same run and with numbers that
// were used. The last ones are recognized by their contents; after a restart too, the very
// last one.
func TestRestoredMemory(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		peers := w.network("alice", "bob")
		alice, bob := peers[0], peers[1]
		alice.putBack = true
		send := func(body string) (ok bool) {
			t.Helper()
			delivered, failed := len(all[Delivered](alice)), len(all[Failed](alice))
			alice.send("bob", body)
			alice.eventually(5*time.Second, body+" is settled", func() bool {
				return len(all[Delivered](alice))+len(all[Failed](alice)) > delivered+failed
			})
			return len(all[Delivered](alice)) > delivered
		}
		for _, body := range []string{"1", "2", "3", "4"} {
			if !send(body) {
				t.Errorf("%s has failed", body)
			}
		}
		goBack(alice, 1)
		if send("another 2") || send("another 3") || send("4") || !send("5") {
			t.Errorf("delivered %v", all[Delivered](alice))
		}
		bob.awaitBodies(0, "alice", "1", "2", "3", "4", "5")
		w.kill(bob)
		bob = w.start("bob", "alice")
		goBack(alice, 4)
		if send("another 5") || !send("6") {
			t.Error("another message is delivered under the last number")
		}
		bob.awaitBodies(0, "alice", "6")
	})
}

// goBack has a peer use the numbers after a given one again.
func goBack(p *peer, counter uint64) {
	p.messages.IDs().SetCounter(counter)
}

// A message that an earlier version has stored, without a nonce, is delivered once: bob has
// shown the first of two messages, and alice has not heard of it.
func TestStoredBeforeNonces(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		alices := w.states["alice"].Identity.Key()
		put := func(name string, change func(s *store.Store, done func(error))) {
			t.Helper()
			s, err := store.Open(w.states[name].Dir)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			change(s, func(err error) { done <- err })
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for i := range uint64(2) {
			p := delivery.Position{Epoch: 5, Counter: 1 + i}
			prefix := certs.MessagePrefix(alices, p.Epoch, 0)
			value, err := proto.Marshal(&pb.StoredMessage{Message: &pb.Message{
				Id: binary.BigEndian.AppendUint64(prefix[:], p.Counter), Sender: "alice", Receiver: "bob", Content: fmt.Sprint("old ", p.Counter), SentAt: 1, Epoch: p.Epoch,
			}})
			if err != nil {
				t.Fatal(err)
			}
			put("alice", func(s *store.Store, done func(error)) {
				s.Write(done, store.Op{Bucket: store.Unsettled, Key: storedKey(p), Value: value})
			})
		}
		put("bob", func(s *store.Store, done func(error)) {
			shown := []store.Entry{{Author: alices, Stamp: delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: 5, Counter: 1}}}}}
			if err := s.Say(shown); err != nil {
				t.Fatal(err)
			}
			s.Shown(shown[0].Pos, false, done)
		})
		alice := w.start("alice")
		bob := w.start("bob", "alice")
		alice.send("bob", "new")
		bob.awaitBodies(5*time.Second, "alice", "old 2", "new")
		alice.eventually(time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == 3 })
		w.kill(alice)
		w.kill(bob)
		alice = w.start("alice")
		bob = w.start("bob", "alice")
		talk(alice, bob)
		if n := len(all[Message](bob)); n != 1 {
			t.Errorf("bob is shown %d messages again", n-1)
		}
	})
}
