package join

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// TestSchedule: what is dialled when, while we join and once we are in a network.
func TestSchedule(t *testing.T) {
	met := []base.Acquaintance{acquaintance("one", "10.0.0.1:5000", "10.9.9.9:5000"), acquaintance("two", "10.0.0.2:5000"), acquaintance("none")}
	alone := newRig(t, nil, met...)
	if got := alone.dialled(); !slices.Equal(got, []string{"10.0.0.1:5000", "10.0.0.2:5000"}) {
		t.Errorf("alone it dials %v", got)
	}
	if d := alone.out.Dials[0]; d.Key != identity("one").Key() || len(d.Candidates) != 1 {
		t.Errorf("it dials %+v, not one key at the one address that is not its own", d)
	}

	joins := newRig(t, []string{"a:1", "b:1"}, met...)
	if got := joins.dialled(); !slices.Equal(got, []string{"a:1", "b:1"}) {
		t.Errorf("joining it dials %v at first", got)
	}
	if joins.pass(SearchAfter - 1); len(joins.out.Dials) != 0 {
		t.Errorf("joining it dials %v too early", joins.dialled())
	}
	if joins.pass(1); !slices.Equal(joins.dialled(), []string{"10.0.0.1:5000", "10.0.0.2:5000"}) {
		t.Errorf("joining it dials %v then", joins.dialled())
	}
	dials := 0
	for range 120 { // at the pace of a join
		joins.fail()
		joins.pass(time.Second)
		dials += strings.Count(strings.Join(joins.dialled(), " "), "a:1")
	}
	if dials < 60 {
		t.Errorf("joining it dials an address %d times in two minutes", dials)
	}
}

// TestSearchPace: however many acquaintances there are, eight are dialled at once and four a
// second, so each once within about a minute; and then more and more seldom.
func TestSearchPace(t *testing.T) {
	var met []base.Acquaintance
	for i := range maxAcquaintances + 10 {
		met = append(met, acquaintance(fmt.Sprint("p", i), fmt.Sprintf("10.%d.%d.1:5000", i/100, i%100)))
	}
	r := newRig(t, nil, met...)
	if n := len(r.out.Dials); n != searchAtOnce {
		t.Errorf("%d dials at once", n)
	}
	times := make(map[string]int)
	for second := range 600 {
		for _, address := range r.dialled() {
			times[address]++
		}
		r.fail()
		if r.pass(time.Second); len(r.out.Dials) > 5 || second < 60 && len(r.out.Dials) < 4 {
			t.Fatalf("%d dials in second %d", len(r.out.Dials), second)
		}
		if second == 64 && len(times) != maxAcquaintances {
			t.Errorf("%d of %d have been dialled after a minute", len(times), maxAcquaintances)
		}
	}
	for address, n := range times {
		if n > 14 {
			t.Errorf("%s is dialled %d times in ten minutes", address, n)
		}
	}
}

// TestAcquaintancesDead: if acquaintances do not answer either, the error counts them.
func TestAcquaintancesDead(t *testing.T) {
	r := newRig(t, []string{"dead:5000"}, acquaintance("one", "10.0.0.1:5000"))
	r.JoinBy = r.Now + 10*time.Second
	for ; r.err == nil && r.Now <= r.JoinBy; r.pass(250 * time.Millisecond) {
		r.fail()
	}
	var e *base.JoinError
	if !errors.As(r.err, &e) || len(e.Failures) != 2 || !strings.Contains(e.Failures[1], "1 peers") {
		t.Errorf("it ends with %v", r.err)
	}
}

