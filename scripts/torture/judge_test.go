package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// told is a history told in lines:
//
//	a says 1 to b         gives a the command with ref a1 and that number in its body
//	a says 1 to b again   the same body with ref a1'
//	a gets sent a1 m1     an answer of the event, ref, and message ID
//	b shows m1 a>b 1      the message, its body's sender, receiver and number
//	b kill, b stop        the end of its process; the next begins at once
//	b dies, b starts      a kill, and when the next begins
//	a trouble 3s          something is the matter for so long
//	wait 6s
//
// A word path=X, from=X, before or bad changes a showing or a receipt.
func told(t *testing.T, story string) *verdict {
	t.Helper()
	var v *verdict
	synctest.Test(t, func(t *testing.T) {
		h := newHistory()
		now := map[string]*run{}
		start := func(peer string) {
			now[peer] = h.begin(peer)
			h.see(now[peer], []byte(`{"event":"ready"}`))
			for _, other := range []string{"a", "b", "c"} {
				if other != peer {
					h.see(now[peer], fmt.Appendf(nil, `{"event":"peer_joined","id":"%s"}`, other))
				}
			}
		}
		for _, peer := range []string{"a", "b", "c"} {
			start(peer)
		}
		for line := range strings.SplitSeq(strings.TrimSpace(story), "\n") {
			w := strings.Fields(line)
			switch {
			case w[0] == "wait":
				time.Sleep(duration(t, w[1]))
			case w[1] == "says":
				s := stamp{w[0], w[4], number(t, w[2])}
				ref := w[0] + w[2]
				if len(w) > 5 {
					ref += "'"
				}
				h.command(&command{ref: ref, stamp: s, at: time.Now(), run: now[w[0]]})
			case w[1] == "trouble":
				name := w[0]
				if name == "network" {
					name = ""
				}
				over := h.trouble(name)
				time.Sleep(duration(t, w[2]))
				over()
			case w[1] == "dies":
				h.end(now[w[0]], true)
			case w[1] == "starts":
				start(w[0])
			case w[1] == "kill", w[1] == "stop":
				if w[1] == "stop" {
					h.see(now[w[0]], []byte(`{"event":"left"}`))
				}
				h.end(now[w[0]], w[1] == "kill")
				start(w[0])
			default:
				h.see(now[w[0]], printed(t, w))
			}
		}
		v = h.judge()
	})
	return v
}

