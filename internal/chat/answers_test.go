package chat

import (
	"strings"
	"testing"
	"time"

	"quicpeer/internal/lines/linestest"
)

func TestNetAsText(t *testing.T) {
	n := linestest.New("me")
	n.Report = linestest.Net(time.Date(2026, 3, 4, 12, 1, 0, 0, time.Local))
	var b strings.Builder
	if leave, err := linestest.Execute(t, newTestText(&b), n, "/net"); leave || err != nil {
		t.Fatal(leave, err)
	}
	for _, want := range []string{"same port to everybody", "port mapping: none: PCP", "observed by bob, pub", "punched", "relayed via pub", "2: no"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("what others say is not escaped: %q", b.String())
	}
}
