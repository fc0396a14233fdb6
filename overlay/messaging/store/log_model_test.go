package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// TestLogModel compares the store with a model of it, a list of maps: one for the records after each write. Writes
// wait in groups, halves are folded meanwhile, some writes are too big for the log, and the process is killed at
// any step. Then the store has the records after one of the writes, the last that was called safe or a later one.
func TestLogModel(t *testing.T) {
	seeds, sessions := uint64(6), 12
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 2))
			dir := t.TempDir()
			m := logModel{slots: []int{8, 32, 256, 1024}[random.IntN(4)], states: []map[string]string{{}}}
			for n := range sessions {
				m.session(t, &crash{dir: dir, left: 2 + random.IntN(150), dead: make(chan struct{}), synced: map[string][]byte{}}, random)
				if t.Failed() {
					t.Fatalf("in session %d with %d slots", n, m.slots)
				}
			}
			s, err := open(dir, HistoryConfig{}, nil, m.slots)
			if err != nil {
				t.Fatal(err)
			}
			m.check(t, s)
			mustClose(t, s)
		})
	}
}

// logModel is what the store may hold.
type logModel struct {
	slots  int
	states []map[string]string // before the first write of a session, and after each: values by bucket and key
	safe   int                 // the state that it has at least; behind the mutex of the session's crash
}

// session opens the store, checks it and writes, until the end of c or before.
func (m *logModel) session(t *testing.T, c *crash, random *rand.Rand) {
	s, err := open(c.dir, HistoryConfig{}, c.step, m.slots)
	if errors.Is(err, ErrKilled) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer kill(s) // nothing happens if it is closed
	m.check(t, s)
	for range 60 + random.IntN(200) {
		ops := m.write(random)
		n := len(m.states) - 1
		s.Write(c.done(t, func() { m.safe = n }), ops...)
		switch random.IntN(12) {
		case 0: // the next ones are another group
			written := make(chan struct{})
			s.Write(func(error) { close(written) })
			select {
			case <-written:
			case <-c.dead:
			}
		case 1:
			s.queue(job{fold: true})
		}
	}
	if random.IntN(3) == 0 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

// write makes up some operations, and adds the state after them.
func (m *logModel) write(random *rand.Rand) (ops []Op) {
	next := maps.Clone(m.states[len(m.states)-1])
	for range 1 + random.IntN(4) {
		b := []Bucket{Unsettled, Peers}[random.IntN(2)]
		key := fmt.Sprint(random.IntN(20))
		if random.IntN(3) == 0 {
			ops = append(ops, deletion(b, key))
			delete(next, string(b)+key)
			continue
		}
		size := random.IntN(1 + random.IntN(m.slots*8))
		if random.IntN(60) == 0 {
			size = m.slots*(logHalf/ringSlots) + random.IntN(100) // beyond a half
		}
		value := bytes.Repeat([]byte{byte(random.IntN(256))}, size)
		copy(value, fmt.Sprint(random.Uint64())) // as no other
		ops = append(ops, Op{b, []byte(key), value})
		next[string(b)+key] = string(value)
	}
	m.states = append(m.states, next)
	return ops
}

// check finds the state that a store has when it was opened: the others are over.
func (m *logModel) check(t *testing.T, s *Store) {
	t.Helper()
	found := map[string]string{}
	for _, b := range []Bucket{Unsettled, Peers} {
		if err := s.each(b, func(key, value []byte) error {
			found[string(b)+string(key)] = string(value)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for n := len(m.states) - 1; n >= m.safe; n-- {
		if maps.Equal(m.states[n], found) {
			m.states, m.safe = m.states[n:n+1], 0
			return
		}
	}
	t.Fatalf("the store has none of the states %d to %d", m.safe, len(m.states)-1)
}
