package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"quicpeer/scripts/internal/harness"
	"quicpeer/scripts/netlab"
)

// patience is how long is waited for anything that has no bar of its own.
const patience = 30 * time.Second

// stage is where an attack is played: a LAN with the attacker's host and others, and the processes
// on them.
type stage struct {
	attack   *attack
	program  string // quicpeer
	dir      string // state directories and logs
	pace     *harness.Pace
	net      *netlab.LAN
	peers    []*peer // the honest ones
	attacker *harness.Process
	watch    *watch
}

// result is what came of an attack.
type result struct {
	figure string
	held   bool
	err    error
	worst  figures
	logs   string
}

// once plays the attack.
func (a *attack) once(program, dir string) (r result) {
	dir, err := os.MkdirTemp(dir, a.name+"-")
	if err != nil {
		return result{err: err}
	}
	s := &stage{attack: a, program: program, dir: dir, pace: harness.NewPace()}
	if s.net, err = netlab.NewLAN(append([]string{"x"}, a.hosts...)); err != nil {
		return result{err: err}
	}
	defer s.net.Close()
	defer s.end()
	r.figure, r.held, r.err = a.run(s)
	r.worst, r.logs = s.figures(), s.logs()
	r.held = r.held && r.err == nil
	return r
}

func (r result) line(a *attack) string {
	verdict := "held"
	switch {
	case r.err != nil:
		verdict = "failed: " + r.err.Error()
	case !r.held:
		verdict = "**missed**"
	}
	mb := func(bytes int64) string { return fmt.Sprint(bytes / 1e6) }
	return fmt.Sprintf("| %s | %s | %s | %s to %s | %.1f | %d | %d | %s |", a.about, r.figure, a.bar,
		mb(r.worst.idle), mb(r.worst.peak), r.worst.cpu.Seconds(), r.worst.lost, r.worst.stopped, verdict)
}

// end ends all processes.
func (s *stage) end() {
	if s.watch != nil {
		s.watch.end()
	}
	if s.attacker != nil {
		s.attacker.Kill()
		<-s.attacker.Gone()
	}
	for _, p := range s.peers {
		p.Kill()
		<-p.Gone()
	}
}

// logs are the ends of what the honest peers have logged.
func (s *stage) logs() string {
	var b strings.Builder
	for _, p := range s.peers {
		if text, err := os.ReadFile(p.log); err == nil {
			fmt.Fprintf(&b, "--- %s\n%s\n", p.id, harness.Tail(string(text), 40))
		}
	}
	return b.String()
}

// peer is an honest quicpeer process.
type peer struct {
	*harness.Process
	stage *stage
	id    string
	host  *netlab.Host
	at    string // its address
	log   string // the file of its log
	sent  int
}

// start starts an honest peer on a host, which listens on port 5000, and does not wait for it. More
// words of the command line come last, and win.
func (s *stage) start(host, id string, words ...string) (*peer, error) {
	h, err := s.net.Host(host)
	if err != nil {
		return nil, err
	}
	p := &peer{stage: s, id: id, host: h, at: h.Address.String() + ":5000", log: filepath.Join(s.dir, id+".log")}
	cmd := h.Command(append([]string{s.program, "--json", "--id", id, "--listen", p.at,
		"--state-dir", filepath.Join(s.dir, "state-"+id)}, words...)...)
	cmd.Env = harness.Environment(s.dir)
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	cmd.Stderr = log
	if p.Process, err = harness.Start(harness.Spec{Cmd: cmd, Queue: 4096}); err != nil {
		return nil, err
	}
	s.peers = append(s.peers, p)
	return p, nil
}

// honest starts so many honest peers, of which each joins by the first: each on the host of its
// name, "a", "b" and so on, or all on "a" if the LAN has no more hosts. It waits until all know all.
func (s *stage) honest(n int, words ...string) (list []*peer, err error) {
	for i := range n {
		id := string(rune('a' + i))
		more := words
		if i > 0 {
			more = append([]string{"--join", list[0].at}, words...)
		}
		p, err := s.start(id, id, more...)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
		if err := p.ready(patience); err != nil {
			return nil, err
		}
	}
	for _, p := range list {
		for _, q := range list {
			if p != q {
				if err := p.sees(q.id, patience); err != nil {
					return nil, err
				}
			}
		}
	}
	return list, nil
}

// addresses are those of peers.
func addresses(list []*peer) (at []string) {
	for _, p := range list {
		at = append(at, p.at)
	}
	return at
}

// ready waits until the peer is in the network.
func (p *peer) ready(limit time.Duration) error {
	_, err := p.await(limit, 1, func(e *harness.Event) bool { return e.Name == "ready" })
	return err
}

// sees waits until the peer shows another as here.
func (p *peer) sees(id string, limit time.Duration) error {
	_, err := p.await(limit, 1, func(e *harness.Event) bool { return e.Name == "peer_joined" && e.Field("id") == id })
	return err
}

