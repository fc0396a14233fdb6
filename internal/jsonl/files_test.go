package jsonl

import (
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// The commands about files, and what they ask of them.
func TestFileCommands(t *testing.T) {
	const at = `"time":"2026-03-04T11:01:05.250000Z"`
	n := linestest.New("me")
	n.Shared.All = []string{"photos/", "photos/a.jpg"}
	n.Shared.Add(files.Transfer{From: "bob", To: "me", Name: "photos", Size: 7, Files: 2, Names: []string{"photos/"}, Since: noon, State: files.StateOffered, How: overlay.PathRelayed})
	photos := func(state, names, dir string) string {
		return `{"event":"files",` + at + `,"files":[{"file":1,"message":"00000000000000000000000000000101","ours":false,"from":"bob","key":"` + certs.PublicKey{}.String() + `","to":"me","name":"photos","size":7,"files":2,"names":[` + names + `],"since":"2026-03-04T11:01:05.250000Z","state":"` + state + `","bytes":0,"rate":0,"how":"relayed"` + dir + `}],"ref":"r"}`
	}
	for _, test := range []struct {
		line, want string
		spools     bool
	}{
		{`{"cmd":"files","ref":"r"}`, photos("offered", `"photos/"`, ""), false},
		{`{"cmd":"files","file":1,"ref":"r"}`, photos("offered", `"photos/","photos/a.jpg"`, ""), false},
		{`{"cmd":"files","file":0}`, `"code":"unknown_file"`, false},
		{`{"cmd":"files","file":99999999999999999}`, `"code":"unknown_file"`, false},
		{`{"cmd":"files","file":"1"}`, `\"file\" is not a whole number`, false},
		{`{"cmd":"files","dir":"x"}`, `the command files has no field \"dir\"`, false},
		{`{"cmd":"file_accept","file":1,"dir":"/d","ref":"r"}`, photos("waiting", `"photos/"`, `,"dir":"/d"`), false},
		{`{"cmd":"file_cancel","file":1,"ref":"r"}`, photos("cancelled", `"photos/"`, ""), false},
		{`{"cmd":"file_cancel","file":1,"ref":"r"}`, `"code":"file_over"`, false},
		{`{"cmd":"file_accept","file":2,"ref":"r"}`, `"error":"no file has that number: /files, or quicpeer file list, has them","code":"unknown_file","input":"{\"cmd\":\"file_accept\",\"file\":2,\"ref\":\"r\"}","ref":"r"`, false},
		{`{"cmd":"file_accept"}`, `\"file\" is missing`, false},
		{`{"cmd":"file_send","to":"bob","path":"/a b"}`, "", false},
		{`{"cmd":"file_send","to":"#dev","paths":["/a","b/c"],"note":"for Monday"}`, "", false},
		{`{"cmd":"file_send","to":"*","path":"/tmp/x","name":"log.txt","temporary":true}`, "", true},
		{`{"cmd":"file_send","to":"*","path":"/tmp/x","temporary":true}`, `is for the local socket`, false},
		{`{"cmd":"file_send","to":"*","path":"/tmp/x","temporary":1}`, `\"temporary\" is not true or false`, true},
		{`{"cmd":"file_send","to":"me","path":"x","ref":"r"}`, `"code":"to_self"`, false},
		{`{"cmd":"file_send","to":"bob","path":"missing","ref":"r"}`, `"code":"not_found"`, false},
		{`{"cmd":"file_send","to":"bob","path":""}`, `the path of what is sent is missing`, false},
		{`{"cmd":"file_send","to":"bob","paths":[]}`, `the path of what is sent is missing`, false},
		{`{"cmd":"file_send","to":"bob","paths":["a",""]}`, `the path of what is sent is missing`, false},
		{`{"cmd":"file_send","to":"bob","paths":["a",1]}`, `\"paths\" is not a list of strings`, false},
		{`{"cmd":"file_send","to":"bob","paths":"a"}`, `\"paths\" is not a list of strings`, false},
		{`{"cmd":"file_send","to":"bob"}`, `either \"path\" or \"paths\"`, false},
		{`{"cmd":"file_send","to":"bob","path":"a","paths":["b"]}`, `either \"path\" or \"paths\"`, false},
		{`{"cmd":"file_send","path":"a"}`, `\"to\" is missing`, false},
		{`{"cmd":"file_send","to":"b b","path":"a"}`, "an ID consists of", false},
		{`{"cmd":"file_send","to":"#b b","path":"a"}`, `"code":"bad_command"`, false},
		{`{"cmd":"table","file":1}`, `the command table has no field \"file\"`, false},
	} {
		var b strings.Builder
		j := &Frontend{out: lines.NewOutput(&b), now: func() time.Time { return noon }, Spools: test.spools}
		if _, err := linestest.Execute(t, j, n, test.line); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); !strings.Contains(got, test.want) || (test.want == "") != (got == "") {
			t.Errorf("%s: %s lacks %s", test.line, got, test.want)
		}
	}
	want := `accept 1 /d|cancel 1|offer bob ["/a b"]|offer #dev ["/a" "b/c"] note for Monday|offer * ["/tmp/x"] as log.txt temporary`
	if got := strings.Join(n.Shared.Done(), "|"); got != want {
		t.Errorf("done: %s, want %s", got, want)
	}
}

