package overlay

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPing: a round trip is measured over the connection in use, without one over others, and no event
// comes of it on the other side. Older peers answer too, by the way of letters or over their connection.
func TestPing(t *testing.T) {
	for _, older := range []string{"", "alice", "bob", "carol"} {
		simulate(t, func(t *testing.T, w *world) {
			w.older = older
			peers := w.line("alice", "bob", "carol")
			alice, carol := peers[0], peers[2]
			before := len(all[Message](carol))
			direct, err := alice.Ping(within(t, time.Minute), "bob")
			if err != nil || direct.ID != "bob" || direct.How != PingDirect || direct.Address == "" || direct.Via != "" || direct.RTT <= 0 || direct.RTT > 100*time.Millisecond {
				t.Errorf("older %q: %+v, %v", older, direct, err)
			}
			want := PingCarried
			if older != "" {
				want = PingLetters
			}
			for range 2 {
				t0 := time.Now()
				p, err := alice.Ping(within(t, time.Minute), "carol")
				if err != nil || p.How != want || p.Via != "bob" || p.Address != "" || p.RTT <= direct.RTT || p.RTT > 200*time.Millisecond {
					t.Errorf("older %q: %+v, %v", older, p, err)
				}
				if took := time.Since(t0); took > 4*time.Second {
					t.Errorf("older %q: it took %v", older, took)
				}
			}
			if alice.carriedTo("carol") != (older == "") {
				t.Errorf("older %q: there is a link over others: %v", older, older != "")
			}
			if n := len(all[Message](carol)); n != before {
				t.Errorf("%d messages", n)
			}
			time.Sleep(2 * time.Minute)
			if alice.carriedTo("carol") {
				t.Error("an unused link stays")
			}
			w.report()
		})
	}
}

// TestPingInVain: the errors of a ping that can't be answered.
func TestPingInVain(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		alice := peers[0]
		if _, err := alice.Ping(t.Context(), "alice"); !errors.Is(err, ErrToSelf) {
			t.Errorf("itself: %v", err)
		}
		if _, err := alice.Ping(t.Context(), "nobody"); !errors.Is(err, ErrUnknownPeer) {
			t.Errorf("nobody: %v", err)
		}
		w.Crash("bob")
		t0 := time.Now()
		_, err := alice.Ping(within(t, time.Minute), "bob")
		if err == nil || !strings.Contains(err.Error(), "no answer") || time.Since(t0) > 11*time.Second {
			t.Errorf("one that has crashed, after %v: %v", time.Since(t0), err)
		}
		if _, err := alice.Ping(t.Context(), "bob"); err == nil || !strings.Contains(err.Error(), "not in the network now") {
			t.Errorf("one that is lost: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := alice.Ping(ctx, "bob"); !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}
		_ = alice.Close()
		if _, err := alice.Ping(t.Context(), "bob"); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestAskingWhileLeaving: a ping or a join succeeds or says that this peer leaves.
func TestAskingWhileLeaving(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.network("alice", "bob")[0]
		left := make(chan error)
		go func() {
			_, err := alice.Leave(within(t, time.Minute))
			left <- err
		}()
		var asking sync.WaitGroup
		for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
			select {
			case err := <-left:
				if err != nil {
					t.Error(err)
				}
				asking.Wait()
				return
			default:
			}
			asking.Go(func() {
				if _, err := alice.Ping(t.Context(), "bob"); err != nil && !errors.Is(err, ErrClosed) {
					t.Errorf("ping: %v", err)
				}
			})
			asking.Go(func() {
				if _, err := alice.Join(t.Context(), w.Addr("bob").String()); err != nil && !errors.Is(err, ErrClosed) {
					t.Errorf("join: %v", err)
				}
			})
		}
	})
}

// TestPingMakesALink: between peers that have no link a ping makes one, as a message would.
func TestPingMakesALink(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		names := []string{"a"}
		for _, n := range numbers(19) {
			names = append(names, "p"+n)
		}
		peers := w.network(names...)
		time.Sleep(2 * time.Minute) // links without use are gone
		a := peers[0]
		pinged := 0
		for _, p := range a.Peers() {
			if p.Direct {
				continue
			}
			pinged++
			got, err := a.Ping(within(t, time.Minute), p.ID)
			if err != nil || got.How != PingDirect {
				t.Errorf("%+v, %v", got, err)
			}
		}
		if pinged == 0 {
			t.Error("all are linked")
		}
	})
}
