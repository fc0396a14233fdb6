package chat

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// fileVerbs are those of commands about files.
var fileVerbs = map[string]verb{"/send": sendFiles, "/get": getFiles, "/accept": getFiles, "/files": showFiles, "/drop": dropFiles}

// PathCommands are the commands that are followed by paths, and from which word on.
var PathCommands = map[string]int{"/send": 2, "/get": 2, "/accept": 2}

// filing is what a front end does about files.
type filing struct {
	voice
	Home  string   // the user's home directory, for paths that begin with ~/; may be empty
	self  certs.ID // since Ready
	offer held     // owned by the goroutine that shows events
}

// aboutFiles executes the commands about files, except for offering them and asking for their names.
func (t *filing) aboutFiles(n lines.Node, c typed) (m lines.Message, err error) {
	words, err := splitWords(c.text)
	if err != nil {
		return m, err
	}
	switch c.verb {
	case sendFiles:
		return t.send(words)
	case showFiles:
		if len(words) == 0 {
			return m, t.listFiles(n.Files().Transfers())
		}
		m.Names, err = fileNumber(words, 1, "/files, or /files N for all names of one")
		return m, err
	case dropFiles:
		file, err := fileNumber(words, 1, "/drop N; /files lists them")
		if err != nil {
			return m, err
		}
		if _, err := n.Files().Cancel(file); err != nil { // the end is an event
			return m, lines.Deny(err)
		}
		return m, nil
	}
	file, err := fileNumber(words, 2, "/get N, or /get N DIRECTORY; /files lists them")
	if err != nil {
		return m, err
	}
	dir := ""
	if len(words) == 2 {
		dir = t.path(words[1])
	}
	got, err := n.Files().Accept(file, dir, "")
	if err != nil {
		return m, lines.Deny(err)
	}
	return m, t.say("*", fmt.Sprintf("%s comes into %s", t.titleOf(got), OneLine(got.Dir)))
}

// send is the message of /send.
func (t *filing) send(words []string) (m lines.Message, err error) {
	if len(words) < 2 {
		return m, lines.Bad("it is /send ID FILE..., or a #room or * instead of the ID; a name with blanks stands in quotes")
	}
	to := certs.ID(strings.TrimPrefix(words[0], "@"))
	if err := lines.CheckReceiver(to); err != nil {
		return m, lines.Bad(OneLine(lines.Excerpt(words[0])) + " is neither an ID nor a #room nor *: " + OneLine(err.Error()))
	}
	m.Offer.To = to
	for _, word := range words[1:] {
		m.Offer.Source.Paths = append(m.Offer.Source.Paths, t.path(word))
	}
	m.Ref = "the offer of " + lines.Excerpt(strings.Join(m.Offer.Source.Paths, ", "))
	if len(words) == 2 {
		m.Ref = "the offer of " + lines.Excerpt(filepath.Base(words[1]))
	}
	return m, nil
}

// path is a path that was typed: ~/ is the home directory.
func (t *filing) path(word string) string {
	if rest, ok := strings.CutPrefix(word, "~/"); ok && t.Home != "" {
		return filepath.Join(t.Home, rest)
	}
	return word
}

// fileNumber is the first of the words behind a command, which has that form and at most so many.
func fileNumber(words []string, most int, form string) (int, error) {
	if len(words) >= 1 && len(words) <= most {
		if file, err := strconv.Atoi(words[0]); err == nil && file > 0 {
			return file, nil
		}
	}
	return 0, lines.Bad("it is " + form)
}

