package cli

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"

	"quicpeer/certs"
)

// newLog returns a logger that writes to w: text for people, in colour on a terminal, or
// JSON for programs.
func newLog(w io.Writer, o options, colour bool) *slog.Logger {
	if o.logJSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: o.logLevel, ReplaceAttr: hideTickets}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{
		Level:       o.logLevel,
		TimeFormat:  time.TimeOnly,
		NoColor:     !colour,
		ReplaceAttr: hideTickets,
	}))
}

// hideTickets keeps tickets out of the log, wherever a line or an error has them from.
func hideTickets(_ []string, a slog.Attr) slog.Attr {
	if k := a.Value.Kind(); k != slog.KindString && k != slog.KindAny {
		return a
	}
	text := a.Value.String()
	if hidden := certs.HideTickets(text); hidden != text {
		a.Value = slog.StringValue(hidden)
	}
	return a
}

// maxLogLines is how many lines of the log may wait for the reader of standard error (a
// guess); further ones are dropped and counted.
const maxLogLines = 1024

// logPatience is how long, at the end, to wait for the reader of standard error (a guess).
const logPatience = time.Second

// logWriter writes the log on a goroutine of its own, so that a reader that has stopped
// reading standard error stops nothing but the log.
type logWriter struct {
	lines   chan []byte
	end     chan struct{}
	done    chan struct{}
	dropped chan int // always holds one number, possibly 0
}

func newLogWriter(w io.Writer) *logWriter {
	l := &logWriter{lines: make(chan []byte, maxLogLines), end: make(chan struct{}), done: make(chan struct{}), dropped: make(chan int, 1)}
	l.dropped <- 0
	go l.run(w)
	return l
}

// Write accepts a line. It never blocks and never fails.
func (l *logWriter) Write(line []byte) (int, error) {
	select {
	case l.lines <- append([]byte(nil), line...):
	default:
		l.dropped <- <-l.dropped + 1
	}
	return len(line), nil
}

func (l *logWriter) run(w io.Writer) {
	defer close(l.done)
	for {
		select {
		case line := <-l.lines:
			l.write(w, line)
		case <-l.end:
			for len(l.lines) > 0 {
				l.write(w, <-l.lines)
			}
			return
		}
	}
}

func (l *logWriter) write(w io.Writer, line []byte) {
	// There is nowhere left to report a failure.
	_, _ = w.Write(line)
	n := <-l.dropped
	l.dropped <- 0
	if n > 0 {
		fmt.Fprintf(w, "quicpeer: %d lines of the log were dropped: nobody read them\n", n)
	}
}

// close writes the waiting lines, for at most logPatience. Anything logged later is lost.
func (l *logWriter) close() {
	close(l.end)
	select {
	case <-l.done:
	case <-time.After(logPatience):
	}
}
