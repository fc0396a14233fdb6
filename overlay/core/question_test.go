package core

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/detect"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// TestQuestions: the answers to questions, over whatever link they come.
func TestQuestions(t *testing.T) {
	question := func(identity uint64, id string, epoch uint64, seq uint32) *pb.Routed {
		key := testIdentity(identity).Key()
		return routedFrom("a", &pb.Routed{Content: &pb.Routed_Question{Question: &pb.Question{Subject: key[:], Id: id, Epoch: epoch, Seq: seq}}})
	}
	about := question(5, "subject", 1000, 0)
	for _, test := range []struct {
		name   string
		before func(*watcher)
		asks   *pb.Routed
		want   string // "fresh", "quiet", "" for no answer
	}{
		{"heard just now", func(w *watcher) { w.pass(5 * time.Second) }, about, "fresh"},
		{"not heard lately", func(w *watcher) { w.quiet(link.FreshWithin + 100*time.Millisecond) }, about, "quiet"},
		{"silent", func(w *watcher) { w.quiet(link.QuietAfter + tickEvery) }, about, "quiet"},
		{"ourselves", nil, question(0, "self", 1000, 0), "fresh"},
		{"an earlier state", nil, question(5, "subject", 1000, 1), ""},
		{"another run", nil, question(5, "subject", 999, 0), ""},
		{"unknown", nil, question(77, "seventy", 1000, 0), ""},
		{"another key", nil, question(77, "subject", 1000, 0), ""},
		{"left", func(w *watcher) {
			w.receive(w.links["b"], propagation(say(pb.AnnouncementType_LEAVE, 5, "subject", 1000, 0)))
		}, about, ""},
		{"in doubt", func(w *watcher) {
			w.quiet(link.QuietAfter + tickEvery)
			w.c.Step(w.now, Slept{For: time.Minute})
		}, about, ""},
	} {
		w := watching(t)
		if test.before != nil {
			test.before(w)
		}
		w.receive(w.links["a"], proto.Clone(test.asks).(*pb.Routed))
		if got := w.answers("a"); got != test.want {
			t.Errorf("%s: answers %q, not %q", test.name, got, test.want)
		}
	}
}

// answers is the answer to a peer in the frames of the last input: "fresh", "quiet" or nothing.
func (r *rig) answers(to string) string {
	said := ""
	for _, m := range r.frames() {
		a := m.GetRouted().GetAnswer()
		switch {
		case a == nil || m.GetRouted().GetTo() != to:
		case a.GetFresh():
			said += "fresh"
		default:
			said += "quiet"
		}
	}
	return said
}

// TestQuestionWithoutLink: a question about a peer without a link starts a probe of our own, by
// pings and a dial, and all that have asked get the outcome.
func TestQuestionWithoutLink(t *testing.T) {
	for _, test := range []struct {
		name string
		pong func(*pb.Ping) *pb.Ping
		want string
	}{
		{"no pong", nil, "quiet"},
		{"a pong", func(p *pb.Ping) *pb.Ping { return p }, "fresh"},
		{"another's pong", func(p *pb.Ping) *pb.Ping { p.Number++; return p }, "quiet"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := watching(t)
			w.receive(w.links["b"], propagation(say(pb.AnnouncementType_JOIN, 7, "far", 10, 0)))
			key := testIdentity(7).Key()
			asks := func(from certs.ID) {
				w.receive(w.links[from], routedFrom(from, &pb.Routed{Content: &pb.Routed_Question{
					Question: &pb.Question{Subject: key[:], Id: "far", Epoch: 10},
				}}))
				if w.answers(string(from)) != "" {
					t.Errorf("answers %s at once", from)
				}
			}
			asks("a")
			asks("c")
			asks("c")
			w.pass(2 * tickEvery)
			var pings []*pb.Routed
			for i, m := range w.frames() {
				if r := m.GetRouted(); r.GetPing() != nil && r.GetTo() == "far" {
					pings = append(pings, r)
					if w.out.Frames[i].Link != w.links["b"] {
						t.Error("does not ping over the known route")
					}
				}
			}
			if len(pings) != 1 || certs.PublicKey(pings[0].GetPing().GetKey()) != key {
				t.Fatalf("pings %v", pings)
			}
			if test.pong != nil {
				w.receive(w.links["b"], &pb.Routed{
					From: "far", To: "self", Passed: []string{"far", "b"}, Parents: []byte{0, 0},
					Content: &pb.Routed_Pong{Pong: test.pong(pings[0].GetPing())},
				})
			}
			got := map[string]string{"a": w.answers("a"), "c": w.answers("c")}
			for range 20 {
				w.pass(tickEvery)
				got["a"], got["c"] = got["a"]+w.answers("a"), got["c"]+w.answers("c")
			}
			if got["a"] != test.want || got["c"] != test.want {
				t.Errorf("answers %v", got)
			}
		})
	}
}

// TestProbesAreBounded: the number of probes is limited, however many peers fall silent at once.
func TestProbesAreBounded(t *testing.T) {
	r := newRig(t, func(c *base.Config) { c.Members = manyMembers(2 * detect.MaxProbes) })
	l := r.neighbour(1, "one")
	for i, e := range slices.Clone(r.c.table.Entries) {
		if e.Record.ID == "one" || e == r.c.table.Self {
			continue
		}
		key := e.Record.Key
		r.receive(l, routedFrom("one", &pb.Routed{Content: &pb.Routed_Question{
			Question: &pb.Question{Subject: key[:], Id: string(e.Record.ID), Epoch: e.Record.Epoch},
		}}))
		if len(r.c.probes.List) > detect.MaxProbes {
			t.Fatalf("%d probes after %d questions", len(r.c.probes.List), i)
		}
	}
	for i := range 2 * detect.MaxAskers {
		key := r.c.probes.List[0].Subject.Record.Key
		r.receive(l, &pb.Routed{
			From: fmt.Sprint("asker-", i), To: "self", Passed: []string{fmt.Sprint("asker-", i), "one"}, Parents: []byte{0, 0},
			Content: &pb.Routed_Question{Question: &pb.Question{
				Subject: key[:], Id: string(r.c.probes.List[0].Subject.Record.ID), Epoch: r.c.probes.List[0].Subject.Record.Epoch,
			}},
		})
	}
	if n := len(r.c.probes.List[0].Askers); n > detect.MaxAskers {
		t.Errorf("%d askers", n)
	}
}
