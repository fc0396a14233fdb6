package lines

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 10)
	for name, test := range map[string]struct{ in, want string }{
		"nothing":               {"", ""},
		"lines":                 {"a\nb\r\n\nc\n", "a|b||c"},
		"no newline at the end": {"a\nb", "a|b"},
		"a return inside":       {"a\rb\n", "a\rb"},
		"two returns":           {"a\r\r\n", "a\r"},
		"just fits":             {long + "\n" + long + "\r\n" + long, long + "|" + long + "|" + long},
		"too long":              {long + "y\nb\n", "!" + long + "|b"},
		"far too long":          {strings.Repeat("y", 200<<10) + "\nb", "!" + strings.Repeat("y", 10) + "|b"},
		"too long at the end":   {"a\n" + long + "y", "a|!" + long},
		"a BOM":                 {"\ufeffa\nb", "a|b"},
		"a BOM, and it fits":    {"\ufeff" + long + "\nb", long + "|b"},
		"a BOM alone":           {"\ufeff", ""},
		"a BOM and a line end":  {"\ufeff\r\nb", "|b"},
		"two BOMs":              {"\ufeff\ufeffa", "\ufeffa"},
		"a BOM later":           {"a\n\ufeffb", "a|\ufeffb"},
		"half a BOM":            {"\xef\xbba", "\xef\xbba"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(test.in), iotest.OneByteReader(strings.NewReader(test.in))} {
				l := NewReader(r)
				l.most = 10
				var got []string
				for {
					line, err := l.Next()
					if errors.Is(err, io.EOF) {
						break
					}
					if errors.Is(err, ErrLong) {
						line = append([]byte("!"), line...)
					} else if err != nil {
						t.Fatal(err)
					}
					got = append(got, string(line))
				}
				if s := strings.Join(got, "|"); s != test.want {
					t.Errorf("got %.50q, want %.50q", s, test.want)
				}
			}
		})
	}
}

// An endless line is skipped in bounded memory.
func TestReaderIsBounded(t *testing.T) {
	l := NewReader(io.MultiReader(io.LimitReader(zeros{}, 64<<20), strings.NewReader("\nb\n")))
	line, err := l.Next()
	if !errors.Is(err, ErrLong) || len(line) != MaxLine {
		t.Fatalf("%d bytes, %v", len(line), err)
	}
	if cap(l.line) > 2*MaxLine {
		t.Errorf("%d bytes are held", cap(l.line))
	}
	if line, err := l.Next(); string(line) != "b" || err != nil {
		t.Errorf("then %q, %v", line, err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
