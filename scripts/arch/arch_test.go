// Package arch checks that the code keeps to the architecture of docs/house.md: who may
// import whom, and a few habits that a reader relies on; and that the limits in docs are
// those of the code. It has tests only.
package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "quicpeer"

// may lists the packages of this module that each package may import. Packages below scripts
// may import all.
var may = map[string][]string{
	".":                              {"internal/cli"},
	"internal/cli":                   {"internal/chat", "internal/chat/edit", "internal/chat/tui", "internal/control", "internal/doctor", "internal/hooks", "internal/jsonl", "internal/lines", "internal/metrics", "internal/service", "internal/terminal", "internal/nearest", "overlay", "overlay/files", "transport", "certs", "pb"},
	"internal/control":               {"internal/chat", "internal/chat/edit", "internal/chat/tui", "internal/jsonl", "internal/lines", "internal/service", "internal/terminal", "overlay", "overlay/files", "certs"},
	"internal/service":               {"internal/jsonl", "internal/lines", "overlay", "overlay/files", "certs", "pb"},
	"internal/chat":                  {"internal/lines", "internal/nearest", "overlay", "overlay/files", "certs"},
	"internal/chat/edit":             {"certs", "pb"},
	"internal/chat/tui":              {"internal/chat", "internal/chat/edit", "internal/lines", "internal/terminal", "overlay", "overlay/files", "certs"},
	"internal/jsonl":                 {"internal/lines", "internal/nearest", "overlay", "overlay/files", "certs"},
	"internal/lines":                 {"internal/terminal", "overlay", "overlay/files", "certs", "pb"},
	"internal/lines/linestest":       {"internal/lines", "overlay", "overlay/files", "certs", "pb"},
	"internal/metrics":               {"overlay", "overlay/files"},
	"internal/terminal":              {},
	"internal/hooks":                 {"overlay", "certs"},
	"internal/doctor":                {"overlay", "transport", "transport/portmap", "certs"},
	"internal/nearest":               {},
	"internal/properties":            {},
	"internal/emulator":              {},
	"internal/emulator/emulatortest": {"internal/emulator"},

	"overlay":                    {"overlay/terse", "overlay/core", "overlay/core/base", "overlay/core/past", "overlay/replay", "overlay/messaging", "overlay/messaging/delivery", "overlay/messaging/store", "transport", "transport/discovery", "transport/portmap", "certs", "pb"},
	"overlay/terse":              {},
	"overlay/files":              {"overlay", "overlay/terse", "overlay/files/manifest", "overlay/files/place", "overlay/files/journal", "overlay/messaging/store", "transport", "certs", "pb"},
	"overlay/core":               {"overlay/core/base", "overlay/core/table", "overlay/core/link", "overlay/core/route", "overlay/core/gossip", "overlay/core/reach", "overlay/core/custody", "overlay/core/past", "overlay/core/broadcast", "overlay/core/detect", "overlay/core/hearsay", "overlay/core/reconcile", "overlay/core/join", "overlay/core/neighbours", "certs", "pb"},
	"overlay/core/base":          {"certs", "pb"},
	"overlay/core/table":         {"overlay/core/base", "certs", "pb"},
	"overlay/core/link":          {"overlay/core/base", "overlay/core/table", "certs", "pb"},
	"overlay/core/route":         {"overlay/core/base", "overlay/core/table", "overlay/core/link", "certs", "pb"},
	"overlay/core/gossip":        {"overlay/core/base", "overlay/core/table", "overlay/core/link", "overlay/core/route", "certs", "pb"},
	"overlay/core/reach":         {"overlay/core/base", "overlay/core/table", "overlay/core/link", "overlay/core/route", "certs", "pb"},
	"overlay/core/custody":       {"overlay/core/base", "overlay/core/table", "overlay/core/link", "overlay/core/route", "certs", "pb"},
	"overlay/core/past":          {"overlay/core/base", "overlay/core/table", "overlay/core/link", "certs", "pb"},
	"overlay/core/broadcast":     {"overlay/core/base", "overlay/core/table", "overlay/core/link", "overlay/core/past", "certs", "pb"},
	"overlay/core/detect":        {"overlay/core/base", "overlay/core/table", "overlay/core/link", "overlay/core/route", "overlay/core/reach", "certs", "pb"},
	"overlay/core/hearsay":       {"overlay/core/base", "overlay/core/table", "overlay/core/link", "overlay/core/route", "overlay/core/detect", "certs", "pb"},
	"overlay/core/reconcile":     {"overlay/core/base", "overlay/core/table", "overlay/core/link", "overlay/core/gossip", "overlay/core/hearsay", "certs", "pb"},
	"overlay/core/join":          {"overlay/core/base", "overlay/core/table", "overlay/core/link", "overlay/core/reach", "overlay/core/reconcile", "certs", "pb"},
	"overlay/core/neighbours":    {"overlay/core/base", "overlay/core/table", "overlay/core/link", "overlay/core/route", "overlay/core/gossip", "overlay/core/reach", "overlay/core/broadcast", "overlay/core/reconcile", "certs", "pb"},
	"overlay/coretest":           {"overlay/core", "overlay/core/base", "overlay/core/custody", "certs", "pb"},
	"overlay/replay":             {"overlay/core", "overlay/core/base"},
	"overlay/replay/file":        {"overlay/core", "overlay/replay", "pb"},
	"overlay/messaging":          {"overlay/messaging/delivery", "overlay/messaging/store", "transport", "certs", "pb", "internal/nearest"},
	"overlay/messaging/delivery": {"certs", "pb"},
	"overlay/messaging/store":    {"overlay/messaging/delivery", "certs", "pb"},
	"overlay/files/manifest":     {},
	"overlay/files/place":        {"overlay/files/manifest"},
	"overlay/files/journal":      {"overlay/messaging/store"},
	"transport":                  {"certs", "pb"},
	"transport/simtest":          {"transport", "certs", "pb"},
	"transport/discovery":        {"transport", "certs"},
	"transport/portmap":          {"transport"},
	"certs":                      {"pb"},
	"pb":                         {},
}

