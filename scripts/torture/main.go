// Command torture has real quicpeer processes write to each other while they are killed, frozen,
// stopped and cut off from each other at random. Then it judges their output: every accepted
// message must have been shown exactly once and in order, or have failed.
//
//	go run ./scripts/torture                    # or: make torture
//	go run ./scripts/torture -short -seed 7 -v
//	make torture FLAGS='-time 30m -race'
//
// # How it works
//
// The peers run on 127.0.0.1, each with its own state directory and cut file (quicpeer --cut-file).
// About a third of all pairs can never reach each other directly (topology.go), so their messages
// have to go over others. One goroutine does everything to the peers, when the agenda says so: the
// traffic (traffic.go) writes commands to their standard input, the driver (driver.go) disturbs
// them (chaos.go, cuts.go) and restarts them. All random choices come from one seed. The processes'
// behaviour depends on the clock as well, so the same seed gives a similar run, not the same. On a
// busy machine timeouts are stretched by as much as it is slowed down.
//
// A goroutine for each peer reads its output into the history (history.go), which the
// judge (judge.go) examines when all is over. Each body names its sender, its receiver
// and its number, and has a checksum.
//
//   - A command is accepted once its sent event has been read. One that was not answered
//     before its process ended is unknown: it may be shown once or not at all.
//   - A message is shown once its line has been read from the pipe, which is read to its
//     end after a kill. A partial line counts as nothing.
//   - The last message shown by a killed process may be shown once more by a later run,
//     since there is a moment between showing and noting it. That is counted separately.
//   - No broadcast may be doubled or out of order. All must arrive where nothing was wrong
//     for 5 s before and after: neither with the author nor with the receiver, and the
//     network was whole.
//
// # Files
//
// With -files three peers are tortured (files.go). One offers a large file, then many small ones, again and again until
// there have been enough disturbances: kill -9, freezes and isolations of the sender, the receiver, or both. Each comes
// after a certain number of bytes, not at a time. In a third of the cases the two can't reach each other, and the transfer
// continues over the third peer, which is disturbed as well. In the end
//
//   - every byte, name, time and permission is right, and nothing else is in the target directory;
//   - the receiver has printed file_done once; if it was killed at that moment, its list says done;
//   - nothing was read twice beyond 16 MiB for each disturbance. The kernel counts what the processes read from files
//     (/proc/PID/io). The sender reads each chunk right before it sends it and keeps none, so the count bounds what was
//     sent as well. The receiver reads what it must verify again after a kill.
//
// The exit status is 1 if anything is wrong. Then the directory with the states, the
// logs and the beginning of each event is kept, and its name printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"quicpeer/scripts/internal/harness"
)

// settings are what the command line says.
type settings struct {
	seed     uint64
	peers    int
	messages int           // direct ones; broadcasts come on top
	time     time.Duration // of the chaos
	settle   time.Duration // how long all may take to arrive after it, at most
	verbose  bool

	files        bool  // are tortured, instead of messages
	disturbances int   // of each of the two cargoes
	size         int64 // bytes of the large file
	small        int   // how many small files

	program string // to be tortured
	dir     string // for states, logs and events; exists
}

// long and short are the settings of the two sizes. The chaos of the long one is
// above the 5 minutes that the outbox has to bear; the short one is for make test.
var (
	long  = settings{peers: 12, messages: 20000, time: 6 * time.Minute, settle: time.Minute, disturbances: 40, size: 1 << 30, small: 10_000}
	short = settings{peers: 6, messages: 2000, time: 40 * time.Second, settle: time.Minute, disturbances: 4, size: 64 << 20, small: 400}
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(runCommand(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func runCommand(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	fs := flag.NewFlagSet("torture", flag.ContinueOnError)
	fs.SetOutput(stderr)
	s := long
	brief := fs.Bool("short", false, "6 peers, 40 s and 2000 messages; 4 disturbances of 64 MiB and 400 files; unless other flags say otherwise")
	race := fs.Bool("race", false, "build quicpeer with the race detector")
	fs.Uint64Var(&s.seed, "seed", 0, "of all that is drawn by lot; 0: another one each time")
	fs.IntVar(&s.peers, "peers", s.peers, "processes, at least 4")
	fs.IntVar(&s.messages, "messages", s.messages, "direct messages over the whole time")
	fs.DurationVar(&s.time, "time", s.time, "how long the chaos lasts")
	fs.DurationVar(&s.settle, "settle", s.settle, "how long all may take to arrive after the chaos")
	fs.BoolVar(&s.files, "files", false, "torture files instead of messages: a sender, a receiver, and a carrier")
	fs.IntVar(&s.disturbances, "disturbances", s.disturbances, "with -files: how many of each, one large file and many small ones")
	fs.Int64Var(&s.size, "size", s.size, "with -files: `bytes` of the large file")
	fs.IntVar(&s.small, "small", s.small, "with -files: how many small files, of 0 to 8 KiB")
	fs.BoolVar(&s.verbose, "v", false, "for each fault all that is known, with the ends of the logs")
	fs.StringVar(&s.program, "program", "", "torture this `FILE` instead of building quicpeer")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if *brief {
		s = short
		fs.Parse(args) // again, since the flags say more than the size; it has worked before
	}
	if fs.NArg() > 0 || s.peers < 4 || s.disturbances < 1 || s.size < 1 || s.small < 1 {
		fs.Usage()
		return 2
	}
	ok, err := s.play(ctx, *race, stdout)
	switch {
	case errors.Is(err, context.Canceled):
		return 130
	case err != nil:
		fmt.Fprintln(stderr, "torture:", err)
		return 1
	case !ok:
		return 1
	}
	return 0
}

// play builds what is missing, tortures and prints the report. Without faults nothing is left over.
func (s settings) play(ctx context.Context, race bool, out io.Writer) (ok bool, err error) {
	if s.seed == 0 {
		s.seed = rand.Uint64N(1_000_000) + 1 // short, since it is to be typed
	}
	if s.dir, err = os.MkdirTemp("", "quicpeer-torture"); err != nil {
		return false, err
	}
	defer func() {
		if ok || err != nil {
			os.RemoveAll(s.dir)
		}
	}()
	if s.program == "" {
		if s.program, err = harness.Build(s.dir, race); err != nil {
			return false, err
		}
	}
	if s.program, err = filepath.Abs(s.program); err != nil {
		return false, err
	}
	pace, stop := harness.StartPace()
	defer stop()
	if s.files {
		return s.tortureFiles(ctx, pace, out)
	}
	d, err := newDriver(s, pace, out)
	if err != nil {
		return false, err
	}
	if err := d.torture(ctx); err != nil {
		return false, err
	}
	return d.report(out), nil
}
