package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
	"quicpeer/pb"
)

func TestReport(t *testing.T) {
	own, holder := certs.NewIdentity(make([]byte, 32)).Key(), certs.PublicKey{1}
	duplicate := &overlay.DuplicateIDError{ID: "bob", Own: own, Holder: holder}
	syscallError := func(errno syscall.Errno) error {
		return &net.OpError{Op: "listen", Net: "udp", Err: os.NewSyscallError("bind", errno)}
	}
	for _, test := range []struct {
		err    error
		status int
		lines  int
		want   []string
	}{
		{nil, 0, 0, nil},
		{usagef("no flag %q", "x"), 2, 1, []string{`no flag "x"`}},
		{errors.New("something"), 1, 1, []string{"quicpeer: something"}},
		{fmt.Errorf("joining: %w", duplicate), 3, 1, []string{"bob", own.String(), holder.String(), "choose another --id"}},
		{overlay.ErrStartedElsewhere, 3, 2, []string{"started elsewhere", "--state-dir"}},
		{fmt.Errorf("%w: d", overlay.ErrStateInUse), 3, 2, []string{"in use", "hint"}},
		{&overlay.UnreachableError{Failures: []string{"a:1: timeout"}, Obstacles: []overlay.Obstacle{overlay.ObstacleSilence}}, 4, 2, []string{"a:1: timeout", "firewall", "--join-timeout"}},
		{&overlay.UnreachableError{Obstacles: []overlay.Obstacle{overlay.ObstacleName}}, 4, 2, []string{"hint: is the name written right"}},
		{&overlay.UnreachableError{Obstacles: []overlay.Obstacle{overlay.ObstacleProtocol}}, 4, 2, []string{"hint: the two speak different versions"}},
		{&overlay.UnreachableError{Obstacles: []overlay.Obstacle{overlay.ObstacleSelf}}, 4, 2, []string{"hint: that is this peer itself"}},
		{&overlay.UnreachableError{Failures: []string{"a:1: let us in, and its table did not come"}, Obstacles: []overlay.Obstacle{overlay.ObstacleTable}}, 4, 2,
			[]string{"has sent the whole table", "its table did not come", "hint: a peer there lives, but is slow", "--join-timeout"}},
		{&overlay.UnreachableError{Obstacles: []overlay.Obstacle{overlay.ObstacleFull}}, 4, 2, []string{"hint: all places there are taken"}},
		{&overlay.UnreachableError{Obstacles: []overlay.Obstacle{overlay.ObstacleSelf, overlay.ObstacleName, overlay.ObstacleSilence}}, 4, 2, []string{"hint: is the name written right", "know it?; is a peer running there"}},
		{&overlay.RefusedError{Address: "a:1", Code: pb.HandshakeCode_NETWORK, Reason: "no\x1b[2J\nquicpeer: fine"}, 1, 2, []string{`no\x1b[2J\nquicpeer`, "--network"}},
		{&overlay.RefusedError{Address: "a:1", Code: pb.HandshakeCode_VERSION}, 1, 2, []string{"update"}},
		{&overlay.RefusedError{Address: "a:1", Code: pb.HandshakeCode_LEAVING}, 1, 2, []string{"another one"}},
		{&overlay.OtherNetworkError{Dir: "d", Stored: "home#k3j5", Wanted: "work"}, 2, 1, []string{`of the network "home#k3j5"`, "a second network needs another --state-dir"}},
		{&overlay.OpenStateError{Dir: "d", Network: "work"}, 2, 1, []string{`of the open network "work"`, "needs another --id"}},
		{&overlay.OtherNetworkError{Dir: "d", Wanted: "home#k3j5"}, 2, 1, []string{"a second network needs another --state-dir"}},
		{fmt.Errorf("x: %w", &overlay.NotAdmittedError{Network: "home", Reason: "this ticket has ended; ask alice for another"}), 6, 1, []string{"this ticket has ended; ask alice for another\n"}},
		{&overlay.AwayError{Address: "h:1", Reason: "its issuer is not here"}, 4, 2, []string{"the ticket can't be used now: its issuer is not here (h:1)", "hint: start again when"}},
		{&overlay.OtherIDError{Dir: "d", Stored: "alice", Wanted: "bob"}, 2, 1, []string{"--id alice", "--state-dir"}},
		{fmt.Errorf("starting: %w", &overlay.OtherNetworkError{Dir: "d", Stored: "home", Wanted: "work"}), 2, 1, []string{`of the network "home", not of the network "work"`, `--network "home"`, "another --state-dir", "remove " + filepath.Join("d", "network")}},
		{&overlay.OtherNetworkError{Dir: "d", Wanted: "work"}, 2, 1, []string{`of the network without a name, not of the network "work"`, "start without --network"}},
		{&overlay.DamagedError{Path: "d/key.pem", Err: errors.New("it is empty")}, 1, 2, []string{"d/key.pem is damaged: it is empty", "restore", "remove d to begin with a new key", "another peer"}},
		{&overlay.DamagedError{Path: "d/epoch", Err: errors.New("x")}, 1, 2, []string{"restore", "this one file"}},
		{fmt.Errorf("starting: %w", &overlay.DamagedError{Path: "d/messages.db", Err: errors.New("x")}), 1, 2, []string{"d/messages.db is damaged: x", "restore it from a backup", "move messages.db, messages.log and history away, all three", "that wait are not sent"}},
		{&overlay.DamagedError{Path: "d/history/00000000000000000001", Err: errors.New("x")}, 1, 2, []string{"d/history/00000000000000000001 is damaged: x", "restore it from a backup", "move messages.db, messages.log and history away, all three", "may be shown again"}},
		{&overlay.RemovedError{Path: "d/messages.db"}, 1, 2, []string{"d/messages.db has been removed or replaced", "put d back"}},
		{&overlay.KeyMissingError{Path: "d/key.pem"}, 1, 2, []string{"d/key.pem is missing", "restore"}},
		{&overlay.KeyExposedError{Path: "d/key.pem", Mode: 0o644}, 1, 2, []string{"0644", "chmod 600 d/key.pem"}},
		{&noHomeError{"$HOME"}, 1, 2, []string{"$HOME", "--state-dir"}},
		{&undeliveredError{count: 1}, 5, 2, []string{"1 message has", "reported as failed", "--state-dir"}},
		{&undeliveredError{count: 2, dir: "d/bob"}, 5, 2, []string{"2 messages have", "is kept in d/bob", "next start"}},
		{&refusedError{Refused: lines.Refused{Count: 1, Number: 7, Line: "/sned\x1b", Why: "no such command"}}, 1, 2, []string{`line 7 of standard input was refused (no such command): /sned\x1b`, "hint: all other lines were done"}},
		{&refusedError{Refused: lines.Refused{Count: 3, Number: 7, Line: "x", Why: "y"}, outcome: &undeliveredError{count: 2, dir: "d"}}, 1, 4, []string{"3 lines of standard input were refused, the first is line 7 (y): x", "2 messages have", "is kept in d"}},
		{&lines.OutputError{Err: syscall.EPIPE}, 1, 2, []string{"standard output"}},
		{&lines.OutputError{Err: syscall.ENOSPC}, 1, 2, []string{"disk is full"}},
		{syscallError(syscall.EADDRINUSE), 1, 2, []string{"another port"}},
		{syscallError(syscall.EADDRNOTAVAIL), 1, 2, []string{"no such address"}},
		{syscallError(syscall.EACCES), 1, 2, []string{"above 1023"}},
		{&net.DNSError{Name: "nowhere", Err: "no such host"}, 1, 2, []string{"nowhere written right"}},
		{&fs.PathError{Op: "mkdir", Path: "d", Err: syscall.ENOSPC}, 1, 2, []string{"make room"}},
		{&fs.PathError{Op: "mkdir", Path: "d", Err: syscall.EROFS}, 1, 2, []string{"read-only", "--state-dir"}},
		{&fs.PathError{Op: "mkdir", Path: "d", Err: syscall.EACCES}, 1, 2, []string{"may not write", "--state-dir"}},
		{fmt.Errorf("writing d/messages.db: %w", syscall.ENOSPC), 1, 2, []string{"writing d/messages.db: ", "make room"}},
		{fmt.Errorf("writing d/messages.db: %w", syscall.EROFS), 1, 2, []string{"read-only", "--state-dir"}},
		{fmt.Errorf("locking d/messages.db: %w", syscall.EACCES), 1, 2, []string{"may not write", "--state-dir"}},
		{&os.LinkError{Op: "rename", Old: "d/a", New: "d/b", Err: syscall.EPERM}, 1, 2, []string{"rename d/a d/b", "may not write"}},
		{&lines.OutputError{Err: &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EIO}}, 1, 1, []string{"standard output"}},
		{&fs.PathError{Op: "mkdir", Path: "d", Err: syscall.ENOTDIR}, 1, 2, []string{"mkdir d", "--state-dir"}},
	} {
		var b strings.Builder
		status := report(&b, test.err)
		if status != test.status || strings.Count(b.String(), "\n") != test.lines {
			t.Errorf("%v: status %d, %q", test.err, status, b.String())
		}
		for _, want := range test.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%v: %q lacks %q", test.err, b.String(), want)
			}
		}
	}
}

