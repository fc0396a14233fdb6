package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for script, want := range map[string]string{
		"start a\nexpct a ready":                                      "f:2: there is no verb expct (did you mean expect?)",
		"strat a":                                                     "f:1: there is no verb strat (did you mean start?)",
		"start a\n\n# b\n\t[!windows] ! lgo a x":                      "f:4: there is no verb lgo (did you mean log?)",
		"dance":                                                       "f:1: there is no verb dance",
		"start a\nexpect a mesage":                                    "f:2: there is no event mesage (did you mean message?)",
		"start a\nnext a peer_join id=b":                              "f:2: there is no event peer_join (did you mean peer_joined?)",
		"start a\nnever a mesage for 1s":                              "f:2: there is no event mesage (did you mean message?)",
		"start a\ncount a deliverd 2":                                 "f:2: there is no event deliverd (did you mean delivered?)",
		"start a\nexpect a message form=b within 5s":                  "f:2: message has no field form (did you mean from?)",
		"start a\nexpect a message from=b boddy~'a b'":                "f:2: message has no field boddy (did you mean body?)",
		"start a\nnever a peer_left reson=lost for 1s":                "f:2: peer_left has no field reson (did you mean reason?)",
		"start a\ncount a message colour=red 0":                       "f:2: message has no field colour",
		"start a\nexpect a message witin 5s":                          `f:2: "witin" is neither field=value nor field~regexp (did you mean within?)`,
		"start alice\nexpect alcie ready":                             "f:2: no line starts a peer alcie (did you mean alice?)",
		"start a\nexpct a ready\nexpect a redy":                       "f:2: there is no verb expct (did you mean expect?)|f:3: there is no event redy (did you mean ready?)",
		"start -text a\nexpect a mesage\nstart a\nexpect a mesage":    "f:4: there is no event mesage (did you mean message?)",
		"start a\nexpect a ready time~. event=ready id=a key~x$":      "",
		"start a\nexpect a $what x=y\nexpect a message $what":         "",
		"start a\nexpect $name mesage\nexpect $name message":          "f:2: there is no event mesage (did you mean message?)",
		"start a\nsend a b 'it''s #1' # expct\ncount a sent ref=r1 1": "",
		"netns a b\nlink b down\nheal\nexec true\ncp a b\nport x":     "",
		"start a\ninvite a bob\nstart b -join @bbo":                   "f:3: no line invites bbo (did you mean bob?)",
		"start a\ninvite a bob\nstart b --join=@bbo":                  "f:3: no line invites bbo (did you mean bob?)",
		"start b -join @bob\ninvite b bob\nstart b -j":                "",
		"start b -join @$who -id @x":                                  "",
		"start a\ninvit a bob":                                        "f:2: there is no verb invit (did you mean invite?)",
		"start a\ninvite b bob":                                       "f:2: no line starts a peer b",
		"start a\ntype a 'no end":                                     "", // testscript's affair
		"":                                                            "",
	} {
		if got := strings.Join(check("f", script, events), "|"); got != want {
			t.Errorf("%s\n got %s\nwant %s", script, got, want)
		}
	}
	// Peers whose events are not known.
	if got := check("f", "start a\nexpect a x y=z", nil); got != nil {
		t.Errorf("got %q", got)
	}
}

// A scenario with a misspelt word is not played, and the user's own file is named.
func TestMisspelt(t *testing.T) {
	name := filepath.Join(t.TempDir(), "mine.txtar")
	if err := os.WriteFile(name, []byte("start a\nexpect a raedy\n-- data --\nexpct\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	if status := run([]string{"-program", "/nonexistent", name}, os.Stdout, &stderr); status != 1 || stderr.String() != name+":2: there is no event raedy (did you mean ready?)\n" {
		t.Errorf("status %d: %s", status, stderr.String())
	}
}

// The events are those of the program, field by field: those that jsonl writes, with the
// fields of its own structs and of overlay's.
func TestEventsAreThoseOfTheProgram(t *testing.T) {
	writer := sourceOf(t, "../../internal/jsonl/*.go")
	bodies := map[string]string{} // of the structs
	for _, m := range regexp.MustCompile(`(?ms)^(?:type|\t)[ \t]*(\w+) struct \{\n(.*?)\n\t?\}`).
		FindAllStringSubmatch(sourceOf(t, "../../internal/lines/*.go")+sourceOf(t, "../../overlay/*.go")+sourceOf(t, "../../overlay/messaging/*.go")+sourceOf(t, "../../overlay/files/event.go")+writer, -1) {
		bodies[m[1]] = m[2]
	}
	var fields func(name string) []string
	fields = func(name string) (all []string) {
		for _, m := range regexp.MustCompile("(?m)^\t+(?:overlay|lines)\\.(\\w+)$|`json:\"([a-z_0-9]+)(?:,omitzero)?\"`").FindAllStringSubmatch(bodies[name], -1) {
			if m[1] != "" {
				all = append(all, fields(m[1])...)
			} else {
				all = append(all, m[2])
			}
		}
		return all
	}
	written := map[string]string{} // by event, the name of its struct
	for _, m := range regexp.MustCompile(`case (?:overlay|files)\.(\w+):\s+return write\(j, "(\w+)", e\)`).FindAllStringSubmatch(writer, -1) {
		written[m[2]] = m[1]
	}
	for _, m := range regexp.MustCompile(`write\(j, "(\w+)", (\w+)\{`).FindAllStringSubmatch(writer, -1) {
		written[m[1]] = m[2]
	}
	for _, m := range regexp.MustCompile(`encode\("(\w+)",`).FindAllStringSubmatch(writer, -1) {
		written[m[1]] = m[1]
	}
	for event, name := range written {
		if got := fields(name); !slices.Equal(events[event], got) {
			t.Errorf("%s has the fields %q, here are %q", event, got, events[event])
		}
	}
	calls := map[string]bool{} // also of events whose fields have not been found
	for _, m := range regexp.MustCompile(`(?:write\(j, |encode\()"(\w+)"`).FindAllStringSubmatch(writer, -1) {
		calls[m[1]] = true
	}
	if len(written) != len(events) || len(calls) != len(events) {
		t.Errorf("the program writes %d events, of which %d are known, here are %d", len(calls), len(written), len(events))
	}
}

// sourceOf is the text of files that are not tests.
func sourceOf(t *testing.T, pattern string) (text string) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	return text
}
