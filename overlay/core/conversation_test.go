package core

import (
	"cmp"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/custody"
	"quicpeer/pb"
)

// Conversations are golden tests that can be read as a description of the protocol: each file of
// testdata is a dialogue in which unindented lines are commands and the indented ones behind
// each are what follows from it, compared word for word (as etcd's raft does in its
// interaction tests). To have them written anew, and then read the difference:
//
//	go test ./overlay/core -run TestConversations -args -rewrite
//
// The commands are in dialogue.command. Peers that were started are cores; all others are played by
// the file, which says each of their frames. Packets take 10 ms.

var rewrite = flag.Bool("rewrite", false, "write what happens into the conversations of testdata")

const (
	oneWay = 10 * time.Millisecond
	indent = "    "
)

func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations:", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out, filter []string // filter: before the first scene
			lines, d, done, scenes := strings.Split(string(text), "\n"), newDialogue(t), 0, 0
			defer func() {
				if *rewrite {
					os.WriteFile(file, []byte(strings.Join(slices.Concat(out, d.said, lines[done:]), "\n")), 0o644)
				}
			}()
			for n, line := range lines {
				done = n + 1
				if strings.HasPrefix(line, indent) {
					continue
				}
				out = append(out, line)
				if line != "" && line[0] != '#' {
					d.where = fmt.Sprintf("%s:%d: %s", file, n+1, line)
					d.command(line)
				} else if strings.HasPrefix(line, "##") { // another scene
					if scenes == 0 {
						filter = d.filter
					}
					d, scenes = newDialogue(t), scenes+1
					d.filter = filter
				}
				out = append(out, d.said...)
				d.said = nil
			}
			got, want := strings.Join(out, "\n"), string(text)
			if got != want && !*rewrite {
				t.Errorf("%s differs:\n%s", file, firstDifference(want, got))
			}
		})
	}
}

// firstDifference is the first lines in which two texts differ.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < min(len(w), len(g)) && w[i] == g[i] {
		i++
	}
	return fmt.Sprintf("line %d\nwant:\n%s\ngot:\n%s", i+1, strings.Join(w[i:min(i+8, len(w))], "\n"), strings.Join(g[i:min(i+8, len(g))], "\n"))
}

// actor is a peer. Its name is its ID; bob/2 is a peer of the ID bob with another key.
type actor struct {
	name     string
	number   byte
	identity *certs.Identity
	core     *Core // nil: played by the file
	silent   bool  // nothing is heard of it
}

func (a *actor) id() certs.ID { return certs.ID(strings.Split(a.name, "/")[0]) }

func (a *actor) address() string { return fmt.Sprintf("10.0.0.%d:5000", a.number) }

// cable is a connection; its number is the same at both ends.
type cable struct {
	id   base.LinkID
	ends [2]*actor // the dialer first
	open [2]bool
}

type dialogue struct {
	t       *testing.T
	where   string // the command, for errors
	now     time.Duration
	actors  []*actor
	wires   []*cable
	dials   []*dialling
	plans   []plan
	cut     map[[2]*actor]bool
	filter  []string // kinds of lines: the only ones shown or, behind "hide", the hidden ones
	said    []string
	aliases map[string]string  // see raw
	runs    map[[8]byte]string // of broadcasts, see run
	opaque  int
}

type plan struct {
	at time.Duration
	do func()
}

// dialling is a dial of a peer that is played by the file, or is not there.
type dialling struct {
	by *actor
	base.Dial
}

func newDialogue(t *testing.T) *dialogue {
	return &dialogue{t: t, cut: make(map[[2]*actor]bool), runs: make(map[[8]byte]string), aliases: map[string]string{"\xff\xff\xff\xff\xff\xff\xff\xff": "end"}}
}

// find is the peer of a name, nil if there is none yet.
func (d *dialogue) find(name string) *actor {
	for _, a := range d.actors {
		if a.name == name {
			return a
		}
	}
	return nil
}

func (d *dialogue) actor(name string) *actor {
	if a := d.find(name); a != nil {
		return a
	}
	seed := fnv.New64()
	seed.Write([]byte(name))
	a := &actor{name: name, number: byte(len(d.actors) + 1), identity: testIdentity(seed.Sum64())}
	d.actors = append(d.actors, a)
	d.run(a, 1000)
	return a
}

