package coretest

import (
	"reflect"
	"testing"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// TestEveryEffectIsKnown: the pretend driver handles each kind of effect, in the order in which
// they have to be obeyed.
func TestEveryEffectIsKnown(t *testing.T) {
	fields := reflect.VisibleFields(reflect.TypeFor[base.Effects]())
	for i, f := range fields {
		if i >= len(effects) || effects[i].name != f.Name {
			t.Fatalf("the driver does not obey Effects.%s, or not in its turn", f.Name)
		}
	}
	if len(effects) != len(fields) {
		t.Errorf("the driver obeys %s, which is not an effect any more", effects[len(fields)].name)
	}
}

// TestEveryEffectOccurs lets a network do everything there is, so that each kind of effect
// occurs, and checks the outcome of those that other simulations don't look at.
func TestEveryEffectOccurs(t *testing.T) {
	if raceDetector {
		t.Skip("takes most of a minute with the race detector, which sees one goroutine: make test runs it without")
	}
	w := testWorld(t, 0, 6)
	m := w.Machines
	first := m[0].Start()
	w.Run(time.Second)
	for _, n := range m[1:5] {
		n.Start(m[0].Address)
	}
	w.Run(10 * time.Second)
	arrives := func(what string, ok func() bool) {
		t.Helper()
		if !w.Until(100*time.Millisecond, time.Minute, ok) {
			t.Errorf("%s does not come", what)
		}
	}

	// Over a link, and over others without one.
	first.Send(m[1], 0, 1000)
	arrives("a message over a link", func() bool { return m[0].HasReceipt(m[1], 0) })
	w.Sever(m[2], m[3], true)
	w.Run(20 * time.Second)
	m[2].Process.Send(m[3], 0, 1000)
	arrives("a message to whom no dial reaches", func() bool { return m[2].HasReceipt(m[3], 0) })

	// A packet of a link over others.
	m[2].Process.Search(m[3], "packet")
	arrives("a packet", func() bool { return m[3].HasPacket("packet") })

	// A round trip where no dial reaches, and where nobody is.
	m[2].Process.Core.Step(w.Now, core.Ping{To: m[3].ID, Number: 1})
	m[2].Process.Core.Step(w.Now, core.Ping{To: "nobody", Number: 2})
	m[2].Process.Core.Step(w.Now, core.Ping{To: m[0].ID, Number: 3})
	m[2].Process.Drain()
	arrives("the answers of pings", func() bool { return len(m[2].Process.Pongs) == 3 })
	for i, want := range []base.Pong{{Number: 2, Why: "it is not in the network now"}, {Number: 3, How: base.PingDirect}, {Number: 1, How: base.PingLetters}} {
		if got := m[2].Process.Pongs[i]; got.Number != want.Number || got.Why != want.Why || got.How != want.How || got.Took <= 0 && want.Why == "" {
			t.Errorf("ping %d: %+v", want.Number, got)
		}
	}

	// For an absent peer; then one is withdrawn, and the rest is deposited anew.
	m[4].Process.Leave()
	w.Run(5 * time.Second)
	for i := range 3 {
		first.LeaveFor(m[4], i, 1000)
	}
	w.Run(5 * time.Second)
	first.Withdraw(m[4], 1)
	w.Run(time.Minute)
	m[4].Start(m[1].Address)
	arrives("a letter that was left anew", func() bool { return m[0].HasReceipt(m[4], 2) })

	// More than any peer carries.
	for i := range 20 {
		m[2].Process.Relay(m[3], 1+i, 1<<20, 1)
	}
	w.Run(20 * time.Second)

	// Clocks that went back, addresses that are joined later, an ID that is taken.
	first.Core.Step(w.Now, core.Join{Address: m[5].Address})
	first.Drain()
	w.Run(time.Minute)
	if len(first.Joined) != 1 || first.Joined[0].Why == "" {
		t.Errorf("a Join at a dead address ends with %+v", first.Joined)
	}
	m[3].Process.Crash()
	again := m[3].StartAt(1, m[0].Address)
	w.Run(time.Minute)
	if again.Epoch < 1000 {
		t.Errorf("it runs in epoch %d", again.Epoch)
	}
	w.Add("m1", Identity(99), 1000).Start(m[0].Address)
	w.Run(time.Minute)

	// For a peer that stays away until its deposits expire.
	for _, n := range m[1:] {
		if n.Process != nil && n != m[1] {
			n.Process.Leave()
		}
	}
	w.Run(5 * time.Second)
	first.LeaveFor(m[4], 3, 1000)
	w.Oracle = true
	w.Run(24*time.Hour + time.Minute)
	if kept := m[1].KeptFor(m[0], m[4]); len(kept) != 1 {
		t.Errorf("after a day the other keeps the letters %v, not one that was deposited anew", kept)
	}
	private, rooms := privateLife(t), roomLife(t)
	for i, kind := range effects {
		if w.Obeyed[i]+private.Obeyed[i]+rooms.Obeyed[i] == 0 {
			t.Errorf("Effects.%s is never wanted", kind.name)
		}
	}
}

// roomLife is what happens in rooms: who enters gets the last of what was said.
func roomLife(t *testing.T) *World {
	w := testWorld(t, 0, 2)
	w.Configure = func(m *Machine, cfg *base.Config) {
		cfg.Past, cfg.Features = []base.Room{{Name: "#dev"}}, append(cfg.Features, pb.FeaturePast)
		m.History = make(map[string][]*pb.Signed)
	}
	w.Machines[0].Start().Say("#dev", "hello")
	w.Machines[1].Start(w.Machines[0].Address)
	w.Run(5 * time.Second)
	if len(w.Machines[1].History["#dev"]) != 1 {
		t.Errorf("a newcomer to the room has %v", w.Machines[1].History)
	}
	return w
}

// privateLife is what happens in a private network alone: a ticket is used, and a member is removed.
func privateLife(t *testing.T) *World {
	w := testWorld(t, 0, 3)
	w.MakePrivate()
	m := w.Machines
	m[0].Start()
	m[2].Ticket = m[0].Invite(m[2].ID)
	for _, n := range m[1:] {
		n.Start(m[0].Address)
	}
	w.Run(5 * time.Second)
	out := m[1].Process
	if m[2].Pass == nil || !m[2].Process.Shows(m[1]) || !m[0].Remove(w.RemovalOf(m[1].ID, m[1].Key, m[0])) {
		t.Fatalf("who has a ticket is not in, or nobody can be removed: %v", m[2].Process.Err)
	}
	w.Run(5 * time.Second)
	if _, removed := out.Err.(*base.RemovedError); !removed || len(m[2].Removals) != 1 {
		t.Errorf("who was removed ends with %v", out.Err)
	}
	return w
}
