package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"quicpeer/internal/nearest"
)

// A misspelt word is to be named at once, and not by an expectation that waits for
// what never comes: a scenario is held against what there is before it is played.

// checker reads a scenario.
type checker struct {
	events map[string][]string // nil: any event goes
	verbs  []string
	peers  []string        // the names that are started somewhere, or have a host
	guests []string        // the IDs that are invited somewhere
	typed  map[string]bool // those whose last start was one with typed lines
}

// check returns what is misspelt in a scenario, as FILE:LINE: what.
func check(file, script string, events map[string][]string) (problems []string) {
	c := &checker{events: events, typed: map[string]bool{}}
	c.verbs = append(slices.Sorted(maps.Keys(verbs())), scriptVerbs...)
	lines := strings.Split(script, "\n")
	for _, line := range lines {
		c.learn(commandOf(line))
	}
	for i, line := range lines {
		if err := c.line(commandOf(line)); err != nil {
			problems = append(problems, fmt.Sprintf("%s:%d: %v", file, i+1, err))
		}
	}
	return problems
}

// learn notes the peers that a line names for the first time.
func (c *checker) learn(words []string) {
	if len(words) < 2 {
		return
	}
	switch names := words[1:]; words[0] {
	case "start":
		if names[0] == "-text" {
			names = names[1:]
		}
		c.peers = append(c.peers, names[:min(1, len(names))]...)
	case "netns", "cut":
		c.peers = append(c.peers, names...)
	case "invite":
		c.guests = append(c.guests, names[min(1, len(names)-1)])
	}
}

// line checks a line, but not the number of its words, which is checked when it is played.
func (c *checker) line(words []string) error {
	if len(words) == 0 {
		return nil
	}
	verb, args := words[0], words[1:]
	if !slices.Contains(c.verbs, verb) {
		return fmt.Errorf("there is no verb %s%s", verb, didYouMean(verb, c.verbs))
	}
	if verb == "start" && len(args) > 0 {
		name, typed := args[0], false
		if name == "-text" && len(args) > 1 {
			name, typed = args[1], true
		}
		c.typed[name] = typed
		return c.tickets(args)
	}
	if len(args) == 0 || slices.Contains(noPeer, verb) || slices.Contains(scriptVerbs, verb) {
		return nil
	}
	name := args[0]
	if !slices.Contains(c.peers, name) && isFixed(name) {
		return fmt.Errorf("no line starts a peer %s%s", name, didYouMean(name, c.peers))
	}
	if ending, ok := patternVerbs[verb]; ok && len(args) > 1 && !c.typed[name] && c.events != nil {
		return c.pattern(args[1:], ending)
	}
	return nil
}

// tickets checks the tickets by which a peer is to join.
func (c *checker) tickets(words []string) error {
	for i, word := range words {
		name, value, inline := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if !strings.HasPrefix(word, "-") || aliases[name] != "join" {
			continue
		}
		if !inline && i+1 < len(words) {
			value = words[i+1]
		}
		if id, ok := strings.CutPrefix(value, "@"); ok && isFixed(id) && !slices.Contains(c.guests, id) {
			return fmt.Errorf("no line invites %s%s", id, didYouMean(id, c.guests))
		}
	}
	return nil
}

// noPeer are the verbs whose first word need not be a peer that some line starts.
var noPeer = []string{"run", "start", "netns", "cut", "heal", "port", "fill", "say"}

// patternVerbs are those that look for an event, with the word that ends it.
var patternVerbs = map[string]string{"expect": "within", "next": "within", "never": "for", "count": ""}

// pattern checks an event and its fields, behind which are a word and a duration, or a
// number alone.
func (c *checker) pattern(words []string, ending string) error {
	event, fields := words[0], words[1:]
	switch n := len(fields); {
	case ending == "":
		fields = fields[:max(0, n-1)]
	case n >= 2 && fields[n-2] == ending:
		fields = fields[:n-2]
	}
	known, ok := c.events[event]
	if !ok {
		if !isFixed(event) {
			return nil
		}
		return fmt.Errorf("there is no event %s%s", event, didYouMean(event, slices.Sorted(maps.Keys(c.events))))
	}
	known = append([]string{"event", "time"}, known...)
	for _, word := range fields {
		end := strings.IndexAny(word, "=~")
		switch {
		case !isFixed(word[:max(0, end)]):
		case end < 0 && isFixed(word):
			return fmt.Errorf("%q is neither field=value nor field~regexp%s", word, didYouMean(word, []string{ending}))
		case end >= 0 && !slices.Contains(known, word[:end]):
			return fmt.Errorf("%s has no field %s%s", event, word[:end], didYouMean(word[:end], known))
		}
	}
	return nil
}

// isFixed says that a word is what it is: it holds no variable.
func isFixed(word string) bool { return !strings.Contains(word, "$") }

func didYouMean(word string, words []string) string {
	if near := nearest.To(word, words); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return ""
}

var (
	quotedPart = regexp.MustCompile(`'(?:[^']|'')*'`)
	scriptWord = regexp.MustCompile(`#.*|(?:` + quotedPart.String() + `|[^' \t\r#])+|'`)
)

// commandOf splits a line as testscript does, variables aside, and takes conditions and
// the ! off its beginning. It returns nothing for a line of which testscript will complain.
func commandOf(line string) []string {
	var words []string
	for _, word := range scriptWord.FindAllString(line, -1) {
		if word == "'" {
			return nil // without an end
		}
		if word[0] == '#' {
			break
		}
		words = append(words, quotedPart.ReplaceAllStringFunc(word, func(part string) string {
			return strings.ReplaceAll(part[1:len(part)-1], "''", "'")
		}))
	}
	for len(words) > 0 && (words[0] == "!" || strings.HasPrefix(words[0], "[") && strings.HasSuffix(words[0], "]")) {
		words = words[1:]
	}
	return words
}
