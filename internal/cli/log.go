package cli

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"
)

// newLog makes the log that is written to w: for people, coloured if they look
// at a terminal, or for programs.
func newLog(w io.Writer, o options, colour bool) *slog.Logger {
	if o.logJSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: o.logLevel}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{
		Level:      o.logLevel,
		TimeFormat: time.TimeOnly,
		NoColor:    !colour,
	}))
}

// maxLogLines is how many lines of the log may wait for whoever reads standard
// error (a guess); more are dropped and counted.
const maxLogLines = 1024

// logPatience is how long, at the end, the reader of standard error may take for
// what waits (a guess).
const logPatience = time.Second

// logWriter writes the log on a goroutine of its own, so that somebody who has
// stopped reading standard error stops nothing but the log.
type logWriter struct {
	lines   chan []byte
	end     chan struct{}
	done    chan struct{}
	dropped chan int // holds the number, 0 too
}

func newLogWriter(w io.Writer) *logWriter {
	l := &logWriter{lines: make(chan []byte, maxLogLines), end: make(chan struct{}), done: make(chan struct{}), dropped: make(chan int, 1)}
	l.dropped <- 0
	go l.run(w)
	return l
}

// Write takes a line. It never waits and never fails.
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
	// Nobody is left to be told of a failure.
	_, _ = w.Write(line)
	n := <-l.dropped
	l.dropped <- 0
	if n > 0 {
		fmt.Fprintf(w, "quicpeer: %d lines of the log were dropped: nobody read them\n", n)
	}
}

// close writes what waits, for at most logPatience. What is written to the log
// later is lost.
func (l *logWriter) close() {
	close(l.end)
	select {
	case <-l.done:
	case <-time.After(logPatience):
	}
}
