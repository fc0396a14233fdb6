package core_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// program is the compiled tests of a package with all mutations in them.
type program struct {
	dir, file string
	tests     []string
}

// has reports whether a package has a test of a pattern, whose subtests may be named
// behind a slash.
func (p *program) has(tests string) bool {
	top := regexp.MustCompile(beginsWith(regexp.MustCompile(`/[^|]*`).ReplaceAllString(tests, "")))
	return slices.ContainsFunc(p.tests, top.MatchString)
}

// beginsWith is a pattern of all that begins with one of some alternatives.
func beginsWith(tests string) string { return "^" + strings.ReplaceAll(tests, "|", "|^") }

// run runs the tests of a pattern with one mutation, or none.
func (p *program) run(mutation, tests string) ([]byte, error) {
	c := exec.Command(p.file, "-test.short", "-test.failfast", "-test.timeout=5m", "-test.run="+beginsWith(tests))
	c.Dir, c.Env = p.dir, append(os.Environ(), "QUICPEER_MUTATION="+mutation)
	return c.CombinedOutput()
}

// buildMutants compiles the tests of this package and of those below it with all
// mutations in them, laid over the files by the go command.
func buildMutants(t *testing.T) []*program {
	t.Helper()
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip(err)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := make(map[string]string)
	lay := func(file string, text []byte) {
		replace[file] = filepath.Join(dir, fmt.Sprint(len(replace), ".go"))
		if err := os.WriteFile(replace[file], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sources, tested := parse(t, here)
	for _, m := range mutations {
		if err := apply(m, sources); err != nil {
			t.Errorf("%s: %v: adjust the mutation", m.name, err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	chosen := make(map[string]bool) // the folders in which the environment is asked
	for _, s := range sources {
		if len(s.insertions) == 0 {
			continue
		}
		lay(s.name, s.mutated())
		if in := filepath.Dir(s.name); !chosen[in] {
			chosen[in] = true
			lay(filepath.Join(in, "mutated.go"), fmt.Appendf(nil,
				"package %s\n\nimport \"os\"\n\nvar chosen = os.Getenv(\"QUICPEER_MUTATION\")\n\nfunc mutated(name string) bool { return chosen == name }\n",
				s.file.Name))
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	var programs []*program
	for _, in := range tested {
		p := &program{dir: in, file: filepath.Join(dir, fmt.Sprint(len(programs), ".exe"))}
		build := exec.Command(goCommand, "test", "-c", "-vet=off", "-overlay", overlay, "-o", p.file, ".")
		build.Dir = in
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("the mutations do not compile: %v\n%s", err, out)
		}
		show := exec.Command(p.file, "-test.list=.")
		show.Dir = in
		out, err := show.Output()
		if err != nil {
			t.Fatal(err)
		}
		p.tests = strings.Fields(string(out))
		programs = append(programs, p)
	}
	return programs
}

// source is a file of the core, with the insertions of the mutations. They delete nothing, so one
// may lie within another.
type source struct {
	name       string
	text       []byte
	set        *token.FileSet
	file       *ast.File
	insertions []insertion
}

// insertion is the two halves of the text written around a part of a file.
type insertion struct {
	from, to      int
	before, after string
}

// parse reads the Go files of a folder and of those below it. It names the folders
// that have tests, too.
func parse(t *testing.T, root string) (sources []*source, tested []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		case strings.HasSuffix(name, "_test.go"):
			if in := filepath.Dir(name); !slices.Contains(tested, in) {
				tested = append(tested, in)
			}
			return nil
		}
		s := &source{name: name, set: token.NewFileSet()}
		if s.text, err = os.ReadFile(name); err != nil {
			return err
		}
		s.file, err = parser.ParseFile(s.set, name, s.text, parser.SkipObjectResolution)
		sources = append(sources, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources, tested
}

func (s *source) offset(at token.Pos) int { return s.set.Position(at).Offset }

func (s *source) textOf(n ast.Node) string {
	return string(s.text[s.offset(n.Pos()):s.offset(n.End())])
}

// mutated is the file with all insertions. Where several begin, the longest is the outermost; of
// the same part the last is.
func (s *source) mutated() []byte {
	type half struct {
		at, length int
		text       string
	}
	var halves []half
	for _, i := range slices.Backward(s.insertions) {
		halves = append(halves, half{i.from, i.to - i.from, i.before})
	}
	for _, i := range s.insertions {
		halves = append(halves, half{i.to, i.from - i.to, i.after})
	}
	slices.SortStableFunc(halves, func(a, b half) int {
		switch {
		case a.at != b.at:
			return cmp.Compare(a.at, b.at)
		case (a.length < 0) != (b.length < 0): // what ends here is before what begins
			return cmp.Compare(a.length, b.length)
		}
		return cmp.Compare(b.length, a.length)
	})
	var b bytes.Buffer
	last := 0
	for _, h := range halves {
		b.Write(s.text[last:h.at])
		b.WriteString(h.text)
		last = h.at
	}
	b.Write(s.text[last:])
	return b.Bytes()
}

// place is where a pattern matched: the nodes from the function down to the match.
type place struct {
	source *source
	path   []ast.Node
	bound  map[string]ast.Node
}

// apply inserts a mutation where its pattern is found.
func apply(m mutation, sources []*source) error {
	pattern, err := parsePattern(m.old)
	if err != nil {
		return err
	}
	var places []place
	functions := 0
	for _, s := range sources {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && same(m.in, f.Name.Name) && f.Body != nil {
				functions++
				places = append(places, find(s, f.Body, pattern, m.new == "")...)
			}
		}
	}
	if len(places) != 1 {
		return fmt.Errorf("%d functions %s have %d times %q, not once", functions, m.in, len(places), m.old)
	}
	p := places[0]
	found := p.path[len(p.path)-1]
	replacement := p.fill(m.new)
	if _, statement := found.(ast.Stmt); !statement && !isCondition(found) && !isConditionText(m.new) {
		// The smallest part around it whose type is known.
		i := len(p.path) - 2
		for ; i >= 0 && !canChoose(p.path[i]); i-- {
		}
		if i < 0 {
			return fmt.Errorf("%q is in no condition, assignment, call or return", m.old)
		}
		whole, text := p.path[i], p.source.textOf(p.path[i])
		from := p.source.offset(found.Pos()) - p.source.offset(whole.Pos())
		to := p.source.offset(found.End()) - p.source.offset(whole.Pos())
		found, replacement = whole, text[:from]+replacement+text[to:]
	}
	in := insertion{from: p.source.offset(found.Pos()), to: p.source.offset(found.End())}
	if _, statement := found.(ast.Stmt); statement {
		in.before, in.after = fmt.Sprintf("if mutated(%q) { %s } else { ", m.name, replacement), " }"
	} else {
		in.before, in.after = fmt.Sprintf("(mutated(%[1]q) && (%[2]s) || !mutated(%[1]q) && (", m.name, replacement), "))"
	}
	p.source.insertions = append(p.source.insertions, in)
	return nil
}

// isCondition reports whether an expression is boolean by its form alone.
func isCondition(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ParenExpr:
		return isCondition(n.X)
	case *ast.Ident:
		return n.Name == "true" || n.Name == "false"
	case *ast.UnaryExpr:
		return n.Op == token.NOT
	case *ast.BinaryExpr:
		return n.Op == token.LAND || n.Op == token.LOR || n.Op.Precedence() == token.EQL.Precedence()
	}
	return false
}

func isConditionText(text string) bool {
	x, err := parser.ParseExpr(text)
	return err == nil && isCondition(x)
}

// canChoose reports whether a node can be written twice, to choose one of the two.
func canChoose(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		return n.Tok != token.DEFINE
	case *ast.ReturnStmt, *ast.ExprStmt:
		return true
	}
	return isCondition(n)
}

// parsePattern parses an expression or, failing that, a statement.
func parsePattern(text string) (ast.Node, error) {
	if x, err := parser.ParseExpr(text); err == nil {
		return x, nil
	}
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p; func _() { "+text+" }", parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return f.Decls[0].(*ast.FuncDecl).Body.List[0], nil
}

// find searches a function for matches of a pattern, optionally among statements only.
func find(s *source, body *ast.BlockStmt, pattern ast.Node, statements bool) (places []place) {
	if x, ok := pattern.(ast.Expr); ok && statements {
		pattern = &ast.ExprStmt{X: x}
	}
	var path []ast.Node
	names := make(map[ast.Node]bool) // which are a part of another node's own
	ast.Inspect(body, func(n ast.Node) bool {
		if n == nil {
			path = path[:len(path)-1]
			return true
		}
		path = append(path, n)
		switch n := n.(type) {
		case *ast.SelectorExpr:
			names[n.Sel] = true
		case *ast.KeyValueExpr:
			_, name := n.Key.(*ast.Ident)
			names[n.Key] = name
		}
		bound := make(map[string]ast.Node)
		if _, paren := n.(*ast.ParenExpr); !paren && !names[n] && match(reflect.ValueOf(pattern), reflect.ValueOf(n), bound) {
			places = append(places, place{s, slices.Clone(path), bound})
		}
		return true
	})
	return places
}

// fill is a replacement with the wildcards filled in: _ is the whole match.
func (p *place) fill(text string) string {
	return wildcard.ReplaceAllStringFunc(text, func(name string) string {
		n := p.bound[name]
		if name == "_" {
			n = p.path[len(p.path)-1]
		}
		if n == nil {
			return name
		}
		return p.source.textOf(n)
	})
}

var wildcard = regexp.MustCompile(`\b_\w*`)

var (
	positions   = reflect.TypeFor[token.Pos]()
	expressions = reflect.TypeFor[ast.Expr]()
)

// same reports whether a name is meant by a pattern's, be it exported or not.
func same(pattern, name string) bool {
	return pattern != "" && name != "" && pattern[1:] == name[1:] && strings.EqualFold(pattern[:1], name[:1])
}

// match compares a pattern with a piece of syntax, however that is laid out. So that a
// pattern outlives moves, a name x in it stands for y.x, too, and for X; _ for any
// expression and, as the only argument of a call, for any arguments; and _x for any,
// which a replacement may repeat.
func match(pattern, v reflect.Value, bound map[string]ast.Node) bool {
	for pattern.Kind() == reflect.Interface {
		pattern = pattern.Elem()
	}
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !pattern.IsValid() || !v.IsValid() {
		return pattern.IsValid() == v.IsValid()
	}
	if p, ok := pattern.Interface().(*ast.ParenExpr); ok {
		return match(reflect.ValueOf(p.X), v, bound)
	}
	if p, ok := v.Interface().(*ast.ParenExpr); ok {
		return match(pattern, reflect.ValueOf(p.X), bound)
	}
	if name, ok := pattern.Interface().(*ast.Ident); ok && name != nil && v.Type().Implements(expressions) {
		x, _ := v.Interface().(ast.Expr)
		if strings.HasPrefix(name.Name, "_") {
			if other := bound[name.Name]; other != nil && name.Name != "_" {
				return match(reflect.ValueOf(other), v, bound)
			}
			bound[name.Name] = x
			return true
		}
		switch x := x.(type) {
		case *ast.Ident:
			return x != nil && same(name.Name, x.Name)
		case *ast.SelectorExpr:
			return same(name.Name, x.Sel.Name)
		}
		return false
	}
	if pattern.Type() != v.Type() {
		return false
	}
	switch pattern.Kind() {
	case reflect.Pointer:
		if pattern.IsNil() || v.IsNil() {
			return pattern.IsNil() == v.IsNil()
		}
		call, ok := pattern.Interface().(*ast.CallExpr)
		if ok && len(call.Args) == 1 {
			if only, ok := call.Args[0].(*ast.Ident); ok && only.Name == "_" {
				return match(reflect.ValueOf(call.Fun), reflect.ValueOf(v.Interface().(*ast.CallExpr).Fun), bound)
			}
		}
		return match(pattern.Elem(), v.Elem(), bound)
	case reflect.Struct:
		for i := range pattern.NumField() {
			if f := pattern.Type().Field(i); f.Type != positions && f.Name != "Obj" && f.Name != "Comment" && f.Name != "Doc" &&
				!match(pattern.Field(i), v.Field(i), bound) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if pattern.Len() != v.Len() {
			return false
		}
		for i := range pattern.Len() {
			if !match(pattern.Index(i), v.Index(i), bound) {
				return false
			}
		}
		return true
	}
	return pattern.Interface() == v.Interface()
}
