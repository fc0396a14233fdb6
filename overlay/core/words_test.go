package core

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/scanner"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/custody"
	"quicpeer/pb"
)

// The text form of frames in conversations, read and written by the descriptors of the proto:
// Name{VALUE_OF_AN_ENUM flag field=value list=[a b]}. Keys, addresses and tags are written as
// the names of their peers, signed statements as JOIN(carol 1000.2); of what is random, the
// first is #1. A Routed frame is written by its content: dave over bob -> alice ping{...}.

// plain are fields that the text leaves out where they are as always.
var plain = map[protoreflect.Name]bool{"software": true, "sealing_key": true, "nonce": true, "sent_at": true, "parents": true}

// show is the text of a message without its name.
func (d *dialogue) show(m protoreflect.Message) string {
	if a, ok := m.Interface().(*pb.Announcement); ok {
		text := d.statement("", a.GetRecord())
		rest := proto.CloneOf(a)
		if rest.Type, rest.Record = 0, nil; a.GetType() == pb.AnnouncementType_LOST {
			text, rest.Accusers = strings.TrimSuffix(strings.Replace(text, "JOIN", "LOST", 1), ")")+" by "+strings.Join(a.GetAccusers(), " ")+")", nil
		}
		return text + strings.TrimSuffix(d.fields(rest.ProtoReflect()), "{}")
	}
	if o, ok := m.Interface().(*pb.BroadcastRange); ok {
		name, known := d.runs[[8]byte(binary.BigEndian.AppendUint64(nil, o.GetRun()))]
		if author := m.Descriptor().Fields().ByName("author"); known {
			return strings.TrimSuffix(fmt.Sprintf("%s %s%d-%d", d.value(author, m.Get(author)), name, o.GetFirst(), o.GetLast()), fmt.Sprint("-", o.GetFirst()))
		}
	}
	return d.fields(m)
}

// run is the name of a peer's run in its broadcasts, whose numbers are then written as 2000.1,
// or without the epoch if that is 1000.
func (d *dialogue) run(a *actor, epoch uint64) [8]byte {
	prefix := certs.MessagePrefix(a.identity.Key(), epoch, 0)
	d.runs[prefix] = fmt.Sprint(epoch, ".")
	if epoch == 1000 {
		d.runs[prefix] = ""
	}
	return prefix
}

// numbered reads what run writes.
func (d *dialogue) numbered(a *actor, word string) (run [8]byte, number string) {
	epoch, number, ok := strings.Cut(word, ".")
	if !ok {
		epoch, number = "1000", word
	}
	n, _ := strconv.ParseUint(epoch, 10, 64)
	return d.run(a, n), number
}

// bare are the messages that need no name of a field.
var bare = map[protoreflect.Name]bool{"Announcement": true, "BroadcastRange": true, "Signed": true}

func (d *dialogue) fields(m protoreflect.Message) string {
	var words []string
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !m.Has(fd) || plain[fd.Name()] || fd.Name() == "network" && m.Get(fd).String() == "net" || fd.Name() == "version" && m.Get(fd).Uint() == 1 {
			continue
		}
		text := ""
		if v := m.Get(fd); fd.IsList() {
			var list []string
			for j := range v.List().Len() {
				list = append(list, d.value(fd, v.List().Get(j)))
			}
			if text = "[" + strings.Join(list, " ") + "]"; fd.Kind() == protoreflect.MessageKind && bare[fd.Message().Name()] {
				words = append(words, list...)
				continue
			}
		} else {
			text = d.value(fd, v)
		}
		switch {
		case fd.Kind() == protoreflect.EnumKind:
			words = append(words, text)
		case fd.Kind() == protoreflect.BoolKind:
			words = append(words, string(fd.Name()))
		case fd.Name() == "content":
			words = append(words, text)
		case strings.HasPrefix(text, "{"):
			words = append(words, string(fd.Name())+text)
		default:
			words = append(words, string(fd.Name())+"="+text)
		}
	}
	return "{" + strings.Join(words, " ") + "}"
}

