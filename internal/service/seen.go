package service

import "time"

// seen is what the user has had before his eyes: while a terminal is attached, everything.
type seen struct {
	terminals int
	until     time.Time // when the last terminal was detached; zero: none was
	pos       uint64    // the end of the history then
}

// Attach notes that a terminal shows what happens. It returns since when none did, and the end of
// the history at that time, if this is the only one and there was one before.
func (s *Service) Attach() (since time.Time, pos uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.terminals++
	if s.seen.terminals > 1 {
		return time.Time{}, 0
	}
	return s.seen.until, s.seen.pos
}

// Detach notes that a terminal has gone.
func (s *Service) Detach() {
	end := s.past.End()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen.terminals--; s.seen.terminals == 0 {
		s.seen.until, s.seen.pos = time.Now(), end
	}
}
