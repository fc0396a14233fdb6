package overlay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// data are bodies that no text can have.
func data() [][]byte {
	return [][]byte{{}, {0xff}, []byte("\x00\xfe text"), []byte(strings.Repeat("\xff\x00", 50<<10)), []byte(strings.Repeat("\x80", MaxBody))}
}

// sendData sends data and texts by turns, and returns what is to arrive.
func (p *peer) sendData(to ID, bodies [][]byte) (want []string) {
	p.t.Helper()
	for i, body := range bodies {
		if _, err := p.SendBytes(p.t.Context(), to, body, fmt.Sprint(i)); err != nil {
			p.t.Fatal(err)
		}
		p.send(to, "text")
		want = append(want, string(body), "text")
	}
	return want
}

// checkData checks that messages are data or text as they were sent, by turns.
func (p *peer) checkData() {
	p.t.Helper()
	for i, m := range all[Message](p) {
		if m.Binary != (i%2 == 0) {
			p.t.Errorf("message %d of %d bytes is data: %v", i, len(m.Body), m.Binary)
		}
	}
}

// TestSendBytes: any bytes arrive as they are, in their order among texts: over a connection, over
// others, and by others that keep them while sender and receiver take turns; also when both are
// restarted meanwhile.
func TestSendBytes(t *testing.T) {
	t.Run("direct", func(t *testing.T) {
		simulate(t, func(t *testing.T, w *world) {
			peers := w.network("alice", "bob")
			peers[1].awaitBodies(time.Minute, "alice", peers[0].sendData("bob", data())...)
			peers[1].checkData()
			if _, err := peers[0].SendBytes(t.Context(), "bob", make([]byte, MaxBody+1), ""); !errors.Is(err, ErrTooLong) {
				t.Errorf("too long: %v", err)
			}
			if _, err := peers[0].SendBytes(t.Context(), "alice", nil, ""); !errors.Is(err, ErrToSelf) {
				t.Errorf("to itself: %v", err)
			}
		})
	})
	t.Run("over others", func(t *testing.T) {
		simulate(t, func(t *testing.T, w *world) {
			peers := w.line("alice", "carol", "bob")
			peers[2].awaitBodies(time.Minute, "alice", peers[0].sendData("bob", data())...)
			peers[2].checkData()
			if m := all[Message](peers[2])[0]; m.Path != PathRelayed {
				t.Errorf("it came %s", m.Path)
			}
		})
	})
	t.Run("letters", func(t *testing.T) {
		simulate(t, func(t *testing.T, w *world) {
			w.older = "carol" // knows of no links over others
			peers := w.line("alice", "carol", "bob")
			peers[2].awaitBodies(time.Minute, "alice", peers[0].sendData("bob", data())...)
			peers[2].checkData()
		})
	})
	t.Run("kept by others", func(t *testing.T) {
		simulate(t, func(t *testing.T, w *world) {
			w.keeping("alice", "bob")
			w.start("carol")
			alice, bob := w.start("alice", "carol"), w.start("bob", "carol")
			alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 2 })
			w.leave(bob)
			awaitEvent(alice, time.Second, func(l PeerLeft) bool { return l.ID == "bob" })
			want := alice.sendData("bob", data()[:3])
			w.leave(alice)
			time.Sleep(time.Hour)
			bob = w.start("bob", "carol")
			bob.awaitBodies(5*time.Second, "alice", want...)
			bob.checkData()
		})
	})
	t.Run("after a restart of the sender", func(t *testing.T) {
		simulate(t, func(t *testing.T, w *world) {
			w.keeping("alice")
			alice := w.start("alice")
			want := alice.sendData("bob", data())
			waiting := alice.Waiting()[0]
			cancelled, err := alice.SendBytes(t.Context(), "bob", []byte("\xffnot this"), "")
			if err != nil {
				t.Fatal(err)
			}
			alice.cancel(cancelled)
			w.kill(alice)
			alice = w.start("alice")
			if now := alice.Waiting()[0]; now.Count != waiting.Count || now.Bytes != waiting.Bytes {
				t.Errorf("after the restart %+v waits, before it %+v", now, waiting)
			}
			if o := alice.Outgoing(); o[len(o)-1].Binary != true || o[len(o)-2].Binary {
				t.Errorf("on its way: %v, %v", o[len(o)-1].Binary, o[len(o)-2].Binary)
			}
			bob := w.start("bob", "alice")
			bob.awaitBodies(time.Minute, "alice", want...)
			bob.checkData()
			alice.eventually(10*time.Second, "nothing waits", func() bool { return len(alice.Waiting()) == 0 })
		})
	})
}