// await waits for so many events.
func (p *peer) await(limit time.Duration, count int, wanted func(*harness.Event) bool) ([]*harness.Event, error) {
	found, err := p.Await(p.stage.pace.In(limit), count, wanted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.id, err)
	}
	return found, nil
}

// count is how many events of a kind have come so far.
func (p *peer) count(wanted func(*harness.Event) bool) int {
	found, _ := p.Await(p.stage.pace.In(0), 0, wanted) // it does not wait
	return len(found)
}

// send sends a direct message, and returns its name, by which delivered shows it.
func (p *peer) send(to *peer) (ref string, err error) {
	p.sent++
	ref = fmt.Sprintf("%s-%d", p.id, p.sent)
	line, err := json.Marshal(map[string]string{"cmd": "send", "to": to.id, "body": ref, "ref": ref})
	if err != nil {
		return "", err
	}
	return ref, p.Write(append(line, '\n'))
}

// delivered waits for the receipt of a message, and for the message at the other peer.
func (p *peer) delivered(to *peer, ref string, limit time.Duration) error {
	if _, err := p.await(limit, 1, func(e *harness.Event) bool { return e.Name == "delivered" && e.Field("ref") == ref }); err != nil {
		return err
	}
	_, err := to.await(limit, 1, func(e *harness.Event) bool { return e.Name == "message" && e.Field("body") == ref })
	return err
}

// player starts the attacker on its host. It is told these words, see player.words.
func (s *stage) player(words ...string) error {
	h, err := s.net.Host("x")
	if err != nil {
		return err
	}
	own, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := h.Command(append([]string{own}, words...)...)
	cmd.Env = append(harness.Environment(s.dir), playing+"="+s.attack.name, playingAt+"="+h.Address.String())
	cmd.Stderr = os.Stderr
	s.attacker, err = harness.Start(harness.Spec{Cmd: cmd, Queue: 16})
	return err
}

// said waits until the attacker has said something of that name, and returns it.
func (s *stage) said(name string, limit time.Duration) (*harness.Event, error) {
	found, err := s.attacker.Await(s.pace.In(limit), 1, func(e *harness.Event) bool { return e.Name == name })
	if err != nil {
		return nil, fmt.Errorf("the attacker did not say %q: %w", name, err)
	}
	return found[0], nil
}

// play starts the attacker, and waits until it has said something of that name.
func (s *stage) play(until string, limit time.Duration, words ...string) (*harness.Event, error) {
	if err := s.player(words...); err != nil {
		return nil, err
	}
	return s.said(until, limit)
}

// begin begins to watch the honest peers of now: their memory before is that of now.
func (s *stage) begin() {
	s.watch = newWatch(s.peers)
}

// figures are those of the honest peers since begin, the worst of each.
func (s *stage) figures() figures {
	if s.watch == nil {
		return figures{}
	}
	s.watch.end()
	f := s.watch.worst()
	var ids []string
	for _, p := range s.watch.peers {
		ids = append(ids, p.id)
	}
	for _, p := range s.watch.peers {
		f.lost += p.count(func(e *harness.Event) bool { return e.Name == "peer_left" && slices.Contains(ids, e.Field("id")) })
		if p.State().Status != "" {
			f.stopped++
		}
	}
	return f
}

// figures are what an attack costs an honest peer.
type figures struct {
	idle, peak, last int64 // bytes of memory: before, the most, at the end
	cpu              time.Duration
	lost             int // times that an honest peer was shown as lost
	stopped          int
}

// watch samples the memory and the processor time of processes.
type watch struct {
	peers []*peer
	stop  chan struct{}
	once  sync.Once
	done  sync.WaitGroup

	mu   sync.Mutex
	each []figures
}

func newWatch(peers []*peer) *watch {
	w := &watch{peers: slices.Clone(peers), stop: make(chan struct{}), each: make([]figures, len(peers))}
	began := make([]time.Duration, len(peers))
	for i, p := range w.peers {
		w.each[i].idle = harness.Memory(p.Pid())
		began[i] = harness.CPU(p.Pid())
	}
	w.done.Go(func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			w.mu.Lock()
			for i, p := range w.peers {
				if m := harness.Memory(p.Pid()); m > 0 {
					f := &w.each[i]
					f.last, f.peak, f.cpu = m, max(f.peak, m), harness.CPU(p.Pid())-began[i]
				}
			}
			w.mu.Unlock()
			select {
			case <-w.stop:
				return
			case <-ticker.C:
			}
		}
	})
	return w
}

// of are the figures of one peer so far.
func (w *watch) of(p *peer) figures {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.each[slices.Index(w.peers, p)]
}

// worst is of each figure the worst so far.
func (w *watch) worst() (worst figures) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.each {
		worst.idle, worst.peak, worst.last, worst.cpu = max(worst.idle, f.idle), max(worst.peak, f.peak), max(worst.last, f.last), max(worst.cpu, f.cpu)
	}
	return worst
}

// end ends the sampling; what was measured stays.
func (w *watch) end() {
	w.once.Do(func() { close(w.stop) })
	w.done.Wait()
}