// at is the peer at an address, or at a name given as an address to join.
func (d *dialogue) at(address string) *actor {
	for _, a := range d.actors {
		if a.address() == address {
			return a
		}
	}
	return nil
}

func (d *dialogue) nameOf(key certs.PublicKey) string {
	for _, a := range d.actors {
		if a.identity.Key() == key {
			return a.name
		}
	}
	return key.String()
}

// tell adds a line if one of its kinds is shown.
func (d *dialogue) tell(kinds, format string, args ...any) {
	hide := len(d.filter) > 0 && d.filter[0] == "hide"
	hit := slices.ContainsFunc(strings.Fields(kinds), func(k string) bool { return slices.Contains(d.filter, k) })
	if len(d.filter) == 0 || hit != hide {
		d.said = append(d.said, fmt.Sprintf(indent+"%-7v ", d.now.Round(time.Millisecond))+fmt.Sprintf(format, args...))
	}
}

func (d *dialogue) plan(after time.Duration, do func()) {
	d.plans = append(d.plans, plan{d.now + after, do})
	slices.SortStableFunc(d.plans, func(a, b plan) int { return cmp.Compare(a.at, b.at) })
}

// step gives a core an input and obeys what it wants.
func (d *dialogue) step(a *actor, in Input) Reply {
	if a.core == nil {
		return Reply{}
	}
	reply := a.core.Step(d.now, in)
	d.drain(a)
	return reply
}

func (d *dialogue) drain(a *actor) {
	for out := a.core.Drain(); !out.Empty(); out = a.core.Drain() {
		for _, v := range out.Verify {
			valid := make([]bool, len(v.Claims))
			for i, claim := range v.Claims {
				valid[i] = claim.Valid()
			}
			a.core.Step(d.now, Verified{ID: v.ID, Valid: valid})
		}
		d.obeyCore(a, out)
	}
}

func (d *dialogue) obeyCore(a *actor, out base.Effects) {
	if out.Epoch != 0 {
		d.tell("epoch", "%s: epoch %d", a.name, out.Epoch)
	}
	for _, e := range out.Events {
		switch e := e.(type) {
		case base.Ready:
			d.tell("events", "%s: ready", a.name)
		case base.Joined:
			d.tell("events", "%s", strings.TrimSuffix(fmt.Sprintf("%s: joined %s via %s", a.name, d.nameOf(e.Key), e.Via), " via "))
		case base.Left:
			d.tell("events", "%s: %s %s", a.name, map[bool]string{true: "left", false: "lost"}[e.Farewell], string(e.ID))
		case base.Broadcasted:
			d.tell("events", "%s: %s says %q%s", a.name, e.Content.GetSender(), e.Content.GetContent(), map[bool]string{true: " directly"}[e.Direct])
		}
	}
	for _, w := range out.Custody {
		if w.Kept == nil {
			d.tell("custody", "%s: drops %s", a.name, d.alias(w.ID[:]))
		} else {
			text := d.seal(w.Kept.Deposit.GetSealed())
			d.tell("custody", "%s: keeps %s of %s for %s", a.name, text, cmp.Or(w.Kept.Depositor, "nobody"), w.Kept.Deposit.GetReceiver())
		}
	}
	for len(out.Frames) > 0 {
		data, over, to := string(out.Frames[0].Data), out.Frames[0].Link, []string(nil)
		m, err := decode(out.Frames[0].Data)
		if err != nil {
			d.t.Fatalf("%s: %s sends an invalid frame: %v", d.where, a.name, err)
		}
		var ahead []base.LinkID // of other frames, which are not overtaken
		out.Frames = slices.DeleteFunc(out.Frames, func(f base.Frame) bool {
			if string(f.Data) != data || slices.Contains(ahead, f.Link) {
				ahead = append(ahead, f.Link)
				return false
			}
			to = append(to, d.carry(f.Link, a, m))
			return true
		})
		slices.Sort(to)
		if isCheck(m.GetRouted(), over) {
			continue // as keepalives are not shown either
		}
		frame := m.ProtoReflect()
		content := frame.Get(frame.WhichOneof(frame.Descriptor().Oneofs().Get(0))).Message()
		name := string(content.Descriptor().Name())
		from, kinds, text := a.name, name, name+d.show(content)
		if r := m.GetRouted(); r.GetContent() != nil {
			fd := content.WhichOneof(content.Descriptor().Oneofs().Get(0))
			kinds += " " + string(fd.Name())
			if peer, _, _ := strings.Cut(to[0], ":"); r.GetFrom() == string(a.id()) && len(r.GetPassed()) > 0 && r.GetPassed()[0] == r.GetFrom() {
				text = string(fd.Name()) + d.show(content.Get(fd).Message())
				if around := r.GetPassed()[1:]; len(around) > 0 {
					text += " around " + strings.Join(around, " ")
				}
				if r.GetTo() != string(d.actor(peer).id()) {
					from, to[0] = from+" over "+to[0], r.GetTo()
				}
			}
		}
		if r := m.GetReconcile(); r != nil {
			kinds += map[bool]string{true: " table", false: " comparison"}[r.GetAnswer()]
		}
		d.tell(kinds, "%s -> %s %s", from, strings.Join(to, ", "), text)
	}
	for _, c := range out.Closes {
		d.tell("closes", "%s closes %s: %s", a.name, d.far(c.Link, a), c.Text)
		w := d.cable(c.Link)
		d.plan(2*oneWay, func() { d.end(w, a, false, "closed") })
		d.plan(oneWay, func() { d.end(w, w.other(a), c.Reason != base.CloseBye, c.Text) })
	}
	for _, dial := range out.Dials {
		d.dial(a, dial)
	}
	for _, id := range out.Cancels {
		d.dials = slices.DeleteFunc(d.dials, func(x *dialling) bool { return x.by == a && x.ID == id })
	}
	for _, e := range out.Envelopes {
		d.tell("custody relay", "%s: an envelope of %s: %s", a.name, e.From, d.seal(e.Sealed))
	}
	for _, c := range out.Carried {
		d.tell("relay", "%s: a packet carried from %016x: %s", a.name, c.From, c.Packet)
	}
	for _, id := range out.Releave {
		d.tell("custody", "%s: leave anew for %s", a.name, id)
	}
	for _, id := range out.Unreachable {
		d.tell("custody", "%s: unreachable: %s", a.name, id)
	}
	for _, j := range out.Joined {
		d.tell("events", "%s: join %s: %s", a.name, j.Address, cmp.Or(string(j.ID), j.Why))
	}
	if out.Err != nil {
		d.tell("events", "%s ends: %s", a.name, d.named(out.Err.Error()))
	}
}

