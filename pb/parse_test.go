package pb_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// garbage is well signed and has no valid content.
var garbage = &pb.Signed{Payload: []byte{0xff}, Signature: make([]byte, 64)}

func TestParseRecord(t *testing.T) {
	for i, change := range []func(*pb.Record){
		func(r *pb.Record) { r.Type = pb.AnnouncementType_LOST },
		func(r *pb.Record) { r.Type = 0 },
		func(r *pb.Record) { r.Id = "" },
		func(r *pb.Record) { r.Id = "a/b" },
		func(r *pb.Record) { r.Key = r.Key[:31] },
		func(r *pb.Record) { r.Network = "a\nb" },
		func(r *pb.Record) { r.Epoch = 0 },
	} {
		r := goodRecord()
		change(r)
		if _, err := pb.ParseRecord(signed(r)); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%d: %v is accepted: %v", i, r, err)
		}
	}
	if r, err := pb.ParseRecord(signed(goodRecord())); err != nil || !proto.Equal(r, goodRecord()) {
		t.Errorf("%v: %v", r, err)
	}
	if _, err := pb.ParseRecord(garbage); !errors.Is(err, pb.ErrMalformed) {
		t.Errorf("nonsense: %v", err)
	}
}

func TestParseBroadcast(t *testing.T) {
	for i, change := range []func(*pb.BroadcastContent){
		func(c *pb.BroadcastContent) { c.Id = nil },
		func(c *pb.BroadcastContent) { c.Sender = "a b" },
		func(c *pb.BroadcastContent) { c.Key = nil },
		func(c *pb.BroadcastContent) { c.Network = strings.Repeat("n", 65) },
		func(c *pb.BroadcastContent) { c.Content = strings.Repeat("x", pb.MaxBroadcast+1) },
	} {
		c := goodContent()
		change(c)
		if _, err := pb.ParseBroadcast(signed(c)); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%d: accepted: %v", i, err)
		}
	}
	if c, err := pb.ParseBroadcast(signed(goodContent())); err != nil || !proto.Equal(c, goodContent()) {
		t.Errorf("%v: %v", c, err)
	}
}

func TestParseLetter(t *testing.T) {
	for i, change := range []func(*pb.Letter){
		func(m *pb.Letter) { m.Sender = "a b" },
		func(m *pb.Letter) { m.Key = m.Key[:31] },
		func(m *pb.Letter) { m.ReceiverKey = nil },
		func(m *pb.Letter) { m.Network = "a\nb" },
		func(m *pb.Letter) { m.Messages = slices.Repeat(m.Messages, pb.MaxLetter+1) },
		func(m *pb.Letter) { m.Messages[0].Id = nil },
		func(m *pb.Letter) { m.Messages = append(m.Messages, nil) },
		func(m *pb.Letter) { m.Receipts = slices.Repeat(m.Receipts, pb.MaxLetter+1) },
		func(m *pb.Letter) { m.Receipts[0].Reason = strings.Repeat("x", pb.MaxReason+1) },
	} {
		m := goodLetter()
		change(m)
		if _, err := pb.ParseLetter(signed(m)); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%d: accepted: %v", i, err)
		}
	}
	if m, err := pb.ParseLetter(signed(goodLetter())); err != nil || !proto.Equal(m, goodLetter()) {
		t.Errorf("%v: %v", m, err)
	}
	if _, err := pb.ParseLetter(garbage); !errors.Is(err, pb.ErrMalformed) {
		t.Errorf("nonsense: %v", err)
	}
}

func TestParseCollected(t *testing.T) {
	for i, change := range []func(*pb.CollectedContent){
		func(c *pb.CollectedContent) { c.Key = nil },
		func(c *pb.CollectedContent) { c.Deposits[1] = c.Deposits[1][:15] },
		func(c *pb.CollectedContent) { c.Deposits = append(c.Deposits, c.Deposits[0]) },
	} {
		c := goodCollected()
		change(c)
		if _, err := pb.ParseCollected(signed(c)); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%d: accepted: %v", i, err)
		}
	}
	if c, err := pb.ParseCollected(signed(goodCollected())); err != nil || !proto.Equal(c, goodCollected()) {
		t.Errorf("%v: %v", c, err)
	}
	if _, err := pb.ParseCollected(garbage); !errors.Is(err, pb.ErrMalformed) {
		t.Errorf("nonsense: %v", err)
	}
}

func TestParseWithdraw(t *testing.T) {
	good := func() *pb.WithdrawContent {
		c := goodCollected()
		return &pb.WithdrawContent{Key: c.Key, Deposits: c.Deposits}
	}
	for i, change := range []func(*pb.WithdrawContent){
		func(c *pb.WithdrawContent) { c.Key = c.Key[:31] },
		func(c *pb.WithdrawContent) { c.Deposits[1] = c.Deposits[1][:15] },
		func(c *pb.WithdrawContent) { c.Deposits = append(c.Deposits, c.Deposits[0]) },
	} {
		c := good()
		change(c)
		if _, err := pb.ParseWithdraw(signed(c)); !errors.Is(err, pb.ErrMalformed) {
			t.Errorf("%d: accepted: %v", i, err)
		}
	}
	if c, err := pb.ParseWithdraw(signed(good())); err != nil || !proto.Equal(c, good()) {
		t.Errorf("%v: %v", c, err)
	}
	if _, err := pb.ParseWithdraw(garbage); !errors.Is(err, pb.ErrMalformed) {
		t.Errorf("nonsense: %v", err)
	}
}

// TestParseMember: a record may leave its ID and key to its pass, both of them; in an open network,
// where passes mean nothing, it can't.
func TestParseMember(t *testing.T) {
	key := bytes.Repeat([]byte{7}, pb.KeySize)
	payload := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	signed := func(m proto.Message) *pb.Signed {
		return &pb.Signed{Payload: payload(m), Signature: make([]byte, 64)}
	}
	pass := &pb.Pass{Grant: signed(&pb.Grant{Id: "bob", Key: key, Number: 1, Admin: true})}
	record := func(change func(r *pb.Record)) *pb.Signed {
		r := &pb.Record{Type: pb.AnnouncementType_JOIN, Epoch: 1, Pass: pass}
		change(r)
		return signed(r)
	}
	for name, test := range map[string]struct {
		signed *pb.Signed
		ok     bool
	}{
		"left to the pass": {record(func(*pb.Record) {}), true},
		"repeated":         {record(func(r *pb.Record) { r.Id, r.Key = "bob", key }), true},
		"another":          {record(func(r *pb.Record) { r.Id, r.Key = "eve", key }), true}, // for the check of passes
		"the ID alone":     {record(func(r *pb.Record) { r.Id = "bob" }), false},
		"the key alone":    {record(func(r *pb.Record) { r.Key = key }), false},
		"no pass":          {record(func(r *pb.Record) { r.Pass = nil }), false},
		"an empty grant":   {record(func(r *pb.Record) { r.Pass = &pb.Pass{Grant: signed(&pb.Grant{Number: 1})} }), false},
	} {
		r, err := pb.ParseMember(test.signed)
		if (err == nil) != test.ok || test.ok && (r.GetId() == "" || !bytes.Equal(r.GetKey(), key)) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	if r, err := pb.ParseRecord(record(func(*pb.Record) {})); err == nil {
		t.Errorf("in an open network: %v", r)
	}
}
