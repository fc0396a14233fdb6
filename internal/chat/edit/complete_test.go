package edit

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func words(t testing.TB) Words {
	home := t.TempDir()
	for _, name := range []string{"notes.txt", "nothing.md", ".hidden", "with blank.txt", "im\tport", "Bilder/x.png", "Bilder/y.png", "你好.txt"} {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Words{Commands: []string{"/help", "/history", "/quit"}, Peers: []string{"dave", "bob", "bobby", "Carol"}, Rooms: []string{"#dev", "#devel", "#ops"}, Home: home}
}

func TestComplete(t *testing.T) {
	w := words(t)
	for _, c := range []struct {
		text, want string   // | is the cursor
		list       []string // that is offered; nil: there is one way, or none
	}{
		{"/q|", "/quit |", nil}, {"/h|", "/h|", []string{"/help ", "/history "}}, {"  /q|", "  /quit |", nil}, {"hello /q|", "hello /q|", nil}, {"/zzz|", "/zzz|", nil}, {"/QU|", "/quit |", nil},
		{"@d|", "@dave |", nil}, {"@b|", "@bob|", []string{"@bob ", "@bobby "}}, {"@|", "@|", []string{"@dave ", "@bob ", "@bobby ", "@Carol "}}, {"see @c| x", "see @Carol | x", nil},
		{"d|", "dave: |", nil}, {"hello d|", "hello dave |", nil}, {"bo|", "bob|", []string{"bob: ", "bobby: "}}, {"|", "|", nil}, {"hello |", "hello |", nil}, {"CAR|", "Carol: |", nil},
		{"/msg d|", "/msg dave |", nil}, {"#o|", "#ops |", nil}, {"/join #d|", "/join #dev|", []string{"#dev ", "#devel "}}, {"one\nd|", "one\ndave |", nil},
		{"~/no|", "~/not|", []string{"~/notes.txt ", "~/nothing.md "}}, {"/send dave ~/note|", "/send dave ~/notes.txt |", nil}, {"~/B|", "~/Bilder/|", nil},
		{"~/Bilder/|", "~/Bilder/|", []string{"~/Bilder/x.png ", "~/Bilder/y.png "}}, {"~/.|", "~/.hidden |", nil}, {"~/..|", "~/..|", nil}, {"~/with|", "~/with|", nil}, {"~/im|", "~/im|", nil}, {"~/你|", "~/你好.txt |", nil}, {"~/none/x|", "~/none/x|", nil},
		{"x " + w.Home + "/note|", "x " + w.Home + "/notes.txt |", nil}, {"~/Bilder/../note|", "~/Bilder/../notes.txt |", nil},
	} {
		text := parse(c.text)
		done := text.Complete(w)
		var list []string
		if done != nil {
			list = done.List
		}
		if shown(text) != c.want || !slices.Equal(list, c.list) {
			t.Errorf("%q: %q, %q; not %q, %q", c.text, shown(text), list, c.want, c.list)
		}
		check(t, text)
		if done != nil {
			done.Undo(text)
			if shown(text) != c.text {
				t.Errorf("taken back: %q, not %q", shown(text), c.text)
			}
		}
	}
	w.Paths = map[string]int{"/send": 2, "/get": 2}
	t.Chdir(w.Home)
	for _, c := range []struct {
		text, want string
		list       []string
	}{
		{"/send d|", "/send dave |", nil}, {"/send dave note|", "/send dave notes.txt |", nil}, {"  /send dave a b Bil|", "  /send dave a b Bilder/|", nil},
		{"/send dave Bilder/|", "/send dave Bilder/|", []string{"Bilder/x.png ", "Bilder/y.png "}}, {"/send dave wi|", `/send dave with\ blank.txt |`, nil},
		{`/send dave with\ b|`, `/send dave with\ blank.txt |`, nil}, {"/get 3 Bil|", "/get 3 Bilder/|", nil}, {"/get B|", "/get bob|", []string{"bob ", "bobby "}},
		{"/send dave ~/note|", "/send dave ~/notes.txt |", nil}, {`/send dave x\ y |`, `/send dave x\ y |`, []string{"Bilder/", "notes.txt ", "nothing.md ", `with\ blank.txt `, "你好.txt "}}, {`/send da\ x|`, `/send da\ x|`, nil},
		{"/msg dave note|", "/msg dave note|", nil}, {"/send dave zzz|", "/send dave zzz|", nil},
	} {
		text := parse(c.text)
		done := text.Complete(w)
		var list []string
		if done != nil {
			list = done.List
		}
		slices.Sort(c.list)
		if shown(text) != c.want || !slices.Equal(list, c.list) {
			t.Errorf("%q: %q, %q; not %q, %q", c.text, shown(text), list, c.want, c.list)
		}
	}
	w.Home = ""
	if text := parse("~/no|"); text.Complete(w) != nil || shown(text) != "~/no|" {
		t.Errorf("without a home: %q", shown(text))
	}
}

func TestNextCompletion(t *testing.T) {
	text := parse("hi bo|!")
	c := text.Complete(Words{Peers: []string{"bobby", "bob", "boris"}})
	var got []string
	for _, by := range []int{1, 1, 1, 1, -1, -1} {
		c.Next(text, by)
		got = append(got, shown(text))
	}
	if want := []string{"hi bobby |!", "hi bob |!", "hi boris |!", "hi bobby |!", "hi boris |!", "hi bob |!"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	c.Undo(text)
	if shown(text) != "hi bo|!" {
		t.Errorf("taken back: %q", shown(text))
	}
	c = text.Complete(Words{Peers: []string{"bobby", "bob", "boris"}})
	if c.Next(text, -1); shown(text) != "hi boris |!" {
		t.Errorf("backwards: %q", shown(text))
	}
}

func TestManyCompletions(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 * maxCandidates {
		if err := os.WriteFile(filepath.Join(dir, strings.Repeat("x", i%100+1)+string(rune('a'+i/100))), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c := parse("~/x|").Complete(Words{Home: dir}); len(c.List) != maxCandidates {
		t.Errorf("%d are offered", len(c.List))
	}
	if c := parse("@|").Complete(Words{Peers: slices.Repeat([]string{"a", "b"}, maxCandidates)}); len(c.List) != maxCandidates {
		t.Errorf("%d are offered", len(c.List))
	}
}

// Whatever stands in the line and in the lists, a completion can be taken back.
func FuzzComplete(f *testing.F) {
	f.Add("/send ", "~/.", "x", "bob", 1)
	f.Add("", "@ab", " y", "ábc", -1)
	f.Add("e", "../", "\u0301", "#🇩", 2)
	w := words(f)
	w.Paths = map[string]int{"/send": 2}
	f.Fuzz(func(t *testing.T, before, word, after, name string, by int) {
		w := w
		w.Peers = append(slices.Clip(w.Peers), clean(name), clean(name)+"x")
		w.Rooms = append(slices.Clip(w.Rooms), "#"+clean(name), "#"+clean(name)+"x")
		text := &Text{}
		text.Insert(before + word)
		at := text.at
		text.Insert(after)
		text.at = min(at, len(text.clusters))
		c := text.Complete(w)
		check(t, text)
		if c == nil {
			return
		}
		for i := range 3 {
			c.Next(text, []int{1, -1}[(by+i)&1])
			check(t, text)
			if c.At < 0 || c.At >= len(c.List) {
				t.Fatalf("%d of %d", c.At, len(c.List))
			}
		}
		c.Undo(text)
		check(t, text)
	})
}
