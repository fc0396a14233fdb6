package chat

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/internal/nearest"
)

// typed is a parsed line.
type typed struct {
	verb verb
	to   certs.ID // the receiver of a say, empty: whoever is in front; a room; or the peer that it is about, empty: list all
	text string   // of a say; or the address to join, or what to cancel; or admin, all, or the ok of a verify; or the words of a command about files
}

type verb int

const (
	nothing verb = iota
	say
	joinPeer
	joinRoom
	partRoom
	frontRoom
	showRooms
	showPeers
	showTable
	showBuffer
	showNet
	withdraw
	invite
	uninvite
	remove
	showQR
	ignorePeer
	unignorePeer
	showWhois
	pingPeer
	trust
	verify
	forget
	showStatus
	showHistory
	searchHistory
	showHelp
	quit
	act      // what the user does
	reply    // to who has written a direct message last
	answer   // to the last message of another in front
	edit     // the last message in front
	unsay    // delete it
	react    // to the last message of another in front
	onScreen // about a terminal alone
	sendFiles
	getFiles
	showFiles
	dropFiles
	away // says so to the others
	back
)

var verbs = map[string]verb{
	"/peers":  showPeers,
	"/table":  showTable,
	"/buffer": showBuffer,
	"/net":    showNet,
	"/rooms":  showRooms,
	"/qr":     showQR,
	"/status": showStatus,
	"/help":   showHelp,
	"/quit":   quit,
	"/exit":   quit,
	"/q":      quit,
	"/who":    showPeers,
	"/names":  showPeers,
	"/delete": unsay,
	"/full":   onScreen,
	"/line":   onScreen,
	"/next":   onScreen,
	"/back":   back,
}

// textVerbs are those of commands that are followed by a text.
var textVerbs = map[string]verb{"/me": act, "/r": reply, "/reply": answer, "/edit": edit, "/react": react}

// peerVerbs are those of commands about one peer.
var peerVerbs = map[string]verb{"/whois": showWhois, "/ping": pingPeer, "/trust": trust, "/verify": verify, "/forget": forget}

// parseTyped parses a typed line. / and @ are special only at its beginning, and stand
// for themselves when doubled. Blanks before them make no difference: an invisible blank
// must not send to everyone what was meant for one. The text of a message is taken
// verbatim.
func parseTyped(line string) (typed, error) {
	begun := strings.TrimLeftFunc(line, isBlank)
	switch blanks := line[:len(line)-len(begun)]; {
	case begun == "":
		return typed{}, nil
	case strings.HasPrefix(begun, "//"), strings.HasPrefix(begun, "@@"):
		return typed{verb: say, text: blanks + begun[1:]}, nil
	case begun[0] == '@':
		return parseDirect(begun[1:], "@ID text")
	case begun[0] != '/':
		return typed{verb: say, text: line}, nil
	}
	command, rest := cutBlank(begun)
	switch command {
	case "/msg":
		return parseDirect(strings.TrimLeftFunc(rest, isBlank), "/msg ID text")
	case "/join":
		address := strings.TrimFunc(rest, isBlank)
		if strings.HasPrefix(address, "#") {
			return parseRoom(joinRoom, command, address)
		}
		if address == "" || strings.ContainsFunc(address, unicode.IsSpace) {
			return typed{}, lines.Bad("a peer to join is typed as /join HOST:PORT, a room as /join #name")
		}
		return typed{verb: joinPeer, text: address}, nil
	case "/invite", "/uninvite", "/remove":
		return parseAct(command, rest)
	case "/away":
		return typed{verb: away, text: strings.TrimFunc(rest, isBlank)}, nil
	case "/joins", "/notify":
		return typed{verb: onScreen}, nil
	case "/room", "/part":
		if name := strings.TrimFunc(rest, isBlank); strings.HasPrefix(name, "@") {
			return parseAbout(roomVerbs[command], command, strings.Fields(name))
		}
		return parseRoom(roomVerbs[command], command, strings.TrimFunc(rest, isBlank))
	case "/history", "/search":
		return parsePast(command, strings.TrimFunc(rest, isBlank))
	case "/cancel":
		return typed{verb: withdraw, text: strings.TrimFunc(rest, isBlank)}, nil
	case "/ignore", "/unignore":
		return parseIgnore(command, strings.TrimFunc(rest, isBlank))
	}
	if verb, ok := peerVerbs[command]; ok {
		return parseAbout(verb, command, strings.Fields(rest))
	}
	if verb, ok := fileVerbs[command]; ok {
		return typed{verb: verb, text: strings.TrimFunc(rest, isBlank)}, nil
	}
	if verb, ok := textVerbs[command]; ok {
		if strings.TrimFunc(rest, isBlank) == "" {
			return typed{}, lines.Bad("it is " + command + " TEXT")
		}
		return typed{verb: verb, text: rest}, nil
	}
	verb, ok := verbs[command]
	switch {
	case !ok:
		return typed{}, lines.Bad("there is no command " + OneLine(lines.Excerpt(command)) + nearest.Question(command, Commands()) +
			"; /help lists them, and a text that begins with / is typed with //")
	case strings.TrimLeftFunc(rest, isBlank) != "":
		return typed{}, lines.Bad(command + " stands alone on its line")
	}
	return typed{verb: verb}, nil
}