// quicUsers are the packages that may import quic-go, besides tests.
var quicUsers = []string{"transport", "transport/simtest", "scripts/bench/messages", "scripts/bench/carried", "scripts/bench/files"}

// screenUsers are the packages that may import charm.land's and charmbracelet's, besides tests: what
// the screen is made of stays in them.
var screenUsers = []string{"internal/chat/tui", "internal/emulator", "internal/emulator/emulatortest"}

// Limits of the length of a file: a longer one holds two ideas. Tests have more room, as their
// cases are read one by one.
const (
	maxLines     = 700
	maxTestLines = 800
)

// file is a Go file of the repository.
type file struct {
	name    string // relative to the root, with slashes
	dir     string // of its package
	text    []byte
	set     *token.FileSet
	syntax  *ast.File
	test    bool
	imports []string
}

// root is the repository's, seen from this package.
const root = "../.."

func goFiles(t *testing.T) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		base := path.Base(rel)
		if d.IsDir() && rel != "." && (strings.HasPrefix(base, ".") || base == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(base, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f := file{name: rel, dir: path.Dir(rel), text: text, set: token.NewFileSet(), test: strings.HasSuffix(rel, "_test.go")}
		if f.syntax, err = parser.ParseFile(f.set, rel, text, parser.ParseComments); err != nil {
			return err
		}
		for _, spec := range f.syntax.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, p)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d Go files found", len(files))
	}
	return files
}

