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
// the core, and the short tests must fail, which pass without it. The mutated file is
// laid over the real one by the go command.
func TestMutations(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package once for each mutation")
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip(err)
	}
	short := func(flags ...string) ([]byte, error) {
		flags = append(append([]string{"test", "-vet=off", "-short", "-failfast", "-timeout", "60s", "-run", "^Test"}, flags...), ".", "-rapid.nofailfile")
		return exec.Command(goCommand, flags...).CombinedOutput()
	}
	if out, err := short(); err != nil {
		t.Fatalf("without a mutation the tests fail:\n%s", out[max(0, len(out)-4000):])
	}
	for _, m := range []struct {
		name, file, old, new string
	}{
		{"older news wins", "announce.go", "return order > 0", "return order != 0"},
		{"an announcement is news each time", "announce.go", "return order > 0", "return order >= 0"},
		{"who is behind is not told", "announce.go", "c.announceTo(to, held)", "_ = held"},
		{"records are not verified", "announce.go", "if !c.knownClaim(n, claim) && ", "if false && "},
		{"the signature of a known record is not compared", "announce.go",
			"proto.Equal(held.record.Signed, n.record.Signed)", "string(held.record.Signed.GetPayload()) == string(n.record.Signed.GetPayload())"},
		{"the word of one is enough", "announce.go", "if len(list) < minTestimonies {", "if len(list) < 1 {"},
		{"a testimony about anything will do", "announce.go", "|| t.GetSeq() != n.record.Seq:", "&& false:"},
		{"who is lost is shown to newcomers", "announce.go", "c.arrived(e)\n\t} else {\n\t\tc.gone = append(c.gone, e)", "c.arrived(e)\n\t} else {\n\t\tc.bury(e, true)"},
		{"JOIN holds for ever", "announce.go", "return c.now-n.said >= lease", "return false"},
		{"what has expired is kept", "announce.go", "if e == c.self || old < lease ||", "if true || e == c.self || old < lease ||"},
		{"who is buried is soon forgotten", "announce.go", "e.buried() && old < rememberFor", "false"},
		{"nobody renews", "announce.go", "c.now >= c.renewAt && !c.leaving", "false"},
		{"changes are not paced", "announce.go", "case refuted || c.mayFlood(e):", "case refuted || true:"},
		{"refutations are paced", "announce.go", "case refuted || c.mayFlood(e):", "case refuted && false || c.mayFlood(e):"},
		{"what was held back is dropped", "announce.go", "c.mayFlood(e) {\n\t\t\tc.flood(nil, e)", "c.mayFlood(e) {\n\t\t\t_ = e"},
		{"any accusation is believed", "announce.go", "e.alive() && !c.believes(n) {", "false {"},
		{"nobody refutes", "self.go", "c.setOwnRecord(pb.AnnouncementType_JOIN, max(c.refuteAbove, c.self.record.Seq)+1)", ""},
		{"only neighbours hear a refutation", "self.go", "if from != nil && from.state == linkUp {", "if false {"},
		{"the loser of an ID stays", "self.go", "if owner != c.self {", "if false {"},
		{"who has no epoch yet gives up", "self.go", "case later && c.accepted:", "case later:"},
		{"the accused are not told", "self.go", "c.sendRouted(a.entry.record.ID,", "_ = (&Core{}).sendRouted(a.entry.record.ID,"},
		{"goodbye overtakes broadcasts", "self.go", "c.repeatBroadcasts(l)", ""},
		{"accusations are shown at once", "entry.go", "now < e.our().doomed", "now < 0"},
		{"a suspect loses its ID", "table.go", "if !e.alive() && !e.suspect(now) {", "if !e.alive() {"},
		{"who was pushed out comes back", "table.go", "r.Epoch <= v.epoch {", "false {"},
		{"a suspect is pushed out", "table.go", "!f.alive() && !f.suspect(now) &&", "!f.alive() &&"},
		{"broadcasts are shown each time", "broadcast.go", "if d.broadcasts.has(counter) {", "if false {"},
		{"broadcasts are not verified", "broadcast.go", "if !certs.VerifyBroadcast(", "if false && !certs.VerifyBroadcast("},
		{"broadcasts are not repeated to new neighbours", "broadcast.go", "if b.from != l.id && b.at >= since {", "if false && b.at >= since {"},
		{"early broadcasts are dropped", "broadcast.go", "if len(c.early) < maxEarly {", "if false {"},
		{"everybody is granted neighbourhood", "neighbours.go", "room := c.degree() < maxNeighbours", "room := true"},
		{"nobody may depend on us", "neighbours.go", "case alone && c.dependants() < maxDependants:", "case false:"},
		{"dependants take the places of others", "neighbours.go", "&& !l.dependant &&", "&&"},
		{"new neighbours are not compared", "neighbours.go", "c.becomeNeighbour(l, false)\n\t\tc.compareTables(l)", "c.becomeNeighbour(l, false)"},
		{"new neighbours hear of no ways", "neighbours.go", "c.tellAllRoutes(l)", ""},
		{"the lost are not redialled", "neighbours.go", "if len(lost) == 0 {", "if true {"},
		{"only the granted count", "links.go", "if c.degree() < wantNeighbours ||", "if c.neighbours() < wantNeighbours ||"},
		{"strangers do not become neighbours", "links.go", "stranger && l.dial != nil &&", "stranger && false &&"},
		{"two links to one peer stay", "links.go", "case c.cfg.ID < l.peer || kept > 2:", "case false:"},
		{"both sides choose between two links", "links.go", "case c.cfg.ID < l.peer || kept > 2:", "default:"},
		{"one address to join is enough", "join.go", "(alone || !t.reached)", "alone"},
		{"doors do not look for the ID", "handshake.go", "owner != nil && owner.record.Key != l.key && !member", "owner != nil && false && !member"},
		{"a silent link is nothing", "detect.go", "if l.state == linkUp && l.quiet {", "if false {"},
		{"who may be deaf accuses others", "detect.go", "return c.deaf || c.now < c.doubtTill", "return false"},
		{"who reaches nobody shows everybody", "detect.go", "c.isolate()", ""},
		{"a stopped process blames the others", "core.go", "if late > doubtLate {", "if false {"},
		{"no witness is enough", "witness.go", "case quiet > 0 && quiet >=", "case quiet >="},
		{"one witness of many is enough", "witness.go", "quiet >= min(enoughWitnesses, counted)", "quiet >= 1"},
		{"who has heard it does not matter", "witness.go", "case c.now-q.fresh < freshWithin", "case false && q.fresh < freshWithin"},
		{"a silent witness has heard it", "witness.go", "Fresh: testimony == nil, Testimony: testimony}", "Fresh: true}"},
		{"the word of strangers counts", "witness.go", "return e != nil && c.now >=", "return e == nil || c.now >="},
		{"who accuses without end is believed", "witness.go", "e != nil && c.now >= e.our().ignoredTill", "e != nil"},
		{"testimonies are not verified", "witness.go", "if !c.mayTestify(t) || !c.cfg.Verify(", "if !c.mayTestify(t) || false && !c.cfg.Verify("},
		{"another key answers pings", "routed.go", "== c.cfg.Identity.Key() {", "!= (certs.PublicKey{}) {"},
		{"a frame passes a peer twice", "routed.go", "|| slices.Contains(passed, string(l.peer)) {", "{"},
		{"a frame does not go back", "routed.go", "l == nil || int(m.GetParents()[own]) == own {", "true {"},
		{"the ways over a link outlive it", "routes.go", "\t\t\te.hops[slot] = noWay\n", ""},
		{"longer ways are not told", "routes.go", "if d := c.distance(e); d != e.told && !e.buried() {", "if d := c.distance(e); d < e.told && !e.buried() {"},
		{"via is any neighbour", "routes.go", "|| e.hops[l.slot] < e.hops[best.slot]) {", "|| true) {"},
		{"a table that is not merged yet is enough", "sync.go", "if l.verifying > 0 {", "if false {"},
		{"what is too much for an answer is forgotten", "sync.go", "p != nil && p.again {", "p != nil && false {"},
		{"what the other lacks is not sent", "sync.go", "c.sendWanted(l, reply.GetWants())", ""},
		{"a table of more than one piece is cut off", "sync.go", "if l.fetchNext != nil &&", "if l.fetchNext != nil && false &&"},
		{"the missing are in the digest", "digest.go", "if !e.missing {\n\t\t\tb = e.appendVersion(b[:0])", "if true {\n\t\t\tb = e.appendVersion(b[:0])"},
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
			out, err := short("-overlay", list)
			switch {
			case err == nil:
				t.Errorf("no test notices it")
			case strings.Contains(string(out), "build failed"):
				t.Errorf("the mutation does not compile:\n%s", out)
			}
		})
	}
}
