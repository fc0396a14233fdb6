package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"quicpeer/scripts/internal/harness"
)

// engineTests are scenarios with the fake peer: what of the report must come
// where they fail, nothing where they pass.
var engineTests = []struct{ name, script, want string }{
	{"expect passes", `
start a
expect a ready id=a key~^SHA256: via=
type a '{"event":"x","n":3,"l":["p","q"],"nothing":null}'
expect a x n=3 'l=["p","q"]' nothing=null absent=
`, ""},
	{"expect fails", `
start a
expect a ready
type a '{"event":"x","n":3}'
expect a x n=4 within 300ms
`, `(?s)a printed no x n=4 within 300ms.*a runs; it printed 2 lines.*x .*"ready".*"n":3`},
	{"an event is taken once", `
start a
type a '{"event":"x"}'
expect a x
count a x 1
expect a x within 200ms
`, `a printed no x within 200ms`},
	{"the order is free", `
start a
type a '{"event":"x"}'
type a '{"event":"y"}'
expect a y
expect a x
expect a ready
`, ""},
	{"next passes", `
start a
type a '{"event":"x","n":1}'
type a '{"event":"y"}'
type a '{"event":"x","n":2}'
next a x n=1
next a x n=2
`, ""},
	{"next fails", `
start a
type a '{"event":"x","n":1}'
type a '{"event":"x","n":2}'
next a x n=2
`, `the next is not x n=2 but`},
	{"never passes", `
start a
expect a ready
never a ready for 50ms
never a x for 50ms
`, ""},
	{"never fails on what was there", `
start a
type a '{"event":"x"}'
type a '{"event":"y"}'
expect a y
never a x for 50ms
`, `a printed what it never should`},
	{"never fails on what comes", `
start a
expect a ready
type a '{"event":"x"}'
never a x for 20s
`, `a printed what it never should`},
	{"count fails", `
start a
expect a ready
count a ready 2
`, `a printed 1 times ready, not 2`},
	{"an end is not waited out", `
start a
type a 'err it is over'
type a 'exit 0'
expect a x within 10m
`, `(?s)a printed no x.*a has ended with status 0.*it is over`},
	{"exit passes", `
start a
type a 'exit 3'
exit a 3
start a
kill a
exit a killed
start a
close a
exit a 0
`, ""},
	{"exit fails", `
start a
type a 'exit 3'
exit a 0
`, `a ended with status 3, not 0`},
	{"exit waits", `
start a
expect a ready
exit a 0 within 200ms
`, `a hasn't ended within 200ms`},
	{"nobody asked for the end", `
start a
type a 'raw {"event":"x","time":"2026-01-01T00:00:00Z"}'
type a 'exit 1'
never a y for 10m
`, `a ended with status 1, and no exit or kill accounts for it`},
	{"log", `
start a
type a 'err first'
type a 'err second: $1'
log a '^second: \$1$'
! log a third
`, ""},
	{"log fails", `
start a
log a first within 200ms
`, `a's standard error has no "first" within 200ms`},
	{"not log fails", `
start a
type a 'err first'
log a first
! log a first
`, `a's standard error has "first"`},
	{"table", `
start a
table a
type a 'peers b c'
table a c b
`, ""},
	{"table fails", `
start a
type a 'peers b c'
table a b within 300ms
`, `a's table has \["b" "c"\], not \["b"\], after 300ms`},
	{"direct", `
start a
type a 'peers b! c d!'
direct a 2
table a b c d
`, ""},
	{"direct fails", `
start a
type a 'peers b! c d!'
direct a 3 within 300ms
`, `a has links to 2, not to 3, after 300ms`},
	{"a table is asked for once even too late", `
start a
expect a ready
table a within 1ns
`, ""},
	{"netns comes first", `
start a
netns a b
`, `netns comes once, before all that names a peer`},
	{"typed lines", `
start -text a
type a 'raw hello there'
expect a ^hello
! log a .
start b -join a
type b args
expect b args args~'-join 127.0.0.1:[0-9]+ '
`, ""},
	{"flags", `
start a -l 127.0.0.1:4001 -no-state --log-level=debug
start b QUICPEER_NETWORK=n --join=a -desired-id x -j host:1
type a args
expect a args 'args~^-l 127.0.0.1:4001 --log-level=debug --json --id a$'
type b args
expect b args 'args~^--join=127.0.0.1:4001 -desired-id x -j host:1 --json --state-dir [^ ]*/b --listen 127.0.0.1:0$'
start c -join a,host:1,b -no-id
type c args
expect c args 'args~^-join 127.0.0.1:4001,host:1,127.0.0.1:4001 --json --listen 127.0.0.1:0$'
`, ""},
	{"tickets", `
start a
expect a ready
invite a bob
start b -join @bob
type b args
expect b args 'args~^-join qp1bob[0-9] --json '
invite a carol admin within 10s
start c --join=a,@bob
type c args
expect c args 'args~^--join=127.0.0.1:[0-9]+,qp1bob[0-9] '
start d -j @carol
type d args
expect d args 'args~^-j qp1carol[0-9] '
type d 'err '${a.invitation.ticket}
log d ^qp1carol[0-9]$
count a invitation admin=true 1
remove a bob
remove a carol all
expect a done cmd=remove to=bob all=
expect a done cmd=remove to=carol all=true
`, ""},
	{"tickets by typed lines", `
start -text a
invite a bob
start b -join @bob
type b args
expect b args 'args~^-join qp1bob --json '
invite a carol admin
start c -join @carol
type c args
expect c args 'args~^-join qp1caroladmin '
remove a bob
expect a '^typed: /remove bob$'
remove a carol all
expect a '^typed: /remove carol all$'
`, ""},
	{"no invitation", "start a\ninvite a nobody within 10m\n", "a refuses to invite nobody: no, never"},
	{"no typed invitation", "start -text a\ninvite a nobody within 10m\n", "a refuses to invite nobody: no, never"},
	{"no answer to an invitation", "start a\nexpect a ready\ntype a 'exit 0'\nexit a 0\nstart a --silent\nmute a\ninvite a bob within 300ms\n", "a made no ticket for bob within 300ms"},
	{"no ticket yet", "start a\nstart b -join @bob\ninvite a bob\n", "there is no ticket for bob: invite NAME bob comes first"},
	{"invited as what", "start a\ninvite a bob king\n", "usage: invite NAME ID"},
	{"a ticket in the log", "start a\ninvite a leaky\ntype a 'err see '${a.invitation.ticket}' there'\nlog a see\n", "a: the ticket for leaky stands in its standard error"},
	{"a seed in the log", "start a\ninvite a leaky\ntype a 'err 0102030000000000000000000000000'\ntype a 'err 01020300000000000000000000000000'\nlog a [0-9]{32}\n", "a: the seed of the ticket for leaky stands in its standard error"},
	{"removed with what", "start a\nremove a bob some\n", "usage: remove NAME ID"},
	{"started twice", `
start a
start a
`, `a runs; it can be started again after its end`},
	{"variables", `
start a
expect a ready
type a 'err ${a.ready.key}'
type a '{"event":"x","y":"z"}'
expect a x
type a '{"event":"'${a.x.y}'"}'
expect a z
fill body 40
type a '{"event":"'$body'"}'
expect a 0123456789abcdef0123456789abcdef01234567
port p
start b --listen $p
expect b ready 'listen=["'$p'"]'
`, ""},
	{"cut and heal", `
cut a b
start a
expect a ready
start b
expect b ready
type a cut
expect a cut text~'^127\.0\.0\.1:[0-9]+\n$'
start c -listen 127.0.0.1:4003
cut c a b
type a cut
expect a cut text~'^127\.0\.0\.1:[0-9]+\n127.0.0.1:4003\n$'
heal a b
type a cut
expect a cut text~'^127.0.0.1:4003\n$'
heal
type a cut
expect a cut text=
`, ""},
	{"heal of no cut", `heal a b`, `a and b are not cut off`},
	{"a muted reader", `
start a
expect a ready
mute a
type a 'big 1000'
never a big n=999 for 300ms
! log a 'all printed'
unmute a
expect a big n=999
log a 'all printed'
`, ""},
	{"a data race", `
start a
type a 'err WARNING: DATA RACE'
log a RACE
`, `a: .*WARNING: DATA RACE`},
	{"a panic", `
start a
type a 'err panic: oh no'
type a 'exit 2'
exit a 2
`, `a: .*panic: oh no`},
	{"no JSON", `
start a
type a 'raw hello'
type a '{"event":"x"}'
expect a x
`, `a line is not a JSON object with an event: hello`},
	{"not ready first", `
start a --silent
type a '{"event":"x"}'
expect a x
`, `ready must be the first event`},
	{"a stranger", `
start a
type a '{"event":"message","from":"b","message":"1","path":"direct"}'
expect a message
`, `a message from a peer that isn't there`},
	{"a message twice", `
start a
type a '{"event":"peer_joined","id":"b"}'
type a '{"event":"message","from":"b","message":"1","path":"direct"}'
type a '{"event":"message","from":"b","message":"1","path":"direct"}'
expect a message
expect a message
`, `a message shown twice`},
	{"usage", "start a\nexpect a", `usage: expect NAME EVENT`},
	{"a field without value", `
start a
expect a x y
`, `"y" is neither field=value nor field~regexp`},
	{"not of another verb", `
start a
! expect a x
`, `there is no ! expect`},
	{"unknown peer", "type a x\nstart a\n", `test.txtar:1: no peer a has been started`},
	{"the user's own words", "start a\nkill\n", `(?s)> kill\n.*FAIL: /.*/test.txtar:2: usage: kill NAME`},
}

