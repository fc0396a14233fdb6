package messaging

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// alone is an engine that does nothing, with what it has wished for and logged.
func alone() (e *Engine, wishes *[]Wish, log *strings.Builder) {
	wishes, log = new([]Wish), new(strings.Builder)
	e = &Engine{
		cfg:    Config{Wish: func(w Wish) { *wishes = append(*wishes, w) }},
		log:    slog.New(slog.NewTextHandler(log, nil)),
		events: newEventQueue(), disk: new(Disk), custodian: custodian{wake: make(chan struct{}, 1)},
	}
	e.directory.init(e, nil)
	return e, wishes, log
}

// comes has a peer join under a key, as the loop does.
func comes(e *Engine, id certs.ID, key certs.PublicKey) {
	e.directory.Meet(Contact{ID: id, Key: key, Sealing: certs.SealingKey(key)})
	e.Joined(PeerJoined{ID: id, Key: key})
}

// changes are the keys that the program was told of, and takes them out.
func changes(e *Engine) (keys []certs.PublicKey) {
	for _, event := range queued(e.events) {
		if c, ok := event.(KeyChanged); ok {
			keys = append(keys, c.Is)
		}
	}
	e.events.items = nil
	return keys
}

// For whom messages are, and whether that peer is here, in each state of the directory.
func TestAddressee(t *testing.T) {
	var none certs.PublicKey
	a, b := bobsKey, secondKey
	for _, test := range []struct {
		name              string
		met, present, pin certs.PublicKey
		want              certs.PublicKey
		here              bool
		letters           []certs.PublicKey // of these keys are taken
	}{
		{"never heard of", none, none, none, none, false, []certs.PublicKey{a, b}},
		{"met", a, none, none, a, false, []certs.PublicKey{a}},
		{"here", a, a, none, a, true, []certs.PublicKey{a}},
		{"here, and gone when its record was looked at", none, a, none, a, true, []certs.PublicKey{a}},
		{"here, and another was met", b, a, none, a, true, []certs.PublicKey{a}},
		{"pinned and forgotten", none, none, a, a, false, []certs.PublicKey{a}},
		{"pinned and met", a, none, a, a, false, []certs.PublicKey{a}},
		{"pinned and here", a, a, a, a, true, []certs.PublicKey{a}},
		{"another was here", b, none, a, a, false, []certs.PublicKey{a}},
		{"another is here", b, b, a, a, false, []certs.PublicKey{a, b}},
		{"another is here, and its record was not looked at", a, b, a, a, false, []certs.PublicKey{a, b}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, _, _ := alone()
			d := &e.directory
			if test.pin != none {
				d.pins["bob"] = &pin{key: test.pin}
			}
			if test.met != none {
				d.met["bob"] = Contact{ID: "bob", Key: test.met}
			}
			if test.present != none {
				d.present["bob"] = presence{key: test.present}
			}
			if c, here := d.forWhom("bob"); c.Key != test.want || here != test.here {
				t.Errorf("messages are for %v, here: %v", c.Key, here)
			}
			r := d.newReceiver("bob")
			if r.key != test.want || r.present != test.here {
				t.Errorf("its receiver is for %v, here: %v", r.key, r.present)
			}
			if (d.pins["bob"] != nil) != (test.want != none) {
				t.Error("what is written to a peer that is known pins it, and nothing else does")
			}
			for _, key := range []certs.PublicKey{a, b} {
				if got, want := d.mayBe("bob", key), slices.Contains(test.letters, key); got != want {
					t.Errorf("a letter of %v is taken: %v", key, got)
				}
			}
		})
	}
}

// Two keys take turns: the program is told once of each but the first, and messages go to that
// one alone.
func TestKeysTakeTurns(t *testing.T) {
	e, _, _ := alone()
	comes(e, "bob", bobsKey)
	r, err := e.directory.receiverOf("bob")
	if err != nil {
		t.Fatal(err)
	}
	add(t, r, "for bob")
	var told []certs.PublicKey
	third := certs.PublicKey{3}
	for i, key := range []certs.PublicKey{secondKey, bobsKey, secondKey, bobsKey, third, secondKey, third, bobsKey} {
		if i%2 == 0 { // as a rule the other is gone before, but the table may know better
			e.Left("bob")
		}
		comes(e, "bob", key)
		if r.key != bobsKey || r.sealing != certs.SealingKey(bobsKey) || r.present != (key == bobsKey) {
			t.Errorf("with %v here messages are for %v, here: %v", key, r.key, r.present)
		}
		why := ""
		if key != bobsKey {
			why = "bob has another key than before"
		}
		if got := e.directory.whyAway("bob"); got != why {
			t.Errorf("a message waits since %q", got)
		}
		if e.directory.IsNewKey("bob", key) != (key != bobsKey) {
			t.Errorf("what comes from %v is marked: %v", key, e.directory.IsNewKey("bob", key))
		}
		told = append(told, changes(e)...)
	}
	if !slices.Equal(told, []certs.PublicKey{secondKey, third}) {
		t.Errorf("the program is told of %v", told)
	}
	e.Left("bob")
	if !e.directory.mayBe("bob", third) || e.directory.mayBe("bob", certs.PublicKey{4}) {
		t.Error("letters of a key that the program was told of are taken, and of no other")
	}
	for i := range maxOthers + 1 {
		comes(e, "bob", certs.PublicKey{10, byte(i)})
	}
	if n := len(changes(e)); n != maxOthers+1 {
		t.Errorf("it is told of %d others", n)
	}
	if n := len(e.directory.pins["bob"].others); n != maxOthers {
		t.Errorf("%d are remembered", n)
	}
}

