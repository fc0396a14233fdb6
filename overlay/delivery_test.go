package overlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// A program stops reading for more than an hour, with its queue full of others' messages:
// messages that come over other peers wait for room, and don't count as missing.
func TestLongStopOfAReceiver(t *testing.T) {
	long(t)
	simulate(t, func(t *testing.T, w *world) {
		w.Cut("alice", "bob")
		carol := w.start("carol")
		bob := w.startDeaf("bob", "carol")
		alice := w.start("alice", "carol")
		alice.eventually(5*time.Second, "both are here", func() bool { return len(alice.here()) == 2 })
		for i := range messaging.MaxIncoming {
			carol.send("bob", fmt.Sprint("carol ", i))
		}
		time.Sleep(5 * time.Second)
		want := numbers(300)
		for _, body := range want {
			alice.send("bob", body)
		}
		time.Sleep(70 * time.Minute)
		bob.listen()
		alice.eventually(2*time.Minute, "all are settled", func() bool { return len(all[Delivered](alice))+len(all[Failed](alice)) == len(want) })
		if f := all[Failed](alice); len(f) > 0 {
			t.Errorf("%d of %d have failed, though both were here all the time: %+v", len(f), len(want), f[0])
		}
	})
}

// The receiver of relayed messages starts again before it is missed: it leaves and joins
// at once. (A relay that would not pause keeps the clock of the bubble from moving.)
func TestReceiverOverOthersStartsAnew(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.Cut("alice", "bob")
		w.start("carol")
		w.startDeaf("bob", "carol")
		alice := w.start("alice", "carol")
		alice.eventually(5*time.Second, "both are here", func() bool { return len(alice.here()) == 2 })
		for range 10 {
			alice.send("bob", "hello")
			time.Sleep(3 * time.Second)
			w.Crash("bob")
			w.startDeaf("bob", "carol")
			time.Sleep(time.Second)
		}
	})
}

// A receipt comes over other peers from an author whose ID was never met.
func TestForgedReceiptForAnIDNeverMet(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		alice := w.start("alice")
		w.start("carol", "alice")
		alice.eventually(time.Second, "carol", func() bool { return len(alice.here()) == 1 })
		id := alice.send("bob", "for bob, whom alice has never met")
		awaitEvent(alice, time.Second, func(b Buffered) bool { return b.Message == id })
		mallory := delivery.Author{ID: "bob", Identity: certs.NewIdentity(bytes.Repeat([]byte{66}, 32)), Network: alice.cfg.Network}
		toAlice := delivery.Addressee{ID: "alice", Key: alice.Key(), Sealing: alice.cfg.State.Identity.SealingKey()}
		sealed, err := mallory.SealReceipts(toAlice, []*pb.Receipt{{Id: id[:], Code: pb.ReceiptCode_DELIVERED}})
		if err != nil {
			t.Fatal(err)
		}
		_ = alice.messages.OpenLetter(messaging.Letter{From: "carol", Sealed: sealed})
		synctest.Wait()
		if d := all[Delivered](alice); len(d) != 0 {
			t.Errorf("alice reports delivered, and has forgotten the message: %+v, waiting %v", d, alice.Waiting())
		}
	})
}

// A letter comes from an author that claims our own ID, under another key.
func TestLetterInOurOwnName(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		bob := w.start("bob")
		mal := certs.NewIdentity(bytes.Repeat([]byte{66}, 32))
		a := delivery.Author{ID: "bob", Identity: mal, Network: bob.cfg.Network}
		m := &delivery.Outgoing{Position: delivery.Position{Epoch: 1, Counter: 1}, Body: "I am you", SentAt: time.Now()}
		p := certs.MessagePrefix(mal.Key(), 1, 0)
		copy(m.ID[:8], p[:])
		m.ID[15] = 1
		sealed, err := a.SealMessages(delivery.Addressee{ID: "bob", Key: bob.Key(), Sealing: bob.cfg.State.Identity.SealingKey()}, []*delivery.Outgoing{m}, delivery.Position{})
		if err != nil {
			t.Fatal(err)
		}
		err = bob.messages.OpenLetter(messaging.Letter{From: "mallory", Sealed: sealed})
		synctest.Wait()
		if n := all[Message](bob); len(n) != 0 {
			t.Errorf("bob is shown %+v (err %v)", n, err)
		}
	})
}

