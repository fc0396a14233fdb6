package core_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
)

// described is what a peer has said of itself, in the form of a comparison.
func described(rooms []string, tags string) string { return fmt.Sprint(rooms, tags) }

// describe has a peer say something of itself.
func (w *world) describe(p *process, rooms []string, tags string) {
	p.Core.Step(w.Now, core.Describe{Rooms: rooms, Tags: tags})
	p.Drain()
	w.note(p.ID, "describe", rooms, tags)
}

// heardOf is what a process knows of the others by its events alone.
func (w *world) heardOf(p *process) map[string]string {
	told := make(map[string]string)
	for _, s := range w.diary(p).log {
		switch e := s.event.(type) {
		case base.Joined:
			if _, here := told[string(e.ID)]; here {
				w.fatal("%s sees %s come twice", p.ID, e.ID)
			}
			told[string(e.ID)] = described(nil, "")
		case base.Changed:
			if was, here := told[string(e.ID)]; !here || was == described(e.Rooms, e.Tags) {
				w.fatal("%s is told of a change of %s that is none: %v", p.ID, e.ID, e)
			}
			told[string(e.ID)] = described(e.Rooms, e.Tags)
		case base.Left:
			delete(told, string(e.ID))
		}
	}
	return told
}

// undescribed says what a peer does not know yet of what others have said of themselves, by its
// table or by its events.
func (w *world) undescribed(said map[string]string) string {
	for _, p := range w.Living() {
		told := w.heardOf(p)
		for _, row := range p.Core.Peers() {
			if got, want := described(row.Rooms, row.Tags), said[string(row.ID)]; got != want {
				return fmt.Sprintf("%s holds of %s %s, not %s", p.ID, row.ID, got, want)
			}
			if told[string(row.ID)] != said[string(row.ID)] {
				return fmt.Sprintf("%s was told of %s %s, not %s", p.ID, row.ID, told[string(row.ID)], said[string(row.ID)])
			}
		}
	}
	return ""
}

// TestSimDescribe has peers say what rooms they are in and what their tags are, also in pieces of a cut
// network, through losses, and just before others come: in the end each knows what each has said
// last, by its table and by its events alike.
func TestSimDescribe(t *testing.T) {
	eachSeed(t, 20, 5, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 4+int(seed%6))
		w.Loss = float64(seed%2) / 50
		w.strict = false
		n := len(w.Machines)
		w.build(n-1, time.Second)
		w.Run(5 * time.Second)
		said := make(map[string]string)
		for _, m := range w.Machines {
			said[string(m.ID)] = described(nil, "")
		}
		count := 0
		speak := func() {
			p := w.Living()[w.Rand.IntN(len(w.Living()))]
			for range 1 + w.Rand.IntN(4) { // a burst
				count++
				rooms := []string{"#a", fmt.Sprintf("#r%d", count)}[w.Rand.IntN(3)&1:]
				tags := fmt.Sprint(count)
				if w.Rand.IntN(4) == 0 {
					rooms, tags = nil, ""
				}
				w.describe(p, rooms, tags)
				said[string(p.ID)] = described(rooms, tags)
			}
		}
		speak()
		w.Machines[n-1].Start(w.Machines[0].Address)
		speak()
		for _, p := range w.Living() {
			w.diary(p).jumpy = true
		}
		for round := range 3 {
			w.split(func(i int) int { return (i + round) % 2 })
			for range 5 {
				speak()
				w.Run(w.Between(0, 4*time.Second))
			}
			w.heal()
			w.Run(w.Between(0, 3*time.Second))
			speak()
		}
		w.settle(healedWithin)
		if _, ok := w.runUntil(10*time.Second, func() bool { return w.undescribed(said) == "" }); !ok {
			w.fatal("%s", w.undescribed(said))
		}
	})
}

// TestSimDescribeAgain: a peer that has described itself, and comes to a network later or is restarted
// there, is known as it is now.
func TestSimDescribeAgain(t *testing.T) {
	w := newWorld(t, 1, 3)
	w.strict = false
	w.build(2, time.Second)
	alone := w.Machines[2].Start()
	w.Run(time.Second)
	w.describe(alone, []string{"#here"}, "first")
	w.Run(2 * time.Second)
	alone.Leave()
	w.Run(2 * time.Second)
	p := w.Machines[2].Start(w.Machines[0].Address)
	w.describe(p, []string{"#there"}, "second") // before anybody has let it in
	said := map[string]string{"n00": described(nil, ""), "n01": described(nil, ""), "n02": described([]string{"#there"}, "second")}
	w.settle(10 * time.Second)
	w.Run(3 * time.Second)
	if what := w.undescribed(said); what != "" {
		t.Error(what)
	}
	p.Crash()
	w.Run(time.Second)
	w.Machines[2].Start(w.Machines[0].Address)
	said["n02"] = described(nil, "")
	w.settle(30 * time.Second)
	if what := w.undescribed(said); what != "" {
		t.Error(what)
	}
	changes := 0
	for _, s := range w.diary(w.Machines[1].Process).log {
		if e, ok := s.event.(base.Changed); ok {
			changes++
			if !slices.Equal(e.Rooms, []string{"#there"}) {
				t.Errorf("an event says %v", e)
			}
		}
	}
	if changes != 1 {
		t.Errorf("%d changes were told, not 1", changes)
	}
}
