package cli

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quicpeer/internal/control"
	"quicpeer/internal/lines/linestest"
	"quicpeer/internal/service"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// noPast is an empty history.
type noPast struct{}

func (noPast) First() uint64 { return 0 }
func (noPast) End() uint64   { return 0 }
func (noPast) Events(uint64) iter.Seq2[overlay.Past, error] {
	return func(func(overlay.Past, error) bool) {}
}
func (noPast) Place(string) (uint64, error)                                    { return 0, nil }
func (noPast) SetPlace(string, uint64) error                                   { return nil }
func (noPast) Messages(context.Context, overlay.Query) ([]overlay.Said, error) { return nil, nil }

// filePeer is a running peer without a network, whose files the test moves.
type filePeer struct {
	*linestest.Node
	dir    string
	getenv func(string) string
}

func startFilePeer(t *testing.T) *filePeer {
	t.Helper()
	sockets, err := os.MkdirTemp("", "qp") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	p := &filePeer{Node: linestest.New("me"), dir: t.TempDir()}
	p.getenv = environment("XDG_RUNTIME_DIR="+sockets, "TMPDIR="+sockets, "QUICPEER_STATE_DIR="+p.dir)
	running := service.New(p.Node, noPast{}, "1.0", p.dir)
	running.Use(&p.Shared)
	p.Shared.Tell = running.Tell
	var serving sync.WaitGroup
	serving.Go(running.Run)
	serving.Go(func() {
		for _, shown := range running.Output() {
			shown()
		}
	})
	<-running.Ready()
	server, err := control.Serve(control.Config{Service: running, StateDir: p.dir, Getenv: p.getenv, Log: slog.New(slog.DiscardHandler), Leave: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Close()
		p.Close()
		serving.Wait()
		os.RemoveAll(sockets)
	})
	return p
}