// named puts the names of peers into a text in place of their keys and addresses.
func (d *dialogue) named(text string) string {
	for _, a := range d.actors {
		text = strings.ReplaceAll(strings.ReplaceAll(text, a.identity.Key().String(), a.name), a.address(), "@"+a.name)
	}
	return text
}

func (w *cable) other(a *actor) *actor { return w.ends[1-w.side(a)] }

func (w *cable) side(a *actor) int { return slices.Index(w.ends[:], a) }

func (d *dialogue) cable(id base.LinkID) *cable { return d.wires[id-1] }

// far names the other end of a link; the second link of a pair is NAME:2.
func (d *dialogue) far(id base.LinkID, a *actor) string {
	b, n := d.cable(id).other(a), 0
	for _, w := range d.wires[:id] {
		if w.side(a) >= 0 && w.side(b) >= 0 {
			n++
		}
	}
	if n > 1 {
		return fmt.Sprintf("%s:%d", b.name, n)
	}
	return b.name
}

// between is a link of two peers: the last one, or the one numbered in NAME:2.
func (d *dialogue) between(name string, b *actor) *cable {
	name, number, _ := strings.Cut(name, ":")
	want, _ := strconv.Atoi(number)
	a, n, last := d.actor(name), 0, (*cable)(nil)
	for _, w := range d.wires {
		if w.side(a) >= 0 && w.side(b) >= 0 {
			if n++; n == want || want == 0 {
				last = w
			}
		}
	}
	if last == nil {
		d.t.Fatalf("%s: no link", d.where)
	}
	return last
}

// connect makes a link.
func (d *dialogue) connect(a, b *actor, dial base.DialID) *cable {
	w := &cable{base.LinkID(len(d.wires) + 1), [2]*actor{a, b}, [2]bool{true, true}}
	d.wires = append(d.wires, w)
	d.step(a, Connected{Link: w.id, Dial: dial, Key: b.identity.Key(), Address: b.address()})
	d.step(b, Connected{Link: w.id, Key: a.identity.Key(), Address: a.address()})
	return w
}

