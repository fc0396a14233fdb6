package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/internal/terminal"
	"quicpeer/overlay/files"
)

// sending is what quicpeer file send is asked for.
type sending struct {
	to         string
	paths      []string
	name, note string
	wait       time.Duration
	noWait     bool
}

func (s *sending) check() error {
	if err := lines.CheckReceiver(certs.ID(s.to)); err != nil {
		return usagef("%q is neither an ID nor a #room nor *: %v", lines.Excerpt(s.to), err)
	}
	if s.wait < 0 {
		return usagef("--wait=%v is negative: give a duration, such as 10m, or 0 to wait for ever", s.wait)
	}
	for i, path := range s.paths {
		switch {
		case path == "":
			return usagef("a path is empty: name a file or a directory")
		case path == "-" && len(s.paths) > 1:
			return usagef("standard input (-) is sent alone")
		case path == "-" && s.name == "":
			return usagef("standard input needs a name: --name NAME")
		case path == "-":
			return nil
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		s.paths[i] = path
	}
	if s.name != "" && len(s.paths) > 1 {
		return usagef("--name is for one path: send the others on their own")
	}
	return nil
}

// isWide says that many may take what is sent.
func (s *sending) isWide() bool { return s.to == "*" || strings.HasPrefix(s.to, "#") }

// isOf says that a transfer is what is to be sent.
func (s *sending) isOf(t standing) bool {
	return t.Ours && t.To == s.to && slices.Equal(t.Paths, s.paths) && (s.name == "" || t.Name == s.name)
}

// command is what a peer is told.
func (s *sending) command(temporary bool) map[string]any {
	c := map[string]any{"cmd": "file_send", "to": s.to, "paths": s.paths, "ref": "the offer of " + lines.Excerpt(filepath.Base(s.paths[0]))}
	if s.name != "" {
		c["name"], c["ref"] = s.name, "the offer of "+lines.Excerpt(s.name)
	}
	if s.note != "" {
		c["note"] = s.note
	}
	if temporary {
		c["temporary"] = true
	}
	return c
}

// spool copies standard input into a file that is sent, in a fresh directory below dir.
func (a filing) spool(ctx context.Context, s *sending, dir string) (string, error) {
	dir, err := files.NewTemporary(dir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "input")
	copied := make(chan error, 1)
	go terminal.Guarded(func() { copied <- copyTo(path, a.stdin) }) // a read of standard input can't be interrupted
	select {
	case err = <-copied:
	case <-ctx.Done():
		err = errors.New("interrupted, nothing was sent")
	}
	if err != nil {
		_ = os.RemoveAll(dir) // the first error counts
		return "", err
	}
	s.paths = []string{path}
	return dir, nil
}

func copyTo(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return fmt.Errorf("keeping standard input: %w", err)
	}
	return f.Close()
}
