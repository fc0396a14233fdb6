package chat

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escape makes a text from another peer safe to show. Visible characters stay as they
// are, even those newer than Go's Unicode tables; a tab becomes blanks. Anything that moves
// the cursor, changes the writing direction or is invisible (control and format characters,
// line separators, bytes that are not UTF-8) becomes a Go escape such as \x1b or \u202e,
// unless a script or an emoji needs it in that place. Line ends stay; [OneLine] escapes
// them too.
func escape(s string) string { return escapeBut(s, '\n') }

// OneLine is escape for a text that must stay on one line.
func OneLine(s string) string { return escapeBut(s, utf8.RuneError) }

func escapeBut(s string, keep rune) string {
	clean := strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsGraphic(r) }) < 0
	if clean {
		return s
	}
	var b strings.Builder
	const none = '\n'
	before := none // the preceding character, if it was not escaped
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		tags := 0
		if isSymbol(before) {
			tags = tagsOf(s[i:])
		}
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
			before = none
		case tags > 0: // before is still the symbol
			b.WriteString(s[i : i+tags])
			size = tags
		case r == keep || isWritten(r) || joins(before, r):
			b.WriteRune(r)
			before = r
		default:
			b.WriteString(escaped(r))
			before = none
		}
		i += size
	}
	return b.String()
}

func escaped(r rune) string {
	switch {
	case r == '\t':
		return "    "
	case r == '\r':
		return `\r`
	case r == '\n':
		return `\n`
	case r < 0x100: // the C0 and C1 control characters, and the soft hyphen
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// isWritten reports whether a character is visible and has no other effect: what Go
// calls graphic, the signs that span Arabic numbers, private use characters, and code
// points unassigned when Go's tables were made, unless they are reserved to be invisible.
func isWritten(r rune) bool {
	if unicode.IsGraphic(r) || unicode.In(r, unicode.Prepended_Concatenation_Mark, unicode.Co) {
		return true
	}
	return unicode.Is(unicode.Cn, r) && !unicode.In(r, unicode.Noncharacter_Code_Point, unicode.Other_Default_Ignorable_Code_Point)
}

// joins reports whether the invisible character r is legitimate after the character
// before: a joiner or non-joiner in a script or an emoji (hieroglyphs have joiners of their
// own), or a word boundary in a script that is written without blanks.
func joins(before, r rune) bool {
	switch {
	case r == '\u200c', r == zeroWidthJoiner, r == '\u180e', r >= 0x13430 && r <= 0x1343f:
		return unicode.In(before, unicode.L, unicode.M, unicode.N, unicode.S) || isWritten(before) && !unicode.IsGraphic(before)
	case r == '\u200b':
		return unicode.In(before, unicode.Khmer, unicode.Lao, unicode.Myanmar, unicode.Thai)
	}
	return false
}

const zeroWidthJoiner = '\u200d'

// isSymbol reports whether tags may follow r: an emoji, a skin tone, or the selector
// that asks for emoji presentation.
func isSymbol(r rune) bool { return unicode.Is(unicode.So, r) || isTone(r) || r == '\ufe0f' }

func isTone(r rune) bool { return r >= 0x1f3fb && r <= 0x1f3ff }

func isTag(r rune) bool { return r >= 0xe0020 && r <= lastTag }

const lastTag = 0xe007f

// tagsOf returns the length of the tag sequence at the beginning of s, as in the flag of
// Scotland. It ends with a tag of its own (Unicode TS 51). More than maxTags are not a flag
// but a hidden text.
func tagsOf(s string) int {
	const maxTags = 16 // those in use have 6; a guess
	n := 0
	for i, r := range s {
		switch n++; {
		case !isTag(r) || n > maxTags:
			return 0
		case r == lastTag && n > 1:
			return i + utf8.RuneLen(r)
		}
	}
	return 0
}

// indent prepares a text from another peer to follow a prefix: it is escaped, and every
// line but the first is indented by margin, so that none can look like a line of ours.
// If width is not 0, long lines are folded, since a terminal would continue them at its
// left edge.
func indent(s string, margin string, first, width int) string {
	s = escape(strings.ReplaceAll(s, "\r\n", "\n"))
	if width > 0 {
		s = fold(s, first, len(margin), width)
	}
	return strings.ReplaceAll(s, "\n", "\n"+margin)
}

// fold breaks lines at the terminal's width, of which first columns are used up on the
// first line and margin columns on the others. It keeps a cluster of characters together
// if it fits on a line at all.
func fold(s string, first, margin, width int) string {
	if margin+2 > width {
		return s
	}
	var b strings.Builder
	column := first
	for len(s) > 0 {
		size, c := cluster(s, width-margin)
		if s[0] != '\n' && column+c > width {
			b.WriteByte('\n')
			column = margin
		}
		b.WriteString(s[:size])
		if column += c; s[0] == '\n' {
			column = margin
		}
		s = s[size:]
	}
	return b.String()
}

// cluster returns the size, in bytes and in columns, of the first character of s with
// its marks and whatever is joined to it, or of as much of that as fits into the width.
func cluster(s string, width int) (size, wide int) {
	r, size := utf8.DecodeRuneInString(s)
	wide = columns(r)
	for size < len(s) && r != '\n' {
		next, n := utf8.DecodeRuneInString(s[size:])
		belongs := r == zeroWidthJoiner || next == zeroWidthJoiner || unicode.Is(unicode.M, next) || isTone(next) || isTag(next)
		if !belongs || next == '\n' || wide+columns(next) > width {
			break
		}
		r, size, wide = next, size+n, wide+columns(next)
	}
	return size, wide
}

// columns returns the most columns that a terminal may use for a character. Everything
// from the first wide characters (Hangul Jamo) on counts as wide: folding a line too early
// is harmless, letting the terminal fold it may not be.
func columns(r rune) int {
	if r >= 0x1100 {
		return 2
	}
	return 1
}

// Clip is the beginning of a line of text, in at most so many columns.
func Clip(s string, width int) string {
	used := 0
	for i := 0; i < len(s); {
		size, wide := cluster(s[i:], width)
		if used += wide; used > width-1 && i+size < len(s) || used > width {
			return s[:i] + "…"
		}
		i += size
	}
	return s
}
