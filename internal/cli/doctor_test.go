package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"quicpeer/internal/doctor"
	"quicpeer/overlay"
)

// inspect runs the command doctor; the machine of a test may well have something in the way.
func inspect(t *testing.T, args ...string) string {
	t.Helper()
	var out, stderr bytes.Buffer
	c := &command{args: append([]string{"doctor"}, args...), getenv: environment("HOME=" + t.TempDir()), stdout: &out}
	err := c.run(t.Context())
	if _, found := errors.AsType[*inTheWayError](err); found {
		if status := report(&stderr, err); status != statusFailed || !strings.Contains(stderr.String(), "in the way") {
			t.Errorf("status %d, %q", status, stderr.String())
		}
	} else if err != nil {
		t.Error(err)
	}
	return out.String()
}

func TestDoctor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bob")
	text := inspect(t, "-listen", "127.0.0.1:0", "--state-dir", dir)
	for _, want := range []string{": socket: ", "ok: state: the state directory " + dir + " will be made"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	state, err := overlay.OpenState(dir, "bob")
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	seen := map[string]string{}
	for line := range strings.Lines(inspect(t, "--json", "--state-dir", dir)) {
		var f struct{ Event, Time, Check, What string }
		if err := json.Unmarshal([]byte(line), &f); err != nil || f.Event != "finding" || f.Time == "" {
			t.Errorf("%s: %v", line, err)
		}
		seen[f.Check] = f.What
	}
	if !strings.Contains(seen["state"], "doesn't answer here") || seen["socket"] == "" {
		t.Errorf("%q", seen)
	}
}

func TestDoctorRefuses(t *testing.T) {
	c := &command{args: []string{"doctor", "--bogus"}, getenv: environment()}
	if _, is := errors.AsType[*usageError](c.run(t.Context())); !is {
		t.Error("a flag that isn't there is not refused")
	}
}

// What other peers have said is shown without effect.
func TestFindingsAreEscaped(t *testing.T) {
	f := doctor.Finding{Check: "peers", Level: doctor.Problem, What: "a\x1b[2J", Why: "b\nok: forged", Next: "c\u202e"}
	if got := string(findingText(f)); strings.Count(got, "\n") != 3 || strings.ContainsAny(got, "\x1b\u202e") {
		t.Errorf("%q", got)
	}
	f.Why = "\xff"
	if got := findingJSON(f); !json.Valid(got) {
		t.Errorf("%q", got)
	}
}
