package edit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"quicpeer/certs"
)

// Bounds of what is kept of what was typed, guesses.
const (
	maxInputs     = 1000    // lines
	maxInput      = 4 << 10 // bytes of one; a longer one is not kept
	maxInputsFile = 8 << 20 // bytes of the file; of a longer one the end is read
)

// Inputs is what was typed before, in a file that several chats share. A line that holds a ticket is
// not kept.
type Inputs struct {
	mu    sync.Mutex
	path  string // empty: in memory only
	torn  bool   // the file does not end with a line end
	lines []string
}

// OpenInputs reads the file at path, if there is one. A line that can't be read is left out: an error is about
// the file, and lines are then kept in memory only. An empty path means that, too.
func OpenInputs(path string) (*Inputs, error) {
	in := &Inputs{path: path}
	if path == "" {
		return in, nil
	}
	if err := in.load(); err != nil {
		in.path = ""
		return in, fmt.Errorf("what was typed before: %w", err)
	}
	return in, nil
}

// load reads the file, and makes it shorter if it is long.
func (in *Inputs) load() error {
	f, err := os.OpenFile(in.path, os.O_RDWR|os.O_CREATE, 0o600) // to write, too, lest it wait for the other end of a pipe
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file; move it away", in.path)
	case info.Mode().Perm()&0o077 != 0:
		_ = f.Chmod(0o600) // of another owner: nothing that can be done
	}
	b, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-maxInputsFile), maxInputsFile))
	if err != nil {
		return err
	}
	in.lines, in.torn = nil, len(b) > 0 && b[len(b)-1] != '\n'
	read := 0
	for part := range bytes.Lines(b) {
		read++
		var line string
		if len(part) <= 8*maxInput && json.Unmarshal(part, &line) == nil {
			in.remember(line)
		}
	}
	if read > 2*maxInputs || info.Size() > maxInputsFile {
		in.rewrite()
	}
	return nil
}

// rewrite leaves in the file what is kept. If that fails the old one stays.
func (in *Inputs) rewrite() {
	path, err := filepath.EvalSymlinks(in.path)
	if err != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new") // for this user alone
	if err != nil {
		return
	}
	w := bufio.NewWriter(f)
	for _, line := range in.lines {
		_, _ = w.Write(encode(line)) // Flush returns its error
	}
	if errors.Join(w.Flush(), f.Close()) == nil && os.Rename(f.Name(), path) == nil {
		in.torn = false
		return
	}
	_ = os.Remove(f.Name())
}

func encode(line string) []byte {
	b, _ := json.Marshal(line) // a string has a form
	return append(b, '\n')
}

// remember adds a line in memory, and says whether it is kept.
func (in *Inputs) remember(line string) bool {
	n := len(in.lines)
	if strings.TrimSpace(line) == "" || len(line) > maxInput || holdsTicket(line) || n > 0 && in.lines[n-1] == line {
		return false
	}
	in.lines = append(in.lines, line)
	if len(in.lines) > maxInputs {
		in.lines = in.lines[len(in.lines)-maxInputs:]
	}
	return true
}

// holdsTicket says whether a line may hold a ticket, or a part of one: in any case, with white space in it, and
// behind other letters.
func holdsTicket(line string) bool {
	line = strings.ToLower(strings.Join(strings.Fields(line), ""))
	for {
		i := strings.Index(line, "qp1")
		if i < 0 {
			return false
		}
		if line = line[i:]; certs.HideTickets(line) != line {
			return true
		}
		line = line[1:]
	}
}

// Add keeps a line. If it can't be written it is kept in memory.
func (in *Inputs) Add(line string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.remember(line) || in.path == "" {
		return
	}
	f, err := os.OpenFile(in.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	b := encode(line)
	if in.torn {
		b = append([]byte("\n"), b...)
	}
	_, err = f.Write(b) // one write, so that lines of two chats don't mix
	in.torn = err != nil
	_ = f.Close()
}

// lineBefore is the newest line older than the index i that contains a text, and its index; -1: there
// is none.
func (in *Inputs) lineBefore(i int, text string) (string, int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i = min(i, len(in.lines)) - 1; i >= 0; i-- {
		if strings.Contains(in.lines[i], text) {
			return in.lines[i], i
		}
	}
	return "", -1
}

// lineAfter is the oldest line newer than the index i; -1: there is none.
func (in *Inputs) lineAfter(i int) (string, int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if i+1 < len(in.lines) {
		return in.lines[i+1], i + 1
	}
	return "", -1
}

func (in *Inputs) count() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.lines)
}

// Browse walks through what was typed before, as Up, Down and Ctrl-R do.
type Browse struct {
	inputs *Inputs
	at     int    // the line that is shown; -1: the draft
	draft  string // what was being typed when it began

	searching bool
	needle    string
	found     string
}

// NewBrowse begins at the draft.
func NewBrowse(inputs *Inputs) *Browse { return &Browse{inputs: inputs, at: -1} }

// Older is the line before the one that is shown, in the place of current. It returns false when there
// is none.
func (b *Browse) Older(current string) (string, bool) {
	i := b.at
	if i < 0 {
		i = b.inputs.count()
	}
	line, at := b.inputs.lineBefore(i, "")
	if at >= 0 && b.at < 0 && line == current {
		line, at = b.inputs.lineBefore(at, "")
	}
	if at < 0 {
		return "", false
	}
	if b.at < 0 {
		b.draft = current
	}
	b.at = at
	return line, true
}

// Newer is the line behind the one that is shown, at last the draft. It returns false if the draft is
// shown.
func (b *Browse) Newer() (string, bool) {
	if b.at < 0 {
		return "", false
	}
	line, at := b.inputs.lineAfter(b.at)
	b.at = at
	if at < 0 {
		return b.draft, true
	}
	return line, true
}

// Reset goes back to the draft, which is empty.
func (b *Browse) Reset() { b.at, b.draft, b.searching = -1, "", false }

// AtDraft says that the draft is shown, and no line from before.
func (b *Browse) AtDraft() bool { return b.at < 0 }

// Search begins a search, or goes on to an older match.
func (b *Browse) Search(current string) {
	if !b.searching {
		b.searching, b.needle, b.found, b.at, b.draft = true, "", "", -1, current
		return
	}
	b.look(b.at)
}

// look finds a match older than the index i.
func (b *Browse) look(i int) {
	if i < 0 {
		i = b.inputs.count()
	}
	if line, at := b.inputs.lineBefore(i, b.needle); at >= 0 && b.needle != "" {
		b.found, b.at = line, at
	}
}

// Searching says whether a search goes on, for what, and the line found so far.
func (b *Browse) Searching() (needle, found string, on bool) { return b.needle, b.found, b.searching }

// Narrow adds to what is searched for; an empty text takes the last cluster away.
func (b *Browse) Narrow(s string) {
	if s == "" {
		if list := Clusters(b.needle); len(list) > 0 {
			b.needle = b.needle[:len(b.needle)-len(list[len(list)-1])]
		}
		b.found, b.at = "", -1
	}
	b.needle += clean(s)
	if b.found == "" || !strings.Contains(b.found, b.needle) {
		b.found = ""
		b.look(b.at)
	}
}

// Accept ends a search with what was found, Abort with what was being typed.
func (b *Browse) Accept() string {
	if b.found == "" {
		return b.Abort()
	}
	b.searching = false
	return b.found
}

// Abort is explained at Accept.
func (b *Browse) Abort() string {
	b.searching, b.at = false, -1
	return b.draft
}
