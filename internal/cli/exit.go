package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"syscall"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/internal/control"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
	"quicpeer/pb"
)

// The exit statuses promised in README.md.
const (
	statusOK          = 0
	statusFailed      = 1
	statusUsage       = 2
	statusInUse       = 3
	statusUnreachable = 4
	statusUndelivered = 5
	statusNotAdmitted = 6
	statusNoPeer      = 7
)

// undeliveredError says that the peer has left in good order, but messages have not
// reached their receivers. They are kept in dir; if dir is empty, each has been reported
// as failed and is gone.
type undeliveredError struct {
	count int
	dir   string
}

func (e *undeliveredError) Error() string {
	if e.count == 1 {
		return "1 message has not reached its receiver"
	}
	return fmt.Sprintf("%d messages have not reached their receivers", e.count)
}

// metricsError says that the port of --metrics can't be opened.
type metricsError struct{ err error }

func (e *metricsError) Error() string { return "metrics can't be served: " + e.err.Error() }
func (e *metricsError) Unwrap() error { return e.err }

// refusedError says that lines of an input that was not typed were not executed.
type refusedError struct {
	lines.Refused
	outcome error // the result of the run otherwise
}

func (e *refusedError) Error() string {
	if e.Count == 1 {
		return fmt.Sprintf("line %d of standard input was refused (%s): %s", e.Number, e.Why, e.Line)
	}
	return fmt.Sprintf("%d lines of standard input were refused, the first is line %d (%s): %s", e.Count, e.Number, e.Why, e.Line)
}

// report writes what ended the run and what to do about it, and returns the exit status;
// nothing else decides either. Messages begin with a small letter, have no full stop, and
// show text from other peers escaped.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return statusOK
	}
	if e, ok := errors.AsType[*refusedError](err); ok {
		report(stderr, e.outcome)
	}
	status, hint := explain(err)
	_, isNoPeer := errors.AsType[*control.NoPeerError](err)
	line := "quicpeer: " + chat.OneLine(certs.HideTickets(err.Error()))
	if _, ok := errors.AsType[*overlay.DuplicateIDError](err); hint != "" && (ok || isNoPeer || status == statusUsage) {
		line += "; " + hint // on one line, so that a search through logs finds both
		hint = ""
	}
	fmt.Fprintln(stderr, line)
	if hint != "" {
		fmt.Fprintln(stderr, "quicpeer: hint: "+chat.OneLine(hint))
	}
	return status
}

// explain returns the exit status for an error, and what the user can do about it.
func explain(err error) (status int, hint string) {
	if _, ok := errors.AsType[*usageError](err); ok {
		return statusUsage, ""
	}
	if _, ok := errors.AsType[*refusedError](err); ok {
		return statusFailed, "all other lines were done; standard output says more of each"
	}
	if e, ok := errors.AsType[*undeliveredError](err); ok {
		if e.dir == "" {
			return statusUndelivered, "what was not delivered was reported as failed and is gone; with --id or --state-dir it is kept for the next start"
		}
		return statusUndelivered, "what was not delivered is kept in " + e.dir + " and sent at the next start"
	}
	if e, ok := errors.AsType[*lines.OutputError](err); ok {
		if errors.Is(e, syscall.EPIPE) {
			return statusFailed, "whoever read it has gone; a service needs a reader, such as a file"
		}
		if errors.Is(e, syscall.ENOSPC) {
			return statusFailed, "the disk is full: make room where standard output goes"
		}
		return statusFailed, ""
	}
	if e, ok := errors.AsType[*metricsError](err); ok {
		if errors.Is(e, syscall.EADDRINUSE) {
			return statusFailed, "another program listens there; choose another port with --metrics, or port 0 for a free one"
		}
		return statusFailed, "give an address of this machine and a port above 1023, such as --metrics 127.0.0.1:9464"
	}
	if status, hint := explainAsked(err); status != 0 {
		return status, hint
	}
	if status, hint := explainNetwork(err); status != 0 {
		return status, hint
	}
	if status, hint := explainState(err); status != 0 {
		return status, hint
	}
	return statusFailed, hintOfSystem(err)
}

// explainAsked explains an error of a command that asks a running peer.
func explainAsked(err error) (status int, hint string) {
	if e, ok := errors.AsType[*control.NoPeerError](err); ok {
		if e.Dir != "" {
			return statusNoPeer, "start one: quicpeer --state-dir " + e.Dir
		}
		return statusNoPeer, "start one: quicpeer --id NAME (one without an ID or a state directory can't be asked)"
	}
	if _, ok := errors.AsType[*control.SeveralError](err); ok {
		return statusUsage, "say which one with --id or --state-dir"
	}
	if _, ok := errors.AsType[*waitsError](err); ok {
		return statusUndelivered, ""
	}
	if e, ok := errors.AsType[*control.Refused](err); ok && e.Code == "bad_query" {
		return statusUsage, ""
	}
	if errors.Is(err, control.ErrBroken) {
		return statusFailed, "see its log, and whether it still runs: quicpeer status"
	}
	return 0, ""
}

