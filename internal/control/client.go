package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"quicpeer/overlay/files"
)

// Client asks a running peer.
type Client struct {
	http *http.Client
	path string
}

// Find returns a client of the peer of a state directory; with none, of the only peer that runs.
func Find(ctx context.Context, stateDir string, getenv func(string) string) (*Client, error) {
	if stateDir == "" {
		return findOnly(ctx, getenv)
	}
	path, err := readPath(stateDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &NoPeerError{stateDir}
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("this user may not read the state directory %s: ask its peer as the user who runs it", stateDir)
	case err != nil:
		return nil, err
	}
	dir := filepath.Dir(path)
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &NoPeerError{stateDir}
	case err != nil:
		return nil, err
	case !isOurs(info):
		return nil, fmt.Errorf("the socket of the peer would be in %s, which belongs to another user: ask the peer as the user who runs it, or if none runs, remove %s", dir, filepath.Join(stateDir, pathFile))
	case !info.IsDir() || !isPrivate(info):
		return nil, fmt.Errorf("the socket of the peer would be in %s, which is not a directory of yours alone: if no peer runs, remove %s", dir, filepath.Join(stateDir, pathFile))
	}
	c := newClient(path, nil)
	if err := c.knock(ctx); err != nil {
		if isGone(err) {
			return nil, &NoPeerError{stateDir}
		}
		return nil, err
	}
	return c, nil
}

func findOnly(ctx context.Context, getenv func(string) string) (*Client, error) {
	var found []*Client
	for _, dir := range socketDirs(getenv) {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() || !isOurs(info) || !isPrivate(info) {
			continue // what lies there may be another user's
		}
		sockets, _ := filepath.Glob(filepath.Join(dir, "*.sock")) // the pattern is well formed
		for _, path := range sockets {
			if c := newClient(path, nil); c.knock(ctx) == nil {
				found = append(found, c)
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, &NoPeerError{}
	case 1:
		return found[0], nil
	}
	e := &SeveralError{}
	for _, c := range found {
		if id, err := c.ID(ctx); err == nil {
			e.IDs = append(e.IDs, id)
		}
		c.Close()
	}
	slices.Sort(e.IDs)
	return nil, e
}

// newClient returns a client whose connections, if one breaks, close body.
func newClient(path string, body io.Closer) *Client {
	c := &Client{path: path}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
			if err == nil && body != nil {
				conn = &breakable{conn, body}
			}
			return conn, err
		},
		DisableCompression: true,
		IdleConnTimeout:    idlePatience / 2, // before the server closes them, which a request may meet
	}}
	return c
}

// breakable is a connection that closes the body of its request when it breaks. The transport
// reports that only after the body has ended, which is not before the next line is typed.
type breakable struct {
	net.Conn
	body io.Closer
}

func (b *breakable) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if err != nil {
		_ = b.body.Close()
	}
	return n, err
}

// knock says whether a peer listens. It keeps no connection: the server closes one on which nothing is said.
func (c *Client) knock(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.path)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// Close ends the connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) do(ctx context.Context, method, path string, q url.Values, body io.Reader, accept string) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "quicpeer", Path: path, RawQuery: q.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", accept)
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%w (%w)", ErrBroken, err)
		}
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		var why Refused
		if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&why); err != nil || why.Problem == "" {
			return nil, fmt.Errorf("the peer has answered %s: is it of another version?", resp.Status)
		}
		return nil, &why
	}
	return resp, nil
}

// Ask asks for one answer: JSON, or text for people.
func (c *Client) Ask(ctx context.Context, path string, q url.Values, text bool) ([]byte, error) {
	accept := "application/json"
	if text {
		accept = "text/plain"
	}
	resp, err := c.do(ctx, http.MethodGet, path, q, nil, accept)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w (%w)", ErrBroken, err)
	}
	return b, err
}

// FileAnswer is what an answer has of a transfer.
type FileAnswer struct {
	File      int
	From      string
	To        string
	Peer      string
	Name      string
	Size      int64
	Bytes     int64
	Of        int64
	Rate      int64
	Left      float64 `json:"left_ms"`
	Dir       string
	Paths     []string
	Accepted  bool
	Cancelled bool
	Skipped   []files.Skipped
}

// Answer is a line of an answer in JSON.
type Answer struct {
	Event   string
	Message string
	Reason  string
	Error   string
	Code    string
	Ref     string
	ID      string
	Ticket  string
	Path    string
	How     string
	Via     string
	RTT     float64 `json:"rtt_ms"`

	Undelivered int
	FileAnswer
	Line []byte `json:"-"` // as it came
}