// printed is a line of a peer, of the words of a story.
func printed(t *testing.T, w []string) []byte {
	t.Helper()
	e := event{Path: "direct", Event: "message"}
	if w[1] == "shows" {
		from, to, _ := strings.Cut(w[3], ">")
		s := stamp{from, to, number(t, w[4])}
		e.Message, e.From, e.To, e.Body = w[2], from, to, s.seal("text", s.sum("text"))
	} else {
		e.Event, e.Ref = w[2], w[3]
		if len(w) > 4 {
			e.Message = w[4]
		}
	}
	for _, word := range w {
		if word == "before" {
			e.Before = true
		}
		if word == "bad" {
			e.Body = strings.Replace(e.Body, "text", "test", 1)
		}
		if x, ok := strings.CutPrefix(word, "path="); ok {
			e.Path = x
		}
		if x, ok := strings.CutPrefix(word, "from="); ok {
			e.From = x
		}
	}
	return fmt.Appendf(nil, `{"event":%q,"message":%q,"from":%q,"to":%q,"ref":%q,"path":%q,"body":%q,"error":"some","before":%v}`,
		e.Event, e.Message, e.From, e.To, e.Ref, e.Path, e.Body, e.Before)
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func number(t *testing.T, s string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// twoSent are two messages that a has sent to b.
const twoSent = `
	a says 1 to b
	a gets sent a1 m1
	a says 2 to b
	a gets sent a2 m2`

func TestJudgeDirect(t *testing.T) {
	for _, test := range []struct {
		name, story string
		faults      []string
	}{
		{"all is well", twoSent + "\nb shows m1 a>b 1\na gets delivered a1\nb shows m2 a>b 2\na gets delivered a2", nil},
		{"lost", twoSent + "\nb shows m1 a>b 1", []string{lost}},
		{"both lost", twoSent, []string{lost, lost}},
		{"failed is an end", twoSent + "\nb shows m1 a>b 1\na gets failed a2", nil},
		{"failed in a later run", twoSent + "\nb shows m1 a>b 1\na kill\na gets failed a2", nil},
		{"refused is no message", "a says 1 to b\na gets error a1", nil},
		{"unknown and not shown", "a says 1 to b\na kill", nil},
		{"unknown and shown", "a says 1 to b\na kill\nb shows m1 a>b 1", nil},
		{"unknown and shown twice", "a says 1 to b\na kill\nb shows m1 a>b 1\nb shows m1 a>b 1", []string{doubled}},
		{"unknown and shown as two", "a says 1 to b\na kill\nb shows m1 a>b 1\nb shows m2 a>b 1", []string{twoIDs}},
		{"doubled", twoSent + "\nb shows m1 a>b 1\nb shows m2 a>b 2\nb shows m2 a>b 2", []string{doubled}},
		{"doubled, not out of order", twoSent + "\nb shows m1 a>b 1\nb shows m2 a>b 2\nb shows m1 a>b 1", []string{doubled}},
		{"repeated after a kill", twoSent + "\nb shows m1 a>b 1\nb shows m2 a>b 2\nb kill\nb shows m2 a>b 2", nil},
		{"repeated after two kills", twoSent + "\nb shows m1 a>b 1\nb kill\nb kill\nb shows m1 a>b 1\nb shows m2 a>b 2", nil},
		{"repeated twice, a kill for each", twoSent + "\nb shows m1 a>b 1\nb kill\nb shows m1 a>b 1\nb kill\nb shows m1 a>b 1\nb shows m2 a>b 2", nil},
		{"repeated twice after one kill", twoSent + "\nb shows m1 a>b 1\nb kill\nb shows m1 a>b 1\nb shows m1 a>b 1\nb shows m2 a>b 2", []string{doubled}},
		{"repeated after a stop", twoSent + "\nb shows m1 a>b 1\nb shows m2 a>b 2\nb stop\nb shows m2 a>b 2", []string{doubled}},
		{"not the last was repeated", twoSent + "\nb shows m1 a>b 1\nb shows m2 a>b 2\nb kill\nb shows m1 a>b 1", []string{doubled}},
		{"two were repeated", twoSent + "\nb shows m1 a>b 1\nb shows m2 a>b 2\nb kill\nb shows m1 a>b 1\nb shows m2 a>b 2", []string{doubled}},
		{"two IDs", twoSent + "\nb shows m1 a>b 1\nb shows m3 a>b 1\nb shows m2 a>b 2", []string{twoIDs}},
		{"sent as two", "a says 1 to b\na gets sent a1 m1\na gets sent a1 m2\nb shows m1 a>b 1", []string{twoIDs}},
		{"two of one text", "a says 1 to b\na says 1 to b again\na gets sent a1 m1\na gets sent a1' m2\nb shows m1 a>b 1\nb shows m2 a>b 1", nil},
		{"the second of one text is lost", "a says 1 to b\na says 1 to b again\na gets sent a1 m1\na gets sent a1' m2\nb shows m1 a>b 1", []string{lost}},
		{"one text, out of order", "a says 1 to b\na says 1 to b again\na gets sent a1 m1\na gets sent a1' m2\nb shows m2 a>b 1\nb shows m1 a>b 1", []string{reordered}},
		{"the second of one text is unknown", "a says 1 to b\na says 1 to b again\na gets sent a1 m1\nb shows m1 a>b 1\nb shows m2 a>b 1", nil},
		{"nobody has sent it", "b shows m1 a>b 7", []string{unsent}},
		{"out of order", twoSent + "\nb shows m2 a>b 2\nb shows m1 a>b 1", []string{reordered}},
		{"out of order over a restart of the receiver", twoSent + "\nb shows m2 a>b 2\nb stop\nb shows m1 a>b 1", []string{reordered}},
		{"out of order over a restart of the sender", "a says 1 to b\na gets sent a1 m1\na kill\na says 2 to b\na gets sent a2 m2\nb shows m2 a>b 2\nb shows m1 a>b 1", []string{reordered}},
		{"order is by pair", twoSent + "\nc says 1 to b\nc gets sent c1 m3\nb shows m1 a>b 1\nb shows m3 c>b 1\nb shows m2 a>b 2", nil},
		{"a repeat is not out of order", twoSent + "\nb shows m1 a>b 1\nb kill\nb shows m1 a>b 1\nb shows m2 a>b 2", nil},
		{"a wrong peer", "a says 1 to b\na gets sent a1 m1\nc shows m1 a>b 1\nb shows m1 a>b 1", []string{misplaced}},
		{"altered", "a says 1 to b\na gets sent a1 m1\na gets failed a1\nb shows m1 a>b 1 bad", []string{altered}},
		{"another's body", twoSent + "\nb shows m1 a>b 1\nb shows m2 a>b 1", []string{lost, altered}},
		{"under another name", twoSent + "\nb shows m1 a>b 1\nb shows m2 a>b 2 from=c", []string{lost, altered}},
		{"never shown", "a says 1 to b\na gets sent a1 m1\na gets delivered a1", []string{unshown}},
		{"delivered and failed", "a says 1 to b\na gets sent a1 m1\nb shows m1 a>b 1\na gets delivered a1\na gets failed a1", []string{contrary}},
		{"shown without a path", "a says 1 to b\na gets sent a1 m1\nb shows m1 a>b 1 path=", []string{pathless}},
		{"delivered without a path", "a says 1 to b\na gets sent a1 m1\nb shows m1 a>b 1\na gets delivered a1 path=", []string{pathless}},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, told(t, test.story), test.faults) })
	}
}

