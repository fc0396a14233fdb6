package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"quicpeer/scripts/internal/harness"
)

// atOnce is how many scenarios play at the same time, on any machine: they wait
// more than they compute, but a crowd of slow processes would pass the deadlines.
const atOnce = 4

func TestMain(m *testing.M) {
	if os.Getenv(fakeVariable) != "" {
		os.Exit(fakePeer(os.Args[1:]))
	}
	flag.Parse()
	flag.Set("test.parallel", "4") // not the number of processors
	os.Exit(m.Run())
}

// TestScenarios plays every scenario with the real program, which has the race
// detector if this test has it.
func TestScenarios(t *testing.T) {
	if testing.Short() {
		t.Skip("starts more than a hundred processes")
	}
	if err := harness.ReadSources(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../scenarios/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	files = append(files, readmeScenario(t))
	program, err := harness.Build(t.TempDir(), harness.HasRaceDetector())
	if err != nil {
		t.Fatal(err)
	}
	pace, stop := harness.StartPace()
	t.Cleanup(stop) // when all have been played, which is after the end of this function
	e := &engine{program: program, events: events, slots: make(chan struct{}, atOnce), pace: pace}
	files, err = e.prepare(files, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	testscript.RunT(namedT{t, e.names}, e.params(files))
}

// namedT shows a test to testscript, and the user's own files in what that logs.
type namedT struct {
	*testing.T
	names *strings.Replacer
}

func (t namedT) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(sub *testing.T) { f(namedT{sub, t.names}) })
}

func (t namedT) Log(args ...any) {
	t.Helper()
	t.T.Log(t.names.Replace(fmt.Sprint(args...)))
}

func (t namedT) Fatal(args ...any) {
	t.Helper()
	t.T.Fatal(t.names.Replace(fmt.Sprint(args...)))
}

func (t namedT) Verbose() bool { return testing.Verbose() }

// readmeScenario is the one that README.md shows, in a file.
func readmeScenario(t *testing.T) string {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, found := strings.Cut(string(text), "Save this as `mine.txtar`:\n\n```\n")
	script, _, ended := strings.Cut(script, "```")
	if !found || !ended {
		t.Fatal("README.md shows no scenario")
	}
	name := filepath.Join(t.TempDir(), "mine.txtar")
	if err := os.WriteFile(name, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
