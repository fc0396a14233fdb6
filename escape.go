package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escape makes a text of somebody else fit to be shown: what isn't a graphic
// character (control characters, those that change the direction of writing,
// invisible ones, bytes that are no UTF-8) is shown as a Go escape such as
// \x1b or \u202e. Line ends stay; [oneLine] escapes them too.
func escape(s string) string { return escapeBut(s, '\n') }

// oneLine is escape for what has to stay on its line.
func oneLine(s string) string { return escapeBut(s, utf8.RuneError) }

func escapeBut(s string, keep rune) string {
	clean := strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsGraphic(r) }) < 0
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsGraphic(r) || r == keep:
			b.WriteRune(r)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\n':
			b.WriteString(`\n`)
		case r < 0x100: // the C0 and C1 control characters, and the soft hyphen
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += size
	}
	return b.String()
}

// indent shows a text of somebody else below a prefix: escaped, and with every
// line but the first set in by margin, so that none of them can look like a line
// of ours. With a width above 0 longer lines are folded here, since a terminal
// would go on at its left edge.
func indent(s string, margin string, first, width int) string {
	s = escape(strings.ReplaceAll(s, "\r\n", "\n"))
	if width > 0 {
		s = fold(s, first, len(margin), width)
	}
	return strings.ReplaceAll(s, "\n", "\n"+margin)
}

// fold breaks lines at the terminal's width, of which first columns are taken on
// the first line and margin columns on the others.
func fold(s string, first, margin, width int) string {
	if margin+2 > width {
		return s
	}
	var b strings.Builder
	column := first
	for _, r := range s {
		c := columns(r)
		if r != '\n' && column+c > width {
			b.WriteByte('\n')
			column = margin
		}
		b.WriteRune(r)
		if column += c; r == '\n' {
			column = margin
		}
	}
	return b.String()
}

// columns is the most that a terminal gives a character. Everything from the
// first wide characters on (Hangul Jamo) counts as wide: a line folded too early
// does no harm, one folded by the terminal may.
func columns(r rune) int {
	if r >= 0x1100 {
		return 2
	}
	return 1
}

// excerpt is the beginning of a text, on one line, for messages about it.
func excerpt(s string) string {
	const most = 40
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "…"
		}
	}
	return s
}
