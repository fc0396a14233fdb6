package control

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// Commands about files last until these are there, or until they are offered where many may take them.
func TestFileCommands(t *testing.T) {
	p := start(t)
	p.n.Shared.Add(files.Transfer{From: "bob", To: "me", Name: "a"}) // 1
	p.n.Shared.Add(files.Transfer{From: "bob", To: "me", Name: "b"}) // 2
	message := func(i byte) overlay.MessageID { return overlay.MessageID{14: 1, 15: i} }
	type events []overlay.Event
	for _, test := range []struct {
		name      string
		untilSent bool
		command   string
		want      string
		then      events // once file_offered, or the answer, has come
	}{
		{"to one peer", false, `{"cmd":"file_send","to":"bob","path":"x","ref":"r"}`, "sent, file_offered, delivered, file_progress, file_done", events{
			overlay.Delivered{Message: message(3), To: "bob"}, files.Progress{File: 2}, files.Progress{File: 3}, files.Done{File: 3}, files.Done{File: 3},
		}},
		{"that fails", false, `{"cmd":"file_send","to":"bob","path":"x"}`, "sent, file_offered, file_waits, file_failed", events{files.Waits{File: 4}, files.Ended{File: 4}}},
		{"whose message fails", false, `{"cmd":"file_send","to":"bob","path":"x"}`, "sent, file_offered, failed", events{overlay.Failed{Message: message(5)}}},
		{"only offered", true, `{"cmd":"file_send","to":"bob","path":"x","temporary":true}`, "sent, file_offered", nil},
		{"to a room", false, `{"cmd":"file_send","to":"#dev","paths":["x","y"]}`, "sent, file_offered", nil},
		{"to everyone", false, `{"cmd":"file_send","to":"*","path":"x"}`, "sent, file_offered", nil},
		{"refused", false, `{"cmd":"file_send","to":"bob","path":"missing"}`, "error", nil},
		{"accepted", false, `{"cmd":"file_accept","file":1}`, "files, file_progress, file_done", events{files.Progress{File: 1}, files.Done{File: 1}}},
		{"only accepted", true, `{"cmd":"file_accept","file":2}`, "files", nil},
		{"unknown", false, `{"cmd":"file_accept","file":99}`, "error", nil},
		{"cancelled", false, `{"cmd":"file_cancel","file":2}`, "files", nil},
		{"listed", false, `{"cmd":"files"}`, "files", nil},
		{"named", false, `{"cmd":"files","file":1}`, "files", nil},
	} {
		var command map[string]any
		if err := json.Unmarshal([]byte(test.command), &command); err != nil {
			t.Fatal(err)
		}
		var got []string
		err := p.client.Command(t.Context(), command, test.untilSent, func(a Answer) bool {
			if got = append(got, a.Event); a.Event == "file_offered" || a.Event == "files" {
				for _, e := range test.then {
					p.s.Tell(e)
				}
			}
			return true
		})
		if list := strings.Join(got, ", "); err != nil || list != test.want {
			t.Errorf("%s: %s, %v; want %s", test.name, list, err, test.want)
		}
	}
	if done := p.n.Shared.Done(); !strings.HasSuffix(done[3], "temporary") {
		t.Errorf("done: %q", done)
	}
}

// Files that are under way can be asked for.
func TestFileAnswers(t *testing.T) {
	p := start(t)
	p.n.Shared.Add(files.Transfer{From: "bob", To: "me", Name: "a\x1b", Size: 7, Files: 2, State: files.StateOffered})
	p.n.Shared.All = []string{"a\x1b/", "a\x1b/b"}
	for _, test := range []struct {
		file string
		text bool
		want string
	}{
		{"", false, `"event":"files"`}, {"", true, "1  from bob  a\\x1b  2 files, 7 bytes  offered\n"},
		{"1", false, `"names":["a\u001b/","a\u001b/b"]`}, {"1", true, "a\\x1b/\na\\x1b/b\n"},
	} {
		q := url.Values{}
		if test.file != "" {
			q.Set("file", test.file)
		}
		b, err := p.client.Ask(t.Context(), "/v1/files", q, test.text)
		if err != nil || !strings.Contains(string(b), test.want) {
			t.Errorf("%q: %q, %v", test.file, b, err)
		}
	}
	for file, code := range map[string]string{"2": "unknown_file", "0": "bad_query", "x": "bad_query"} {
		if refused, ok := errors.AsType[*Refused](second(p.client.Ask(t.Context(), "/v1/files", url.Values{"file": {file}}, false))); !ok || refused.Code != code {
			t.Errorf("%s: %v", file, refused)
		}
	}
}
