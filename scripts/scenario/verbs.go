package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

var errUsage = errors.New("usage")

// verb is a word of a scenario; the package comment documents each.
type verb struct {
	usage string
	run   func(s *scenario, args []string) error
}

// expectations are the verbs that only look.
var expectations = []string{"expect", "next", "count", "table", "direct", "exit", "log"}

func verbs() map[string]verb {
	all := map[string]verb{
		"start":     {"[-text] NAME [QUICPEER_X=VALUE...] [FLAG...]", (*scenario).start},
		"type":      {"NAME LINE", (*scenario).typeLine},
		"send":      {"NAME TO BODY [REF]", (*scenario).send},
		"broadcast": {"NAME BODY [REF]", (*scenario).broadcast},
		"close":     {"NAME", (*scenario).closeInput},
		"mute":      {"NAME", func(s *scenario, args []string) error { return s.setMuted(args, true) }},
		"unmute":    {"NAME", func(s *scenario, args []string) error { return s.setMuted(args, false) }},
		"cut":       {"A B [C...]", (*scenario).cut},
		"heal":      {"[A B]", (*scenario).heal},
		"netns":     {"NAME...", (*scenario).netns},
		"link":      {"NAME down|up", (*scenario).link},
		"narrow":    {"NAME BYTES", (*scenario).narrow},
		"refuse":    {"A B", (*scenario).refuse},
		"port":      {"VAR", (*scenario).port},
		"fill":      {"VAR BYTES", (*scenario).fill},
		"say":       {"TEXT", (*scenario).say},
		"expect":    {"NAME EVENT [FIELD=VALUE | FIELD~REGEXP...] [within D]", (*scenario).expect},
		"next":      {"NAME EVENT [FIELD=VALUE | FIELD~REGEXP...] [within D]", (*scenario).next},
		"never":     {"NAME EVENT [FIELD=VALUE | FIELD~REGEXP...] for D", (*scenario).never},
		"count":     {"NAME EVENT [FIELD=VALUE | FIELD~REGEXP...] N", (*scenario).count},
		"table":     {"NAME [ID...] [within D]", (*scenario).table},
		"direct":    {"NAME N [within D]", (*scenario).direct},
		"exit":      {"NAME STATUS [within D]", (*scenario).exit},
		"log":       {"NAME REGEXP [within D]", (*scenario).log},
	}
	for _, name := range []string{"kill", "stop", "interrupt", "freeze", "thaw"} {
		all[name] = verb{"NAME", func(s *scenario, args []string) error { return s.signal(name, args) }}
	}
	return all
}

// one is the process that the only argument names.
func (s *scenario) one(args []string) (*process, error) {
	if len(args) != 1 {
		return nil, errUsage
	}
	p, err := s.peer(args[0])
	if err != nil {
		return nil, err
	}
	return p.process, nil
}

func (s *scenario) typeLine(args []string) error {
	if len(args) != 2 {
		return errUsage
	}
	p, err := s.one(args[:1])
	if err != nil {
		return err
	}
	s.engine.show.typed(p.name, args[1])
	return p.enqueue(args[1], false)
}

func (s *scenario) send(args []string) error {
	if len(args) != 3 && len(args) != 4 {
		return errUsage
	}
	return s.command(args[0], args[3:], map[string]string{"cmd": "send", "to": args[1], "body": args[2]})
}

func (s *scenario) broadcast(args []string) error {
	if len(args) != 2 && len(args) != 3 {
		return errUsage
	}
	return s.command(args[0], args[2:], map[string]string{"cmd": "broadcast", "body": args[1]})
}

func (s *scenario) command(name string, ref []string, c map[string]string) error {
	if len(ref) > 0 {
		c["ref"] = ref[0]
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return s.typeLine([]string{name, string(text)})
}

func (s *scenario) closeInput(args []string) error {
	p, err := s.one(args)
	if err != nil {
		return err
	}
	s.engine.show.typed(p.name, "(end of input)")
	return p.enqueue("", true)
}

func (s *scenario) setMuted(args []string, muted bool) error {
	p, err := s.one(args)
	if err == nil {
		p.change(func() { p.muted = muted })
	}
	return err
}

func (s *scenario) signal(verb string, args []string) error {
	p, err := s.one(args)
	if err != nil {
		return err
	}
	sig, possible := signals[verb]
	if !possible {
		s.t.Skip(verb + " needs a Unix system, this is " + runtime.GOOS)
	}
	s.engine.show.typed(p.name, "("+verb+")")
	if verb == "kill" {
		p.change(func() { p.excused = true })
	}
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", verb, p.name, err, p.describe())
	}
	if verb == "freeze" {
		waitFrozen(p.cmd.Process.Pid)
	}
	if sig != syscall.SIGKILL {
		return nil
	}
	// What follows may start it again, so it has to be gone.
	return p.wait(in(patience), func(bool) (bool, error) { return p.ended, nil })
}

func (s *scenario) port(args []string) error {
	if len(args) != 1 {
		return errUsage
	}
	address, err := freeAddress()
	s.ts.Setenv(args[0], address)
	return err
}

func (s *scenario) fill(args []string) error {
	if len(args) != 2 {
		return errUsage
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 0 {
		return errUsage
	}
	s.ts.Setenv(args[0], strings.Repeat("0123456789abcdef", n/16+1)[:n])
	return nil
}

func (s *scenario) say(args []string) error {
	s.engine.show.heading(strings.Join(args, " "))
	return nil
}

// remember makes variables of an event's short fields.
func (s *scenario) remember(name string, l *line) {
	for _, field := range slices.Sorted(maps.Keys(l.fields)) {
		if v := l.field(field); len(v) <= 200 {
			s.ts.Setenv(name+"."+l.event+"."+field, v)
		}
	}
}