// splitWords splits what was typed into words at blanks. A part in quotes is taken as it is; elsewhere a backslash
// keeps a blank or a quote, and is itself otherwise, as the paths of Windows have it.
func splitWords(s string) (words []string, err error) {
	var word strings.Builder
	inWord, quote, kept := false, rune(0), false
	for i, r := range s {
		switch next := s[i+len(string(r)):]; {
		case kept:
			word.WriteRune(r)
			kept = false
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == '\\' && next != "" && strings.ContainsRune(" \t'\"", rune(next[0])):
			kept, inWord = true, true
		case strings.ContainsRune(" \t\r\n", r):
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, lines.Bad("a quote is not closed")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// maxListedNames is how many names of a transfer a chat shows, a guess: more would push everything else away.
const maxListedNames = 1000

// listFiles answers /files.
func (t *filing) listFiles(list []files.Transfer) error {
	if len(list) == 0 {
		return t.say("*", "no files are offered; /send ID FILE offers one")
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", f.File, whose(f, OneLine), OneLine(lines.Excerpt(f.Name)), amount(f.Files, f.Size), standing(f))
	}
	w.Flush()
	return t.block(count(len(list), "transfer")+":", strings.TrimSuffix(b.String(), "\n"))
}

// Named reports all names of a transfer.
func (t *filing) Named(_ lines.Message, f files.Transfer) error {
	var rows []string
	if f.Note != "" {
		rows = append(rows, "note: "+OneLine(f.Note))
	}
	for i, name := range f.Names {
		if i == maxListedNames && !t.look.Bare {
			rows = append(rows, fmt.Sprintf("and %d more: quicpeer file list %d", len(f.Names)-i, f.File))
			break
		}
		rows = append(rows, OneLine(name))
	}
	return t.block(fmt.Sprintf("%s, %s, %s:", t.titleOf(f), amount(f.Files, f.Size), standing(f)), strings.Join(rows, "\n"))
}

// titleOf is the number, the name and the other side of a transfer.
func (t *filing) titleOf(f files.Transfer) string {
	return fmt.Sprintf("%d %s %s", f.File, OneLine(lines.Excerpt(f.Name)), whose(f, func(s string) string { return t.name(certs.ID(s)) }))
}

// whose says from or for whom a transfer is.
func whose(f files.Transfer, name func(string) string) string {
	switch {
	case !f.Ours:
		return "from " + name(string(f.From))
	case f.To == overlay.Everyone:
		return "to everyone"
	}
	return "to " + name(string(f.To))
}

// standing says how a transfer stands.
func standing(f files.Transfer) string {
	s := string(f.State)
	switch f.State {
	case files.StateActive:
		s = pace(f.Bytes, f.Size, f.Rate, f.Left)
	case files.StateDone:
		if !f.Ours && len(f.Paths) > 0 {
			s = "is at " + OneLine(strings.Join(f.Paths, ", "))
		}
	case files.StateWaiting, files.StateFailed:
		if f.Error != "" {
			s += " (" + OneLine(f.Error) + ")"
		}
	}
	if len(f.Receivers) > 1 {
		done := 0
		for _, r := range f.Receivers {
			if r.State == files.StateDone {
				done++
			}
		}
		s += fmt.Sprintf("; %d of %d have it", done, len(f.Receivers))
	}
	return s
}

// pace says how far a transfer is, and how fast it goes.
func pace(bytes, of, rate int64, left time.Duration) string {
	s := Percent(bytes, of)
	if rate > 0 {
		s += ", " + Size(rate) + "/s"
	}
	if left > 0 {
		s += ", " + Left(left) + " left"
	}
	return s
}

// Percent is a part of a whole, rounded down: all of it is 100 % only then.
func Percent(bytes, of int64) string {
	if of <= 0 {
		return "100 %"
	}
	return fmt.Sprintf("%d %%", int(float64(min(bytes, of))/float64(of)*100))
}

// Size is a number of bytes for people: 2.3 MB.
func Size(n int64) string {
	if n < 1000 {
		return count(int(n), "byte")
	}
	value, unit := float64(n), 0
	for ; value >= 999.95 && unit < len(units)-1; unit++ {
		value /= 1000
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

var units = []string{"B", "kB", "MB", "GB", "TB", "PB"}

// Left is a time to wait, such as 0:34 or 2:05:00.
func Left(d time.Duration) string {
	s := int(d.Round(time.Second) / time.Second)
	switch {
	case s >= 48*3600:
		return fmt.Sprintf("%d days", s/(24*3600))
	case s >= 3600:
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// amount says how much a transfer is.
func amount(n int, size int64) string {
	if n == 1 {
		return Size(size)
	}
	return fmt.Sprintf("%d files, %s", n, Size(size))
}
