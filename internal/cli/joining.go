package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// When joining takes long, whoever sits at the terminal is told so: whom it tries, then what it has met.
// Joins take milliseconds on a LAN and some round trips elsewhere, so most are over before the first line.
const (
	joinSilence = 500 * time.Millisecond // before the first line
	joinHint    = 3 * time.Second        // before the hint what to check: as long as one dial takes
)

// Bounds of what is shown.
const (
	maxJoinLines = 16 // about the addresses; the error at the end has them all
	maxJoinTries = 8  // addresses in the first line
)

// joinNews shows how joining goes on. Its zero value shows nothing.
type joinNews struct {
	told  chan overlay.JoinProgress
	due   <-chan time.Time // show is to be called; nil: never again
	out   *logWriter       // nothing waits for a terminal that has been stopped
	tried []string
	later []string // lines to be shown, until it is time
	said  []string // all lines so far, each is shown once
	shown int      // times that show was called
	found bool     // a peer has let this one in
}

// newJoinNews has joining with this configuration shown, if there is somebody at a terminal to see it.
func (s *session) newJoinNews(cfg *overlay.Config) *joinNews {
	out := s.console.terminal()
	if out == nil || s.options.json || s.options.noInput {
		return &joinNews{}
	}
	j := &joinNews{told: make(chan overlay.JoinProgress, maxJoinLines), due: time.After(joinSilence), out: newLogWriter(out)}
	cfg.Joining = func(p overlay.JoinProgress) {
		select {
		case j.told <- p:
		default: // it is dropped; the error at the end has all
		}
	}
	return j
}

// terminal is standard error, or else standard output, if it is a terminal; nil: neither is.
func (c *console) terminal() *lines.Output {
	switch {
	case c.stderr != nil:
		return c.log
	case c.stdout != nil:
		return c.out
	}
	return nil
}

// take notes what has become of an address.
func (j *joinNews) take(p overlay.JoinProgress) {
	line := ""
	switch {
	case p.ID != "":
		j.found = true
		line = fmt.Sprintf("%s at %s has let this peer in; the network's table is on its way", p.ID, p.Address)
	case p.Why != "":
		line = p.Address + ": " + p.Why
	case slices.Contains(j.tried, p.Address) || len(j.said) == maxJoinLines:
		return
	default:
		j.tried = append(j.tried, p.Address)
		if j.shown == 0 {
			return // it stands in the first line
		}
		line = "trying " + p.Address + " too"
	}
	if slices.Contains(j.said, line) || len(j.said) == maxJoinLines {
		return
	}
	j.said = append(j.said, line)
	j.later = append(j.later, line)
	if j.shown > 0 {
		j.flush()
	}
}

// show says whom it tries when it is time for that, and later what to check.
func (j *joinNews) show() {
	j.shown++
	if j.shown == 1 {
		j.due = time.After(joinHint - joinSilence)
		what := "looking for peers on the LAN"
		if n := len(j.tried); n > maxJoinTries {
			what = fmt.Sprintf("trying %s and %d more", strings.Join(j.tried[:maxJoinTries], ", "), n-maxJoinTries)
		} else if n > 0 {
			what = "trying " + strings.Join(j.tried, ", ")
		}
		j.later = slices.Insert(j.later, 0, what+" …")
	} else if j.due = nil; !j.found {
		j.later = append(j.later, "still trying. Is the address right, does a peer run there, and does its firewall let UDP in on that port? quicpeer doctor checks this machine; Ctrl-C gives up")
	}
	j.flush()
}

func (j *joinNews) flush() {
	for _, line := range j.later {
		fmt.Fprintln(j.out, "joining: "+chat.OneLine(certs.HideTickets(line)))
	}
	j.later = nil
}

// close returns when all is shown, unless nobody reads the terminal.
func (j *joinNews) close() {
	if j.out != nil {
		j.out.close()
	}
}
