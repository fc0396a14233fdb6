package core

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reconcile"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// welcome lets the door with the key of that number let the rig in.
func (r *rig) welcome(dial base.DialID, identity uint64) base.LinkID {
	r.t.Helper()
	l := r.outbound(dial, identity)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_OK, Record: signed(identity, fmt.Sprint("door", identity), pb.AnnouncementType_JOIN, 7, 0)})
	r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_ACCEPT})
	return l
}

// letIn is a rig with addresses of two doors, 1 and 2, that have let it in.
func letIn(t *testing.T, change func(*base.Config)) (r *rig, first, second base.LinkID) {
	r = newRig(t, func(c *base.Config) {
		c.Join, c.JoinTimeout = []string{"a:1", "b:1"}, 10*time.Second
		if change != nil {
			change(c)
		}
	})
	dials := r.out.Dials
	return r, r.welcome(dials[0].ID, 1), r.welcome(dials[1].ID, 2)
}

// inOrder is a table of so many peers, in the order of tables.
func inOrder(n int) []*pb.Announcement {
	type named struct {
		record *base.Record
		a      *pb.Announcement
	}
	var list []named
	for i := range uint64(n) {
		a := say(pb.AnnouncementType_JOIN, 1000+i, fmt.Sprint("p", i), 1, 0)
		record, err := base.OpenRecord(a.Record)
		if err != nil {
			panic(err)
		}
		list = append(list, named{record, a})
	}
	slices.SortFunc(list, func(a, b named) int { return base.CompareNames(a.record, b.record) })
	var out []*pb.Announcement
	for _, e := range list {
		out = append(out, e.a)
	}
	return out
}

// asksTable reports whether the last input has asked for a piece of the link's table.
func (r *rig) asksTable(l base.LinkID) bool {
	r.t.Helper()
	for i, m := range r.frames() {
		if isQuestion(m) && r.out.Frames[i].Link == l {
			return true
		}
	}
	return false
}

func isReady(r *rig) bool { return slices.Contains(r.out.Events, base.Event(base.Ready{})) }

