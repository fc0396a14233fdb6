package core_test

import (
	"strings"
	"testing"

	"quicpeer/overlay/core"
)

// mutation is a change of the core that breaks one thing, which tests have to notice.
type mutation struct {
	name string
	// in is the function or method that the mutation changes, in this package or one
	// below it.
	in string
	// old is the pattern of an expression or a statement, which the function has once:
	// see match. new takes its place; a statement goes if new is empty.
	old, new string
	// tests is a pattern of the tests that have to notice it: few, so that it is quick.
	tests string
}

var mutations = []mutation{
	// Statements and how they merge.
	{"older news wins", "isNews", "order > 0", "order != 0", "TestConversations/announcements"},
	{"an announcement is news each time", "isNews", "order > 0", "order >= 0", "TestConversations/announcements"},
	{"a peer that is behind gets no answer", "answerOlder", "announceTo(_)", "", "TestConversations/announcements"},
	{"records are not verified", "signed", "Verify(_)", "true", "TestViolations"},
	{"the signature of a known record is not compared", "isSame", "Equal(signed, signed)", "string(r.Signed.GetPayload()) == string(other.Signed.GetPayload())", "TestViolations"},
	{"any accusation counts", "accept", "len(members) == 0 || _", "false", "TestConversations/suspicion"},
	{"strangers accuse", "members", "ContainsFunc(_)", "true", "TestConversations/suspicion"},
	{"the accused accuses itself", "members", "id != ID", "true", "TestConversations/suspicion"},
	{"a peer is slandered without end", "mayAccuse", "!changesTooOften(_)", "true", "TestSlandered"},
	{"the accused are not told", "tellAccused", "l.pending = append(_)", "", "TestRefutationsAreNotDamped"},
	{"a refutation does not find back", "told", "Contains(waiting, _)", "false", "TestRefutationsAreNotDamped"},
	{"a link brings losses without end", "mayAccuse", "from == nil || mayIntroduce(_)", "true", "TestLinkOfLosses"},
	{"accusations are shown at once", "suspect", "now < until", "false", "TestConversations/suspicion"},
	{"one accuser is as good as two", "giveTime", "len(accusers) > 1 && _", "true", "TestConversations/suspicion"},
	{"old accusations are shown as soon", "giveTime", "since < _", "true", "TestConversations/suspicion"},
	{"a peer that we hear ourselves is shown as soon", "giveTime", "!heard", "true", "TestConversations/door"},
	{"an accuser is two", "members", "!Contains(list, id)", "true", "TestConversations/suspicion"},
	{"an accuser confirms itself", "confirm", "Contains(_)", "false", "TestConversations/suspicion"},
	{"each accuser is passed on", "confirm", "len(accusers) >= MaxAccusers || Contains(_)", "slices.Contains(e.Side.Accusers, id)", "TestConversations/suspicion"},
	{"our own silence confirms nothing", "linkSilent", "happen(_)", "", "TestConversations/suspicion"},
	{"a silent witness does not confirm", "told", "!mayHear(l)", "false", "TestConversations/suspicion"},
	{"our own probe confirms nothing", "step", "happen(accused{_e})", "", "TestConversations/suspicion"},
	{"a lost peer stays a neighbour", "told", "_ > freshWithin", "false", "TestConversations/probes"},
	{"JOIN holds for ever", "expired", "age >= lease", "false", "TestConversations/forgetting"},
	{"expired entries are kept", "expire", "old < lease", "true", "TestConversations/forgetting"},
	{"buried entries are soon dropped", "expire", "old < rememberFor", "false", "TestConversations/forgetting"},
	{"nobody renews", "renew", "now >= renewAt", "false", "TestConversations/forgetting"},
	{"changes are not paced", "told", "mayFlood(_)", "true", "TestConversations/announcements"},
	{"refutations are paced", "told", "refutes() || _x", "_x", "TestRefutationsAreNotDamped"},
	{"changes held back are dropped", "floodHeldBack", "flood(_)", "", "TestConversations/announcements"},
	{"a statement being judged is judged again", "receiveReconcile", "!isJudged(_)", "true", "TestJudgedOnce"},
	{"a judged batch is dropped with its link", "merge", "valid[_i] && !ended && _b && isNews(_)", "l != nil && valid[_i] && !c.env.Ended && _b && c.gossip.IsNews(l, n)", "TestJudgedOnce"},
	{"one key started twice is two", "compare", "Compare(tie, tie)", "0", "TestConversations/own"},

	// Private networks: the rules R1 to R4 of overlay/core/base/passes.go, and tickets.
	{"any pass will do", "openPass", "ID(_) != id || PublicKey(_) != key", "false", "TestPrivateAttack8Passes"},
	{"a member's grant needs no admin", "openPass", "GetIssuer() == nil && !_", "false", "TestPrivateAttack8Passes"},
	{"a member lets others in", "signedBy", "!GetAdmin()", "false", "TestPrivateAttack8"},
	{"admins make admins", "passOf", "!Verify(_)", "false", "TestPrivateAttack8"},
	{"a zero key stands for the network's", "passOf", "grant != nil && _", "s.Issuer != (certs.PublicKey{}) && _", "TestPrivateAttack8"},
	{"grants are not verified", "claim", "And = _", "", "TestPrivateAttack8Passes"},
	{"a known grant is anybody's", "fullName", "nameFrom(_)", "nameFrom(s.GetSignature(), s.GetPayload())", "TestPrivateAttack8Passes"},
	{"a known removal is anybody's", "isSame", "_ != AnnouncementType_REMOVED || _", "true", "TestPrivateAttack8Removals"},
	{"a door does not verify", "admits", "!Verify(_)", "false", "TestPrivateAttack8"},
	{"a door names peers without a pass", "addCandidates", "wrong == nil", "true", "TestPrivateAttack8Doors"},
	{"removals are like other statements", "compare", "Compare(Rank, Rank)", "0", "TestPrivateOwnRemoval|TestPrivateRemovedStaysRemoved"},
	{"a removal holds for one ID", "barred", "Rank > Rank", "false", "TestPrivateRemovedStaysRemoved"},
	{"nobody comes back as an admin", "barred", "Rank > Rank", "true", "TestPrivateRemovedStaysRemoved"},
	{"an admin removes an admin's members", "barred", "Rank == RankRemovedByNetwork", "true", "TestPrivateOwnRemoval"},
	{"an admin removes again and again", "openRemoval", "Tie = tagOfKey(_)", "", "TestPrivateRemovedOnce"},
	{"a second thought is a coin toss", "openRemoval", "Tie = _ | _", "", "TestPrivateSecondThought"},
	{"a removal is forgotten", "expire", "removed()", "false", "TestPrivateRoom"},
	{"an old removal does not count", "isNews", "!removal && expired(_)", "g.expired(n, held != nil)", "TestPrivateOldRemoval"},
	{"an admin fills the room of removals", "room", "Rank() == RankRemovedByNetwork && _", "false", "TestPrivateRoom"},
	{"removals have no bound", "room", "out < MaxRemovals || _", "true", "TestPrivateRoom"},
	{"removals take the room of others", "room", "len(entries)-out >= maxEntries", "len(t.Entries) >= MaxEntries", "TestPrivateRoomOfTheLiving"},
	{"nothing of a removed admin is kept", "barred", "!Keeps(_)", "true", "TestPrivateAttack15"},
	{"all of a removed admin is kept", "barred", "!Keeps(_)", "false", "TestPrivateAttack15"},
	{"what came before a removal stays", "step", "sweep()", "", "TestPrivateAttack15"},
	{"a removed admin's removals stay", "fallen", "removed() && _", "false", "TestPrivateAttack15"},
	{"what was judged before a removal counts", "merge", "Barred(_) == nil", "true", "TestPrivateBatch"},
	{"an old epoch takes an ID", "older", "Standing != nil && _", "false", "TestPrivateAttack9"},
	{"an admin is like a member", "older", "-Compare(_)", "0", "TestPrivateAttack9"},
	{"the earlier pass stays outside", "isYounger", "private() || _x", "_x", "TestPrivateEarlierPass"},
	{"a removed peer stays", "learnOfSelf", "state == AnnouncementType_REMOVED", "false", "TestPrivateOwnRemoval"},
	{"a peer that is out is not told why", "loadRemovals", "_ || key == key()", "err != nil || !ms.Passes.Private()", "TestPrivateOwnRemovalOnDisk"},
	{"who has fallen can't use a ticket", "sweep", "redemption != nil", "false", "TestPrivateOwnRemovalOnDisk"},
	{"the removed accuse", "members", "!removed()", "true", "TestPrivateOldRemoval"},
	{"a link to the removed stays", "shutOut", "Close(_)", "", "TestPrivateAttack11"},
	{"the removed are not told", "shutOut", "AnnounceTo(_)", "", "TestPrivateAttack11"},
	{"something is kept for the removed", "keep", "isOut(_)", "false", "TestPrivateCustodyOfRemoved"},
	{"something is left for the removed", "deposit", "isOut(_)", "false", "TestPrivateCustodyOfRemoved"},
	{"there are removals in open networks", "open", "removal && !private()", "false", "TestOpenIgnoresPasses"},
	{"open networks ask about tickets", "receiveFromDoor", "_e && private() && _x", "_e && _x", "TestOpenIgnoresPasses"},
	{"another key redeems", "receive", "PublicKey(GetKey()) != key", "false", "TestPrivateDoorAndTickets"},
	{"a link has many places", "receive", "ContainsFunc(_)", "false", "TestPrivateDoorAndTickets"},
	{"who has gone holds a place", "begin", "now >= till || _", "ti.Now >= w.till", "TestPrivateDoorAndTickets"},
	{"places have no bound", "begin", "len(waiting) >= maxRedeemed", "false", "TestPrivateDoorAndTickets"},
	{"anybody answers for the issuer", "receiveAnswer", "peer == from", "true", "TestPrivateDoorAndTickets"},
	{"a member takes any pass", "receivePass", "_ || redemption == nil", "err != nil", "TestPrivateNewcomer"},
	{"any door answers for the ticket's", "expects", "_ && pinned != KeyTag(key)", "false", "TestPrivatePinnedDoor"},
	{"a newcomer does not verify its pass", "receivePass", "!Verify(_)", "false", "TestPrivateNewcomer"},

	// Links over others.
	{"a mute link carries like others", "carriesTo", "a.Mute != b.Mute", "false", "TestCarriesTo"},
	{"peers carry that do not know how to", "carriesTo", "serves(_) && _x", "rt.Serves(l)", "TestCarriesTo"},
	{"a carried link outlives the run of its peer", "end", "epoch < _", "false", "TestCarriedEnds"},
	{"idle carried links stay", "check", "now > _", "false", "TestCarriedEnds"},
	{"carried links without end", "connected", "n <= maxCarriedLinks", "true", "TestCarriedEnds"},
	{"the end of a carried link is a sign", "apply", "ended || peer == \"\" || _", "c.env.Ended || l.Peer == \"\"", "TestCarriedHandshake"},

	// Ourselves, and who owns an ID.
	{"nobody refutes", "refute", "setOwnRecord(_)", "", "TestConversations/own"},
	{"only neighbours hear a refutation", "refute", "state == linkUp", "false", "TestConversations/own"},
	{"the loser of an ID stays", "checkOwnID", "older(_)", "false", "TestConversations/own"},
	{"a claim about the past stops a peer", "isTwin", "apart <= twinsApart", "true", "TestConversations/own"},
	{"a late claim stops a peer", "isTwin", "now <= admitted+twinsFor", "true", "TestConversations/own"},
	{"a peer without a judged epoch stops", "learnOfSelf", "later && accepted", "later", "TestConversations/own"},
	{"goodbye overtakes broadcasts", "closeAll", "repeatBroadcasts(_)", "", "TestConversations/broadcasts"},
	{"a suspect loses its ID", "owner", "suspect(_)", "false", "TestConversations/door"},
	{"a displaced peer comes back", "evict", "!alive()", "false", "TestKeysChaseEachOther|TestKeysInTurn"},
	{"a guest does not come back", "evict", "!isGuest()", "true", "TestGuestsLeaveNoTombstone"},
	{"a leaving peer drops itself", "noteBuried", "e != self", "true", "TestWeStayWhenWeLeave"},
	{"goodbyes are never dropped", "expire", "e != nil", "false", "TestConversations/forgetting"},
	{"a forgotten run comes back", "covers", "last > 0", "false", "TestConversations/forgetting"},
	{"a door does not tell which run is over", "judge", "epoch = over(_)", "", "TestConversations/forgetting"},
	{"guests are flooded", "told", "if isGuest() { return }", "", "TestConversations/visitors"},
	{"visitors are told of by others", "credible", "!Visitor", "true", "TestConversations/visitors"},
	{"guests are in the table of a newcomer", "public", "!isGuest()", "true", "TestConversations/visitors"},
	{"guests are told of by their distance", "reroute", "!isGuest()", "true", "TestConversations/visitors"},
	{"guests hear nothing", "spread", "!leadsToGuest()", "true", "TestConversations/visitors"},
	{"guests stay for ever", "checkVisits", "_ < patience", "true", "TestConversations/visitors"},
	{"visitors stay visitors", "checkVisits", "now >= until || _", "false", "TestConversations/visitors"},
	{"a visitor that has lost all links stays one", "checkVisits", "linksUp() == 0", "false", "TestConversations/visitors"},
	{"a peer that was away for long is sure of all", "cameLate", "happen(_)", "", "TestConversations/forgetting"},
	{"a missing peer is not found by news", "merge", "found(_)", "", "TestConversations/comparison"},
	{"a suspect is pushed out", "keyRoom", "!suspect(_)", "true", "TestConversations/announcements"},
	{"doors do not look for the ID", "judge", "!member", "false", "TestConversations/door"},
	{"two that join each other are both refused", "judge", "!isYounger(_)", "true", "TestTwoLookForEachOther"},
	{"a peer in no network lets its own ID in", "judge", "!isYounger(_)", "false", "TestTwoLookForEachOther"},

	// Pings.
	{"pings are answered without end", "receivePing", "take(_) && _", "!ps.Leaving", "TestPingFlood"},
	{"any pong counts", "pinged", "_ && right(_)", "s.number == number", "TestPongsThatLie"},
	{"pings are without bound", "startPing", "len(list) >= maxPings", "false", "TestPingsAreBounded"},
	{"a ping in vain never ends", "checkPings", "now < _", "true", "TestPingsAreBounded"},

	// Broadcasts.
	{"broadcasts are taken each time", "receiveBroadcast", "has(_)", "false", "TestConversations/broadcasts"},
	{"broadcasts are not verified", "receiveBroadcast", "!Verify(_)", "false", "TestViolations"},
	{"new neighbours are not told positions", "becomeNeighbour", "greet(_)", "", "TestConversations/catching-up"},
	{"new neighbours are told positions once", "expireBroadcasts", "now >= tellAt", "false", "TestConversations/catching-up"},
	{"early broadcasts are dropped", "receiveBroadcast", "_ < maxEarly", "false", "TestConversations/broadcasts"},
	{"broadcasts are shown as they come", "showBroadcasts", "number == next", "true", "TestConversations/broadcasts"},
	{"a gap is waited for without end", "pursue", "now < since+holdFor", "true", "TestConversations/broadcasts"},
	{"a broadcast passed over is shown late", "has", "found || _ || _", "found || number == 0", "TestConversations/broadcasts"},
	{"missing broadcasts are not asked for", "pursue", "askAnybody(_)", "", "TestConversations/catching-up"},
	{"one neighbour after the other is asked at once", "question", "now < askedTill", "false", "TestConversations/catching-up"},
	{"positions hide holes", "appendPosition", "number == Last+1", "true", "TestHolesInPositions"},
	{"positions name all holes", "appendPosition", "stretches == maxStretches", "false", "TestHolesInPositions"},
	{"an answer tells a position for each range", "receiveWanted", "!told[r]", "true", "TestConversations/catching-up"},
	{"a guess keeps a holder from being asked", "question", "asked == sayer", "true", "TestConversations/catching-up"},
	{"a holder is asked each time it says so", "question", "ID == sayer", "false", "TestConversations/catching-up"},
	{"a run begun since is taken from its middle", "told", "n > 0 && _", "n > 0", "TestConversations/broadcasts"},
	{"a run begun long ago is waited for", "told", "now > began+memoryFor", "false", "TestConversations/broadcasts"},
	{"a suspect's broadcasts are passed over", "pursue", "!buried()", "true", "TestConversations/broadcasts"},
	{"a suspect's broadcasts are passed over on its return", "told", "advanced = now", "", "TestConversations/broadcasts"},
	{"broadcasts caught up on are flooded", "receiveBroadcast", "!answers(_)", "true", "TestConversations/catching-up"},
	{"the neighbours are not told what was caught up on", "answers", "tellAt = _", "", "TestConversations/catching-up"},
	{"the rest of a long answer is dropped", "receiveWanted", "sendHeld(_)", "", "TestPositionsAreBounded"},
	{"an answer is not followed by a question", "receiveHeld", "askedTill = 0", "", "TestConversations/catching-up"},
	{"empty answers are followed by a question", "receiveHeld", "answered && _", "true", "TestConversations/catching-up"},
	{"the last words of the departed are not shown", "reachesUser", "!ready || _", "true", "TestConversations/catching-up"},
	{"an author that has gone comes back for good", "reachesUser", "late = append(_)", "", "TestConversations/catching-up"},
	{"an author that has gone is not seen to come", "reachesUser", "out.Events = append(_)", "", "TestConversations/catching-up"},
	{"words of the lost come before their return", "reachesUser", "now >= at+holdFor", "true", "TestConversations/catching-up"},

	// Neighbours and links.
	{"everybody is granted neighbourhood", "Grants", "degree < MaxNeighbours", "true", "TestRule"},
	{"a full peer never makes room", "receiveRequest", "giveUp(_)", "", "TestGivingUpOne"},
	{"a full peer gives up one that is short", "Richest", "n > most", "true", "TestGivingUpOne"},
	{"nobody has priority", "Grants", "priority && _", "false", "TestPriority"},
	{"priority has no bound", "Grants", "degree < mostNeighbours", "true", "TestPriority"},
	{"a peer refused by all gives up", "mayAsk", "neighbours() > 0", "true", "TestAskingAgain"},
	{"more than the usual number stay", "seekNeighbours", "degree() > MaxNeighbours", "false", "TestAboveTheUsual"},
	{"new neighbours are not compared", "receiveNeighbour", "compareTables(_)", "", "TestConversations/join"},
	{"new neighbours hear of no ways", "becomeNeighbour", "tellAllRoutes(_)", "", "TestConversations/routed"},
	{"neighbours are sought without pause", "seekNeighbours", "seeks.take(_)", "true", "TestSeeking"},
	{"the lost are not redialled", "heal", "len(lost) > 0", "false", "TestConversations/neighbourhood"},
	{"only the granted count", "up", "Short(_c.degree()) > 0", "neighbours.Short(_c.Neighbours()) > 0", "TestConversations/neighbourhood"},
	{"strangers do not become neighbours", "up", "degree() < MaxNeighbours", "false", "TestConversations/neighbourhood"},
	{"two links to one peer stay", "chooseLink", "ID < peer || kept > mostLinks", "false", "TestTwoLinks"},
	{"both sides choose between two links", "chooseLink", "ID < peer || kept > mostLinks", "true", "TestTwoLinks"},
	{"unused links stay", "checkPromises", "now > opened+unusedAfter", "false", "TestPromises"},

	// Reach.
	{"a peer behind a NAT is dialled before the SYNC", "dialFor", "connect(_)", "_ && false", "TestConversations/meetings"},
	{"the nearer peer dials too early", "introduce", "max(back-_, 0)", "0", "TestIntroduce"},
	{"the way of a CONNECT is not measured", "passOn", "took = _", "", "TestConnectTakes"},
	{"a link has us arrange without end", "introduce", "!connects.take(_)", "false", "TestSyncIsNotAWeapon"},
	{"a dial does not wait for its moment", "keepMeetings", "now < due", "false", "TestConversations/meetings"},
	{"a CONNECT takes a link that leads nowhere", "nextHop", "GetConnect() != nil", "false", "TestConversations/meetings"},
	{"anybody's SYNC is followed", "receiveSync", "!itself", "false", "TestConversations/meetings"},
	{"any SYNC is the answer to our CONNECT", "receiveSync", "number != _", "false", "TestConversations/meetings"},
	{"a SYNC counts again and again", "receiveSync", "meeting.agreed", "false", "TestConversations/meetings"},
	{"each SYNC of a peer is followed", "receiveSync", "!_d.meetings.take(_, meetingsOfPeer-1, _)", "false", "TestSyncIsNotAWeapon"},
	{"each SYNC of a link is followed", "mayMeet", "meetings.spend(_)", "true", "TestSyncIsNotAWeapon"},
	{"a SYNC replaces a link in use", "receiveSync", "now < heard+freshWithin", "false", "TestConversations/meetings"},
	{"the larger side closes what was silent", "chooseLink", "ID < peer || opened >= _", "true", "TestNeverBothClosed|TestSilentLinkIsKept"},
	{"three links are too many", "chooseLink", "mostLinks", "2", "TestNeverBothClosed|TestSilentLinkIsKept"},
	{"an address named by a stranger is ours", "reachedByStranger", "!isSeenAt(_)", "false", "TestForwardedIsSeen"},
	{"a new address leaves the old port open", "observe", "!isSeenAt(_)", "false", "TestForwardedIsSeen"},
	{"former addresses count after a move", "moved", "_ == nil || _ || onlyLoopback(_)", "false", "TestMovesAreForgotten"},
	{"reflexive addresses count without a network", "moved", "_a || _ || onlyLoopback(_)", "_a", "TestLosingTheNetwork"},
	{"any loopback address is dialled", "kindOf", "!hereAlone()", "false", "TestLoopbackOfOthers"},
	{"a door has us dial our own host", "targetCandidates", "!mayBeHere(_)", "false", "TestFullDoorNamesLoopback"},
	{"peers of a host lose each other with its network", "candidates", "!isOwn(here)", "false", "TestLosingTheNetwork"},
	{"a door names victims", "raceCautiously", "users || _", "true", "TestDoorNamesVictims"},
	{"peers never met are dialled without an allowance", "mayDial", "maySpare() && _", "true", "TestUnmetAllowance"},
	{"it is always our turn", "isOurTurn", "_ < turns", "true", "TestUnmetAllowance"},
	{"who was cut off dials as seldom", "isBereft", "gone >= here", "false", "TestUnmetAllowance"},
	{"all addresses of a peer never met are dialled", "cautious", "n > unmetAddresses", "false", "TestCautious"},
	{"a door forges records", "addCandidates", "Verify(_)", "true", "TestDoorNamesVictims"},
	{"anybody is who was found", "expects", "found == String()", "true", "TestFoundIsAnother"},
	{"a peer without a name is never who was found", "expects", "nameless", "false", "TestFoundNameless"},
	{"members without a name are dialled", "isMemberAt", "Contains(addresses, address)", "false", "TestFoundNameless"},
	{"members without a name are dialled again", "isMemberAt", "lastAddress == address", "false", "TestFoundNameless"},
	{"the dead keep those without a name away", "isMemberAt", "alive()", "true", "TestFoundNameless"},
	{"peers found on the LAN are never dropped", "foundOnLAN", "_h || reached", "_h", "TestFoundAndGone"},
	{"a busy host keeps all others away", "makeRoom", "oldest < 0 || _", "i == 0", "TestHostsMakeRoom"},
	{"inbound links pay for our dials", "up", "if dial != nil { _x }", "_x", "TestOnlyDialsAreGivenBack"},
	{"a whole subnet is dialled", "isUseless", "isBroadcast(_)", "false", "TestSubnetIsNotDialled"},
	{"a SYNC leads anywhere", "candidates", "signedHost(_)", "true", "TestSyncIsNotAWeapon"},
	{"one host is dialled without end", "affordable", "!hosts.take(_)", "false", "TestOneHostIsDialledSoOften"},
	{"the way over the router is as good", "keepsOlder", "near != _", "false", "TestNomination"},
	{"of two dials at once the last is kept", "keepsOlder", "(_ == nil) != (_ == nil)", "false", "TestNomination"},
	{"a peer that has left the LAN is kept out", "keepsOlder", "opened >= opened+simultaneous", "false", "TestNomination"},
	{"a new mapping is nothing", "observe", "addr != addr", "false", "TestRemapped"},
	{"a liar has us dial without end", "observe", "relinks.take(_)", "true", "TestRemappedWithoutEnd"},
	{"a known peer is a stranger", "isStranger", `lastAddress == ""`, "true", "TestForwarded"},
	{"a symmetric NAT is announced anew by each peer", "observedAddresses", "weights[parseAddress(_)]++", "", "TestSymmetric"},

	// Detection.
	{"a silent link is nothing", "checkLinks", "state == linkUp && quiet", "false", "TestConversations/probes"},
	{"a peer that may be deaf accuses others", "doubtful", "deaf || _", "false", "TestConversations/probes"},
	{"a peer that reaches nobody shows everybody", "listenAnew", "happen(_)", "", "TestConversations/neighbourhood"},
	{"a deaf peer is cut off at once", "listenAnew", "deafProven", "true", "TestDeaf"},
	{"our own delay is nothing", "Step", "atLeast(_)", "", "TestConversations/doubt"},
	{"a suspect has no more time while we are late", "giveTime", "stretch(_t)", "_t", "TestConversations/doubt"},
	{"a witness in doubt contradicts", "receiveQuestion", "heardLately(_)", "pr.mayHear(l)", "TestConversations/doubt"},
	{"a witness in doubt agrees", "receiveQuestion", "mayHear(l)", "false", "TestConversations/doubt"},
	{"our mistakes teach us nothing", "inform", "refutes() && ours", "false", "TestConversations/doubt"},
	{"witnesses teach us nothing", "receiveAnswer", "own && _", "false", "TestConversations/doubt"},
	{"a stopped process blames the others", "tick", "late > stoppedAfter", "false", "TestConversations/neighbourhood"},
	{"any epoch that is told is believed", "receiveRefusal", "_ <= MaxToldEpoch", "true", "TestToldEpoch"},
	{"no witness is enough", "weigh", "quiet > 0", "true", "TestConversations/probes"},
	{"a slow link gets no more time", "step", "_t + slowness()", "_t", "TestMissed"},
	{"one witness of many is enough", "weigh", "quiet > 0 && _", "quiet >= 1", "TestConversations/probes"},
	{"a silent witness has heard it", "answer", "&Answer{Subject: _s, Epoch: _e, Seq: _q, Fresh: _f}", "&pb.Answer{Subject: _s, Epoch: _e, Seq: _q, Fresh: true}", "TestConversations/probes"},
	{"a fresh answer does not matter", "weigh", "_ < freshWithin", "false", "TestConversations/probes"},

	// Routes and tables.
	{"another key answers pings", "receiveContent", "PublicKey(_) == Key()", "true", "TestConversations/routed"},
	{"a frame passes a peer twice", "nextHop", "Contains(passed, _)", "false", "TestConversations/routed"},
	{"a frame does not go back", "forward", "_ == nil || _ == own", "true", "TestConversations/routed"},
	{"the ways over a link outlive it", "freeSlot", "hops[slot] = noWay", "", "TestConversations/routed"},
	{"longer ways are not told", "tellRoutes", "_d != _t && _x", "_d < _t && _x", "TestConversations/routed"},
	{"via is any neighbour", "via", "best == nil || _", "true", "TestConversations/routed"},
	{"a table that is not merged yet is enough", "continueSync", "verifying == 0", "true", "TestTableIsJudgedFirst"},
	{"entries beyond one answer are skipped", "receiveReconcile", "open = Concat(_)", "", "TestMuchDiffers"},
	{"entries that the other side lacks are not sent", "continueSync", "announceTo(_)", "", "TestMuchDiffers"},
	{"entries that we lack are not asked for", "compare", "len(wanted) > 0", "false", "TestTablesBecomeEqual"},
	{"a long answer has no end", "compare", "len(lacks) >= room && _", "false", "TestLongAnswer"},
	{"a table of more than one piece is cut off", "continueSync", "_ || verifying >= maxVerifying", "true", "TestNewcomerTakesTheTable"},
	{"questions cost nothing", "answer", "!spend(_)", "false", "TestQuestionsAreBounded"},
	{"a stuck door keeps us from the next", "requestTable", "asked == 0 || stuck", "asked == 0", "TestConversations/doors"},
	{"a slow door keeps us from the next", "requestTable", "now >= newest+_", "false", "TestDoorThatTrickles"},
	{"a door may repeat itself", "follows", "compareNames(_) <= 0", "false", "TestDoorThatRepeats"},
	{"a door may leave open what it likes", "isForeign", "piece < maxAnswer || _", "false", "TestDoorThatRepeats"},
	{"a broken door is dialled at once", "doorEnded", "next = now + backoff(_)", "", "TestBrokenDoor"},
	{"each breach of the protocol is logged", "note", "_ || many >= offencesTold", "false", "TestBrokenDoor"},
	{"a table that comes is not waited for", "checkJoining", "!tableComes()", "true", "TestTableTakesItsTime"},
	{"one door alone can stop us", "checkHolder", "!open", "true", "TestConversations/doors"},
	{"the missing are in the digest", "hashOf", "public()", "true", "TestDigest"},

	// Over others, and in custody.
	{"carrying is not bounded", "mayCarry", "spend(_) && spend(_)", "true", "TestCarryingIsBounded"},
	{"parts of another whole are taken", "partialOf", "len(parts) != _", "false", "TestPartsThatLie"},
	{"an uncollected deposit is not sent again", "handOverTo", "now >= _k.next", "_k.pause == 0", "TestConversations/custody"},
	{"anybody collects", "receiveCollected", "!VerifyCollected(_)", "false", "TestConversations/custody"},
	{"deposits expire one by one", "expireKept", "_ && lives[_]", "false", "TestConversations/custody"},
	{"all is handed over at once", "handOverTo", "onTheWay > 0", "false", "TestHandingOverGarbage"},
	{"receipts go to a deposit without a depositor", "receiveCollected", `Depositor != ""`, "true", "TestConversations/custody"},
	{"deposits are taken behind a refused one", "deposit", "full || _x", "_x", "TestNothingIsLeftBehindARefusal"},
	{"old deposits are not left anew", "leaveDeposits", "now < anew", "true", "TestConversations/deposits"},
	{"a holder is asked for more than the next", "offer", "asked != 0", "false", "TestConversations/deposits"},
	{"nobody waits for what is to be left anew", "isPending", "now+withdrawPause < anew", "true", "TestDepositsPending"},
	{"a receiver that is here is waited for", "isPending", "isHere(_)", "false", "TestDepositsPending"},
	{"a peer waits for holders that have refused", "isPending", "complete < wantHolders && _", "complete < WantHolders", "TestDepositsPending"},
	{"three holders are not enough", "isPending", "complete < wantHolders", "true", "TestDepositsPending"},
	{"anybody takes back deposits", "receiveWithdraw", "known && !VerifyWithdraw(_)", "false", "TestWithdrawOfAnothers"},
	{"all that is named is taken back", "receiveWithdraw", "_ && depositorKey == key", "named[k.ID]", "TestWithdrawOfAnothers"},
	{"deposits are taken back before the rest is kept", "askBack", "isLeaving(_) && _", "false", "TestTakenBack$"},
	{"deposits are taken back at once", "askBack", "now < from", "false", "TestTakenBack$"},
	{"another's answer counts", "receiveWithdrawn", "holder != from", "false", "TestTakenBack$"},
	{"an answer that came before the deposit counts", "receiveWithdrawn", "now < unsure", "false", "TestWithdrawBeforeItsDeposit"},
	{"holders that are away are not asked later", "drop", "has > 0 && withdraws", "false", "TestTakenBackFromTheAbsent"},
	{"older holders are asked", "drop", "has > 0 && withdraws", "f.has > 0", "TestTakenBackAtOnce"},
	{"a silent holder holds up leaving", "takesBack", "pause <= _", "true", "TestTakenBackAtOnce"},
	{"what was given up is not taken back", "withdraw", "takeBack(receiver, now)", "", "TestPastCopies"},
	{"all copies are remembered", "leaveBehind", "copied > maxCopies", "false", "TestCopiesAreBounded"},
	{"a holder that has refused stays one", "receiveDepositAnswer", "holders = Delete(_)", "", "TestConversations/deposits"},

	// Broadcasts.
	{"the end of a peer is shown at once", "refresh", "awaitsLastWords(_)", "false", "TestConversations/catching-up"},
	{"repeated ranges are examined again", "rising", "_ <= last[_]", "false", "TestConversations/catching-up"},
}

// TestMutations shows that the tests bite: each mutation makes tests fail that pass without it.
// All mutations are compiled into one program for each package that has tests, where the
// environment chooses one.
func TestMutations(t *testing.T) {
	if testing.Short() || core.Race {
		t.Skip("compiles the package once more, and without the race detector")
	}
	programs := buildMutants(t)
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		var all []string
		for _, m := range mutations {
			all = append(all, m.tests)
		}
		for _, p := range programs {
			if out, err := p.run("", strings.Join(all, "|")); err != nil {
				t.Fatalf("the tests fail:\n%s", out[max(0, len(out)-4000):])
			}
		}
	})
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			var outs []string
			for _, p := range programs {
				if !p.has(m.tests) {
					continue
				}
				out, err := p.run(m.name, m.tests)
				if err != nil {
					return
				}
				outs = append(outs, string(out))
			}
			t.Errorf("%s do not notice it:\n%s", m.tests, strings.Join(outs, ""))
		})
	}
}
