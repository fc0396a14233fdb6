package overlay_test

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// TestProgramsImportOverlayAlone: the examples, which use the whole API, need no other package of
// this module.
func TestProgramsImportOverlayAlone(t *testing.T) {
	for _, name := range []string{"example_test.go", "example_api_test.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if path := strings.Trim(i.Path.Value, `"`); strings.HasPrefix(path, "quicpeer") && path != "quicpeer/overlay" {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}
