package core

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutation takes one thing away from the core, which tests are to notice.
type mutation struct {
	name, file string
	// old is a condition or, ending in a semicolon here, a statement. It stands in the
	// file once, and new takes its place.
	old, new string
	// tests, a pattern, are those to notice it: few, so that it takes no time.
	tests string
}

var mutations = []mutation{
	// Statements and how they merge.
	{"older news wins", "announce.go", "order > 0", "order != 0", "TestOlderIsAnswered"},
	{"an announcement is news each time", "announce.go", "order > 0", "order >= 0", "TestFloodEnds"},
	{"who is behind is not told", "announce.go", "c.announceTo(to, held);", ";", "TestOlderIsAnswered"},
	{"records are not verified", "announce.go", "!c.knownClaim(n, claim) && !c.cfg.Verify(claim)", "false", "TestViolations"},
	{"the signature of a known record is not compared", "announce.go", "proto.Equal(held.record.Signed, n.record.Signed)",
		"string(held.record.Signed.GetPayload()) == string(n.record.Signed.GetPayload())", "TestViolations"},
	{"the word of one is enough", "announce.go", "len(n.witnesses) < minTestimonies", "len(n.witnesses) < 1", "TestViolations"},
	{"a testimony about anything will do", "announce.go",
		"certs.PublicKey(t.GetSubject()) != n.record.Key || t.GetEpoch() != n.record.Epoch || t.GetSeq() != n.record.Seq", "false", "TestViolations"},
	{"any accusation is believed", "announce.go", "n.state == pb.AnnouncementType_LOST && e != nil && e.alive() && !c.believes(n)", "false", "TestBelief"},
	{"old accusations are shown as soon", "announce.go", "c.now-e.said >= oldAfter", "false", "TestOldAccusation"},
	{"who is lost is its neighbour still", "announce.go", "l.neighbour && l.key == e.record.Key && c.now-l.heard > freshWithin", "false", "TestAccusation"},
	{"JOIN holds for ever", "lease.go", "age >= lease", "false", "TestLease"},
	{"what has expired is kept", "lease.go", "e == c.self || old < lease || e.buried() && old < rememberFor", "true", "TestLeaseOfAPeerThatIsHere"},
	{"who is buried is soon forgotten", "lease.go", "e == c.self || old < lease || e.buried() && old < rememberFor", "e == c.self || old < lease", "TestBurialOutlives"},
	{"nobody renews", "lease.go", "c.now >= c.renewAt && !c.leaving", "false", "TestRenewal"},
	{"changes are not paced", "announce.go", "refuted || c.mayFlood(e)", "true", "TestDamping"},
	{"refutations are paced", "announce.go", "refuted || c.mayFlood(e)", "c.mayFlood(e)", "TestRefutationsAreNotDamped"},
	{"what was held back is dropped", "lease.go", "c.flood(nil, e);", ";", "TestDamping"},
	{"what is being judged is judged again", "sync.go", "c.isNews(l, n) && !c.isJudged(n)", "c.isNews(l, n)", "TestJudgedOnce"},
	{"what is judged is dropped with its link", "sync.go", "!bad && !c.ended && c.isNews(l, n)", "l != nil && !bad && !c.ended && c.isNews(l, n)", "TestJudgedOnce"},
	{"one key started twice is two", "record.go",
		"return cmp.Or(cmp.Compare(v.epoch, w.epoch), cmp.Compare(v.seq, w.seq), cmp.Compare(v.state, w.state), cmp.Compare(v.tie, w.tie));",
		"return cmp.Or(cmp.Compare(v.epoch, w.epoch), cmp.Compare(v.seq, w.seq), cmp.Compare(v.state, w.state));", "TestTie"},

	// Ourselves, and who owns an ID.
	{"nobody refutes", "self.go", "c.setOwnRecord(pb.AnnouncementType_JOIN, max(c.refuteAbove, c.self.record.Seq)+1);", ";", "TestRefuted"},
	{"only neighbours hear a refutation", "self.go", "from != nil && from.state == linkUp", "false", "TestRefuted"},
	{"the loser of an ID stays", "self.go", "owner != c.self", "false", "TestOwnKeyKeepsItsPlace"},
	{"who has no epoch yet gives up", "self.go", "later && c.accepted", "later", "TestFoundBeforeDoor"},
	{"the accused are not told", "self.go", "c.sendRouted(a.entry.record.ID, &pb.Routed{Content: &pb.Routed_Accusation{Accusation: a.what}});", ";", "TestBelief"},
	{"goodbye overtakes broadcasts", "self.go", "c.repeatBroadcasts(l);", ";", "TestGoodbyeAfterBroadcast"},
	{"accusations are shown at once", "entry.go", "e.state == pb.AnnouncementType_LOST && now < e.our().doomed", "false", "TestAccusation"},
	{"a suspect loses its ID", "table.go", "!e.alive() && !e.suspect(now)", "!e.alive()", "TestDoor"},
	{"who was pushed out comes back", "forgotten.go", "!e.alive()", "false", "TestKeysChaseEachOther|TestKeysInTurn"},
	{"who has left is never forgotten", "lease.go", "c.forgetLeft();", ";", "TestForgetting"},
	{"a forgotten run comes back", "forgotten.go", "last > 0 && r.Epoch <= last", "false", "TestForgetting"},
	{"guests are flooded", "announce.go", "e.isGuest()", "false", "TestGuest$"},
	{"visitors are told of by others", "visitors.go", "!n.record.Visitor || from != nil && from.key == n.record.Key && n.state != pb.AnnouncementType_LOST", "true", "TestVisitorsSpeakForThemselves"},
	{"guests are in the table of a newcomer", "visitors.go", "!e.missing && !e.isGuest()", "!e.missing", "TestGuest$"},
	{"guests are told of by their distance", "routes.go", "!e.stale && e != c.self && !e.isGuest()", "!e.stale && e != c.self", "TestGuest$"},
	{"guests hear nothing", "broadcast.go", "!l.neighbour && !l.isGuest() && !alone", "!l.neighbour && !alone", "TestGuest$"},
	{"guests stay for ever", "visitors.go", "c.doubtful() || c.now-g.heard < patience", "true", "TestGuest$"},
	{"visitors stay visitors", "visitors.go", "c.now >= c.visit.until || c.linksUp() == 0", "false", "TestVisitor$"},
	{"who was away for long is sure of all", "detect.go", "c.unsure();", ";", "TestAwayForLong"},
	{"a suspect is pushed out", "table.go", "!f.alive() && !f.suspect(now) && (evicted == nil || f.expendable(evicted))",
		"!f.alive() && (evicted == nil || f.expendable(evicted))", "TestSuspectKeepsItsPlace"},
	{"doors do not look for the ID", "handshake.go", "owner != nil && owner.record.Key != l.key && !member", "false", "TestDoor"},

	// Broadcasts.
	{"broadcasts are taken each time", "broadcast.go", "r.has(number)", "false", "TestBroadcastOnce"},
	{"broadcasts are not verified", "broadcast.go", "!c.cfg.Verify(Claim{Broadcast: true, Key: key, Signed: m.GetContent()})", "false", "TestViolations"},
	{"broadcasts are not offered to new neighbours", "neighbours.go", "c.offerBroadcasts(l, true);", ";", "TestBroadcastOffered"},
	{"early broadcasts are dropped", "broadcast.go", "len(c.early) < maxEarly", "false", "TestBroadcastEarly"},
	{"broadcasts are shown as they come", "broadcast_run.go", "b != nil && b.number == r.next && c.reachesUser(r)", "b != nil && c.reachesUser(r)", "TestBroadcastOrder"},
	{"a gap is waited for without end", "broadcast_run.go", "c.now >= since+hold", "false", "TestBroadcastOrder"},
	{"what was passed over is shown late", "broadcast_run.go", "found || number <= r.floor || r.heard && number < r.next", "found || number == 0", "TestBroadcastOrder"},
	{"what is missing is not asked for", "broadcast_run.go", "c.askAnybody(r, b.number-1);", ";", "TestBroadcastMissed"},
	{"one neighbour after the other is asked at once", "broadcast_sync.go", "c.awaitsAnswer(r) || len(wants[o.link]) == pb.MaxRanges", "false", "TestCatchingUp"},
	{"what was caught up on is flooded", "broadcast.go", "!c.answered(l, r, number)", "true", "TestCatchingUp"},
	{"what was caught up on is not offered", "broadcast_sync.go", "c.offerBroadcasts(l, false);", ";", "TestCatchingUp"},
	{"what does not fit into an answer is forgotten", "broadcast_sync.go", "c.sendHeld(l, rest);", ";", "TestLongAnswer"},

	// Neighbours and links.
	{"everybody is granted neighbourhood", "neighbours.go", grants, "true", "TestCrowdedDoor"},
	{"no place is given up", "neighbours.go", grants, "l.neighbour || l.asked || c.degree() < maxNeighbours", "TestGivingUpOne"},
	{"a place is given up for anybody", "neighbours.go", grants, "l.neighbour || l.asked || c.degree() < maxNeighbours || c.giveUpOne()", "TestGivingUpOne"},
	{"nobody may depend on us", "neighbours.go", "m.GetAlone() && c.dependants() < maxDependants", "false", "TestDependants"},
	{"dependants take the places of others", "neighbours.go", "(l.neighbour || l.asked) && !l.dependant && !slices.Contains(keys, l.key)",
		"(l.neighbour || l.asked) && !slices.Contains(keys, l.key)", "TestDependants"},
	{"new neighbours are not compared", "neighbours.go", "c.compareTables(l);", ";", "TestJoin$"},
	{"new neighbours hear of no ways", "neighbours.go", "c.tellAllRoutes(l);", ";", "TestRoutesAreTold"},
	{"neighbours are sought without pause", "neighbours.go", "c.seeks.take(c.now, wantNeighbours, seekEvery)", "true", "TestSeeking"},
	{"more than enough are sought at once", "neighbours.go", "c.extras.take(c.now, 1, extraEvery)", "true", "TestSeeking"},
	{"the lost are not redialled", "neighbours.go", "len(lost) > 0", "false", "TestHalvesMeet"},
	{"only the granted count", "links.go", asks, "c.neighbours() < wantNeighbours || stranger && l.dial != nil && c.degree() < maxNeighbours", "TestCrowdedDoor"},
	{"strangers do not become neighbours", "links.go", asks, "c.degree() < wantNeighbours", "TestHalvesMeet"},
	{"two links to one peer stay", "choose.go", "c.cfg.ID < l.peer || kept > mostLinks", "false", "TestTwoLinks"},
	{"both sides choose between two links", "choose.go", "c.cfg.ID < l.peer || kept > mostLinks", "true", "TestTwoLinks"},
	{"unused links stay", "detect.go", "l.used <= l.opened && c.now > l.opened+unusedAfter", "false", "TestSilence"},

	// Reach.
	{"who is behind a NAT is dialled before the Go", "dial.go", "meets && c.callFor(wish, e)", "meets && c.callFor(wish, e) && false", "TestCall$"},
	{"anybody's Go is followed", "punch.go", "!ours && (!l.neighbour || l.tooManyGos(c.now, e))", "!ours && l.tooManyGos(c.now, e)", "TestGoIsNotAWeapon"},
	{"each Go is followed", "punch.go", "!l.gos.take(now, gosAtOnce-1, goEvery) || !e.with().gos.take(now, gosOfPeer-1, goOfPeerEvery)", "false", "TestGoIsNotAWeapon"},
	{"a link that serves is given up on somebody's word", "punch.go", "l == nil || c.dials[e.our().dialing] != nil", "true", "TestGoLeavesWhatServes"},
	{"the larger side closes what was silent", "choose.go", "old.quiet && (c.cfg.ID < l.peer || l.opened >= old.opened+2*simultaneous)", "old.quiet", "TestNeverBothClosed"},
	{"three links are too many", "choose.go", "kept > mostLinks", "kept > 2", "TestNeverBothClosed"},
	{"what a stranger names is ours", "whereabouts.go", "!c.isSeenAt(addr.Addr())", "false", "TestForwardedIsSeen"},
	{"a new address leaves the old port open", "whereabouts.go", "!c.isSeenAt(w.forwarded.Addr())", "false", "TestForwardedIsSeen"},
	{"where we were counts after a move", "whereabouts.go", "c.link(o.link) == nil || slices.Contains(old, o.addr) || onlyLoopback(own)", "false", "TestMovesAreForgotten"},
	{"where others saw us counts without a network", "whereabouts.go", "slices.Contains(old, o.addr) || onlyLoopback(own)", "false", "TestLosingTheNetwork"},
	{"any loopback address is dialled", "candidates.go", "ip.IsLoopback() && !c.hereAlone()", "false", "TestLoopbackOfOthers"},
	{"a door has us dial our own host", "join.go", "!c.mayBeHere(t, a.Address)", "false", "TestFullDoorNamesLoopback"},
	{"peers of a host lose each other with its network", "candidates.go", "alone && here.IsValid() && !c.isOwn(here)", "false", "TestLosingTheNetwork"},
	{"a door names victims", "join.go", "list = c.affordable(list);", ";", "TestDoorNamesVictims"},
	{"a door forges records", "join.go", "c.cfg.Verify(Claim{Key: key, Signed: record.Signed})", "true", "TestDoorNamesVictims"},
	{"anybody is who was found", "links.go", "l.dial.target.found != key.String()", "false", "TestFoundIsAnother"},
	{"who was found is never forgotten", "discovery.go", "t.hopeless || t.reached", "t.hopeless", "TestFoundAndGone"},
	{"a busy host keeps all others away", "candidates.go", "d.spent.next <= now && (oldest < 0 || d.last < h.list[oldest].last)", "i == 0 && d.spent.next <= now", "TestHostsMakeRoom"},
	{"who dials us pays for our dials", "links.go", "if l.dial != nil { // who dials us pays nothing for us\n\t\t\tc.hosts.answered(parseAddress(l.address).Addr())\n\t\t};",
		"c.hosts.answered(parseAddress(l.address).Addr());", "TestOnlyDialsAreGivenBack"},
	{"a whole subnet is dialled", "candidates.go", "c.isBroadcast(a.Addr())", "false", "TestSubnetIsNotDialled"},
	{"a Go leads anywhere", "punch.go", "!near && !signedHost(e.record, seen.Addr())", "false", "TestGoIsNotAWeapon"},
	{"each call is arranged", "punch.go", "!l.calls.take(c.now, callsAtOnce-1, callEvery) || !other.called.take(c.now, callsAtOnce-1, callEvery)", "false", "TestCoordinator"},
	{"one host is dialled without end", "candidates.go", "!c.hosts.take(parseAddress(a.Address).Addr(), c.now)", "false", "TestOneHostIsDialledSoOften"},
	{"the way over the router is as good", "choose.go", "near != c.nearLink(l)", "false", "TestNomination"},
	{"of two dials at once the last is kept", "choose.go", "(old.dial == nil) != (l.dial == nil)", "false", "TestNomination"},
	{"who has moved away from the LAN is kept out", "choose.go", "l.opened >= old.opened+simultaneous", "false", "TestNomination"},
	{"a new mapping is nothing", "whereabouts.go", "o.by == by && o.link == l.id && o.addr != addr", "false", "TestRemapped"},
	{"a liar has us dial without end", "whereabouts.go", "w.relinks.take(c.now, relinksAtOnce-1, relinkEvery)", "true", "TestRemappedWithoutEnd"},
	{"whom we know is a stranger", "whereabouts.go", "e == nil || e.our().lastAddress == \"\"", "true", "TestForwarded"},
	{"a symmetric NAT is announced anew by each peer", "whereabouts.go", "n > 0 && c.self != nil && slices.Contains(c.self.record.Observed, a.String())", "false", "TestSymmetric"},

	// Detection.
	{"a silent link is nothing", "detect.go", "l.state == linkUp && l.quiet", "false", "TestSilentLinkIsLookedInto"},
	{"who may be deaf accuses others", "detect.go", "c.deaf || c.now < c.doubtTill", "false", "TestQuestions"},
	{"who reaches nobody shows everybody", "detect.go", "c.isolate();", ";", "TestNoAddress"},
	{"who is deaf is cut off", "detect.go", "c.deafProven || len(c.dials) == 0", "true", "TestDeaf"},
	{"our own delay is nothing", "detect.go", "return min(lagWeight*c.lag, mostPatience);", "return 0;", "TestLag"},
	{"who was called lost in vain is again", "detect.go", "e != nil && e.our().revived > 0 && c.now < e.our().revivedAt+patienceFor", "false", "TestPatience"},
	{"a stopped process blames the others", "core.go", "late > doubtLate", "false", "TestStopped"},
	{"any epoch that is told is believed", "handshake.go", "last <= pb.MaxToldEpoch", "true", "TestToldEpoch"},
	{"no witness is enough", "witness.go", "quiet > 0 && quiet >= min(enoughWitnesses, counted)", "quiet >= min(enoughWitnesses, counted)", "TestWitnesses"},
	{"one witness of many is enough", "witness.go", "quiet > 0 && quiet >= min(enoughWitnesses, counted)", "quiet >= 1", "TestWitnesses$"},
	{"who has heard it does not matter", "witness.go", "c.now-q.fresh < freshWithin", "false", "TestWitnesses$"},
	{"a silent witness has heard it", "witness.go",
		"return &pb.Answer{Subject: r.Key[:], Epoch: r.Epoch, Seq: r.Seq, Fresh: testimony == nil, Testimony: testimony};",
		"return &pb.Answer{Subject: r.Key[:], Epoch: r.Epoch, Seq: r.Seq, Fresh: true};", "TestQuestions"},
	{"the word of strangers counts", "witness.go", "e != nil && c.now >= e.our().ignoredTill", "e == nil || c.now >= e.our().ignoredTill", "TestBelief"},
	{"who accuses without end is believed", "witness.go", "e != nil && c.now >= e.our().ignoredTill", "e != nil", "TestAccuserIsIgnored"},
	{"testimonies are not verified", "witness.go",
		"!c.mayTestify(t) || !c.cfg.Verify(Claim{Testimony: true, Key: certs.PublicKey(t.GetKey()), Signed: m.GetTestimony()})",
		"!c.mayTestify(t)", "TestTestimoniesThatDoNotCount"},

	// Routes and tables.
	{"another key answers pings", "routed.go", "certs.PublicKey(content.Ping.GetKey()) == c.cfg.Identity.Key()", "true", "TestPings"},
	{"a frame passes a peer twice", "routed.go", "slices.Contains(passed, string(l.peer))", "false", "TestRoutedBounds"},
	{"a frame does not go back", "routed.go", "l == nil || int(m.GetParents()[own]) == own", "true", "TestRoutedBounds"},
	{"the ways over a link outlive it", "routes.go", "e.hops[slot] = noWay;", ";", "TestRoutesAreTold"},
	{"longer ways are not told", "routes.go", "d != e.told && !e.buried()", "d < e.told && !e.buried()", "TestRoutesAreTold"},
	{"via is any neighbour", "routes.go", "l.neighbour && l.slot >= 0 && e.hops[l.slot] < noWay && (best == nil || e.hops[l.slot] < e.hops[best.slot])",
		"l.neighbour && l.slot >= 0 && e.hops[l.slot] < noWay", "TestRoutesAreTold"},
	{"a table that is not merged yet is enough", "fetch.go", "f.all && l.verifying == 0", "f.all", "TestTableIsJudgedFirst"},
	{"what is too much for an answer is forgotten", "sync.go", "p != nil && p.again", "false", "TestManyInOneBucket"},
	{"what the other lacks is not sent", "sync.go", "c.sendWanted(l, reply.GetWants());", ";", "TestManyInOneBucket"},
	{"a table of more than one piece is cut off", "fetch.go", "f.next != nil && l.verifying < maxVerifying", "false", "TestNewcomerTakesTheTable"},
	{"a stuck door keeps us from the next", "fetch.go", "asked == 0 || stuck", "asked == 0", "TestDoorWithoutTable"},
	{"a slow door keeps us from the next", "fetch.go", "c.now >= newest+longAtIt<<min(asked-1, 16)", "false", "TestDoorThatTrickles"},
	{"a door may repeat itself", "fetch.go", "f.last != nil && compareNames(r, f.last) <= 0 || f.entries == maxFetched", "false", "TestDoorThatRepeats"},
	{"a broken door is dialled at once", "fetch.go", "t.next = c.now + c.backoff(t.broken, maxBackoff);", ";", "TestBrokenDoor"},
	{"the log has each time that a peer breaks the protocol", "offences.go", "f.why == why || f.many >= offencesTold", "false", "TestBrokenDoor"},
	{"a table that comes is not waited for", "join.go", "!c.tableComes()", "true", "TestTableTakesItsTime"},
	{"one door's word is the end", "join.go", "!open || c.now >= c.heldBy", "true", "TestDoorSaysDuplicate"},
	{"the missing are in the digest", "digest.go", "if e.public() {\n\t\t\tb = e.appendVersion(b[:0])\n\t\t\th.Write(b)\n\t\t};",
		"b = e.appendVersion(b[:0])\n\t\t\th.Write(b);", "TestMissingIsOurs"},

	// Over others, and in custody.
	{"carrying is not bounded", "relay.go",
		"l.carried.spend(c.now, time.Second, cost(carryLink)) && c.relay.carried.spend(c.now, time.Second, cost(carryAll))", "true", "TestCarryingIsBounded"},
	{"parts of another whole are taken", "relay.go", "len(p.parts) != int(m.GetParts())", "false", "TestPartsThatLie"},
	{"what was handed over is not handed over again", "custody.go", "c.now >= k.next", "k.pause == 0", "TestCustody$"},
	{"anybody collects", "custody.go", "!known || !certs.VerifyCollected(key, m.GetContent())", "!known", "TestFalseCollected"},
	{"deposits expire one by one", "custody.go", "k.Depositor != \"\" && lives[k.DepositorKey] || c.now < k.left+custodyFor", "c.now < k.left+custodyFor", "TestDepositsExpireTogether"},
	{"all is handed over at once", "custody.go", "onTheWay > 0 && onTheWay+k.size() > handMost", "false", "TestHandingOverGarbage"},
	{"receipts are for those who left nothing", "custody.go", "k.Depositor != \"\" && (first == nil || at < named[first.id])",
		"first == nil || at < named[first.id]", "TestReceiptsAmongReceipts"},
	{"more is left behind what was not taken", "custody_own.go", "a.full || len(a.deposits) >= maxOwnForOne", "len(a.deposits) >= maxOwnForOne", "TestNothingIsLeftBehindARefusal"},
	{"what was left is not left anew", "custody_own.go", "c.now < a.deposits[0].since+leftFor", "true", "TestLeftAnew"},
	{"a holder is asked for more than the next", "custody_own.go", "h.asked != 0 || h.has == len(a.deposits) || !usable(l)",
		"h.has == len(a.deposits) || !usable(l)", "TestDepositing"},
	{"who has refused is a holder still", "custody_own.go", "a.holders = slices.Delete(a.holders, i, i+1);", ";", "TestHoldersThatRefuse"},

	// Broadcasts.
	{"who leaves has said nothing before", "announce.go", "e != nil && c.awaitLastWords(e, n)", "false", "TestLeaveWaitsForLastWords"},
	{"what is said again is looked at again", "broadcast_sync.go", "o.GetFirst() <= last[o.GetRun()]", "false", "TestOffersSaidOften"},
}