func TestEngine(t *testing.T) {
	for _, test := range engineTests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			failed, text := play(t, test.script)
			switch {
			case test.want == "" && failed:
				t.Errorf("fails:\n%s", text)
			case test.want != "" && !failed:
				t.Errorf("passes, but should fail with %q:\n%s", test.want, text)
			case test.want != "" && !regexp.MustCompile(test.want).MatchString(text):
				t.Errorf("fails without saying %q:\n%s", test.want, text)
			}
		})
	}
}

func TestSignals(t *testing.T) {
	script := `
start a
expect a ready
freeze a
type a '{"event":"x"}'
never a x for 100ms
thaw a
expect a x
stop a
exit a 7
`
	failed, text := play(t, script)
	if failed || strings.Contains(text, "needs a Unix system") != (runtime.GOOS == "windows") {
		t.Error(text)
	}
}

// A deadline counts from the last deed, not from the line that states it.
func TestWithin(t *testing.T) {
	pace := harness.NewPace()
	s := &scenario{pace: pace, acted: pace.Now() - time.Hour}
	rest, by, err := s.within([]string{"a", "left", "within", "5s"})
	if err != nil || len(rest) != 2 || by != pace.After(s.acted, 5*time.Second) || by.String() != "5s" {
		t.Errorf("%q until %v, %v", rest, by, err)
	}
	if _, by, err = s.within([]string{"a", "left"}); err != nil || by.Left() < patience/2 {
		t.Errorf("until %v, %v", by, err)
	}
	script := "start a\nexpect a ready\nexpect a x within 1s\ntype a x\n"
	began := time.Now()
	if failed, text := play(t, script); !failed || time.Since(began) < time.Second/2 {
		t.Errorf("the start was no deed:\n%s", text)
	}
}