// TestDoorThatRepeats: a piece that does not continue behind the last one breaks the protocol,
// and makes no progress.
func TestDoorThatRepeats(t *testing.T) {
	table := inOrder(6)
	for name, pieces := range map[string][]*pb.Reconcile{
		"the same again":        {piece(table[:2]...), piece(table[:2]...)},
		"an older one":          {piece(table[2:4]...), piece(table[:1]...)},
		"the last entry":        {piece(table[:2]...), piece(table[1:3]...)},
		"one within a frame":    {piece(table[1], table[1])},
		"out of order":          {piece(table[1], table[0])},
		"left open too early":   {piece(table[:2]...), leftFrom(table[1])},
		"nothing but left open": {leftFrom(table[1])},
		"described all the same": {{Answer: true, Ranges: []*pb.TableRange{
			{Last: math.MaxUint64, Kind: pb.RangeKind_FINGERPRINTS, Hashes: make([]uint64, pb.MaxHashes)},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			r, first, second := letIn(t, nil)
			for i, piece := range pieces {
				r.receive(first, piece)
				if closed := len(r.out.Closes) > 0; closed != (i == len(pieces)-1) {
					t.Fatalf("piece %d: closes %v", i, r.out.Closes)
				}
			}
			if r.out.Closes[0].Link != first || r.out.Closes[0].Reason != base.CloseProtocol {
				t.Errorf("closes %v", r.out.Closes)
			}
			if r.pass(2 * tickEvery); !r.asksTable(second) {
				t.Fatal("the second door is not asked")
			}
			r.brings(second, table...)
			if !isReady(r) || !r.has("p5") {
				t.Errorf("not ready: %v", r.out.Events)
			}
		})
	}
}

// TestDoorThatTrickles: a door that sends its table as slowly as it can must not keep us from
// another, nor for ever.
func TestDoorThatTrickles(t *testing.T) {
	table := inOrder(200)
	r, first, second := letIn(t, func(c *base.Config) { c.JoinTimeout = 0 })
	asked := time.Duration(0)
	for i := 0; asked == 0; i++ {
		r.receive(first, piece(table[i]))
		if r.pass(time.Second); r.asksTable(second) {
			asked = r.now
		}
	}
	if asked < reconcile.LongAtIt || asked > reconcile.LongAtIt+2*time.Second {
		t.Errorf("the second is asked after %v", asked)
	}

	r = newRig(t, func(c *base.Config) { c.Join, c.JoinTimeout = []string{"a:1"}, 10*time.Second })
	first = r.welcome(r.out.Dials[0].ID, 1)
	for i := 0; r.out.Err == nil && i < len(table); i++ {
		r.receive(first, piece(table[i]))
		r.pass(time.Second)
	}
	var join *base.JoinError
	if !errors.As(r.out.Err, &join) || r.now < 10*time.Second || r.now > 12*time.Second || !slices.Contains(join.Obstacles, base.ObstacleTable) {
		t.Errorf("ends after %v: %v", r.now, r.out.Err)
	}
}

// TestTableTakesItsTime: while a table comes we wait for it, however short the time to join.
func TestTableTakesItsTime(t *testing.T) {
	rest := inOrder(320)
	r := newRig(t, func(c *base.Config) { c.Join, c.JoinTimeout = []string{"a:1"}, 3*time.Second })
	door := r.welcome(r.out.Dials[0].ID, 1)
	for len(rest) > 0 {
		r.receive(door, piece(rest[:64]...))
		if rest = rest[64:]; len(rest) == 0 {
			r.receive(door, piece())
		}
		ready := isReady(r)
		if r.pass(5 * time.Second); r.out.Err != nil {
			t.Fatalf("gives up after %v: %v", r.now, r.out.Err)
		}
		if ready != (len(rest) == 0) {
			t.Fatalf("ready %v, %d left", ready, len(rest))
		}
	}

	// A rest that has stopped coming is not waited for.
	rest = inOrder(64)
	r = newRig(t, func(c *base.Config) { c.Join, c.JoinTimeout = []string{"a:1"}, 3*time.Second })
	r.receive(r.welcome(r.out.Dials[0].ID, 1), piece(rest...))
	for r.out.Err == nil && r.now < time.Minute {
		r.pass(tickEvery)
	}
	var join *base.JoinError
	if !errors.As(r.out.Err, &join) || r.now > link.SyncTimeout+time.Second || !slices.Contains(join.Obstacles, base.ObstacleTable) {
		t.Errorf("ends after %v: %v", r.now, r.out.Err)
	}
	if want := "a:1: let us in, and sent 64 entries of its table, but not all of it"; join.Failures[0] != want {
		t.Errorf("%q, not %q", join.Failures[0], want)
	}

	// Nor is a rest without end.
	rest = inOrder(16 * 130)
	r = newRig(t, func(c *base.Config) { c.Join, c.JoinTimeout = []string{"a:1"}, 3*time.Second })
	door = r.welcome(r.out.Dials[0].ID, 1)
	for r.out.Err == nil && len(rest) > 0 {
		r.receive(door, piece(rest[:16]...))
		if len(rest)%table.MaxAnswer == 48 { // the 512th, 1024th...
			r.receive(door, leftFrom(rest[15]))
		}
		rest = rest[16:]
		r.pass(5 * time.Second)
	}
	if !errors.As(r.out.Err, &join) || r.now < reconcile.MostOvertime || r.now > reconcile.MostOvertime+10*time.Second {
		t.Errorf("ends after %v: %v", r.now, r.out.Err)
	}
}

// TestBrokenDoor: a door that breaks the protocol is dialled more and more seldom, and logged
// once.
func TestBrokenDoor(t *testing.T) {
	forged := say(pb.AnnouncementType_JOIN, 5, "five", 1, 0)
	forged.Record.Signature[0] ^= 1
	for name, bad := range map[string]proto.Message{
		"a forged record":    piece(forged),
		"a table left open":  leftFrom(forged),
		"a second handshake": start(1, "door1", 7),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *base.Config) { c.Join = []string{"a:1"} })
			dialled, warnings := 0, 0
			for r.now < time.Minute {
				for _, d := range r.out.Dials {
					dialled++
					l := r.welcome(d.ID, 1)
					r.receive(l, bad)
					if len(r.out.Closes) != 1 {
						t.Fatalf("closes %v", r.out.Closes)
					}
					for _, n := range r.out.Notes {
						if n.Level == base.Warn {
							warnings++
						}
					}
					r.c.Step(r.now, Disconnected{Link: l, Friendly: true, Why: "closed here"})
					r.drain()
				}
				r.pass(tickEvery)
			}
			if dialled < 4 || dialled > 10 || warnings != 1 {
				t.Errorf("dialled %d times and logged %d times in a minute", dialled, warnings)
			}
		})
	}
}

// TestRefusalsNameTheCode protects the texts that users search logs for.
func TestRefusalsNameTheCode(t *testing.T) {
	r, l := joining(t)
	r.receive(l, &pb.HandshakeResponse{Code: pb.HandshakeCode_LEAVING, Reason: "this peer is leaving"})
	if e := r.c.join.JoinError(); !strings.HasSuffix(e.Failures[0], ": refused: LEAVING: this peer is leaving") || slices.Contains(e.Obstacles, base.ObstacleTable) {
		t.Errorf("%+v", e)
	}
}
