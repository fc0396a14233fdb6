package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/rogpeppe/go-internal/testscript"

	"quicpeer/scripts/internal/harness"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout *os.File, stderr io.Writer) (status int) {
	fs := flag.NewFlagSet("scenario", flag.ContinueOnError)
	fs.SetOutput(stderr)
	live := fs.Bool("show", false, "print what the peers get and give, as it happens")
	verbose := fs.Bool("v", false, "report every line of the scenarios, not the headings alone")
	race := fs.Bool("race", false, "build quicpeer with the race detector")
	keep := fs.Bool("keep", false, "keep the working directories, with the peers' state, and say where")
	program := fs.String("program", "", "play with this `FILE` instead of building quicpeer")
	fs.Usage = func() {
		fmt.Fprintln(stderr, "usage: go run ./scripts/scenario [flags] FILE...")
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		return 2
	}
	files := fs.Args()
	if len(files) == 0 {
		fs.Usage()
		return 2
	}
	fatal := func(err error) int {
		fmt.Fprintln(stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "quicpeer-scenario")
	if err != nil {
		return fatal(err)
	}
	defer os.RemoveAll(dir)
	pace, stop := harness.StartPace()
	defer stop()
	e := &engine{program: *program, events: events, pace: pace}
	files, err = e.prepare(files, dir)
	if err != nil {
		return fatal(err)
	}
	if e.program == "" {
		if e.program, err = harness.Build(dir, *race); err != nil {
			return fatal(err)
		}
	}
	if !*keep {
		// Where testscript makes its directories: so they go even if it is interrupted.
		os.Setenv("GOTMPDIR", dir)
	}
	if *live {
		e.show = newShow(stdout)
	}

	c, whole := e.playAll(files, &report{out: stdout, names: e.names, verbose: *verbose, brief: *live, counts: &counts{}}, *keep)
	if !whole {
		return 130
	}
	if len(files) > 1 || c.failed > 0 {
		fmt.Fprintf(stdout, "%d passed, %d failed, %d skipped\n", c.passed, c.failed, c.skipped)
	}
	if c.failed > 0 {
		return 1
	}
	return 0
}

// playAll plays the files; it is not whole if it was interrupted.
func (e *engine) playAll(files []string, r *report, keep bool) (c counts, whole bool) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	finished := make(chan counts)
	go func() {
		p := e.params(files)
		p.TestWork = keep
		testscript.RunT(r, p)
		finished <- *r.counts
	}()
	select {
	case <-interrupted:
		e.killAll()
		return c, false
	case c = <-finished:
		return c, true
	}
}
