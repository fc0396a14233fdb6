package tui

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/chat/edit"
	"quicpeer/overlay"
)

// stream is a terminal that only notes what is written.
type stream struct {
	mu   sync.Mutex
	text bytes.Buffer
	seen *sync.Cond
}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(b)
	s.seen.Broadcast()
	return len(b), nil
}

// await returns when something was written behind a position, and the position behind it.
func (s *stream) await(text string, from int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if i := bytes.Index(s.text.Bytes()[from:], []byte(text)); i >= 0 {
			return from + i + len(text)
		}
		s.seen.Wait()
	}
}

func (s *stream) length() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Len()
}

// BenchmarkEcho types while lines come in, 5,000 a second, and measures how long it takes until a key
// stands on the screen. Each line must come out, in order, and the input must be what was typed.
//
//	go test -run '^$' -bench Echo -benchtime 500x ./internal/chat/tui
func BenchmarkEcho(b *testing.B) {
	for _, full := range []bool{false, true} {
		b.Run(map[bool]string{false: "line", true: "full"}[full], func(b *testing.B) { echo(b, full) })
	}
}

func echo(b *testing.B, full bool) {
	const rate, every = 5000, 20 * time.Millisecond
	out := &stream{}
	out.seen = sync.NewCond(&out.mu)
	keys, typing := io.Pipe()
	inputs, _ := edit.OpenInputs("")
	c := New(Config{
		Self: "me", Node: &fakeNode{}, Inputs: inputs, Keys: keys, Out: out, Size: Size{Width: 80, Height: 24}, Term: "xterm-256color", Bye: "leaves", Now: time.Now, Full: full,
	})
	ended := make(chan error)
	go func() { ended <- c.Run(context.Background()) }()
	entered := make(chan string, 10)
	go func() {
		defer close(entered)
		for {
			line, err := c.Next()
			if err != nil {
				return
			}
			entered <- string(line)
		}
	}()
	out.await("me>", 0)
	stop, fed := make(chan struct{}), make(chan int)
	go func() {
		n, unshown := 0, make(chan struct{}, rate) // a second of what may wait, as the engine has a bound
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				fed <- n
				return
			case <-ticker.C:
			}
			for range rate / 100 {
				unshown <- struct{}{}
				n++
				_ = c.Event(overlay.Message{ID: overlay.MessageID{byte(n), byte(n >> 8), byte(n >> 16)}, From: certs.ID("bob"), To: "*", Body: fmt.Sprintf("line %d of many", n), SentAt: time.Now()}, func() { <-unshown })
			}
		}
	}()
	var took []time.Duration
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var typed strings.Builder
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		key := string(rune(0x4e00 + i%0x5000)) // each once, so that it can be found
		from := out.length()
		at := time.Now()
		_, _ = io.WriteString(typing, key)
		out.await(key, from)
		took = append(took, time.Since(at))
		typed.WriteString(key)
		if i%30 == 29 {
			_, _ = io.WriteString(typing, "\r")
			if got := <-entered; got != typed.String() {
				b.Fatalf("typed %q, entered %q", typed.String(), got)
			}
			typed.Reset()
		}
		<-ticker.C
	}
	b.StopTimer()
	close(stop)
	n := <-fed
	if full {
		_, _ = io.WriteString(typing, "\x1bOQ") // F2: to line mode, where all of them are
	}
	out.await(fmt.Sprintf("line %d of many", n), 0)
	_ = typing.Close()
	<-ended
	text := out.text.String()
	for i, at := 1, 0; i <= n; i++ {
		j := strings.Index(text[at:], fmt.Sprintf("bob: line %d of many", i))
		if j < 0 && full && i <= n-maxUnread {
			continue // left out, and said so
		}
		if j < 0 && !full {
			b.Fatalf("line %d of %d does not follow the one before", i, n)
		}
		at += max(j, 0)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(0, "ns/op")
}
