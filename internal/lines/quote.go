package lines

import (
	"bytes"
	"unicode/utf8"

	"quicpeer/certs"
)

// Excerpt returns the beginning of a text, for messages about it.
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

// maxQuote is how many bytes of a line are kept for quoting.
const maxQuote = 200

// Beginning returns the first 200 bytes of a line, without tickets and a character that
// would be cut in two; invalid UTF-8 becomes U+FFFD.
func Beginning(line []byte) string {
	b := []byte(certs.HideTickets(string(cut(line, maxQuote))))
	return string(cut(bytes.ToValidUTF8(b, []byte("\uFFFD")), maxQuote))
}

// cut returns at most n bytes of b, and only whole characters.
func cut(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	end := n
	for end > n-utf8.UTFMax && !utf8.RuneStart(b[end]) {
		end--
	}
	if !utf8.RuneStart(b[end]) {
		end = n // not UTF-8 anyway
	}
	return b[:end]
}
