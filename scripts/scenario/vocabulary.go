package main

// events are the events of a --json peer, with their fields beside event and time. A
// test holds them against the program's.
var events = map[string][]string{
	"ready":       {"id", "key", "listen", "network", "version"},
	"joined":      {"address", "id", "ref"},
	"peer_joined": {"id", "key", "via"},
	"peer_left":   {"id", "reason"},
	"message":     {"message", "from", "to", "body", "sent_at", "path"},
	"sent":        {"message", "to", "ref"},
	"delivered":   {"message", "to", "ref", "path", "rtt_ms"},
	"buffered":    {"message", "to", "ref", "reason"},
	"failed":      {"message", "to", "ref", "error"},
	"invitation":  {"id", "ticket", "expires", "admin", "lan_only", "ref"},
	"uninvited":   {"id", "ref"},
	"redeemed":    {"id", "key", "why"},
	"removed":     {"id", "key", "by", "ref"},
	"table":       {"peers", "ref"},
	"buffer":      {"messages", "ref"},
	"ignored":     {"peers", "ref"},
	"net":         {"nat", "addresses", "port_map", "peers", "ref"},
	"error":       {"error", "input", "ref"},
	"left":        {"undelivered", "ref"},
}

// scriptVerbs are those of testscript itself, but for those that have been replaced.
var scriptVerbs = []string{
	"cd", "chmod", "cmp", "cmpenv", "cp", "env", "exec", "exists", "grep", "mkdir", "mv", "rm", "skip", "stderr", "stdin",
	"stdout", "symlink", "ttyin", "ttyout", "unix2dos", "unquote", "wait",
}