// parseDirect parses what follows the @ or /msg of a message to one peer, or to a room. The ID may be
// followed by a colon or a comma, which no ID contains, as in "@bob: hello".
func parseDirect(s, form string) (typed, error) {
	to, text := cutBlank(s)
	to = strings.TrimRight(to, ":,")
	if to == "" || text == "" {
		return typed{}, lines.Bad("a message to one peer is typed as " + form)
	}
	if strings.HasPrefix(to, "#") {
		c, err := parseRoom(say, form, to)
		c.text = text
		return c, err
	}
	id, err := certs.ParseName(to)
	if err != nil {
		return typed{}, lines.Bad(OneLine(lines.Excerpt(to)) + " is not a valid ID: " + OneLine(err.Error()))
	}
	return typed{verb: say, to: id, text: text}, nil
}

// parseAbout parses what follows a command about one peer: its ID, with or without an @, and for
// /verify perhaps the word ok.
func parseAbout(v verb, command string, words []string) (typed, error) {
	if v == verify && len(words) == 2 && words[1] == "ok" {
		c, err := parseAbout(v, command, words[:1])
		c.text = "ok"
		return c, err
	}
	if len(words) != 1 {
		form := command + " ID"
		if v == verify {
			form += ", or /verify ID ok when the numbers are the same"
		}
		return typed{}, lines.Bad("it is " + form)
	}
	name := strings.TrimPrefix(words[0], "@")
	id, err := certs.ParseName(name)
	if err != nil {
		return typed{}, lines.Bad(OneLine(lines.Excerpt(name)) + " is not a valid ID: " + OneLine(err.Error()))
	}
	return typed{verb: v, to: id}, nil
}

// isBlank reports whether r is invisible at the beginning of a line: white space, and
// format characters such as the direction marks that come with copied text.
func isBlank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// cutBlank splits s at its first blank or tab.
func cutBlank(s string) (before, after string) {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// Commands are the commands that can be typed.
func Commands() []string {
	list := []string{"/msg", "/history", "/search", "/join", "/joins", "/notify", "/away", "/room", "/part", "/cancel", "/invite", "/uninvite", "/remove", "/ignore", "/unignore"}
	list = slices.Concat(list, slices.Collect(maps.Keys(verbs)), slices.Collect(maps.Keys(peerVerbs)), slices.Collect(maps.Keys(textVerbs)), slices.Collect(maps.Keys(fileVerbs)))
	slices.Sort(list)
	return list
}
