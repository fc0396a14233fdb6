package store

import "errors"

// How a store ends early: by its first error, or, in tests, by a step at which the process is as good as killed.

// ErrKilled is what [OpenWith] returns when its step function ended the store.
var ErrKilled = errors.New("the store was ended at a step, as if the process had been killed")

// Err is the first error of writing, with the path and the system's error in it;
// nil while there was none. After it nothing more is written, and every done
// function gets it.
func (s *Store) Err() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// fail keeps the first error, and returns it.
func (s *Store) fail(err error) error {
	if err != nil && s.isDead() {
		return ErrKilled
	}
	if err != nil {
		s.failure.CompareAndSwap(nil, &err)
	}
	return s.Err()
}

// reach says that the store may go on at this step.
func (s *Store) reach(step string) bool {
	if s.dead.Load() {
		return false
	}
	if s.step != nil && !s.step(step) {
		s.dead.Store(true)
		return false
	}
	return true
}

// isDead says that a step has ended the store.
func (s *Store) isDead() bool { return s.dead.Load() }
