package overlay

import (
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
)

// knows waits until exactly these other peers are in the peer's table.
func (p *peer) knows(limit time.Duration, others ...certs.ID) {
	p.t.Helper()
	p.eventually(limit, "it knows all", func() bool {
		here := p.here()
		for _, id := range others {
			found := false
			for _, h := range here {
				found = found || h == id
			}
			if !found {
				return false
			}
		}
		return len(here) == len(others)
	})
}

// TestFirstPeerComesHome: the first peer of a network, which has no address to join, finds it
// again after a clean restart from its state directory, even at a new address of its own.
func TestFirstPeerComesHome(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("a")
		peers := w.network("a", "b", "c")
		if _, err := peers[0].Leave(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		<-peers[0].done
		time.Sleep(5 * time.Second)
		a := w.start("a")
		a.knows(time.Second, "b", "c")
		for _, p := range peers[1:] {
			talk(a, p)
		}
	})
}

// TestNoRejoin: with NoRejoin the peer stays alone.
func TestNoRejoin(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("a")
		peers := w.network("a", "b")
		_ = peers[0].Close()
		<-peers[0].done
		_ = peers[1].Close()
		cfg := w.config("a")
		cfg.NoRejoin = true
		n, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		a := w.peer(n)
		a.listen()
		w.start("b")
		time.Sleep(time.Minute)
		if len(a.here()) != 0 {
			t.Errorf("it has found %v", a.here())
		}
	})
}

// TestDoorComesBackAnew: a first peer that keeps nothing has a new identity after its restart,
// and is found by the peers whose address to join it is.
func TestDoorComesBackAnew(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("a", "b", "c")
		_ = peers[0].Close()
		<-peers[0].done
		w.states["a"] = state("a", "another key")
		a := w.start("a")
		a.knows(2*time.Minute, "b", "c")
	})
}

// TestDoorsDead: if no peer answers at the address to join, a peer of an earlier run is a
// door.
func TestDoorsDead(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("c")
		peers := w.network("a", "b", "c")
		_ = peers[2].Close()
		<-peers[2].done
		w.kill(peers[0])
		c := w.start("c", "a")
		c.knows(5*time.Second, "b")
	})
}

// TestJoinTwoNetworks: one Join makes one network of two. Its error says what is wrong with an
// address, or that no peer answers there.
func TestJoinTwoNetworks(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		a, b := w.start("a"), w.start("b", "a")
		c, d := w.start("c"), w.start("d", "c")
		id, err := d.Join(within(t, time.Minute), w.Addr("b").String())
		if err != nil || id != "b" {
			t.Fatal(id, err)
		}
		a.knows(time.Minute, "b", "c", "d")
		c.knows(time.Minute, "a", "b", "d")
		talk(a, d)
		talk(b, c)
		for address, want := range map[string]string{
			"b": "not HOST:PORT", "10.0.0.1:0": "port 0", "10.99.0.1:5000": "no answer",
			w.Addr("d").String(): "our own address",
		} {
			if _, err := d.Join(within(t, time.Minute), address); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("joining %s: %v, want %q", address, err, want)
			}
		}
		_ = d.Close()
		if _, err := d.Join(t.Context(), "10.0.0.1:5000"); err != ErrClosed {
			t.Errorf("after the end: %v", err)
		}
	})
}