// Command carries out a command, and has each of the events handed over that it causes, until it is
// settled (or accepted, if untilSent), ctx ends or each returns false.
func (c *Client) Command(ctx context.Context, command map[string]any, untilSent bool, each func(Answer) bool) error {
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	q := url.Values{}
	if untilSent {
		q.Set("until", "sent")
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/commands", q, bytes.NewReader(append(line, '\n')), "application/x-ndjson")
	if err != nil {
		return err
	}
	return answers(ctx, resp.Body, each)
}

// Events has the events from a position on handed over, 0: from now on; with live those that come. If the
// history does not go back so far any more, late gets the position with which they begin.
func (c *Client) Events(ctx context.Context, from uint64, live bool, late func(first uint64), each func(Answer) bool) error {
	q := url.Values{}
	if from != 0 {
		q.Set("from", fmt.Sprint(from))
	}
	if !live {
		q.Set("follow", "false")
	}
	resp, err := c.do(ctx, http.MethodGet, "/v1/events", q, nil, "application/x-ndjson")
	if err != nil {
		return err
	}
	if first, err := strconv.ParseUint(resp.Header.Get(firstHeader), 10, 64); err == nil {
		late(first)
	}
	return answers(ctx, resp.Body, each)
}

// answers reads lines of an answer to its end.
func answers(ctx context.Context, body io.ReadCloser, each func(Answer) bool) error {
	defer body.Close()
	r := bufio.NewReaderSize(body, 64<<10)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		var a Answer
		if err == nil {
			err = json.Unmarshal(line, &a)
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w (%w)", ErrBroken, err)
		}
		if a.Line = line; !each(a) {
			return nil
		}
	}
}

// Chat is the chat of the peer for a terminal that looks as q says: what it prints. Each line of
// typed, which it closes, is a [Typed].
func (c *Client) Chat(ctx context.Context, q url.Values, typed io.ReadCloser) (io.ReadCloser, error) {
	resp, err := newClient(c.path, typed).do(ctx, http.MethodPost, "/v1/chat", q, typed, "text/plain")
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Terminal is the chat of the peer on a terminal that looks as q says. Each line of typed, which it closes, is
// a [FromTerminal]; each gets what is to be done.
func (c *Client) Terminal(ctx context.Context, q url.Values, typed io.ReadCloser, each func(ToTerminal) error) error {
	resp, err := newClient(c.path, typed).do(ctx, http.MethodPost, "/v1/terminal", q, typed, "application/x-ndjson")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	for {
		var f ToTerminal
		switch err := d.Decode(&f); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := each(f); err != nil {
			return err
		}
	}
}

// ID is that of the peer.
func (c *Client) ID(ctx context.Context) (string, error) {
	var status struct{ ID string }
	b, err := c.Ask(ctx, "/v1/status", nil, false)
	if err == nil {
		err = json.Unmarshal(b, &status)
	}
	return status.ID, err
}

// IDs are those of the peers that it knows.
func (c *Client) IDs(ctx context.Context) (ids []string, err error) {
	var table struct{ Peers []struct{ ID string } }
	b, err := c.Ask(ctx, "/v1/peers", nil, false)
	if err == nil {
		err = json.Unmarshal(b, &table)
	}
	for _, p := range table.Peers {
		ids = append(ids, p.ID)
	}
	return ids, err
}

// Waiting are the IDs of the messages that have no receipt.
func (c *Client) Waiting(ctx context.Context) (ids []string, err error) {
	err = c.Command(ctx, map[string]any{"cmd": "outgoing"}, false, func(a Answer) bool {
		var list struct{ Messages []struct{ Message string } }
		if json.Unmarshal(a.Line, &list) == nil {
			for _, m := range list.Messages {
				ids = append(ids, m.Message)
			}
		}
		return true
	})
	return ids, err
}

// StateDir is where the peer keeps its state.
func (c *Client) StateDir(ctx context.Context) (string, error) {
	var status struct {
		StateDir string `json:"state_dir"`
	}
	b, err := c.Ask(ctx, "/v1/status", nil, false)
	if err == nil {
		err = json.Unmarshal(b, &status)
	}
	return status.StateDir, err
}

// Files are the numbers and names of the transfers of which wanted says so.
func (c *Client) Files(ctx context.Context, wanted func(files.State, bool) bool) (list []string, err error) {
	var answer struct {
		Files []struct {
			File  int
			Name  string
			Ours  bool
			State files.State
		}
	}
	b, err := c.Ask(ctx, "/v1/files", nil, false)
	if err == nil {
		err = json.Unmarshal(b, &answer)
	}
	for _, f := range answer.Files {
		if wanted(f.State, f.Ours) {
			list = append(list, fmt.Sprintf("%d\t%s", f.File, f.Name))
		}
	}
	return list, err
}
