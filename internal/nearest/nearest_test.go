package nearest

import (
	"strings"
	"testing"
)

func TestTo(t *testing.T) {
	words := []string{"listen", "join", "join-timeout", "id", "json", "log-level", "message", "network", "peers"}
	for typed, want := range map[string]string{
		"listen":                  "listen",
		"lisen":                   "listen",
		"lsiten":                  "listen",
		"listten":                 "listen",
		"liste":                   "listen",
		"Listen":                  "listen",
		"lisn":                    "",
		"jion":                    "join",
		"jon":                     "join",
		"jsno":                    "json",
		"mesage":                  "message",
		"mesasge":                 "message",
		"mssge":                   "",
		"join-time":               "join-timeout",
		"net":                     "network",
		"bogus":                   "",
		"ix":                      "",
		"":                        "",
		"peer":                    "peers",
		strings.Repeat("x", 1000): "",
	} {
		if got := To(typed, words); got != want {
			t.Errorf("%s: %q, want %q", typed, got, want)
		}
	}
	if got := To("message", []string{strings.Repeat("x", 1000)}); got != "" {
		t.Errorf("got %.10q", got)
	}
}
