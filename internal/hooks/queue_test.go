package hooks

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"quicpeer/overlay"
)

func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		q := NewQueue(slog.New(slog.NewTextHandler(&logs, nil)))
		var got []string
		for i := range maxQueue + 3 {
			q.Add(overlay.Message{Body: strconv.Itoa(i)})
		}
		next := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for m := range q.All() {
				got = append(got, m.Body)
				<-next
			}
		}()
		for range maxQueue {
			next <- struct{}{}
		}
		synctest.Wait()
		q.Add(overlay.Message{Body: "later"}) // the reader has it, and waits with it
		synctest.Wait()
		if len(got) != maxQueue+1 || got[maxQueue-1] != strconv.Itoa(maxQueue-1) || got[maxQueue] != "later" {
			t.Errorf("got %d: %v", len(got), got)
		}
		large := strings.Repeat("x", 1<<20)
		for range maxQueueBytes>>20 + 2 {
			q.Add(overlay.Message{Body: large})
		}
		close(next)
		synctest.Wait()
		if n := len(got) - maxQueue - 1; n != maxQueueBytes>>20 {
			t.Errorf("%d large ones", n)
		}
		q.Close()
		q.Add(overlay.Message{})
		<-done
		if text := logs.String(); strings.Count(text, "for some messages\" messages=3") != 1 || !strings.Contains(text, "last messages\" messages=2") {
			t.Errorf("log: %s", logs.String())
		}
	})
}
