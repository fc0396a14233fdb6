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
