package chat

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escape makes a text of somebody else fit to be shown. All that is written is shown
// as it is, also what is newer than Go's tables of Unicode, and a tab as blanks. What
// moves the cursor, changes the direction of writing or can't be seen (control and
// format characters, line separators, bytes that are not UTF-8) is shown as a Go escape
// such as \x1b or \u202e, unless a script or an emoji needs it where it stands. Line
// ends stay; [OneLine] escapes them too.
func escape(s string) string { return escapeBut(s, '\n') }

// OneLine is escape for what has to stay on its line.
func OneLine(s string) string { return escapeBut(s, utf8.RuneError) }

func escapeBut(s string, keep rune) string {
	clean := strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsGraphic(r) }) < 0
	if clean {
		return s
	}
	var b strings.Builder
	const none = '\n'
	before := none // the character before, if it is shown as it is
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
		case tags > 0: // before stays the symbol
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

// isWritten is true of what leaves a mark on the paper and nothing else: what Go
// takes for graphic, the signs that span Arabic numbers, what is for private use, and
// what nobody had assigned when Go's tables were made, unless that is never to be seen.
func isWritten(r rune) bool {
	if unicode.IsGraphic(r) || unicode.In(r, unicode.Prepended_Concatenation_Mark, unicode.Co) {
		return true
	}
	return unicode.Is(unicode.Cn, r) && !unicode.In(r, unicode.Noncharacter_Code_Point, unicode.Other_Default_Ignorable_Code_Point)
}

// joins says whether r, which can't be seen, has to stand behind before: a joiner or
// non-joiner of a script or an emoji (and hieroglyphs have joiners of their own), or
// the end of a word where words are written without blanks between them.
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

// isSymbol is true of what may carry tags: an emoji, its tone of skin, or the sign
// that it is to be shown as one.
func isSymbol(r rune) bool { return unicode.Is(unicode.So, r) || isTone(r) || r == '\ufe0f' }

func isTone(r rune) bool { return r >= 0x1f3fb && r <= 0x1f3ff }

func isTag(r rune) bool { return r >= 0xe0020 && r <= lastTag }

const lastTag = 0xe007f

// tagsOf is the length of the tags at the beginning of s, which make the flags of
// Scotland and the like. They end with one of their own (Unicode TS 51); more than
// maxTags are no flag, but a text that nobody sees.
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
// the first line and margin columns on the others. What belongs together is not torn
// apart, if it fits on a line at all.
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

// cluster is the first character of s with its marks and with what is joined to it,
// or as much of that as fits into the width; as bytes and as columns.
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

// columns is the most that a terminal gives a character. Everything from the
// first wide characters on (Hangul Jamo) counts as wide: a line folded too early
// does no harm, one folded by the terminal may.
func columns(r rune) int {
	if r >= 0x1100 {
		return 2
	}
	return 1
}
