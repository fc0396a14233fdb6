package tui

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"quicpeer/internal/chat"
)

// scroll is what goes into the terminal's own scrollback, in line mode.
type scroll struct {
	busy    bool     // rows are being printed, or the screen changes its shape
	waiting []*entry // not drawn yet: in full screen they wait for line mode
	dropped int      // entries that had no room there
	rows    []string // drawn, and not printed yet
	shown   []func() // to be called when all of that is printed
	prints  uint32   // how often something was printed; see lineView
	day     string   // of the last row
}

// maxUnread is how many entries wait in full screen for line mode, a guess.
const maxUnread = 20_000

// dayLine is the day as it stands between messages.
const dayLine = "Monday, 2006-01-02"

// await adds an entry that is to be printed.
func (s *scroll) await(e *entry) {
	s.waiting = append(s.waiting, e)
	if len(s.waiting) > maxUnread+maxUnread/10 {
		n := len(s.waiting) - maxUnread
		s.waiting, s.dropped = s.waiting[n:], s.dropped+n
	}
}

// paint makes rows of the entries that wait, with a line for each new day.
func (s *scroll) paint(p *painter, now time.Time) {
	if s.dropped > 0 {
		s.rows = append(s.rows, p.rows(&entry{at: now, note: chat.Note{Mark: "*", Text: fmt.Sprintf("%d lines from before are left out here; quicpeer history has them", s.dropped)}})...)
		s.dropped = 0
	}
	for _, e := range s.waiting {
		if day := e.at.Local().Format(dayLine); day != s.day {
			if s.day != "" || day != now.Local().Format(dayLine) {
				s.rows = append(s.rows, p.dim("--- "+day+" ---"))
			}
			s.day = day
		}
		s.rows = append(s.rows, p.rows(e)...)
	}
	s.waiting = nil
}

// piece takes as much to be printed as fits into n rows of a terminal of that width, or one row; and, with the last
// ones, what is to be called then.
func (s *scroll) piece(n, width int) (rows []string, shown []func()) {
	if len(s.rows) > 0 && 1+ansi.StringWidth(s.rows[0])/width > max(n, 1) { // a line that was to stay whole
		parts := strings.Split(ansi.Hardwrap(s.rows[0], max(1, width-1), true), "\n")
		s.rows = append(parts, s.rows[1:]...)
	}
	i := 0
	for ; i < len(s.rows); i++ {
		if n -= 1 + ansi.StringWidth(s.rows[i])/width; n < 0 && i > 0 { // as the renderer counts
			break
		}
	}
	rows = s.rows[:i]
	if s.rows = s.rows[len(rows):]; len(s.rows) == 0 {
		s.rows = nil
		shown, s.shown = s.shown, nil
	}
	return rows, shown
}