func TestImportsGoDown(t *testing.T) {
	for _, f := range goFiles(t) {
		allowed, known := may[f.dir]
		if !known && !strings.HasPrefix(f.dir, "scripts/") {
			t.Errorf("%s: package %s has no place in the architecture; give it one in this test", f.name, f.dir)
		}
		for _, p := range f.imports {
			if strings.HasPrefix(p, "github.com/quic-go/quic-go") && !f.test && !slices.Contains(quicUsers, f.dir) {
				t.Errorf("%s imports quic-go, which only %s may know", f.name, strings.Join(quicUsers, ", "))
			}
			if isScreen := strings.HasPrefix(p, "charm.land/") || strings.HasPrefix(p, "github.com/charmbracelet/"); isScreen && !f.test && !slices.Contains(screenUsers, f.dir) {
				t.Errorf("%s imports %s, which only %s may know", f.name, p, strings.Join(screenUsers, ", "))
			}
			if strings.HasPrefix(p, module+"/internal/emulator") && !f.test && !strings.HasPrefix(f.dir, "internal/emulator") && !strings.HasPrefix(f.dir, "scripts/") {
				t.Errorf("%s imports the emulator, which is for tests and scripts", f.name)
			}
			own, ok := strings.CutPrefix(p, module+"/")
			if !ok || f.test || !known || slices.Contains(allowed, own) {
				continue
			}
			t.Errorf("%s imports %s; it may import %s", f.name, own, strings.Join(allowed, ", "))
		}
	}
}

// TestPackageComments checks that each package is explained in exactly one place.
func TestPackageComments(t *testing.T) {
	comments := map[string][]string{}
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.syntax.Name.Name, "_test") {
			continue
		}
		comments[f.dir] = append(comments[f.dir], nil...)
		if f.syntax.Doc != nil {
			comments[f.dir] = append(comments[f.dir], f.name)
		}
	}
	for dir, in := range comments {
		if len(in) != 1 {
			t.Errorf("package in %s has %d package comments %v, not one", dir, len(in), in)
		}
	}
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestFilesAreShort(t *testing.T) {
	for _, f := range goFiles(t) {
		most := maxLines
		if f.test {
			most = maxTestLines
		}
		if n := bytes.Count(f.text, []byte("\n")); n > most && !generated.Match(f.text) {
			t.Errorf("%s has %d lines, more than %d: it holds two ideas", f.name, n, most)
		}
	}
}

var (
	// unfinished is written in two parts so that this file doesn't match.
	unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	leftOut    = regexp.MustCompile(`(?m)^//(go:build|\s*\+build)\s.*\bignore\b`)
)

func TestNothingIsUnfinished(t *testing.T) {
	for _, f := range goFiles(t) {
		if m := unfinished.Find(f.text); m != nil {
			t.Errorf("%s has a %s; finish it or say in docs what is not done", f.name, m)
		}
		if leftOut.Match(f.text) {
			t.Errorf("%s is built by nobody", f.name)
		}
	}
}

// TestTestsDontSleep checks that tests don't sleep but wait for a condition. In a bubble of
// synctest a sleep takes no time: a file may sleep that makes bubbles, or calls a function of
// its package that does.
func TestTestsDontSleep(t *testing.T) {
	files := goFiles(t)
	makers := map[string]bool{} // directory and name of such functions
	for _, f := range files {
		if !f.test || !makesBubbles(f) {
			continue
		}
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				makers[f.dir+" "+fn.Name.Name] = true
			}
		}
	}
	for _, f := range files {
		if !f.test {
			continue
		}
		bubbles := makesBubbles(f)
		var sleeps []token.Pos
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch fn := call.Fun.(type) {
			case *ast.Ident:
				bubbles = bubbles || makers[f.dir+" "+fn.Name]
			case *ast.SelectorExpr:
				if x, ok := fn.X.(*ast.Ident); ok && x.Name == "time" && fn.Sel.Name == "Sleep" {
					sleeps = append(sleeps, fn.Pos())
				}
			}
			return true
		})
		for _, at := range sleeps {
			if !bubbles {
				t.Errorf("%s sleeps", f.set.Position(at))
			}
		}
	}
}

func makesBubbles(f file) bool {
	return slices.Contains(f.imports, "testing/synctest") || slices.Contains(f.imports, module+"/transport/simtest")
}