func expect(t *testing.T, v *verdict, want []string) {
	t.Helper()
	var got []string
	for _, kind := range kinds {
		for range v.of(kind) {
			got = append(got, kind)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || len(got) != len(v.faults) {
		t.Errorf("faults %q of %v, want %q", got, v.faults, want)
	}
}

func TestJudgeBroadcasts(t *testing.T) {
	const one = "wait 6s\na says 1 to *\na gets sent a1 m1\n"
	const two = one + "a says 2 to *\na gets sent a2 m2\nc shows m1 a>* 1\nc shows m2 a>* 2\n"
	for _, test := range []struct {
		name, story string
		faults      []string
	}{
		{"all is well", one + "b shows m1 a>* 1\nc shows m1 a>* 1", nil},
		{"missed by one", one + "b shows m1 a>* 1\nwait 6s", []string{missed}},
		{"missed by both", one + "wait 6s", []string{missed, missed}},
		{"missed by one that was killed", one + "b shows m1 a>* 1\nwait 1s\nc kill", nil},
		{"missed by one that was killed later", one + "b shows m1 a>* 1\nwait 6s\nc kill", []string{missed}},
		{"missed by one that was not there", "c kill\nwait 4s\na says 1 to *\na gets sent a1 m1\nb shows m1 a>* 1\nwait 6s", nil},
		{"missed by one in trouble", one + "b shows m1 a>* 1\nwait 2s\nc trouble 1s\nwait 6s", nil},
		{"trouble of another", one + "c shows m1 a>* 1\nwait 2s\nc trouble 1s\nwait 6s", []string{missed}},
		{"trouble later", one + "b shows m1 a>* 1\nwait 6s\nc trouble 1s", []string{missed}},
		{"the author was in trouble", one + "wait 2s\na trouble 1s\nwait 6s", nil},
		{"the network was in parts", one + "wait 2s\nnetwork trouble 1s\nwait 6s", nil},
		{"doubled", two + "b shows m1 a>* 1\nb shows m2 a>* 2\nb shows m1 a>* 1", []string{doubled}},
		{"repeated after a kill", one + "c shows m1 a>* 1\nb shows m1 a>* 1\nb kill\nb shows m1 a>* 1", nil},
		{"shown again after a stop", one + "c shows m1 a>* 1\nb shows m1 a>* 1\nb stop\nb shows m1 a>* 1", []string{outlived}},
		{"the past behind what is new", two + "b shows m2 a>* 2\nb shows m1 a>* 1 before", nil},
		{"the past out of order", two + "b shows m2 a>* 2 before\nb shows m1 a>* 1 before", []string{reordered}},
		{"the past twice", two + "b shows m1 a>* 1\nb shows m2 a>* 2\nb shows m1 a>* 1 before", []string{doubled}},
		{"out of order", two + "b shows m2 a>* 2\nb shows m1 a>* 1", []string{reordered}},
		{"shown by its author", two + "b shows m1 a>* 1\nb shows m2 a>* 2\na shows m1 a>* 1", []string{misplaced}},
		{"unknown", "a says 1 to *\nwait 6s", nil},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, told(t, test.story), test.faults) })
	}
}

