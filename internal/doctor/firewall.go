package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// firewalls looks for packet filters on this machine. Of several it is the outermost program that
// people use: ufw and firewalld write rules of nft, which are then not looked at by themselves.
func (r Request) firewalls(ctx context.Context, port uint16) (all []Firewall) {
	for _, look := range []func(context.Context, uint16) (Firewall, bool){r.ufw, r.firewalld, r.macOS, r.windows} {
		if w, there := look(ctx, port); there {
			all = append(all, w)
			if w.Active || w.Hidden != "" {
				return all
			}
		}
	}
	if w, there := r.nft(ctx, port); there {
		all = append(all, w)
	}
	return all
}

// ufw's configuration can be read by everybody, its rules by root alone.
func (r Request) ufw(ctx context.Context, port uint16) (w Firewall, there bool) {
	text, err := r.read("etc/ufw/ufw.conf")
	if err != nil {
		return w, false
	}
	w = Firewall{Name: "ufw", Active: enabled().MatchString(text)}
	if !w.Active {
		return w, true
	}
	out, err := r.Run(ctx, "ufw", "status", "verbose")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return w, false // its files are left over
	case err != nil:
		w.Hidden = why(err)
		return w, true
	}
	w.Active = strings.Contains(out, "Status: active")
	w.Strict = !strings.Contains(out, "allow (incoming)")
	w.Open = ufwOpen(out, port)
	return w, true
}

