package lines

import (
	"bytes"
	"unicode/utf8"
)

// Excerpt is the beginning of a text, on one line, for messages about it.
func Excerpt(s string) string {
	const most = 40
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "…"
		}
	}
	return s
}

// maxQuote is how many bytes of a line are kept to be quoted.
const maxQuote = 200

// Beginning is the first 200 bytes of a line, less a character that is cut in two;
// what isn't UTF-8 becomes U+FFFD.
func Beginning(line []byte) string {
	b := cut(line, maxQuote)
	return string(cut(bytes.ToValidUTF8(b, []byte("\uFFFD")), maxQuote))
}

// cut returns at most n bytes of b, and no character in part.
func cut(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	end := n
	for end > n-utf8.UTFMax && !utf8.RuneStart(b[end]) {
		end--
	}
	if !utf8.RuneStart(b[end]) {
		end = n // no UTF-8 anyway
	}
	return b[:end]
}
