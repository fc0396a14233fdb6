package overlay

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/transport/simtest"
)

// counted are the counts of messages that are not 0, by "dir path result".
func counted(s Figures) map[string]uint64 {
	list := map[string]uint64{}
	for _, m := range s.Messages {
		if m.Count > 0 {
			list[m.Dir+" "+m.Path+" "+m.Result] = m.Count
		}
	}
	return list
}

// in counts the durations of a histogram that lie in (above, upTo].
func in(h Histogram, above, upTo time.Duration) (n uint64) {
	for i, b := range Bounds {
		if b > above && b <= upTo {
			n += h.Counts[i]
		}
	}
	return n
}

func (p *peer) checkCounted(want map[string]uint64) {
	p.t.Helper()
	if got := counted(p.Figures()); !maps.Equal(got, want) {
		p.t.Errorf("%s has counted %v, want %v", p.ID(), got, want)
	}
}

// TestFiguresOfMessages: each message is counted once, by what became of it.
func TestFiguresOfMessages(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		alice, bob, carol := peers[0], peers[1], peers[2]
		if err := bob.Ignore("carol"); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			alice.send("bob", "hello")
		}
		for range 3 {
			carol.send("bob", "psst")
		}
		if _, err := alice.Broadcast(t.Context(), "all", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := carol.Broadcast(t.Context(), "all", ""); err != nil {
			t.Fatal(err)
		}
		alice.send("nobody", "later")
		alice.eventually(5*time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == 20 && len(all[Message](alice)) == 1 })
		carol.eventually(5*time.Second, "all are refused", func() bool { return len(all[Failed](carol)) == 3 && len(all[Message](carol)) == 1 })
		time.Sleep(time.Second)
		alice.checkCounted(map[string]uint64{"out none sent": 21, "out none waiting": 1, "out direct delivered": 20, "out broadcast sent": 1, "in broadcast shown": 1})
		bob.checkCounted(map[string]uint64{"in direct shown": 20, "in direct refused": 3, "in broadcast shown": 1, "in broadcast hidden": 1})
		carol.checkCounted(map[string]uint64{"out none sent": 3, "out none failed": 3, "out broadcast sent": 1, "in broadcast shown": 1})

		s := alice.Figures()
		if s.Outbox != 1 || s.OutboxBytes != len("later") || s.Oldest < time.Second || s.Oldest > 3*time.Second {
			t.Errorf("waiting: %d of %d bytes, %v", s.Outbox, s.OutboxBytes, s.Oldest)
		}
		if n := in(s.Delivery, 25*time.Millisecond, 250*time.Millisecond); n != 20 || s.Delivery.Sum < 20*2*latency {
			t.Errorf("delivery: %+v", s.Delivery)
		}
		if s.Peers[StateAlive] != 2 || s.Peers[StateSuspect] != 0 || s.Neighbours != 2 || s.Links[HowDialled] != 2 {
			t.Errorf("peers %v, %d neighbours, links %v", s.Peers, s.Neighbours, s.Links)
		}
		time.Sleep(31 * time.Second)
		s = alice.Figures()
		if n := in(s.RTT, 25*time.Millisecond, 50*time.Millisecond); n < 4 {
			t.Errorf("round trips: %+v", s.RTT)
		}
		if joins := bob.Figures().Joins; joins["joined"] != 1 || joins["failed"]+joins["refused"] != 0 {
			t.Errorf("bob's joins: %v", joins)
		}
	})
}

