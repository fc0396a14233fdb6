package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"quicpeer/scripts/internal/harness"
)

// show prints what the peers of a scenario get and give, as it happens, one
// colour for each. A nil show prints nothing.
type show struct {
	out    io.Writer
	colour bool

	mu    sync.Mutex
	names []string
}

// newShow shows on a file, in colour if it is a terminal and nobody objects.
func newShow(out *os.File) *show {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &show{out: out, colour: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// palette are colours that can be read on dark and on light.
var palette = []string{"36", "33", "35", "32", "34"}

func (s *show) started(name string, flags []string) {
	s.print(name, "$", "2", "quicpeer "+strings.Join(visible(flags), " "))
}

func (s *show) typed(name, text string)      { s.print(name, ">", "1", text) }
func (s *show) saw(name, text string)        { s.print(name, "│", "", text) }
func (s *show) complained(name, text string) { s.print(name, "!", "31", text) }

func (s *show) heading(text string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "\n%s\n", s.paint("1", text))
}

func (s *show) print(name, mark, style, text string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.names, name)
	if i < 0 {
		i = len(s.names)
		s.names = append(s.names, name)
	}
	who := s.paint(palette[i%len(palette)], fmt.Sprintf("%8s %s", name, mark))
	fmt.Fprintf(s.out, "%s %s\n", who, s.paint(style, harness.Shorten(text, 500)))
}

func (s *show) paint(style, text string) string {
	if !s.colour || style == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// visible leaves out the flags that only the harness needs.
func visible(words []string) []string {
	var kept []string
	for i := 0; i < len(words); i++ {
		if words[i] == "--cut-file" || words[i] == "--state-dir" {
			i++
			continue
		}
		kept = append(kept, words[i])
	}
	return kept
}
