package base

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// TestLimiter: whenever somebody tries, in no span of time more is let through than a burst, one
// more, and what that span allows; and whoever waits long enough has the whole burst again.
func TestLimiter(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		burst, every := rnd.IntN(20), time.Duration(1+rnd.IntN(1000))
		var lm Limiter
		var let []time.Duration
		now := time.Duration(rnd.IntN(1000))
		for range 500 {
			if now += time.Duration(rnd.Int64N(int64(every) + 1)); rnd.IntN(50) == 0 {
				now += time.Duration(rnd.IntN(burst+1)) * every
			}
			if lm.Take(now, burst, every) {
				let = append(let, now)
			}
		}
		for i, first := range let {
			for j := i; j < len(let); j++ {
				if most := burst + 1 + int((let[j]-first)/every); j-i+1 > most {
					t.Fatalf("seed %d: %d are let through within %v, not %d", seed, j-i+1, let[j]-first, most)
				}
			}
		}
		now = lm.Next
		n := 0
		for lm.Take(now, burst, every) {
			n++
		}
		if n != burst+1 {
			t.Errorf("seed %d: %d at once after a pause, not %d", seed, n, burst+1)
		}
	}
}

// TestSpend: things of different cost share one budget.
func TestSpend(t *testing.T) {
	var lm Limiter
	for i, step := range []struct {
		now, cost time.Duration
		ok        bool
	}{
		{0, 600, true}, {0, 600, true}, {0, 1, false}, {199, 1, false}, {200, 5000, true}, {5199, 1, false}, {5200, 1, true},
	} {
		if lm.Spend(step.now, 1000, step.cost) != step.ok {
			t.Errorf("step %d: %v", i, !step.ok)
		}
	}
}

// TestBackoff: the pause after failures doubles up to a bound, and is between half and all of it.
func TestBackoff(t *testing.T) {
	en := &Env{Cfg: Config{Rand: rand.New(rand.NewPCG(1, 2))}}
	for failures, want := range map[int]time.Duration{
		1: FirstBackoff, 2: 2 * FirstBackoff, 5: 16 * FirstBackoff, 7: 16 * time.Second, 8: MaxBackoff, 64: MaxBackoff, 1000: MaxBackoff,
	} {
		least, most := want, time.Duration(0)
		for range 1000 {
			d := en.Backoff(failures, MaxBackoff)
			least, most = min(least, d), max(most, d)
		}
		if least < want/2 || most > want || most-least < want/3 {
			t.Errorf("after %d failures: from %v to %v, not about %v", failures, least, most, want)
		}
	}
}

// TestTime: it never runs backwards, and the next tick is the earliest that was asked for and not
// in the past.
func TestTime(t *testing.T) {
	en := &Env{NextTick: time.Hour}
	en.Begin(10)
	en.Begin(5)
	en.Wake(30)
	en.Wake(20)
	en.Wake(40)
	if en.Now != 10 || en.NextTick != 20 {
		t.Errorf("at %v the next tick is at %v", en.Now, en.NextTick)
	}
	if en.Wake(3); en.NextTick != 10 {
		t.Errorf("the next tick is at %v, in the past", en.NextTick)
	}
}

// TestEmpty: whatever is wanted, the effects are not empty.
func TestEmpty(t *testing.T) {
	if !(&Effects{}).Empty() {
		t.Error("nothing is something")
	}
	kind := reflect.TypeFor[Effects]()
	for i := range kind.NumField() {
		var e Effects
		switch f := reflect.ValueOf(&e).Elem().Field(i); f.Kind() {
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Uint64:
			f.SetUint(1)
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Interface:
			f.Set(reflect.ValueOf(&StartedElsewhereError{}))
		}
		if e.Empty() {
			t.Errorf("%s does not count", kind.Field(i).Name)
		}
	}
}

// TestAge: ages travel in milliseconds, and none is negative or runs over.
func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		0: 0, -time.Second: 0, 1500 * time.Microsecond: time.Millisecond, time.Hour: time.Hour,
		math.MaxInt64: math.MaxUint32 * time.Millisecond,
	} {
		if got := FromAge(ToAge(d)); got != want {
			t.Errorf("%v arrives as %v", d, got)
		}
	}
}