// Letters of many unknown authors that wait for earlier ones share one bound.
func TestLongRowOfEarlyLetters(t *testing.T) {
	long(t)
	simulate(t, func(t *testing.T, w *world) {
		bob := w.start("bob")
		body := strings.Repeat("x", pb.MaxBody)
		for i := range 100 {
			mal := certs.NewIdentity(bytes.Repeat([]byte{byte(i), 7}, 16))
			a := delivery.Author{ID: certs.ID(fmt.Sprint("m", i)), Identity: mal, Network: bob.cfg.Network}
			for j := range 2 {
				m := &delivery.Outgoing{Position: delivery.Position{Epoch: 1, Counter: uint64(10 + j)}, Body: body[:len(body)-100], SentAt: time.Now()}
				p := certs.MessagePrefix(mal.Key(), 1, 0)
				copy(m.ID[:8], p[:])
				m.ID[15] = byte(10 + j)
				sealed, err := a.SealMessages(delivery.Addressee{ID: "bob", Key: bob.Key(), Sealing: bob.cfg.State.Identity.SealingKey()}, []*delivery.Outgoing{m}, delivery.Position{Epoch: 1, Counter: 9})
				if err != nil {
					t.Fatal(err)
				}
				if err = bob.messages.OpenLetter(messaging.Letter{From: "mallory", Sealed: sealed}); err != nil {
					t.Fatal(err)
				}
			}
		}
		h := bob.messages.Holding()
		if most := messaging.MaxEarly / pb.MaxBody; h.Busy == 0 || h.Busy > most || h.Early > messaging.MaxEarly {
			t.Errorf("letters of %d unknown authors wait, %d bytes", h.Busy, h.Early)
		}
	})
}

// A disk that fails while the node leaves is reported.
func TestDiskFailsWhileLeaving(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice")
		w.start("bob")
		alice := w.start("alice", "bob")
		alice.eventually(time.Second, "bob", func() bool { return len(alice.here()) == 1 })
		broken := errors.New("no space left")
		alice.send("bob", "hello")
		go func() {
			for !alice.isLeaving() {
				time.Sleep(time.Microsecond)
			}
			alice.fail(broken) // as stored does when the write fails
		}()
		_, err := alice.Leave(within(t, time.Second))
		if !errors.Is(err, broken) {
			t.Errorf("Leave says %v", err)
		}
	})
}

// Deposits are loaded in the order in which they were taken.
func TestKeptOrder(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	since := time.Now().Add(-time.Hour).UnixNano()
	key := make([]byte, 32)
	for i := range 100 {
		sealed := []byte(fmt.Sprintf("%03d%s", i, strings.Repeat("x", 60<<10)))
		v, _ := proto.Marshal(&pb.StoredDeposit{Deposit: &pb.Deposit{Receiver: "bob", ReceiverKey: key, Sealed: sealed},
			Depositor: "alice", DepositorKey: key, Since: since + int64(i)*int64(100*time.Microsecond)})
		id := pb.DepositID(sealed)
		done := make(chan error)
		s.Write(func(err error) { done <- err }, store.Op{Bucket: store.Custody, Key: id[:], Value: v})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	disk, err := messaging.OpenDisk(messaging.DiskConfig{State: &State{Dir: dir}})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	n := &Node{disk: disk}
	list, err := n.keptForOthers()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(list, func(a, b base.Kept) int { return int(b.Age - a.Age) }) // as the core does
	wrong := 0
	for i, k := range list {
		if string(k.Deposit.Sealed[:3]) != fmt.Sprintf("%03d", i) {
			wrong++
		}
	}
	if wrong > 0 {
		var first []string
		for _, k := range list[:10] {
			first = append(first, string(k.Deposit.Sealed[:3]))
		}
		t.Errorf("%d of 100 deposits, taken 100 µs apart, are out of order: %v", wrong, first)
	}
}

// Absent receivers with as many messages as may wait don't hold up a message to a peer that is
// here.
func TestAbsentDoNotHoldUpPresent(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		w.start("bob", "alice")
		alice.eventually(time.Second, "bob", func() bool { return len(alice.here()) == 1 })
		body := strings.Repeat("x", pb.MaxBody)
		for i := range 70 {
			_, _ = alice.Send(t.Context(), certs.ID(fmt.Sprint("away", i%3)), body, "")
		}
		for size := 512 << 10; size > 0; size /= 2 {
			for i := range 3 {
				_, _ = alice.Send(t.Context(), certs.ID(fmt.Sprint("away", i%3)), body[:size], "")
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := alice.Send(ctx, "bob", "hello", ""); err != nil {
			t.Errorf("bob is here and has nothing waiting: %v", err)
		}
	})
}
