package files

import (
	"math"
	"time"
)

// meterMemory is about how long the past counts in a rate, and meterStep how often it is looked at (guesses).
const (
	meterMemory = 4 * time.Second
	meterStep   = 250 * time.Millisecond
)

// meter measures how fast bytes come.
type meter struct {
	began time.Time // of what is counted; zero: nothing came yet
	bytes int64
	rate  float64 // bytes a second
}

// add counts bytes that came at a time.
func (m *meter) add(bytes int64, now time.Time) {
	if m.began.IsZero() || now.Sub(m.began) > meterMemory {
		m.began, m.bytes, m.rate = now, 0, 0
	}
	m.bytes += bytes
	passed := now.Sub(m.began)
	if passed < meterStep {
		return
	}
	lately := float64(m.bytes) / passed.Seconds()
	if m.rate == 0 {
		m.rate = lately
	} else {
		m.rate += (lately - m.rate) * (1 - math.Exp(-passed.Seconds()/meterMemory.Seconds()))
	}
	m.began, m.bytes = now, 0
}

// perSecond is the rate, in bytes a second; 0 when nothing has come for a while.
func (m *meter) perSecond(now time.Time) int64 {
	if m.began.IsZero() || now.Sub(m.began) > meterMemory {
		return 0
	}
	return int64(m.rate)
}

// left is how long so many bytes take at the rate; 0: it is not known.
func (m *meter) left(bytes int64, now time.Time) time.Duration {
	rate := m.perSecond(now)
	if rate == 0 {
		return 0
	}
	seconds := float64(bytes) / float64(rate)
	if seconds > 1e9 {
		return 0
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}
