package linestest

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// Files are files without a disk: everything is offered but what is called missing, a link is skipped, and the test
// supplies the other events.
type Files struct {
	Tell    func(overlay.Event)                 // gets what the calls cause; may be nil
	Answers func(overlay.Event) []overlay.Event // of Handle; may be nil
	All     []string                            // the answer of Names

	self certs.ID
	mu   sync.Mutex
	list []files.Transfer
	done []string
}

// Files are those of the node.
func (n *Node) Files() lines.Files { return &n.Shared }

// Add adds a transfer, as if it were offered, and returns its number.
func (f *Files) Add(t files.Transfer) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.File, t.Message = len(f.list)+1, overlay.MessageID{14: 1, 15: byte(len(f.list) + 1)}
	f.list = append(f.list, t)
	return t.File
}

// Done returns what was asked of the files.
func (f *Files) Done() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.done)
}

func (f *Files) tell(e overlay.Event) {
	if f.Tell != nil {
		f.Tell(e)
	}
}

func (f *Files) Offer(ctx context.Context, to certs.ID, s files.Source, ref string) (files.Transfer, error) {
	switch {
	case ctx.Err() != nil:
		return files.Transfer{}, ctx.Err()
	case to == f.self:
		return files.Transfer{}, overlay.ErrToSelf
	case slices.Contains(s.Paths, "missing"):
		return files.Transfer{}, fmt.Errorf("missing: %w", fs.ErrNotExist)
	}
	what := fmt.Sprintf("offer %s %q", to, s.Paths)
	if s.As != "" {
		what += " as " + s.As
	}
	if s.Note != "" {
		what += " note " + s.Note
	}
	if s.Temporary {
		what += " temporary"
	}
	name := s.As
	if name == "" {
		name = s.Paths[0][strings.LastIndex(s.Paths[0], "/")+1:]
	}
	t := files.Transfer{Ours: true, From: f.self, To: to, Name: name, Size: 2_300_000, Files: len(s.Paths), Names: []string{name}, State: files.StateOffered, How: overlay.PathDirect}
	t.File = f.Add(t)
	f.mu.Lock()
	t = f.list[t.File-1]
	f.mu.Unlock()
	var skipped []files.Skipped
	if name == "link" {
		skipped = []files.Skipped{{Path: "link\x1b", Why: "a link"}}
	}
	f.tell(overlay.Sent{Message: t.Message, To: to, Ref: ref, Kind: overlay.KindFile})
	f.tell(files.Offered{File: t.File, Message: t.Message, From: f.self, To: to, Name: name, Size: t.Size, Files: t.Files, Names: t.Names, Path: t.How, Skipped: skipped, Ref: ref})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, what)
	return t, nil
}

func (f *Files) Accept(file int, dir, ref string) (files.Transfer, error) {
	return f.change(file, files.StateWaiting, "accept", dir, ref)
}

func (f *Files) Cancel(file int) (files.Transfer, error) {
	t, err := f.change(file, files.StateCancelled, "cancel", "", "")
	if err == nil {
		f.tell(files.Ended{File: file, Name: t.Name, Error: "cancelled", Cancelled: true})
	}
	return t, err
}

func (f *Files) change(file int, to files.State, what, dir, ref string) (files.Transfer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if file < 1 || file > len(f.list) {
		return files.Transfer{}, files.ErrUnknownFile
	}
	t := &f.list[file-1]
	switch {
	case t.State.Over():
		return files.Transfer{}, files.ErrOver
	case what == "accept" && t.Ours:
		return files.Transfer{}, files.ErrOurs
	}
	f.done = append(f.done, strings.TrimSpace(fmt.Sprintf("%s %d %s", what, file, dir)))
	t.State, t.Dir = to, dir
	return *t, nil
}

func (f *Files) Transfers() []files.Transfer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list)
}

func (f *Files) Names(ctx context.Context, file int) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if file < 1 || file > len(f.list) {
		return nil, files.ErrUnknownFile
	}
	return f.All, ctx.Err()
}

// Handle answers with what the test says.
func (f *Files) Handle(e overlay.Event) []overlay.Event {
	if f.Answers == nil {
		return nil
	}
	return f.Answers(e)
}
