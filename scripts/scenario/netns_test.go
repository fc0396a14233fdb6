package main

import (
	"strings"
	"testing"
)

// TestNetwork: a network of namespaces lets everything through but for cuts and an
// interface that is down.
func TestNetwork(t *testing.T) {
	script := `
netns a b c
start a
start b
start c
type a hear
type b hear
type c hear
expect a hearing
expect b hearing
expect c hearing
type a 'throw 10.0.0.2:5000 all is open'
expect b heard 'text=all is open' from=10.0.0.1:5000
cut a b
type a 'throw 10.0.0.2:5000 to one cut off'
type b 'throw 10.0.0.1:5000 from one cut off'
type a 'throw 10.0.0.3:5000 to another'
type b 'throw 10.0.0.3:5000 from another'
expect c heard 'text=to another'
expect c heard 'text=from another'
expect a thrown ok=true
expect b thrown ok=true
never b heard for 100ms
never a heard for 50ms
heal
type a 'throw 10.0.0.2:5000 healed'
expect b heard text=healed
cut a c
link b down
type a 'throw 10.0.0.2:5000 to one that is down'
never b heard for 200ms
link b up
type a 'throw 10.0.0.2:5000 up again'
expect b heard 'text=up again'
type c 'throw 10.0.0.1:5000 still cut off'
type c 'throw 10.0.0.2:5000 past the cut'
expect b heard 'text=past the cut'
never a heard for 50ms
count b heard 4
`
	failed, text := play(t, script)
	if strings.Contains(text, "netns needs") {
		t.Skip(text)
	}
	if failed {
		t.Error(text)
	}
}

// Where there can be no network the scenario is skipped, and says why.
func TestNoNetwork(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if failed, text := play(t, "netns a b\nstart a\n"); failed || !strings.Contains(text, "netns needs ") {
		t.Error(text)
	}
}