// TestJoinFails: joining fails when the time is up, or as soon as all hope is gone; the error names
// the last cause that each address has met.
func TestJoinFails(t *testing.T) {
	const limit = 4 * time.Second
	for _, test := range []struct {
		name      string
		limit     time.Duration
		meets     func(address string, dials int) base.Obstacle
		obstacles []base.Obstacle // nil: it does not fail
		soon      bool
	}{
		{"nobody there", limit, func(string, int) base.Obstacle { return base.ObstacleSilence }, []base.Obstacle{base.ObstacleSilence}, false},
		{"the last of each", limit, func(address string, dials int) base.Obstacle {
			switch {
			case address == "b:1":
				return base.ObstacleSilence
			case dials == 1:
				return base.ObstacleName
			}
			return base.ObstacleProtocol
		}, []base.Obstacle{base.ObstacleProtocol, base.ObstacleSilence}, false},
		{"only own addresses", limit, func(string, int) base.Obstacle { return base.ObstacleSelf }, []base.Obstacle{base.ObstacleSelf}, true},
		{"without a limit", 0, func(string, int) base.Obstacle { return base.ObstacleSilence }, nil, false},
	} {
		r := newRig(t, []string{"a:1", "b:1"})
		began, dials := r.Now, make(map[string]int)
		if test.limit > 0 {
			r.JoinBy = r.Now + test.limit
		}
		for r.err == nil && r.Now < began+time.Hour {
			for _, d := range r.out.Dials {
				address := d.Candidates[0].Address
				dials[address]++
				by := test.meets(address, dials[address])
				r.Hindered(d.ID, by)
				r.reach.DialFailed(d.ID, by == base.ObstacleSelf, "no")
			}
			r.settle()
			r.pass(250 * time.Millisecond)
		}
		var e *base.JoinError
		if errors.As(r.err, &e) != (test.obstacles != nil) || e != nil && (!slices.Equal(e.Obstacles, test.obstacles) || !slices.Equal(e.Failures, []string{"a:1: no", "b:1: no"})) {
			t.Errorf("%s: it ends with %v", test.name, r.err)
		}
		if took := r.Now - began; e != nil && (took < test.limit) != test.soon || took > limit && e != nil {
			t.Errorf("%s: it fails after %v", test.name, took)
		}
	}
	twin := newRig(t, []string{"a:1"})
	twin.Hindered(twin.out.Dials[0].ID, base.ObstacleTwin)
	twin.fail()
	twin.pass(1)
	var elsewhere *base.StartedElsewhereError
	if !errors.As(twin.err, &elsewhere) {
		t.Errorf("another run of us alone: it ends with %v", twin.err)
	}
}

// TestLeaverIsLookedFor: a peer that had a link to us and said goodbye is dialled again now and
// then; the network as a whole does so about once a second.
func TestLeaverIsLookedFor(t *testing.T) {
	for _, members := range []int{2, 200} {
		r := newRig(t, nil)
		for i := range members - 1 {
			r.member(fmt.Sprint("p", i))
		}
		r.links.List = append(r.links.List, &link.Link{ID: 1, State: link.LinkUp})
		r.leaves(r.member("one"), "10.0.0.7:5000")
		dials := 0
		const minutes = 60
		for range minutes * 60 {
			r.pass(time.Second)
			dials += len(r.out.Dials)
			r.fail()
		}
		most := minutes * 60 / max(15, members/2)
		if dials == 0 || dials > most {
			t.Errorf("with %d members: %d dials in %d minutes, want 1 to %d", members, dials, minutes, most)
		}
	}
}

// TestMostFailuresMakeRoom: of more acquaintances than are remembered, the one goes that was
// dialled in vain most often; a peer known already takes no second place.
func TestMostFailuresMakeRoom(t *testing.T) {
	r := newRig(t, nil)
	for i := range maxAcquaintances {
		r.leaves(r.member(fmt.Sprint("p", i)), fmt.Sprintf("10.1.%d.%d:1", i/100, i%100))
		r.targets[i].Failures = 1 + (i+200)%maxAcquaintances
	}
	worst := slices.MaxFunc(r.targets, func(a, b *link.Target) int { return a.Failures - b.Failures })
	known := r.table.Of("p7")[0]
	r.leaves(known, "10.1.9.9:1")
	if r.targets[7].Address != "10.1.9.9:1" {
		t.Error("a known peer is not looked for where it was last")
	}
	r.leaves(r.member("new"), "10.2.0.1:1")
	if slices.Contains(r.targets, worst) || r.targets[len(r.targets)-1].Peer != "new" || len(r.targets) != maxAcquaintances {
		t.Errorf("the one with %d failures has not made room: %d are remembered", worst.Failures, len(r.targets))
	}
}

