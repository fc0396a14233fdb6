package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// loopback is the address of all nodes.
const loopback = "127.0.0.1"

// Pauses, in which nothing is measured.
const (
	// After all have joined and before idleness is measured: quicpeer's peers look
	// for neighbours, memberlist's gossip ebbs. A guess; both are seconds at most.
	settling = 5 * time.Second
	// Between single joins and leaves.
	breath = time.Second
	// Between crashes: for 10 s after a link of its own fell silent quicpeer probes others
	// more often, which would make the second crash look cheaper.
	calming = 12 * time.Second
)

// each is how often a run repeats what is quick: one joins, one leaves.
const each = 3

// run is one network from its start to its end. Its measurements go to result.
type run struct {
	system  system
	n       int
	idle    time.Duration
	result  samples
	seen    *census
	sent    traffic
	members map[string]member
	born    int
}

// takes notes a value.
func (r *run) takes(measure string, value float64) {
	of := subject{r.system.name, r.n, measure}
	r.result[of] = append(r.result[of], value)
}

// measure runs the network: all join, and if full is set all the rest. A wait
// that ends without the network being complete is a value, infinity, and the end of
// the run; err then says what was missing.
func (r *run) measure(full bool) (err error) {
	r.seen = &census{tables: map[string]map[string]bool{}}
	r.members = map[string]member{}
	defer r.end()
	defer func() { r.takes(slander, float64(r.seen.slanders())) }()
	steps := []func() error{r.joinAll}
	if full {
		steps = slices.Concat(steps, []func() error{r.stayIdle},
			slices.Repeat([]func() error{r.joinOne}, each), slices.Repeat([]func() error{r.leaveOne}, each),
			[]func() error{r.crashOne, r.crashMany})
	}
	for _, step := range steps {
		if err == nil {
			err = step()
		}
	}
	return err
}

// names are those of the next members. They are not used again, as news of the
// dead may still be on its way.
func (r *run) names(count int) []string {
	var list []string
	for range count {
		list = append(list, fmt.Sprintf("n%d", r.born))
		r.born++
	}
	return list
}

// complete waits until all tables are right after the changes since the start, and notes the
// time that it took. It is given up if err says so.
func (r *run) complete(measure string, start time.Time, err error) error {
	var whole time.Time
	if err == nil {
		whole, err = r.seen.await(patience)
	}
	if err != nil {
		r.takes(measure, none)
		return fmt.Errorf("%s: %w", measure, err)
	}
	r.takes(measure, whole.Sub(start).Seconds())
	return nil
}

// start starts members, all at once.
func (r *run) start(door string, names ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		failed []error
	)
	r.seen.born(names...)
	for _, name := range names {
		group.Go(func() {
			m, err := r.system.start(ctx, name, door, r.seen, &r.sent)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", name, err))
				return
			}
			r.members[name] = m
		})
	}
	group.Wait()
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d don't start, among them %w", len(failed), len(names), failed[0])
	}
	return nil
}

// join has members join through the first one, which is there until the crashes.
func (r *run) join(measure string, names ...string) error {
	begin := time.Now()
	return r.complete(measure, begin, r.start(r.members["n0"].address(), names...))
}

func (r *run) joinAll() error {
	names := r.names(r.n)
	if err := r.start("", names[0]); err != nil {
		return err
	}
	cpu := processTime()
	if err := r.join(joinAll, names[1:]...); err != nil {
		return err
	}
	r.takes(joinCPU, float64((processTime()-cpu).Microseconds())/1000/float64(r.n))
	return nil
}

func (r *run) joinOne() error {
	err := r.join(joinOne, r.names(1)...)
	time.Sleep(breath)
	return err
}

func (r *run) stayIdle() error {
	time.Sleep(settling)
	begin, cpu, packets, bytes := time.Now(), processTime(), r.sent.packets.Load(), r.sent.bytes.Load()
	time.Sleep(r.idle)
	perNode := 1 / time.Since(begin).Seconds() / float64(r.n)
	r.takes(idleCPU, 100*(processTime()-cpu).Seconds()*perNode)
	r.takes(idleKB, float64(r.sent.bytes.Load()-bytes)/1000*perNode)
	r.takes(idlePacks, float64(r.sent.packets.Load()-packets)*perNode)
	return nil
}

// leaveOne makes any member but the door leave, so that the network has its size again when as
// many have left as have come.
func (r *run) leaveOne() error {
	name := r.anybody(1, "n0")[0]
	m := r.members[name]
	delete(r.members, name)
	r.seen.died(name)
	begin := time.Now()
	gone := make(chan error, 1)
	go func() { gone <- m.leave() }()
	err := r.complete(leave, begin, nil)
	err = errors.Join(err, <-gone)
	time.Sleep(breath)
	return err
}

func (r *run) crashOne() error  { return r.crash(crashOne, 1) }
func (r *run) crashMany() error { return r.crash(crashMany, max(1, r.n/10)) }

// crash kills so many at once, the door perhaps among them.
func (r *run) crash(measure string, count int) error {
	time.Sleep(calming)
	names := r.anybody(count, "")
	var group sync.WaitGroup
	defer group.Wait()
	r.seen.died(names...)
	begin := time.Now()
	for _, name := range names {
		group.Go(r.members[name].kill)
		delete(r.members, name)
	}
	return r.complete(measure, begin, nil)
}

// anybody picks so many members at random, except this one.
func (r *run) anybody(count int, but string) []string {
	var list []string
	for name := range r.members {
		if name != but {
			list = append(list, name)
		}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:count]
}

// end kills the remaining members, which is quicker than 300 goodbyes that 300 must hear.
func (r *run) end() {
	var group sync.WaitGroup
	r.seen.died(slices.Collect(maps.Keys(r.members))...)
	for _, m := range r.members {
		group.Go(m.kill)
	}
	group.Wait()
}
