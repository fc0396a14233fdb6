package tui

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"quicpeer/internal/chat"
)

// keyName is a key in the code, by bubbletea's names.
var keyName = regexp.MustCompile(`"((?:(?:ctrl|alt|shift)\+)+[^"]+|f[0-9]+|enter|tab|esc|home|end|up|down|left|right|pgup|pgdown|backspace|delete)"`)

// shownKey is a key as people write it: Ctrl-A, PgUp.
func shownKey(name string) string {
	i := strings.LastIndex(name[:len(name)-1], "+") + 1
	modifiers, key := strings.ReplaceAll(name[:i], "+", "-"), name[i:]
	var b strings.Builder
	for _, part := range append(strings.SplitAfter(modifiers, "-"), key) {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return strings.NewReplacer("Pgup", "PgUp", "Pgdown", "PgDown").Replace(b.String())
}

// docs/chat.md has every key and every command of the code.
func TestPageHasKeysAndCommands(t *testing.T) {
	text, err := os.ReadFile("../../../docs/chat.md")
	if err != nil {
		t.Fatal(err)
	}
	_, keys, _ := strings.Cut(string(text), "\n## Keys\n")
	keys, commands, ok := strings.Cut(keys, "\n## Commands\n")
	commands, _, _ = strings.Cut(commands, "\n## ")
	if !ok {
		t.Fatal("docs/chat.md has no Keys and Commands")
	}
	found := 0
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../edit/keys.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range keyName.FindAllStringSubmatch(string(code), -1) {
			found++
			if key := shownKey(m[1]); !regexp.MustCompile(`(?m)(^\| |, |; )` + regexp.QuoteMeta(key) + `($|[,;. ])`).MatchString(keys) {
				t.Errorf("%s knows the key %s, and the table of keys in docs/chat.md does not have %s", file, m[1], key)
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d keys found in the code", found)
	}
	for _, command := range chat.Commands() {
		if !regexp.MustCompile("`" + command + "[` ]").MatchString(commands) {
			t.Errorf("docs/chat.md does not have the command %s", command)
		}
	}
}
