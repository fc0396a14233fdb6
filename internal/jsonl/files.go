package jsonl

import (
	"errors"
	"math"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"quicpeer/internal/lines"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// fileMembers are the members of commands about files.
type fileMembers struct {
	File      number   `json:"file"`
	Path      member   `json:"path"`
	Paths     texts    `json:"paths"`
	Name      member   `json:"name"`
	Note      member   `json:"note"`
	Dir       member   `json:"dir"`
	Temporary switched `json:"temporary"`
}

// given says which of them there are.
func (m *fileMembers) given() []given {
	return []given{
		{"file", m.File.given}, {"path", m.Path.given}, {"paths", m.Paths.given}, {"name", m.Name.given}, {"note", m.Note.given},
		{"dir", m.Dir.given}, {"temporary", m.Temporary.given},
	}
}

// texts are a list of strings, and may be absent.
type texts struct {
	list  []string
	given bool
}

var errNotTexts = errors.New("not a list of strings")

// UnmarshalJSONFrom accepts a list of strings only.
func (t *texts) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var list []member
	if d.PeekKind() != '[' || json.UnmarshalDecode(d, &list) != nil {
		return errNotTexts
	}
	for _, m := range list {
		t.list = append(t.list, m.text)
	}
	t.given = true
	return nil
}

// fileCommand is what a command says about files.
type fileCommand struct {
	number int  // of a transfer
	one    bool // a number was given
	source files.Source
	dir    string
}

func (m *fileMembers) command() fileCommand {
	c := fileCommand{number: int(min(m.File.value, math.MaxInt32)), one: m.File.given, dir: m.Dir.text}
	c.source = files.Source{Paths: m.Paths.list, As: m.Name.text, Note: m.Note.text, Temporary: m.Temporary.on}
	if m.Path.given {
		c.source.Paths = []string{m.Path.text}
	}
	return c
}

// fileList is the answer to commands about files: how the transfers stand.
type fileList struct {
	Files []files.Transfer `json:"files"`
	Ref   string           `json:"ref"`
}

// files carries out a command about files, except for offering them and asking for their names.
func (j *Frontend) files(n lines.Node, c command) (m lines.Message, err error) {
	m.Ref = c.Ref
	var t files.Transfer
	switch {
	case c.Cmd == "file_send" && c.file.source.Temporary && !j.Spools:
		return m, lines.Bad(`"temporary" is for the local socket: it removes the file`)
	case c.Cmd == "file_send":
		m.Offer = lines.Offer{To: c.To, Source: c.file.source}
		return m, nil
	case c.Cmd == "file_accept":
		t, err = n.Files().Accept(c.file.number, c.file.dir, c.Ref)
	case c.Cmd == "file_cancel":
		t, err = n.Files().Cancel(c.file.number)
	case !c.file.one:
		return m, write(j, "files", fileList{n.Files().Transfers(), c.Ref})
	case c.file.number == 0:
		err = files.ErrUnknownFile
	default:
		m.Names = c.file.number
		return m, nil
	}
	if err != nil {
		return m, lines.Deny(err)
	}
	return m, write(j, "files", fileList{[]files.Transfer{t}, c.Ref})
}

// Named reports all names of a transfer.
func (j *Frontend) Named(m lines.Message, t files.Transfer) error {
	return write(j, "files", fileList{[]files.Transfer{t}, m.Ref})
}

// showFiles writes an event about files.
func (j *Frontend) showFiles(event overlay.Event) error {
	switch e := event.(type) {
	case files.Offered:
		return write(j, "file_offered", e)
	case files.Progress:
		return write(j, "file_progress", e)
	case files.Waits:
		return write(j, "file_waits", e)
	case files.Done:
		return write(j, "file_done", e)
	case files.Ended:
		return write(j, "file_failed", e)
	}
	return nil // an event without a JSON form
}