// The event comes behind the join and before anything that the peer says.
func TestChangeIsToldBehindTheJoin(t *testing.T) {
	e, _, _ := alone()
	e.directory.exchanged("bob", bobsKey, true)
	comes(e, "bob", secondKey)
	e.directory.Meet(Contact{ID: "carol", Key: secondKey}) // who has gone
	e.directory.exchanged("carol", bobsKey, true)
	want := []Event{PeerJoined{ID: "bob", Key: secondKey}, KeyChanged{"bob", bobsKey, secondKey}}
	if got := queued(e.events); !slices.Equal(got, want) {
		t.Errorf("the events are %v", got)
	}
}

// A link to another key than that of the receiver is not used, and a receipt of another does not
// settle a message.
func TestOtherKeysGetNothing(t *testing.T) {
	e, wishes, _ := alone()
	comes(e, "bob", bobsKey)
	r, err := e.directory.receiverOf("bob")
	if err != nil {
		t.Fatal(err)
	}
	add(t, r, "for bob")
	e.links = map[uint64]*Link{1: {number: 1, peer: "bob", key: secondKey, ctx: t.Context()}}
	if !e.Match("bob") {
		t.Error("with a link to another key none is wanted to bob's")
	}
	e.Left("bob")
	comes(e, "bob", secondKey)
	if e.Match("bob") || r.direct.link != nil || r.attach(e.links[1]) {
		t.Error("a link to the other key is taken, or wanted")
	}
	e.Dialling("bob", true)
	if r.relayed.begin != 0 {
		t.Error("letters are to go to the other key")
	}
	if _, _, to := r.left.nextDeposit(); to.Key != bobsKey || to.Sealing != certs.SealingKey(bobsKey) {
		t.Errorf("it is left for %v", to)
	}
	m := r.box.Oldest()
	word := &pb.Receipt{Id: m.ID[:], Code: pb.ReceiptCode_DELIVERED}
	r.relayedReceipt(secondKey, word, 0)
	s := &messageStream{owed: []*delivery.Outgoing{m}}
	r.direct.link = e.links[1]
	if err := r.direct.answered(s, []*pb.PeerMessage{pb.Wrap(word)}, 0); err != nil || len(s.owed) > 0 {
		t.Errorf("a receipt on a link of before: %v", err)
	}
	r.direct.link = nil
	if r.box.Len() != 1 {
		t.Error("a receipt of the other key settles the message")
	}
	*wishes = nil
	if err := e.directory.Trust("bob"); err != nil || r.key != secondKey || !r.present || r.sealing != certs.SealingKey(secondKey) || !slices.Equal(*wishes, []Wish{WithdrawWish{To: "bob"}, LinkWish{"bob"}}) {
		t.Errorf("trusted: %v, it is for %v, and wishes %v", err, r.key, *wishes)
	}
	if err := e.directory.Trust("bob"); err == nil || err.Error() != "bob has no other key than before" {
		t.Errorf("trusted again: %v", err)
	}
	r.relayedReceipt(bobsKey, word, 0)
	if r.box.Len() != 1 {
		t.Error("a receipt of the key before settles the message")
	}
	r.relayedReceipt(secondKey, word, 0)
	if r.box.Len() != 0 {
		t.Error("the receipt does not settle it")
	}
}

