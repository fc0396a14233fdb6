package chat

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// offerBody is the body of a message that offers one file.
var offerBody = `{"name":"report.pdf","size":2300000,"files":1,"manifest":"` + strings.Repeat("0", 64) + `","names":["report.pdf"],"note":"for\nMonday"}`

func TestFileCommands(t *testing.T) {
	n := linestest.New("me")
	n.Shared.Add(files.Transfer{From: "bob", To: "me", Name: "report\x1b.pdf", Size: 2_300_000, Files: 1, State: files.StateOffered})
	n.Shared.Add(files.Transfer{Ours: true, From: "me", To: "*", Name: "photos", Size: 999_999, Files: 412, Note: "all of\nthem", State: files.StateActive, Bytes: 500_000, Rate: 12_345_678, Left: 34 * time.Second,
		Receivers: []files.Receiver{{State: files.StateDone}, {State: files.StateActive}}})
	n.Shared.Add(files.Transfer{From: "bob", To: "me", Name: "a", Size: 7, Files: 1, State: files.StateFailed, Error: "changed"})
	n.Shared.Add(files.Transfer{From: "bob", To: "me", Name: "b", Size: 1, Files: 1, State: files.StateDone, Paths: []string{"/d/b (2)"}})
	n.Shared.All = []string{"photos/", "photos/\na"}
	var b strings.Builder
	x := newTestText(&b)
	x.Home = "/home/me"
	for _, test := range []struct{ line, want string }{
		{"/files", "12:01:05 * 4 transfers:\n" +
			"    1  from bob     report\\x1b.pdf  2.3 MB             offered\n" +
			"    2  to everyone  photos          412 files, 1.0 MB  50 %, 12.3 MB/s, 0:34 left; 1 of 2 have it\n" +
			"    3  from bob     a               7 bytes            failed (changed)\n" +
			"    4  from bob     b               1 byte             is at /d/b (2)\n"},
		{"/files 2", "12:01:05 * 2 photos to everyone, 412 files, 1.0 MB, 50 %, 12.3 MB/s, 0:34 left; 1 of 2 have it:\n    note: all of\\nthem\n    photos/\n    photos/\\na\n"},
		{"/files 9", "12:01:05 ? " + files.ErrUnknownFile.Error() + "\n"},
		{"/files x", "12:01:05 ? it is /files, or /files N for all names of one\n"},
		{"/get 1 '~/my files'", "12:01:05 * 1 report\\x1b.pdf from bob comes into /home/me/my files\n"},
		{"/get 1 ~/in", "12:01:05 * 1 report\\x1b.pdf from bob comes into /home/me/in\n"},
		{"/accept 2", "12:01:05 ? " + files.ErrOurs.Error() + "\n"},
		{"/get", "12:01:05 ? it is /get N, or /get N DIRECTORY; /files lists them\n"},
		{"/get 0", "12:01:05 ? it is /get N, or /get N DIRECTORY; /files lists them\n"},
		{"/get 1 a b", "12:01:05 ? it is /get N, or /get N DIRECTORY; /files lists them\n"},
		{"/drop 1", ""},
		{"/drop 1", "12:01:05 ? " + files.ErrOver.Error() + "\n"},
		{"/drop 1 2", "12:01:05 ? it is /drop N; /files lists them\n"},
		{"/send bob", "12:01:05 ? it is /send ID FILE..., or a #room or * instead of the ID; a name with blanks stands in quotes\n"},
		{"/send b!b x", "12:01:05 ? b!b is neither an ID nor a #room nor *: an ID consists of letters, digits, '.', '_' and '-', not '!'\n"},
		{"/send bob missing", "12:01:05 ? missing: file does not exist\n"},
		{`/send bob ""`, "12:01:05 ? the path of what is sent is missing\n"},
		{`/send bob "x`, "12:01:05 ? a quote is not closed\n"},
		{"/send me x", "12:01:05 ? a peer can't send to itself\n"},
		{`/send @bob my\ file.pdf`, ""},
		{`/send #dev "a b" ~/c 'd"e'`, ""},
		{`/send * C:\x\y`, ""},
	} {
		b.Reset()
		if leave, err := linestest.Execute(t, x, n, test.line); leave || err != nil || b.String() != test.want {
			t.Errorf("%s: got  %q\nwant %q", test.line, b.String(), test.want)
		}
	}
	want := `accept 1 /home/me/my files|accept 1 /home/me/in|cancel 1|offer bob ["my file.pdf"]|offer #dev ["a b" "/home/me/c" "d\"e"]|offer * ["C:\\x\\y"]`
	if got := strings.Join(n.Shared.Done(), "|"); got != want {
		t.Errorf("done: %s\nwant: %s", got, want)
	}
}

func TestSplitWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                 nil,
		"  a\tb\n c  ":     {"a", "b", "c"},
		`"a b"c 'd'`:       {"a bc", "d"},
		`"" x`:             {"", "x"},
		`a\ b\'c \"`:       {"a b'c", `"`},
		`C:\x \\host\y z\`: {`C:\x`, `\\host\y`, `z\`},
		`"it's" 'say "x"'`: {"it's", `say "x"`},
		"a\u00a0b \u3000":  {"a\u00a0b", "\u3000"},
	} {
		if got, err := splitWords(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
	for _, line := range []string{`"`, `a'b`, `'a"`} {
		if got, err := splitWords(line); err == nil {
			t.Errorf("%q: %q", line, got)
		}
	}
}

// An offer, its progress, and its end.
func TestFileEvents(t *testing.T) {
	offer := overlay.Message{ID: overlay.MessageID{1}, From: "bob", To: "me", Kind: overlay.KindFile, Body: offerBody, SentAt: local(4, 12, 1, 5)}
	odd := offer
	odd.Body = "3: bank.pdf (2.3 MB); /get 3 takes it"
	other := offer
	other.ID, other.NewKey = overlay.MessageID{2}, true
	one := files.Offered{File: 3, Message: offer.ID, From: "bob", To: "me", Name: "report.pdf", Size: 2_300_000, Files: 1, Names: []string{"report.pdf"}, Path: overlay.PathDirect}
	many := files.Offered{File: 4, Message: other.ID, From: "bob", To: "me", Name: "pho\ntos", Size: 3_200_000_000, Files: 4, Names: []string{"photos/", "photos/\x1b[2J.jpg", "12:01:05 * bob left"}, Note: "a\nb", Path: overlay.PathRelayed}
	taken := one
	taken.Accepted, taken.Dir = true, "/d"
	declined := one
	declined.Declined = true
	mine := files.Offered{File: 5, From: "me", To: "carol", Name: "x", Size: 5, Files: 1, Names: []string{"x"}, Skipped: []files.Skipped{{Path: "d/l", Why: "a link"}}}
	everyone := files.Offered{File: 6, From: "me", To: "*", Name: "x", Size: 5, Files: 2, Path: overlay.PathRelayed}
	room := files.Offered{File: 7, Message: overlay.MessageID{9}, From: "eve", To: "#dev", Name: "y", Size: 0, Files: 1, Names: []string{"y"}}
	for _, test := range []struct {
		events []overlay.Event
		want   string
	}{
		{[]overlay.Event{offer, one}, "bob -> you offers 3: report.pdf (2.3 MB); /get 3 takes it\n"},
		{[]overlay.Event{other, many}, `bob (new key) -> you offers 4: pho\ntos (4 files, 3.2 GB); /get 4 takes it, over other peers and so slower
           note: a\nb
           photos/
           photos/\x1b[2J.jpg
           12:01:05 * bob left
           and 1 more; /files 4 names all
`},
		{[]overlay.Event{offer, taken}, "bob -> you offers 3: report.pdf (2.3 MB); it comes into /d\n"},
		{[]overlay.Event{offer, declined}, "bob -> you offers 3: report.pdf (2.3 MB); declined, since this peer takes no files\n"},
		{[]overlay.Event{room}, "#dev eve offers 7: y (0 bytes); /get 7 takes it\n"},
		{[]overlay.Event{odd}, "bob -> you: 3: bank.pdf (2.3 MB); /get 3 takes it\n"},
		{[]overlay.Event{offer, overlay.Message{From: "bob", To: "me", Body: "hi", SentAt: offer.SentAt}}, "bob -> you offers report.pdf (2.3 MB): for\\nMonday\n12:01:05 bob -> you: hi\n"},
		{[]overlay.Event{mine}, "* 5 is offered to carol: x (5 bytes); /drop 5 withdraws it\n    not sent: d/l: a link\n"},
		{[]overlay.Event{everyone}, "* 6 is offered to everyone: x (2 files, 5 bytes); /drop 6 withdraws it; it goes over other peers, slower\n"},
		{[]overlay.Event{files.Progress{File: 3, Peer: "bob", Name: "report.pdf", Bytes: 45, Of: 100, Rate: 12_300_000, Left: 34 * time.Second}}, "* 3 report.pdf from bob: 45 %, 12.3 MB/s, 0:34 left\n"},
		{[]overlay.Event{files.Progress{File: 5, Ours: true, Peer: "carol", Name: "x", Bytes: 0, Of: 0}}, "* 5 x to carol: 100 %\n"},
		{[]overlay.Event{files.Waits{File: 3, Peer: "bob", Name: "report.pdf", Reason: "bob is\x1b gone"}}, "* 3 report.pdf waits (bob is\\x1b gone)\n"},
		{[]overlay.Event{files.Done{File: 3, Peer: "bob", Name: "report.pdf", Path: "/d/report.pdf", Paths: []string{"/d/report.pdf"}}}, "* 3 report.pdf is at /d/report.pdf\n"},
		{[]overlay.Event{files.Done{File: 5, Peer: "carol", Name: "x"}}, "* carol has 5 x\n"},
		{[]overlay.Event{files.Ended{File: 5, Peer: "carol", Name: "x", Error: "changed"}}, "! 5 x (carol) has failed: changed\n"},
		{[]overlay.Event{files.Ended{File: 3, Name: "x", Error: "cancelled", Cancelled: true}}, "* 3 x was cancelled\n"},
		{[]overlay.Event{files.Ended{File: 3, Name: "x", Error: "bob has withdrawn it", Cancelled: true}}, "* 3 x was cancelled: bob has withdrawn it\n"},
	} {
		var b strings.Builder
		x := newTestText(&b)
		x.self = "me"
		shown := 0
		for _, e := range test.events {
			if err := x.ShowThen(e, func() { shown++ }); err != nil {
				t.Fatal(err)
			}
		}
		if want := "12:01:05 " + test.want; b.String() != want || shown != len(test.events) {
			t.Errorf("%d shown, got  %q\nwant %q", shown, b.String(), want)
		}
	}
}

// In plain lines the progress of a transfer is told at its beginning, and then every ten seconds.
func TestPlainProgress(t *testing.T) {
	var b strings.Builder
	x := newTestText(&b)
	at := local(4, 12, 0, 0)
	x.now = func() time.Time { return at }
	for i := range 35 {
		for _, file := range []int{1, 2} {
			if err := x.Show(files.Progress{File: file, Peer: "bob", Name: fmt.Sprint("f", file), Bytes: int64(i), Of: 100}); err != nil {
				t.Fatal(err)
			}
		}
		if i == 17 {
			if err := x.Show(files.Waits{File: 2, Peer: "bob", Name: "f2", Reason: "r"}); err != nil {
				t.Fatal(err)
			}
		}
		at = at.Add(time.Second)
	}
	for file, want := range []string{1: "0 % 10 % 20 % 30 %", 2: "0 % 10 % 18 % 28 %"} {
		var got []string
		for line := range strings.Lines(b.String()) {
			if _, percent, ok := strings.Cut(line, fmt.Sprintf("f%d from bob: ", file)); ok {
				got = append(got, strings.TrimSpace(percent))
			}
		}
		if file > 0 && strings.Join(got, " ") != want {
			t.Errorf("file %d: %q, want %q", file, got, want)
		}
	}
}

// Offers of the history, and those that wait, can be read.
func TestOffersOfThePast(t *testing.T) {
	n := linestest.New("me")
	n.Told = []overlay.Said{
		{From: "bob", To: "me", Kind: overlay.KindFile, Body: offerBody, SentAt: local(4, 11, 0, 0)},
		{From: "bob", To: "#dev", Kind: overlay.KindFile, Body: "what is this?", SentAt: local(4, 11, 0, 0)},
	}
	n.Out = []overlay.Outgoing{{To: "bob", Kind: overlay.KindFile, Body: offerBody, SentAt: local(4, 11, 0, 0)}, {To: "bob", Body: offerBody, SentAt: local(4, 11, 0, 0)}}
	var b strings.Builder
	x := newTestText(&b)
	for line, want := range map[string]string{
		"/history": "    11:00 bob -> me offers report.pdf (2.3 MB): for\\nMonday\n    11:00 bob -> #dev: what is this?\n",
		"/cancel":  "    1  to bob  11:00  offers report.pdf (2.3 MB): for\\nMonday\n    2  to bob  11:00  {\"name\":",
	} {
		b.Reset()
		if _, err := linestest.Execute(t, x, n, line); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %q lacks %q", line, b.String(), want)
		}
	}
}

func TestAmounts(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 2_300_000: "2.3 MB", 1 << 40: "1.1 TB", 1 << 62: "4611.7 PB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{34 * time.Second: "0:34", 59*time.Minute + 59*time.Second + 600*time.Millisecond: "1:00:00", 2*time.Hour + 5*time.Minute: "2:05:00", 1000 * time.Hour: "41 days"} {
		if got := Left(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	if Percent(1<<62, 1<<62) != "100 %" || Percent(1<<62-1<<40, 1<<62) != "99 %" || Percent(5, 3) != "100 %" {
		t.Error("percent")
	}
}
