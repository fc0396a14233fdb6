// Package files offers files to other peers of a node, and receives theirs.
//
// An offer is a message of the kind file, so it comes exactly once and is kept for a peer that is absent; nothing is
// hashed before it. The receiver accepts it, or [Rule] does, and pulls: it asks for the manifest (package manifest), and
// then for the contents from the first byte that it lacks. Each MiB comes with its SHA-256, is verified, written to the
// part files (package place), and its hash noted (package journal). So a transfer goes on where it was after whatever
// has happened to either side. A source that has changed meanwhile ends it.
package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/time/rate"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/overlay/terse"
)

// Config says how files are exchanged.
type Config struct {
	Node *overlay.Node
	// Dir is the directory where transfers are remembered, within the state directory; it is made. Empty: they
	// end with this run.
	Dir string
	// Accept says what is taken without asking. Its zero value asks.
	Accept Rule
	// Into is the directory in which files are received, unless Accept's Dir or a call says another one. Empty: that in
	// which the program runs.
	Into string
	// Up and Down bound the bytes a second that all transfers together send and receive, at least 16 KiB; 0: nothing does.
	Up, Down int64
	// Tell gets the events, one after the other, but for those that Handle returns. It must not wait for long, nor call
	// Close.
	Tell func(overlay.Event)
	// Log is where what people need not see goes. Nil: nowhere.
	Log *slog.Logger
}

// Errors of the calls.
var (
	ErrUnknownFile = errors.New("no file has that number: /files, or quicpeer file list, has them")
	ErrOver        = errors.New("that file is over already")
	ErrOurs        = errors.New("that is an offer of this peer")
	ErrAccepted    = errors.New("that file was accepted already")
	ErrManyOffers  = errors.New("too many offers of this peer are open: cancel some first")
	ErrNoRoom      = errors.New("there is not enough room on the disk")
)

// Source is what is offered: either Paths of the operating system, which a later run finds again, or Names in FS.
type Source struct {
	Paths []string // files and directories; a link is followed only if it is one of these
	FS    fs.FS    // its files should be an io.ReaderAt or io.Seeker
	Names []string // valid paths in FS, see fs.ValidPath
	// As is the name of the only path or name at the receiver; empty: its own.
	As string
	// Temporary: the Paths are removed when the transfer is over, as of standard input.
	Temporary bool
	Note      string // a word to the receiver, at most 1 KiB
}

// Files offers and receives the files of a node. Its methods may be called from any goroutine, but Handle by one at a
// time.
type Files struct {
	*book
	cfg    Config
	node   *overlay.Node
	own    bool // the directory of the book is of this run alone
	server server
	puller puller
	stop   context.CancelFunc
	// declining holds a token for each sender that is told that its offer is not wanted.
	declining chan struct{}
}

// Bounds, guesses.
const (
	maxPulls     = 4    // transfers that come at once; others wait
	maxServed    = 16   // streams that are served at once; others are asked to come later
	maxServedOne = 8    // of these for one receiver: it may come again before an old connection has ended
	maxReceivers = 1000 // of an offer, with what is known of them
	// rateBurst is what may come or go at once where a rate is set.
	rateBurst = 256 << 10
	// minRate is the lowest rate, in bytes a second: below it streams that share it would be taken for dead.
	minRate = 16 << 10
)

// Start begins, and goes on with what earlier runs have left. The caller passes each event of the node to [Files.Handle],
// and calls Close before that of the node. Errors: those of the directories, a limit below 16 KiB a second, and a damaged
// record, a *DamagedError of package journal: without its file the transfer is forgotten.
func Start(cfg Config) (*Files, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = terse.New(cfg.Log) // senders cause some of its lines
	for _, r := range []int64{cfg.Up, cfg.Down} {
		if r != 0 && r < minRate {
			return nil, fmt.Errorf("a limit of %d bytes a second is too low: at least %d are needed", r, minRate)
		}
	}
	b := &book{
		teller: newTeller(cfg.Tell), dir: cfg.Dir, log: cfg.Log, key: cfg.Node.Key(),
		transfers: make(map[int]*transfer), byMessage: make(map[offerKey]*transfer),
	}
	f := &Files{
		book: b, cfg: cfg, node: cfg.Node,
		server:    server{book: b, node: cfg.Node, up: limiter(cfg.Up), serves: make(map[certs.PublicKey]int)},
		declining: make(chan struct{}, maxDeclining),
		puller:    puller{book: b, node: cfg.Node, down: limiter(cfg.Down), active: make(chan struct{}, maxPulls)},
	}
	if err := f.load(); err != nil {
		return nil, err
	}
	b.ctx, f.stop = context.WithCancel(context.Background())
	go b.run()
	b.wg.Go(f.server.serve)
	f.resume()
	return f, nil
}

func limiter(perSecond int64) *rate.Limiter {
	if perSecond == 0 {
		return rate.NewLimiter(rate.Inf, rateBurst)
	}
	return rate.NewLimiter(rate.Limit(perSecond), rateBurst)
}

// load makes the directories, and reads what is in them.
func (f *Files) load() (err error) {
	if f.cfg.Into, err = filepath.Abs(f.cfg.Into); err != nil {
		return err
	}
	if f.dir == "" {
		f.own = true
		f.dir, err = os.MkdirTemp("", "quicpeer-files-")
		return err
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	return f.book.read()
}

// resume goes on with what earlier runs have begun.
func (f *Files) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.transfers {
		if !t.Ours && (t.State == StateWaiting || t.State == StateDone && !t.Told) {
			f.puller.start(t)
		}
	}
}

// Figures counts what this run has done.
type Figures struct {
	Read     int64 // bytes of the sources of our offers
	Sent     int64 // bytes of contents
	Received int64 // the same, verified or not
	Open     int   // transfers that are not over
}

// Figures returns the counts so far.
func (f *Files) Figures() Figures {
	now := Figures{Read: f.counts.read.Load(), Sent: f.counts.sent.Load(), Received: f.counts.received.Load()}
	for _, t := range f.list() {
		if !t.State.Over() {
			now.Open++
		}
	}
	return now
}

// Transfers lists the transfers, in the order of their numbers: all that are not over, and the last 64 that are.
func (f *Files) Transfers() []Transfer { return f.list() }

// Names are the paths of all that a transfer has, those of directories with a final slash. For an offer of another peer
// that was not accepted yet it asks that peer. Errors: ErrUnknownFile; ErrOver: the list was removed with its end;
// overlay.ErrUnknownPeer: that peer is not here; and others that are worth another try.
func (f *Files) Names(ctx context.Context, file int) (names []string, err error) {
	t, err := f.find(file)
	if err != nil {
		return nil, err
	}
	m, err := t.readManifest()
	if errors.Is(err, fs.ErrNotExist) {
		f.mu.Lock()
		over, ours := t.State.Over(), t.Ours
		f.mu.Unlock()
		if over || ours {
			return nil, ErrOver
		}
		m, err = f.puller.askManifest(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	for i := range m.Len() {
		names = append(names, shown(m.Entry(i)))
	}
	return names, nil
}
