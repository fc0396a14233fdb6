package hooks

import (
	"bytes"
	"log/slog"
)

// limited keeps the beginning of what is written, and reads over the rest.
type limited struct {
	kept []byte
	left int
	cut  bool // there was more
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.kept = append(l.kept, b[:n]...)
	l.left -= n
	l.cut = l.cut || n < len(b)
	return len(b), nil
}

// lineLog logs the lines that are written, up to a total. The log's handlers quote what could move
// a cursor or forge a line.
type lineLog struct {
	log  *slog.Logger
	left int // bytes that may still be logged
	line []byte
	long bool // the rest of the line is dropped
	full bool // the log has said that nothing more is logged
}

func (l *lineLog) Write(b []byte) (int, error) {
	written := len(b)
	for len(b) > 0 && !l.full {
		part, rest, ends := bytes.Cut(b, []byte("\n"))
		room := min(len(part), maxLine-len(l.line))
		l.line = append(l.line, part[:room]...)
		l.long = l.long || room < len(part)
		if ends {
			l.put()
		}
		b = rest
	}
	return written, nil
}

// finish logs a last line without an end.
func (l *lineLog) finish() {
	if len(l.line) > 0 && !l.full {
		l.put()
	}
}

func (l *lineLog) put() {
	line := bytes.TrimSuffix(l.line, []byte("\r"))
	if l.left -= len(line) + 1; l.left < 0 {
		l.log.Info("the command of --on-message prints more than is logged", "bytes", maxOutput)
		l.full = true
		return
	}
	if l.long {
		line = append(line, "…"...)
	}
	l.log.Info("the command of --on-message prints", "line", string(line))
	l.line, l.long = l.line[:0], false
}
