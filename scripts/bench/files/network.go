package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"quicpeer/scripts/internal/harness"
)

// The peers.
const (
	sender   = "sender"
	carrier  = "carrier"
	everyone = "*"
)

func receiverName(i int) string { return fmt.Sprintf("receiver-%d", i) }

// patience is the limit of each wait (a guess, for a slow machine).
const patience = 10 * time.Minute

// network is a set of running peers.
type network struct {
	options
	dir       string // of their states and received files
	path      string // that offers must have: direct or relayed
	peers     map[string]*harness.Peer
	receivers int
	received  []*reception // not checked yet

	mu       sync.Mutex
	commands int // so far
}

// start starts a sender and receivers, and waits until they know each other. If carried is set they reach each other only
// over a carrier.
func (o options) start(carried bool, receivers int) (n *network, err error) {
	n = &network{options: o, path: "direct", peers: map[string]*harness.Peer{}, receivers: receivers}
	if n.dir, err = os.MkdirTemp(o.work, "peers-"); err != nil {
		return nil, err
	}
	own := "127.0.0.1" // of the receivers
	var port uint16    // of the first peer
	run := func(id, listen string) {
		if err != nil {
			return
		}
		door := ""
		if port > 0 {
			door = strings.TrimSuffix(listen, "0") + strconv.Itoa(int(port))
		}
		if n.peers[id], err = harness.StartPeer(o.program, n.dir, id, door, nil, "--listen", listen); err != nil {
			delete(n.peers, id)
		} else if port == 0 {
			port = netip.MustParseAddrPort(n.peers[id].Address).Port()
		}
	}
	if carried {
		n.path, own = "relayed", "[::1]"
		run(carrier, ":0")
	}
	run(sender, "127.0.0.1:0")
	for i := range receivers {
		run(receiverName(i), own+":0")
	}
	for i := range receivers {
		for _, pair := range [][2]string{{sender, receiverName(i)}, {receiverName(i), sender}} {
			if err == nil {
				_, err = n.await(pair[0], "peer_joined", "id", pair[1])
			}
		}
	}
	if err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// close kills the peers and removes their files.
func (n *network) close() {
	for _, p := range n.peers {
		p.Kill()
		<-p.Gone()
	}
	_ = os.RemoveAll(n.dir) // the whole working directory is removed in the end
}

// await waits for a peer's first event of a name with this value in a field. An event that says that a command or a transfer
// has failed is an error.
func (n *network) await(id, name, field, value string) (*harness.Event, error) {
	var fault *harness.Event
	found, err := n.peers[id].Await(harness.NewPace().In(patience), 1, func(e *harness.Event) bool {
		if e.Name == "error" || e.Name == "file_failed" || e.Name == "failed" {
			fault = e
		}
		return e.Name == name && e.Field(field) == value || fault != nil
	})
	switch {
	case fault != nil:
		return nil, fmt.Errorf("%s: %s", id, fault.Raw)
	case err != nil:
		return nil, fmt.Errorf("%s has printed no %s with %s %s: %w", id, name, field, value, err)
	}
	return found[0], nil
}

// command gives a peer a command with a new ref, and returns the ref.
func (n *network) command(id string, fields map[string]any) (ref string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.commands++
	ref = fmt.Sprintf("%s-%d", id, n.commands)
	fields["ref"] = ref
	line, err := json.Marshal(fields)
	if err == nil {
		_, err = n.peers[id].Input.Write(append(line, '\n'))
	}
	return ref, err
}

// transfer sends a file or directory to the first receiver, and returns the time from file_accept to file_done.
func (n *network) transfer(path string) (time.Duration, error) {
	times, err := n.transfers(receiverName(0), path)
	if err != nil {
		return 0, err
	}
	return times[0], nil
}

// quicpeer is quicpeer as a contender.
func (n *network) quicpeer() contender {
	return contender{"quicpeer", func() (time.Duration, error) {
		took, err := n.transfer(n.large)
		return took, errors.Join(err, n.check())
	}}
}

// reception is a transfer at a receiver.
type reception struct {
	to, path, dir, ref string
	file               int // its number there
	began              time.Time
}

// transfers offers the paths to one receiver or to everyone, has all offers accepted at the same moment, and returns the
// times as transfer does. The received files are left for check.
func (n *network) transfers(to string, paths ...string) (times []time.Duration, err error) {
	receivers := []string{to}
	if to == everyone {
		receivers = nil
		for i := range n.receivers {
			receivers = append(receivers, receiverName(i))
		}
	}
	var all []*reception
	for _, path := range paths {
		offered, err := n.offer(to, path, receivers)
		if err != nil {
			return nil, err
		}
		all = append(all, offered...)
	}
	for _, c := range all {
		c.began = time.Now()
		if c.ref, err = n.command(c.to, map[string]any{"cmd": "file_accept", "file": c.file, "dir": c.dir}); err != nil {
			return nil, err
		}
	}
	for _, c := range all {
		done, err := n.await(c.to, "file_done", "ref", c.ref)
		if err != nil {
			return nil, err
		}
		times = append(times, done.At.Sub(c.began))
	}
	n.received = append(n.received, all...)
	return times, nil
}

// check compares the received files with those sent, and removes them.
func (n *network) check() error {
	for _, c := range n.received {
		if err := harness.CheckCopy(c.path, filepath.Join(c.dir, filepath.Base(c.path))); err != nil {
			return fmt.Errorf("%s has received something else: %w", c.to, err)
		}
		if err := os.RemoveAll(c.dir); err != nil {
			return err
		}
	}
	n.received = nil
	return nil
}

// offer offers a path, and returns the offer at each of the receivers.
func (n *network) offer(to, path string, receivers []string) (all []*reception, err error) {
	ref, err := n.command(sender, map[string]any{"cmd": "file_send", "to": to, "path": path})
	if err != nil {
		return nil, err
	}
	sent, err := n.await(sender, "file_offered", "ref", ref)
	if err != nil {
		return nil, err
	}
	for _, id := range receivers {
		offered, err := n.await(id, "file_offered", "message", sent.Field("message"))
		if err != nil {
			return nil, err
		}
		if got := offered.Field("path"); got != n.path {
			return nil, fmt.Errorf("the offer says %s, not %s", got, n.path)
		}
		c := &reception{to: id, path: path}
		if c.file, err = strconv.Atoi(offered.Field("file")); err != nil {
			return nil, err
		}
		if c.dir, err = os.MkdirTemp(n.dir, "into-"); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// peaks is the peak memory in MiB of the sender and the first receiver.
func (n *network) peaks() (list [2]float64) {
	for i, id := range []string{sender, receiverName(0)} {
		list[i] = float64(harness.PeakMemory(fmt.Sprint(n.peers[id].Pid()))) / (1 << 20)
	}
	return list
}
