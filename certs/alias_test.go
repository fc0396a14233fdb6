package certs

import (
	"testing"
)

// TestAlias: an alias is a name and not an ID; it says which ID its peer claims.
func TestAlias(t *testing.T) {
	key := NewIdentity(make([]byte, 32)).Key()
	alias := Alias("bob", key)
	if _, err := ParseID(string(alias)); err == nil || len(alias) != len("bob~1234") || alias.Claimed() != "bob" || ID("bob").Claimed() != "bob" {
		t.Errorf("the alias is %s, of %s", alias, alias.Claimed())
	}
	for _, test := range []struct {
		name  string
		valid bool
	}{
		{string(alias), true}, {"bob", true}, {"bob~ab27", true}, {"", false}, {"~ab27", false}, {"bob~", false}, {"bob~ab2", false},
		{"bob~ab271", false}, {"bob~AB27", false}, {"bob~ab2~", false}, {"bob~ab20", false}, {"b b~ab27", false},
	} {
		if name, err := ParseName(test.name); (err == nil) != test.valid || test.valid && string(name) != test.name {
			t.Errorf("%q is read as %q, %v", test.name, name, err)
		}
	}
}
