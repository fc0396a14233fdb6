package cli

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/pb"
)

// check validates the values. Error messages call each by the name in given: the flag or
// the variable.
func (v *values) check(f *pflag.FlagSet, given map[string]string) (options, error) {
	o := v.options
	set := func(name string) bool { return f.Lookup(name).Changed }
	if err := checkAddress(v.listen, false); err != nil {
		return o, usagef("%s=%q is not %s: %v", given["listen"], v.listen, wanted(f.Lookup("listen")), err)
	}
	if err := checkAddress(v.metrics, false); err != nil && set("metrics") {
		return o, usagef("%s=%q is not %s: %v", given["metrics"], v.metrics, wanted(f.Lookup("metrics")), err)
	}
	if set("id") {
		id, err := certs.ParseID(v.id)
		if err != nil {
			return o, usagef("%s=%q can't be used: %v", given["id"], v.id, err)
		}
		o.id = id
	}
	o.visitor = !set("id") && !set("state-dir") && !set("listen")
	if err := v.checkJoin(&o, f, given); err != nil {
		return o, err
	}
	for _, name := range []string{"state-dir", "qlog", "on-message", "cut-file"} {
		if set(name) && f.Lookup(name).Value.String() == "" {
			return o, usagef("%s is empty: name %s, or leave it out", given[name], wanted(f.Lookup(name)))
		}
	}
	if err := v.checkTags(&o, f, given); err != nil {
		return o, err
	}
	if err := pb.CheckNetwork(v.network); err != nil {
		return o, usagef("%s=%q can't be used: %v", given["network"], v.network, err)
	}
	if err := v.checkPrivate(&o, f, given); err != nil {
		return o, err
	}
	for _, name := range []string{"join-timeout", "drain"} {
		if d, _ := f.GetDuration(name); d < 0 {
			return o, usagef("%s=%v is negative: give %s, or 0", given[name], d, wanted(f.Lookup(name)))
		}
	}
	if err := o.hook.check(given); err != nil {
		return o, err
	}
	if err := v.checkHistory(&o, f, given); err != nil {
		return o, err
	}
	if err := v.file.check(&o.files, given); err != nil {
		return o, err
	}
	return o, v.checkLog(&o, f, given)
}

// minHistory is the smallest history; see overlay.HistoryConfig.
const minHistory = 16 << 20

// checkHistory validates --history-size and --history-messages. The node has its own values for those that were not given.
func (v *values) checkHistory(o *options, f *pflag.FlagSet, given map[string]string) error {
	if !f.Lookup("history-messages").Changed {
		o.history.Messages = 0
	} else if v.history.Messages < 1 {
		return usagef("%s=%d is not %s", given["history-messages"], v.history.Messages, wanted(f.Lookup("history-messages")))
	}
	if f.Lookup("history-size").Changed {
		size, err := parseSize(v.historySize)
		if err != nil || size < minHistory {
			return usagef("%s=%q is not %s", given["history-size"], v.historySize, wanted(f.Lookup("history-size")))
		}
		o.history.Bytes = size
	}
	if o.history.Off && (o.history.Bytes != 0 || o.history.Messages != 0) {
		return usagef("%s keeps no history, so it has no size: leave one of the flags out", given["no-history"])
	}
	return nil
}