// TestJoinAtRunTime: the outcome of a Join is reported once; an address that did not let us in is
// dropped, and one that did is looked for once the peer there has gone.
func TestJoinAtRunTime(t *testing.T) {
	r := newRig(t, nil)
	r.JoinAddress("dead:1")
	r.fail()
	if len(r.out.Joined) != 1 || r.out.Joined[0] != (base.Joining{Address: "dead:1", Why: "no answer"}) || len(r.targets) != 0 {
		t.Fatalf("reported %+v, %d targets left", r.out.Joined, len(r.targets))
	}
	r.JoinAddress("door:1")
	r.settle()
	r.opens(r.out.Dials[0].ID, "one")
	if len(r.out.Joined) != 1 || r.out.Joined[0] != (base.Joining{Address: "door:1", ID: "one"}) {
		t.Fatalf("reported %+v", r.out.Joined)
	}
	if r.pass(time.Minute); len(r.out.Dials) != 0 {
		t.Errorf("it dials %v while the peer there is here", r.dialled())
	}
	r.leaves(r.table.Of("one")[0], "")
	if r.pass(time.Minute); !slices.Equal(r.dialled(), []string{"door:1"}) {
		t.Errorf("it dials %v, not the door again", r.dialled())
	}
	for i := range maxTargets + 1 {
		r.JoinAddress(fmt.Sprint("more:", i))
	}
	if r.settle(); len(r.out.Joined) != 2 || r.out.Joined[0].Why == "" {
		t.Errorf("above the bound: %+v", r.out.Joined)
	}
	joins := newRig(t, []string{"a:1"})
	joins.JoinAddress("b:1")
	if joins.settle(); len(joins.out.Joined) != 1 || joins.out.Joined[0].Why == "" {
		t.Errorf("while joining: %+v", joins.out.Joined)
	}
}

// TestDiscovering: a peer that finds nobody on the LAN in time begins a network; while somebody's
// table is on the way it waits.
func TestDiscovering(t *testing.T) {
	for _, found := range []bool{false, true} {
		r := newRig(t, []string{})
		if found {
			r.FoundOnLAN("door", identity("door").Key().String(), []string{"10.9.9.5:5000"})
			r.settle()
			if got := r.dialled(); !slices.Equal(got, []string{"10.9.9.5:5000"}) {
				t.Fatalf("it dials %v", got)
			}
			r.opens(r.out.Dials[0].ID, "door")
		}
		if r.pass(DiscoverFor - 1); r.begins || r.err != nil {
			t.Errorf("found %v: it has given up too early: %v", found, r.err)
		}
		if r.pass(1); r.begins == found {
			t.Errorf("found %v: in the end it begins %v", found, r.begins)
		}
	}
}

// TestFoundAgain: members and ourselves are not dialled again, nor without end a peer that does
// not answer; and everything is bounded.
func TestFoundAgain(t *testing.T) {
	r := newRig(t, nil)
	r.member("one")
	for _, name := range []string{"one", "self"} {
		r.FoundOnLAN(certs.ID(name), identity(name).Key().String(), []string{"10.9.9.5:5000"})
		if r.settle(); len(r.out.Dials) != 0 {
			t.Errorf("%s is dialled", name)
		}
	}
	dials := 0
	r.FoundOnLAN("deaf", "SHA256:x", []string{"10.9.9.6:5000"})
	r.settle()
	for range 600 {
		dials += len(r.out.Dials)
		r.fail()
		r.pass(time.Second)
	}
	if dials != FoundTries {
		t.Errorf("a silent peer is dialled %d times", dials)
	}
	for i := range 200 {
		r.FoundOnLAN("x", fmt.Sprint("SHA256:", i), []string{fmt.Sprintf("10.9.9.7:%d", i+1)})
	}
	if n := len(r.targets); n > MaxFound {
		t.Errorf("%d are remembered", n)
	}
}

// TestFoundBesideMany: hosts that make up peers on the LAN, one or as many as there are places, do not keep
// out a real one: it is dialled at once.
func TestFoundBesideMany(t *testing.T) {
	for _, hosts := range []int{1, 4, 250} {
		r := newRig(t, nil)
		for i := range 1000 {
			r.FoundOnLAN("x", fmt.Sprint("SHA256:", i), []string{fmt.Sprintf("10.9.9.%d:%d", i%hosts+2, i+1)})
			r.settle()
		}
		r.fail()
		r.FoundOnLAN("real", identity("real").Key().String(), []string{"10.9.9.1:5000"})
		if r.settle(); !slices.Contains(r.dialled(), "10.9.9.1:5000") {
			t.Errorf("of %d hosts that invent: it dials %v", hosts, r.dialled())
		}
		if n := len(r.targets); n > MaxFound {
			t.Errorf("%d are remembered", n)
		}
	}
}

