package doctor

import (
	"fmt"
	"slices"
	"time"
)

func judgeClock(f Facts) (all []Finding) {
	const next = "set the clock: sudo timedatectl set-ntp true, or start chrony or ntpd; in a container it is the host's"
	c := f.Clock
	switch {
	case c.Now.Before(oldest):
		all = append(all, Finding{"clock", Problem, "this machine's clock says " + c.Now.UTC().Format(time.DateTime), "that is in the past: times of messages are wrong, and tickets can't be used", next})
	case c.Newest.Sub(c.Now) > clockSlack:
		all = append(all, Finding{"clock", Problem, fmt.Sprintf("this machine's clock has gone back: a file of the state directory was written %s in the future", about(c.Newest.Sub(c.Now))),
			"times of messages are wrong, and tickets end at the wrong time", next})
	}
	var off []PeerClock
	if f.Peer != nil {
		for _, p := range f.Peer.Clocks {
			if p.Ahead > clockSlack || p.Ahead < -clockSlack {
				off = append(off, p)
			}
		}
		if n := len(f.Peer.Clocks); len(off) >= 2 && 2*len(off) > n && oneSided(off) {
			slices.SortFunc(off, func(a, b PeerClock) int { return int((a.Ahead - b.Ahead).Abs()) })
			all = append(all, Finding{"clock", Problem, fmt.Sprintf("%d of %d peers have clocks that differ from this machine's in the same direction, by about %s", len(off), n, about(off[len(off)/2].Ahead.Abs())),
				"so it is likely this one that is wrong; times of messages are wrong, and tickets end at the wrong time", next})
			return all
		}
	}
	for _, p := range off {
		if p.Ahead > 0 {
			all = append(all, Finding{"clock", Problem, fmt.Sprintf("the clock of %s is ahead of this machine's by %s or more", p.ID, about(p.Ahead)),
				"times of messages are wrong, and tickets end at the wrong time", "compare both with the time of day, and set the wrong one: sudo timedatectl set-ntp true"})
			continue
		}
		all = append(all, Finding{"clock", Note, fmt.Sprintf("the clock of %s may be behind this machine's, by up to %s", p.ID, about(-p.Ahead)),
			"or its messages were on their way for so long", "compare both with the time of day"})
	}
	switch {
	case len(all) > 0:
	case c.Hidden != "":
		all = one("clock", Note, "whether something keeps the clock right can't be seen: "+c.Hidden, "", "compare it with the time of day: date -u")
	case !c.Synced:
		all = one("clock", Note, "nothing keeps this machine's clock right, says the kernel", "when it drifts, times of messages become wrong, and tickets end at the wrong time", next)
	default:
		all = one("clock", Fine, "this machine's clock is kept right", "", "")
	}
	return all
}

// oneSided says whether all differ in the same direction.
func oneSided(list []PeerClock) bool {
	ahead := 0
	for _, p := range list {
		if p.Ahead > 0 {
			ahead++
		}
	}
	return ahead == 0 || ahead == len(list)
}

// about is a duration for people.
func about(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

func judgeState(f Facts) []Finding {
	s := f.State
	switch {
	case s.Dir == "":
		return one("state", Note, "this peer keeps nothing: neither --id nor --state-dir is given", "its key, its ID and what waits for others are gone when it ends", "start with --id NAME")
	case s.Err != nil:
		return one("state", Problem, fmt.Sprintf("the state directory can't be looked at: %v", s.Err), "a peer can't start with it", "look at it with: ls -ld "+s.Dir+"; or name another --state-dir")
	case !s.Exists && s.ReadOnly:
		return one("state", Problem, "the state directory "+s.Dir+" can't be made: this user may not write there", "a peer can't start with it", "name another --state-dir")
	case !s.Exists:
		return one("state", Fine, "the state directory "+s.Dir+" will be made at the first start", "", "")
	case s.Foreign:
		return one("state", Problem, "the state directory "+s.Dir+" belongs to another user", "its key is not to be used by two, and this user may not read it", "run as that user, or name another --state-dir")
	case s.ReadOnly:
		return one("state", Problem, "this user can't write to the state directory "+s.Dir, "a peer can't start with it", "chmod u+rwx "+s.Dir+"; if the file system is read-only, name another --state-dir")
	case s.Mode&0o022 != 0:
		return one("state", Problem, fmt.Sprintf("others may write to the state directory %s (mode %04o)", s.Dir, s.Mode), "whoever may write there can replace the key", "chmod 700 "+s.Dir)
	case s.Held && f.Peer == nil:
		return one("state", Note, "a peer is running with the state directory "+s.Dir+", and doesn't answer here", "so what follows says nothing of its connections", "see its log; in its terminal /net says how peers are reached")
	case s.Held:
		return one("state", Fine, "the running peer has the state directory "+s.Dir, "", "")
	}
	return one("state", Fine, "the state directory "+s.Dir+" can be used, and no peer is running with it", "", "")
}

func judgeDisk(f Facts) []Finding {
	s := f.State
	if s.Dir == "" {
		return nil
	}
	free := bytesText(int(min(s.Free, 1<<62)))
	switch {
	case s.DiskErr != nil:
		return one("disk", Note, fmt.Sprintf("how much room the disk has can't be seen: %v", s.DiskErr), "", "look at it with: df -h "+s.Dir)
	case s.NoNodes:
		return one("disk", Problem, "the file system of "+s.Dir+" has no room for another file (no inodes)", "a peer can't keep messages", "remove small files there; df -i shows how many there are")
	case s.Free < lowDisk:
		return one("disk", Problem, "the disk of "+s.Dir+" has only "+free+" left", "when it is full this peer stops: it can't keep messages, and so acknowledges none", "make room, or name another --state-dir")
	case s.Free < shortDisk:
		return one("disk", Note, "the disk of "+s.Dir+" has "+free+" left", "the history grows up to 256 MiB unless told otherwise", "make room, or start with --no-history")
	}
	return one("disk", Fine, "the disk of "+s.Dir+" has "+free+" left", "", "")
}

func judgeFiles(f Facts) []Finding {
	switch n := f.Files.Most; {
	case n == 0:
		return nil
	case n < enoughFiles:
		return one("files", Problem, fmt.Sprintf("a process may open only %d files", n), "with many clients on its socket, or commands of --on-message, this peer can't open more", "ulimit -n 1024 before the start; for a service LimitNOFILE=1024")
	default:
		return one("files", Fine, "a process may open enough files", "", "")
	}
}
