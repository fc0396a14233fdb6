package main

import (
	"slices"
	"time"
)

// agenda is what is planned, the earliest first, for the one goroutine that does it.
type agenda struct{ tasks []task }

// task is something to do at a time. A task that comes again plans by its own
// time and not the clock's, so that being late changes no rates.
type task struct {
	at time.Time
	do func(at time.Time)
}

// plan adds a task.
func (a *agenda) plan(at time.Time, do func(at time.Time)) {
	a.tasks = append(a.tasks, task{at, do})
	slices.SortStableFunc(a.tasks, func(a, b task) int { return a.at.Compare(b.at) })
}

// hasten makes all that is planned due now: at the end of the chaos what is frozen,
// cut or down is only waiting for its time to be healed.
func (a *agenda) hasten() {
	now := time.Now()
	for i := range a.tasks {
		a.tasks[i].at = now
	}
}

// due takes what is due.
func (a *agenda) due(now time.Time) (due []task) {
	for len(a.tasks) > 0 && !a.tasks[0].at.After(now) {
		due, a.tasks = append(due, a.tasks[0]), a.tasks[1:]
	}
	return due
}