// TestUnmetAcquaintances: where a peer of earlier runs was linked is dialled as often as before; of what its
// record names besides only a few addresses, and seldom, once the search that follows a start is over.
func TestUnmetAcquaintances(t *testing.T) {
	var met []base.Acquaintance
	for i := range maxAcquaintances {
		a := acquaintance(fmt.Sprint("p", i))
		for k := range 7 {
			a.Addresses = append(a.Addresses, fmt.Sprintf("198.51.%d.%d:5000", i, k+1))
		}
		met = append(met, a)
	}
	r := newRig(t, nil, met...)
	r.out.Dials, r.home.returnBy = nil, 0
	addresses := 0
	for range 600 {
		for _, d := range r.out.Dials {
			addresses += len(d.Candidates)
		}
		r.fail()
		r.pass(time.Second)
	}
	if most := 2 * (7 + 600/30 + 1); addresses > most || addresses == 0 {
		t.Errorf("in ten minutes %d addresses are dialled, of %d", addresses, most)
	}
}

// TestFoundNameless: peers of a private network are known by their addresses: each is one target,
// dialled a few times, and they are bounded like all found there.
func TestFoundNameless(t *testing.T) {
	r := newRig(t, nil)
	dials := 0
	for range 600 {
		r.FoundOnLAN("", "", []string{"10.9.9.6:5000"})
		r.settle()
		dials += len(r.out.Dials)
		r.fail()
		if len(r.targets) != 1 || !r.targets[0].Nameless || r.targets[0].IsUsers() {
			t.Fatalf("one that is found again and again is %d targets", len(r.targets))
		}
	}
	if dials != 1 { // the next is due later
		t.Errorf("a silent peer is dialled %d times at once", dials)
	}
	for range 600 {
		r.pass(time.Second)
		dials += len(r.out.Dials)
		r.fail()
	}
	if dials != FoundTries {
		t.Errorf("a silent peer is dialled %d times", dials)
	}
	for i := range 200 {
		r.FoundOnLAN("", "", []string{fmt.Sprintf("10.9.9.7:%d", i+1)})
	}
	if n := len(r.targets); n > MaxFound {
		t.Errorf("%d are remembered", n)
	}
	alone := newRig(t, []string{})
	alone.FoundOnLAN("", "", []string{"10.9.9.5:5000"})
	alone.settle()
	alone.opens(alone.out.Dials[0].ID, "door")
	if alone.pass(DiscoverFor); alone.begins {
		t.Error("it begins a network while the table of the one found is on its way")
	}
}

// named is the signed record of a peer that a full door names.
func named(name, address string) *pb.Signed {
	key := identity(name).Key()
	return identity(name).SignRecord(&pb.Record{
		Type: pb.AnnouncementType_JOIN, Id: name, Key: key[:], Network: "net", Epoch: 1, Addresses: []string{address},
	})
}

// TestFullDoorNamesLoopback: a door that names others can't make a newcomer dial its own host,
// unless all are there.
func TestFullDoorNamesLoopback(t *testing.T) {
	for own, want := range map[string]int{"192.168.7.2:5000": 0, "127.0.0.1:5000": 1} {
		r := newRig(t, []string{"door:1"})
		r.where.Own[0] = netip.MustParseAddrPort(own)
		r.AddCandidates([]*pb.Signed{named("seven", "127.0.0.1:4002")})
		if r.settle(); len(r.out.Dials) != want {
			t.Errorf("at %s it dials %v", own, r.dialled())
		}
	}
}

// TestTargetsAreBounded: whatever others make us know, targets are bounded and each is dialled
// once at a time.
func TestTargetsAreBounded(t *testing.T) {
	for seed := range uint64(2) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		r := newRig(t, []string{"door:1"})
		for i := range 1500 {
			name, address := fmt.Sprint("p", i), fmt.Sprintf("10.%d.%d.7:5000", i/250, i%250)
			switch rnd.IntN(8) {
			case 0, 1:
				r.AddCandidates([]*pb.Signed{named(name, address)})
			case 2, 3:
				r.FoundOnLAN(certs.ID(name), identity(name).Key().String(), []string{address})
			case 4, 5:
				r.leaves(r.member(name), address)
			case 6:
				r.fail()
			case 7:
				r.pass(time.Duration(rnd.Int64N(int64(time.Minute))))
			}
			r.settle()
			met, found, doors, dialling := 0, 0, 0, 0
			for _, target := range r.targets {
				switch {
				case target.Met:
					met++
				case target.Found != "":
					found++
				default:
					doors++
				}
				if target.Dialing {
					dialling++
				}
			}
			if met > maxAcquaintances || found > MaxFound || doors > maxTargets || dialling != len(r.reach.Dials) {
				t.Fatalf("seed %d: %d met, %d found, %d doors; %d of them are dialled by %d", seed, met, found, doors, dialling, len(r.reach.Dials))
			}
		}
	}
}
