package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// report is a testscript.T outside of go test: it plays one scenario after the
// other and writes how each went.
type report struct {
	out     io.Writer
	names   *strings.Replacer // see engine
	verbose bool
	brief   bool // say nothing more of what passes

	name            string
	text            strings.Builder
	failed, skipped bool
	counts          *counts
}

type counts struct{ passed, failed, skipped int }

func (r *report) Run(name string, f func(testscript.T)) {
	sub := &report{out: r.out, names: r.names, verbose: r.verbose, brief: r.brief, name: name, counts: r.counts}
	began := time.Now()
	done := make(chan struct{})
	// In a goroutine of its own, so that FailNow and Skip can end it in the middle.
	go func() {
		defer close(done)
		f(sub)
	}()
	<-done
	outcome := "ok  "
	switch {
	case sub.failed:
		outcome = "FAIL"
		r.counts.failed++
	case sub.skipped:
		outcome = "skip"
		r.counts.skipped++
	default:
		r.counts.passed++
	}
	if r.brief {
		fmt.Fprintln(r.out)
	}
	fmt.Fprintf(r.out, "%s %-20s %5.1fs\n", outcome, name, time.Since(began).Seconds())
	if r.brief && !sub.failed && !sub.skipped {
		return
	}
	for l := range strings.Lines(sub.text.String()) {
		if l = strings.TrimRight(l, "\n"); l != "" && l != "PASS" {
			fmt.Fprintf(r.out, "     %s\n", l)
		}
	}
}

func (r *report) Log(args ...any) { r.text.WriteString(r.names.Replace(fmt.Sprintln(args...))) }

func (r *report) Fatal(args ...any) {
	r.Log(args...)
	r.FailNow()
}

func (r *report) FailNow() {
	r.failed = true
	runtime.Goexit()
}

func (r *report) Skip(args ...any) {
	r.Log(args...)
	r.skipped = true
	runtime.Goexit()
}

func (r *report) Parallel()     {}
func (r *report) Verbose() bool { return r.verbose }
