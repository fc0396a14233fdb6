package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"quicpeer/scripts/internal/harness"
)

// patience is how long an expectation without "within" waits. It is long since
// a program built with -race is slow, and costs nothing when all is well.
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

	pace    *harness.Pace
	running sync.Map // each *process
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
	sockets, err := os.MkdirTemp("", "qp")
	if err != nil {
		return err
	}
	s := &scenario{engine: e, t: env.T(), sockets: sockets, work: env.WorkDir, cuts: map[pair]bool{}, tickets: map[string]string{}, pace: e.pace}
	env.Values[scenarioKey{}] = s
	env.Defer(s.end)
	return nil
}

// commands makes testscript commands of the verbs.
func (e *engine) commands() map[string]func(*testscript.TestScript, bool, []string) {
	cmds := map[string]func(*testscript.TestScript, bool, []string){}
	for name, v := range verbs() {
		cmds[registered(name)] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg && v.not == nil {
				ts.Fatalf("there is no ! %s; for what must not happen see never and count", name)
			}
			s := ts.Value(scenarioKey{}).(*scenario)
			s.ts, s.usage, s.args = ts, name+" "+v.usage, args
			s.do(v, neg, args)
			if !v.looks {
				s.acted = e.pace.Now()
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

// prepare checks the files, copies them into dir as testscript is to see them, and returns the
// copies. It notes who needs --cut-file: with it the socket is not the one that users have.
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

// killAll is for an end of the engine in the middle of a scenario.
func (e *engine) killAll() {
	e.running.Range(func(p, _ any) bool {
		p.(*process).kill()
		return true
	})
}
