package chat

import (
	"slices"
	"strings"
	"testing"

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
		// Invisible characters before it make no difference.
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
		"/qr":                     {verb: showQR},
		"/invite bob":             {invite, "bob", ""},
		" /invite  @bob\tadmin ":  {invite, "bob", "admin"},
		"/uninvite bob":           {uninvite, "bob", ""},
		"/remove bob":             {remove, "bob", ""},
		"/remove bob all":         {remove, "bob", "all"},
	} {
		got, err := parseTyped(line)
		if bad := line == "/"; bad != (err != nil) || got != want {
			t.Errorf("%q: %+v, %v, want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{
		"@", "@bob", "@bob ", "@ bob hi", "@b!b hi", "@:", "@: hi", "@bob:", "@bob:hi", "@b:b hi", "/msg", "/msg bob", "/msg bob ", "/msgbob hi",
		"/invite", "/invite b!b", "/invite bob all", "/invite bob admin x", "/invite @", "/invite bob,", "/uninvite", "/uninvite bob admin",
		"/remove", "/remove bob admin", "/remove bob all all", "/remove \x1b", "/qr bob", "/invitebob",
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

// A mistyped command gets a "did you mean".
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

// FuzzTypedLine checks that a text typed as the help says arrives unchanged, and that a
// line is exactly one of a message, a command and an error.
func FuzzTypedLine(f *testing.F) {
	f.Add("hello", "bob")
	f.Add("/quit", "al.ice")
	f.Add("@bob hi", "")
	f.Add(" \t/peers", "bob")
	f.Add("/invite bob admin", "bob")
	f.Add("/join a:1", "bob")
	f.Fuzz(func(t *testing.T, text, to string) {
		if c, err := parseTyped(text); err != nil && c != (typed{}) {
			t.Errorf("%q: %+v and %v", text, c, err)
		} else if !slices.Contains([]verb{say, withdraw, joinPeer, invite, uninvite, remove}, c.verb) && c.text+string(c.to) != "" {
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