// TestTakeBatch: a frame takes as many announcements as fit, and at least one.
func TestTakeBatch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, most := range []int{10, 1000, 8 << 10} {
		var list []*pb.Announcement
		for range 2 * pb.MaxAnnouncements {
			list = append(list, &pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: &pb.Signed{Payload: make([]byte, rnd.IntN(most)), Signature: make([]byte, 64)}})
		}
		for len(list) > 0 {
			n := TakeBatch(list)
			if n < 1 || n > pb.MaxAnnouncements {
				t.Fatalf("%d in a frame", n)
			}
			size := len(Encode(&pb.PropagationMessage{Announcements: list[:n]}))
			if size > pb.MaxControlFrame {
				t.Errorf("%d announcements make a frame of %d bytes", n, size)
			}
			if n < len(list) && n < pb.MaxAnnouncements && size+proto.Size(list[n]) < MaxBatch-8*n {
				t.Errorf("one more would fit behind %d", n)
			}
			list = list[n:]
		}
	}
	if TakeBatch(nil) != 0 {
		t.Error("some of nothing")
	}
}

// TestOpenRecord: a record is opened whole; its place in the table follows from its ID alone, and
// sealing keys of another size do not count.
func TestOpenRecord(t *testing.T) {
	identity := certs.NewIdentity(make([]byte, 32))
	key := identity.Key()
	signed := func(change func(*pb.Record)) *pb.Signed {
		r := &pb.Record{
			Type: pb.AnnouncementType_JOIN, Id: "bob", Key: key[:], Network: "net", Epoch: 7, Nonce: 8, Seq: 9,
			Addresses: []string{"10.0.0.1:1"}, Observed: []string{"203.0.113.1:2"}, SealingKey: slices.Repeat([]byte{3}, 32), Visitor: true,
		}
		change(r)
		return identity.SignRecord(r)
	}
	s := signed(func(*pb.Record) {})
	r, err := OpenRecord(s)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("bob"))
	want := &Record{
		ID: "bob", Key: key, Network: "net", Type: pb.AnnouncementType_JOIN, Epoch: 7, Nonce: 8, Seq: 9,
		Addresses: []string{"10.0.0.1:1"}, Observed: []string{"203.0.113.1:2"}, Sealing: certs.SealingKey(slices.Repeat([]byte{3}, 32)), Visitor: true,
		Signed: s, Tag: binary.BigEndian.Uint64(sum[:]), Tie: binary.BigEndian.Uint64(s.GetSignature()),
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("opened as %+v, not %+v", r, want)
	}
	if ShortTag(r.Tag) != binary.BigEndian.Uint32(sum[:]) {
		t.Error("the short tag is not the beginning of the tag")
	}
	if !r.Names("10.0.0.1:1") || !r.Names("203.0.113.1:2") || r.Names("10.0.0.1:2") {
		t.Error("it names other addresses than it has")
	}
	if !(Claim{Key: key, Signed: s}).Valid() || (Claim{As: AsBroadcast, Key: key, Signed: s}).Valid() || (Claim{Key: certs.PublicKey{1}, Signed: s}).Valid() {
		t.Error("its signature is judged wrongly")
	}
	for name, change := range map[string]func(*pb.Record){
		"another ID":   func(r *pb.Record) { r.Id = "a b" },
		"another key":  func(r *pb.Record) { r.Key = r.Key[:31] },
		"another type": func(r *pb.Record) { r.Type = pb.AnnouncementType_LOST },
	} {
		if _, err := OpenRecord(signed(change)); err == nil {
			t.Errorf("opened with %s", name)
		}
	}
	if r, err := OpenRecord(signed(func(r *pb.Record) { r.SealingKey = make([]byte, 1216) })); err != nil || r.Sealing != (certs.SealingKey{}) {
		t.Errorf("of a longer sealing key %v is used: %v", r, err)
	}
}

// TestVersions: versions are ordered by rank, then epoch, then seq, then JOIN < LOST < LEAVE, then the tie.
func TestVersions(t *testing.T) {
	var inOrder []Version
	for rank := range RankRemovedByNetwork + 1 {
		for epoch := range uint64(2) {
			for seq := range uint32(2) {
				for _, state := range []pb.AnnouncementType{pb.AnnouncementType_JOIN, pb.AnnouncementType_LOST, pb.AnnouncementType_LEAVE} {
					for tie := range uint64(2) {
						inOrder = append(inOrder, Version{rank, epoch, seq, state, tie})
					}
				}
			}
		}
	}
	for i, v := range inOrder {
		for j, w := range inOrder {
			if got := v.Compare(w); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%v and %v: %d", v, w, got)
			}
		}
	}
}