func (d *dialogue) value(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if s, ok := v.Message().Interface().(*pb.Signed); ok {
			return d.statement(fd.FullName(), s)
		}
		return d.show(v.Message())
	case protoreflect.EnumKind:
		if e := fd.Enum().Values().ByNumber(v.Enum()); e != nil {
			return string(e.Name())
		}
	case protoreflect.StringKind:
		return d.quote(v.String())
	case protoreflect.BytesKind:
		return d.bytes(fd.Name(), v.Bytes())
	case protoreflect.Fixed32Kind:
		for _, a := range d.actors {
			if base.ShortTag(base.TagOf(a.id())) == uint32(v.Uint()) {
				return string(a.id())
			}
		}
	case protoreflect.Fixed64Kind:
		for _, a := range d.actors {
			if base.TagOf(a.id()) == v.Uint() {
				return string(a.id())
			}
		}
		return d.alias(binary.BigEndian.AppendUint64(nil, v.Uint()))
	}
	if fd.Name() == "age" {
		return (time.Duration(v.Uint()) * time.Millisecond).String()
	}
	return v.String()
}

// quote writes a text, without quotation marks if it is one word.
func (d *dialogue) quote(s string) string {
	s = strings.ReplaceAll(d.named(s), "\u00a0", " ") // protobuf varies its errors from build to build
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !isWord(r, 0) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}

func (d *dialogue) bytes(field protoreflect.Name, b []byte) string {
	for _, a := range d.actors {
		if key := a.identity.Key(); bytes.Equal(key[:], b) {
			return a.name
		}
	}
	switch {
	case field == "hops":
		return fmt.Sprint(b)
	case field == "sealed" || field == "receipts":
		return d.seal(b)
	}
	return d.alias(b)
}

// seal writes something sealed, whose number in envelopes and deposits is then id:TEXT.
func (d *dialogue) seal(b []byte) string {
	text := string(b)
	if len(b) > 16 {
		text = text[:8] + fmt.Sprint("-", len(b))
	}
	id := pb.DepositID(b)
	d.aliases[string(id[:])] = "id:" + text
	d.aliases[string(binary.BigEndian.AppendUint64(nil, custody.EnvelopeNumber(id)))] = "id:" + text
	return strconv.Quote(text)
}

// alias names an opaque value by the order in which the dialogue meets it.
func (d *dialogue) alias(b []byte) string {
	if d.aliases[string(b)] == "" {
		d.opaque++
		d.aliases[string(b)] = fmt.Sprint("#", d.opaque)
	}
	return d.aliases[string(b)]
}

// statement writes something signed, as the field that holds it is to be read.
func (d *dialogue) statement(in protoreflect.FullName, s *pb.Signed) string {
	text, key, valid := "JUNK", certs.PublicKey{}, certs.VerifyRecord
	switch in {
	case "quicpeer.v1.Broadcast.content":
		if c, err := pb.ParseBroadcast(s); err == nil {
			key, valid = certs.PublicKey(c.GetKey()), certs.VerifyBroadcast
			text = fmt.Sprintf("SAID(%s %s%d %s)", d.nameOf(key), d.runs[[8]byte(c.GetId())], binary.BigEndian.Uint64(c.GetId()[8:])&^(1<<63), d.quote(c.GetContent()))
		}
	case "quicpeer.v1.Collected.content":
		if c, err := pb.ParseCollected(s); err == nil {
			key, valid = certs.PublicKey(c.GetKey()), certs.VerifyCollected
			text = "COLLECTED(" + d.nameOf(key)
			for _, id := range c.GetDeposits() {
				text += " " + d.alias(id)
			}
			text += ")"
		}
	default:
		if r, err := pb.ParseRecord(s); err == nil {
			key = certs.PublicKey(r.GetKey())
			text = fmt.Sprintf("%v(%s %d.%d", r.GetType(), d.nameOf(key), r.GetEpoch(), r.GetSeq())
			if r.GetVisitor() {
				text += " visitor"
			}
			for _, a := range r.GetAddresses() {
				if at := d.at(a); at == nil || at.identity.Key() != key {
					text += " " + d.quote(a)
				}
			}
			for _, a := range r.GetObserved() {
				text += " observed=" + d.quote(a)
			}
			text += ")"
		}
	}
	if !valid(key, s) {
		text = "forged " + text
	}
	return text
}

// reader reads the text of a frame.
type reader struct {
	scanner.Scanner
	d    *dialogue
	word string   // the current one
	by   []string // the accusers of the last statement
}

