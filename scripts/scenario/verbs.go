package main

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"quicpeer/scripts/internal/harness"
)

// verb is a word of a scenario; the package comment documents each. One that begins with the name
// of a running peer is done on its process, with the words behind the name; the others have do.
type verb struct {
	usage       string
	least, most int  // words, without "within D"
	looks       bool // it is an expectation, which does nothing

	do      func(s *scenario, args []string)
	on, not func(s *scenario, p *process, args []string, by harness.Deadline) // not: with a !
}

// waits says that the verb takes "within D".
func (v verb) waits() bool { return strings.HasSuffix(v.usage, "[within D]") }

const many = math.MaxInt

func verbs() map[string]verb {
	const event = "NAME EVENT [FIELD=VALUE | FIELD~REGEXP...] "
	all := map[string]verb{
		"start":     {usage: "[-text] NAME [QUICPEER_X=VALUE...] [FLAG...]", least: 1, most: many, do: (*scenario).start},
		"broadcast": {usage: "NAME BODY [REF]", least: 2, most: 3, on: (*scenario).broadcast},
		"send":      {usage: "NAME TO BODY [REF]", least: 3, most: 4, on: (*scenario).send},
		"invite":    {usage: "NAME ID [admin] [within D]", least: 2, most: 3, on: invite},
		"remove":    {usage: "NAME ID [all]", least: 2, most: 3, on: remove},
		"type":      {usage: "NAME LINE", least: 2, most: 2, on: (*scenario).typeLine},
		"cut":       {usage: "A B [C...]", least: 2, most: many, do: (*scenario).cut},
		"heal":      {usage: "[A B]", most: 2, do: (*scenario).heal},
		"netns":     {usage: "NAME...", least: 1, most: 254, do: (*scenario).netns},
		"link":      {usage: "NAME down|up", least: 2, most: 2, do: (*scenario).link},
		"narrow":    {usage: "NAME BYTES", least: 2, most: 2, do: (*scenario).narrow},
		"refuse":    {usage: "A B", least: 2, most: 2, do: (*scenario).refuse},
		"run":       {usage: "NAME STATUS COMMAND [ARG...] [: REGEXP]", least: 3, most: many, do: ask},
		"port":      {usage: "VAR", least: 1, most: 1, do: (*scenario).port},
		"fill":      {usage: "VAR BYTES", least: 2, most: 2, do: (*scenario).fill},
		"say":       {usage: "TEXT", most: many, do: (*scenario).say},
		"never":     {usage: event + "for D", least: 2, most: many, on: (*scenario).never},
		"expect":    {usage: event + "[within D]", least: 2, most: many, looks: true, on: (*scenario).expect},
		"next":      {usage: event + "[within D]", least: 2, most: many, looks: true, on: (*scenario).next},
		"count":     {usage: event + "N", least: 3, most: many, looks: true, on: (*scenario).count},
		"table":     {usage: "NAME [ID...] [within D]", least: 1, most: many, looks: true, on: (*scenario).table},
		"direct":    {usage: "NAME N [within D]", least: 2, most: 2, looks: true, on: (*scenario).direct},
		"exit":      {usage: "NAME STATUS [within D]", least: 2, most: 2, looks: true, on: (*scenario).exit},
		"log":       {usage: "NAME REGEXP [within D]", least: 2, most: 2, looks: true, on: (*scenario).log, not: (*scenario).notLog},
	}
	on := func(name string, do func(s *scenario, p *process)) {
		all[name] = verb{usage: "NAME", least: 1, most: 1, on: func(s *scenario, p *process, _ []string, _ harness.Deadline) { do(s, p) }}
	}
	for _, name := range []string{"kill", "stop", "interrupt", "freeze", "thaw"} {
		on(name, func(s *scenario, p *process) { s.signal(name, p) })
	}
	on("mute", func(_ *scenario, p *process) { p.Mute(true) })
	on("unmute", func(_ *scenario, p *process) { p.Mute(false) })
	on("close", func(s *scenario, p *process) {
		s.engine.show.typed(p.name, "(end of input)")
		s.must(p.endInput())
	})
	return all
}

func (s *scenario) typeLine(p *process, args []string, _ harness.Deadline) {
	s.engine.show.typed(p.name, args[0])
	s.must(p.enqueue(args[0]))
}

func (s *scenario) send(p *process, args []string, _ harness.Deadline) {
	s.command(p, args[2:], map[string]any{"cmd": "send", "to": args[0], "body": args[1]})
}

func (s *scenario) broadcast(p *process, args []string, _ harness.Deadline) {
	s.command(p, args[1:], map[string]any{"cmd": "broadcast", "body": args[0]})
}

func (s *scenario) command(p *process, ref []string, c map[string]any) {
	if len(ref) > 0 {
		c["ref"] = ref[0]
	}
	text, err := json.Marshal(c)
	s.must(err)
	s.typeLine(p, []string{string(text)}, harness.Deadline{})
}

func (s *scenario) signal(name string, p *process) {
	s.engine.show.typed(p.name, "("+name+")")
	if name == "kill" {
		p.Change(func() { p.excused = true })
	}
	switch err := p.Signal(name); {
	case errors.Is(err, errors.ErrUnsupported):
		s.t.Skip(name + " needs a Unix system, this is " + runtime.GOOS)
	case err != nil:
		s.fail("%s %s: %v\n%s", name, p.name, err, p.describe(25))
	}
	if name == "kill" { // the next line may start it again, so it has to be gone
		s.must(p.Wait(s.pace.In(patience), func(state harness.State) (bool, error) { return state.Status != "", nil }))
	}
}

func (s *scenario) port(args []string) {
	addresses, err := harness.FreeAddresses(1)
	s.must(err)
	s.ts.Setenv(args[0], addresses[0])
}

func (s *scenario) fill(args []string) {
	n, err := strconv.Atoi(args[1])
	s.require(err == nil && n >= 0)
	s.ts.Setenv(args[0], strings.Repeat("0123456789abcdef", n/16+1)[:n])
}

func (s *scenario) say(args []string) { s.engine.show.heading(strings.Join(args, " ")) }

// take marks a line as one that an expectation has found, and makes variables of its short fields.
func (s *scenario) take(p *process, l *line) {
	p.Change(func() { l.taken = true })
	for _, field := range slices.Sorted(maps.Keys(l.Fields)) {
		if v := l.Field(field); len(v) <= 200 {
			s.ts.Setenv(p.name+"."+l.Name+"."+field, v)
		}
	}
}
