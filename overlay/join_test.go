package overlay

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

func TestDuplicateIDIsRefused(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "carol")
		cfg := w.config("twin", "carol") // another door than the holder
		cfg.State = state("bob", "twin")
		start := time.Now()
		n, err := Start(t.Context(), cfg)
		var duplicate *DuplicateIDError
		if n != nil || !errors.As(err, &duplicate) {
			t.Fatalf("Start: %v", err)
		}
		if want := (DuplicateIDError{ID: "bob", Own: cfg.State.Identity.Key(), Holder: peers[1].Key()}); *duplicate != want {
			t.Errorf("got %+v, not %+v", *duplicate, want)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("it took %v", d)
		}
		talk(peers[0], peers[1])
		for _, p := range peers {
			if len(all[PeerJoined](p)) != 2 || len(all[PeerLeft](p)) != 0 {
				t.Errorf("%s: %s", p.ID(), p.summary())
			}
		}
	})
}

func TestOtherNetworkIsRefused(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.start("alice")
		cfg := w.config("bob", "alice")
		cfg.Network = "another"
		start := time.Now()
		_, err := Start(t.Context(), cfg)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Code != pb.HandshakeCode_NETWORK || refused.Address != w.Addr("alice").String() ||
			!strings.Contains(err.Error(), "another") {
			t.Errorf("Start: %v", err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestDeadAddressIsUnreachable(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		for _, timeout := range []time.Duration{0, 500 * time.Millisecond, 3 * time.Second} {
			cfg := w.config("bob", "nobody", "nothing")
			cfg.JoinTimeout = timeout
			if timeout == 0 {
				timeout = 10 * time.Second
			}
			start := time.Now()
			_, err := Start(t.Context(), cfg)
			var unreachable *UnreachableError
			if !errors.As(err, &unreachable) || len(unreachable.Failures) != 2 ||
				unreachable.Failures[0] != w.Addr("nobody").String()+": no answer" {
				t.Fatalf("Start: %v", err)
			}
			if d := time.Since(start); d < timeout || d > timeout+time.Second {
				t.Errorf("it took %v, not %v", d, timeout)
			}
		}
	})
}

// The peer to join comes up late: it is tried again as long as there is time.
func TestPeerToJoinComesLate(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		results := startAll(t.Context(), w.config("bob", "nobody", "alice"))
		time.Sleep(8 * time.Second)
		alice := w.start("alice")
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		bob := w.peer(r.node)
		bob.listen()
		talk(alice, bob)
	})
}

func TestCancelledWhileJoining(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		cfg := w.config("bob", "nobody")
		cfg.JoinTimeout = -1 // for ever
		start := time.Now()
		_, err := Start(within(t, time.Minute), cfg)
		if d := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || d < time.Minute || d > time.Minute+time.Second {
			t.Errorf("Start after %v: %v", d, err)
		}
	})
}

func TestJoinOneself(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		_, err := Start(t.Context(), w.config("alice", "alice"))
		var unreachable *UnreachableError
		if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), certs.ErrSelf.Error()) || !slices.Equal(unreachable.Obstacles, []Obstacle{ObstacleSelf}) {
			t.Errorf("Start: %v", err)
		}
	})
}

// A copy of a state directory is to join its original, whose address answers with the very
// same key. The copy fails, and the original goes on.
func TestJoinOriginal(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		cfg := w.config("copy", "alice")
		cfg.State = state("alice", "alice")
		start := time.Now()
		if _, err := Start(t.Context(), cfg); !errors.Is(err, ErrStartedElsewhere) {
			t.Errorf("Start: %v", err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("it took %v", d)
		}
		talk(alice, w.start("bob", "alice"))
	})
}

// Both peers dial at once and have two connections; in the end one remains, and no message is
// lost or doubled on the way there.
func TestBothDialAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		results := startAll(t.Context(), w.config("alice", "bob"), w.config("bob", "alice"))
		var peers []*peer
		for range 2 {
			r := <-results
			if r.err != nil {
				t.Fatal(r.err)
			}
			peers = append(peers, w.peer(r.node))
		}
		p, q := peers[0], peers[1]
		p.listen()
		q.listen()
		want := numbers(300)
		for _, body := range want {
			p.send(q.ID(), body)
			q.send(p.ID(), body)
			time.Sleep(time.Millisecond)
		}
		p.awaitBodies(5*time.Second, q.ID(), want...)
		q.awaitBodies(5*time.Second, p.ID(), want...)
		time.Sleep(2 * time.Second)
		if a, b := p.linkIDs(), q.linkIDs(); len(a) != 1 || len(b) != 1 {
			t.Errorf("links remain: %v and %v", a, b)
		}
		talk(p, q)
	})
}

// Two peers claim one ID at the same instant at two doors. The table decides.
func TestTwinsAtTwoDoors(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		members := w.network("alice", "bob")
		var twins []Config
		for _, door := range []string{"alice", "bob"} {
			cfg := w.config("twin of "+door, door)
			cfg.State = state("eve", "twin of "+door)
			twins = append(twins, cfg)
		}
		results := startAll(t.Context(), twins...)
		var staying *peer
		var reasons []error
		for range 2 {
			r := <-results
			if r.err != nil {
				reasons = append(reasons, r.err)
				continue
			}
			p := w.peer(r.node)
			p.listen()
			select {
			case <-p.done:
				reasons = append(reasons, p.Err())
			case <-time.After(10 * time.Second):
				if staying != nil {
					t.Fatal("both stay")
				}
				staying = p
			}
		}
		if staying == nil || len(reasons) != 1 {
			t.Fatalf("one is to stay; the reasons to go were %v", reasons)
		}
		var duplicate *DuplicateIDError
		if !errors.As(reasons[0], &duplicate) || duplicate.Holder != staying.Key() || duplicate.ID != "eve" {
			t.Errorf("the other goes because %v", reasons[0])
		}
		for _, p := range members {
			i := slices.IndexFunc(p.Peers(), func(row Peer) bool { return row.ID == "eve" })
			if i < 0 || p.Peers()[i].Key != staying.Key() {
				t.Errorf("the table of %s is %+v", p.ID(), p.Peers())
			}
			talk(p, staying)
		}
	})
}

// The same identity is started a second time: the newer run wins.
func TestStartedElsewhere(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		cfg := w.config("elsewhere", "alice")
		cfg.State = state("bob", "bob")
		time.Sleep(time.Second) // a later epoch
		n, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		newer := w.peer(n)
		newer.listen()
		select {
		case <-peers[1].done:
		case <-time.After(5 * time.Second):
			t.Fatal("the older run goes on")
		}
		if err := peers[1].Err(); !errors.Is(err, ErrStartedElsewhere) {
			t.Errorf("it has stopped because %v", err)
		}
		if _, err := peers[1].Leave(t.Context()); !errors.Is(err, ErrStartedElsewhere) {
			t.Errorf("Leave: %v", err)
		}
		talk(peers[0], newer)
	})
}

// started is the result of a Start.
type started struct {
	node *Node
	err  error
}

// startAll starts nodes at the same instant.
func startAll(ctx context.Context, list ...Config) <-chan started {
	results := make(chan started, len(list))
	for _, cfg := range list {
		go func() {
			n, err := Start(ctx, cfg)
			results <- started{n, err}
		}()
	}
	return results
}
