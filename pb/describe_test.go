package pb_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"quicpeer/pb"
)

func TestCheckRoom(t *testing.T) {
	for name, ok := range map[string]bool{
		"#a": true, "#a.b_c-9": true, "#" + strings.Repeat("a", pb.MaxRoom): true,
		"": false, "#": false, "a": false, "##": false, "#A": false, "#a b": false, "#ä": false, "#a\n": false, "#\xff": false, "#" + strings.Repeat("a", pb.MaxRoom+1): false,
	} {
		if err := pb.CheckRoom(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestRoomsAndTags: of a record's rooms those count that this version can read, in order and each
// once; tags that are too long don't. The record counts all the same.
func TestRoomsAndTags(t *testing.T) {
	many := make([]string, pb.MaxRooms+1)
	for i := range many {
		many[i] = fmt.Sprintf("#%02d", i)
	}
	for _, test := range []struct{ rooms, want []string }{
		{nil, nil},
		{[]string{"#a", "#b"}, []string{"#a", "#b"}},
		{[]string{"#b", "#a", "#c"}, []string{"#b", "#c"}},
		{[]string{"#a", "#a"}, []string{"#a"}},
		{[]string{"#A", "#a", "b", "#", "", "#b/c", "#c"}, []string{"#a", "#c"}},
		{many, many[:pb.MaxRooms]},
	} {
		r := goodRecord()
		r.Rooms = test.rooms
		if got, err := pb.ParseRecord(signed(r)); err != nil || !slices.Equal(got.GetRooms(), test.want) {
			t.Errorf("%q: %q, %v", test.rooms, got.GetRooms(), err)
		}
	}
	for _, size := range []int{0, 1, pb.MaxTags, pb.MaxTags + 1} {
		r := goodRecord()
		r.Tags = make([]byte, size)
		if got, err := pb.ParseRecord(signed(r)); err != nil || len(got.GetTags()) != size%(pb.MaxTags+1) {
			t.Errorf("tags of %d bytes: %d, %v", size, len(got.GetTags()), err)
		}
	}
}

// before returns a message of this kind as programs know it that are older than its fields from a
// number on.
func before(t *testing.T, m proto.Message, number int32) *dynamicpb.Message {
	t.Helper()
	file := protodesc.ToFileDescriptorProto(pb.File_quicpeer_proto)
	name := m.ProtoReflect().Descriptor().Name()
	for _, kind := range file.GetMessageType() {
		if kind.GetName() == string(name) {
			kind.Field = slices.DeleteFunc(kind.Field, func(f *descriptorpb.FieldDescriptorProto) bool { return f.GetNumber() >= number })
			kind.OneofDecl = nil // of optional fields
			for _, f := range kind.Field {
				f.OneofIndex, f.Proto3Optional = nil, nil
			}
		}
	}
	older, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dynamicpb.NewMessage(older.Messages().ByName(name))
}

// TestOlderPeers: a program from before rooms and tags reads the rest of a record, and its signature is
// over the same bytes; what it writes itself is read as before. It would show data as an empty text,
// so nothing may send it any.
func TestOlderPeers(t *testing.T) {
	newer, plain := goodRecord(), goodRecord()
	newer.Rooms, newer.Tags, newer.Features = []string{"#a"}, []byte("t"), []uint32{pb.FeatureData}
	older := before(t, newer, 13)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(signed(newer).Payload, older); err != nil {
		t.Fatal(err)
	}
	r, err := pb.ParseRecord(signed(older))
	if err != nil || !proto.Equal(r, plain) {
		t.Errorf("read by an older program, and written again: %v, %v", r, err)
	}
	data := &pb.Message{Id: make([]byte, 16), Sender: "a", Receiver: "b", Data: []byte("\xff"), WantsReply: true, ReplyTo: make([]byte, 16), Epoch: 7}
	shown := before(t, data, 20)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(signed(data).Payload, shown); err != nil {
		t.Fatal(err)
	}
	m := new(pb.Message)
	if err := proto.Unmarshal(signed(shown).Payload, m); err != nil || m.GetContent() != "" || m.Data != nil || m.GetEpoch() != 7 {
		t.Errorf("%v, %v", m, err)
	}
	edit := ofKind(pb.MessageKind_EDIT, "better", pb.MessageIDSize)[0]
	shown = before(t, edit, 23)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(signed(edit).Payload, shown); err != nil {
		t.Fatal(err)
	}
	m = new(pb.Message)
	if err := proto.Unmarshal(signed(shown).Payload, m); err != nil || m.GetContent() != "better" || m.GetKind() != pb.MessageKind_PLAIN || pb.Check(pb.Wrap(m)) != nil {
		t.Errorf("an edit is to an older program %v, %v", m, err)
	}
}
