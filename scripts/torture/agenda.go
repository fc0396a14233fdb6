package main

import (
	"slices"
	"time"
)

// agenda is what is planned, for the one goroutine that does it.
type agenda struct{ tasks []task }

// task is something to do at a time. A task that comes again plans by its own
// time and not the clock's, so that being late changes no rates.
type task struct {
	at time.Time
	do func(at time.Time)
}

// plan adds a task.
func (a *agenda) plan(at time.Time, do func(at time.Time)) { a.tasks = append(a.tasks, task{at, do}) }

// hasten makes all that is planned due now: at the end of the chaos what is frozen,
// cut or down is only waiting for its time to be healed.
func (a *agenda) hasten() {
	now := time.Now()
	for i := range a.tasks {
		a.tasks[i].at = now
	}
}

// due takes what is due, in the order of time.
func (a *agenda) due(now time.Time) []task {
	var due []task
	a.tasks = slices.DeleteFunc(a.tasks, func(t task) bool {
		if t.at.After(now) {
			return false
		}
		due = append(due, t)
		return true
	})
	slices.SortStableFunc(due, func(a, b task) int { return a.at.Compare(b.at) })
	return due
}

// next is the time of the next task, or until if that is earlier.
func (a *agenda) next(until time.Time) time.Time {
	for _, t := range a.tasks {
		if t.at.Before(until) {
			until = t.at
		}
	}
	return until
}