// run runs a command, and has events told once its file was offered or accepted.
func (p *filePeer) run(t *testing.T, args, input string, then ...overlay.Event) (out, log string, err error) {
	t.Helper()
	before := len(p.Shared.Done())
	var stdout, stderr buffer
	c := &command{args: strings.Fields(args), getenv: p.getenv, stdin: strings.NewReader(input), stdout: &stdout, stderr: &stderr, interrupt: func() {}}
	done := make(chan error)
	go func() { done <- c.run(t.Context()) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for told := false; ; {
		select {
		case err := <-done:
			return stdout.String(), stderr.String(), err
		case <-tick.C:
		}
		if !told && len(then) > 0 && len(p.Shared.Done()) > before {
			told = true
			for _, e := range then {
				p.Shared.Tell(e)
			}
		}
	}
}

func TestFileCommands(t *testing.T) {
	p := startFilePeer(t)
	p.Shared.Add(files.Transfer{From: "bob", To: "me", Name: "a\x1b", Size: 7, Files: 1, State: files.StateOffered}) // 1
	p.Shared.All = []string{"a\x1b"}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	type events = []overlay.Event
	for _, test := range []struct {
		args, out, log string
		status         int
		then           events
	}{
		{"file list", "1  from bob  a\\x1b  7 bytes  offered\n", "", 0, nil},
		{"file list 1", "a\\x1b\n", "", 0, nil},
		{"file list 9", "", "quicpeer: no file has that number", 1, nil},
		{"file send bob x", "bob has x\n", "", 0, events{files.Progress{File: 2, Name: "x", Bytes: 1, Of: 2}, files.Done{File: 2, Peer: "bob", Name: "x"}}},
		{"file send bob x --note hello", "", "quicpeer: x: x has changed\n", 1, events{files.Ended{File: 3, Name: "x", Error: "x has changed"}}},
		{"file send bob x y --no-wait", "4\n", "", 0, nil},
		{"file send #dev link", "5\n", "quicpeer: not sent: link\\x1b: a link\n", 0, nil},
		{"file send bob x --wait 50ms", "", "quicpeer: x is not there yet (bob is gone); the running peer goes on: quicpeer file list\n", 5, events{files.Waits{File: 6, Name: "x", Reason: "bob is gone"}}},
		{"file send me x", "", "quicpeer: a peer can't send to itself\n", 1, nil},
		{"file accept 1", "/d/a\\x1b\n/d/b\n", "", 0, events{files.Done{File: 1, Peer: "bob", Name: "a", Path: "/d/a\x1b", Paths: []string{"/d/a\x1b", "/d/b"}}}},
		{"file accept 1 --no-wait --dir in", "", "", 0, nil},
		{"file accept 99", "", "quicpeer: " + files.ErrUnknownFile.Error() + "\n", 1, nil},
		{"file cancel 1", "cancelled\n", "", 0, nil},
		{"file cancel 1", "", "quicpeer: " + files.ErrOver.Error() + "\n", 1, nil},
		{"file send bob - --name log.txt --no-wait", "7\n", "", 0, nil},
	} {
		out, log, err := p.run(t, test.args, "piped", test.then...)
		var end buffer
		status := report(&end, err)
		if log += end.String(); status != test.status || out != test.out || !strings.HasPrefix(log, test.log) || test.log == "" && log != "" {
			t.Errorf("%s: status %d, %q, %q", test.args, status, out, log)
		}
	}
	done := strings.Join(p.Shared.Done(), "|")
	spooled, err := filepath.Glob(filepath.Join(p.dir, "quicpeer-input-*", "input"))
	if err != nil || len(spooled) != 1 {
		t.Fatalf("%q, %v", spooled, err)
	}
	if b, err := os.ReadFile(spooled[0]); string(b) != "piped" {
		t.Errorf("%q was kept, %v", b, err)
	}
	in := func(name string) string { return filepath.Join(here, name) }
	want := strings.Join([]string{
		`offer bob ["` + in("x") + `"]`, `offer bob ["` + in("x") + `"] note hello`, `offer bob ["` + in("x") + `" "` + in("y") + `"]`, `offer #dev ["` + in("link") + `"]`, `offer bob ["` + in("x") + `"]`,
		"accept 1 " + here, "accept 1 " + in("in"), "cancel 1", `offer bob ["` + spooled[0] + `"] as log.txt temporary`,
	}, "|")
	if done != want {
		t.Errorf("done: %s\nwant: %s", done, want)
	}
}

// An interrupted command says that the peer goes on; standard input that is not taken is not kept.
func TestFileCommandsEnd(t *testing.T) {
	p := startFilePeer(t)
	ctx, interrupt := context.WithCancel(t.Context())
	var out, log buffer
	c := &command{args: strings.Fields("file send bob x --json"), getenv: p.getenv, stdin: strings.NewReader(""), stdout: &out, stderr: &log, interrupt: func() {}}
	done := make(chan error)
	go func() { done <- c.run(ctx) }()
	for tick := time.Tick(time.Millisecond); !strings.Contains(out.String(), "file_offered"); {
		<-tick
	}
	interrupt()
	if err := <-done; report(&log, err) != statusUndelivered || !strings.Contains(log.String(), "x is not there yet (it was not accepted yet); the running peer goes on") {
		t.Errorf("interrupted: %v, %q", err, log.String())
	}
	out1, log1, err := p.run(t, "file send me - --name x", "piped")
	if kept, _ := filepath.Glob(filepath.Join(p.dir, "quicpeer-input-*")); err == nil || len(kept) > 0 {
		t.Errorf("refused: %q, %q, %v, and %q is kept", out1, log1, err, kept)
	}
	r, w := io.Pipe()
	defer w.Close()
	ctx, interrupt = context.WithCancel(t.Context())
	interrupt()
	a := filing{&asking{command: &command{stdin: r}}}
	s := sending{paths: []string{"-"}}
	if dir, err := a.spool(ctx, &s, p.dir); err == nil {
		t.Errorf("interrupted: %s", dir)
	}
	r.Close()
}

func TestFileCommandsRefuse(t *testing.T) {
	for args, want := range map[string]string{
		"file":                                       "it is quicpeer file send, receive, list, accept or cancel",
		"file send":                                  "it is quicpeer file send TO PATH...",
		"file send bob":                              "it is quicpeer file send TO PATH...",
		"file send b/b x":                            "neither an ID nor a #room nor *",
		"file send bob - --no-wait":                  "standard input needs a name: --name NAME",
		"file send bob x - --name y":                 "standard input (-) is sent alone",
		"file send bob x y --name z":                 "--name is for one path",
		"file send bob x --wait=-1s":                 "negative",
		"file send bob x --join nonsense":            `--join="nonsense" is not HOST:PORT`,
		"file send * x -join localhost:5":            "start one that stays",
		"file send bob x -join localhost:5 -no-wait": "start one that stays",
		"file send bob - --name x --join -":          "can't be both the ticket and what is sent",
		"file accept":                                "it is quicpeer file accept N",
		"file accept x":                              `"x" is not the number of a file`,
		"file accept 0":                              `"0" is not the number of a file`,
		"file list x":                                `"x" is not the number of a file`,
		"file receive x":                             "it is quicpeer file receive",
		"file receive --from b/b":                    `--from="b/b" is not a valid ID`,
		"--accept-files sometimes":                   `--accept-files="sometimes" can't be used`,
		"--upload-limit fast":                        "--upload-limit:",
		"--join x:1 file send bob x":                 "--join is for starting a peer",
	} {
		var out, log buffer
		c := &command{args: strings.Fields(args), getenv: environment(), stdin: strings.NewReader(""), stdout: &out, stderr: &log, interrupt: func() {}}
		err := c.run(t.Context())
		if _, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), want) || out.String() != "" {
			t.Errorf("%s: %v, %q", args, err, out.String())
		}
	}
}

func TestFileOptions(t *testing.T) {
	o, err := parseOptions(strings.Fields("--accept-files from=bob;max=2M --upload-limit 500K"), environment("QUICPEER_DOWNLOAD_LIMIT=1m"))
	if err != nil || len(o.files.accept.From) != 1 || o.files.accept.Max != 2<<20 || o.files.upload != 500<<10 || o.files.download != 1<<20 {
		t.Errorf("%+v, %v", o.files, err)
	}
}
