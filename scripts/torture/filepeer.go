package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"quicpeer/scripts/internal/harness"
)

// filePeer is a peer in the torture of files.
type filePeer struct {
	*peer
	settings
	pace  *harness.Pace
	runs  int
	asked int
	read  int64 // bytes read by its earlier processes, see total

	// The process's Look and Change guard the rest.
	seen *seen       // by the current process
	done map[int]int // file_done events of all processes, by the number of the transfer
}

// seen is the output of a process.
type seen struct {
	ready   bool
	before  int64             // bytes it had read when it became ready: its program and state
	offered map[string]string // message IDs of its own offers, by ref
	answer  string            // ref of the last answer; files are its contents
	files   []transfer
	error   string
}

// transfer is an entry of the answer to the command files.
type transfer struct {
	File    int    `json:"file"`
	Message string `json:"message"`
	State   string `json:"state"`
	Bytes   int64  `json:"bytes"`
	Error   string `json:"error"`
}

// begin starts the next process. join are addresses.
func (p *filePeer) begin(join ...string) error {
	p.runs++
	s := &seen{offered: map[string]string{}}
	p.seen = s
	return p.launch(p.settings, p.runs, join, func(running *harness.Process, line []byte) {
		var e struct {
			Event   string `json:"event"`
			Ref     string `json:"ref"`
			Message string `json:"message"`
			File    int    `json:"file"`
		}
		err := json.Unmarshal(line, &e)
		var answer struct {
			Files []transfer `json:"files"`
		}
		if e.Event == "files" {
			err = json.Unmarshal(line, &answer)
		}
		running.Change(func() {
			switch {
			case err != nil:
				s.error = fmt.Sprintf("a line can't be read: %v: %s", err, beginning(line))
			case e.Event == "ready":
				s.ready, s.before = true, bytesRead(running.Pid())
			case e.Event == "files":
				s.answer, s.files = e.Ref, answer.Files
			case e.Event == "file_offered" && e.Ref != "":
				s.offered[e.Ref] = e.Message
			case e.Event == "file_done":
				p.done[e.File]++
			case e.Event == "error" || e.Event == "file_failed":
				s.error = beginning(line)
			}
		})
	})
}

// answerPatience is how long a peer may take to answer, its start included (a guess).
const answerPatience = time.Minute

// wait waits for some output. It fails if the process reports an error of a command or a transfer, or ends.
func (p *filePeer) wait(patience time.Duration, what string, wanted func(*seen) bool) error {
	err := p.process.Wait(p.pace.In(patience), func(state harness.State) (bool, error) {
		switch {
		case wanted(p.seen):
			return true, nil
		case p.seen.error != "":
			return false, errors.New(p.seen.error)
		case state.Over:
			return false, fmt.Errorf("it has ended with status %s", state.Status)
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("%s run %d, %s: %w; its log ends:\n%s", p.name, p.runs, what, err, p.lastLines(10))
	}
	return nil
}

// order gives the process a command, and returns its ref.
func (p *filePeer) order(fields map[string]any) (ref string, err error) {
	p.asked++
	ref = strconv.Itoa(p.asked)
	fields["ref"] = ref
	line, err := json.Marshal(fields)
	if err == nil {
		err = p.process.Write(append(line, '\n'))
	}
	return ref, err
}

// offer offers the file or directory at a path, and returns the message ID.
func (p *filePeer) offer(to, path string) (message string, err error) {
	ref, err := p.order(map[string]any{"cmd": "file_send", "to": to, "path": path})
	if err != nil {
		return "", err
	}
	err = p.wait(answerPatience, "told to send "+path, func(s *seen) bool {
		message = s.offered[ref]
		return message != ""
	})
	return message, err
}

// accept accepts a transfer.
func (p *filePeer) accept(file int, dir string) error {
	ref, err := p.order(map[string]any{"cmd": "file_accept", "file": file, "dir": dir})
	if err != nil {
		return err
	}
	return p.wait(answerPatience, "told to accept", func(s *seen) bool { return s.answer == ref })
}

// transfer asks for the transfer that a message has offered; nil if the peer does not know it.
func (p *filePeer) transfer(message string) (found *transfer, err error) {
	ref, err := p.order(map[string]any{"cmd": "files"})
	if err != nil {
		return nil, err
	}
	err = p.wait(answerPatience, "asked for its files", func(s *seen) bool {
		for i := range s.files {
			if s.files[i].Message == message {
				found = &s.files[i]
			}
		}
		return s.answer == ref
	})
	return found, err
}

// doneEvents counts the file_done events of a transfer.
func (p *filePeer) doneEvents(file int) (n int) {
	p.process.Look(func() { n = p.done[file] })
	return n
}

// kill kills the process. It is frozen first, so that its count of bytes is exact.
func (p *filePeer) kill() {
	_ = p.process.Signal("freeze") // not on Windows, which has no counts either
	p.read = p.total()
	p.doomed = toBeKilled
	p.process.Kill()
	<-p.process.Gone()
}

// total is how many bytes all processes of the peer have read from files and pipes since each became ready.
func (p *filePeer) total() int64 {
	now := bytesRead(p.process.Pid())
	p.process.Look(func() {
		if now -= p.seen.before; !p.seen.ready {
			now = 0
		}
	})
	return p.read + now
}

// bytesRead is how many bytes a process has read by read(2) and the like, which UDP packets don't go through; 0 where
// there is no /proc.
func bytesRead(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(b, []byte("rchar: "))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.ParseInt(string(line), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
