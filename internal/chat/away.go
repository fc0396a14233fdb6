package chat

import (
	"maps"

	"quicpeer/internal/lines"
)

// AwayTag is the tag of a peer whose user is away, and says so.
const AwayTag = "away"

// setAway executes /away and /back: others see the text in /peers and /whois.
func (t *Frontend) setAway(n lines.Node, text string) error {
	tags := maps.Clone(n.Tags())
	if tags == nil {
		tags = map[string]string{}
	}
	_, was := tags[AwayTag]
	if delete(tags, AwayTag); text != "" {
		tags[AwayTag] = text
	}
	if err := n.SetTags(tags); err != nil {
		return lines.Deny(err)
	}
	switch {
	case text != "":
		return t.say("*", "the others see that you are away: "+OneLine(text)+"; /back ends that")
	case was:
		return t.say("*", "you are back")
	}
	return t.say("*", "you are not away; /away TEXT says so to the others")
}

// awayText is what the tags of a peer say of that, empty if it is there.
func awayText(tags map[string]string) string {
	if text := tags[AwayTag]; text != "" {
		return " (away: " + OneLine(lines.Excerpt(text)) + ")"
	}
	return ""
}
