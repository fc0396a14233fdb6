package terse_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/overlay/terse"
)

// output is what was written.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

// take returns it, and forgets it.
func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.b.Reset()
	return o.b.String()
}

// newLog returns a log of a level, and what is written there.
func newLog(level slog.Level) (*slog.Logger, *output) {
	b := new(output)
	log := terse.New(slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	return log, b
}

// Of each kind of line three are written in a minute, and then how many more there were, whatever else
// the lines say.
func TestFirstLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := newLog(slog.LevelInfo)
		for i := range 817 {
			log.With("peer", i).WithGroup("more").Info("refused", "from", i)
			if i%100 == 0 {
				log.Warn("slow")
			}
			log.Debug("dialling")
			time.Sleep(10 * time.Millisecond)
		}
		if got := out.take(); strings.Count(got, "\n") != 6 {
			t.Errorf("wrote\n%s", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		want := `level=INFO msg="refused (more of these)" lines=814 within=1m0s
level=WARN msg="slow (more of these)" lines=6 within=1m0s
`
		if got := out.take(); got != want {
			t.Errorf("wrote\n%s", got)
		}
		for range 7 {
			log.Info("refused")
		}
		terse.End(log)
		log.Info("refused") // nobody counts any more
		want = strings.Repeat("level=INFO msg=refused\n", 3) + `level=INFO msg="refused (more of these)" lines=4 within=0s` + "\nlevel=INFO msg=refused\n"
		if got := out.take(); got != want {
			t.Errorf("wrote\n%s", got)
		}
	})
}

// A minute after the first line counting begins anew, also where nothing was left out.
func TestNextMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := newLog(slog.LevelInfo)
		defer terse.End(log)
		for range 20 {
			log.Info("now and then")
			time.Sleep(25 * time.Second)
		}
		if got := out.take(); strings.Count(got, "\n") != 20 {
			t.Errorf("wrote\n%s", got)
		}
	})
}

// A program that writes ever new texts gets as many kinds as there may be, and one more.
func TestManyKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := newLog(slog.LevelInfo)
		for i := range 1000 {
			log.Warn(fmt.Sprint("kind ", i))
		}
		terse.End(log)
		if got := out.take(); strings.Count(got, "\n") != 64+3+1 || !strings.Contains(got, `"other lines (more of these)" lines=933`) {
			t.Errorf("wrote\n%s", got)
		}
	})
}

// Whoever debugs gets all lines.
func TestDebugging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := newLog(slog.LevelDebug)
		defer terse.End(log)
		for range 100 {
			log.Info("refused")
			log.Debug("dialling")
		}
		if n := strings.Count(out.take(), "\n"); n != 200 {
			t.Errorf("%d lines", n)
		}
	})
}