const (
	grants = "l.neighbour || l.asked || c.degree() < maxNeighbours || m.GetHave() < wantNeighbours && c.giveUpOne()"
	asks   = "c.degree() < wantNeighbours || stranger && l.dial != nil && c.degree() < maxNeighbours"
)

// TestMutations shows that the tests bite: with any of the mutations those fail that
// pass without it. All are compiled into one program, where the environment chooses.
func TestMutations(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package once more")
	}
	run := buildMutants(t)
	t.Run("none", func(t *testing.T) {
		var tests []string
		for _, m := range mutations {
			tests = append(tests, m.tests)
		}
		if out, err := run("", strings.Join(tests, "|")); err != nil {
			t.Fatalf("the tests fail:\n%s", out[max(0, len(out)-4000):])
		}
	})
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			if out, err := run(m.name, m.tests); err == nil {
				t.Errorf("%s do not notice it:\n%s", m.tests, out)
			}
		})
	}
}

// buildMutants compiles the tests of this package with all mutations in it, laid over
// the files by the go command. The function that it returns runs the tests of a pattern
// with one mutation, or none.
func buildMutants(t *testing.T) (run func(mutation, tests string) ([]byte, error)) {
	t.Helper()
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	replace := make(map[string]string)
	lay := func(file, source string) {
		original, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		replace[original] = filepath.Join(dir, file)
		if err := os.WriteFile(replace[original], []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lay("mutated.go", "package core\n\nimport \"os\"\n\nvar chosen = os.Getenv(\"QUICPEER_MUTATION\")\n\n"+
		"func mutated(name string) bool { return chosen == name }\n")
	for file, source := range mutants(t) {
		lay(file, source)
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "mutants.exe")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command(goCommand, "test", "-c", "-vet=off", "-overlay", overlay, "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the mutations do not compile: %v\n%s", err, out)
	}
	return func(mutation, tests string) ([]byte, error) {
		c := exec.Command(program, "-test.short", "-test.failfast", "-test.timeout=60s", "-test.run=^("+tests+")", "-rapid.checks=100")
		c.Env = append(os.Environ(), "QUICPEER_MUTATION="+mutation)
		return c.CombinedOutput()
	}
}

// mutants are the files with all mutations in them.
func mutants(t *testing.T) map[string]string {
	t.Helper()
	type place struct{ file, old string }
	var places []place // each once
	news := make(map[place][]mutation)
	for _, m := range mutations {
		at := place{m.file, m.old}
		if news[at] == nil {
			places = append(places, at)
		}
		news[at] = append(news[at], m)
	}
	sources := make(map[string]string)
	for _, at := range places {
		if sources[at.file] == "" {
			data, err := os.ReadFile(at.file)
			if err != nil {
				t.Fatal(err)
			}
			sources[at.file] = string(data)
		}
		old, statement := strings.CutSuffix(at.old, ";")
		if n := strings.Count(sources[at.file], old); n != 1 {
			t.Fatalf("%s has %d times %q: adjust the mutation", at.file, n, old)
		}
		mutant := "(" + old + ")"
		if statement {
			mutant = "{ " + old + " }"
		}
		for _, m := range news[at] {
			if statement {
				mutant = fmt.Sprintf("if mutated(%q) { %s } else %s", m.name, strings.TrimSuffix(m.new, ";"), mutant)
			} else {
				mutant = fmt.Sprintf("(mutated(%[1]q) && (%[2]s) || !mutated(%[1]q) && %[3]s)", m.name, m.new, mutant)
			}
		}
		sources[at.file] = strings.Replace(sources[at.file], old, mutant, 1)
	}
	return sources
}
