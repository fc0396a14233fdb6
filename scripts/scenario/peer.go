package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// peer is a name in a scenario, with the runs it has had.
type peer struct {
	name    string
	dir     string // state directory
	cutFile string
	fixed   string // address to listen on, where it must be known before the start
	runs    []*process
	process *process // the last of runs
}

var (
	nameWord = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	envWord  = regexp.MustCompile(`^QUICPEER_[A-Z_]+=`)
)

// flags is the command line of a peer, as far as the harness has to know it.
type flags struct {
	words []string
	given map[string]bool // long names
	// The harness's own words.
	noID, noState, noListen bool
}

// aliases are the names of flags that the harness looks at.
var aliases = map[string]string{
	"l": "listen", "listen": "listen", "j": "join", "join": "join",
	"i": "id", "id": "id", "desired-id": "id", "state-dir": "state-dir", "json": "json",
}

// parseFlags reads a command line as the program will, and replaces the values of
// --join by what address says.
func parseFlags(words []string, address func(string) (string, error)) (flags, error) {
	f := flags{given: map[string]bool{}}
	for i := 0; i < len(words); i++ {
		word := words[i]
		name, value, inline := strings.Cut(strings.TrimLeft(word, "-"), "=")
		switch {
		case word == "--no-id" || word == "-no-id":
			f.noID = true
			continue
		case word == "--no-state" || word == "-no-state":
			f.noState = true
			continue
		case word == "--no-listen" || word == "-no-listen":
			f.noListen = true
			continue
		case !strings.HasPrefix(word, "-"):
			f.words = append(f.words, word)
			continue
		}
		long := aliases[name]
		f.given[long] = true
		if long != "join" {
			f.words = append(f.words, word)
			continue
		}
		if !inline {
			f.words = append(f.words, word)
			if i++; i == len(words) {
				break // the program will say that a value is missing
			}
			value = words[i]
		}
		places := strings.Split(value, ",")
		for i, place := range places {
			var err error
			if places[i], err = address(place); err != nil {
				return f, err
			}
		}
		to := strings.Join(places, ",")
		if inline {
			to = strings.TrimSuffix(word, value) + to
		}
		f.words = append(f.words, to)
	}
	return f, nil
}

// start is the verb.
func (s *scenario) start(args []string) error {
	text := len(args) > 0 && args[0] == "-text"
	if text {
		args = args[1:]
	}
	if len(args) == 0 || !nameWord.MatchString(args[0]) {
		return errUsage
	}
	name, args := args[0], args[1:]
	env := append(environment(), s.engine.env...)
	for len(args) > 0 && envWord.MatchString(args[0]) {
		env, args = append(env, args[0]), args[1:]
	}
	f, err := parseFlags(args, s.joinAddress)
	if err != nil {
		return err
	}
	p := s.place(name)
	if p.process != nil && !p.process.hasEnded() {
		return fmt.Errorf("%s runs; it can be started again after its end (see exit)", name)
	}
	words := f.words
	if !text && !f.given["json"] {
		words = append(words, "--json")
	}
	if !f.given["id"] && !f.noID {
		words = append(words, "--id", name)
	}
	if !f.given["state-dir"] && !f.noState && !f.noID {
		words = append(words, "--state-dir", p.dir)
	}
	if !f.given["listen"] && !f.noListen {
		if p.fixed == "" && (text || s.isCut(p)) {
			if p.fixed, err = freeAddress(); err != nil {
				return err
			}
		}
		listen := p.fixed
		if listen == "" {
			listen = "127.0.0.1:0"
		}
		words = append(words, "--listen", listen)
	}
	if s.hasCut() {
		words = append(words, "--cut-file", p.cutFile)
		if err := s.writeCuts(); err != nil {
			return err
		}
	}

	command := append([]string{s.engine.program}, words...)
	if s.network != nil {
		h, err := s.network.host(name)
		if err != nil {
			return err
		}
		command = slices.Concat(h.enter, command) // nsenter becomes the program: the process is the peer's
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = s.work
	// A race must not go unseen in a process that lives on, nor cost a second
	// at each end.
	cmd.Env = append(env, "HOME="+filepath.Join(s.work, ".home", name), "GORACE=halt_on_error=1 atexit_sleep_ms=0")
	s.engine.show.started(name, words)
	run, err := launch(name, text, cmd, s.engine.show)
	if err != nil {
		return err
	}
	p.process, p.runs = run, append(p.runs, run)
	s.engine.add(run)
	return nil
}

func (p *process) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// joinAddress is the address of a peer if there is one of that name, else the value itself.
func (s *scenario) joinAddress(value string) (string, error) {
	i := slices.IndexFunc(s.peers, func(p *peer) bool { return p.name == value && p.process != nil })
	if i < 0 {
		return value, nil
	}
	addresses, err := s.peers[i].addresses()
	if err != nil {
		return "", fmt.Errorf("to join %s: %w", value, err)
	}
	return addresses[0], nil
}

// addresses are where a peer that has been started can be reached, by its ready event.
func (p *peer) addresses() ([]string, error) {
	if p.process.text {
		if p.fixed == "" {
			return nil, fmt.Errorf("%s has typed lines and a --listen of its own, so its address isn't known", p.name)
		}
		return []string{p.fixed}, nil
	}
	l, err := p.process.find(pattern{event: "ready"}, in(patience), true)
	if err != nil {
		return nil, err
	}
	var ready struct{ Listen []string }
	if err := json.Unmarshal([]byte(l.raw), &ready); err != nil || len(ready.Listen) == 0 {
		return nil, fmt.Errorf("%s is ready without addresses: %s", p.name, l.raw)
	}
	return ready.Listen, nil
}

// freeAddress is an address that was free a moment ago.
func freeAddress() (string, error) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return conn.LocalAddr().String(), conn.Close()
}
