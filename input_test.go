package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"quicpeer/certs"
)

func TestParseTyped(t *testing.T) {
	for line, want := range map[string]typed{
		"":                {},
		"hello":           {say, "", "hello"},
		" hello ":         {say, "", " hello "},
		"\thello":         {say, "", "\thello"},
		"   ":             {},
		"\t\u00a0\u200b":  {},
		"//quit":          {say, "", "/quit"},
		"@@bob hi":        {say, "", "@bob hi"},
		"/":               {},
		"//":              {say, "", "/"},
		"@bob hello":      {say, "bob", "hello"},
		"@bob  hello ":    {say, "bob", " hello "},
		"@bob //x":        {say, "bob", "//x"}, // only the line's beginning is special
		"@bob @alice":     {say, "bob", "@alice"},
		"@bob\thello":     {say, "bob", "hello"},
		"@bob: hello":     {say, "bob", "hello"},
		"@bob, hello":     {say, "bob", "hello"},
		"@bob.: hello":    {say, "bob.", "hello"},
		"/msg bob: hello": {say, "bob", "hello"},
		"/msg  bob hi":    {say, "bob", "hi"},
		// What can't be seen before it changes nothing.
		" @bob secret":            {say, "bob", "secret"},
		"\t@bob secret":           {say, "bob", "secret"},
		"\u3000@bob secret":       {say, "bob", "secret"},
		"\ufeff@bob secret":       {say, "bob", "secret"},
		"\u200e\u2068@bob secret": {say, "bob", "secret"},
		" \t/msg bob secret":      {say, "bob", "secret"},
		"  /quit":                 {verb: quit},
		"  //quit":                {say, "", "  /quit"},
		"\t@@bob hi":              {say, "", "\t@bob hi"},
		"/msg bob hello you":      {say, "bob", "hello you"},
		"/msg bob /quit":          {say, "bob", "/quit"},
		"/join host:5000":         {joinPeer, "", "host:5000"},
		" /join\t[::1]:5000 ":     {joinPeer, "", "[::1]:5000"},
		"/peers":                  {verb: showPeers},
		"/table ":                 {verb: showTable},
		"/buffer":                 {verb: showBuffer},
		"/help":                   {verb: showHelp},
		"/cancel":                 {verb: withdraw},
		" /cancel\t @bob ":        {withdraw, "", "@bob"},
		"/quit":                   {verb: quit},
	} {
		got, err := parseTyped(line)
		if bad := line == "/"; bad != (err != nil) || got != want {
			t.Errorf("%q: %+v, %v, want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{
		"@", "@bob", "@bob ", "@ bob hi", "@b!b hi", "@:", "@: hi", "@bob:", "@bob:hi", "@b:b hi", "/msg", "/msg bob", "/msg bob ", "/msgbob hi",
		"/quit now", "/Quit", "/nonsense", "/ x", "@" + strings.Repeat("x", 65) + " hi", "/\x1b[2J",
	} {
		got, err := parseTyped(line)
		if got != (typed{}) || err == nil {
			t.Errorf("%q: %+v, %v", line, got, err)
		} else if strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%q: %q", line, err)
		}
	}
}

// A command that is near to one is asked for.
func TestDidYouMeanTheCommand(t *testing.T) {
	for line, want := range map[string]string{
		"/peer":     "(did you mean /peers?)",
		"/tabel":    "(did you mean /table?)",
		"/MSG bob ": "(did you mean /msg?)",
		"/xyzzy":    "there is no command /xyzzy; /help",
	} {
		if _, err := parseTyped(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// FuzzTypedLine: a text typed as the help says arrives as it was, and a line is
// a message, a command or an error, never two of them.
func FuzzTypedLine(f *testing.F) {
	f.Add("hello", "bob")
	f.Add("/quit", "al.ice")
	f.Add("@bob hi", "")
	f.Add(" \t/peers", "bob")
	f.Fuzz(func(t *testing.T, text, to string) {
		if c, err := parseTyped(text); err != nil && c != (typed{}) {
			t.Errorf("%q: %+v and %v", text, c, err)
		} else if c.verb != say && c.verb != withdraw && c.text+string(c.to) != "" {
			t.Errorf("%q: %+v", text, c)
		}
		begun := strings.TrimLeftFunc(text, isBlank)
		if begun == "" {
			return
		}
		line := text
		if begun[0] == '/' || begun[0] == '@' {
			line = text[:len(text)-len(begun)] + begun[:1] + begun
		}
		if c, err := parseTyped(line); err != nil || c != (typed{say, "", text}) {
			t.Errorf("to everyone: %q became %+v, %v", line, c, err)
		}
		id, bad := certs.ParseID(to)
		for _, line := range []string{"@" + to + " " + text, "/msg " + to + " " + text} {
			c, err := parseTyped(line)
			if bad == nil && (err != nil || c != (typed{say, id, text})) {
				t.Errorf("to %s: %q became %+v, %v", to, line, c, err)
			}
		}
	})
}

func TestLineReader(t *testing.T) {
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
				l := newLineReader(r)
				l.most = 10
				var got []string
				for {
					line, err := l.next()
					if errors.Is(err, io.EOF) {
						break
					}
					if errors.Is(err, errLongLine) {
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

// A line without end is skipped in bounded memory.
func TestLineReaderIsBounded(t *testing.T) {
	l := newLineReader(io.MultiReader(io.LimitReader(zeros{}, 64<<20), strings.NewReader("\nb\n")))
	line, err := l.next()
	if !errors.Is(err, errLongLine) || len(line) != maxLine {
		t.Fatalf("%d bytes, %v", len(line), err)
	}
	if cap(l.line) > 2*maxLine {
		t.Errorf("%d bytes are held", cap(l.line))
	}
	if line, err := l.next(); string(line) != "b" || err != nil {
		t.Errorf("then %q, %v", line, err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
