package arch

import (
	"os"
	"strings"
	"testing"
)

// The README shows the example that the tests run, to the letter.
func TestReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../../overlay/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(source), "\nfunc Example() {")
	if !found || !strings.Contains(string(readme), "```go\nfunc Example() {"+example+"```") {
		t.Error("the Go example in README.md is not the one in overlay/example_test.go")
	}
}
