package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"quicpeer/internal/chat"
	"quicpeer/internal/control"
	"quicpeer/internal/terminal"
	"quicpeer/overlay/files"
)

// course is how a transfer goes, for a command that waits for it.
type course struct {
	a       filing
	meter   *meter
	noWait  bool
	accepts bool

	file    int    // its number; 0: it has none yet
	message string // that offers it; the same
	name    string // once known
	why     string // why it waits
	over    bool

	// Of a peer of its own.
	self  string
	state files.State // of what an earlier run has begun
	err   error
}

func (a filing) course(noWait bool) *course {
	return &course{a: a, meter: newMeter(a.command), noWait: noWait, why: "it was not accepted yet"}
}

// take takes an event. It returns what is to be printed.
func (c *course) take(e control.Answer) (string, error) {
	if e.Name != "" {
		c.name = e.Name
	}
	switch e.Event {
	case "file_offered":
		c.file, c.message = e.File, e.Message
		for _, s := range e.Skipped {
			fmt.Fprintf(c.a.stderr, "quicpeer: not sent: %s: %s\n", chat.OneLine(s.Path), chat.OneLine(s.Why))
		}
		if c.noWait {
			c.over = true
			return strconv.Itoa(c.file), nil
		}
		what := "offered to " + e.To
		if c.accepts {
			what = "from " + e.From
		}
		c.meter.show(fmt.Sprintf("%s (%s): %s", c.name, chat.Size(e.Size), what))
	case "files":
		c.over = c.noWait && c.accepts
	case "buffered", "file_waits":
		c.why = e.Reason
		c.meter.show(fmt.Sprintf("%s: %s", c.name, c.why))
	case "file_progress":
		c.why = "it is under way"
		c.meter.show(c.name + "  " + pace(e.FileAnswer))
	case "file_done":
		c.over = true
		c.clear()
		if !c.accepts {
			return fmt.Sprintf("%s has %s", e.Peer, chat.OneLine(c.name)), nil
		}
		for i := range e.Paths {
			e.Paths[i] = chat.OneLine(e.Paths[i])
		}
		return strings.Join(e.Paths, "\n"), nil
	case "file_failed", "failed":
		c.over = true
		return "", fmt.Errorf("%s: %s", c.name, e.Error)
	case "left":
		return "", errLeft
	}
	return "", nil
}

// pace says how far a transfer is, and how fast.
func pace(f control.FileAnswer) string {
	s := chat.Percent(f.Bytes, f.Of)
	if f.Rate > 0 {
		s += "  " + chat.Size(f.Rate) + "/s"
	}
	if f.Left > 0 {
		s += "  " + chat.Left(time.Duration(f.Left*float64(time.Millisecond))) + " left"
	}
	return s
}

func (c *course) clear() { c.meter.clear() }

// outcome is the result of a command, of whose transfer is said what has become.
func (c *course) outcome(err error, begun string) error {
	name := c.name
	if name == "" {
		name = fmt.Sprint("file ", c.file)
	}
	switch {
	case c.over:
		return err
	case c.file == 0 && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		return errors.New("ended before it " + begun)
	case c.file == 0:
		return err
	case err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return &waitsError{fmt.Sprintf("%s is not there yet (%s); the running peer goes on: quicpeer file list", name, c.why)}
	case errors.Is(err, errLeft), errors.Is(err, control.ErrBroken):
		return &waitsError{fmt.Sprintf("%s is not there yet; the peer has stopped, and goes on at its next start", name)}
	}
	return err
}

// meter is a line on standard error that is written again and again. It is nowhere but on a terminal.
type meter struct {
	to    *terminal.Stream // nil: nowhere
	shown bool
}

func newMeter(c *command) *meter {
	f, ok := terminal.Of(c.stderr)
	if !ok || c.getenv("TERM") == "dumb" || !f.EnableEscapes() {
		return &meter{}
	}
	return &meter{to: f}
}

func (m *meter) show(s string) {
	if m.to == nil {
		return
	}
	width, _, err := m.to.Size()
	if err != nil || width < 2 {
		width = 80
	}
	m.shown = true
	fmt.Fprint(m.to, "\r\x1b[K"+chat.Clip(chat.OneLine(s), width-1)) // a terminal that is gone shows nothing
}

func (m *meter) clear() {
	if m.shown {
		fmt.Fprint(m.to, "\r\x1b[K")
	}
	m.shown = false
}
