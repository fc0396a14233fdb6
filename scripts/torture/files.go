package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"quicpeer/scripts/internal/harness"
)

// The torture of files has a sender, a receiver, and a carrier that connects them when they can't reach each other. Each
// disturbance comes after a certain number of bytes, not at a time, so that it always hits a transfer.

// mostAgain is how many bytes may be read, and so sent, again for each disturbance.
const mostAgain = 16 << 20

// stuckAfter is how long a transfer may stand still while nothing is wrong with the peers: three times the longest pause
// between two attempts, a guess.
const stuckAfter = 3 * time.Minute

// files is a run of the torture of files.
type files struct {
	settings
	pace  *harness.Pace
	ctx   context.Context
	out   io.Writer
	lot   *rand.Rand
	peers []*filePeer // sender, receiver, carrier
	apart bool        // sender and receiver reach each other over the carrier alone

	done   filesTally
	faults []string
}

// filesTally counts transfers and disturbances.
type filesTally struct {
	transfers, freezes, isolations, carried int
	kills                                   [3]int // by peer
}

func (t filesTally) all() int { return t.kills[0] + t.kills[1] + t.kills[2] + t.freezes + t.isolations }

// cargo is sent again and again until there have been enough disturbances.
type cargo struct {
	name, path string
	size       int64
}

// tortureFiles runs the torture of files, and reports whether all is well.
func (s settings) tortureFiles(ctx context.Context, pace *harness.Pace, out io.Writer) (ok bool, err error) {
	t := &files{settings: s, pace: pace, ctx: ctx, out: out, lot: rand.New(rand.NewPCG(s.seed, 4))}
	all, err := s.load()
	if err != nil {
		return false, err
	}
	peers, err := newPeers(3, s.dir)
	if err != nil {
		return false, err
	}
	for _, p := range peers {
		t.peers = append(t.peers, &filePeer{peer: p, settings: s, pace: pace, done: map[int]int{}})
	}
	fmt.Fprintf(out, "seed %d: %d disturbances of each of %s and %s\n", s.seed, s.disturbances, all[0].name, all[1].name)
	defer t.killAll()
	if err := t.cut(); err != nil {
		return false, err
	}
	for _, i := range []int{carrying, sending, receiving} {
		if err := t.start(i); err != nil {
			return false, err
		}
	}
	for _, c := range all {
		for t.done = (filesTally{}); t.done.all() < s.disturbances && err == nil; {
			err = t.transfer(c)
		}
		fmt.Fprintf(out, "%s: %d transfers; kills of sender, receiver, carrier %d, %d, %d; freezes %d, isolations %d; %d of these while carried\n",
			c.name, t.done.transfers, t.done.kills[sending], t.done.kills[receiving], t.done.kills[carrying], t.done.freezes, t.done.isolations, t.done.carried)
		if err != nil {
			break
		}
	}
	if errors.Is(err, context.Canceled) {
		return false, err
	}
	if err != nil {
		t.fault("%v", err)
	}
	t.killAll()
	for _, p := range t.peers {
		log, err := p.log()
		if err != nil {
			return false, err
		}
		if crash := harness.Crash(log); crash != "" {
			t.fault("%s: %s", p.name, crash)
		}
	}
	for _, f := range t.faults {
		fmt.Fprintf(out, "FAULT: %s\n", f)
	}
	if len(t.faults) > 0 {
		fmt.Fprintf(out, "FAILED with seed %d; states, logs, events and files are in %s\n", s.seed, s.dir)
		return false, nil
	}
	fmt.Fprintln(out, "all is well")
	return true, nil
}

func (t *files) fault(format string, args ...any) {
	t.faults = append(t.faults, fmt.Sprintf(format, args...))
}

// The peers.
const (
	sending = iota
	receiving
	carrying
)

// load makes the files to send.
func (s settings) load() ([]cargo, error) {
	large, small := filepath.Join(s.dir, "large file.bin"), filepath.Join(s.dir, "small")
	if err := harness.MakeFile(large, s.size, s.seed); err != nil {
		return nil, err
	}
	size, err := harness.MakeFiles(small, s.small, 8<<10, s.seed)
	return []cargo{
		{fmt.Sprintf("%d MiB", s.size>>20), large, s.size},
		{fmt.Sprintf("%d files of %d MiB", s.small, size>>20), small, size},
	}, err
}

// start starts a peer, which joins through all that have ever run.
func (t *files) start(i int) error {
	var join []string
	for k, p := range t.peers {
		if k != i && p.runs > 0 {
			join = append(join, p.address)
		}
	}
	return t.peers[i].begin(join...)
}

// cut writes the cut files: sender and receiver are cut off from each other if they are apart, and those in off from all.
func (t *files) cut(off ...int) error {
	for i, p := range t.peers {
		var cuts []string
		for k, q := range t.peers {
			if t.apart && i+k == sending+receiving || i != k && (slices.Contains(off, i) || slices.Contains(off, k)) {
				cuts = append(cuts, q.address)
			}
		}
		if err := harness.WriteCuts(p.path+".cuts", cuts); err != nil {
			return err
		}
	}
	return nil
}

