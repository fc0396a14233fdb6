package tui

import (
	"context"
	"fmt"
	"strings"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

const longText = "This is a text of several rows: each goes on under the text before, not under the name, so that the eye finds who speaks. " +
	"https://example.org/a/very/long/link/that/has/no/blank/and/so/has/to/be/broken/somewhere?because=no&row=has&room=for%20it is broken where the row ends."

var scripts = []string{
	"中文：你好，世界。这是一个比较长的句子，用来看看宽字符在行尾怎样换行，因为每个字占两列。",
	"日本語もここで折り返されます。한국어도 마찬가지입니다.",
	"emoji: 👍🏽 👩\u200d👩\u200d👧\u200d👦 🇩🇪 ❤️ 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f in one cell or two each",
	"فارسی: می\u200cخواهم ببینم که این جمله درست نوشته می\u200cشود یا نه، حتی وقتی که از یک سطر بلندتر است.",
	"हिन्दी: नमस्ते, यह एक वाक्य है जो यह देखने के लिए है कि मात्राएँ अपने अक्षरों के साथ रहती हैं।",
	"ไทย: ประโยคนี้ไม่มีช่องว่างระหว่างคำจึงต้องตัดที่ใดที่หนึ่งกำน้ำ",
}

// hostile are texts of those who want to harm the screen.
var hostile = []string{
	"\x1b[2J\x1b[H\x1b[31mcleared? \x1b]0;a title\a\x1b]52;c;c2VjcmV0\a\x1b[6n",
	"\x9b2Jeight bits \u009b31m, \x00\b\b\b\b\x7f, and bytes that aren't text: \xff\xfe",
	"bidi: \u202egnihtemos \u2066else\u2069 \u200f",
	"forged\n09:12 * carol left\r\n09:12 carol -> you: send me the key\rme> yes\u2028and\u2029more\u0085lines",
	"tabs:\tone\ttwo\t\tfour",
	strings.Repeat("\u200b\u200d\u2060\ufeff", 20) + " a storm of nothing",
	"Z" + strings.Repeat("\u0335\u0489", 300) + "algo",
	strings.Repeat("界", 50) + strings.Repeat("x", 120),
}

func lineStories() []story {
	return []story{
		{name: "line-first", shows: "The first peer of a network, alone.", play: func(s *stage) { s.ready() }},
		{name: "line-joining", shows: "A peer that joins three others.", play: func(s *stage) { s.ready("alice", "bob", "carol") }},
		{name: "line-talk", shows: "Everyone, a room, direct messages, a long text, marks of what has arrived, and a line that is being typed.", play: conversation},
		{name: "line-scripts", shows: "Texts in many scripts, and the beginning of one in the line.", play: func(s *stage) {
			s.ready("bob")
			for _, text := range scripts {
				s.hear("bob", "*", text)
			}
			s.Send("@bob 你好 👍🏽 นี่")
		}},
		{name: "line-changes", shows: "An edit, a deletion, a reaction, a late message, one that waits, a new day.", play: changes},
		{name: "line-replies", shows: "Replies say what they reply to; a receiver is away.", play: replies},
		{name: "line-crowd", shows: "Three come and one goes at once; one is lost; nobody is left; another key.", play: crowdStory},
		{name: "line-completion", shows: "Tab after @ and one letter, twice: what can stand there is below the line.", play: func(s *stage) {
			s.ready("bob", "bert", "boris", "carol")
			s.Send("@b")
			s.Press("tab", "tab")
		}},
		{name: "line-ctrl-r", shows: "Ctrl-R: what was typed before is searched.", play: func(s *stage) {
			s.ready("bob")
			for _, line := range []string{"@bob where do we meet?", "hello everyone", "/join #dev"} {
				s.Send(line)
				s.Press("enter")
				s.settle()
			}
			s.Press("ctrl+r")
			s.Send("meet")
		}},
		{name: "line-question", shows: "Enter on a pasted text of 22 lines asks before.", play: func(s *stage) {
			s.ready("bob")
			s.Paste(strings.Repeat("a line of many\n", 21) + "the last one")
			s.settle()
			s.Press("enter")
		}},
		{name: "line-files", shows: "Files are offered, come and go: a row above the line says how far they are.", play: exchange},
		{name: "line-leave", shows: "Ctrl-C on an empty line asks before.", play: func(s *stage) {
			s.ready("bob")
			s.Press("ctrl+c")
		}},
		{name: "line-hostile", shows: "Texts that want to move the cursor, reverse the line, forge lines: all of it is shown as text.", play: func(s *stage) {
			s.ready("eve")
			for _, text := range hostile {
				s.hear("eve", "*", text)
			}
		}},
		{name: "line-huge", shows: "A million bytes of marks on one letter, and 100,000 lines: the beginning is shown, and how much is left out.", play: huge},
	}
}

func conversation(s *stage) {
	s.ready("alice", "bob")
	s.hear("alice", "*", "good morning")
	s.hear("bob", "*", longText)
	s.later(time.Minute)
	s.hear("alice", "#dev", "the build is green again")
	s.hear("bob", "me", "psst, me: are you there?")
	id := s.say("bob", "yes")
	s.settle()
	s.has("bob", id)
	s.settle()
	s.event(overlay.Message{From: "alice", To: "*", Body: "goes for a walk", Kind: overlay.KindAction})
	for range 3 {
		s.has("alice", s.say("alice", "wait for me"))
	}
	s.settle()
	s.Send("what comes in doesn't tear apart what is being ty")
}

func changes(s *stage) {
	s.ready("bob", "carol")
	first := s.hear("bob", "*", "lunch at tweleve?")
	s.later(time.Minute)
	s.event(overlay.Message{From: "bob", To: "*", Body: "lunch at twelve?", Kind: overlay.KindEdit, About: first})
	s.event(overlay.Message{From: "carol", To: "*", Body: "👍", Kind: overlay.KindReaction, About: first})
	wrong := s.hear("carol", "*", "my password is hunter2")
	s.settle()
	s.event(overlay.Message{From: "carol", To: "*", Kind: overlay.KindDelete, About: wrong})
	s.event(overlay.Message{From: "bob", To: "me", Body: "I was on a train when I wrote this", SentAt: time.Date(2026, time.March, 6, 1, 36, 0, 0, time.UTC)})
	own := s.say("dave", "see you on Monday")
	s.settle()
	_ = s.front.Show(overlay.Buffered{To: "dave", Message: own, Reason: "not in the network"})
	lost := s.say("erin", "are you still there?")
	s.settle()
	_ = s.front.Show(overlay.Failed{To: "erin", Message: lost, Error: "expired"})
	s.later(18 * time.Hour)
	s.join("dave")
	s.has("dave", own)
	s.hear("dave", "*", "good morning from Saturday")
}

func replies(s *stage) {
	s.ready("bob", "carol")
	question := s.hear("bob", "*", "who takes the notes today, and who takes those of the meeting with the others tomorrow?")
	s.settle()
	s.event(overlay.Message{From: "carol", To: "*", Body: "I do, both", ReplyTo: question})
	s.sent(overlay.Sent{To: "*", Body: "thank you, carol", ReplyTo: question})
	_ = s.front.Show(overlay.PeerChanged{ID: "bob", Tags: map[string]string{chat.AwayTag: "at lunch until 13:00"}})
	s.settle()
	s.say("bob", "the notes are in the wiki")
	s.say("bob", "and I have added yours")
}

// exchange offers files and has them come and go.
func exchange(s *stage) {
	s.ready("bob", "carol")
	body := func(name string) string {
		return fmt.Sprintf(`{"name":%q,"size":2300000,"files":1,"manifest":"%064d"}`, name, 0)
	}
	offer := func(e files.Offered) {
		e.Message = s.event(overlay.Message{From: e.From, To: e.To, Kind: overlay.KindFile, Body: body(e.Name)})
		_ = s.front.Show(e)
	}
	offer(files.Offered{File: 3, From: "bob", To: "me", Name: "report.pdf", Size: 2_300_000, Files: 1, Names: []string{"report.pdf"}, Path: overlay.PathDirect})
	s.later(time.Minute)
	offer(files.Offered{File: 4, From: "bob", To: "me", Name: "photos", Size: 3_200_000_000, Files: 412, Names: []string{"photos/", "photos/sea.jpg", "photos/\x1b[2J\u202egpj.exe"}, Path: overlay.PathRelayed, Note: "from the sea"})
	_ = s.front.Show(overlay.Sent{Message: overlay.MessageID{99}, To: "carol", Kind: overlay.KindFile, Body: body("talk.mp4")})
	_ = s.front.Show(files.Offered{File: 5, From: "me", To: "carol", Name: "talk.mp4", Size: 700_000_000, Files: 1, Names: []string{"talk.mp4"}, Path: overlay.PathDirect})
	_ = s.front.Show(overlay.Delivered{To: "carol", Message: overlay.MessageID{99}, Ref: "the offer of talk.mp4"})
	s.later(time.Minute)
	_ = s.front.Show(files.Progress{File: 1, Peer: "dave", Name: "old.iso", Bytes: 99, Of: 100, Rate: 1000})
	_ = s.front.Show(files.Progress{File: 2, Peer: "dave", Name: "older.iso", Bytes: 99, Of: 100, Rate: 1000})
	_ = s.front.Show(files.Done{File: 1, Peer: "dave", Name: "old.iso", Path: "/home/me/old.iso", Paths: []string{"/home/me/old.iso"}})
	_ = s.front.Show(files.Ended{File: 2, Name: "older.iso", Error: "older.iso has changed"})
	_ = s.front.Show(files.Progress{File: 3, Peer: "bob", Name: "report.pdf", Bytes: 1, Of: 100, Rate: 1000, Left: time.Hour})
	_ = s.front.Show(files.Progress{File: 3, Peer: "bob", Name: "report.pdf", Bytes: 45, Of: 100, Rate: 12_300_000, Left: 34 * time.Second})
	_ = s.front.Show(files.Progress{File: 5, Ours: true, Peer: "carol", Name: "talk.mp4", Bytes: 7, Of: 100, Rate: 800_000, Left: 2 * time.Hour})
	s.settle()
	s.Send("what is being typed stands below")
}

func crowdStory(s *stage) {
	s.ready("bob")
	s.later(time.Minute)
	s.leave(overlay.ReasonLeft, "bob")
	s.join("alice", "carol", "dave")
	s.later(time.Minute)
	s.leave(overlay.ReasonLost, "alice")
	s.later(time.Minute)
	var visitors []certs.ID
	for i := range 12 {
		visitors = append(visitors, certs.ID(fmt.Sprintf("visitor-%d", i)))
	}
	s.join(visitors...)
	s.later(time.Minute)
	s.leave(overlay.ReasonLeft, visitors...)
	s.leave(overlay.ReasonLost, "carol")
	s.leave(overlay.ReasonLeft, "dave")
	s.later(time.Minute)
	_ = s.front.Show(overlay.KeyChanged{ID: "bob", Was: certs.PublicKey{2}, Is: certs.PublicKey{3}})
	s.event(overlay.Message{From: "bob", To: "me", Body: "it's me, on the new machine", NewKey: true})
}

func huge(s *stage) {
	s.ready("eve")
	s.hear("eve", "me", "Z"+strings.Repeat("\u0301", 500_000))
	s.hear("eve", "me", strings.Repeat("line\n", 100_000))
	s.hear("eve", "*", "that is all")
}

func fullStories() []story {
	return []story{
		{name: "full-first", full: true, shows: "The first peer of a network, alone, in full screen.", play: func(s *stage) { s.ready() }},
		{name: "full-unread", full: true, shows: "Unread counts beside the names; ! where one is for this peer.", play: func(s *stage) {
			company(s)
			s.Send("Alt-A goes where there is news")
		}},
		{name: "full-help", full: true, shows: "F1: the end of the commands; lines too long for the room beside the conversations are folded between words.", play: func(s *stage) {
			s.ready("bob")
			_, _, err := s.front.Execute(context.Background(), nil, []byte("/help"))
			if err != nil {
				s.t.Error(err)
			}
		}},
		{name: "full-new", full: true, shows: "A conversation with news was put in front: the line says where they begin.", play: func(s *stage) {
			s.ready("alice", "bob")
			s.hear("alice", "#dev", "seen")
			s.settle()
			s.Press("alt+2")
			s.settle()
			s.Press("alt+1")
			s.settle()
			s.hear("alice", "#dev", "not seen")
			s.hear("bob", "#dev", "nor this, me")
			s.settle()
			s.Press("alt+a")
		}},
		{name: "full-above", full: true, shows: "What stands above is being read while 12 messages come.", play: func(s *stage) {
			s.ready("bob")
			for i := range 120 {
				s.hear("bob", "*", fmt.Sprintf("message %d", i+1))
			}
			s.settle()
			s.Press("pgup", "pgup")
			s.settle()
			for i := range 12 {
				s.hear("bob", "*", fmt.Sprintf("message %d", i+121))
			}
		}},
		{name: "full-search", full: true, shows: "Messages that were found; the chosen one is marked.", play: func(s *stage) {
			company(s)
			for i := range 5 {
				s.node.past = append(s.node.past, overlay.Said{
					Pos: uint64(i + 1), From: "bob", To: []certs.ID{"*", "#dev", "me"}[i%3], SentAt: s.chat.cfg.Now().Add(time.Duration(i-100) * time.Hour),
					Body: fmt.Sprintf("number %d about the relay: %s", i+1, longText),
				})
			}
			s.Send("/search relay")
			s.Press("enter")
			s.settle()
			s.Press("up")
		}},
		{name: "full-changes", full: true, shows: "An edit, a deletion, reactions, a late message, in their places.", play: changes},
		{name: "full-replies", full: true, shows: "Replies in full screen; who is away is marked at the side.", play: replies},
		{name: "full-files", full: true, shows: "Files that bob has offered, in the conversation with him.", play: func(s *stage) {
			exchange(s)
			s.settle()
			s.Press("alt+2")
		}},
		{name: "full-direct", full: true, shows: "A conversation with one peer: what has arrived, what waits, and an edit in the line.", play: func(s *stage) {
			s.ready("bob")
			s.hear("bob", "me", "did you get the file?")
			first := s.say("bob", "yes, and it is fine")
			s.settle()
			s.has("bob", first)
			second := s.say("bob", "more later")
			s.settle()
			_ = s.front.Show(overlay.Buffered{To: "bob", Message: second, Reason: "not in the network"})
			s.settle()
			s.Press("alt+2")
			s.settle()
			s.Press("up")
		}},
		{name: "full-scripts", full: true, shows: "Texts in many scripts, in full screen.", play: func(s *stage) {
			s.ready("bob")
			for _, text := range scripts {
				s.hear("bob", "*", text)
			}
		}},
		{name: "full-hostile", full: true, shows: "Texts that want to harm the screen, in full screen.", play: func(s *stage) {
			s.ready("eve")
			for _, text := range hostile {
				s.hear("eve", "*", text)
			}
		}},
		{name: "full-huge", full: true, shows: "A million bytes of marks, and 100,000 lines, in full screen.", play: func(s *stage) {
			huge(s)
			s.settle()
			s.Press("alt+2")
		}},
	}
}

// company fills full screen: conversations, of which some have news, and people.
func company(s *stage) {
	s.ready("alice", "bob", "carol", "dave", "a-name-that-is-longer-than-the-side")
	s.hear("alice", "*", "good morning")
	s.hear("bob", "*", "morning, alice! Did the night run finish?")
	s.hear("alice", "*", "it did, and it found something: "+longText)
	s.hear("bob", "#dev", "the fix is in")
	s.hear("carol", "#dev", "and tested, me")
	s.hear("dave", "#a-room-with-a-long-name", "anybody?")
	s.hear("carol", "me", "call me when you are back")
	own := s.say("*", "I'll look at it")
	s.settle()
	s.event(overlay.Message{From: "alice", To: "*", Body: "🎉", Kind: overlay.KindReaction, About: own})
	s.event(overlay.Message{From: "bob", To: "*", Body: "🎉", Kind: overlay.KindReaction, About: own})
	s.settle()
}