// TestTextOnly: a peer whose version knows only texts gets no data, whether that is known when it is
// sent, or learned when the peer comes; texts behind it arrive. Once it runs a newer version it takes
// data.
func TestTextOnly(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("bob")
		alice := w.start("alice")
		if _, err := alice.SendBytes(t.Context(), "bob", []byte("\xff"), "early"); err != nil {
			t.Fatal(err)
		}
		alice.send("bob", "a text")
		w.older = "bob"
		bob := w.start("bob", "alice")
		if f := awaitEvent(alice, 2*time.Second, func(Failed) bool { return true }); f.Ref != "early" || f.Error != ErrTextOnly.Error() {
			t.Errorf("failed: %+v", f)
		}
		bob.awaitBodies(2*time.Second, "alice", "a text")
		if _, err := alice.SendBytes(t.Context(), "bob", nil, ""); !errors.Is(err, ErrTextOnly) {
			t.Errorf("while it is here: %v", err)
		}
		talk(alice, bob)
		w.leave(bob)
		awaitEvent(alice, 2*time.Second, func(PeerLeft) bool { return true })
		if _, err := alice.SendBytes(t.Context(), "bob", nil, ""); !errors.Is(err, ErrTextOnly) {
			t.Errorf("when it has gone: %v", err)
		}
		w.older = ""
		bob = w.start("bob", "alice")
		alice.eventually(2*time.Second, "bob is back", func() bool { return slices.Contains(alice.here(), "bob") })
		if _, err := alice.SendBytes(t.Context(), "bob", []byte("\xfe"), ""); err != nil {
			t.Errorf("once it is newer: %v", err)
		}
		bob.awaitBodies(2*time.Second, "alice", "\xfe")
	})
}

// serve answers each request to a peer by "re: " and its body.
func (p *peer) serve() {
	done := make(chan struct{})
	p.done = done
	go func() {
		defer close(done)
		for e := range p.Events() {
			if m, ok := e.(Message); ok && m.WantsReply {
				reply := m.Reply
				if m.Binary {
					reply = func(ctx context.Context, body string) (MessageID, error) { return m.ReplyBytes(ctx, []byte(body)) }
				}
				if _, err := reply(p.t.Context(), "re: "+m.Body); err != nil {
					p.t.Errorf("%s: replying: %v", p.ID(), err)
				}
			}
		}
	}()
}

// TestRequest: many requests at once, every second one with data, get each its own reply, on every path;
// none of them is an event.
func TestRequest(t *testing.T) {
	for name, start := range map[string]func(w *world) (asks, serves *peer){
		"direct": func(w *world) (*peer, *peer) {
			return w.start("alice"), w.startDeaf("bob", "alice")
		},
		"over others": func(w *world) (*peer, *peer) {
			w.Cut("alice", "bob")
			w.start("carol")
			return w.start("alice", "carol"), w.startDeaf("bob", "carol")
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				alice, bob := start(w)
				bob.serve()
				alice.eventually(2*time.Second, "bob is here", func() bool { return slices.Contains(alice.here(), "bob") })
				var asking sync.WaitGroup
				for i := range 200 {
					asking.Go(func() {
						body, request := fmt.Sprint("question ", i), alice.Request
						if i%2 == 1 {
							body += "\xff"
							request = func(ctx context.Context, to ID, body string) (Message, error) {
								return alice.RequestBytes(ctx, to, []byte(body))
							}
						}
						m, err := request(within(t, 20*time.Second), "bob", body)
						if err != nil || m.Binary != (i%2 == 1) || m.Body != "re: "+body || m.From != "bob" || m.Key != bob.Key() || m.ReplyTo == (MessageID{}) {
							t.Errorf("%s: %+v, %v", body, m, err)
						}
					})
				}
				asking.Wait()
				bob.eventuallyIdle("alice")
				if n := len(all[Message](alice)); n != 0 {
					t.Errorf("%d replies are events", n)
				}
				if n := len(all[Delivered](alice)); n != 200 {
					t.Errorf("%d requests are delivered", n)
				}
			})
		})
	}
}