// end ends a link on one side.
func (d *dialogue) end(w *cable, a *actor, friendly bool, why string) {
	if i := w.side(a); w.open[i] {
		w.open[i] = false
		d.step(a, Disconnected{Link: w.id, Friendly: friendly, Why: why})
	}
}

// hears reports whether packets of a link come to one of its ends.
func (d *dialogue) hears(w *cable, a *actor) bool {
	b := w.other(a)
	return w.open[0] && w.open[1] && !b.silent && !d.cut[[2]*actor{a, b}]
}

// carry brings a frame to the other end of a link, if that is a core, and names that end. The
// comparisons of a peer that the file plays end as equal, and it answers checks.
func (d *dialogue) carry(id base.LinkID, from *actor, m *pb.PeerMessage) string {
	w := d.cable(id)
	to := w.other(from)
	if to.core == nil && isQuestion(m) && from.core.env.Ready && !to.silent {
		d.plan(2*oneWay, func() { d.step(from, Received{Link: id, Frame: pb.Wrap(piece())}) })
	}
	if r := m.GetRouted(); to.core == nil && isCheck(r, id) && r.GetPing() != nil && !to.silent {
		d.plan(2*oneWay, func() { d.step(from, Received{Link: id, Frame: pb.Wrap(pongOf(r))}) })
	}
	var arrive func()
	arrive = func() {
		switch {
		case d.cut[[2]*actor{from, to}]:
			d.plan(10*oneWay, arrive)
		case w.open[w.side(to)]:
			d.step(to, Received{Link: id, Frame: m})
		}
	}
	d.plan(oneWay, arrive)
	return d.far(id, from)
}

// dial lets a core dial: another core answers if it is there, a peer of the file when it says so.
func (d *dialogue) dial(by *actor, dial base.Dial) {
	var names []string
	for _, c := range dial.Candidates {
		name := c.Address
		if at := d.at(c.Address); at != nil {
			name = at.name
		}
		names = append(names, name)
	}
	d.tell("dials", "%s dials %s", by.name, strings.Join(names, ", "))
	x := &dialling{by, dial}
	d.dials = append(d.dials, x)
	for _, name := range names {
		if a := d.find(name); a != nil && a.core != nil && a != by && !a.silent && !d.cut[[2]*actor{by, a}] {
			d.plan(2*oneWay, func() { d.answer(x, a) })
		}
	}
	d.plan(dial.Timeout, func() { d.fail(x, "no answer") })
}

func (d *dialogue) over(x *dialling) bool {
	i := slices.Index(d.dials, x)
	if i >= 0 {
		d.dials = slices.Delete(d.dials, i, i+1)
	}
	return i < 0
}

func (d *dialogue) answer(x *dialling, a *actor) {
	if !d.over(x) {
		d.connect(x.by, a, x.ID)
	}
}

func (d *dialogue) fail(x *dialling, why string) {
	if !d.over(x) {
		d.step(x.by, DialFailed{Dial: x.ID, Why: why})
	}
}

// wait lets time pass. A core that asks for tick after tick without an end fails.
func (d *dialogue) wait(t time.Duration) {
	ticks, since := 0, d.now
	for until := d.now + t; ; {
		next, due := until, (*actor)(nil)
		for _, a := range d.actors {
			if a.core != nil && a.core.Next() < next {
				next, due = a.core.Next(), a
			}
		}
		switch {
		case len(d.plans) > 0 && d.plans[0].at <= next:
			p := d.plans[0]
			d.plans = d.plans[1:]
			d.now = max(d.now, p.at)
			p.do()
		case due == nil:
			d.now = until
			return
		default:
			d.now = max(d.now, next)
			if ticks++; d.now > since {
				ticks, since = 0, d.now
			} else if ticks > 1000 {
				d.t.Fatalf("%s: %s does not rest at %v", d.where, due.name, d.now)
			}
			for _, w := range d.wires {
				if w.side(due) >= 0 && d.hears(w, due) {
					due.core.Step(d.now, Heard{Link: w.id, Heard: d.now})
				}
			}
			d.step(due, Tick{})
			if t > 10*time.Minute { // nothing happens in between
				due.core.env.NextTick = min(d.now+time.Minute, until)
			}
		}
	}
}