// parseSize reads a number of bytes with a unit of 1024: 512K, 256M, 2G.
func parseSize(text string) (int64, error) {
	number, unit := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(text), "B"), "I"), int64(1)
	for i, letter := range []string{"K", "M", "G", "T"} {
		if n, ok := strings.CutSuffix(number, letter); ok {
			number, unit = n, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err == nil && (n < 0 || n > 1<<62/unit) {
		err = strconv.ErrRange
	}
	return n * unit, err
}

// checkJoin validates the values of --join: addresses, and at most one ticket, or - instead.
func (v *values) checkJoin(o *options, f *pflag.FlagSet, given map[string]string) error {
	o.join = nil
	var ticket *certs.Ticket
	for _, item := range splitLists(v.join) {
		switch {
		case (item == "-" || certs.IsTicket(item)) && (ticket != nil || o.askTicket):
			return usagef("%s names two tickets: a peer joins one network with one of them", given["join"])
		case item == "-":
			o.askTicket = true
		case certs.IsTicket(item):
			var err error
			if ticket, err = certs.ParseTicket(item); err != nil {
				return usagef("%s: %v", given["join"], err)
			}
		default:
			if err := checkAddress(item, true); err != nil {
				return usagef("%s=%q is not %s: %v", given["join"], shortened(item), wanted(f.Lookup("join")), err)
			}
			o.join = append(o.join, item)
		}
	}
	if ticket != nil {
		return o.useTicket(ticket)
	}
	return nil
}

// checkTags validates the values of --tag.
func (v *values) checkTags(o *options, f *pflag.FlagSet, given map[string]string) error {
	for _, item := range splitLists(v.tag) {
		key, value, ok := strings.Cut(item, "=")
		if !ok || key == "" {
			return usagef("%s=%q is not %s", given["tag"], item, wanted(f.Lookup("tag")))
		}
		if !utf8.ValidString(item) {
			return usagef("%s=%q is not UTF-8", given["tag"], item)
		}
		if _, twice := o.tags[key]; twice {
			return usagef("%s gives %s twice: leave one of them out", given["tag"], key)
		}
		if o.tags == nil {
			o.tags = make(map[string]string)
		}
		o.tags[key] = value
	}
	if err := overlay.CheckTags(o.tags); err != nil {
		return usagef("%s can't be used: %v", given["tag"], err)
	}
	return nil
}

// useTicket makes this peer the one that the ticket is for.
func (o *options) useTicket(t *certs.Ticket) error {
	if o.id != "" && o.id != t.ID {
		return usagef("the ticket is for the ID %s, not %s", t.ID, o.id)
	}
	if o.network != "" && o.network != t.Name {
		return usagef("the ticket is for the network %q, not %q", t.Name, o.network)
	}
	o.id, o.visitor = t.ID, false
	o.join = append(o.join, t.Text())
	return nil
}

// checkPrivate validates --private.
func (v *values) checkPrivate(o *options, f *pflag.FlagSet, given map[string]string) error {
	if !v.private {
		return nil
	}
	if len(o.join) > 0 || o.askTicket {
		return usagef("%s makes a network, and %s joins another: leave one of them out", given["private"], given["join"])
	}
	if o.id == "" && o.stateDir == "" {
		return usagef("%s needs --id or --state-dir: the network's key must be kept", given["private"])
	}
	if err := certs.CheckPrivateName(v.network); err != nil {
		return usagef("%s=%q can't be used: %v", given["network"], v.network, err)
	}
	return nil
}

// splitLists splits comma-separated lists. Empty items are dropped, unless the whole list
// is empty.
func splitLists(lists []string) []string {
	var items []string
	for _, list := range lists {
		before := len(items)
		for item := range strings.SplitSeq(list, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		if len(items) == before {
			items = append(items, list) // will be reported as an error
		}
	}
	return items
}

func (v *values) checkLog(o *options, f *pflag.FlagSet, given map[string]string) error {
	level, ok := logLevels[strings.ToLower(v.logLevel)]
	if !ok {
		return usagef("%s=%q is not %s", given["log-level"], v.logLevel, wanted(f.Lookup("log-level")))
	}
	o.logLevel, o.levelGiven = level, f.Lookup("log-level").Changed
	format := strings.ToLower(v.logFormat)
	if !slices.Contains([]string{"text", "json"}, format) {
		return usagef("%s=%q is not %s", given["log-format"], v.logFormat, wanted(f.Lookup("log-format")))
	}
	o.logJSON = format == "json"
	return nil
}

// levelCritical is above everything that is logged. The line that says why the process
// ends is not part of the log, and always printed.
const levelCritical = slog.Level(12)

var logLevels = map[string]slog.Level{
	"debug":    slog.LevelDebug,
	"info":     slog.LevelInfo,
	"warn":     slog.LevelWarn,
	"warning":  slog.LevelWarn,
	"error":    slog.LevelError,
	"critical": levelCritical,
}

// checkAddress validates HOST:PORT. An address to dial needs a host and a port other
// than 0.
func checkAddress(address string, dial bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		if strings.Count(address, ":") > 1 && !strings.ContainsAny(address, "[]") {
			return errors.New("an IPv6 address stands in brackets, as in [::1]:5000")
		}
		if a, ok := errors.AsType[*net.AddrError](err); ok {
			return errors.New(a.Err)
		}
		return err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("the port is a number up to 65535")
	} else if n == 0 && dial {
		return errors.New("the port to dial can't be 0")
	}
	return checkHost(host, dial)
}

func checkHost(host string, dial bool) error {
	if host == "" {
		if dial {
			return errors.New("the host is missing; this machine is localhost")
		}
		return nil
	}
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return errors.New("the host is not a valid IPv6 address")
		}
		return nil
	}
	if strings.ContainsFunc(host, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return errors.New("the host has a character that no host name has")
	}
	return nil
}
