package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
)

// notify says of which messages in a conversation a user is told who looks elsewhere.
type notify int

const (
	ofMentions notify = iota // and of all that are for this peer alone
	ofAll
	ofNone
)

// notifyWords are what is typed behind /notify.
var notifyWords = map[string]notify{"mentions": ofMentions, "all": ofAll, "off": ofNone}

func (n notify) wants(named bool) bool { return n == ofAll || n == ofMentions && named }

// notice rings, and tells the desktop, that a message is there for a user who looks elsewhere. Which
// sequence a terminal takes: OSC 9 by iTerm2, kitty and those that follow them, OSC 777 by rxvt, foot, ghostty.
// The console of Linux would print either.
func notice(term string, e *entry) tea.Cmd {
	const most = 100 // columns of the text
	from := string(e.said.From)
	text := clip(e.text(), most)
	seq := "\a"
	switch {
	case term == "linux" || term == "":
	case strings.Contains(term, "rxvt") || strings.Contains(term, "foot") || strings.Contains(term, "ghostty"):
		seq += "\x1b]777;notify;" + from + ";" + strings.ReplaceAll(text, ";", ",") + "\x1b\\"
	default:
		seq += "\x1b]9;" + from + ": " + text + "\x1b\\"
	}
	return tea.Raw(seq)
}
