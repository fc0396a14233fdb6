package messaging

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// onDisk is an engine of bob's that does nothing, with a state directory. Before each step of the
// disk it calls step.
func onDisk(t *testing.T, dir string, step func(string)) *Engine {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	disk, err := OpenDisk(DiskConfig{
		State: &store.State{Dir: dir}, Log: log, Fail: func(err error) { t.Error(err) },
		Step: func(what string) bool { step(what); return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	e, err := New(Config{
		ID: "bob", Start: time.Now(), Disk: disk, Log: log, Wish: func(Wish) {},
		Met: []Contact{{ID: "alice", Key: numberedKey(1)}, {ID: "carol", Key: numberedKey(2)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// parcelOf is a letter with messages of alice's, each the next of the one before.
func parcelOf(counters ...uint64) *delivery.Parcel {
	p := &delivery.Parcel{Answer: "alice"}
	if counters[0] > 1 {
		p.After = delivery.Position{Epoch: 1, Counter: counters[0] - 1}
	}
	for _, counter := range counters {
		id := binary.BigEndian.AppendUint64(make([]byte, 8), counter)
		p.Messages = append(p.Messages, &pb.Message{Id: id, Sender: "alice", Epoch: 1, Content: fmt.Sprint("message ", counter)})
	}
	return p
}

// verdicts are the codes and reasons of the answers that wait.
func verdicts(e *Engine) (list []string) {
	for len(e.answers.waiting) > 0 {
		for _, r := range (<-e.answers.waiting).receipts {
			list = append(list, fmt.Sprint(binary.BigEndian.Uint64(r.GetId()[8:]), " ", r.GetCode(), " ", r.GetReason()))
		}
	}
	return list
}

// TestIgnoredLetters: the receipts for what is refused wait for the disk, and only for that;
// meanwhile nothing behind it is shown, and nothing is passed over.
func TestIgnoredLetters(t *testing.T) {
	dir := t.TempDir()
	var slow atomic.Bool
	begun, goOn := make(chan struct{}), make(chan struct{})
	e := onDisk(t, dir, func(what string) {
		if what == "commit" && slow.Load() {
			select {
			case begun <- struct{}{}:
				<-goOn
			case <-t.Context().Done(): // the test failed, and the disk closes
			}
		}
	})
	s := e.senders.of(numberedKey(1), nil)
	e.events.Push(PeerJoined{ID: "alice", Key: s.key})
	offer := func(p *delivery.Parcel) { s.offer(p, delivery.Addressee{ID: "alice", Key: s.key}) }
	expect := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q", what, got)
		}
	}
	if err := e.Ignored.Ignore("alice"); err != nil {
		t.Fatal(err)
	}
	slow.Store(true)
	offer(parcelOf(1))
	<-begun
	slow.Store(false)
	offer(parcelOf(2, 3))
	offer(parcelOf(3)) // a repeat
	e.Ignored.mu.Lock()
	delete(e.Ignored.byKey, s.key) // as Unignore does before it waits for the disk
	e.Ignored.mu.Unlock()
	offer(parcelOf(4))
	offer(parcelOf(6))
	s.passOver(e.now() + time.Hour)
	expect("before the disk has it", verdicts(e))
	if n := e.events.incomingNow(); n != 0 {
		t.Errorf("%d are shown behind it", n)
	}
	close(goOn)
	for range 3 { // each may lead to another write
		e.disk.Flush(t.Context())
	}
	const refused = " REJECTED does not take messages from you"
	expect("then", verdicts(e), "1"+refused, "2"+refused, "3"+refused, "3"+refused)
	s.passOver(e.now() + time.Hour)
	e.disk.Flush(t.Context())
	for _, it := range queued(e.events)[1:] {
		expect("shown is", []string{it.(Message).Body}, "message 6")
	}
	handled := item{event: Message{}, sender: s, stamp: delivery.StampOf(parcelOf(6).Messages[0])}
	e.events.handled(handled)
	s.handle(handled)
	if err := e.disk.Close(); err != nil {
		t.Fatal(err)
	}

	again := onDisk(t, dir, func(string) {})
	s = again.senders.of(numberedKey(1), nil)
	for counter, want := range map[uint64]string{1: delivery.Ignored, 3: delivery.Ignored, 4: delivery.TooLate, 5: delivery.TooLate, 6: ""} {
		if fresh, refused := s.inbox.Judge(delivery.StampOf(parcelOf(counter).Messages[0])); fresh || refused != want {
			t.Errorf("after a restart %d is refused with %q", counter, refused)
		}
	}
}

// TestIgnoredOnDisk: who is ignored is loaded and checked, and so many at most.
func TestIgnoredOnDisk(t *testing.T) {
	dir := t.TempDir()
	e := onDisk(t, dir, func(string) {})
	for n := range MaxIgnored {
		e.directory.met[certs.ID(fmt.Sprint("p", n))] = Contact{Key: numberedKey(1000 + n)}
		if n == 0 {
			continue
		}
		if err := e.Ignored.Ignore(certs.ID(fmt.Sprint("p", n))); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Ignored.Ignore("alice"); err != nil {
		t.Fatal(err)
	}
	if err := e.Ignored.Ignore("carol"); !errors.Is(err, ErrIgnoredFull) || len(e.Ignored.Peers()) != MaxIgnored {
		t.Errorf("one more: %v, %d are ignored", err, len(e.Ignored.Peers()))
	}
	if err := e.Ignored.Ignore("alice"); err != nil {
		t.Errorf("one of them again: %v", err)
	}
	if err := e.disk.Close(); err != nil {
		t.Fatal(err)
	}
	again := onDisk(t, dir, func(string) {})
	if !slices.Equal(again.Ignored.Peers(), e.Ignored.Peers()) || !again.Ignored.Has(numberedKey(1)) || again.Ignored.Has(numberedKey(2)) {
		t.Errorf("%d are loaded", len(again.Ignored.Peers()))
	}
	key := numberedKey(9)
	for name, bad := range map[string]store.Op{
		"too many": {Key: key[:], Value: []byte("p0")}, "a short key": {Key: key[:31], Value: []byte("p0")}, "no ID": {Key: key[:], Value: []byte("p 0")},
	} {
		l := Ignored{byKey: make(map[certs.PublicKey]certs.ID)}
		for _, p := range e.Ignored.Peers()[:MaxIgnored-len(name)%2] { // full for the first
			l.byKey[p.Key] = p.ID
		}
		if err := l.load(bad.Key, bad.Value); err == nil {
			t.Errorf("%s is loaded", name)
		}
	}
}

// TestHiddenPast: what a peer said before the end of ignoring it is hidden, also after a restart. Of these
// times the old ones are forgotten, and the earliest of too many; one in the future becomes now.
func TestHiddenPast(t *testing.T) {
	dir := t.TempDir()
	e := onDisk(t, dir, func(string) {})
	alice, carol := numberedKey(1), numberedKey(2)
	began := time.Now()
	if err := e.Ignored.Ignore("alice"); err != nil {
		t.Fatal(err)
	}
	if !e.Ignored.Hides(alice, began.Add(time.Hour)) {
		t.Error("what is said by one that is ignored is not hidden")
	}
	if err := e.Ignored.Unignore("alice"); err != nil {
		t.Fatal(err)
	}
	check := func(what string, l *Ignored) {
		t.Helper()
		if !l.Hides(alice, began) || l.Hides(alice, time.Now().Add(time.Nanosecond)) {
			t.Errorf("%s: what was said before is not hidden, or what was said after", what)
		}
		if l.Hides(carol, began) || l.Hides(carol, time.Unix(0, 0).Add(-time.Hour)) || l.Has(alice) {
			t.Errorf("%s: somebody is hidden who was not ignored, or ignored still", what)
		}
	}
	check("at once", &e.Ignored)
	old, ahead := numberedKey(3), numberedKey(4)
	setUntil := func(key certs.PublicKey, at time.Time) { e.disk.Write(nil, e.Ignored.setUntil(key, at)) }
	setUntil(old, began.Add(-HiddenFor))
	setUntil(ahead, began.Add(time.Hour))
	restart := func() {
		t.Helper()
		if err := e.disk.Close(); err != nil {
			t.Fatal(err)
		}
		e = onDisk(t, dir, func(string) {})
	}
	restart()
	check("after a restart", &e.Ignored)
	now := time.Now()
	if e.Ignored.Hides(old, began.Add(-HiddenFor)) || !e.Ignored.Hides(ahead, began) || e.Ignored.Hides(ahead, now) {
		t.Error("the times are not tidied")
	}
	restart()
	if e.Ignored.Hides(ahead, now) || len(e.Ignored.until) != 2 {
		t.Errorf("they are not tidied on disk: %v", e.Ignored.until)
	}
	for n := range MaxIgnored {
		setUntil(numberedKey(1000+n), began.Add(time.Duration(n-MaxIgnored)))
	}
	restart()
	if len(e.Ignored.until) != MaxIgnored || e.Ignored.Hides(numberedKey(1001), began.Add(-time.Hour)) {
		t.Errorf("%d are kept, or not the latest", len(e.Ignored.until))
	}
	check("beside many", &e.Ignored)
	if err := errors.Join(e.Ignored.Ignore("carol"), e.Ignored.Unignore("carol")); err != nil {
		t.Fatal(err)
	}
	if len(e.Ignored.until) != MaxIgnored || !e.Ignored.Hides(carol, began) || e.Ignored.Hides(numberedKey(1002), began.Add(-time.Hour)) {
		t.Error("one more is not in the place of the earliest")
	}
	for name, value := range map[string][]byte{hiddenKey + "short": make([]byte, 8), hiddenKey + string(alice[:]): make([]byte, 7)} {
		if err := e.Ignored.loadUntil([]byte(name), value); err == nil {
			t.Errorf("%q is loaded with %d bytes", name, len(value))
		}
	}
}