// TestFiguresOfLosses: a crash is a loss; a peer that is called lost though it lives is a false one.
func TestFiguresOfLosses(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol", "dave")
		alice, carol := peers[0], peers[2]
		w.Crash("dave")
		alice.eventually(20*time.Second, "dave is lost", func() bool { return len(all[PeerLeft](alice)) == 1 })
		time.Sleep(5 * time.Second)
		if s := alice.Figures(); s.Lost != 1 || s.FalseLost != 0 {
			t.Fatalf("after a crash: %d lost, %d of them not", s.Lost, s.FalseLost)
		}
		// Nobody hears carol for so long that all others show it as lost.
		w.Cut("carol", "alice")
		w.Cut("carol", "bob")
		alice.eventually(30*time.Second, "carol is lost", func() bool { return len(all[PeerLeft](alice)) == 2 })
		carol.eventually(60*time.Second, "all are lost", func() bool { return len(all[PeerLeft](carol)) == 3 })
		w.Heal("carol", "alice")
		w.Heal("carol", "bob")
		alice.eventually(60*time.Second, "carol is back", func() bool { return len(alice.here()) == 2 })
		carol.eventually(60*time.Second, "carol has them back", func() bool { return len(carol.here()) == 2 })
		time.Sleep(5 * time.Second)
		if s := alice.Figures(); s.Lost != 2 || s.FalseLost != 1 {
			t.Errorf("alice: %d lost, %d of them not", s.Lost, s.FalseLost)
		}
		if s := carol.Figures(); s.Lost != 3 || s.FalseLost != 2 { // dave, and then all, of which two are back
			t.Errorf("carol: %d lost, %d of them not", s.Lost, s.FalseLost)
		}
		// A restart is a loss, and not a false one.
		w.Crash("bob")
		_ = peers[1].Close()
		alice.eventually(20*time.Second, "bob is lost", func() bool { return len(all[PeerLeft](alice)) == 3 })
		w.start("bob", "alice")
		alice.eventually(20*time.Second, "bob is back", func() bool { return len(alice.here()) == 2 })
		time.Sleep(5 * time.Second)
		if s := alice.Figures(); s.Lost != 3 || s.FalseLost != 1 {
			t.Errorf("after a restart: %d lost, %d of them not", s.Lost, s.FalseLost)
		}
	})
}

// TestFiguresOfRefutation: a peer that is not heard for three seconds is called lost, and says that it
// lives as soon as it can.
func TestFiguresOfRefutation(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		others := []string{"alice", "bob", "carol", "dave"}
		peers := w.network(append(others, "eve")...)
		time.Sleep(time.Minute)
		for _, other := range others {
			w.Cut("eve", other)
		}
		time.Sleep(3 * time.Second)
		for _, other := range others {
			w.Heal("eve", other)
		}
		time.Sleep(30 * time.Second)
		for _, p := range peers[:4] {
			if s := p.Figures(); s.Lost != 1 || s.FalseLost != 1 {
				t.Errorf("%s: %d lost, %d of them not", p.ID(), s.Lost, s.FalseLost)
			}
		}
		if s := peers[4].Figures(); s.Lost != s.FalseLost { // it may have shown all as lost
			t.Errorf("eve: %d lost, %d of them not", s.Lost, s.FalseLost)
		}
	})
}

// TestFiguresOfCarried: what a peer carries for others, and keeps for them, is in its own figures.
func TestFiguresOfCarried(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.line("alice", "bob", "carol")
		alice, bob, carol := peers[0], peers[1], peers[2]
		body := strings.Repeat("x", 10_000)
		for range 100 {
			alice.send("carol", body)
			time.Sleep(50 * time.Millisecond)
		}
		alice.eventually(20*time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == 100 })
		time.Sleep(time.Second)
		alice.checkCounted(map[string]uint64{"out none sent": 100, "out relayed delivered": 100})
		carol.checkCounted(map[string]uint64{"in relayed shown": 100})
		if s := alice.Figures(); s.Links[HowRelayed] != 1 || s.Links[HowDialled] != 1 || s.Carried != 0 {
			t.Errorf("alice: links %v, %d bytes carried", s.Links, s.Carried)
		}
		if s := bob.Figures(); s.Carried < 900_000 || s.Carried > 2_000_000 {
			t.Errorf("bob has carried %d bytes", s.Carried)
		}

		if _, err := carol.Leave(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		alice.eventually(5*time.Second, "carol has left", func() bool { return len(all[PeerLeft](alice)) == 1 })
		alice.send("carol", "for when you are back")
		time.Sleep(10 * time.Second)
		if s := bob.Figures(); s.Lost != 0 {
			t.Errorf("%d are lost, though carol has said goodbye", s.Lost)
		}
		if s := bob.Figures(); s.Letters != 1 || s.LetterBytes < 100 || s.LetterBytes > 1000 {
			t.Errorf("bob keeps %d letters of %d bytes", s.Letters, s.LetterBytes)
		}
		w.start("carol", "bob")
		alice.eventually(30*time.Second, "it is delivered", func() bool { return len(all[Delivered](alice)) == 101 })
		time.Sleep(10 * time.Second)
		if s := alice.Figures(); s.Outbox != 0 || s.Oldest != 0 {
			t.Errorf("%d messages wait for %v", s.Outbox, s.Oldest)
		}
		// The one that had to wait is not among the deliveries, whose times would say nothing else.
		if s := alice.Figures(); in(s.Delivery, 0, time.Minute) != 100 {
			t.Errorf("delivery: %+v", s.Delivery)
		}
	})
}

