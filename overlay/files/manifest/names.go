package manifest

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of names. They are those of the file systems in use, so that what one peer sends can be
// stored by any other.
const (
	MaxPart  = 255  // bytes of a part of a path
	MaxPath  = 4096 // bytes of a path
	MaxDepth = 100  // parts of a path
)

// reserved begins the names of what a transfer keeps beside the files that it receives.
const reserved = ".quicpeer-part-"

// NameError: a path is not one that every peer can store safely.
type NameError struct {
	Path string
	Rule string // which it breaks, as a clause
}

func (e *NameError) Error() string { return fmt.Sprintf("%q: %s", e.Path, e.Rule) }

// Check reports which rule a path breaks, as a *NameError. A path is relative, and its parts are
// separated by slashes. It must be safe and mean the same thing on every system, so the rules of
// all of them hold everywhere.
func Check(path string) error {
	if rule := broken(path); rule != "" {
		return &NameError{Path: path, Rule: rule}
	}
	return nil
}

func broken(path string) string {
	switch {
	case path == "":
		return "the name is empty"
	case len(path) > MaxPath:
		return fmt.Sprintf("the path is longer than %d bytes", MaxPath)
	case strings.HasPrefix(path, "/"):
		return "the path is absolute"
	case !utf8.ValidString(path):
		return "the name is not valid UTF-8"
	case !norm.NFC.IsNormalString(path):
		return "the name is not in Unicode's normal form C"
	case strings.Count(path, "/") >= MaxDepth:
		return fmt.Sprintf("the path is more than %d levels deep", MaxDepth)
	}
	for part := range strings.SplitSeq(path, "/") {
		if rule := brokenPart(part); rule != "" {
			return rule
		}
	}
	return ""
}

// brokenPart judges a part of a path that is valid UTF-8.
func brokenPart(part string) string {
	switch {
	case part == "":
		return "a part of the path is empty"
	case part == "." || part == "..":
		return "the path contains . or .."
	case len(part) > MaxPart:
		return fmt.Sprintf("a name is longer than %d bytes", MaxPart)
	case strings.HasSuffix(part, "."), strings.HasSuffix(part, " "):
		return "a name ends with a dot or a space, which Windows drops"
	case len(part) >= len(reserved) && Fold(part[:len(reserved)]) == reserved:
		return "names that begin with " + reserved + " are reserved"
	case isDevice(part):
		return "the name is that of a device on Windows"
	}
	for _, r := range part {
		switch {
		case strings.ContainsRune(`<>:"|?*\`, r):
			return fmt.Sprintf("a name contains %c, which Windows does not allow", r)
		case !isSafe(r):
			return fmt.Sprintf("a name contains the character %U, which is invisible or changes how text is shown", r)
		}
	}
	return ""
}

// isSafe reports whether a character may be in a name. Joiners may, since scripts and emoji need them.
func isSafe(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r != 0x7f
	}
	return !unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control, unicode.Noncharacter_Code_Point)
}

// isDevice reports whether Windows takes a name for that of a device: with any extension, in any
// case, and with spaces before the extension.
func isDevice(part string) bool {
	base, _, _ := strings.Cut(part, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	digit, isPort := strings.CutPrefix(base, "COM")
	if !isPort {
		digit, isPort = strings.CutPrefix(base, "LPT")
	}
	return isPort && (len(digit) == 1 && digit[0] >= '0' && digit[0] <= '9' || digit == "¹" || digit == "²" || digit == "³")
}

// Fold returns a form of a name that is the same for all names that some file system takes for one:
// those that differ in case, in how an accent is encoded, or in invisible characters.
func Fold(name string) string {
	if isPlain(name) {
		return strings.ToLower(name)
	}
	var b strings.Builder
	for _, r := range norm.NFD.String(name) {
		full := expansions[r]
		if full == "" && !isIgnored(r) {
			full = string(r)
		}
		for _, r := range full {
			b.WriteRune(foldRune(r))
		}
	}
	return norm.NFD.String(b.String())
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// foldRune returns the least of the characters that differ from r in case alone; of ASCII letters the small one.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	if least >= 'A' && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

// expansions are the characters that become several when case is folded (Unicode's CaseFolding.txt,
// status F), without those that canonical decomposition takes apart already.
var expansions = map[rune]string{
	'ß': "ss", 'ẞ': "ss", 'ŉ': "ʼn", 'ẚ': "aʾ", 'և': "եւ",
	'ﬀ': "ff", 'ﬁ': "fi", 'ﬂ': "fl", 'ﬃ': "ffi", 'ﬄ': "ffl", 'ﬅ': "st", 'ﬆ': "st",
	'ﬓ': "մն", 'ﬔ': "մե", 'ﬕ': "մի", 'ﬖ': "վն", 'ﬗ': "մխ",
}

// isIgnored reports whether a file system may compare names without this character.
func isIgnored(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}
