package overlay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/transport"
	"quicpeer/transport/simtest"
)

// servesBulks answers each byte of streams on connections for files with two of its own, until the
// node ends.
func (p *peer) servesBulks() {
	go func() {
		for {
			from, b, err := p.AcceptBulk(p.t.Context())
			if err != nil {
				return
			}
			go func() {
				for {
					s, err := b.AcceptStream(p.t.Context())
					if err != nil {
						return
					}
					_, err = io.ReadFull(s, make([]byte, 1))
					if err == nil {
						_, err = io.WriteString(s, string(from))
					}
					if err = errors.Join(err, s.CloseWrite()); err != nil {
						s.Cancel(transport.CodeInternal)
					}
				}
			}()
		}
	}()
}

// asksBulk makes a connection for files to another peer, which is to answer to our ID.
func (p *peer) asksBulk(of *peer) (*transport.Bulk, error) {
	p.t.Helper()
	b, err := p.OpenBulk(within(p.t, 20*time.Second), of.ID(), of.Key())
	if err != nil {
		return nil, err
	}
	return b, p.asks(b)
}

func (p *peer) asks(b *transport.Bulk) error {
	s, err := b.OpenStream(p.t.Context())
	if err == nil {
		_, err = s.Write([]byte("?"))
	}
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(s)
	s.Cancel(transport.CodeBye)
	if err == nil && string(answer) != string(p.ID()) {
		err = fmt.Errorf("the answer is %q", answer)
	}
	return err
}

func isRefused(err error) bool {
	closed, ok := errors.AsType[*transport.ClosedError](err)
	return ok && closed.Code == transport.CodeRefused
}

// TestBulk: connections for files go where the links go, directly or over others.
func TestBulk(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.line("alice", "bob", "carol", "dave")
		for _, p := range peers {
			p.servesBulks()
		}
		alice := peers[0]
		for i, other := range peers[1:] {
			b, err := alice.asksBulk(other)
			if err != nil {
				t.Fatal(other.ID(), err)
			}
			if direct := i == 0; b.Carried() == direct || alice.IsDirect(other.ID(), other.Key()) != direct {
				t.Errorf("to %s: carried %v, linked %v", other.ID(), b.Carried(), alice.IsDirect(other.ID(), other.Key()))
			}
			// It lives as long as it is not closed.
			time.Sleep(5 * time.Minute)
			if err := alice.asks(b); err != nil {
				t.Errorf("later, to %s: %v", other.ID(), err)
			}
			b.Close(transport.CodeBye, "")
		}
		for _, c := range []struct {
			id  ID
			key PublicKey
		}{{"bob", alice.Key()}, {"nobody", alice.Key()}, {"alice", alice.Key()}} {
			if _, err := alice.OpenBulk(t.Context(), c.id, c.key); !errors.Is(err, ErrUnknownPeer) {
				t.Errorf("to %s: %v", c.id, err)
			}
			if alice.IsDirect(c.id, c.key) {
				t.Errorf("there is a link to %s", c.id)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := alice.OpenBulk(ctx, "dave", peers[3].Key()); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		alice.Close()
		if _, err := alice.OpenBulk(t.Context(), "bob", peers[1].Key()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
		if _, _, err := alice.AcceptBulk(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestBulkSeeksLink: where no link stands, one is made first.
func TestBulkSeeksLink(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		var names []string
		for i := range 14 {
			names = append(names, fmt.Sprintf("peer%02d", i))
		}
		peers := w.network(names...)
		time.Sleep(3 * time.Minute) // links that serve nothing have ended
		last := peers[len(peers)-1]
		for _, p := range peers {
			p.servesBulks()
			if p == last || last.IsDirect(p.ID(), p.Key()) {
				continue
			}
			begin := time.Now()
			b, err := last.asksBulk(p)
			if err != nil || b.Carried() || !last.IsDirect(p.ID(), p.Key()) || time.Since(begin) > time.Second {
				t.Errorf("to %s: %v after %v", p.ID(), err, time.Since(begin))
			}
			return
		}
		t.Error("all are linked")
	})
}

// TestBulkFallsBack: a link that has just died is not waited for longer than for an answer, and the
// way over others is taken.
func TestBulkFallsBack(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		alice, carol := peers[0], peers[2]
		carol.servesBulks()
		w.Cut("alice", "carol")
		begin := time.Now()
		b, err := alice.asksBulk(carol)
		if err != nil || !b.Carried() {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 7*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestBulkRefused: strangers and ignored peers get none, and nobody else is kept from one.
func TestBulkRefused(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		alice, bob, carol := peers[0], peers[1], peers[2]
		alice.servesBulks()
		alice.ignore("bob")
		if _, err := bob.asksBulk(alice); !isRefused(err) {
			t.Errorf("ignored: %v", err)
		}
		stranger, err := transport.NewEndpoint(transport.Config{Conn: w.Node("stranger"), Identity: certs.NewIdentity(make([]byte, 32))})
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
		for range 20 {
			b, err := stranger.DialBulk(t.Context(), w.Addr("alice"), alice.Key())
			if err != nil {
				t.Fatal(err)
			}
			if err := bob.asks(b); !isRefused(err) {
				t.Errorf("a stranger: %v", err)
			}
		}
		if _, err := carol.asksBulk(alice); err != nil {
			t.Error(err)
		}
		alice.unignore("bob")
		if _, err := bob.asksBulk(alice); err != nil {
			t.Error(err)
		}
	})
}

// TestGiveWay: files wait while a message is on its way, until it is answered, at its author's and its receiver's.
func TestGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Network: simtest.New(1, time.Millisecond), t: t, log: new(logBuffer), states: map[string]*State{}}
		t.Cleanup(w.Close)
		alice, bob := w.start("alice"), w.startDeaf("bob", "alice")
		alice.eventually(5*time.Second, "bob is there", func() bool { return len(alice.here()) == 1 })
		time.Sleep(time.Second)
		waits := func(p *peer) time.Duration {
			begin := time.Now()
			p.GiveWay(t.Context())
			return time.Since(begin).Round(100 * time.Microsecond)
		}
		const ms = time.Millisecond
		say := func() {
			t.Helper()
			if waits(alice) != 0 || waits(bob) != 0 {
				t.Error("files wait for nothing")
			}
			if _, err := alice.Send(t.Context(), "bob", "a word", ""); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		say()
		if took := waits(alice); took != 5*ms { // bob's program does not read
			t.Errorf("alice's files wait for %v", took)
		}
		time.Sleep(time.Second)
		say()
		time.Sleep(ms + ms/2)
		if took := waits(bob); took != 4*ms+ms/2 {
			t.Errorf("bob's files wait for %v", took)
		}
		bob.listen()
		time.Sleep(time.Second)
		say()
		if took := waits(alice); took != 2*ms {
			t.Errorf("alice's files wait for %v, though bob has answered", took)
		}
		time.Sleep(time.Second)
		say()
		time.Sleep(ms + ms/2)
		if took := waits(bob); took != 0 {
			t.Errorf("bob's files wait for %v, though he has answered", took)
		}
	})
}
