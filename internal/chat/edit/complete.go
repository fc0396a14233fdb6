package edit

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Words are what can be completed, the likeliest first.
type Words struct {
	Commands []string // with their slash
	Peers    []string
	Rooms    []string // with their #
	Home     string   // for paths that begin with ~/; empty: these are not completed
	// Paths are commands with words that are paths, from that word on; the command is word 0. A backslash keeps a blank
	// or a quote in them.
	Paths map[string]int
}

// maxCandidates is how many completions are offered, a guess.
const maxCandidates = 200

// Completion is a series of completions of one word: each Tab puts the next one in its place.
type Completion struct {
	List []string // what can stand there
	At   int      // which one stands there; -1: what they have in common

	from  int    // the cluster where the word begins
	typed string // the word as it was typed
}

// Complete completes the word before the cursor. It returns nil if there is nothing to complete it
// with, or only one way, which stands there then.
func (t *Text) Complete(w Words) *Completion {
	from, before, paths := t.at, 0, false
	if path, ok := w.Paths[t.firstWord()]; ok {
		from, before = lastWord(t.clusters[:t.at])
		paths = before >= path
	}
	if !paths {
		for from = t.at; from > 0 && !isSpace(t.clusters[from-1]); {
			from--
		}
	}
	word := strings.Join(t.clusters[from:t.at], "")
	var list []string
	if paths {
		list = w.paths(word, true)
	} else {
		list = w.candidates(word, strings.TrimSpace(strings.Join(t.clusters[:from], "")) == "")
	}
	c := &Completion{List: list, At: -1, from: from, typed: word}
	switch len(list) {
	case 0:
		return nil
	case 1:
		t.Replace(from, list[0])
		return nil
	}
	if common := commonPrefix(list); len(common) > len(word) {
		t.Replace(from, common)
	}
	return c
}

// firstWord is the first word of the text.
func (t *Text) firstWord() string {
	first, _, _ := strings.Cut(strings.TrimLeft(strings.Join(t.clusters[:t.at], ""), " \t"), " ")
	return first
}

// lastWord is where the last word begins, and how many are before it, if a backslash keeps blanks.
func lastWord(clusters []string) (from, before int) {
	in := false
	for i, c := range clusters {
		if !isSpace(c) || i > 0 && clusters[i-1] == `\` {
			if !in {
				from, in = i, true
			}
			continue
		}
		if in {
			before++
		}
		from, in = i+1, false
	}
	return from, before
}

// Next puts the next completion in the place of the word, with by -1 the one before.
func (c *Completion) Next(t *Text, by int) {
	n := len(c.List)
	if c.At < 0 && by < 0 {
		c.At = 0
	}
	c.At = (c.At + by + n) % n
	t.Replace(c.from, c.List[c.At])
}

// Undo puts back what was typed.
func (c *Completion) Undo(t *Text) { t.Replace(c.from, c.typed) }

// candidates are the completions of a word, which is the first of the line or not.
func (w Words) candidates(word string, first bool) []string {
	switch {
	case strings.HasPrefix(word, "/") && first && !strings.Contains(word[1:], "/"):
		return matching(w.Commands, word, "", " ")
	case strings.HasPrefix(word, "@"):
		return matching(w.Peers, word[1:], "@", " ")
	case strings.HasPrefix(word, "#"):
		return matching(w.Rooms, word, "", " ")
	case strings.HasPrefix(word, "~/"), strings.HasPrefix(word, "./"), strings.HasPrefix(word, "../"), strings.HasPrefix(word, "/"):
		return w.paths(word, false)
	case first && word != "":
		return matching(w.Peers, word, "", ": ")
	case word != "":
		return matching(w.Peers, word, "", " ")
	}
	return nil
}

func matching(words []string, prefix, before, after string) (list []string) {
	for _, word := range words {
		if len(word) >= len(prefix) && strings.EqualFold(word[:len(prefix)], prefix) && len(list) < maxCandidates {
			list = append(list, before+word+after)
		}
	}
	return list
}

// kept and keep take backslashes out of a word, and put them in.
var (
	kept = strings.NewReplacer(`\ `, " ", `\'`, "'", `\"`, `"`)
	keep = strings.NewReplacer(" ", `\ `, "'", `\'`, `"`, `\"`)
)

// paths completes the name of a file. A folder ends with a slash. Where a backslash can keep blanks, names may have
// some.
func (w Words) paths(word string, blanks bool) (list []string) {
	at, odd := word, " \n\t"
	if blanks {
		at, odd = kept.Replace(word), "\n\t\\"
	}
	if rest, ok := strings.CutPrefix(at, "~/"); ok {
		if w.Home == "" {
			return nil
		}
		at = w.Home + "/" + rest
	}
	dir, begun := filepath.Split(at)
	f, err := os.Open(filepath.Clean(dir)) // none is this one
	if err != nil {
		return nil
	}
	defer f.Close()
	entries, _ := f.ReadDir(10 * maxCandidates) // some of a very large folder
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, begun) || begun == "" && strings.HasPrefix(name, ".") || strings.ContainsAny(name, odd) || clean(name) != name {
			continue
		}
		end := " "
		if e.IsDir() {
			end = "/"
		}
		if blanks {
			name = keep.Replace(name)
		}
		list = append(list, word[:strings.LastIndex(word, "/")+1]+name+end)
	}
	slices.Sort(list)
	return list[:min(len(list), maxCandidates)]
}

func commonPrefix(list []string) string {
	common := Clusters(list[0])
	for _, s := range list[1:] {
		for !strings.HasPrefix(s, strings.Join(common, "")) {
			common = common[:len(common)-1]
		}
	}
	s := strings.Join(common, "")
	if strings.HasSuffix(s, `\ `) {
		return s
	}
	return strings.TrimSuffix(strings.TrimSuffix(s, " "), `\`)
}
