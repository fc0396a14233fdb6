package chat

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// Bounds of what is shown of one message, guesses: a screen or two. All of it is in the history.
const (
	maxRows    = 200 // rows
	maxCluster = 64  // bytes of one cluster; the longest emoji have about 40
)

// Wrap breaks a text, escaped and without colours, into rows of at most width columns, of which first
// are taken in the first row and rest in the others. Words stay whole where they can, and clusters
// where they fit at all. Of a very long text the last row says how much is left out. measure is how many
// columns a cluster takes.
func Wrap(s string, first, rest, width int, measure func(string) int) []string {
	w := wrapping{width: max(1, width-rest), column: max(0, first-rest), measure: measure}
	for it := graphemes.FromString(s); it.Next(); {
		w.add(it.Value())
		if len(w.rows) < maxRows {
			continue
		}
		if left := w.row.String() + s[it.End():]; strings.TrimSpace(left) != "" {
			return append(w.rows, leftOut(left))
		}
		return w.rows
	}
	return append(w.rows, w.row.String())
}

// leftOut says how much of a text is not shown.
func leftOut(s string) string {
	return fmt.Sprintf("[… %s, %.0f kB more]", count(strings.Count(s, "\n")+1, "line"), float64(len(s)+999)/1000)
}

// wrapping is a text that is being broken into rows.
type wrapping struct {
	width   int // of a row
	measure func(string) int

	rows   []string
	row    strings.Builder
	column int // where the row ends
	blank  int // bytes of the row up to the end of its last blank; 0: it has none
	word   int // columns behind that
}

// add adds a cluster.
func (w *wrapping) add(c string) {
	if c == "\n" {
		w.end("")
		return
	}
	if len(c) > maxCluster {
		end := maxCluster
		for !utf8.RuneStart(c[end]) {
			end--
		}
		c = c[:end]
	}
	wide := w.measure(c)
	if w.column+wide > w.width && w.column > 0 {
		switch {
		case c == " ": // a row ends with its word
			w.end("")
			return
		case w.blank > 0 && w.word+wide <= w.width:
			s := w.row.String()
			w.row.Reset()
			w.row.WriteString(strings.TrimRight(s[:w.blank], " "))
			columns := w.word
			w.end(s[w.blank:])
			w.column, w.word = columns, columns
		default:
			w.end("")
		}
	}
	w.row.WriteString(c)
	w.column += wide
	if c == " " {
		w.blank, w.word = w.row.Len(), 0
	} else {
		w.word += wide
	}
}

// end ends the row, and begins the next one with a text.
func (w *wrapping) end(next string) {
	w.rows = append(w.rows, w.row.String())
	w.row.Reset()
	w.row.WriteString(next)
	w.column, w.blank, w.word = 0, 0, 0
}

// Escape makes a text from another peer safe to show; its line ends stay.
func Escape(s string) string { return escape(strings.ReplaceAll(s, "\r\n", "\n")) }

// Isolate keeps a row with characters that are written from right to left from changing the order of
// what stands before it (UAX #9, first strong isolate).
func Isolate(row string) string {
	if strings.IndexFunc(row, isRightToLeft) < 0 {
		return row
	}
	return "\u2068" + row + "\u2069"
}

// isRightToLeft says that a character is in a block whose default direction that is (UAX #9, DerivedBidiClass).
func isRightToLeft(r rune) bool {
	return r >= 0x590 && r <= 0x8ff || r >= 0xfb1d && r <= 0xfdff || r >= 0xfe70 && r <= 0xfeff ||
		r >= 0x10800 && r <= 0x10fff || r >= 0x1e800 && r <= 0x1efff
}
