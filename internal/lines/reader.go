package lines

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// MaxLine is the longest line that is accepted: a body of 1 MiB, with every byte
// escaped in JSON, is 6 MiB.
const MaxLine = 8 << 20

// ErrLong is returned with the beginning of a line longer than MaxLine, the rest of
// which has been skipped.
var ErrLong = errors.New("the line is longer than 8 MiB, and was skipped")

// byteOrderMark is skipped at the beginning of the input: some programs (PowerShell
// 5.1) write one into a pipe.
var byteOrderMark = []byte("\xef\xbb\xbf")

// Reader returns lines without their LF or CRLF. The last line needs neither.
type Reader struct {
	r     *bufio.Reader
	most  int
	begun bool // the first bytes have been read
	line  []byte
}

// NewReader returns a reader of the lines in r.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10), most: MaxLine}
}

// Next returns the next line, valid until the following call. After [ErrLong] there
// may be more lines; after any other error there are none.
func (l *Reader) Next() ([]byte, error) {
	if cap(l.line) > 1<<20 {
		l.line = nil // do not keep the memory of one long line forever
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
			return nil, err // half a line is not a command
		}
		break
	}
	line := bytes.TrimSuffix(l.line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if long || len(line) > l.most {
		return line[:min(len(line), l.most)], ErrLong
	}
	return line, nil
}