// TestRequestTextOnly: a peer whose version knows only texts gets no request with data, and no reply
// with any; the caller learns why.
func TestRequestTextOnly(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		early := make(chan error, 1)
		go func() {
			_, err := alice.RequestBytes(within(t, time.Minute), "bob", []byte("\xff"))
			early <- err
		}()
		synctest.Wait()
		w.older = "bob"
		bob := w.start("bob", "alice")
		if e, ok := errors.AsType[*RequestError](<-early); !ok || e.To != "bob" || e.Err.Error() != ErrTextOnly.Error() {
			t.Errorf("one that waited: %v", e)
		}
		if _, err := alice.RequestBytes(t.Context(), "bob", nil); !errors.Is(err, ErrTextOnly) {
			t.Errorf("while it is here: %v", err)
		}
		if _, err := bob.Post(t.Context(), "alice", Draft{Body: "?", WantsReply: true}); err != nil {
			t.Fatal(err)
		}
		m := awaitEvent(alice, time.Second, func(Message) bool { return true })
		if _, err := m.ReplyBytes(t.Context(), nil); !errors.Is(err, ErrTextOnly) {
			t.Errorf("a reply: %v", err)
		}
		if _, err := (Message{}).ReplyBytes(t.Context(), nil); !errors.Is(err, ErrNoRequest) {
			t.Errorf("to nothing: %v", err)
		}
	})
}

// eventuallyIdle waits until nothing of a peer waits for another one, which has given receipts for all.
func (p *peer) eventuallyIdle(to ID) {
	p.t.Helper()
	for range 100 {
		if len(p.Waiting()) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.t.Errorf("%s: what is for %s still waits: %v", p.ID(), to, p.Waiting())
}

// TestRequestWithinTheLoop: a program may ask from within its loop over Events; the receipt of the
// reply comes when the loop goes on, behind those of earlier messages.
func TestRequestWithinTheLoop(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.startDeaf("alice"), w.start("bob", "alice")
		answers := make(chan string, 1)
		alice.done = make(chan struct{})
		go func() {
			defer close(alice.done)
			for e := range alice.Events() {
				if m, ok := e.(Message); ok && m.Body == "first" {
					reply, err := alice.Request(t.Context(), "bob", "within")
					if err != nil {
						t.Error(err)
					}
					time.Sleep(time.Second)
					if n := len(all[Delivered](bob)); n != 0 {
						t.Errorf("bob has %d receipts before the loop goes on", n)
					}
					answers <- reply.Body
				}
			}
		}()
		bob.send("alice", "first")
		request := awaitEvent(bob, time.Second, func(m Message) bool { return m.WantsReply })
		if _, err := request.Reply(t.Context(), "here"); err != nil {
			t.Error(err)
		}
		if got := <-answers; got != "here" {
			t.Errorf("the reply is %q", got)
		}
		bob.eventually(2*time.Second, "both are delivered", func() bool { return len(all[Delivered](bob)) == 2 })
	})
}

// TestLateReply: when the caller has gone its reply is an event, once, and the error names the request.
// So are a second reply, one to something never asked, and one from another peer than the one that was
// asked; nobody gets these instead of the right one.
func TestLateReply(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob", "eve")
		alice, bob, eve := peers[0], peers[1], peers[2]
		_, err := alice.Request(within(t, time.Second), "bob", "slow")
		late, ok := errors.AsType[*RequestError](err)
		if !ok || !errors.Is(err, context.DeadlineExceeded) || late.To != "bob" || err.Error() != "no reply from bob: context deadline exceeded" {
			t.Fatalf("%v", err)
		}
		request := awaitEvent(bob, time.Second, func(Message) bool { return true })
		if request.ID != late.ID {
			t.Errorf("the error names %v, not %v", late.ID, request.ID)
		}
		if _, err := request.Reply(t.Context(), "at last"); err != nil {
			t.Fatal(err)
		}
		if m := awaitEvent(alice, time.Second, func(Message) bool { return true }); m.Body != "at last" || m.ReplyTo != late.ID {
			t.Errorf("the late reply is %+v", m)
		}

		reply := make(chan Message, 1)
		go func() {
			m, err := alice.Request(within(t, time.Minute), "bob", "again")
			if err != nil {
				t.Error(err)
			}
			reply <- m
		}()
		request = awaitEvent(bob, time.Second, func(m Message) bool { return m.Body == "again" })
		post := func(from *peer, body string, to MessageID) {
			t.Helper()
			if _, err := from.Post(t.Context(), "alice", Draft{Body: body, ReplyTo: to}); err != nil {
				t.Fatal(err)
			}
		}
		post(eve, "in bob's name", request.ID)
		post(bob, "to nothing", MessageID{1})
		time.Sleep(time.Second)
		post(bob, "right", request.ID)
		post(bob, "twice", request.ID)
		if m := <-reply; m.Body != "right" || m.From != "bob" {
			t.Errorf("the reply is %+v", m)
		}
		alice.awaitBodies(time.Second, "bob", "at last", "to nothing", "twice")
		alice.awaitBodies(time.Second, "eve", "in bob's name")
		bob.eventuallyIdle("alice")
	})
}

