package arch

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fileName is a Go file that a text names, by itself or by its path from the root. What
// follows a slash or a dash belongs to another repository's path.
var fileName = regexp.MustCompile(`(?:^|[^\w/.-])((?:[a-z_]+/)*[a-z]\w*\.go)(?:[^\w.]|\.?$|\.[^\w])`)

// TestNamedFilesExist wants the files that comments and docs name to be there: a comment
// names one of its own folder, docs one of any; both may give the path.
func TestNamedFilesExist(t *testing.T) {
	exists, anywhere := map[string]bool{}, map[string]bool{}
	files := goFiles(t)
	for _, f := range files {
		exists[f.name], anywhere[path.Base(f.name)] = true, true
	}
	for _, f := range files {
		for _, group := range f.syntax.Comments {
			for _, m := range fileName.FindAllStringSubmatch(group.Text(), -1) {
				if !exists[m[1]] && !exists[path.Join(f.dir, m[1])] {
					t.Errorf("%s: a comment names %s, which is not there", f.set.Position(group.Pos()), m[1])
				}
			}
		}
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatal("no pages in docs", err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fileName.FindAllStringSubmatch(strings.ReplaceAll(string(text), "../", ""), -1) {
			if !exists[m[1]] && !anywhere[m[1]] {
				t.Errorf("docs/%s names %s, which is not there", filepath.Base(page), m[1])
			}
		}
	}
}

// thing is something in the code that docs name: `package.name`, or a field or method of it.
var thing = regexp.MustCompile("`([a-z]+)\\.([A-Za-z]\\w*)(?:\\.([A-Za-z]\\w*))?`")

// TestNamedThingsExist wants what docs name to be defined in the package that they say.
func TestNamedThingsExist(t *testing.T) {
	defined := map[string]map[string]bool{} // by package
	for name, info := range product(t) {
		defined[name] = map[string]bool{"": true}
		for id := range info.Defs {
			defined[name][id.Name] = true
		}
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range thing.FindAllStringSubmatch(string(text), -1) {
			names := defined[m[1]]
			if names == nil || m[2] == "go" || m[2] == "proto" {
				continue // a file, or another program's
			}
			found++
			if !names[m[2]] || !names[m[3]] {
				t.Errorf("docs/%s names %s, which is not there", filepath.Base(page), m[0])
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d things found in docs", found)
	}
}