func TestUserStateDir(t *testing.T) {
	for _, test := range []struct {
		goos string
		env  []string
		want string
		err  string
	}{
		{"linux", []string{"HOME=/home/bob"}, "/home/bob/.local/state", ""},
		{"linux", []string{"HOME=/home/bob", "XDG_STATE_HOME=/s"}, "/s", ""},
		{"linux", []string{"HOME=/home/bob", "XDG_STATE_HOME=s"}, "/home/bob/.local/state", ""},
		{"linux", []string{"XDG_STATE_HOME=/s"}, "/s", ""},
		{"linux", nil, "", "$HOME"},
		{"freebsd", []string{"HOME=/home/bob"}, "/home/bob/.local/state", ""},
		{"darwin", []string{"HOME=/Users/bob", "XDG_STATE_HOME=/s"}, "/Users/bob/Library/Application Support", ""},
		{"darwin", nil, "", "$HOME"},
		{"windows", []string{"LocalAppData=/AppData"}, "/AppData", ""},
		{"windows", []string{"HOME=/home/bob"}, "", "%LocalAppData%"},
	} {
		got, err := userStateDir(test.goos, environment(test.env...))
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s %v: %q, %v", test.goos, test.env, got, err)
		}
	}
	for id, want := range map[certs.ID]string{"bob": "bob", ".": "%2E", "..": "%2E%2E", ".b.": ".b."} {
		if got := dirName(id); got != want {
			t.Errorf("%s: %s", id, got)
		}
	}
}