// command obeys a line of a file.
func (d *dialogue) command(line string) {
	if from, rest, ok := strings.Cut(line, " -> "); ok { // bob -> alice Name{...}: bob is played; dave over bob -> alice ping{...}
		to, frame, _ := strings.Cut(rest, " ")
		first, last, over := strings.Cut(from, " over ")
		if !over {
			last = first
		}
		w := d.between(last, d.actor(to))
		if frame[0] >= 'a' { // what is Routed
			last = string(w.other(d.actor(to)).id())
			if !over {
				first = last
			}
			frame = fmt.Sprintf("Routed{from=%s to=%s passed=[%s] %s}", first, to, strings.TrimSuffix(first+" "+last, " "+first), frame)
		}
		m, err := decode(base.Encode(d.read(frame)))
		if err != nil {
			d.t.Fatalf("%s: %v", d.where, err)
		}
		d.step(d.actor(to), Received{Link: w.id, Frame: m})
		return
	}
	words := strings.Fields(line)
	switch words[0] {
	case "show", "hide": // only these lines; all but these
		d.filter = words[1:]
		if words[0] == "hide" {
			d.filter = words
		}
	case "start": // start PEER [EPOCH] [within 1s] [join PEER...]: a core
		d.start(d.actor(words[1]), words[2:])
	case "wait", "stall": // time passes; while no core gets to run
		t, err := time.ParseDuration(words[1])
		if err != nil {
			d.t.Fatal(err)
		}
		if words[0] == "stall" {
			d.now += t
		} else {
			d.wait(t)
		}
	case "dial", "hello": // bob, who is played, dials alice; hello bob alice EPOCH [visitor]: and begins
		w := d.connect(d.actor(words[1]), d.actor(words[2]), 0)
		if words[0] == "hello" {
			d.hello(w, words[3:]...)
		}
	case "neighbours", "links": // neighbours alice bob carol: the others have become neighbours of alice, who is started
		filter := d.filter
		d.filter = []string{"nothing"}
		if a := d.actor(words[1]); a.core == nil {
			d.start(a, nil)
		}
		for _, name := range expand(words[2:]) {
			a, b := d.actor(words[1]), d.actor(name)
			w := d.connect(b, a, 0)
			d.hello(w, "1000")
			if words[0] == "neighbours" {
				d.step(a, Received{Link: w.id, Frame: pb.Wrap(&pb.Neighbour{Type: pb.NeighbourType_REQUEST})})
			}
		}
		d.filter = filter
	case "joins", "visits": // joins alice door bob: alice has joined by a door, with this table
		filter := d.filter
		d.filter = []string{"nothing"}
		door := d.actor(words[2])
		d.start(d.actor(words[1]), map[string][]string{"joins": {"join", words[2]}, "visits": {"visitor", "join", words[2]}}[words[0]])
		d.command("accept " + door.name)
		d.command(door.name + " -> " + words[1] + " HandshakeResponse{OK record=JOIN(" + door.name + " 1000.0)}")
		table, names := "", words[2:]
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(base.TagOf(certs.ID(a)), base.TagOf(certs.ID(b))) })
		for _, name := range names {
			table += " JOIN(" + name + " 1000.0)"
		}
		d.command(door.name + " -> " + words[1] + " Reconcile{answer" + table + "}")
		d.command(door.name + " -> " + words[1] + " Reconcile{answer}")
		d.filter = filter
	case "accept", "fail": // accept bob: the oldest dial of bob stands
		a := d.actor(words[1])
		i := slices.IndexFunc(d.dials, func(x *dialling) bool {
			return x.Key == a.identity.Key() || slices.ContainsFunc(x.Candidates, func(c base.Candidate) bool { return d.at(c.Address) == a || c.Address == a.name })
		})
		switch {
		case i < 0:
			d.t.Fatalf("%s: nobody dials", d.where)
		case words[0] == "accept":
			d.answer(d.dials[i], a)
		default:
			d.fail(d.dials[i], cmp.Or(strings.Join(words[2:], " "), "no answer"))
		}
	case "ends", "breaks": // ends bob alice: bob ends the link
		w := d.between(words[1], d.actor(words[2]))
		d.end(w, d.actor(words[2]), words[0] == "ends", "closed by the peer")
	case "silence", "hear": // nothing is heard of peers; they are heard again
		for _, name := range expand(words[1:]) {
			d.actor(name).silent = words[0] == "silence"
		}
	case "crash":
		a := d.actor(words[1])
		a.silent, a.core = true, nil
	case "cut", "heal":
		a, b := d.actor(words[1]), d.actor(words[2])
		d.cut[[2]*actor{a, b}], d.cut[[2]*actor{b, a}] = words[0] == "cut", words[0] == "cut"
	case "say": // say alice TEXT: a broadcast
		d.step(d.actor(words[1]), Broadcast{Body: strings.Join(words[2:], " ")})
	case "want":
		d.step(d.actor(words[1]), Want{To: certs.ID(words[2])})
	case "route": // route alice carol TEXT: sealed, over others
		id := pb.DepositID([]byte(words[3]))
		d.seal([]byte(words[3]))
		if !d.step(d.actor(words[1]), Route{To: certs.ID(words[2]), Number: custody.EnvelopeNumber(id), Sealed: []byte(words[3])}).OK {
			d.tell("custody relay Routed", "no way")
		}
	case "deposit": // deposit alice carol TEXT: sealed, with others
		key := d.actor(words[2]).identity.Key()
		if !d.step(d.actor(words[1]), Deposit{&pb.Deposit{Receiver: words[2], ReceiverKey: key[:], Sealed: []byte(words[3])}}).OK {
			d.tell("custody", "not taken")
		}
	case "move": // move alice ADDRESS: its interface has another one
		d.step(d.actor(words[1]), Moved{Own: []netip.AddrPort{netip.MustParseAddrPort(words[2])}})
	case "sleep": // sleep alice 1h: its machine was asleep
		t, _ := time.ParseDuration(words[2])
		d.step(d.actor(words[1]), Slept{t})
	case "withdraw": // withdraw alice zoe [rest]: a message; there are others
		d.step(d.actor(words[1]), Withdraw{Receiver: certs.ID(words[2]), Rest: len(words) > 3})
	case "leave":
		d.step(d.actor(words[1]), Leave{})
	case "join":
		d.step(d.actor(words[1]), Join{Address: words[2]})
	case "peers":
		for _, p := range d.actor(words[1]).core.Net().Peers {
			text := strings.TrimSpace(fmt.Sprintf("%s %s", p.ID, p.Via))
			if p.Tries > 0 {
				text += fmt.Sprintf(", tried %d: %s", p.Tries, p.Why)
			}
			d.said = append(d.said, indent+text)
		}
	case "table":
		for _, e := range sortedByID(d.actor(words[1]).core.table.Entries) {
			r := e.Record
			text := fmt.Sprintf("%v(%s %d.%d)", e.State, d.nameOf(r.Key), r.Epoch, r.Seq)
			d.said = append(d.said, indent+text)
		}
	default:
		d.t.Fatalf("%s: no such command", d.where)
	}
}

