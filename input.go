package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	"quicpeer/certs"
	"quicpeer/internal/nearest"
)

// maxLine is the longest line of input that is obeyed: a body of 1 MiB as JSON,
// all escaped, is 6 MiB.
const maxLine = 8 << 20

// errLongLine comes with the beginning of a line longer than maxLine, which has
// been skipped.
var errLongLine = errors.New("the line is longer than 8 MiB, and was skipped")

// byteOrderMark is what some programs (PowerShell 5.1) put before the text that they
// write into a pipe. One at the beginning of the input is skipped.
var byteOrderMark = []byte("\xef\xbb\xbf")

// lineReader reads lines without their LF or CRLF. The last one needs none.
type lineReader struct {
	r     *bufio.Reader
	most  int
	begun bool // the first bytes have been read
	line  []byte
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 64<<10), most: maxLine}
}

// next returns the next line, which is valid until the call after. After an
// errLongLine there may be more lines; after any other error there are none.
func (l *lineReader) next() ([]byte, error) {
	if cap(l.line) > 1<<20 {
		l.line = nil // one long line isn't to cost its memory for ever
	}
	l.line = l.line[:0]
	long := false
	for {
		part, err := l.r.ReadSlice('\n')
		if !l.begun {
			part, l.begun = bytes.TrimPrefix(part, byteOrderMark), true
		}
		if room := l.most + 2 - len(l.line); len(part) > room { // 2 for CRLF
			part, long = part[:room], true
		}
		l.line = append(l.line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && len(l.line) == 0:
			return nil, err
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err // half a line is no command
		}
		break
	}
	line := bytes.TrimSuffix(l.line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if long || len(line) > l.most {
		return line[:min(len(line), l.most)], errLongLine
	}
	return line, nil
}

// typed is what a line asks for.
type typed struct {
	verb verb
	to   certs.ID // of a say to one peer; empty: to everyone
	text string   // or the address of a join, or what to cancel
}

type verb int

const (
	nothing verb = iota
	say
	joinPeer
	showPeers
	showTable
	showBuffer
	showNet
	withdraw
	showHelp
	quit
)

var verbs = map[string]verb{
	"/peers":  showPeers,
	"/table":  showTable,
	"/buffer": showBuffer,
	"/net":    showNet,
	"/help":   showHelp,
	"/quit":   quit,
}

// badLine is a line that means nothing; its text tells the user so.
type badLine string

func (e badLine) Error() string { return string(e) }

// parseTyped reads a typed line. Only at its beginning are / and @ special, and
// stand for themselves when doubled. Blanks before them change nothing: nobody is
// to tell all what was meant for one, because of a blank that can't be seen. The
// text of a message is taken as it is.
func parseTyped(line string) (typed, error) {
	begun := strings.TrimLeftFunc(line, isBlank)
	switch blanks := line[:len(line)-len(begun)]; {
	case begun == "":
		return typed{}, nil
	case strings.HasPrefix(begun, "//"), strings.HasPrefix(begun, "@@"):
		return typed{verb: say, text: blanks + begun[1:]}, nil
	case begun[0] == '@':
		return parseDirect(begun[1:], "@ID text")
	case begun[0] != '/':
		return typed{verb: say, text: line}, nil
	}
	command, rest := cutBlank(begun)
	switch command {
	case "/msg":
		return parseDirect(strings.TrimLeftFunc(rest, isBlank), "/msg ID text")
	case "/join":
		address := strings.TrimFunc(rest, isBlank)
		if address == "" || strings.ContainsFunc(address, unicode.IsSpace) {
			return typed{}, badLine("a peer to join is typed as /join HOST:PORT")
		}
		return typed{verb: joinPeer, text: address}, nil
	case "/cancel":
		return typed{verb: withdraw, text: strings.TrimFunc(rest, isBlank)}, nil
	}
	verb, ok := verbs[command]
	switch {
	case !ok:
		return typed{}, badLine("there is no command " + oneLine(excerpt(command)) + didYouMean(command, append(slices.Sorted(maps.Keys(verbs)), "/msg", "/join", "/cancel")) +
			"; /help lists them, and a text that begins with / is typed with //")
	case strings.TrimLeftFunc(rest, isBlank) != "":
		return typed{}, badLine(command + " stands alone on its line")
	}
	return typed{verb: verb}, nil
}

// parseDirect reads what stands behind the @ or /msg of a message to one peer. The
// ID may end in a colon or a comma, which none has, as in "@bob: hello".
func parseDirect(s, form string) (typed, error) {
	to, text := cutBlank(s)
	to = strings.TrimRight(to, ":,")
	if to == "" || text == "" {
		return typed{}, badLine("a message to one peer is typed as " + form)
	}
	id, err := certs.ParseID(to)
	if err != nil {
		return typed{}, badLine(oneLine(excerpt(to)) + " is not a valid ID: " + oneLine(err.Error()))
	}
	return typed{verb: say, to: id, text: text}, nil
}

// isBlank is true of what nobody sees at the beginning of a line: blanks of all
// kinds and invisible characters, such as the marks of direction that come along
// with copied text.
func isBlank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// cutBlank cuts s around its first blank or tab.
func cutBlank(s string) (before, after string) {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// didYouMean asks, in brackets, for the word that may have been meant; it is empty if
// none is near.
func didYouMean(word string, words []string) string {
	if near := nearest.To(word, words); near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}