// transfer sends a cargo once, with disturbances.
func (t *files) transfer(c cargo) error {
	from, to := t.peers[sending], t.peers[receiving]
	into := filepath.Join(t.dir, "into")
	if err := os.Mkdir(into, 0o755); err != nil {
		return err
	}
	t.done.transfers++
	f := &shipment{
		cargo: c, into: into, began: time.Now(), disturbances: t.done.all(), runs: [2]int{from.runs, to.runs}, read: [2]int64{from.total(), to.total()},
	}
	if err := t.offer(f); err != nil {
		return err
	}
	for {
		next := c.size + 1 // never: no disturbance is left, and the rest comes in peace
		rest := int64(t.disturbances - t.done.all())
		if rest > 0 { // spread evenly over the bytes that are missing
			next = f.last + t.lot.Int64N(2*(c.size-f.last)/(rest+1)+1)
		}
		over, err := t.comes(f, next)
		if err != nil {
			return err
		}
		if over {
			break
		}
		if err := t.disturb(); err != nil {
			return err
		}
	}
	if err := t.settle(f); err != nil {
		return err
	}
	t.judge(f)
	return os.RemoveAll(into)
}

// shipment is one transfer of a cargo.
type shipment struct {
	cargo
	into    string
	began   time.Time
	message string
	file    int             // its number at the receiver
	last    int64           // bytes that the receiver had when last asked
	pauses  []time.Duration // from the end of each disturbance to the next byte

	// Before it began:
	disturbances int
	runs         [2]int   // processes of sender and receiver
	read         [2]int64 // bytes that they had read
}

// offer has the sender offer the cargo and the receiver accept it.
func (t *files) offer(f *shipment) (err error) {
	to := t.peers[receiving]
	if f.message, err = t.peers[sending].offer(to.name, f.path); err != nil {
		return err
	}
	err = t.poll("the offer does not come", func() (bool, error) {
		at, err := to.transfer(f.message)
		if at != nil {
			f.file = at.File
		}
		return at != nil, err
	})
	if err != nil {
		return err
	}
	return to.accept(f.file, f.into)
}

// comes waits until the receiver has that many bytes, or everything. One time in eight it only waits until the receiver
// answers, so that some disturbances hit a transfer that has not resumed yet.
func (t *files) comes(f *shipment, next int64) (over bool, err error) {
	from, to := t.peers[sending], t.peers[receiving]
	anyway := next <= f.size && t.lot.IntN(8) == 0
	run, first, moved := to.runs, true, f.last == 0
	began, state := time.Now(), transfer{}
	err = t.poll("it does not go on", func() (bool, error) {
		at, err := to.transfer(f.message)
		switch {
		case err != nil:
			return false, err
		case at == nil:
			return false, errors.New("the receiver does not know the transfer any more")
		}
		state = *at
		over = at.State == "done"
		if at.State == "active" || over {
			if first && at.Bytes < f.last-mostAgain {
				t.fault("%s: run %d of the receiver goes on at byte %d, though %d had come", f.name, run, at.Bytes, f.last)
			}
			if first = false; !moved && at.Bytes > f.last {
				moved, f.pauses = true, append(f.pauses, time.Since(began))
			}
			f.last = max(f.last, at.Bytes)
		}
		return over || anyway || at.State == "active" && at.Bytes >= next, nil
	})
	if err != nil {
		return false, fmt.Errorf("%s, waiting for byte %d since %v, %+v: %w", f.name, next, time.Since(began).Round(time.Second), state, err)
	}
	t.compare(f, "sender", from.total()-f.read[sending]-f.last)
	return over, nil
}

// compare checks how many bytes were read again: mostAgain for each disturbance, and once more for what is on its way
// and for everything read that is not contents, such as the manifest.
func (t *files) compare(f *shipment, who string, again int64) {
	if most := mostAgain * int64(t.done.all()-f.disturbances+1); again > most {
		t.fault("%s: after %d disturbances the %s has read %d MiB more than needed; the limit is %d MiB", f.name, t.done.all()-f.disturbances, who, again>>20, most>>20)
	}
}

// settle waits until the sender knows that the transfer is done.
func (t *files) settle(f *shipment) error {
	return t.poll("the sender does not learn that the transfer is done", func() (bool, error) {
		at, err := t.peers[sending].transfer(f.message)
		return at != nil && at.State == "done", err
	})
}

