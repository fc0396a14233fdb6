package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long an expectation without "within" waits. It is long since
// a program built with -race on a busy machine is slow, and costs nothing when
// all is well.
const patience = time.Minute

// engine plays scenarios with one program.
type engine struct {
	program string
	env     []string        // added to each peer's environment
	show    *show           // where the peers' lines are printed as they come; nil: nowhere
	slots   chan struct{}   // bounds the scenarios that play at once; nil: no bound
	cutting map[string]bool // names of the scenarios with a cut

	events map[string][]string // that the peers print, with their fields; nil: not known
	names  *strings.Replacer   // writes in a report what the user has written

	mu      sync.Mutex
	running map[*process]struct{}
}

// build compiles the module's program into dir.
func build(dir string, race bool) (program string, err error) {
	program = filepath.Join(dir, "quicpeer.exe") // the ending is needed on Windows and harmless elsewhere
	args := []string{"build", "-buildvcs=false", "-o", program}
	if race {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "quicpeer")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build quicpeer: %w\n%s", err, out)
	}
	return program, nil
}

// params are what testscript needs to play the files, which prepare has made.
func (e *engine) params(files []string) testscript.Params {
	return testscript.Params{
		Files:               files,
		Cmds:                e.commands(),
		Setup:               e.setup,
		Condition:           condition,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	}
}

type scenarioKey struct{}

func (e *engine) setup(env *testscript.Env) error {
	if e.slots != nil {
		e.slots <- struct{}{}
		env.Defer(func() { <-e.slots })
	}
	s := &scenario{engine: e, t: env.T(), work: env.WorkDir, cuts: map[pair]bool{}}
	env.Values[scenarioKey{}] = s
	env.Defer(s.end)
	return nil
}

// commands makes testscript commands of the verbs.
func (e *engine) commands() map[string]func(*testscript.TestScript, bool, []string) {
	cmds := map[string]func(*testscript.TestScript, bool, []string){}
	for name, v := range verbs() {
		cmds[registered(name)] = func(ts *testscript.TestScript, neg bool, args []string) {
			s := ts.Value(scenarioKey{}).(*scenario)
			s.ts = ts
			if neg && name != "log" {
				ts.Fatalf("there is no ! %s; for what must not happen see never and count", name)
			}
			if neg {
				args = append([]string{"!"}, args...)
			}
			err := v.run(s, args)
			if !slices.Contains(expectations, name) {
				s.acted = time.Now()
			}
			switch {
			case errors.Is(err, errUsage):
				ts.Fatalf("usage: %s %s", name, v.usage)
			case err != nil:
				ts.Fatalf("%v%s", err, s.others(args))
			}
		}
	}
	return cmds
}

// condition is [ipv6].
func condition(cond string) (bool, error) {
	if cond != "ipv6" {
		return false, fmt.Errorf("unknown condition")
	}
	conn, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false, nil
	}
	return true, conn.Close()
}

var (
	ownVerb = regexp.MustCompile(`(?m)^([ \t]*(?:\[[^]\n]*\][ \t]*)*(?:![ \t]*)?)(kill|stop)\b`)
	cutLine = regexp.MustCompile(`(?m)^[ \t]*(\[[^]\n]*\][ \t]*)*cut\b`)
)

// registered is the name under which testscript knows a verb: it has a kill and a
// stop of its own, which can't be replaced. prepare writes the files accordingly.
func registered(verb string) string {
	if verb == "kill" || verb == "stop" {
		return verb + "-peer"
	}
	return verb
}