// TestRequestToTheAbsent: a request waits for its receiver like any message, with others too, and the
// reply comes to the caller that still waits; a caller that was restarted gets it as an event.
func TestRequestToTheAbsent(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		w.start("carol")
		alice, bob := w.start("alice", "carol"), w.start("bob", "carol")
		alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 2 })
		w.leave(bob)
		awaitEvent(alice, time.Second, func(l PeerLeft) bool { return l.ID == "bob" })
		reply := make(chan Message, 1)
		go func() {
			m, err := alice.Request(within(t, 3*time.Hour), "bob", "when you are back")
			if err != nil {
				t.Error(err)
			}
			reply <- m
		}()
		time.Sleep(time.Hour)
		bob = w.start("bob", "carol")
		request := awaitEvent(bob, 10*time.Second, func(Message) bool { return true })
		w.kill(bob) // and it replies in its next run
		bob = w.start("bob", "carol")
		bob.eventually(10*time.Second, "all are here", func() bool { return len(bob.here()) == 2 })
		if _, err := bob.Post(t.Context(), "alice", Draft{Body: "I am", ReplyTo: request.ID}); err != nil {
			t.Fatal(err)
		}
		if m := <-reply; m.Body != "I am" {
			t.Errorf("the reply is %+v", m)
		}

		gone := make(chan error, 1)
		go func() {
			_, err := alice.Request(t.Context(), "bob", "before the crash")
			gone <- err
		}()
		request = awaitEvent(bob, time.Second, func(m Message) bool { return m.Body == "before the crash" })
		w.kill(alice)
		if err := <-gone; !errors.Is(err, ErrClosed) {
			t.Errorf("the caller of a node that has ended gets %v", err)
		}
		if _, err := bob.Post(t.Context(), "alice", Draft{Body: "behind it", ReplyTo: request.ID}); err != nil {
			t.Fatal(err)
		}
		alice = w.start("alice", "carol")
		if m := awaitEvent(alice, time.Minute, func(Message) bool { return true }); m.Body != "behind it" || m.ReplyTo != request.ID {
			t.Errorf("after the restart it is %+v", m)
		}
		time.Sleep(10 * time.Second)
		if n := len(all[Message](alice)); n != 1 {
			t.Errorf("it is shown %d times", n)
		}
	})
}

// TestRequestFails: a caller learns at once that its request will never arrive: it was cancelled, its
// receiver refuses it. Reply answers requests alone.
func TestRequestFails(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		alice, bob := peers[0], peers[1]
		failed := make(chan error, 1)
		go func() {
			_, err := alice.Request(t.Context(), "nobody", "anyone?")
			failed <- err
		}()
		synctest.Wait()
		o := alice.Outgoing()[0]
		alice.cancel(o.Message)
		if err := <-failed; err == nil || err.Error() != "no reply from nobody: "+wasCancelled {
			t.Errorf("cancelled: %v", err)
		}
		if err := bob.Ignore("alice"); err != nil {
			t.Fatal(err)
		}
		if _, err := alice.Request(within(t, time.Minute), "bob", "do you hear me?"); err == nil || !strings.Contains(err.Error(), "does not take messages from you") {
			t.Errorf("refused: %v", err)
		}
		if _, err := alice.Request(t.Context(), "alice", ""); !errors.Is(err, ErrToSelf) {
			t.Errorf("to itself: %v", err)
		}
		if _, err := (Message{From: "bob"}).Reply(t.Context(), ""); !errors.Is(err, ErrNoRequest) {
			t.Errorf("a reply to no request: %v", err)
		}
	})
}

