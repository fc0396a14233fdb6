package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
)

// Peer is a running quicpeer. At the end of its Input it leaves.
type Peer struct {
	*Process
	Address  string       // which others can dial
	warnings bytes.Buffer // what it has logged
}

// StartPeer starts a peer on a free port of loopback, with a state directory of its name in dir,
// and waits until it is ready. join is the address of another peer or empty. Each line that it
// prints is handed to each, as by Spec.Line. More words of the command line come last, and win.
func StartPeer(program, dir, id, join string, each func(p *Process, line []byte), more ...string) (p *Peer, err error) {
	words := []string{"--json", "--id", id, "--state-dir", filepath.Join(dir, id), "--listen", "127.0.0.1:0", "--log-level", "warn", "--drain", "1m"}
	if join != "" {
		words = append(words, "--join", join)
	}
	words = append(words, more...)
	p = &Peer{}
	cmd := exec.Command(program, words...)
	cmd.Stderr = &p.warnings
	p.Process, p.Address, err = StartReady(Spec{Cmd: cmd, Line: each}, func(line []byte) string {
		var ready struct{ Listen []string }
		if json.Unmarshal(line, &ready) != nil || len(ready.Listen) == 0 {
			return ""
		}
		return ready.Listen[0]
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", id, err, p.warnings.Bytes())
	}
	return p, nil
}

// Ended waits for the end of the peer and of its output. An error contains the peer's log, and
// says if its exit status was neither 0 nor one of those wanted.
func (p *Peer) Ended(wanted ...string) error {
	<-p.Gone()
	status := p.State().Status
	if status == "0" || slices.Contains(wanted, status) {
		return nil
	}
	return fmt.Errorf("exit status %s: %s", status, p.warnings.Bytes())
}
