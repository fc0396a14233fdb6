// Package impure does all that overlay/core must not.
package impure

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

type machine struct {
	mu    sync.Mutex
	timer *time.Timer
	rng   *rand.Rand
	peers map[string]time.Duration
	ch    chan int
}

func (m *machine) step() (n int) {
	m.rng = rand.New(rand.NewPCG(1, 2))
	n = m.rng.IntN(3) + rand.IntN(3) + time.Now().Add(time.Second).Second()
	go m.step()
	for range m.peers {
		n++
	}
	for range maps.Keys(m.peers) {
		n++
	}
	for range slices.Sorted(maps.Keys(m.peers)) {
		n++
	}
	select {
	case <-m.ch:
	default:
	}
	return n
}
