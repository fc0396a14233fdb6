package files

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"quicpeer/certs"
)

// Rule says which offers are accepted without asking. Its zero value asks.
type Rule struct {
	Never bool       // all offers are declined at once
	All   bool       // of everybody; else of those in From
	From  []certs.ID // whose ID is not held to another key
	Max   int64      // bytes; larger offers are asked for; 0: of any size
	Dir   string     // where they go, absolute; empty: Config.Into
}

// ParseRule reads a rule: "ask", "never", "all", or from=ID,…;max=SIZE;dir=DIR, of which each part may be missing, and
// all may stand for from. SIZE is a number of bytes, or one with K, M, G or T (1024 each).
func ParseRule(s string) (r Rule, err error) {
	switch s {
	case "", "ask":
		return r, nil
	case "never":
		return Rule{Never: true}, nil
	}
	for part := range strings.SplitSeq(s, ";") {
		name, value, _ := strings.Cut(part, "=")
		switch {
		case part == "all":
			r.All = true
		case name == "from" && value != "":
			for id := range strings.SplitSeq(value, ",") {
				from, err := certs.ParseID(id)
				if err != nil {
					return Rule{}, err
				}
				r.From = append(r.From, from)
			}
		case name == "max" && value != "":
			if r.Max, err = ParseSize(value); err != nil {
				return Rule{}, err
			}
		case name == "dir" && value != "":
			if r.Dir, err = filepath.Abs(value); err != nil {
				return Rule{}, err
			}
		default:
			return Rule{}, fmt.Errorf("%q: the rule is ask, never, all, or from=ID,…;max=SIZE;dir=DIR", part)
		}
	}
	if !r.All && r.From == nil {
		return Rule{}, errors.New("the rule says nobody: begin it with all or from=ID")
	}
	return r, nil
}

// accepts says whether an offer of that size is accepted; the ID of its sender is not held to another key.
func (r Rule) accepts(from certs.ID, size int64) bool {
	return (r.All || slices.Contains(r.From, from)) && (r.Max == 0 || size <= r.Max)
}

// ParseSize reads a number of bytes, which may end in K, M, G or T (1024 each).
func ParseSize(s string) (int64, error) {
	number, unit := s, int64(1)
	if s != "" {
		if i := strings.IndexByte("KMGT", s[len(s)-1]&^0x20); i >= 0 {
			number, unit = s[:len(s)-1], 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size: write bytes, or 500K, 20M, 2G", s)
	}
	return n * unit, nil
}
