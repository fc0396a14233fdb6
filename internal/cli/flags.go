package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"quicpeer/certs"
	"quicpeer/internal/nearest"
	"quicpeer/overlay"
)

// watching is how the peer is watched.
type watching struct {
	logLevel   slog.Level
	levelGiven bool // else it is warn on a terminal
	logJSON    bool
	metrics    string // HOST:PORT; empty: not given
	qlog       string // a directory; the same
}

// options are the checked settings from the command line and the environment.
type options struct {
	listen    string
	join      []string // the ticket among them
	askTicket bool     // --join -
	id        certs.ID // empty: not given
	stateDir  string   // empty: not given
	visitor   bool     // neither an ID, a state directory nor an address to listen on was given
	tags      map[string]string
	network   string
	privateNetwork
	joinTimeout time.Duration // 0: forever
	drain       time.Duration
	noRejoin    bool
	noCustody   bool
	discover    bool
	mapPort     bool
	history     overlay.HistoryConfig
	plain       bool
	json        bool
	noInput     bool
	full        bool // begin in full screen
	hook        hookOptions
	files       fileOptions
	watching
	cutFile string
	asked   // for, and nothing else is done
}

// privateNetwork says whether this peer has begun one.
type privateNetwork struct {
	private bool
	keyFile string // of the one that this run has begun
}

// asked are the flags that ask the program about itself.
type asked struct{ help, version bool }

// values are the flags as given, not checked yet.
type values struct {
	options
	id, logLevel, logFormat, historySize string
	tag                                  []string
	file                                 fileValues
}

// newFlagSet declares every flag. The help text in help.go is written by hand; a test
// checks it against this list.
func newFlagSet(v *values) *pflag.FlagSet {
	f := pflag.NewFlagSet("quicpeer", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	f.StringVarP(&v.listen, "listen", "l", ":0", "")
	f.StringArrayVarP(&v.join, "join", "j", nil, "")
	f.StringVarP(&v.id, "id", "i", "", "")
	f.StringVar(&v.stateDir, "state-dir", "", "")
	f.StringArrayVar(&v.tag, "tag", nil, "")
	f.StringVar(&v.network, "network", "", "")
	f.BoolVar(&v.private, "private", false, "")
	f.DurationVar(&v.joinTimeout, "join-timeout", 10*time.Second, "")
	f.DurationVar(&v.drain, "drain", 5*time.Second, "")
	f.BoolVar(&v.noRejoin, "no-rejoin", false, "")
	f.BoolVar(&v.noCustody, "no-custody", false, "")
	f.BoolVar(&v.discover, "discover", false, "")
	f.BoolVar(&v.mapPort, "map-port", false, "")
	f.BoolVar(&v.history.Off, "no-history", false, "")
	f.StringVar(&v.historySize, "history-size", "", "")
	f.IntVar(&v.history.Messages, "history-messages", 0, "")
	f.BoolVar(&v.full, "full", false, "")
	f.BoolVar(&v.plain, "plain", false, "")
	f.BoolVar(&v.json, "json", false, "")
	f.BoolVar(&v.noInput, "no-input", false, "")
	v.hook.declare(f)
	v.file.declare(f)
	f.StringVar(&v.logLevel, "log-level", "info", "")
	f.StringVar(&v.logFormat, "log-format", "text", "")
	f.StringVar(&v.metrics, "metrics", "", "")
	f.StringVar(&v.qlog, "qlog", "", "")
	f.BoolVar(&v.version, "version", false, "")
	f.BoolVarP(&v.help, "help", "h", false, "")
	f.StringVar(&v.cutFile, "cut-file", "", "") // for scenario tests: see cutSocket
	_ = f.MarkHidden("cut-file")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "desired-id" {
			name = "id"
		}
		return pflag.NormalizedName(name)
	})
	return f
}

// parseOptions reads the command line, and the environment for flags that are not on it.
// Its errors are usageErrors. With --help or --version it checks nothing else.
func parseOptions(args []string, getenv func(string) string) (options, error) {
	var v values
	f := newFlagSet(&v)
	o, err := v.parse(f, args, getenv)
	if err != nil {
		return options{}, usagef("%s", certs.HideTickets(err.Error()+oneDashMisspelt(f, args)))
	}
	return o, nil
}

func (v *values) parse(f *pflag.FlagSet, args []string, getenv func(string) string) (options, error) {
	if err := f.Parse(doubleDashes(f, args)); err != nil {
		return options{}, flagError(f, err)
	}
	if v.help || v.version {
		return v.options, nil
	}
	if f.NArg() > 0 {
		return options{}, unexpected(f.Arg(0), v.join)
	}
	given := map[string]string{} // the flag's or the variable's name, for messages
	var err error
	f.VisitAll(func(flag *pflag.Flag) {
		given[flag.Name] = "--" + flag.Name
		if flag.Changed || err != nil || !hasVariable(flag.Name) {
			return
		}
		name, value := fromEnvironment(flag.Name, getenv)
		if value == "" {
			return
		}
		given[flag.Name] = name
		if f.Set(flag.Name, value) != nil {
			err = usagef("%s=%q is not %s", name, value, wanted(flag))
		}
	})
	if err != nil {
		return options{}, err
	}
	return v.check(f, given)
}

// hasVariable is false for the two flags that make the command print something and exit:
// container images set QUICPEER_VERSION for other reasons.
func hasVariable(flag string) bool { return flag != "version" && flag != "help" }

