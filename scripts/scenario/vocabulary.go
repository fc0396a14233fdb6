package main

// events are the events of a --json peer, with their fields beside event and time. A
// test holds them against the program's.
var events = map[string][]string{
	"ready":         {"id", "key", "listen", "network", "version"},
	"joined":        {"address", "id", "ref"},
	"peer_joined":   {"id", "key", "via", "visitor"},
	"peer_changed":  {"id", "rooms", "tags", "visitor"},
	"peer_left":     {"id", "reason", "visitor"},
	"key_changed":   {"id", "was", "is"},
	"message":       {"message", "from", "key", "new_key", "to", "body", "binary", "sent_at", "path", "before", "unproved", "pos", "reply_to", "kind", "about", "wants_reply", "body_base64"},
	"sent":          {"message", "to", "ref", "pos", "reply_to", "kind", "about"},
	"delivered":     {"message", "to", "ref", "path", "rtt_ms", "pos"},
	"buffered":      {"message", "to", "ref", "reason", "pos"},
	"failed":        {"message", "to", "ref", "error", "pos"},
	"invitation":    {"id", "ticket", "expires", "admin", "lan_only", "ref"},
	"uninvited":     {"id", "ref"},
	"redeemed":      {"id", "key", "why"},
	"removed":       {"id", "key", "by", "ref"},
	"file_offered":  {"file", "message", "from", "to", "name", "size", "files", "names", "note", "path", "accepted", "dir", "declined", "skipped", "ref"},
	"file_progress": {"file", "ours", "peer", "name", "bytes", "of", "rate", "left_ms", "how", "ref"},
	"file_waits":    {"file", "peer", "name", "reason", "ref"},
	"file_done":     {"file", "peer", "name", "bytes", "path", "paths", "ref"},
	"file_failed":   {"file", "peer", "name", "error", "cancelled", "ref"},
	"files":         {"files", "ref"},
	"table":         {"peers", "ref"},
	"buffer":        {"messages", "ref"},
	"ignored":       {"peers", "ref"},
	"returned":      {"id", "address"},
	"pong":          {"id", "rtt_ms", "path", "how", "via", "address", "ref"},
	"rooms":         {"rooms", "ref"},
	"tags":          {"tags", "ref"},
	"net":           {"nat", "addresses", "port_map", "peers", "ref"},
	"whois":         {"id", "key", "safety_number", "pinned", "verified", "pin", "here", "how", "via", "address", "rtt_ms", "ref"},
	"trusted":       {"id", "ref"},
	"forgotten":     {"id", "ref"},
	"status":        {"id", "key", "network", "listen", "version", "protocol", "pid", "since", "state_dir", "socket", "disk", "peers", "direct", "waiting", "history_first", "history_end", "ref"},
	"outgoing":      {"messages", "ref"},
	"history":       {"messages", "ref"},
	"error":         {"error", "code", "input", "ref"},
	"left":          {"undelivered", "ref"},
}

// scriptVerbs are those of testscript itself, but for those that have been replaced.
var scriptVerbs = []string{
	"cd", "chmod", "cmp", "cmpenv", "cp", "env", "exec", "exists", "grep", "mkdir", "mv", "rm", "skip", "stderr", "stdin",
	"stdout", "symlink", "ttyin", "ttyout", "unix2dos", "unquote", "wait",
}