func isWord(r rune, _ int) bool {
	return r == '_' || r == '-' || r == '.' || r == ':' || r == '/' || r == '#' || r == '@' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

func (d *dialogue) read(text string) proto.Message {
	r := &reader{d: d}
	r.Init(strings.NewReader(text))
	r.Mode, r.IsIdentRune = scanner.ScanIdents|scanner.ScanStrings, isWord
	r.Error = func(_ *scanner.Scanner, msg string) { d.t.Fatalf("%s: %s", text, msg) }
	r.next()
	fields := (&pb.PeerMessage{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if fd := fields.Get(i); fd.Message() != nil && string(fd.Message().Name()) == r.word {
			m := (&pb.PeerMessage{}).ProtoReflect().NewField(fd).Message()
			r.next()
			r.fill(m)
			return m.Interface()
		}
	}
	d.t.Fatalf("%s: no such frame", text)
	return nil
}

func (r *reader) next() string {
	last := r.word
	r.Scan()
	r.word = r.TokenText()
	return last
}

// fill reads the fields of a message in braces.
func (r *reader) fill(m protoreflect.Message) {
	r.expect("{")
	for r.word != "}" {
		fields := m.Descriptor().Fields()
		fd := fields.ByName(protoreflect.Name(r.word))
		nameless := fd == nil
		for i := 0; fd == nil && i < fields.Len(); i++ {
			switch f := fields.Get(i); {
			case f.Kind() == protoreflect.EnumKind && f.Enum().Values().ByName(protoreflect.Name(r.word)) != nil,
				f.Kind() == protoreflect.MessageKind && bare[f.Message().Name()]:
				fd = f
			}
		}
		if fd == nil {
			r.d.t.Fatalf("%s has no %q", m.Descriptor().Name(), r.word)
		}
		if !nameless {
			r.next()
		}
		if r.word == "=" {
			r.next()
		}
		switch {
		case fd.Kind() == protoreflect.BoolKind:
			m.Set(fd, protoreflect.ValueOfBool(true))
		case !fd.IsList():
			m.Set(fd, r.value(m.NewField(fd), fd))
		case r.word == "[":
			for r.next(); r.word != "]"; {
				list := m.Mutable(fd).List()
				list.Append(r.value(list.NewElement(), fd))
			}
			r.next()
		default:
			list := m.Mutable(fd).List()
			list.Append(r.value(list.NewElement(), fd))
		}
	}
	r.next()
	switch m := m.Interface().(type) { // what is as always
	case *pb.Routed:
		for i := len(m.Parents); i < len(m.Passed); i++ {
			m.Parents = append(m.Parents, byte(max(0, i-1)))
		}
	case *pb.HandshakeStart:
		m.Version, m.Network = cmp.Or(m.Version, 1), cmp.Or(m.Network, "net")
	}
}

func (r *reader) expect(word string) {
	if r.next() != word {
		r.d.t.Fatalf("%q instead of %q", r.word, word)
	}
}

// value reads one value of a field.
func (r *reader) value(v protoreflect.Value, fd protoreflect.FieldDescriptor) protoreflect.Value {
	if fd.Kind() == protoreflect.MessageKind {
		switch m := v.Message().Interface().(type) {
		case *pb.Signed:
			proto.Merge(m, r.statement())
		case *pb.Announcement:
			kind := r.word
			if kind == "forged" {
				kind = "JOIN"
			}
			m.Type = pb.AnnouncementType(pb.AnnouncementType_value[kind])
			m.Record = r.statement()
			m.Accusers = r.by
			if r.word == "{" {
				r.fill(v.Message())
			}
		case *pb.BroadcastRange:
			a := r.d.actor(r.next())
			m.Author = base.TagOf(a.id())
			run, numbers := r.d.numbered(a, r.next())
			m.Run = binary.BigEndian.Uint64(run[:])
			first, last, _ := strings.Cut(numbers, "-")
			m.First, _ = strconv.ParseUint(first, 10, 64)
			m.Last, _ = strconv.ParseUint(cmp.Or(last, first), 10, 64)
		default:
			r.fill(v.Message())
		}
		return v
	}
	word := r.next()
	text, err := strconv.Unquote(word)
	a := r.d.find(word)
	if name := string(fd.Name()); a == nil && (strings.HasSuffix(name, "key") || name == "subject") {
		a = r.d.actor(word)
	}
	switch fd.Kind() {
	case protoreflect.StringKind:
		if strings.HasPrefix(word, "@") {
			return protoreflect.ValueOfString(r.d.actor(word[1:]).address())
		} else if err != nil {
			text = word
		}
		return protoreflect.ValueOfString(text)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(fd.Enum().Values().ByName(protoreflect.Name(word)).Number())
	case protoreflect.BytesKind:
		if word == "[" {
			var b []byte
			for r.word != "]" {
				n, _ := strconv.Atoi(r.next())
				b = append(b, byte(n))
			}
			r.next()
			return protoreflect.ValueOfBytes(b)
		} else if err == nil {
			r.d.bytes(fd.Name(), []byte(text))
			return protoreflect.ValueOfBytes([]byte(text))
		} else if a != nil {
			key := a.identity.Key()
			return protoreflect.ValueOfBytes(key[:])
		}
		return protoreflect.ValueOfBytes(r.d.raw(word, pb.MessageIDSize))
	case protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(base.ShortTag(base.TagOf(r.d.actor(word).id())))
	case protoreflect.Fixed64Kind:
		if a != nil {
			return protoreflect.ValueOfUint64(base.TagOf(a.id()))
		}
		return protoreflect.ValueOfUint64(binary.BigEndian.Uint64(r.d.raw(word, 8)))
	}
	n, err := strconv.ParseUint(word, 10, 64)
	if age, wrong := time.ParseDuration(word); err != nil && wrong == nil {
		n, err = uint64(age.Milliseconds()), nil
	}
	if err != nil {
		r.d.t.Fatalf("%s: %v", fd.Name(), err)
	}
	if fd.Kind() == protoreflect.Uint32Kind {
		return protoreflect.ValueOfUint32(uint32(n))
	}
	return protoreflect.ValueOfUint64(n)
}

// raw is the opaque value of a name: one that the dialogue has met, or else a new one.
func (d *dialogue) raw(name string, size int) []byte {
	if text, ok := strings.CutPrefix(name, "id:"); ok {
		d.seal([]byte(text))
	}
	for b, known := range d.aliases {
		if known == name && len(b) == size {
			return []byte(b)
		}
	}
	sum := sha256.Sum256([]byte(name))
	d.aliases[string(sum[:size])] = name
	return sum[:size]
}

// statement reads something signed: JOIN(carol 1000.2) and the like.
func (r *reader) statement() *pb.Signed {
	forged := r.word == "forged"
	if forged {
		r.next()
	}
	kind := r.next()
	r.expect("(")
	var args []string
	for r.word != ")" {
		if word := r.next(); word == "=" {
			args[len(args)-1] += "=" + r.next()
		} else {
			args = append(args, word)
		}
	}
	r.next()
	r.by = nil
	if i := slices.Index(args, "by"); i >= 0 {
		args, r.by = args[:i], args[i+1:]
	}
	s := r.d.sign(kind, args)
	if forged {
		s.Signature[5] ^= 1
	}
	return s
}

// version reads 1000.2: the epoch and the sequence.
func versionIn(word string) (epoch uint64, seq uint32) {
	fmt.Sscanf(word, "%d.%d", &epoch, &seq)
	return epoch, seq
}

// sign makes something signed by the peer named first.
func (d *dialogue) sign(kind string, args []string) *pb.Signed {
	a := d.actor(args[0])
	key, args := a.identity.Key(), args[1:]
	switch kind {
	case "JOIN", "LEAVE", "LOST":
		r := &pb.Record{Type: pb.AnnouncementType_JOIN, Id: string(a.id()), Key: key[:], Network: "net"}
		if kind == "LEAVE" {
			r.Type = pb.AnnouncementType_LEAVE
		}
		r.Epoch, r.Seq = versionIn(args[0])
		d.run(a, r.Epoch)
		for _, arg := range args[1:] {
			switch name, value, _ := strings.Cut(arg, "="); name {
			case "nowhere": // no address
			case "visitor":
				r.Visitor = true
			case "network":
				r.Network = value
			case "observed":
				r.Observed = append(r.Observed, value)
			default:
				r.Addresses = append(r.Addresses, arg)
			}
		}
		if len(r.Addresses) == 0 && kind != "LEAVE" && !slices.Contains(args, "nowhere") {
			r.Addresses = []string{a.address()}
		}
		return a.identity.SignRecord(r)
	case "SAID":
		run, number := d.numbered(a, args[0])
		n, _ := strconv.ParseUint(number, 10, 64)
		text, err := strconv.Unquote(args[1])
		if err != nil {
			text = args[1]
		}
		return a.identity.SignBroadcast(&pb.BroadcastContent{
			Id: binary.BigEndian.AppendUint64(run[:], 1<<63|n), Sender: string(a.id()), Key: key[:], Network: "net", Content: text,
		})
	case "COLLECTED":
		c := &pb.CollectedContent{Key: key[:]}
		for _, arg := range args {
			c.Deposits = append(c.Deposits, d.raw(arg, pb.DepositIDSize))
		}
		return a.identity.SignCollected(c)
	}
	return &pb.Signed{Payload: []byte("junk"), Signature: make([]byte, 64)}
}
