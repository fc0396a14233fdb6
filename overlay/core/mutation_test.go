package core

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMutations shows that the tests bite: each mutation takes one thing away from
// the core, and the short tests, most of them simulations, must fail. The mutated file is
// laid over the real one by the go command.
func TestMutations(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package once for each mutation")
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip(err)
	}
	for _, m := range []struct {
		name, file, old, new string
	}{
		{"older news wins", "announce.go", "case order < 0:", "case false:"},
		{"an announcement is news each time", "announce.go", "case order == 0:", "case false:"},
		{"who is behind is not told", "announce.go", "c.announceTo(to, held, c.hops(held))", "_ = held"},
		{"records are not verified", "announce.go", "if !known && !c.cfg.VerifyRecord(", "if !known && false && !c.cfg.VerifyRecord("},
		{"the signature of a known record is not compared", "announce.go",
			"proto.Equal(held.signed, a.GetRecord())", "string(held.signed.GetPayload()) == string(a.GetRecord().GetPayload())"},
		{"nobody refutes", "announce.go", "c.setOwnRecord(pb.AnnouncementType_JOIN, max(c.refuteAbove, c.self.record.GetSeq())+1)", ""},
		{"only neighbours hear a refutation", "announce.go", "if from != nil && from.state == linkUp {", "if false {"},
		{"the loser of an ID stays", "announce.go", "if owner != c.self {", "if false {"},
		{"accusations are shown at once", "table.go", "now < e.doomed", "now < 0"},
		{"a suspect loses its ID", "table.go", "if !e.alive() && !e.suspect(now) {", "if !e.alive() {"},
		{"who was pushed out comes back", "table.go", "e.record.GetEpoch() <= v.epoch {", "false {"},
		{"a suspect is pushed out", "table.go", "!f.alive() && !f.suspect(now) &&", "!f.alive() &&"},
		{"broadcasts are shown each time", "broadcast.go", "if e.broadcasts.has(counter) {", "if false {"},
		{"broadcasts are not verified", "broadcast.go", "if !certs.VerifyBroadcast(", "if false && !certs.VerifyBroadcast("},
		{"broadcasts are not repeated to new neighbours", "broadcast.go", "if b.from != l.id && b.at >= e.since {", "if false {"},
		{"early broadcasts are dropped", "broadcast.go", "if len(c.early) < maxEarly {", "if false {"},
		{"everybody is granted neighbourhood", "neighbours.go", "c.degree() < maxNeighbours)", "true)"},
		{"only the granted count", "links.go", "if c.degree() < wantNeighbours ||", "if c.neighbours() < wantNeighbours ||"},
		{"new neighbours are not compared", "neighbours.go", "c.compareTables(l)", ""},
		{"strangers do not become neighbours", "links.go", "stranger && l.dial != nil &&", "stranger && false &&"},
		{"the lost are not redialled", "neighbours.go", "if len(lost) > 0 &&", "if false &&"},
		{"one address to join is enough", "join.go", "(alone || !t.reached)", "alone"},
		{"doors do not look for the ID", "handshake.go", "owner != nil && owner.key != l.key && !member", "owner != nil && false && !member"},
		{"a silent link is nothing", "detect.go", "if silent && !l.quiet {", "if false {"},
		{"a failed dial alone is proof", "detect.go", "(e.failures < enough || c.now < e.quarrelTill)", "(enough == 0)"},
		{"a stopped process blames the others", "core.go", "if late {", "if late && false {"},
		{"two links to one peer stay", "links.go", "case c.cfg.ID < l.peer || kept > 2:", "case false:"},
		{"both sides choose between two links", "links.go", "case c.cfg.ID < l.peer || kept > 2:", "default:"},
		{"a table on its way is enough", "sync.go", "if l.syncAgain {", "if false {"},
		{"goodbye overtakes broadcasts", "core.go", "c.repeatBroadcasts(l)", ""},
		{"newcomers see the lost join", "announce.go", "a.GetType() == pb.AnnouncementType_LOST && (e.alive() || e.suspect(c.now))", "a.GetType() == pb.AnnouncementType_LOST"},
		{"who has no epoch yet gives up", "announce.go", "news.epoch > c.cfg.Epoch && c.accepted", "news.epoch > c.cfg.Epoch"},
	} {
		t.Run(m.name, func(t *testing.T) {
			source, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), m.old); n != 1 {
				t.Fatalf("%s has %d times %q: adjust the mutation", m.file, n, m.old)
			}
			dir := t.TempDir()
			mutant := filepath.Join(dir, m.file)
			if err := os.WriteFile(mutant, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			original, err := filepath.Abs(m.file)
			if err != nil {
				t.Fatal(err)
			}
			overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
			if err != nil {
				t.Fatal(err)
			}
			list := filepath.Join(dir, "overlay.json")
			if err := os.WriteFile(list, overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(goCommand, "test", "-overlay", list, "-vet=off", "-short", "-failfast",
				"-timeout", "60s", "-run", "^Test", ".", "-rapid.nofailfile").CombinedOutput()
			switch {
			case err == nil:
				t.Errorf("no test notices it")
			case strings.Contains(string(out), "build failed"):
				t.Errorf("the mutation does not compile:\n%s", out)
			}
		})
	}
}
