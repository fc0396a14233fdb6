package messaging

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Files wait for a message until it is answered, for at most headStart, and then as long at least for none.
func TestPrecedence(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		begin, end []time.Duration // of messages
		asked      time.Duration
		want       time.Duration
	}{
		"no message":                {nil, nil, 0, 0},
		"not answered":              {[]time.Duration{1 * ms}, nil, 2 * ms, 4 * ms},
		"answered":                  {[]time.Duration{1 * ms}, []time.Duration{4 * ms}, 2 * ms, 2 * ms},
		"answered before":           {[]time.Duration{1 * ms}, []time.Duration{2 * ms}, 3 * ms, 0},
		"long ago":                  {[]time.Duration{1 * ms}, nil, 7 * ms, 0},
		"one behind another":        {[]time.Duration{1 * ms, 3 * ms}, nil, 4 * ms, 2 * ms},
		"too soon behind another":   {[]time.Duration{1 * ms, 10 * ms}, nil, 10 * ms, 0},
		"soon enough behind it":     {[]time.Duration{1 * ms, 11 * ms}, nil, 12 * ms, 4 * ms},
		"too soon behind an answer": {[]time.Duration{1 * ms, 4 * ms}, []time.Duration{2 * ms}, 5 * ms, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p Precedence
				for _, at := range c.begin {
					time.AfterFunc(at, p.begin)
				}
				for _, at := range c.end {
					time.AfterFunc(at, p.end)
				}
				time.Sleep(c.asked)
				synctest.Wait()
				asked := time.Now()
				p.Wait(t.Context())
				if waited := time.Since(asked); waited != c.want {
					t.Errorf("waited for %v, not %v", waited, c.want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		var p Precedence
		p.begin()
		ctx, cancel := context.WithTimeout(t.Context(), ms)
		defer cancel()
		asked := time.Now()
		p.Wait(ctx)
		if waited := time.Since(asked); waited != ms {
			t.Errorf("waited for %v, though the context had ended", waited)
		}
	})
}

// Whatever messages there are, files go on for half of the time.
func TestPrecedenceLeavesHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Precedence
		var waited time.Duration
		for begin := time.Now(); time.Since(begin) < time.Second; {
			p.begin()
			asked := time.Now()
			p.Wait(t.Context())
			waited += time.Since(asked)
			time.Sleep(100 * time.Microsecond)
		}
		if waited > 505*time.Millisecond || waited < 300*time.Millisecond {
			t.Errorf("files waited for %v of a second", waited)
		}
	})
}
