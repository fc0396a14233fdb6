package cli

import (
	"errors"
	"log/slog"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// environment returns a getenv for "NAME=value" items.
func environment(items ...string) func(string) string {
	return func(name string) string {
		for _, item := range items {
			if value, ok := strings.CutPrefix(item, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func TestDoubleDashes(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"-listen :5000 -join a:1", "--listen :5000 --join a:1"},
		{"-listen=:5000 -join=a:1", "--listen=:5000 --join=a:1"},
		{"-json -no-input -version -help", "--json --no-input --version --help"},
		{"-json=false", "--json=false"},
		{"-desired-id bob", "--desired-id bob"},
		{"--listen -join -join a:1", "--listen -join --join a:1"}, // a value looks like a flag
		{"-listen -join -join a:1", "--listen -join --join a:1"},
		{"--listen=x -join a:1", "--listen=x --join a:1"},
		{"--id -listen -listen :1", "--id -listen --listen :1"},
		{"-l -listen -listen :1", "-l -listen --listen :1"},
		{"-l:1 -listen :2", "-l:1 --listen :2"},
		{"-l=:1 -listen :2", "-l=:1 --listen :2"},
		{"-l= -listen :2", "-l= --listen :2"}, // the value is "="
		{"-hl -listen -listen :2", "-hl -listen --listen :2"},
		{"-hlx -listen :2", "-hlx --listen :2"},
		{"-ij -json", "-ij --json"}, // -i with the value "j"
		{"-id bob", "--id bob"},     // a whole name, so not -i with the value "d"
		{"-idx bob", "-idx bob"},
		{"-listn :1 -json", "-listn :1 --json"},
		{"-x -json", "-x --json"},
		{"--unknown -json", "--unknown --json"},
		{"-json -- -json -listen", "--json -- -json -listen"},
		{"-l -- -json", "-l -- --json"}, // here "--" is a value
		{"- -json", "- --json"},
		{"-h", "-h"},
		{"-listen", "--listen"},
		{"-test.v", "--test.v"},
		{"-=x -json", "-=x --json"},
	} {
		var v values
		got := doubleDashes(newFlagSet(&v), strings.Fields(test.args))
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%s became %s, want %s", test.args, s, test.want)
		}
	}
}

func TestParseOptions(t *testing.T) {
	defaults := options{listen: ":0", joinTimeout: 10 * time.Second, drain: 5 * time.Second, visitor: true}
	// A peer with a name, a state directory or an address of its own is not a visitor.
	with := func(change func(*options)) options {
		o := defaults
		change(&o)
		return o
	}
	for name, test := range map[string]struct {
		args []string
		env  []string
		want options
	}{
		"defaults": {want: defaults},
		"the issue's line": {
			args: []string{"-listen", ":5000", "-join", "host:5000"},
			want: with(func(o *options) { o.listen, o.visitor = ":5000", false; o.join = []string{"host:5000"} }),
		},
		"everything": {
			args: []string{
				"-l", "[::1]:5000", "-j", "a:1", "--join=b:2", "-i", "bob", "--state-dir", "d", "--network", "Büro 1",
				"--join-timeout", "0", "--drain", "1m", "--no-custody", "--discover", "--map-port", "--json", "--no-input", "--log-level", "WARNING", "--log-format", "JSON", "--cut-file", "c", "--metrics", ":9464", "--qlog", "q", "--tag", "role=db",
			},
			want: options{
				listen: "[::1]:5000", join: []string{"a:1", "b:2"}, id: "bob", stateDir: "d", network: "Büro 1",
				drain: time.Minute, noCustody: true, discover: true, mapPort: true, json: true, noInput: true, cutFile: "c", tags: map[string]string{"role": "db"},
				watching: watching{logLevel: slog.LevelWarn, levelGiven: true, logJSON: true, metrics: ":9464", qlog: "q"},
			},
		},
		"alias":     {args: []string{"--desired-id", "bob"}, want: with(func(o *options) { o.id, o.visitor = "bob", false })},
		"last wins": {args: []string{"--id", "a", "-desired-id=bob"}, want: with(func(o *options) { o.id, o.visitor = "bob", false })},
		"critical":  {args: []string{"--log-level=Critical"}, want: with(func(o *options) { o.logLevel, o.levelGiven = levelCritical, true })},
		"a level":   {env: []string{"QUICPEER_LOG_LEVEL=info"}, want: with(func(o *options) { o.levelGiven = true })},
		"variables": {
			env: []string{"QUICPEER_JOIN= a:1, b:2,", "QUICPEER_NO_INPUT=1", "QUICPEER_JSON=true", "QUICPEER_DRAIN=0", "QUICPEER_NO_CUSTODY=true", "QUICPEER_ID=bob"},
			want: with(func(o *options) {
				o.join, o.noInput, o.json, o.drain, o.noCustody, o.id, o.visitor = []string{"a:1", "b:2"}, true, true, 0, true, "bob", false
			}),
		},
		"a list by flags": {args: []string{"-j", "a:1, b:2,", "--join", "[::1]:3"}, want: with(func(o *options) { o.join = []string{"a:1", "b:2", "[::1]:3"} })},
		"tags": {
			args: []string{"-tag", "role=db, zone=b=c", "--tag=empty=", "--tag", "two words=x y"},
			env:  []string{"QUICPEER_TAG=role=web"},
			want: with(func(o *options) {
				o.tags = map[string]string{"role": "db", "zone": "b=c", "empty": "", "two words": "x y"}
			}),
		},
		"tags by variable": {
			env:  []string{"QUICPEER_TAG= role=db, zone=b,"},
			want: with(func(o *options) { o.tags = map[string]string{"role": "db", "zone": "b"} }),
		},
		"an image's version": {env: []string{"QUICPEER_VERSION=0.1.0", "QUICPEER_HELP=1"}, want: defaults},
		"alias by variable":  {env: []string{"QUICPEER_DESIRED_ID=bob"}, want: with(func(o *options) { o.id, o.visitor = "bob", false })},
		"a flag wins": {
			args: []string{"-join", "c:3", "--json=false"},
			env:  []string{"QUICPEER_JOIN=a:1", "QUICPEER_JSON=nonsense"},
			want: with(func(o *options) { o.join = []string{"c:3"} }),
		},
		"a directory":         {args: []string{"--state-dir=d"}, want: with(func(o *options) { o.stateDir, o.visitor = "d", false })},
		"the usual address":   {args: []string{"--listen=:0"}, want: with(func(o *options) { o.visitor = false })},
		"address by variable": {env: []string{"QUICPEER_LISTEN=:0"}, want: with(func(o *options) { o.visitor = false })},
		"empty is unset":      {env: []string{"QUICPEER_ID=", "QUICPEER_LISTEN="}, want: defaults},
		"help, whatever else": {
			args: []string{"--help", "extra"}, env: []string{"QUICPEER_DRAIN=x"},
			want: with(func(o *options) { o.help, o.visitor = true, false }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseOptions(test.args, environment(test.env...))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	for _, test := range []struct{ args, env, want string }{
		{"--bogus", "", "there is no flag --bogus"},
		{"--lisen :5000", "", "there is no flag --lisen; did you mean --listen?"},
		{"--Listen :5000", "", "did you mean --listen?"},
		{"--desird-id x", "", "did you mean --desired-id?"},
		{"--join-time 5s", "", "did you mean --join-timeout?"},
		{"--cut-fil x", "", "there is no flag --cut-fil (quicpeer"}, // nobody is to know it
		{"-lisen :5000", "", `unexpected argument ":5000": it is neither a flag nor a command (quicpeer --help lists both); did you mean -listen instead of -lisen?`},
		{"-lisen=:5000", "", "did you mean -listen instead of -lisen?"},
		{"-jion a:1", "", "did you mean -join instead of -jion?"},
		{"-jsno", "", "did you mean -json instead of -jsno?"},
		{"-nework x", "", "there is no flag -nework (quicpeer --help lists them); did you mean -network instead of -nework?"},
		{"-bogus", "", "there is no flag -bogus (quicpeer --help lists them)"},
		{"a:1", "", `unexpected argument "a:1": did you mean --join a:1?`},
		{"-x", "", "there is no flag -x"},
		{"-test.v", "", "there is no flag --test.v"},
		{"extra", "", `unexpected argument "extra"`},
		{"-- -json", "", `unexpected argument "-json"`},
		{"--json false", "", `unexpected argument "false"`},
		{"--json=maybe", "", `--json="maybe" is not true or false`},
		{"--id", "", "--id needs a value: an ID"},
		{"--id=", "", "an ID can't be empty"},
		{"--id b/d", "", "not '/'"},
		{"--id " + strings.Repeat("x", 65), "", "at most 64"},
		{"--listen 5000", "", "missing port"},
		{"--listen ::1:5000", "", "in brackets"},
		{"--listen [::z]:1", "", "not a valid IPv6 address"},
		{"--listen :65536", "", "up to 65535"},
		{"--listen :x", "", "the port is a number"},
		{"--listen=", "", "missing port"},
		{"--join a", "", "missing port"},
		{"--join a:", "", "the port is a number"},
		{"--join a:0", "", "can't be 0"},
		{"--join :5000", "", "localhost"},
		{"--join a/b:1", "", "no host name has"},
		{"--join a:1,b", "", `--join="b" is not HOST:PORT`},
		{"--join=", "", `--join=""`},
		{"--join=,", "", `--join=","`},
		{"--network a\tb", "", "printable"},
		{"--tag", "", "--tag needs a value: KEY=VALUE, such as role=db"},
		{"--tag db", "", `--tag="db" is not KEY=VALUE, such as role=db`},
		{"--tag role=a,db", "", `--tag="db" is not KEY=VALUE`},
		{"--tag =db", "", `--tag="=db" is not KEY=VALUE`},
		{"--tag=", "", `--tag="" is not KEY=VALUE`},
		{"--tag role=db --tag zone=a,role=web", "", `--tag gives role twice: leave one of them out`},
		{"--tag role=\xff", "", `--tag="role=\xff" is not UTF-8`},
		{"--tag role=" + strings.Repeat("x", 1024), "", "--tag can't be used: the tags are too long: 1035 bytes, the limit is 1024"},
		{"", "QUICPEER_TAG=role=db,zone", `QUICPEER_TAG="zone" is not KEY=VALUE`},
		{"", "QUICPEER_TAG=a=1,a=2", `QUICPEER_TAG gives a twice`},
		{"--state-dir=", "", "is empty"},
		{"--drain 5", "", "such as 500ms"},
		{"--drain=-1s", "", "negative"},
		{"--join-timeout -1s", "", "negative"},
		{"--on-message=", "", "is empty: name a command"},
		{"--on-message nowhere-to-be-found", "", `--on-message="nowhere-to-be-found" can't be used: there is no program "nowhere-to-be-found" in PATH`},
		{"--on-message a|b", "", "there is no shell to understand |"},
		{"--on-message-reply", "", "--on-message-reply needs --on-message"},
		{"--log-level loud", "", "debug, info, warn, error or critical"},
		{"--log-format xml", "", "text or json"},
		{"", "QUICPEER_DRAIN=soon", `QUICPEER_DRAIN="soon" is not a duration`},
		{"", "QUICPEER_JSON=yes", `QUICPEER_JSON="yes" is not true or false`},
		{"", "QUICPEER_ID=a b", `QUICPEER_ID="a b"`},
		{"", "QUICPEER_DESIRED_ID=a b", `QUICPEER_DESIRED_ID="a b"`},
		{"", "QUICPEER_JOIN=a:1,b", `QUICPEER_JOIN="b"`},
		{"", "QUICPEER_LOG_LEVEL=x", "QUICPEER_LOG_LEVEL"},
	} {
		args := strings.FieldsFunc(test.args, func(r rune) bool { return r == ' ' })
		_, err := parseOptions(args, environment(test.env))
		if _, ok := errors.AsType[*usageError](err); !ok {
			t.Errorf("%s %s: got %v, want a usageError", test.args, test.env, err)
			continue
		}
		if s := err.Error(); !strings.Contains(s, test.want) || strings.Contains(s, "\n") {
			t.Errorf("%s %s: %q lacks %q", test.args, test.env, s, test.want)
		}
	}
}

// The help names every flag with its default, and no others.
func TestHelpIsComplete(t *testing.T) {
	var v values
	f := newFlagSet(&v)
	f.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden == strings.Contains(helpText, "--"+flag.Name+" ") {
			t.Errorf("the help and --%s: hidden is %v", flag.Name, flag.Hidden)
		}
		if flag.Shorthand != "" && !strings.Contains(helpText, "-"+flag.Shorthand+", --"+flag.Name) {
			t.Errorf("the help lacks -%s", flag.Shorthand)
		}
	})
	for _, m := range regexp.MustCompile(`--([a-z][a-z-]*)`).FindAllStringSubmatch(helpText, -1) {
		if f.Lookup(m[1]) == nil {
			t.Errorf("the help names --%s, which isn't there", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`QUICPEER_([A-Z_]+)`).FindAllStringSubmatch(helpText, -1) {
		if name := strings.ReplaceAll(strings.ToLower(m[1]), "_", "-"); f.Lookup(name) == nil {
			t.Errorf("the help names QUICPEER_%s", m[1])
		}
	}
	for line := range strings.Lines(helpText) {
		if len(line) > 85 {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
}

// FuzzFlags checks that rewriting changes only dashes, nothing after "--" and no value,
// and that pflag understands the rewritten line as the walk did.
func FuzzFlags(f *testing.F) {
	f.Add("-listen\n:5000\n-join\nhost:5000")
	f.Add("--id\n-listen\n--\n-json")
	f.Add("-hl\n-json\n-test.v\n-=")
	f.Fuzz(func(t *testing.T, joined string) {
		args := strings.Split(joined, "\n")
		var v values
		set := newFlagSet(&v)
		got := doubleDashes(set, args)
		if len(got) != len(args) {
			t.Fatalf("%q became %q", args, got)
		}
		for i := range got {
			if got[i] != args[i] && got[i] != "-"+args[i] {
				t.Fatalf("%q became %q", args[i], got[i])
			}
		}
		if again := doubleDashes(set, got); !slices.Equal(again, got) {
			t.Fatalf("%q became %q, then %q", args, got, again)
		}
		marked := append(append([]string{"-json", "--"}, args...), "-json")
		if rest := doubleDashes(set, marked); rest[0] != "--json" || !slices.Equal(rest[1:], marked[1:]) {
			t.Fatalf("behind --: %q became %q", marked, rest)
		}
		// The walk has left alone whatever pflag takes as a value.
		var taken []string
		_ = set.ParseAll(got, func(_ *pflag.Flag, value string) error {
			taken = append(taken, value)
			return nil
		})
		for i := range got {
			if got[i] != args[i] && slices.Contains(taken, got[i]) && !slices.Contains(args, got[i]) {
				t.Fatalf("%q: the value %q was rewritten to %q", args, args[i], got[i])
			}
		}
		if _, err := parseOptions(args, environment()); err != nil {
			if _, ok := errors.AsType[*usageError](err); !ok {
				t.Fatalf("%q: %v is no usageError", args, err)
			}
		}
	})
}
