package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"quicpeer/scripts/internal/harness"
	"quicpeer/scripts/netlab"
)

// peer is a name in a scenario.
type peer struct {
	name    string
	dir     string // state directory
	cutFile string
	fixed   string   // address to listen on, where it must be known before the start
	process *process // the last that it has had
}

var (
	nameWord = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	envWord  = regexp.MustCompile(`^QUICPEER_[A-Z_]+=`)
)

// flags is the command line of a peer, as far as the harness has to know it.
type flags struct {
	words []string
	given map[string]bool // long names, and the harness's own words
}

// aliases are the names of flags that the harness looks at, and its own words.
var aliases = map[string]string{
	"l": "listen", "listen": "listen", "j": "join", "join": "join",
	"i": "id", "id": "id", "desired-id": "id", "state-dir": "state-dir", "json": "json",
	"no-id": "no-id", "no-state": "no-state", "no-listen": "no-listen",
}

// parseFlags reads a command line as the program will, and replaces the values of
// --join by what address says.
func parseFlags(words []string, address func(string) (string, error)) (flags, error) {
	f := flags{given: map[string]bool{}}
	for i := 0; i < len(words); i++ {
		word := words[i]
		name, value, inline := strings.Cut(strings.TrimLeft(word, "-"), "=")
		long := ""
		if strings.HasPrefix(word, "-") {
			long = aliases[name]
			f.given[long] = true
		}
		if strings.HasPrefix(long, "no-") {
			continue
		}
		f.words = append(f.words, word)
		if long != "join" {
			continue
		}
		if !inline {
			if i++; i == len(words) {
				break // the program will say that a value is missing
			}
			value = words[i]
			f.words = append(f.words, value)
		}
		places := strings.Split(value, ",")
		for i, place := range places {
			var err error
			if places[i], err = address(place); err != nil {
				return f, err
			}
		}
		last := &f.words[len(f.words)-1]
		*last = strings.TrimSuffix(*last, value) + strings.Join(places, ",")
	}
	return f, nil
}

// start is the verb.
func (s *scenario) start(args []string) {
	text := args[0] == "-text"
	if text {
		args = args[1:]
	}
	s.require(len(args) > 0 && nameWord.MatchString(args[0]))
	name, args := args[0], args[1:]
	env := append(environment(s, name), "QUICPEER_JOIN_TIMEOUT=0")
	for len(args) > 0 && envWord.MatchString(args[0]) {
		env, args = append(env, args[0]), args[1:]
	}
	f, err := parseFlags(args, s.joinAddress)
	s.must(err)
	p := s.place(name)
	if p.process != nil && p.process.State().Status == "" {
		s.fail("%s runs; it can be started again after its end (see exit)", name)
	}
	if f.needsAddress() && p.fixed == "" && (text || s.isCut(p)) {
		s.must(p.fix())
	}
	words := f.complete(p, text)
	if s.hasCut() {
		words = append(words, "--cut-file", p.cutFile)
		s.writeCuts()
	}
	host := netlab.Here
	if s.lan != nil {
		host = s.host(name).Namespace
	}
	cmd := host.Command(append([]string{s.engine.program}, words...)...)
	cmd.Dir, cmd.Env = s.work, env
	s.engine.show.started(name, words)
	run, err := launch(name, text, cmd, s.engine.show)
	s.must(err)
	p.process, s.runs = run, append(s.runs, run)
	s.engine.running.Store(run, nil)
}

func (f flags) needsAddress() bool { return !f.given["listen"] && !f.given["no-listen"] }

// complete are the words of the line and those that it leaves to the harness.
func (f flags) complete(p *peer, text bool) []string {
	words := f.words
	if !text && !f.given["json"] {
		words = append(words, "--json")
	}
	if !f.given["id"] && !f.given["no-id"] {
		words = append(words, "--id", p.name)
	}
	if !f.given["state-dir"] && !f.given["no-state"] && !f.given["no-id"] {
		words = append(words, "--state-dir", p.dir)
	}
	if f.needsAddress() {
		words = append(words, "--listen", cmp.Or(p.fixed, "127.0.0.1:0"))
	}
	return words
}

// hasCut says whether the scenario's peers are to cut themselves off.
func (s *scenario) hasCut() bool {
	if s.lan != nil {
		return false
	}
	name, _, _ := strings.Cut(s.ts.Name(), "#") // testscript numbers files of the same name
	return s.engine.cutting[name]
}

// joinAddress is the ticket for an ID if that is what the value asks for, the address of a
// peer if there is one of that name, else the value itself.
func (s *scenario) joinAddress(value string) (string, error) {
	if id, ok := strings.CutPrefix(value, "@"); ok {
		if s.tickets[id] == "" {
			return "", fmt.Errorf("there is no ticket for %s: invite NAME %s comes first", id, id)
		}
		return s.tickets[id], nil
	}
	p := s.named(value)
	if p == nil || p.process == nil {
		return value, nil
	}
	addresses, err := p.addresses(s.pace)
	if err != nil {
		return "", fmt.Errorf("to join %s: %w", value, err)
	}
	return addresses[0], nil
}

// addresses are where a peer that has been started can be reached, by its ready event.
func (p *peer) addresses(pace *harness.Pace) ([]string, error) {
	if p.process.text {
		if p.fixed == "" {
			return nil, fmt.Errorf("%s has typed lines and a --listen of its own, so its address isn't known", p.name)
		}
		return []string{p.fixed}, nil
	}
	l, err := p.process.find(pattern{event: "ready"}, pace.In(patience), true)
	if err != nil {
		return nil, err
	}
	var ready struct{ Listen []string }
	if err := json.Unmarshal([]byte(l.Raw), &ready); err != nil || len(ready.Listen) == 0 {
		return nil, fmt.Errorf("%s is ready without addresses: %s", p.name, l.Raw)
	}
	return ready.Listen, nil
}

// fix gives a peer an address that others know before it is started.
func (p *peer) fix() error {
	addresses, err := harness.FreeAddresses(1)
	if err == nil {
		p.fixed = addresses[0]
	}
	return err
}