// judge checks the received files, the number of file_done events, and what both sides have read.
func (t *files) judge(f *shipment) {
	if entries, err := os.ReadDir(f.into); err != nil || len(entries) != 1 {
		t.fault("%s: the target directory should have one entry, it has %v: %v", f.name, entries, err)
	}
	if err := harness.CheckCopy(f.path, filepath.Join(f.into, filepath.Base(f.path))); err != nil {
		t.fault("%s: the received files differ from those sent: %v", f.name, err)
	}
	to := t.peers[receiving]
	// A receiver killed at that very moment may never print it; the answer to files said done.
	if n := to.doneEvents(f.file); n > 1 || n == 0 && to.runs == f.runs[receiving] {
		t.fault("%s: the receiver has printed %d file_done events of transfer %d", f.name, n, f.file)
	}
	var read [2]int64
	for i := range read {
		read[i] = t.peers[i].total() - f.read[i]
	}
	again := read[sending] - f.size
	t.compare(f, "sender", again)
	t.compare(f, "receiver", read[receiving])
	n := t.done.all() - f.disturbances
	fmt.Fprintf(t.out, "  %s in %.0f s with %d disturbances; read again: %.1f MiB by the sender, %.1f MiB by the receiver\n",
		f.name, time.Since(f.began).Seconds(), n, float64(again)/(1<<20), float64(read[receiving])/(1<<20))
	if slices.Sort(f.pauses); len(f.pauses) > 0 {
		fmt.Fprintf(t.out, "  from the end of a disturbance to the next byte: %.1f s, at most %.1f s\n", f.pauses[len(f.pauses)/2].Seconds(), f.pauses[len(f.pauses)-1].Seconds())
	}
}

// pollEvery is the pause between two questions to a peer.
const pollEvery = 5 * time.Millisecond

// poll calls check until it is done or fails, for at most stuckAfter.
func (t *files) poll(problem string, check func() (done bool, err error)) error {
	by := t.pace.In(stuckAfter)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		for _, p := range t.peers {
			if s := p.process.State(); s.Over {
				return fmt.Errorf("%s run %d has ended with status %s; its log ends:\n%s", p.name, p.runs, s.Status, p.lastLines(10))
			}
		}
		done, err := check()
		switch {
		case done || err != nil:
			return err
		case by.Left() < 0:
			return fmt.Errorf("%s within %v", problem, stuckAfter)
		}
		select {
		case <-tick.C:
		case <-t.ctx.Done():
			return t.ctx.Err()
		}
	}
}

// pause waits for a random time of at most that length.
func (t *files) pause(most time.Duration) error {
	select {
	case <-time.After(time.Duration(t.lot.Int64N(int64(most)))):
		return nil
	case <-t.ctx.Done():
		return t.ctx.Err()
	}
}

// The longest times of a disturbance. A freeze can be longer than the 2 s after which a peer is missed.
const (
	longestDown   = 2 * time.Second
	longestFreeze = 5 * time.Second
	longestStart  = 500 * time.Millisecond
)

// disturb kills, freezes or isolates one peer, or sometimes two. Afterwards sender and receiver are apart in a third of
// the cases.
func (t *files) disturb() (err error) {
	victims := []int{sending, receiving}
	if t.apart {
		victims = append(victims, carrying)
		t.done.carried++
	}
	t.lot.Shuffle(len(victims), func(i, k int) { victims[i], victims[k] = victims[k], victims[i] })
	victims = victims[:1+t.lot.IntN(4)/3]
	switch n := t.lot.IntN(100); {
	case n < 50:
		err = t.kill(victims)
	case n < 75:
		err = t.freeze(victims)
	default:
		t.done.isolations++
		if err = t.cut(victims...); err == nil {
			err = t.pause(longestFreeze)
		}
	}
	t.apart = t.lot.IntN(3) == 0
	return errors.Join(err, t.cut())
}

// kill kills peers and starts them again; sometimes one is killed once more while it starts.
func (t *files) kill(victims []int) error {
	for _, i := range victims {
		t.peers[i].kill()
		t.done.kills[i]++
	}
	for _, i := range victims {
		if err := errors.Join(t.pause(longestDown), t.start(i)); err != nil {
			return err
		}
	}
	if i := victims[0]; t.lot.IntN(6) == 0 {
		if err := t.pause(longestStart); err != nil {
			return err
		}
		t.peers[i].kill()
		t.done.kills[i]++
		return t.start(i)
	}
	return nil
}

// freeze freezes peers and thaws them, or sometimes kills them while they are frozen.
func (t *files) freeze(victims []int) error {
	t.done.freezes++
	for _, i := range victims {
		if err := t.peers[i].process.Signal("freeze"); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	if err := t.pause(longestFreeze); err != nil {
		return err
	}
	for _, i := range victims {
		if t.lot.IntN(5) > 0 {
			if err := t.peers[i].process.Signal("thaw"); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				return err
			}
			continue
		}
		t.peers[i].kill()
		t.done.kills[i]++
		if err := t.start(i); err != nil {
			return err
		}
	}
	return nil
}

// killAll leaves no process behind.
func (t *files) killAll() {
	for _, p := range t.peers {
		if p.process != nil {
			p.process.Kill()
			<-p.process.Gone()
		}
	}
}
