package messaging

import (
	"testing"

	"quicpeer/certs"
)

func TestNearestName(t *testing.T) {
	d := &Directory{present: map[certs.ID]presence{"bull": {}}}
	near := func(to certs.ID, met ...certs.ID) string {
		d.met = map[certs.ID]Contact{}
		for _, id := range met {
			d.met[id] = Contact{}
		}
		return nearestName(to, d.metNames())
	}
	for to, want := range map[certs.ID]string{"alcie": "alice", "ALICE": "alice", "somebody": "", "bbo": "bob"} {
		if got := near(to, "alice", "bob", "carol"); got != want {
			t.Errorf("%s: %q, not %q", to, got, want)
		}
	}
	if got := near("boll", "bill", "ball", "bell"); got != "ball" {
		t.Errorf("of equals: %s", got)
	}
	if got := near("boll", "bill", "ball", "bell", "bull"); got != "bull" {
		t.Errorf("of equals of whom one is here: %s", got)
	}
}
