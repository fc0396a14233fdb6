package overlay

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// nameServers is the answer to a name, and how long it takes to come.
type nameServers struct {
	mu     sync.Mutex
	delay  time.Duration
	list   []netip.Addr // empty: no server knows the name
	silent bool
	asked  int
}

func (s *nameServers) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	delay, list, silent := s.delay, s.list, s.silent
	s.mu.Unlock()
	defer s.mu.Lock()
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if len(list) == 0 {
		return nil, errors.New("no such host")
	}
	return list, nil
}

func (s *nameServers) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// byName is the configuration of a node that joins at a name.
func (w *world) byName(name string, s *nameServers) Config {
	cfg := w.config(name)
	cfg.Join, cfg.lookup = []string{"door.example:4242"}, s.lookup
	return cfg
}

// The first name server is dead, so the second one answers after 5 s: longer than a dial may
// take.
func TestNameTakesItsTime(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		servers := &nameServers{delay: 5 * time.Second, list: []netip.Addr{w.Addr("alice").Addr()}}
		start := time.Now()
		n, err := Start(t.Context(), w.byName("bob", servers))
		if err != nil {
			t.Fatal(err)
		}
		bob := w.peer(n)
		bob.listen()
		if d := time.Since(start); d > 6*time.Second {
			t.Errorf("it took %v", d)
		}
		talk(alice, bob)
	})
}

// Three name servers, of which the last one answers, and more than the usual time to join.
func TestNameOfTheThirdServer(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		cfg := w.byName("bob", &nameServers{delay: 15 * time.Second, list: []netip.Addr{w.Addr("alice").Addr()}})
		cfg.JoinTimeout = 30 * time.Second
		n, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		bob := w.peer(n)
		bob.listen()
		talk(alice, bob)
	})
}

// All addresses of a name are tried, even if there are very many and only the last one is
// right.
func TestAllAnswersAreTried(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		var list []netip.Addr
		for i := range byte(40) {
			list = append(list, netip.AddrFrom4([4]byte{10, 200, 0, i}))
		}
		list = append(list, w.Addr("alice").Addr())
		n, err := Start(t.Context(), w.byName("bob", &nameServers{list: list}))
		if err != nil {
			t.Fatal(err)
		}
		bob := w.peer(n)
		bob.listen()
		talk(alice, bob)
	})
}

// The error says that the name is at fault, however little time there was.
func TestNameIsNotResolved(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		for _, test := range []struct {
			servers *nameServers
			timeout time.Duration
			most    time.Duration
			words   string
		}{
			{&nameServers{silent: true}, 3 * time.Second, 4 * time.Second, "door.example:4242: the name can't be resolved: no name server has answered within 2.8s"},
			{&nameServers{silent: true}, 30 * time.Second, 31 * time.Second, "door.example:4242: the name can't be resolved: no name server has answered within"},
			{&nameServers{delay: 9 * time.Second}, 10 * time.Second, 11 * time.Second, "door.example:4242: the name can't be resolved: no such host"},
		} {
			cfg := w.byName("bob", test.servers)
			cfg.JoinTimeout = test.timeout
			start := time.Now()
			_, err := Start(t.Context(), cfg)
			var unreachable *UnreachableError
			if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), test.words) || !slices.Equal(unreachable.Obstacles, []Obstacle{ObstacleName}) || time.Since(start) > test.most {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		}
	})
}

// The last addresses of a name are used when it can't be resolved any more.
func TestNameIsRemembered(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.start("alice")
		servers := &nameServers{list: []netip.Addr{w.Addr("alice").Addr()}}
		n, err := Start(t.Context(), w.byName("bob", servers))
		if err != nil {
			t.Fatal(err)
		}
		bob := w.peer(n)
		bob.listen()
		servers.change(func() { servers.silent = true })
		start := time.Now()
		id, err := bob.Join(within(t, time.Minute), "door.example:4242")
		if err != nil || id != "alice" || time.Since(start) > time.Second {
			t.Errorf("after %v: %v, %v", time.Since(start), id, err)
		}
		servers.change(func() { servers.silent, servers.list = false, nil })
		if id, err = bob.Join(within(t, time.Minute), "door.example:4242"); err != nil || id != "alice" {
			t.Errorf("%v, %v", id, err)
		}
		if servers.asked < 3 {
			t.Errorf("it was resolved %d times", servers.asked)
		}
	})
}
