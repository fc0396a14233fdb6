// Package command is shared by the command lines of the benchmarks.
package command

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// ErrMissed ends a benchmark that has measured everything but has missed a bar.
var ErrMissed = errors.New("quicpeer has missed a bar")

// Main is a benchmark's main: it parses the flags and ends the program with status 0 or 1.
func Main(name string, run func() error) {
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "%s: %q is not a flag: see -help\n", name, flag.Arg(0))
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Dir is a flag that says where state directories are made.
type Dir struct{ Name string }

// Flag adds the flag -dir.
func (d *Dir) Flag() {
	flag.StringVar(&d.Name, "dir", "/var/tmp", "where the state directories are made, and removed: on a disk, as /tmp may be memory")
}

// Run calls run with a new directory in it, which is removed afterwards.
func (d *Dir) Run(run func(dir string) error) error {
	dir, err := os.MkdirTemp(d.Name, "quicpeer-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return run(dir)
}

// Machine is the heading of a table of figures.
func Machine() string {
	return fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
}

// Median is the middle one, or between the two in the middle, of a list that isn't empty.
func Median[T float64 | time.Duration](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