func TestJudgeProcesses(t *testing.T) {
	expect(t, told(t, "a gets rubbish x\na stop\na kill"), nil)
	expect(t, told(t, "a gets left x\na gets sent x\na stop"), nil)
	synctest.Test(t, func(t *testing.T) {
		h := newHistory()
		r := h.begin("a")
		h.see(r, []byte(`{"event":"ready"}`))
		h.see(r, []byte(`{"event":"sent"`))
		h.end(r, false)
		expect(t, h.judge(), []string{garbled, unfinished})
	})
}

func TestJudgeCounts(t *testing.T) {
	v := told(t, twoSent+`
		a says 3 to b
		a gets sent a3 m3
		a says 4 to b
		a kill
		a says 5 to b
		a gets error a5
		b shows m1 a>b 1
		a gets delivered a1
		b shows m2 a>b 2 path=relayed
		a gets failed a2
		b shows m3 a>b 3
		b kill
		b shows m3 a>b 3
		b shows m4 a>b 4`)
	expect(t, v, nil)
	got := fmt.Sprintf("accepted %d, shown %d, delivered %d, failed %d, unknown %d, of these shown %d, refused %d, shown though failed %d, open %d, repeated %d, %v, %v, %v",
		v.accepted, v.shown, v.delivered, v.failed, v.unknown, v.unknownShown, v.refused, v.shownFailed, v.open, v.repeated, v.paths, v.failures, v.refusals)
	const want = "accepted 3, shown 3, delivered 1, failed 1, unknown 1, of these shown 1, refused 1, shown though failed 1, open 1, repeated 1, map[direct:3 relayed:1], map[some:1], map[some:1]"
	if got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
}

// A broadcast that was not shown tells why nobody is to blame.
func TestJudgeAbsent(t *testing.T) {
	v := told(t, `
		wait 6s
		c dies
		wait 1s
		a says 1 to *
		a gets sent a1 m1
		b shows m1 a>* 1
		wait 1s
		c starts
		wait 1s
		a says 2 to *
		a gets sent a2 m2
		b shows m2 a>* 2
		wait 6s`)
	expect(t, v, nil)
	if v.broadcasts != 2 || v.broadcastsShown != 2 || v.away != 1 || v.excused != 1 {
		t.Errorf("%d broadcasts, %d shown, %d not as the receiver was away, %d else", v.broadcasts, v.broadcastsShown, v.away, v.excused)
	}
}
