package jsonl

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

func TestParseCommand(t *testing.T) {
	for line, want := range map[string]command{
		`{"cmd":"send","to":"bob","body":"hi"}`:                                                      {Cmd: "send", To: "bob", Body: "hi"},
		` { "ref" : "7", "body":"", "to":"b", "cmd":"send" } ` + "\r":                                {Cmd: "send", To: "b", Ref: "7"},
		`{"cmd":"broadcast","body":"\u0000\ud83d\ude00ß","ref":""}`:                                  {Cmd: "broadcast", Body: "\x00😀ß"},
		`{"cmd":"send","to":"b","body_base64":"/wA=","reply_to":"000102030405060708090a0b0c0d0e0f"}`: {Cmd: "send", To: "b", Body: "\xff\x00", Binary: true, ReplyTo: overlay.MessageID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
		`{"cmd":"send","to":"b","body_base64":""}`:                                                   {Cmd: "send", To: "b", Binary: true},
		`{"cmd":"send","to":"b","body":"now?","wants_reply":true}`:                                   {Cmd: "send", To: "b", Body: "now?", Wants: true},
		`{"cmd":"send","to":"b","kind":"delete","about":"000102030405060708090a0b0c0d0e0f"}`:         {Cmd: "send", To: "b", Kind: overlay.KindDelete, About: overlay.MessageID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
		`{"cmd":"broadcast","body":"waves","kind":"action"}`:                                         {Cmd: "broadcast", Body: "waves", Kind: overlay.KindAction},
		`{"cmd":"table"}`:            {Cmd: "table"},
		`{"cmd":"buffer","ref":"r"}`: {Cmd: "buffer", Ref: "r"},
		`{"cmd":"leave","ref":"r"}`:  {Cmd: "leave", Ref: "r"},
		`{"cmd":"cancel","message":"000102030405060708090a0b0c0d0e0f","ref":"r"}`: {Cmd: "cancel", Ref: "r", Message: overlay.MessageID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
		`{"\u0063md":"table"}`:                               {Cmd: "table"},
		`{"cmd":"invite","to":"bob"}`:                        {Cmd: "invite", To: "bob"},
		`{"cmd":"invite","to":"bob","admin":true,"ref":"r"}`: {Cmd: "invite", To: "bob", Admin: true, Ref: "r"},
		`{"cmd":"invite","to":"bob","admin":false}`:          {Cmd: "invite", To: "bob"},
		`{"cmd":"uninvite","to":"bob"}`:                      {Cmd: "uninvite", To: "bob"},
		`{"cmd":"remove","to":"bob","all":true}`:             {Cmd: "remove", To: "bob", All: true},
	} {
		if got, err := parseCommand([]byte(line)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
}

func TestParseCommandRefuses(t *testing.T) {
	for _, test := range []struct{ line, want, ref string }{
		{``, "not a JSON object", ""},
		{`  `, "not a JSON object", ""},
		{`hello`, "not a JSON object", ""},
		{`null`, "not a JSON object", ""},
		{`"x"`, "not a JSON object", ""},
		{`[{"cmd":"table"}]`, "not a JSON object", ""},
		{`{`, "not a JSON object", ""},
		{`{"ref":"r","cmd":"table"`, "not a JSON object", "r"},
		{`{"cmd":"table","ref":"r"} {}`, "not a JSON object", "r"},
		{`{"cmd":"table","ref":"r"}x`, "not a JSON object", "r"},
		{`{"cmd":"table","ref":"r",}`, "not a JSON object", "r"},
		{`{}`, `"cmd" is missing`, ""},
		{`{"ref":"r"}`, `"cmd" is missing`, "r"},
		{`{"cmd":"dance","ref":"r"}`, `no command "dance"`, "r"},
		{`{"cmd":"Table"}`, "no command", ""},
		{`{"CMD":"table"}`, `"cmd" is missing`, ""},
		{`{"cmd":1,"ref":"r"}`, `"cmd" is not a string`, "r"},
		{`{"cmd":null}`, `"cmd" is not a string`, ""},
		{`{"cmd":"cancel","ref":"r"}`, `"message" is missing`, "r"},
		{`{"cmd":"cancel","message":"1","ref":"r"}`, "has 32 hexadecimal digits", "r"},
		{`{"cmd":"cancel","message":"000102030405060708090a0b0c0d0e0","ref":"r"}`, "has 32 hexadecimal digits", "r"},
		{`{"cmd":"cancel","message":"000102030405060708090a0b0c0d0e0x","ref":"r"}`, "has 32 hexadecimal digits", "r"},
		{`{"cmd":"table","ref":7}`, `"ref" is not a string`, ""},
		{`{"cmd":"table","ref":null}`, `"ref" is not a string`, ""},
		{`{"cmd":"send","body":"x","ref":"r"}`, `"to" is missing`, "r"},
		{`{"cmd":"send","to":"b","ref":"r"}`, `"body" is missing`, "r"},
		{`{"cmd":"send","to":null,"body":"x"}`, `"to" is not a string`, ""},
		{`{"cmd":"send","to":"b","body":{"a":1},"ref":"r"}`, `"body" is not a string`, "r"},
		{`{"cmd":"broadcast","ref":"r"}`, `"body" is missing`, "r"},
		{`{"cmd":"broadcast","body_base64":"AA==","ref":"r"}`, `"body" is missing`, "r"},
		{`{"cmd":"broadcast","body":"x","wants_reply":true}`, `no field "wants_reply"`, ""},
		{`{"cmd":"send","to":"b","kind":"edit","about":"000102030405060708090a0b0c0d0e0f","ref":"r"}`, `"body" is missing`, "r"},
		{`{"cmd":"send","to":"b","body":"x","kind":"edit","about":"7","ref":"r"}`, `"about": a message ID has 32`, "r"},
		{`{"cmd":"send","to":"b","body":"x","kind":4,"ref":"r"}`, `"kind" is not a string`, "r"},
		{`{"cmd":"table","kind":"delete"}`, `no field "kind"`, ""},
		{`{"cmd":"send","to":"b","body":"x","body_base64":"AA==","ref":"r"}`, `not both`, "r"},
		{`{"cmd":"send","to":"b","body_base64":"AA","ref":"r"}`, `not base64`, "r"},
		{`{"cmd":"send","to":"b","body_base64":"_-==","ref":"r"}`, `not base64`, "r"},
		{`{"cmd":"send","to":"b","body":"x","reply_to":"12","ref":"r"}`, `"reply_to": a message ID has 32`, "r"},
		{`{"cmd":"send","to":"b","body":"x","wants_reply":"yes"}`, `"wants_reply" is not true or false`, ""},
		{`{"cmd":"broadcast","to":"b","body":"x"}`, `no field "to"`, ""},
		{`{"cmd":"table","body":"x"}`, `no field "body"`, ""},
		{`{"cmd":"table","b":1,"a":1}`, `no field "a"`, ""},
		{`{"cmd":"table","Ref":"x"}`, `no field "Ref"`, ""},
		{`{"cmd":"table","cmd":"leave","ref":"r"}`, "duplicate", "r"},
		{`{"cmd":"table","\u0063md":"leave"}`, "duplicate", ""},
		{"{\"cmd\":\"broadcast\",\"ref\":\"r\",\"body\":\"\xff\"}", "UTF-8", "r"},
		{"{\"cmd\":\"table\",\"ref\":\"\xff\"}", "UTF-8", ""},
		{`{"cmd":"broadcast","body":"\ud800","ref":"r"}`, "surrogate", "r"},
		{`{"cmd":"broadcast","body":"\udc00x","ref":"r"}`, "surrogate", "r"},
		{"{\"cmd\":\"broadcast\",\"body\":\"a\tb\"}", "", ""},
		{`{"cmd":"invite","ref":"r"}`, `"to" is missing`, "r"},
		{`{"cmd":"invite","to":"b","admin":"yes","ref":"r"}`, `"admin" is not true or false`, "r"},
		{`{"cmd":"invite","to":"b","admin":null}`, `"admin" is not true or false`, ""},
		{`{"cmd":"invite","to":"b","all":true}`, `no field "all"`, ""},
		{`{"cmd":"remove","to":"b","admin":true}`, `no field "admin"`, ""},
		{`{"cmd":"uninvite","to":"b","admin":false}`, `no field "admin"`, ""},
		{`{"cmd":"table","all":false}`, `no field "all"`, ""},
	} {
		c, err := parseCommand([]byte(test.line))
		if err == nil {
			t.Errorf("%s: accepted", test.line)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %q lacks %q", test.line, err, test.want)
		}
		if !reflect.DeepEqual(c, command{Ref: test.ref}) {
			t.Errorf("%s: %+v, want the ref %q alone", test.line, c, test.ref)
		}
	}
}

// FuzzJSONCommand checks that an accepted command survives being written again, that
// invalid UTF-8 is never accepted, and that the quoted part of a line is valid UTF-8, at most
// 200 bytes, and for a valid line its own beginning.
func FuzzJSONCommand(f *testing.F) {
	f.Add([]byte(`{"cmd":"tags","tags":{"a":"b","":""},"ref":"r"}`))
	f.Add([]byte(`{"cmd":"send","to":"bob","body":"hi","ref":"1"}`))
	f.Add([]byte(`{"cmd":"broadcast","body":"\ud83d\ude00"}`))
	f.Add([]byte(`{"cmd":"table","ref":"\ud800"}`))
	f.Add([]byte(`{"cmd":"invite","to":"bob","admin":true}`))
	f.Add([]byte(`{"cmd":"join","address":"a:1"}`))
	f.Add([]byte(`{"cmd":"send","to":"bob","body_base64":"/wA=","reply_to":"000102030405060708090a0b0c0d0e0f","wants_reply":true}`))
	f.Add([]byte(`{"cmd":"file_send","to":"#dev","paths":["/a","b c"],"note":"n"}`))
	f.Add([]byte(`{"cmd":"file_send","to":"bob","path":"/a","name":"x","temporary":true}`))
	f.Add([]byte(`{"cmd":"file_accept","file":7,"dir":"/d","ref":"r"}`))
	f.Add([]byte(`{"cmd":"files"}`))
	f.Add([]byte(`{"cmd":"send","to":"*","kind":"delete","about":"000102030405060708090a0b0c0d0e0f"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		quoted := lines.Beginning(line)
		if !utf8.ValidString(quoted) || len(quoted) > 200 {
			t.Errorf("%q is quoted as %q", line, quoted)
		}
		if utf8.Valid(line) && certs.HideTickets(string(line)) == string(line) && (!strings.HasPrefix(string(line), quoted) || len(quoted) < min(len(line), 197)) {
			t.Errorf("%q is quoted as %q", line, quoted)
		}
		c, err := parseCommand(line)
		if !utf8.ValidString(c.Ref) {
			t.Errorf("%q: the ref %q", line, c.Ref)
		}
		if err != nil {
			if !reflect.DeepEqual(c, command{Ref: c.Ref}) {
				t.Errorf("%q: %v and %+v", line, err, c)
			}
			return
		}
		if !utf8.Valid(line) || !c.Binary && !utf8.ValidString(c.Body) {
			t.Errorf("%q: accepted", line)
		}
		members := map[string]any{"cmd": c.Cmd, "ref": c.Ref}
		for _, name := range append(slices.Clone(commandFields[c.Cmd]), optionalFields[c.Cmd]...) {
			members[name] = map[string]any{
				"to": c.To, "body": c.Body, "body_base64": []byte(c.Body), "address": c.Address, "room": c.Room, "message": c.Message.String(), "reply_to": c.ReplyTo.String(),
				"admin": c.Admin, "all": c.All, "wants_reply": c.Wants, "kind": c.Kind, "about": c.About.String(),
				"with": c.Query.With, "last": c.Query.Last, "before": c.Query.Before, "since": c.Query.Since.Format(time.RFC3339Nano), "search": c.Query.Search, "tags": c.Tags.of,
				"file": c.file.number, "paths": c.file.source.Paths, "name": c.file.source.As, "note": c.file.source.Note, "dir": c.file.dir, "temporary": c.file.source.Temporary,
			}[name]
		}
		unused := "body_base64"
		if c.Binary {
			unused = "body"
		}
		delete(members, unused)
		if c.Cmd == "join" { // it has one of the two
			maps.DeleteFunc(members, func(name string, value any) bool {
				return name == "address" && c.Room != "" || name == "room" && c.Room == ""
			})
		}
		if !c.Tags.given {
			delete(members, "tags")
		}
		if delete(members, "path"); !c.file.one {
			delete(members, "file")
		}
		if c.Query.With == "" {
			delete(members, "with")
		}
		if c.Query.Since.IsZero() {
			delete(members, "since")
		}
		anew, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseCommand(anew); err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%q: %+v, %v, want %+v", anew, again, err, c)
		}
	})
}

var noon = time.Date(2026, 3, 4, 12, 1, 5, 250e6, time.FixedZone("", 3600))

// Every event, field by field.
func TestJSONEvents(t *testing.T) {
	key := certs.NewIdentity(make([]byte, 32)).Key()
	fingerprint := key.String()
	id := overlay.MessageID{15: 7}
	const at, mid = `"time":"2026-03-04T11:01:05.250000Z"`, `"message":"00000000000000000000000000000007"`
	for _, test := range []struct {
		event overlay.Event
		want  string
	}{
		{overlay.Ready{ID: "bob", Key: key, Listen: []string{"127.0.0.1:5"}, Network: "home#k"}, `{"event":"ready",` + at + `,"id":"bob","key":"` + fingerprint + `","listen":["127.0.0.1:5"],"network":"home#k","version":"1.2.3"}`},
		{overlay.Ready{ID: "bob", Key: key}, `{"event":"ready",` + at + `,"id":"bob","key":"` + fingerprint + `","listen":[],"network":"","version":"1.2.3"}`},
		{overlay.PeerJoined{ID: "a", Key: key}, `{"event":"peer_joined",` + at + `,"id":"a","key":"` + fingerprint + `","via":""}`},
		{overlay.PeerJoined{ID: "a", Key: key, Via: "b", Visitor: true}, `{"event":"peer_joined",` + at + `,"id":"a","key":"` + fingerprint + `","via":"b","visitor":true}`},
		{overlay.PeerLeft{ID: "a", Reason: overlay.ReasonLeft, Visitor: true}, `{"event":"peer_left",` + at + `,"id":"a","reason":"left","visitor":true}`},
		{overlay.PeerLeft{ID: "a", Reason: overlay.ReasonLost}, `{"event":"peer_left",` + at + `,"id":"a","reason":"lost"}`},
		{overlay.KeyChanged{ID: "a", Was: certs.PublicKey{}, Is: key}, `{"event":"key_changed",` + at + `,"id":"a","was":"` + certs.PublicKey{}.String() + `","is":"` + fingerprint + `"}`},
		{overlay.Message{ID: id, From: "a", Key: key, To: overlay.Everyone, Body: "<é\n\u2028\x00>", SentAt: noon, Path: overlay.PathRelayed},
			`{"event":"message",` + at + `,` + mid + `,"from":"a","key":"` + fingerprint + `","to":"*","body":"<é\n` + "\u2028" + `\u0000>","sent_at":"2026-03-04T11:01:05.250000Z","path":"relayed"}`},
		{overlay.Message{Key: key, NewKey: true, SentAt: time.Unix(1<<40, 0)}, `{"event":"message",` + at + `,"message":"00000000000000000000000000000000","from":"","key":"` + fingerprint + `","new_key":true,"to":"","body":"","sent_at":"1970-01-01T00:00:00.000000Z","path":""}`},
		{overlay.Message{ID: id, Body: "\xff\x00", Binary: true, Key: key, ReplyTo: id, WantsReply: true}, `{"event":"message",` + at + `,` + mid + `,"from":"","key":"` + fingerprint + `","to":"","body":"","binary":true,"sent_at":null,"path":"","reply_to":"00000000000000000000000000000007","wants_reply":true,"body_base64":"/wA="}`},
		{overlay.Message{Key: key, Binary: true}, `{"event":"message",` + at + `,"message":"00000000000000000000000000000000","from":"","key":"` + fingerprint + `","to":"","body":"","binary":true,"sent_at":null,"path":"","body_base64":""}`},
		{overlay.PeerChanged{ID: "a", Rooms: []string{"#x", "#y"}, Tags: map[string]string{"role": "db", "a": "1"}}, `{"event":"peer_changed",` + at + `,"id":"a","rooms":["#x","#y"],"tags":{"a":"1","role":"db"}}`},
		{overlay.PeerChanged{ID: "a"}, `{"event":"peer_changed",` + at + `,"id":"a","rooms":[],"tags":{}}`},
		{overlay.Sent{Message: id, To: "a", Ref: "r"}, `{"event":"sent",` + at + `,` + mid + `,"to":"a","ref":"r"}`},
		{overlay.Sent{Message: id, To: "a", Ref: "r", Body: "not here", SentAt: noon, ReplyTo: id, Kind: overlay.KindEdit, About: id},
			`{"event":"sent",` + at + `,` + mid + `,"to":"a","ref":"r","reply_to":"00000000000000000000000000000007","kind":"edit","about":"00000000000000000000000000000007"}`},
		{overlay.Message{ID: id, From: "a", Key: key, To: "b", Body: "x", SentAt: noon, Path: overlay.PathDirect, Kind: overlay.KindReaction, About: id},
			`{"event":"message",` + at + `,` + mid + `,"from":"a","key":"` + fingerprint + `","to":"b","body":"x","sent_at":"2026-03-04T11:01:05.250000Z","path":"direct","kind":"reaction","about":"00000000000000000000000000000007"}`},
		{overlay.Delivered{Message: id, To: "a", Ref: "r", Path: overlay.PathDirect, RTT: 1234567}, `{"event":"delivered",` + at + `,` + mid + `,"to":"a","ref":"r","path":"direct","rtt_ms":1.235}`},
		{overlay.Delivered{Message: id, To: "a", Path: overlay.PathDirect}, `{"event":"delivered",` + at + `,` + mid + `,"to":"a","ref":"","path":"direct","rtt_ms":null}`},
		{overlay.Buffered{Message: id, To: "a", Ref: "r", Reason: "gone"}, `{"event":"buffered",` + at + `,` + mid + `,"to":"a","ref":"r","reason":"gone"}`},
		{overlay.PeerLeft{ID: "a", Reason: overlay.ReasonRemoved}, `{"event":"peer_left",` + at + `,"id":"a","reason":"removed"}`},
		{overlay.Removed{ID: "a", Key: key, By: "b", Ref: "r"}, `{"event":"removed",` + at + `,"id":"a","key":"` + fingerprint + `","by":"b","ref":"r"}`},
		{overlay.Redeemed{ID: "a", Key: key, Why: "used"}, `{"event":"redeemed",` + at + `,"id":"a","key":"` + fingerprint + `","why":"used"}`},
		{overlay.Failed{Message: id, To: "a", Ref: "r", Error: "no"}, `{"event":"failed",` + at + `,` + mid + `,"to":"a","ref":"r","error":"no"}`},
	} {
		var b strings.Builder
		j := &Frontend{out: lines.NewOutput(&b), version: "1.2.3", now: func() time.Time { return noon }}
		if err := j.Show(test.event); err != nil || b.String() != test.want+"\n" {
			t.Errorf("got  %swant %s", b.String(), test.want)
		}
	}
}

func TestJSONAnswers(t *testing.T) {
	key := certs.NewIdentity(make([]byte, 32)).Key()
	const at = `"time":"2026-03-04T11:01:05.250000Z"`
	n := linestest.New("me")
	full := linestest.New("me")
	full.Table = []overlay.Peer{
		{ID: "a", Key: key, State: overlay.StateAlive, Direct: true, Addresses: []string{"1.2.3.4:5"}, RTT: time.Millisecond},
		{ID: "b", Key: key, State: overlay.StateSuspect, Via: "a"},
	}
	full.Waits = []overlay.Waiting{{To: "b", Count: 2, Bytes: 345, Since: noon}}
	for _, test := range []struct {
		n          *linestest.Node
		line, want string
	}{
		{n, `{"cmd":"table"}`, `{"event":"table",` + at + `,"peers":[],"ref":""}`},
		{full, `{"cmd":"table","ref":"r"}`, `{"event":"table",` + at + `,"peers":[` +
			`{"id":"a","state":"alive","direct":true,"via":"","addresses":["1.2.3.4:5"],"rtt_ms":1,"key":"` + key.String() + `"},` +
			`{"id":"b","state":"suspect","direct":false,"via":"a","addresses":[],"rtt_ms":null,"key":"` + key.String() + `"}],"ref":"r"}`},
		{n, `{"cmd":"buffer"}`, `{"event":"buffer",` + at + `,"messages":[],"ref":""}`},
		{full, `{"cmd":"buffer","ref":"r"}`, `{"event":"buffer",` + at + `,"messages":[{"to":"b","count":2,"bytes":345,"since":"2026-03-04T11:01:05.250000Z"}],"ref":"r"}`},
		{n, `{"cmd":"ignored","ref":"r"}`, `{"event":"ignored",` + at + `,"peers":[],"ref":"r"}`},
		{n, `{"cmd":"unignore","to":"bob","ref":"r"}`, `{"event":"error",` + at + `,"error":"nobody is ignored under that ID","code":"refused","input":"{\"cmd\":\"unignore\",\"to\":\"bob\",\"ref\":\"r\"}","ref":"r"}`},
		{n, `{"cmd":"ignore","to":"b b","ref":"r"}`, `{"event":"error",` + at + `,"error":"an ID consists of letters, digits, '.', '_' and '-', not ' '","code":"bad_command","input":"{\"cmd\":\"ignore\",\"to\":\"b b\",\"ref\":\"r\"}","ref":"r"}`},
		{n, `{"cmd":"ignore","to":"carol"}`, `{"event":"error",` + at + `,"error":"no peer of that name is known","code":"unknown_peer","input":"{\"cmd\":\"ignore\",\"to\":\"carol\"}","ref":""}`},
		{n, `{"cmd":"ignore","to":"bob","ref":"r"}`, `{"event":"ignored",` + at + `,"peers":[{"id":"bob","key":"` + certs.PublicKey{1}.String() + `"}],"ref":"r"}`},
		{n, `{"cmd":"unignore","to":"bob","ref":"r"}`, `{"event":"ignored",` + at + `,"peers":[],"ref":"r"}`},
		{n, `nonsense`, `{"event":"error",` + at + `,"error":"the line is not a JSON object","code":"bad_command","input":"nonsense","ref":""}`},
		{n, `{"cmd":"send","to":"me","body":"","ref":"r"}`, `{"event":"error",` + at + `,"error":"a peer can't send to itself","code":"to_self","input":"{\"cmd\":\"send\",\"to\":\"me\",\"body\":\"\",\"ref\":\"r\"}","ref":"r"}`},
	} {
		var b strings.Builder
		j := &Frontend{out: lines.NewOutput(&b), version: "1.2.3", now: func() time.Time { return noon }}
		leave, err := linestest.Execute(t, j, test.n, test.line)
		if leave || err != nil || b.String() != test.want+"\n" {
			t.Errorf("got  %swant %s", b.String(), test.want)
		}
	}
}

// The error of a message that is too long names the limit.
func TestTooLong(t *testing.T) {
	for line, want := range map[string]string{
		`{"cmd":"send","to":"b","body":"` + strings.Repeat("x", 1<<20+1) + `"}`: "1048576 bytes (1 MiB)",
		`{"cmd":"broadcast","body":"` + strings.Repeat("x", 64<<10+1) + `"}`:    "65536 bytes (64 KiB)",
		`{"cmd":"send","to":"b c","body":"x"}`:                                  "an ID consists of",
		`{"cmd":"send","to":"","body":"x"}`:                                     "empty",
	} {
		var b strings.Builder
		j := New(lines.NewOutput(&b), "1.2.3")
		if _, err := linestest.Execute(t, j, linestest.New("me"), line); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) || !strings.Contains(b.String(), `"event":"error"`) {
			t.Errorf("%.300s lacks %q", b.String(), want)
		}
	}
}

func TestNetAsJSON(t *testing.T) {
	const at = `"time":"2026-03-04T11:01:05.250000Z"`
	n := linestest.New("me")
	n.Report = linestest.Net(noon)
	for _, test := range []struct {
		n          *linestest.Node
		line, want string
	}{
		{linestest.New("me"), `{"cmd":"net"}`, `{"event":"net",` + at + `,"nat":"","addresses":[],"port_map":"","peers":[],"ref":""}`},
		{n, `{"cmd":"net","ref":"r"}`, `{"event":"net",` + at + `,"nat":"even","addresses":[{"address":"192.168.1.2:5000","source":"interface","by":[]},` +
			`{"address":"203.0.113.1:5000","source":"observed","by":["bob","pub"]}],"port_map":"none: PCP: no answer","peers":[` +
			`{"id":"bob","how":"punched","address":"203.0.113.2:5000","since":"2026-03-04T11:01:05.250000Z","rtt_ms":12.5,"via":"","behind_nat":true,"tries":0,"error":"","next_try":null},` +
			`{"id":"carol","how":"relayed","address":"","since":null,"rtt_ms":null,"via":"pub","behind_nat":true,"tries":2,"error":"no\u001b answer","next_try":"2026-03-04T11:01:05.250000Z"}],"ref":"r"}`},
	} {
		var b strings.Builder
		j := &Frontend{out: lines.NewOutput(&b), version: "1.2.3", now: func() time.Time { return noon }}
		if leave, err := linestest.Execute(t, j, test.n, test.line); leave || err != nil || b.String() != test.want+"\n" {
			t.Errorf("got  %swant %s", b.String(), test.want)
		}
	}
}

// Commands about one peer answer, or say why not.
func TestJSONAboutPeers(t *testing.T) {
	const at = `"time":"2026-03-04T11:01:05.250000Z"`
	before, after := certs.PublicKey{1}, certs.PublicKey{2}
	n := linestest.New("me")
	n.Known = overlay.Whois{ID: "bob", Key: after, Pin: before, Pinned: noon, Verified: true, SafetyNumber: "12345", How: overlay.HowNone}
	known := func(verified, pin string) string {
		return `{"event":"whois",` + at + `,"id":"bob","key":"` + after.String() + `","safety_number":"12345","pinned":"2026-03-04T11:01:05.250000Z","verified":` + verified + pin +
			`,"here":null,"how":"none","via":"","address":"","rtt_ms":null,"ref":"r"}`
	}
	var b strings.Builder
	j := &Frontend{out: lines.NewOutput(&b), version: "1.2.3", now: func() time.Time { return noon }}
	for _, test := range []struct{ line, want string }{
		{`{"cmd":"whois","to":"bob","ref":"r"}`, known("true", `,"pin":"`+before.String()+`"`)},
		{`{"cmd":"trust","to":"bob","ref":"r"}`, `{"event":"trusted",` + at + `,"id":"bob","ref":"r"}`},
		{`{"cmd":"trust","to":"bob","ref":"r"}`, `{"event":"error",` + at + `,"error":"bob has no other key than before","code":"refused","input":"{\"cmd\":\"trust\",\"to\":\"bob\",\"ref\":\"r\"}","ref":"r"}`},
		{`{"cmd":"whois","to":"bob","ref":"r"}`, known("false", "")},
		{`{"cmd":"forget","to":"bob"}`, `{"event":"forgotten",` + at + `,"id":"bob","ref":""}`},
		{`{"cmd":"forget","to":"bob"}`, `{"event":"error",` + at + `,"error":"bob is not pinned","code":"refused","input":"{\"cmd\":\"forget\",\"to\":\"bob\"}","ref":""}`},
		{`{"cmd":"whois","to":"x"}`, `{"event":"error",` + at + `,"error":"no peer of that name is known","code":"refused","input":"{\"cmd\":\"whois\",\"to\":\"x\"}","ref":""}`},
		{`{"cmd":"trust"}`, `{"event":"error",` + at + `,"error":"\"to\" is missing","code":"bad_command","input":"{\"cmd\":\"trust\"}","ref":""}`},
	} {
		b.Reset()
		if leave, err := linestest.Execute(t, j, n, test.line); leave || err != nil || b.String() != test.want+"\n" {
			t.Errorf("got  %swant %s", b.String(), test.want)
		}
	}
}

func TestJSONCancels(t *testing.T) {
	n := linestest.New("me")
	n.Out = []overlay.Outgoing{{Message: overlay.MessageID{15: 1}, To: "bob"}, {Message: overlay.MessageID{15: 2}, To: "carol"}}
	var b strings.Builder
	j := New(lines.NewOutput(&b), "1.2.3")
	line := fmt.Sprintf(`{"cmd":"cancel","message":"%v","ref":"c"}`, n.Out[0].Message)
	if leave, err := linestest.Execute(t, j, n, line); leave || err != nil || b.Len() > 0 || len(n.Out) != 1 {
		t.Errorf("%d are left, got %q", len(n.Out), b.String())
	}
	if leave, err := linestest.Execute(t, j, n, line); leave || err != nil || !strings.Contains(b.String(), `"error":"no message of this ID waits`) || !strings.Contains(b.String(), `"ref":"c"`) {
		t.Errorf("again: %q", b.String())
	}
}

// The acts of an admin are answered with the command's ref.
func TestJSONActs(t *testing.T) {
	const at = `"time":"2026-03-04T11:01:05.250000Z"`
	n := linestest.New("me")
	<-n.Queue
	var b strings.Builder
	j := &Frontend{out: lines.NewOutput(&b), version: "1.2.3", now: func() time.Time { return noon }}
	for _, test := range []struct{ ticket, line, want string }{
		{"", `{"cmd":"invite","to":"bob","ref":"r"}`, `{"event":"error",` + at + `,"error":"this network is not private","code":"refused","input":"{\"cmd\":\"invite\",\"to\":\"bob\",\"ref\":\"r\"}","ref":"r"}` + "\n"},
		{"qp1x", `{"cmd":"invite","to":"bob","ref":"r"}`, `{"event":"invitation",` + at + `,"id":"bob","ticket":"qp1x","expires":"EXPIRES","admin":false,"lan_only":false,"ref":"r"}` + "\n"},
		{"qp1x", `{"cmd":"invite","to":"carol","admin":true}`, `{"event":"invitation",` + at + `,"id":"carol","ticket":"qp1x","expires":"EXPIRES","admin":true,"lan_only":true,"ref":""}` + "\n"},
		{"qp1x", `{"cmd":"invite","to":"b b"}`, `{"event":"error",` + at + `,"error":"an ID consists of letters, digits, '.', '_' and '-', not ' '","code":"bad_command","input":"{\"cmd\":\"invite\",\"to\":\"b b\"}","ref":""}` + "\n"},
		{"qp1x", `{"cmd":"uninvite","to":"bob","ref":"r"}`, `{"event":"uninvited",` + at + `,"id":"bob","ref":"r"}` + "\n"},
		{"qp1x", `{"cmd":"uninvite","to":"carol","ref":"r"}`, `{"event":"error",` + at + `,"error":"carol is a stranger","code":"refused","input":"{\"cmd\":\"uninvite\",\"to\":\"carol\",\"ref\":\"r\"}","ref":"r"}` + "\n"},
		{"qp1x", `{"cmd":"remove","to":"carol","ref":"r"}`, `{"event":"error",` + at + `,"error":"carol is a stranger","code":"refused","input":"{\"cmd\":\"remove\",\"to\":\"carol\",\"ref\":\"r\"}","ref":"r"}` + "\n"},
		{"qp1x", `{"cmd":"remove","to":"eve","ref":"z"}`, `{"event":"error",` + at + `,"error":"eve is a stranger","code":"refused","input":"{\"cmd\":\"remove\",\"to\":\"eve\",\"ref\":\"z\"}","ref":"z"}` + "\n"},
		{"qp1x", `{"cmd":"remove","to":"carol","all":true,"ref":"s"}`, ``},
		{"qp1x", `{"cmd":"remove","to":"bob","ref":"r"}`, ``},
	} {
		b.Reset()
		n.Ticket = test.ticket
		want := strings.ReplaceAll(test.want, "EXPIRES", time.Date(2026, 3, 5, 12, 1, 5, 0, time.Local).UTC().Format("2006-01-02T15:04:05.000000Z"))
		if leave, err := linestest.Execute(t, j, n, test.line); leave || err != nil || b.String() != want {
			t.Errorf("got  %swant %s", b.String(), want)
		}
	}
	// The event of a removal has the ref of the command that did it, once.
	b.Reset()
	for _, event := range []overlay.Event{<-n.Queue, <-n.Queue, overlay.Removed{ID: "bob", By: "dave"}, overlay.Removed{ID: "eve", By: "eric"}} {
		if err := j.Show(event); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{`"id":"carol","key":"` + certs.PublicKey{}.String() + `","by":"me","ref":"s"`, `"id":"bob","key":"` + certs.PublicKey{}.String() + `","by":"me","ref":"r"`, `"by":"dave","ref":""`, `"by":"eric","ref":""`} {
		if strings.Count(b.String(), want) != 1 {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}

func TestPingAsJSON(t *testing.T) {
	const at = `"time":"2026-03-04T11:01:05.250000Z"`
	for line, want := range map[string]string{
		`{"cmd":"ping","to":"bob","ref":"r"}`: `{"event":"pong",` + at + `,"id":"bob","rtt_ms":1.5,"path":"direct","how":"direct","via":"","address":"192.0.2.1:5000","ref":"r"}`,
		`{"cmd":"ping","to":"carol"}`:         `{"event":"pong",` + at + `,"id":"carol","rtt_ms":20,"path":"relayed","how":"carried","via":"bob","address":"","ref":""}`,
		`{"cmd":"ping","to":"eve","ref":"r"}`: `{"event":"error",` + at + `,"error":"eve: no answer","code":"refused","input":"{\"cmd\":\"ping\",\"to\":\"eve\",\"ref\":\"r\"}","ref":"r"}`,
		`{"cmd":"ping","ref":"r"}`:            `{"event":"error",` + at + `,"error":"\"to\" is missing","code":"bad_command","input":"{\"cmd\":\"ping\",\"ref\":\"r\"}","ref":"r"}`,
	} {
		var b strings.Builder
		j := &Frontend{out: lines.NewOutput(&b), version: "1.2.3", now: func() time.Time { return noon }}
		if leave, err := linestest.Execute(t, j, linestest.New("me"), line); leave || err != nil || b.String() != want+"\n" {
			t.Errorf("got  %swant %s", b.String(), want)
		}
	}
}

// A ticket in the place of an address is refused without being shown.
func TestTicketIsNoAddress(t *testing.T) {
	ticket := (&certs.Ticket{Network: certs.PublicKey{1}, ID: "bob"}).Text()
	for _, line := range []string{`{"cmd":"join","address":"` + ticket + `","ref":"r"}`, `{"cmd":"jion","address":"` + ticket + `","ref":"r"}`} {
		var b strings.Builder
		j := New(lines.NewOutput(&b), "1.2.3")
		if _, err := linestest.Execute(t, j, linestest.New("me"), line); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); !strings.Contains(got, `"address\":\"qp1…`) || strings.Contains(got, ticket[:30]) || !strings.Contains(got, `"ref":"r"`) {
			t.Errorf("%s", got)
		}
		if !strings.Contains(b.String(), "--join TICKET") && !strings.Contains(line, "jion") {
			t.Errorf("no hint in %s", b.String())
		}
	}
}
