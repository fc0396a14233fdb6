package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// programs are what this binary is when it is started by their names.
var programs = map[string]func(){"quicpeer": func() { os.Exit(Main("")) }}

func TestMain(m *testing.M) {
	testscript.Main(leakFree{m}, programs)
}

// leakFree runs tests, and fails if a goroutine is left over. They run on one processor:
// more can crash the race detector in bubbles with timers (https://go.dev/issue/78156, seen
// with Go 1.26). The processes that they start use all processors.
type leakFree struct{ m *testing.M }

func (l leakFree) Run() int {
	runtime.GOMAXPROCS(1)
	code := l.m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// The scripts run the command itself. They have one more command:
//
//	status N program args...
//
// runs the program and fails unless it exits with status N; and the condition [root],
// which holds for a user who may write everywhere.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir) // state directories are made below it
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, errors.New("unknown condition " + name)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: status N program args...")
				}
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				got := 0
				if err := ts.Exec(args[1], args[2:]...); err != nil {
					e, ok := errors.AsType[*exec.ExitError](err)
					if !ok {
						ts.Fatalf("%v", err)
					}
					got = e.ExitCode()
				}
				if got != want {
					ts.Fatalf("exit status %d, want %d", got, want)
				}
			},
		},
	})
}

// A closed standard output is a failure like any other, not death by a signal.
func TestClosedOutput(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd := &exec.Cmd{Path: self, Args: []string{"quicpeer", "--help"}, Stdout: w, Stderr: &stderr}
	err = cmd.Run()
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 1 || !strings.HasPrefix(stderr.String(), "quicpeer: writing to standard output: ") {
		t.Errorf("got %v and %q", err, stderr.String())
	}
}