// TestFiguresOfPunching: a simultaneous open through two NATs is counted on both sides, and one
// that no NAT lets through as failed.
func TestFiguresOfPunching(t *testing.T) {
	for name, test := range map[string]struct {
		kind         simtest.Kind
		made, failed bool
	}{
		"a hole":  {simtest.Restricted, true, false},
		"no hole": {simtest.Symmetric, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, alice, bob, carol := homes(t, 1, test.kind, test.kind, 0)
				alice.send("bob", "hello")
				linked(alice, bob, 20*time.Second)
				for _, p := range []*peer{alice, bob} {
					s := p.Figures()
					if made := s.Punches["made"] == 1 && s.Links[HowPunched] == 1; made != test.made || s.Punches["failed"] > 0 != test.failed {
						t.Errorf("%s: %v, links %v", p.ID(), s.Punches, s.Links)
					}
				}
				if s := carol.Figures(); s.Punches["made"]+s.Punches["failed"] != 0 {
					t.Errorf("carol: %v", s.Punches)
				}
			})
		})
	}
}

// TestFiguresOfRefusals: newcomers that are turned away are counted by the reason.
func TestFiguresOfRefusals(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		cfg := w.config("bob", "alice")
		cfg.Network = "another"
		if _, err := Start(t.Context(), cfg); err == nil {
			t.Fatal("let in")
		}
		w.states["twin"] = state("alice", "another key")
		if _, err := Start(t.Context(), w.config("twin", "alice")); err == nil {
			t.Fatal("let in")
		}
		want := map[string]uint64{"busy": 0, "protocol": 0, "network": 1, "duplicate_id": 1}
		if got := alice.Figures().Refused; !maps.Equal(got, want) {
			t.Errorf("refused: %v, want %v", got, want)
		}
	})
}

// TestFiguresOfDisk: messages and notes count until they are safe.
func TestFiguresOfDisk(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		peers := w.network("alice", "bob")
		check := func(least, most uint64) {
			t.Helper()
			for _, p := range peers {
				s := p.Figures()
				if n := in(s.Commit, -1, time.Minute); n < least || n > most || s.Lag != 0 {
					t.Errorf("%s: %d writes, %d under way", p.ID(), n, s.Lag)
				}
			}
		}
		delivered := func(n int) func() bool {
			return func() bool { return len(all[Delivered](peers[0])) == n }
		}
		for i := range 5 { // one after the other: each is timed
			peers[0].send("bob", "hello")
			peers[0].eventually(10*time.Second, "it is delivered", delivered(i+1))
		}
		check(5, 5)
		for range 50 {
			peers[0].send("bob", "hello")
		}
		peers[0].eventually(10*time.Second, "all are delivered", delivered(55))
		check(6, 55)
	})
}

// TestFiguresOfReader: a program that reads no events shows, one that reads them does not.
func TestFiguresOfReader(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		bob := w.startDeaf("bob", "alice")
		alice.send("bob", "hello")
		time.Sleep(10 * time.Second)
		if s := bob.Figures(); s.Unread < 10*time.Second || s.Unread > 11*time.Second {
			t.Errorf("unread for %v", s.Unread)
		}
		if s := alice.Figures(); s.Unread != 0 {
			t.Errorf("alice has read everything, but not for %v", s.Unread)
		}
		bob.listen()
		alice.eventually(5*time.Second, "it is delivered", func() bool { return len(all[Delivered](alice)) == 1 })
		time.Sleep(time.Second)
		if s := bob.Figures(); s.Unread != 0 {
			t.Errorf("unread for %v", s.Unread)
		}
		_ = bob.Close()
		if s := bob.Figures(); counted(s)["in direct shown"] != 1 || s.Peers != nil {
			t.Errorf("after the end: %+v", s)
		}
	})
}

// TestQlogOfNodes: with Config.Qlog each connection, carried ones too, has a file.
func TestQlogOfNodes(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		dir := filepath.Join(t.TempDir(), "qlog")
		w.qlog = dir
		peers := w.line("alice", "bob", "carol")
		w.qlog = ""
		for range 20 {
			peers[0].send("carol", "hello")
			time.Sleep(time.Second)
		}
		peers[0].eventually(5*time.Second, "all are delivered", func() bool { return len(all[Delivered](peers[0])) == 20 })
		for _, p := range peers {
			_ = p.Close()
		}
		list, err := os.ReadDir(dir)
		if err != nil || len(list) < 6 {
			t.Fatalf("%v, %v", list, err)
		}
		for _, e := range list {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil || len(text) < 1000 {
				t.Errorf("%s has %d bytes, %v", e.Name(), len(text), err)
			}
		}
	})
}