// prepare checks the files, copies them into dir as testscript is to see them, and
// returns the copies. It notes who needs --cut-file: with it the socket is not the one
// that users have.
func (e *engine) prepare(files []string, dir string) (copies []string, err error) {
	e.cutting = map[string]bool{}
	names := []string{registered("kill"), "kill", registered("stop"), "stop"}
	var problems []string
	for i, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		script, data, hasData := strings.Cut("\n"+string(text), "\n-- ")
		problems = append(problems, check(name, script[min(1, len(script)):], e.events)...)
		if cutLine.MatchString(script) {
			base := filepath.Base(name)
			e.cutting[strings.TrimSuffix(base, filepath.Ext(base))] = true
		}
		script = ownVerb.ReplaceAllString(script, "${1}${2}-peer")[1:]
		if hasData {
			script += "\n-- " + data
		}
		place := filepath.Join(dir, strconv.Itoa(i))
		if err := os.MkdirAll(place, 0o755); err != nil {
			return nil, err
		}
		copied := filepath.Join(place, filepath.Base(name))
		if err := os.WriteFile(copied, []byte(script), 0o644); err != nil {
			return nil, err
		}
		copies, names = append(copies, copied), append(names, copied, name)
	}
	e.names = strings.NewReplacer(names...)
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "\n"))
	}
	return copies, nil
}

// hasCut says whether the scenario's peers are to cut themselves off.
func (s *scenario) hasCut() bool {
	if s.network != nil {
		return false
	}
	name, _, _ := strings.Cut(s.ts.Name(), "#") // testscript numbers files of the same name
	return s.engine.cutting[name]
}

// scenario is one that is being played.
type scenario struct {
	engine *engine
	ts     *testscript.TestScript
	t      testscript.T
	work   string
	peers  []*peer
	cuts   map[pair]bool
	asked  int // tables asked for, to tell the answers apart

	network *network  // where the peers live; nil: on this machine's loopback
	acted   time.Time // when the last line that is no expectation was done
}

// peer finds a peer that has been started.
func (s *scenario) peer(name string) (*peer, error) {
	for _, p := range s.peers {
		if p.name == name && p.process != nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no peer %s has been started", name)
}

// place is the peer of a name, made when first named.
func (s *scenario) place(name string) *peer {
	for _, p := range s.peers {
		if p.name == name {
			return p
		}
	}
	p := &peer{name: name, dir: filepath.Join(s.work, name), cutFile: filepath.Join(s.work, name+".cut")}
	s.peers = append(s.peers, p)
	return p
}

// others shows the peers that a failed line doesn't name: the cause is often there.
func (s *scenario) others(args []string) string {
	var b strings.Builder
	for _, p := range s.peers {
		if p.process != nil && !slices.Contains(args, p.name) {
			b.WriteString("\n" + p.process.describeLast(8))
		}
	}
	return b.String()
}

// end kills what still runs and fails the scenario if a peer has done what none
// may do, whatever the scenario looked at.
func (s *scenario) end() {
	var complaints []string
	for _, p := range s.peers {
		for _, r := range p.runs {
			if c := r.unexpectedEnd(); c != "" {
				complaints = append(complaints, fmt.Sprintf("%s %s\n%s", p.name, c, r.describe()))
			}
		}
	}
	for _, p := range s.peers {
		for _, r := range p.runs {
			r.kill()
		}
	}
	for _, p := range s.peers {
		for _, r := range p.runs {
			if err := r.waitGone(patience); err != nil {
				complaints = append(complaints, err.Error())
			}
			s.engine.remove(r)
			for _, b := range r.breaches() {
				complaints = append(complaints, p.name+": "+b)
			}
		}
	}
	if s.network != nil {
		s.network.close()
	}
	if len(complaints) > 0 {
		s.t.Fatal("FAIL: " + strings.Join(complaints, "\nFAIL: "))
	}
}

func (e *engine) add(p *process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running == nil {
		e.running = map[*process]struct{}{}
	}
	e.running[p] = struct{}{}
}

func (e *engine) remove(p *process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.running, p)
}

// killAll is for an end of the engine in the middle of a scenario.
func (e *engine) killAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for p := range e.running {
		p.kill()
	}
}

// environment is the harness's own without settings for quicpeer, which would
// change what a scenario says.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "QUICPEER_") || strings.HasPrefix(kv, "XDG_") || strings.HasPrefix(kv, "HOME=")
	})
}