// testscript's own kill and stop, the latter of which passes at once, are not
// what a scenario gets.
func TestOwnVerbs(t *testing.T) {
	for script, want := range map[string]string{
		"start a\n[linux] stop a\n":      "start a\n[linux] stop-peer a\n",
		"stop\n":                         "stop-peer\n",
		"start a\n! kill a\n":            "start a\n! kill-peer a\n",
		"# stop\nstart a\ntype a stop\n": "# stop\nstart a\ntype a stop\n",
		"start a\n-- file --\nstop a\n":  "start a\n-- file --\nstop a\n",
	} {
		name := filepath.Join(t.TempDir(), "s.txtar")
		if err := os.WriteFile(name, []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
		copies, err := new(engine).prepare([]string{name}, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(copies[0]); err != nil || string(got) != want {
			t.Errorf("%q became %q, %v", script, got, err)
		}
	}
}

// play plays a script with the fake peer and returns the report.
func play(t *testing.T, script string) (failed bool, text string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "test.txtar")
	if err := os.WriteFile(name, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	e := &engine{program: self, env: []string{fakeVariable + "=1"}, pace: harness.NewPace()}
	files, err := e.prepare([]string{name}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r := &report{out: &out, names: e.names, counts: &counts{}}
	testscript.RunT(r, e.params(files))
	e.running.Range(func(p, _ any) bool {
		t.Errorf("%s is left", p.(*process).name)
		return true
	})
	return r.counts.failed > 0, out.String()
}
