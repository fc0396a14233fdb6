// Command carried measures links over other peers beside direct ones, with package transport alone:
// endpoints in processes of their own on loopback, whose ways are set by hand.
//
//	make bench-carried
//	make bench-carried FLAGS='-rounds 9 -time 2s'
//
// It measures one long stream of large messages, small questions and their answers, a relay that is
// flooded with garbage, and how a relay's own control frames fare while it carries much. Things
// compared run in turn, so that a ratio holds on a machine whose speed drifts; figures are medians
// over the rounds. All processes share the processors of this machine.
//
// Garbage goes to the relay on the hop stream of a link, at full speed, written with bare quic-go. As
// that takes processor time from everybody, and anything that shares a link is slower, the relay's
// questions are also measured while that process floods itself, and beside well-behaved streams.
//
// The exit status is 1 if a bar is missed: over one other peer 0.3 of the rate of the long stream; under
// garbage at most twice the median time of the relay's own questions, and at most 16 MiB more memory
// (Linux only). Messages between whole peers have bars in make bench.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"quicpeer/scripts/bench/command"
)

// The processes. All but the hostile one know each other. a has links to the relay and to b, the
// relay to all, and what a carries to others goes over the relay.
const (
	a       = "a"
	b       = "b"
	c       = "c"
	relay   = "relay"
	hostile = "hostile"
)

// options are the flags.
type options struct {
	rounds int
	length time.Duration
}

func main() {
	var o options
	var role string
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each measure")
	flag.DurationVar(&o.length, "time", time.Second, "time of each run")
	flag.StringVar(&role, "serve", "", "internal: be the process of this `name`")
	command.Main("bench-carried", func() error {
		if role != "" {
			return serve(role)
		}
		if o.rounds < 1 || o.length < 100*time.Millisecond {
			return errors.New("-rounds must be at least 1, and -time 100ms")
		}
		return o.bench()
	})
}

// bench runs all measures.
func (o options) bench() error {
	// quic-go complains of the socket's buffers; the processes inherit this.
	os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	fmt.Printf("%s; medians of %d rounds of %v, after one that warms up\n", command.Machine(), o.rounds, o.length)
	var r results
	for _, m := range []struct {
		names   []string
		measure func(network, *results) error
	}{
		{[]string{a, c}, func(n network, r *results) error {
			return errors.Join(o.bulk(n, r), o.questions(n, r), o.control(n, r))
		}},
		{[]string{a, hostile}, o.garbage}, // with a fresh relay, whose memory nothing has used yet
	} {
		n, err := startNetwork(m.names...)
		if err == nil {
			err = m.measure(n, &r)
		}
		n.close()
		if err != nil {
			return err
		}
	}
	if len(r.missed) > 0 {
		fmt.Printf("\nmissed: %s\n", strings.Join(r.missed, "; "))
		return command.ErrMissed
	}
	return nil
}

// repeat calls run for each round with a place for its figures. The first round warms up.
func repeat[T any](rounds int, run func() (T, error)) (list []T, err error) {
	for round := range rounds + 1 {
		t, err := run()
		if err != nil {
			return nil, err
		}
		if round > 0 {
			list = append(list, t)
		}
	}
	return list, nil
}

// median is that of one figure of all rounds.
func median[T any](list []T, of func(T) float64) float64 {
	var figures []float64
	for _, t := range list {
		figures = append(figures, of(t))
	}
	return command.Median(figures)
}

// ratio is that of two such medians.
func ratio[T any](list []T, of, base func(T) float64) float64 {
	return median(list, of) / median(list, base)
}

// results prints the figures and keeps which bars were missed.
type results struct{ missed []string }

func (r *results) title(text string) { fmt.Printf("\n%s\n", text) }

// row prints figures for information.
func (r *results) row(what, figures string) { fmt.Printf("  %-50s %s\n", what, figures) }

// bar prints a figure that must be at least or, if most is set, at most the limit.
func (r *results) bar(what string, value, limit float64, most bool) {
	r.row(what, fmt.Sprintf("%8.2f  %s", value, r.judge(what, value, limit, most)))
}

// judge says which bar there is, and whether it is met.
func (r *results) judge(what string, value, limit float64, most bool) string {
	sign, ok, word := "≥", value >= limit, "ok"
	if most {
		sign, ok = "≤", value <= limit
	}
	if !ok {
		word = "missed"
		r.missed = append(r.missed, what)
	}
	return fmt.Sprintf("bar %s %g  %s", sign, limit, word)
}
