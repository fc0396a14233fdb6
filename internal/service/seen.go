package service

import "time"

// seen is what the user has had before his eyes: while a terminal is attached, everything.
type seen struct {
	terminals int
	until     time.Time // when the last terminal was detached; zero: none was
	pos       uint64    // the end of the history then
}

// seenPlace is the name of the reader of the history that stands for terminals.
const seenPlace = "terminal"

// Attach notes that a terminal shows what happens. It returns since when none did, and the end of
// the history at that time, if this is the only one and there was one before, in this run or an earlier one.
func (s *Service) Attach() (since time.Time, pos uint64) {
	kept, at := s.lastSeen()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.terminals++
	if s.seen.terminals > 1 {
		return time.Time{}, 0
	}
	if s.seen.until.IsZero() {
		s.seen.pos, s.seen.until = kept, at
	}
	return s.seen.until, s.seen.pos
}

// lastSeen is what an earlier run has noted: the position, and when its event was written.
func (s *Service) lastSeen() (pos uint64, at time.Time) {
	pos, err := s.past.Place(seenPlace)
	if err != nil || pos == 0 {
		return 0, time.Time{}
	}
	for p, err := range s.past.Events(pos) {
		if err == nil {
			return pos, p.At
		}
		break
	}
	return 0, time.Time{}
}

// Detach notes that a terminal has gone.
func (s *Service) Detach() {
	end := s.past.End()
	s.mu.Lock()
	s.seen.terminals--
	last := s.seen.terminals == 0
	if last {
		s.seen.until, s.seen.pos = time.Now(), end
	}
	s.mu.Unlock()
	if last && end != 0 {
		_ = s.past.SetPlace(seenPlace, end) // else the next start marks what was seen before as new
	}
}
