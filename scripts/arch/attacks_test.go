package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAttacksAreShown: each sentence of docs/attacks.md that promises something names a test or an attack
// that shows it, and these exist.
func TestAttacksAreShown(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "attacks.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests, attacks := map[string]bool{}, map[string]bool{}
	test, attack := regexp.MustCompile(`(?m)^func (Test\w+)\(`), regexp.MustCompile(`name: +"(\w+)", about:`)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range test.FindAllStringSubmatch(string(text), -1) {
			tests[m[1]] = true
		}
		if strings.Contains(filepath.ToSlash(path), "scripts/attack/") {
			for _, m := range attack.FindAllStringSubmatch(string(text), -1) {
				attacks[m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range unshown(string(page), tests, attacks) {
		t.Error(problem)
	}
	for name := range attacks {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("the attack %s stands nowhere", name)
		}
	}
}

// TestUnshownIsFound checks that the check above can fail.
func TestUnshownIsFound(t *testing.T) {
	page := "- It does nothing.\n- It does that\n  (`TestThere`, attack `there`). It **can** do this.\n- It does (`TestGone`, attack `gone`).\n- It **can** do more.\n"
	got := strings.Join(unshown(page, map[string]bool{"TestThere": true}, map[string]bool{"there": true}), "\n")
	for _, want := range []string{"nothing shows: It does nothing.", "TestGone is no test", "gone is no attack"} {
		if !strings.Contains(got, want) {
			t.Errorf("nothing said: %s", want)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 3 {
		t.Errorf("%d problems found, not 3:\n%s", n, got)
	}
}

// unshown lists what is wrong with a page: its points are the items of its lists. What an attacker can
// do needs no test.
func unshown(page string, tests, attacks map[string]bool) (problems []string) {
	for _, point := range strings.Split("\n"+page, "\n- ")[1:] {
		point, _, _ = strings.Cut(point, "\n\n")
		point = strings.Join(strings.Fields(point), " ")
		named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(point, -1)
		played := regexp.MustCompile("attack `(\\w+)`").FindAllStringSubmatch(point, -1)
		if len(named)+len(played) == 0 && !strings.Contains(point, "**can**") {
			problems = append(problems, "nothing shows: "+point)
		}
		for _, m := range named {
			if !tests[m[1]] {
				problems = append(problems, m[1]+" is no test")
			}
		}
		for _, m := range played {
			if !attacks[m[1]] {
				problems = append(problems, m[1]+" is no attack")
			}
		}
	}
	return problems
}
