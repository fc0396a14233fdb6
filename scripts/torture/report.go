package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"quicpeer/scripts/internal/harness"
)

// report prints what has come out, and says whether all was well.
func (d *driver) report(out io.Writer) (ok bool) {
	v := d.history.judge()
	for _, p := range d.peers {
		log, err := p.log()
		if err != nil {
			d.fault("the log of %s can't be read: %v", p.name, err)
		}
		if text := harness.Crash(log); text != "" {
			d.fault("%s complains:\n%s", p.name, text)
		}
	}
	row := func(what string, n int) { fmt.Fprintf(out, "  %-44s %7d\n", what, n) }
	fmt.Fprintln(out, "messages")
	row("accepted", v.accepted)
	row("shown", v.shown)
	row("delivered", v.delivered)
	row("failed", v.failed)
	reasons(out, v.failures)
	row("neither delivered nor failed", v.open)
	row("unknown: unanswered when their sender ended", v.unknown)
	row("of these shown", v.unknownShown)
	row("refused", v.refused)
	reasons(out, v.refusals)
	for _, path := range slices.Sorted(maps.Keys(v.paths)) {
		row("shown by the path "+path, v.paths[path])
	}
	row("repeated after a kill", v.repeated)
	row("shown though failed", v.shownFailed)
	fmt.Fprintln(out, "broadcasts")
	row("accepted", v.broadcasts)
	row("shown, by all peers together", v.broadcastsShown)
	row("not shown: the receiver did not run", v.away)
	row("not shown: cut off, frozen or just starting", v.excused)
	fmt.Fprintln(out, "done to the peers")
	row("kills", d.done.kills)
	row("stops", d.done.stops)
	row("restarts", d.done.restarts)
	row("freezes", d.done.freezes)
	row("readers muted", d.done.mutes)
	row("front ends that came and went", d.done.fronts)
	row("cuts of a link", d.done.cuts)
	row("cuts of all links but one", d.done.reroutes)
	row("cuts of all links", d.done.isolations)
	row("sends left out, since nobody could take them", d.traffic.skipped)
	fmt.Fprintf(out, "after the chaos\n  the last was shown %s, and delivered or failed %s\n",
		since(d.history.over, v.lastShown), since(d.history.over, v.lastEnd))
	return d.reportFaults(out, v)
}

func since(over, last time.Time) string {
	switch {
	case last.IsZero():
		return "never"
	case last.Before(over):
		return "before its end"
	default:
		return last.Sub(over).Round(time.Millisecond).String() + " later"
	}
}

func reasons(out io.Writer, counts map[string]int) {
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(out, "      %7d  %s\n", counts[reason], reason)
	}
}

// few is how many faults of a kind are printed one by one, unless all are asked for.
const few = 5

func (d *driver) reportFaults(out io.Writer, v *verdict) (ok bool) {
	fmt.Fprintln(out, "faults")
	for _, kind := range kinds {
		faults := v.of(kind)
		fmt.Fprintf(out, "  %-64s %7d\n", kind, len(faults))
		for i, f := range faults {
			if i == few && !d.verbose {
				fmt.Fprintf(out, "      and %d more; -v tells all\n", len(faults)-few)
				break
			}
			d.reportFault(out, f)
		}
	}
	fmt.Fprintf(out, "  %-64s %7d\n", "of processes", len(d.faults))
	for _, text := range d.faults {
		fmt.Fprintf(out, "      %s\n", indent(text))
	}
	if len(v.faults)+len(d.faults) == 0 {
		fmt.Fprintln(out, "all is well")
		return true
	}
	fmt.Fprintf(out, "FAILED with seed %d; states, logs and events (look for a ref or an ID) are in %s\n", d.seed, d.dir)
	return false
}

func (d *driver) reportFault(out io.Writer, f fault) {
	if f.message == nil {
		fmt.Fprintf(out, "      %s\n", f.text)
		return
	}
	m := f.message
	fmt.Fprintf(out, "      %s -> %s #%d, %s, ref %s, given at %s to run %d: %s\n",
		m.from, m.to, m.seq, m.id, m.ref, clock(m.at), m.run.number, f.text)
	if !d.verbose {
		return
	}
	for _, p := range d.peers {
		if p.name == m.from || p.name == m.to {
			fmt.Fprintf(out, "        %s, ends of its runs: %s; its log ends:\n          %s\n", p.name, d.ends(p.name), indent(p.lastLines(5)))
		}
	}
}

// ends are the times at which a peer's runs began to be ready and ended.
func (d *driver) ends(peer string) string {
	d.history.mu.Lock()
	defer d.history.mu.Unlock()
	var all []string
	for _, r := range d.history.runs[peer] {
		how := "stopped"
		if r.killed {
			how = "killed"
		}
		all = append(all, fmt.Sprintf("%d ready %s %s %s", r.number, clock(r.ready), how, clock(r.ended)))
	}
	return strings.Join(all, ", ")
}

func indent(s string) string { return strings.ReplaceAll(s, "\n", "\n          ") }