// TestManyRequests: so many callers may wait at once, and no more; those that give up make room.
func TestManyRequests(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		ctx, cancel := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		for range MaxRequests {
			asking.Go(func() {
				if _, err := alice.Request(ctx, "bob", "?"); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if _, err := alice.Request(ctx, "bob", "?"); !errors.Is(err, ErrManyRequests) {
			t.Errorf("one more: %v", err)
		}
		cancel()
		asking.Wait()
		if _, err := alice.Request(within(t, time.Second), "bob", "?"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("when the others have gone: %v", err)
		}
	})
}

// TestTags: all peers have a peer's tags, also one that comes later; changes are events, those of a
// moment one; a restart begins with those of Config.
func TestTags(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		cfg := w.config("bob", "alice")
		cfg.Tags = map[string]string{"role": "db"}
		n, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		bob := w.peer(n)
		bob.listen()
		changes := func(p *peer) (list []string) {
			for _, e := range all[PeerChanged](p) {
				if e.ID != "bob" || e.Rooms != nil && len(e.Rooms) == 0 {
					t.Errorf("%+v", e)
				}
				list = append(list, fmt.Sprint(e.Tags))
			}
			return list
		}
		alice.eventually(2*time.Second, "the tags are known", func() bool { return len(changes(alice)) > 0 })
		time.Sleep(2 * time.Second)
		own := bob.Tags() // of which one is changed
		own["load"] = "0"
		if err := bob.SetTags(own); err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			if err := bob.SetTags(map[string]string{"role": "<db> & \"more\"", "load": fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Second)
		carol := w.start("carol", "alice")
		carol.eventually(2*time.Second, "all are known", func() bool { return len(carol.here()) == 2 && len(changes(carol)) > 0 })
		last := map[string]string{"role": "<db> & \"more\"", "load": "49"}
		if got, want := changes(alice), []string{"map[role:db]", "map[load:0 role:db]", fmt.Sprint(last)}; !slices.Equal(got, want) {
			t.Errorf("alice had %q, not %q", got, want)
		}
		for _, p := range []*peer{alice, carol} {
			i := slices.IndexFunc(p.Peers(), func(row Peer) bool { return row.ID == "bob" })
			if row := p.Peers()[i]; !maps.Equal(row.Tags, last) || row.Rooms != nil {
				t.Errorf("the row of bob at %s is %+v", p.ID(), row)
			}
		}
		if own := bob.Tags(); !maps.Equal(own, last) {
			t.Errorf("bob's own are %v", own)
		}
		if err := bob.SetTags(nil); err != nil || bob.Tags() != nil {
			t.Fatal(err, bob.Tags())
		}
		bob.enter(inRooms{[]string{"#ops"}})
		time.Sleep(3 * time.Second)
		if e := all[PeerChanged](carol); len(e) != 3 || e[1].Tags != nil || e[1].Rooms != nil || !slices.Equal(e[2].Rooms, []string{"#ops"}) {
			t.Errorf("carol had %+v", e)
		}
	})
}

// enter has a peer be in rooms.
func (p *peer) enter(in inRooms) { ask(&p.mailbox, in) }

func TestTagsRefused(t *testing.T) {
	for name, tags := range map[string]map[string]string{
		"too long": {"a": strings.Repeat("x", MaxTags)}, "not UTF-8": {"a": "\xff"}, "a key that is not": {"\xff": "a"},
	} {
		if text, err := encodeTags(tags); err == nil {
			t.Errorf("%s: %q", name, text)
		}
		if _, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", Tags: tags}); err == nil {
			t.Errorf("%s: a node starts with it", name)
		}
	}
	most := map[string]string{"a": strings.Repeat("x", MaxTags-len(`{"a":""}`))}
	if text, err := encodeTags(most); err != nil || len(text) != MaxTags || !maps.Equal(decodeTags(text), most) {
		t.Errorf("%v, %d bytes", err, len(text))
	}
	for _, text := range []string{"", "{", "[]", `{"a":1}`, `{"a":{"b":"c"}}`, "\xff", strings.Repeat("[", MaxTags)} {
		if tags := decodeTags(text); len(tags) != 0 {
			t.Errorf("%q: %v", text, tags)
		}
	}
}