var enabled = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^\s*ENABLED\s*=\s*"?yes"?\s*$`) })

// ufwOpen says whether a rule of ufw status lets a UDP port in from anywhere: lines such as
// "5000/udp  ALLOW IN  Anywhere" or "5000:5100/udp …".
func ufwOpen(status string, port uint16) bool {
	for line := range strings.Lines(status) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(fields[1], "ALLOW") {
			continue
		}
		ports, protocol, limited := strings.Cut(fields[0], "/")
		if limited && protocol != "udp" {
			continue
		}
		if ports == "Anywhere" || holdsPort(strings.ReplaceAll(ports, ":", "-"), port) {
			return true
		}
	}
	return false
}

// holdsPort says whether a port is in a list such as 80,5000-5100.
func holdsPort(list string, port uint16) bool {
	for item := range strings.SplitSeq(list, ",") {
		low, high, is := strings.Cut(strings.TrimSpace(item), "-")
		if !is {
			high = low
		}
		from, err := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err == nil && err2 == nil && from <= int(port) && int(port) <= to && port != 0 {
			return true
		}
	}
	return false
}

// firewalld answers every user.
func (r Request) firewalld(ctx context.Context, port uint16) (w Firewall, there bool) {
	out, err := r.Run(ctx, "firewall-cmd", "--state")
	w = Firewall{Name: "firewalld"}
	switch {
	case missing(err):
		return w, false
	case strings.Contains(out+why(err), "not running"):
		return w, true
	case err != nil:
		w.Hidden = why(err)
		return w, true
	}
	w.Active = true
	zone, err := r.Run(ctx, "firewall-cmd", "--list-all")
	if err != nil {
		w.Hidden = why(err)
		return w, true
	}
	w.Strict = !strings.Contains(zone, "target: ACCEPT")
	for line := range strings.Lines(zone) {
		ports, ok := strings.CutPrefix(strings.TrimSpace(line), "ports:")
		for item := range strings.FieldsSeq(ports) {
			list, protocol, _ := strings.Cut(item, "/")
			w.Open = w.Open || ok && protocol == "udp" && holdsPort(list, port)
		}
	}
	return w, true
}

// macOS has a firewall of programs, not of ports.
func (r Request) macOS(ctx context.Context, _ uint16) (w Firewall, there bool) {
	out, err := r.Run(ctx, "socketfilterfw", "--getglobalstate")
	if missing(err) {
		return w, false
	}
	w = Firewall{Name: "the macOS firewall", Active: strings.Contains(out, "enabled")}
	if w.Active {
		w.Hidden = "it asks for each program whether it may be reached"
	}
	return w, true
}

func (r Request) windows(ctx context.Context, _ uint16) (w Firewall, there bool) {
	out, err := r.Run(ctx, "netsh", "advfirewall", "show", "currentprofile", "state")
	if missing(err) {
		return w, false
	}
	w = Firewall{Name: "the Windows firewall", Active: !strings.Contains(out, "OFF")}
	if w.Active {
		w.Hidden = "it asks for each program whether it may be reached"
	}
	return w, true
}

// nft lists the kernel's rules to root alone; iptables writes there, too.
func (r Request) nft(ctx context.Context, port uint16) (w Firewall, there bool) {
	out, err := r.Run(ctx, "nft", "--json", "list", "ruleset")
	w = Firewall{Name: "nft"}
	switch {
	case missing(err):
		return w, false
	case err != nil:
		w.Hidden = why(err)
		return w, true
	}
	w.Active, w.Strict, w.Open, err = nftRules([]byte(out), port)
	if err != nil {
		w.Hidden = err.Error()
	}
	return w, true
}

// nftItem is a chain or a rule of nft's JSON.
type nftItem struct {
	Chain *struct {
		Family, Table, Name, Type, Hook, Policy string
	}
	Rule *struct {
		Family, Table, Chain string
		Expr                 []map[string]json.RawMessage
	}
}

// nftRules reads a ruleset: whether anything filters what comes in, whether by default it is
// refused, and whether a rule lets a UDP port in, or UDP as a whole. It is an estimate: sets, maps
// and other conditions of a rule are not followed.
func nftRules(text []byte, port uint16) (active, strict, open bool, err error) {
	var set struct{ Nftables []nftItem }
	if err := json.Unmarshal(text, &set); err != nil {
		return false, false, false, fmt.Errorf("its rules can't be read: %w", err)
	}
	input := map[[3]string]bool{} // chains that see what comes in
	for _, item := range set.Nftables {
		if c := item.Chain; c != nil && c.Type == "filter" && c.Hook == "input" {
			input[[3]string{c.Family, c.Table, c.Name}] = true
			strict = strict || c.Policy == "drop"
		}
	}
	for _, item := range set.Nftables {
		rule := item.Rule
		if rule == nil {
			continue
		}
		first := input[[3]string{rule.Family, rule.Table, rule.Chain}]
		active = active || first
		conditions, udp, ours, verdict := weigh(rule.Expr, port)
		// A chain that the first one jumps to may have the rule that lets the port in.
		open = open || verdict == "accept" && (ours > 0 || conditions == udp && (udp > 0 || first))
		strict = strict || first && conditions == 0 && (verdict == "drop" || verdict == "reject")
	}
	return active || strict, strict, open, nil
}

// weigh counts a rule's conditions, those among them that every UDP packet meets, and those that
// packets to the port meet, and not all; and names what it does then.
func weigh(rule []map[string]json.RawMessage, port uint16) (conditions, udp, ours int, verdict string) {
	for _, e := range rule {
		for kind, text := range e {
			switch kind {
			case "accept", "drop", "reject":
				verdict = kind
			case "counter", "log":
			case "match":
				conditions++
				isUDP, isOurs := matches(text, port)
				if isUDP {
					udp++
				}
				if isOurs {
					ours++
				}
			default:
				conditions++ // whatever it is
			}
		}
	}
	return conditions, udp, ours, verdict
}

// matches says whether a condition of nft is one that every UDP packet meets, or one that UDP
// packets to a port do.
func matches(text json.RawMessage, port uint16) (udp, ours bool) {
	var m struct {
		Op   string
		Left struct {
			Payload struct{ Protocol, Field string }
			Meta    struct{ Key string }
		}
		Right json.RawMessage
	}
	if json.Unmarshal(text, &m) != nil || m.Op != "==" && m.Op != "in" {
		return false, false
	}
	if m.Left.Meta.Key == "l4proto" || m.Left.Payload.Field == "protocol" {
		return strings.Contains(string(m.Right), `"udp"`) || string(m.Right) == "17", false
	}
	to := m.Left.Payload
	return false, (to.Protocol == "udp" || to.Protocol == "th") && to.Field == "dport" && rightHolds(m.Right, port)
}

// rightHolds says whether a port is in the right side of a condition: a number, a range or a set of
// both.
func rightHolds(text json.RawMessage, port uint16) bool {
	var number int
	if json.Unmarshal(text, &number) == nil {
		return number == int(port) && port != 0
	}
	var list struct {
		Range []int
		Set   []json.RawMessage
	}
	if json.Unmarshal(text, &list) != nil {
		return false
	}
	if len(list.Range) == 2 {
		return port != 0 && list.Range[0] <= int(port) && int(port) <= list.Range[1]
	}
	for _, item := range list.Set { // no set is in a set
		if len(item) > 0 && !strings.Contains(string(item), `"set"`) && rightHolds(item, port) {
			return true
		}
	}
	return false
}

func missing(err error) bool {
	return errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist)
}

// why is an error in one line.
func why(err error) string {
	if err == nil {
		return ""
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}