// The events of files, field by field.
func TestFileEvents(t *testing.T) {
	const at, mid = `"time":"2026-03-04T11:01:05.250000Z"`, `"message":"00000000000000000000000000000007"`
	id := overlay.MessageID{15: 7}
	for _, test := range []struct {
		event overlay.Event
		want  string
	}{
		{files.Offered{File: 3, Message: id, From: "bob", To: "me", Name: "a.pdf", Size: 5, Files: 1, Names: []string{"a.pdf"}, Path: overlay.PathDirect},
			`{"event":"file_offered",` + at + `,"file":3,` + mid + `,"from":"bob","to":"me","name":"a.pdf","size":5,"files":1,"names":["a.pdf"],"path":"direct","ref":""}`},
		{files.Offered{File: 3, Message: id, From: "me", To: "*", Name: "d", Files: 2, Note: "n", Path: overlay.PathRelayed, Skipped: []files.Skipped{{Path: "d/l", Why: "a link"}}, Ref: "r"},
			`{"event":"file_offered",` + at + `,"file":3,` + mid + `,"from":"me","to":"*","name":"d","size":0,"files":2,"names":[],"note":"n","path":"relayed","skipped":[{"path":"d/l","why":"a link"}],"ref":"r"}`},
		{files.Offered{File: 3, Message: id, From: "bob", To: "me", Name: "d", Accepted: true, Dir: "/d"},
			`{"event":"file_offered",` + at + `,"file":3,` + mid + `,"from":"bob","to":"me","name":"d","size":0,"files":0,"names":[],"path":"","accepted":true,"dir":"/d","ref":""}`},
		{files.Progress{File: 3, Peer: "bob", Name: "a", Bytes: 1, Of: 2, Rate: 3, Left: 1500 * time.Millisecond, How: overlay.PathDirect, Ref: "r"},
			`{"event":"file_progress",` + at + `,"file":3,"ours":false,"peer":"bob","name":"a","bytes":1,"of":2,"rate":3,"left_ms":1500,"how":"direct","ref":"r"}`},
		{files.Progress{File: 3, Ours: true},
			`{"event":"file_progress",` + at + `,"file":3,"ours":true,"peer":"","name":"","bytes":0,"of":0,"rate":0,"left_ms":null,"how":"","ref":""}`},
		{files.Waits{File: 3, Peer: "bob", Name: "a", Reason: "bob is not here"}, `{"event":"file_waits",` + at + `,"file":3,"peer":"bob","name":"a","reason":"bob is not here","ref":""}`},
		{files.Done{File: 3, Peer: "bob", Name: "a", Bytes: 7, Path: "/d/a", Paths: []string{"/d/a", "/d/b"}}, `{"event":"file_done",` + at + `,"file":3,"peer":"bob","name":"a","bytes":7,"path":"/d/a","paths":["/d/a","/d/b"],"ref":""}`},
		{files.Ended{File: 3, Peer: "bob", Name: "a", Error: "changed", Ref: "r"}, `{"event":"file_failed",` + at + `,"file":3,"peer":"bob","name":"a","error":"changed","ref":"r"}`},
		{files.Ended{File: 3, Error: "cancelled", Cancelled: true}, `{"event":"file_failed",` + at + `,"file":3,"peer":"","name":"","error":"cancelled","cancelled":true,"ref":""}`},
	} {
		var b strings.Builder
		j := &Frontend{out: lines.NewOutput(&b), now: func() time.Time { return noon }}
		if err := j.Show(test.event); err != nil || b.String() != test.want+"\n" {
			t.Errorf("got  %swant %s", b.String(), test.want)
		}
	}
}
