package arch

import (
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// The limits of what one person holds in mind. In programs below scripts a type may do
// a little more, and files may call each other.
const (
	maxMethods        = 40
	maxScriptMethods  = 45
	maxFields         = 25
	maxMutualPairings = 3
)

// tooLarge lists the types and folders above the limits, by the count. When one becomes
// smaller, lower its number here, or take it out; none grows, and none is added.
var tooLarge = map[string]int{}

// TestShape compares the sizes of types, and how many pairs of files of a folder call
// each other, with the limits. A type or a folder above them is more than one idea.
func TestShape(t *testing.T) {
	above := map[string]bool{}
	count := func(what string, n, most int) {
		above[what] = n > most
		if most = max(most, tooLarge[what]); n > most {
			t.Errorf("%s: %d, more than %d", what, n, most)
		}
	}
	files := goFiles(t)
	files = slices.DeleteFunc(files, func(f file) bool { return f.test || strings.HasSuffix(f.name, ".pb.go") })
	methods, fields := sizes(files)
	for name, n := range methods {
		most := maxMethods
		if strings.HasPrefix(name, "scripts/") {
			most = maxScriptMethods
		}
		count("methods of "+name, n, most)
	}
	for name, n := range fields {
		count("fields of "+name, n, maxFields)
	}
	for dir, n := range mutualCalls(files) {
		if !strings.HasPrefix(dir, "scripts/") {
			count("pairs of files of "+dir, n, maxMutualPairings)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(tooLarge)) {
		if !above[what] {
			t.Errorf("%s: within the limit now, or gone: take it out of tooLarge", what)
		}
	}
}

// sizes counts the methods of each type and the fields of each struct, by the folder
// and the type's name.
func sizes(files []file) (methods, fields map[string]int) {
	methods, fields = map[string]int{}, map[string]int{}
	for _, f := range files {
		for _, decl := range f.syntax.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if name := receiver(d); name != "" {
					methods[f.dir+"."+name]++
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					ts, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					if st, ok := ts.Type.(*ast.StructType); ok {
						for _, list := range st.Fields.List {
							fields[f.dir+"."+ts.Name.Name] += max(len(list.Names), 1) // an embedded one has no name
						}
					}
				}
			}
		}
	}
	return methods, fields
}

// receiver is the name of the type that a function is a method of.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) != 1 {
		return ""
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// mutualCalls counts, for each folder, the pairs of files each of which calls a
// function or a method of the other. It goes by names: of those that several files
// declare it takes the last.
func mutualCalls(files []file) map[string]int {
	type arrow struct{ dir, from, to string }
	home := map[[2]string]string{} // folder and name to the file that declares it
	for _, f := range files {
		for _, decl := range f.syntax.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok {
				home[[2]string{f.dir, d.Name.Name}] = f.name
			}
		}
	}
	calls := map[arrow]bool{}
	for _, f := range files {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := ""
			switch fn := call.Fun.(type) {
			case *ast.Ident:
				name = fn.Name
			case *ast.SelectorExpr:
				name = fn.Sel.Name
			}
			if to := home[[2]string{f.dir, name}]; to != "" && to != f.name {
				calls[arrow{f.dir, f.name, to}] = true
			}
			return true
		})
	}
	pairs := map[string]int{}
	for a := range calls {
		if a.from < a.to && calls[arrow{a.dir, a.to, a.from}] {
			pairs[a.dir]++
		}
	}
	return pairs
}
