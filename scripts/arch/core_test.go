package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// impurePackages are the packages that a machine without I/O, clock, goroutines and locks does
// not need.
var impurePackages = []string{
	"context", "io", "io/fs", "log", "log/slog", "net", "net/http", "os", "os/signal", "runtime",
	"sync", "sync/atomic", "syscall", "time/tzdata", "unsafe", "crypto/rand",
}

// clock lists the functions and types of package time that read the clock. Durations and times
// as values are fine.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "Timer", "Ticker", "NewTimer", "NewTicker"}

// TestCoreIsPure checks what makes the machines reproducible: their outputs are a function of
// their inputs and of the generator that they were given. (The sealed bytes of
// overlay/messaging/delivery differ each time; no decision depends on them.)
func TestCoreIsPure(t *testing.T) {
	for dir := range may {
		if !within(dir, "overlay/core") && !within(dir, "overlay/messaging/delivery") {
			continue
		}
		for _, problem := range impurities(t, filepath.Join(root, dir)) {
			t.Error(problem)
		}
	}
}

// within reports whether a package is the one in dir, or below it.
func within(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

// TestImpuritiesAreFound checks that the check above can fail.
func TestImpuritiesAreFound(t *testing.T) {
	got := strings.Join(impurities(t, "testdata/impure"), "\n")
	for _, want := range []string{
		"imports sync", "time.Now", "time.Timer", "rand.IntN", "starts a goroutine", "ranges over a map",
		"ranges over maps.Keys", "has a channel", "selects",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("nothing said: %s", want)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 9 {
		t.Errorf("%d problems found, not 9:\n%s", n, got)
	}
}

// impurities lists the operations of the package in dir that a pure one must not have.
func impurities(t *testing.T, dir string) (problems []string) {
	t.Helper()
	set, files, info := typed(t, dir)
	report := func(n ast.Node, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s: %s", set.Position(n.Pos()), fmt.Sprintf(format, args...)))
	}
	for _, f := range files {
		for _, spec := range f.Imports {
			if p := strings.Trim(spec.Path.Value, `"`); slices.Contains(impurePackages, p) {
				report(spec, "imports %s", p)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				report(n, "starts a goroutine")
			case *ast.SelectStmt:
				report(n, "selects")
			case *ast.ChanType:
				report(n, "has a channel")
			case *ast.RangeStmt:
				if what := unordered(info, n.X); what != "" {
					report(n, "ranges over %s, whose order is another each time", what)
				}
			case *ast.Ident:
				if what := impure(info.Uses[n]); what != "" {
					report(n, "uses %s", what)
				}
			}
			return true
		})
	}
	return problems
}

// impure names an object that gives another answer each time.
func impure(o types.Object) string {
	if o == nil || o.Pkg() == nil || o.Parent() != o.Pkg().Scope() {
		return "" // not of the top level of a package
	}
	switch o.Pkg().Path() {
	case "time":
		if slices.Contains(clock, o.Name()) {
			return "time." + o.Name()
		}
	case "math/rand", "math/rand/v2":
		// Its functions, but for the constructors, draw from the global generator.
		if _, isFunc := o.(*types.Func); isFunc && !strings.HasPrefix(o.Name(), "New") {
			return "rand." + o.Name()
		}
	}
	return ""
}

// unordered names the operand of a range if it is a map or an iterator over one.
func unordered(info *types.Info, x ast.Expr) string {
	if t := info.TypeOf(x); t != nil {
		if _, isMap := t.Underlying().(*types.Map); isMap {
			return "a map"
		}
	}
	call, ok := ast.Unparen(x).(*ast.CallExpr)
	if !ok {
		return ""
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if o := info.Uses[f.Sel]; o != nil && o.Pkg() != nil && o.Pkg().Path() == "maps" {
		return "maps." + o.Name()
	}
	return ""
}

// exports are the files in which the compiler has recorded the exported names of the product's
// packages, and of those that they import.
var exports = sync.OnceValues(func() (map[string]string, error) {
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".", "./internal/...", "./overlay/...", "./transport/...")
	list.Dir = root
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.Bytes())
	}
	files := map[string]string{}
	for l := range strings.Lines(string(out)) {
		p, export, _ := strings.Cut(strings.TrimSpace(l), " ")
		files[p] = export
	}
	return files, nil
})

// typed parses and type-checks the files of a package that are built here, without its tests,
// using the compiler's output for its imports.
func typed(t *testing.T, dir string) (*token.FileSet, []*ast.File, *types.Info) {
	t.Helper()
	compiled, err := exports()
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	built, err := build.ImportDir(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range built.GoFiles {
		f, err := parser.ParseFile(set, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(set, "gc", func(p string) (io.ReadCloser, error) {
		return os.Open(compiled[p])
	})}
	if _, err := config.Check(dir, set, files, info); err != nil {
		t.Fatal(err)
	}
	return set, files, info
}