// What waits for an ID that was never met goes to the first that comes, and a receipt pins that one.
func TestTheFirstOfAnID(t *testing.T) {
	e, _, _ := alone()
	r, err := e.directory.receiverOf("bob")
	if err != nil {
		t.Fatal(err)
	}
	add(t, r, "for whoever is bob")
	comes(e, "bob", bobsKey)
	if !r.present || r.key != bobsKey || e.directory.pins["bob"] != nil {
		t.Errorf("it is for %v, here: %v", r.key, r.present)
	}
	answered(r, r.box.Oldest().Position)
	if p := e.directory.pins["bob"]; p == nil || p.key != bobsKey {
		t.Errorf("the receipt makes the pin %+v", p)
	}
	e.directory.exchanged("eve", secondKey, false) // by a letter that a holder has kept
	comes(e, "eve", secondKey)
	if p := e.directory.pins["eve"]; p == nil || p.sealing != certs.SealingKey(secondKey) {
		t.Errorf("letters to a peer that was met later: %+v", p)
	}
	comes(e, "script", secondKey)
	e.directory.met["script"] = Contact{ID: "script", Key: secondKey, Visitor: true}
	e.directory.exchanged("script", secondKey, true)
	if e.directory.pins["script"] != nil {
		t.Error("a visitor is pinned")
	}
}

// A message that is written when a key was met is for that one, though an earlier one waits for the
// first that comes; so then is that one.
func TestWrittenToTheKeyThatWasMet(t *testing.T) {
	e, _, _ := alone()
	r, err := e.directory.receiverOf("bob")
	if err != nil {
		t.Fatal(err)
	}
	add(t, r, "for whoever is bob")
	comes(e, "bob", bobsKey)
	e.Left("bob")
	if _, err := e.directory.receiverOf("bob"); err != nil {
		t.Fatal(err)
	}
	comes(e, "bob", secondKey)
	if r.present || r.key != bobsKey {
		t.Errorf("it is for %v, here: %v", r.key, r.present)
	}
}

// Messages left with others for one key are left anew when they are for another.
func TestLeftForAnotherKey(t *testing.T) {
	r, _ := box(t.Context())
	r.setPresent(Contact{Key: bobsKey, Sealing: certs.SealingKey(bobsKey)}, false, hasLeft)
	add(t, r, "0")
	for _, key := range []certs.PublicKey{bobsKey, secondKey} {
		r.setPresent(Contact{Key: key, Sealing: certs.SealingKey(key)}, false, hasLeft)
		if batch, _, to := r.left.nextDeposit(); len(batch) != 1 || to.Key != key || to.Sealing != certs.SealingKey(key) {
			t.Errorf("%d messages are left for %v", len(batch), to.Key)
		}
	}
}

// Pins are bounded, and never forgotten to make room. Those who write to us don't take the places
// of those we write to.
func TestPinsAreBounded(t *testing.T) {
	e, _, log := alone()
	d := &e.directory
	for i := range maxPins {
		d.exchanged(certs.ID(fmt.Sprint("stranger", i)), bobsKey, false)
	}
	if len(d.pins) != maxPins-pinsForOurs {
		t.Errorf("%d strangers are pinned", len(d.pins))
	}
	for i := range maxPins {
		d.exchanged(certs.ID(fmt.Sprint("friend", i)), bobsKey, true)
	}
	if len(d.pins) != maxPins || d.pins["stranger0"] == nil || d.pins["friend0"] == nil {
		t.Errorf("%d are pinned", len(d.pins))
	}
	if n := strings.Count(log.String(), "too many peers are pinned"); n != 1 {
		t.Errorf("the log says so %d times", n)
	}
	comes(e, "bob", bobsKey)
	if err := d.Verify("bob", bobsKey); err == nil || err.Error() != "too many peers are pinned; /forget ID makes room" {
		t.Errorf("verified: %v", err)
	}
	if err := d.Forget("stranger0"); err != nil {
		t.Error(err)
	}
	if err := d.Verify("bob", bobsKey); err != nil || !d.pins["bob"].verified {
		t.Errorf("verified: %v", err)
	}
}