// fromEnvironment returns the name of a flag's variable and its value, empty if unset.
func fromEnvironment(flag string, getenv func(string) string) (name, value string) {
	name = variable(flag)
	if value = getenv(name); value == "" && flag == "id" {
		name = variable("desired-id")
		value = getenv(name)
	}
	return name, value
}

// variable returns the name of a flag's environment variable.
func variable(flag string) string {
	return "QUICPEER_" + strings.ReplaceAll(strings.ToUpper(flag), "-", "_")
}

// doubleDashes adds a second dash to each argument that is one dash and the whole name of
// a long flag. It leaves everything else alone: the values of flags, and what follows "--".
// It walks the arguments exactly as pflag does.
func doubleDashes(f *pflag.FlagSet, args []string) []string {
	out, _ := walk(f, args)
	return out
}

// walk is doubleDashes, and finds the first argument that is neither a flag nor the value of one
// nor behind "--"; -1: there is none.
func walk(f *pflag.FlagSet, args []string) (out []string, word int) {
	out, word = make([]string, 0, len(args)), -1
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...), word
		}
		takesNext := false
		if name, ok := strings.CutPrefix(arg, "--"); ok {
			takesNext = longTakesNext(f, name)
		} else if name, ok := strings.CutPrefix(arg, "-"); ok && name != "" {
			long, _, _ := strings.Cut(name, "=")
			switch {
			case len(long) > 1 && f.Lookup(long) != nil:
				arg = "-" + arg
				takesNext = longTakesNext(f, name)
			case strings.HasPrefix(name, "test."):
				arg = "-" + arg // an unknown flag like any other; pflag would skip it silently
			default:
				takesNext = shortsTakeNext(f, name)
			}
		} else if word < 0 {
			word = i
		}
		out = append(out, arg)
		if takesNext && i+1 < len(args) {
			i++
			out = append(out, args[i])
		}
	}
	return out, word
}

// longTakesNext reports whether the argument after --name is its value.
func longTakesNext(f *pflag.FlagSet, name string) bool {
	if name == "" || strings.Contains(name, "=") {
		return false
	}
	flag := f.Lookup(name)
	return flag != nil && flag.NoOptDefVal == ""
}

// shortsTakeNext reports whether the argument after -shorts is a value: the last letter is
// a flag that needs one, and no letter before it has taken the rest as its own.
func shortsTakeNext(f *pflag.FlagSet, shorts string) bool {
	for i := range len(shorts) {
		flag := f.ShorthandLookup(shorts[i : i+1])
		switch {
		case flag == nil: // an error to come
			return false
		case i+2 < len(shorts) && shorts[i+1] == '=': // -l=value
			return false
		case flag.NoOptDefVal == "":
			return i == len(shorts)-1
		}
	}
	return false
}

// unexpected is the error for an argument that is not a flag, behind the given values of
// --join. It doesn't show what may be a part of a ticket.
func unexpected(arg string, join []string) error {
	if slices.ContainsFunc(join, certs.IsTicket) {
		return usagef("unexpected argument behind the ticket: put a ticket with blanks or line ends into quotes")
	}
	if certs.IsTicket(arg) {
		return usagef("unexpected argument: a ticket is given as --join TICKET")
	}
	arg = shortened(arg)
	if checkAddress(arg, true) == nil {
		return usagef("unexpected argument %q: did you mean --join %s?", arg, arg)
	}
	if near := nearest.To(arg, commandNames()); near != "" {
		return usagef("unexpected argument %q: did you mean quicpeer %s?", arg, near)
	}
	return usagef("unexpected argument %q: it is neither a flag nor a command (quicpeer --help lists both)", arg)
}

// longFlags returns the names of the documented flags.
func longFlags(f *pflag.FlagSet) []string {
	names := []string{"desired-id"}
	f.VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names = append(names, flag.Name)
		}
	})
	return names
}

// oneDashMisspelt returns a question to append to an error if an argument with one dash is
// near a long flag: pflag takes -lisen as -l with the value "isen", and complains of
// something else.
func oneDashMisspelt(f *pflag.FlagSet, args []string) string {
	for _, arg := range args {
		if arg == "--" {
			break
		}
		name, ok := strings.CutPrefix(arg, "-")
		name, _, _ = strings.Cut(name, "=")
		if !ok || strings.HasPrefix(name, "-") || f.Lookup(name) != nil {
			continue
		}
		if near := nearest.To(name, longFlags(f)); near != "" {
			return fmt.Sprintf("; did you mean -%s instead of -%s?", near, name)
		}
	}
	return ""
}

// flagError rewords pflag's error for the user.
func flagError(f *pflag.FlagSet, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return usagef("there is no flag -%s (quicpeer --help lists them)", unknown.GetSpecifiedShortnames())
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if near := nearest.To(name, longFlags(f)); near != "" {
			return usagef("there is no flag --%s; did you mean --%s?", name, near)
		}
		return usagef("there is no flag --%s (quicpeer --help lists them)", name)
	case errors.As(err, &missing):
		return usagef("--%s needs a value: %s", missing.GetFlag().Name, wanted(missing.GetFlag()))
	case errors.As(err, &invalid):
		return usagef("--%s=%q is not %s", invalid.GetFlag().Name, invalid.GetValue(), wanted(invalid.GetFlag()))
	}
	return usagef("%v (quicpeer --help lists the flags)", err)
}
