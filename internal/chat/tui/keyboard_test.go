package tui

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// What the terminal answers while a program ends is not left for the shell; what was typed stays.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name  string
			parts []string
			left  string
			took  time.Duration
		}{
			{"an answer in its turn", []string{"a\x1b[?1ub", "\x1b[?2026;2$y\x1b[?62;1;6c", "c"}, "ab", 2 * time.Millisecond},
			{"in two pieces", []string{"\x1b[?6", "2c"}, "", 2 * time.Millisecond},
			{"none", []string{"keys"}, "keys", time.Second},
		} {
			k := newKeys()
			r, w := io.Pipe()
			go k.pump(r)
			go func() {
				for _, part := range c.parts {
					time.Sleep(time.Millisecond)
					_, _ = io.WriteString(w, part)
				}
			}()
			began := time.Now()
			k.drain(time.Second)
			k.mu.Lock()
			got := string(k.buf)
			k.mu.Unlock()
			if got != c.left || time.Since(began) != c.took {
				t.Errorf("%s: %q is left after %v", c.name, got, time.Since(began))
			}
			synctest.Wait()
			time.Sleep(time.Second)
			_ = w.Close()
		}
	})
}
