package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"quicpeer/certs"
)

// maxLine is the longest line of input that is obeyed: a body of 1 MiB as JSON,
// all escaped, is 6 MiB.
const maxLine = 8 << 20

// errLongLine comes with the beginning of a line longer than maxLine, which has
// been skipped.
var errLongLine = errors.New("the line is longer than 8 MiB")

// lineReader reads lines without their LF or CRLF. The last one needs none.
type lineReader struct {
	r    *bufio.Reader
	most int
	line []byte
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
	text string
}

type verb int

const (
	nothing verb = iota
	say
	showPeers
	showTable
	showBuffer
	showNet
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
// stand for themselves when doubled; the text of a message is taken as it is.
func parseTyped(line string) (typed, error) {
	switch {
	case line == "":
		return typed{}, nil
	case strings.HasPrefix(line, "//"), strings.HasPrefix(line, "@@"):
		return typed{verb: say, text: line[1:]}, nil
	case line[0] == '@':
		return parseDirect(line[1:], "@ID text")
	case line[0] != '/':
		return typed{verb: say, text: line}, nil
	}
	command, rest, spaced := strings.Cut(line, " ")
	if command == "/msg" {
		return parseDirect(rest, "/msg ID text")
	}
	verb, ok := verbs[command]
	switch {
	case !ok:
		return typed{}, badLine("there is no command " + oneLine(excerpt(command)) + "; /help lists them, and a text that begins with / is typed with //")
	case spaced && strings.TrimSpace(rest) != "":
		return typed{}, badLine(command + " stands alone on its line")
	}
	return typed{verb: verb}, nil
}

func parseDirect(s, form string) (typed, error) {
	to, text, _ := strings.Cut(s, " ")
	if to == "" || text == "" {
		return typed{}, badLine("a message to one peer is typed as " + form)
	}
	id, err := certs.ParseID(to)
	if err != nil {
		return typed{}, badLine(oneLine(excerpt(to)) + " is no ID: " + oneLine(err.Error()))
	}
	return typed{verb: say, to: id, text: text}, nil
}
