package cli

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// A reader of standard error that has stopped reading blocks nothing, and learns later how
// much was dropped.
func TestLogWriterNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		l := newLogWriter(w)
		for range maxLogLines + 10 {
			if _, err := io.WriteString(l, "line\n"); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		read := make(chan string)
		go func() {
			all, _ := io.ReadAll(r)
			read <- string(all)
		}()
		l.close()
		w.Close()
		text := <-read
		if n := strings.Count(text, "line\n"); n < maxLogLines || n > maxLogLines+1 {
			t.Errorf("%d lines were written", n)
		}
		if !strings.Contains(text, "lines of the log were dropped") {
			t.Error("nothing is said of the rest")
		}
	})
}

// Closing does not wait forever for a reader that has stopped reading.
func TestLogWriterEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		l := newLogWriter(w)
		io.WriteString(l, "line\n")
		l.close()
		r.Close() // frees the goroutine
		<-l.done
	})
}