func explainNetwork(err error) (status int, hint string) {
	if e, ok := errors.AsType[*overlay.DuplicateIDError](err); ok {
		return statusInUse, fmt.Sprintf("choose another --id than %s", e.ID)
	}
	if errors.Is(err, overlay.ErrStartedElsewhere) {
		return statusInUse, "the other one stays; a second peer needs an --id and a --state-dir of its own"
	}
	if e, ok := errors.AsType[*overlay.UnreachableError](err); ok {
		return statusUnreachable, obstacleHint(e.Obstacles)
	}
	if _, ok := errors.AsType[*overlay.AwayError](err); ok {
		return statusUnreachable, "start again when whoever gave the ticket is here; with --join-timeout 0 this peer waits for it"
	}
	if _, ok := errors.AsType[*overlay.NotAdmittedError](err); ok {
		return statusNotAdmitted, ""
	}
	if e, ok := errors.AsType[*overlay.RefusedError](err); ok {
		switch e.Code {
		case pb.HandshakeCode_NETWORK:
			return statusFailed, "give the --network of the peers to join"
		case pb.HandshakeCode_VERSION:
			return statusFailed, "the two speak different versions of the protocol; update the older one"
		}
		return statusFailed, "the peer there knows more: see its log (with --log-level info), or join at another one"
	}
	return 0, ""
}

// obstacleHints say what can be done when a --join peer can't be reached.
var obstacleHints = map[overlay.Obstacle]string{
	overlay.ObstacleSilence:  "is a peer running there, and does its firewall let UDP in? --join-timeout 0 tries for ever",
	overlay.ObstacleName:     "is the name written right, and does this machine's name server know it?",
	overlay.ObstacleSelf:     "that is this peer itself: name another one, or start a network without --join",
	overlay.ObstacleProtocol: "the two speak different versions of the protocol (update the older one), or are in different networks of which one is private (ask a member for a ticket)",
	overlay.ObstacleTable:    "a peer there lives, but is slow or has a fault: see its log, join at another one too, or start with a longer --join-timeout",
	overlay.ObstacleFull:     "all places there are taken: join at another peer; --join-timeout 0 tries for ever",
}

// obstacleHint joins the hints for all obstacles. This peer's own address counts only if
// it is the only one: all peers may be started with the same list.
func obstacleHint(obstacles []overlay.Obstacle) string {
	var hints []string
	for _, o := range obstacles {
		if o != overlay.ObstacleSelf || len(obstacles) == 1 {
			hints = append(hints, obstacleHints[o])
		}
	}
	return strings.Join(hints, "; ")
}

func explainState(err error) (status int, hint string) {
	if errors.Is(err, overlay.ErrStateInUse) {
		return statusInUse, "this peer is already running; a second one needs an --id and a --state-dir of its own"
	}
	if e, ok := errors.AsType[*overlay.OtherIDError](err); ok {
		return statusUsage, fmt.Sprintf("start with --id %s, or name another --state-dir", e.Stored)
	}
	if e, ok := errors.AsType[*overlay.OtherNetworkError](err); ok {
		if strings.Contains(e.Stored, "#") || strings.Contains(e.Wanted, "#") { // a private one is not a matter of its name
			return statusUsage, "a second network needs another --state-dir"
		}
		start := "without --network"
		if e.Stored != "" {
			start = fmt.Sprintf("with --network %q", e.Stored)
		}
		return statusUsage, fmt.Sprintf("start %s, or name another --state-dir; to move this one, with all that waits in it, remove %s",
			start, filepath.Join(e.Dir, "network"))
	}
	if _, ok := errors.AsType[*overlay.OpenStateError](err); ok {
		return statusUsage, ""
	}
	if e, ok := errors.AsType[*overlay.KeyExposedError](err); ok {
		return statusFailed, "if nobody has read it: chmod 600 " + e.Path + "; otherwise " + anew(e.Path)
	}
	if e, ok := errors.AsType[*overlay.KeyMissingError](err); ok {
		return statusFailed, "restore it from a backup, or " + anew(e.Path)
	}
	if e, ok := errors.AsType[*overlay.DamagedError](err); ok {
		return statusFailed, "restore it from a backup, or " + without(e.Path)
	}
	if e, ok := errors.AsType[*overlay.RemovedError](err); ok {
		return statusFailed, "the messages that waited there are gone with it; put " + filepath.Dir(e.Path) + " back before the next start, or go on without them"
	}
	if _, ok := errors.AsType[*noHomeError](err); ok {
		return statusFailed, "name a directory with --state-dir"
	}
	return 0, ""
}

// without says how to go on without a damaged file of the state directory, and what is
// lost by that.
func without(path string) string {
	switch filepath.Base(path) {
	case "key.pem":
		return anew(path)
	}
	if base := filepath.Base(path); base == "messages.db" || base == "messages.log" || base == "history" || filepath.Base(filepath.Dir(path)) == "history" {
		// One without the others counts as damage, too.
		return "move messages.db, messages.log and history away, all three: what was said is gone then, the messages that wait are not sent, and some that were shown before may be shown again"
	}
	return "remove this one file; the key and the messages stay"
}

// anew says how to go on without the key at path, and what is lost by that.
func anew(path string) string {
	return "remove " + filepath.Dir(path) + " to begin with a new key, which others will see as another peer, and without the messages that wait there"
}

// hintOfSystem explains an error of the operating system.
func hintOfSystem(err error) string {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	_, isFile := errors.AsType[*fs.PathError](err)
	_, isSocket := errors.AsType[*net.OpError](err)
	switch {
	case isDNS:
		return fmt.Sprintf("is the host %s written right?", dns.Name)
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there; choose another port with --listen, or port 0 for a free one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address; --listen :5000 listens on all it has"
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full; make room, or name another --state-dir"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only; name another --state-dir"
	case errors.Is(err, fs.ErrPermission) && isSocket:
		return "this user may not listen there; choose a port above 1023"
	case errors.Is(err, fs.ErrPermission): // also as a bare errno, when a file is mapped or locked
		return "this user may not write there; name another --state-dir"
	case errors.Is(err, context.DeadlineExceeded):
		return "it took too long; try again"
	case isFile:
		return "name another --state-dir"
	}
	return ""
}