// hello begins the handshake of a link whose dialer is played.
func (d *dialogue) hello(w *cable, words ...string) {
	a := w.ends[0]
	record := d.sign("JOIN", append([]string{a.name, words[0] + ".0"}, words[1:]...))
	d.step(w.ends[1], Received{Link: w.id, Frame: pb.Wrap(&pb.HandshakeStart{Version: 1, Network: "net", Id: string(a.id()), Record: record})})
}

func (d *dialogue) start(a *actor, words []string) {
	a.silent = false
	cfg := base.Config{
		ID: a.id(), Identity: a.identity, Network: "net", Software: "test", Epoch: 1000, JoinTimeout: 10 * time.Second,
		Addresses: []netip.AddrPort{netip.MustParseAddrPort(a.address())}, Rand: rand.New(rand.NewPCG(1, uint64(a.number))),
	}
	for i, word := range words {
		switch {
		case word == "within":
			cfg.JoinTimeout, _ = time.ParseDuration(words[i+1])
		case word == "join":
			cfg.Join = words[i+1:]
		case word == "visitor":
			cfg.Visitor = true
		case word == "nocustody":
			cfg.NoCustody = true
		case word[0] <= '9':
			cfg.Epoch, _ = strconv.ParseUint(word, 10, 64)
		}
	}
	d.run(a, cfg.Epoch)
	a.core = New(cfg, d.now)
	d.drain(a)
}

// expand replaces p1..3 by p1, p2, p3.
func expand(words []string) (list []string) {
	for _, word := range words {
		first, last, ok := strings.Cut(word, "..")
		if !ok {
			list = append(list, word)
			continue
		}
		name := strings.TrimRight(first, "0123456789")
		from, _ := strconv.Atoi(first[len(name):])
		to, _ := strconv.Atoi(last)
		for ; from <= to; from++ {
			list = append(list, fmt.Sprint(name, from))
		}
	}
	return list
}