func TestVerify(t *testing.T) {
	e, _, _ := alone()
	d := &e.directory
	wants := func(what string, err error, want string) {
		t.Helper()
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := d.Known("bob"); err == nil || err.Error() != "no peer of that name is known" {
		t.Errorf("known: %v", err)
	}
	wants("nobody", d.Verify("bob", bobsKey), "bob has another key than the one of that safety number; compare again")
	comes(e, "bob", bobsKey)
	wants("another number", d.Verify("bob", secondKey), "bob has another key than the one of that safety number; compare again")
	if err := d.Verify("bob", bobsKey); err != nil {
		t.Error(err)
	}
	if k, err := d.Known("bob"); err != nil || !k.Verified || k.Pin != bobsKey || k.Key != bobsKey || k.Pinned.IsZero() || k.Here.IsZero() {
		t.Errorf("known: %+v, %v", k, err)
	}
	comes(e, "bob", secondKey)
	wants("the other key", d.Verify("bob", secondKey), "bob has another key than before; /trust bob goes on with it, and then it can be verified")
	if k, err := d.Known("bob"); err != nil || k.Key != secondKey || k.Pin != bobsKey || !k.Verified {
		t.Errorf("known: %+v, %v", k, err)
	}
	if err := e.directory.Trust("bob"); err != nil {
		t.Error(err)
	}
	if k, err := d.Known("bob"); err != nil || k.Verified || k.Pin != secondKey {
		t.Errorf("another key stays verified: %+v, %v", k, err)
	}
}

func TestForget(t *testing.T) {
	e, _, _ := alone()
	d := &e.directory
	comes(e, "bob", bobsKey)
	if err := d.Forget("bob"); err == nil || err.Error() != "bob is not pinned" {
		t.Errorf("forgotten: %v", err)
	}
	r, err := d.receiverOf("bob")
	if err != nil {
		t.Fatal(err)
	}
	add(t, r, "for bob")
	e.Left("bob")
	comes(e, "bob", secondKey)
	if err := d.Forget("bob"); err == nil || err.Error() != "messages wait for bob, and would go to whoever comes with that ID: cancel them first" {
		t.Errorf("forgotten: %v", err)
	}
	if err := e.Cancel(r.box.Oldest().ID); err != nil {
		t.Fatal(err)
	}
	if err := d.Forget("bob"); err != nil || r.key != secondKey || !r.present {
		t.Errorf("forgotten: %v; it is for %v", err, r.key)
	}
}

// Damage to a stored pin is an error.
func TestDamagedPins(t *testing.T) {
	e, _, _ := alone()
	key := make([]byte, 32)
	for i, s := range []*pb.StoredPin{
		{}, {Key: key}, {Key: key[1:], SealingKey: key}, {Key: key, SealingKey: key[1:]}, {Key: key, SealingKey: key, Others: [][]byte{key, key[1:]}},
	} {
		value, err := proto.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.directory.loadPin([]byte("bob"), value); err == nil || !strings.HasPrefix(err.Error(), "a stored pin: ") {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := e.directory.loadPin([]byte("bob"), []byte{1}); err == nil || len(e.directory.pins) != 0 {
		t.Errorf("%v; %d are loaded", err, len(e.directory.pins))
	}
}

// A pin that can be read is written as it was.
func FuzzPin(f *testing.F) {
	key := make([]byte, 32)
	for _, s := range []*pb.StoredPin{{}, {Key: key, SealingKey: key, Since: -1, Verified: true, Others: [][]byte{key, key}}} {
		value, err := proto.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		e, _, _ := alone()
		d := &e.directory
		if d.loadPin([]byte("bob"), value) != nil {
			return
		}
		p := d.pins["bob"]
		if err := d.loadPin([]byte("bob"), p.packed()); err != nil || !reflect.DeepEqual(d.pins["bob"], p) {
			t.Errorf("%+v becomes %+v, %v", p, d.pins["bob"], err)
		}
	})
}

// A stored pin comes back. Another key is told again unless the program has had the event.
func TestPinsOutliveARun(t *testing.T) {
	state := &store.State{Dir: t.TempDir()}
	run := func(what func(e *Engine)) {
		t.Helper()
		disk, err := OpenDisk(DiskConfig{State: state, Fail: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		e, err := New(Config{Disk: disk, Log: slog.New(slog.DiscardHandler), Wish: func(Wish) {}})
		if err != nil {
			t.Fatal(err)
		}
		what(e)
		if err := disk.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run(func(e *Engine) {
		comes(e, "bob", bobsKey)
		if err := e.directory.Verify("bob", bobsKey); err != nil {
			t.Error(err)
		}
		comes(e, "bob", secondKey)
		if got := changes(e); len(got) != 1 {
			t.Errorf("told of %v", got)
		}
	})
	run(func(e *Engine) {
		p := e.directory.pins["bob"]
		if p == nil || p.key != bobsKey || p.sealing != certs.SealingKey(bobsKey) || !p.verified || p.since.IsZero() {
			t.Errorf("the pin is %+v", p)
		}
		comes(e, "bob", secondKey)
		e.events.end()
		for range e.Stream().Events() { // the program has them now
		}
	})
	run(func(e *Engine) {
		comes(e, "bob", secondKey)
		if got := changes(e); len(got) != 0 {
			t.Errorf("told again of %v", got)
		}
		if err := e.directory.Forget("bob"); err != nil {
			t.Error(err)
		}
	})
	run(func(e *Engine) {
		if n := len(e.directory.pins); n != 0 {
			t.Errorf("%d pins", n)
		}
	})
}
