package messaging

import (
	"testing"

	"quicpeer/certs"
)

// TestCountsFor: an edit or deletion counts if both messages are by one key, and each kind in one conversation only.
func TestCountsFor(t *testing.T) {
	alice, bob, eve := certs.PublicKey{1}, certs.PublicKey{2}, certs.PublicKey{3}
	id := MessageID{7}
	said := Said{ID: id, From: "alice", Key: alice, To: "bob"}
	inRoom := Said{ID: id, From: "alice", Key: alice, To: "#dev"}
	for name, test := range map[string]struct {
		s           Said
		other       Said
		by, reacted bool // an edit or deletion counts; a reaction does
	}{
		"by its author":                    {Said{About: id, From: "alice", Key: alice, To: "bob"}, said, true, true},
		"by its receiver":                  {Said{About: id, From: "bob", Key: bob, To: "alice"}, said, false, true},
		"about another message":            {Said{About: MessageID{8}, From: "alice", Key: alice, To: "bob"}, said, false, false},
		"about none":                       {Said{From: "alice", Key: alice, To: "bob"}, Said{From: "alice", Key: bob, To: "bob"}, false, true},
		"under the author's ID":            {Said{About: id, From: "alice", Key: eve, To: "bob"}, said, false, true},
		"under another ID":                 {Said{About: id, From: "alice2", Key: alice, To: "bob"}, said, false, false},
		"by a third peer":                  {Said{About: id, From: "eve", Key: eve, To: "bob"}, said, false, false},
		"in a room, about a direct one":    {Said{About: id, From: "alice", Key: alice, To: "#dev"}, said, false, false},
		"directly, about one in a room":    {Said{About: id, From: "alice", Key: alice, To: "bob"}, inRoom, false, false},
		"in the same room":                 {Said{About: id, From: "alice", Key: alice, To: "#dev"}, inRoom, true, true},
		"in the same room, under a new ID": {Said{About: id, From: "alice2", Key: alice, To: "#dev"}, inRoom, true, true},
		"in the same room, by another one": {Said{About: id, From: "bob", Key: bob, To: "#dev"}, inRoom, false, true},
		"in another room":                  {Said{About: id, From: "alice", Key: alice, To: "#ops"}, inRoom, false, false},
		"to everyone, about one in a room": {Said{About: id, From: "alice", Key: alice, To: Everyone}, inRoom, false, false},
	} {
		for kind, want := range map[Kind]bool{KindEdit: test.by, KindDelete: test.by, KindReaction: test.reacted, "": false, KindAction: false} {
			test.s.Kind = kind
			if got := test.s.CountsFor(test.other); got != want {
				t.Errorf("%s, of the kind %q: %v", name, kind, got)
			}
		}
	}
}
