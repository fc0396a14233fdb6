package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"strconv"
	"syscall"

	"quicpeer/scripts/netlab"
)

const help = `An internet that stays, for tries of one's own. It takes root.

  lab up [KIND_A [KIND_B]]   build it (restricted restricted)
  lab down                   take it away, with all that runs there
  lab exec HOST COMMAND...   run a command on a host
  lab nat ROUTER KIND [LO-HI]  make a router another one; its mappings stay
  lab flush ROUTER           forget all mappings, as a reboot does
  lab rebind ROUTER KIND     the same, and new mappings get other ports
  lab timeouts ROUTER SECONDS  how long an idle mapping lives
  lab loss PORT PERCENT      lose UDP both ways; PORT is a router, pub, n1, n2
  lab readdr HOST ADDRESS/BITS  give a host behind a router another address

Several stand side by side by NATLAB_PREFIX (nl).

`

// standing does a command to the internet that stays.
func standing(words []string) error {
	prefix := cmp.Or(os.Getenv("NATLAB_PREFIX"), "nl")
	i := netlab.Kept(prefix)
	argument := func(n int, otherwise string) string {
		if n < len(words) {
			return words[n]
		}
		return otherwise
	}
	switch verb := words[0]; {
	case verb == "up" && len(words) <= 3:
		return up(prefix, argument(1, "restricted"), argument(2, "restricted"))
	case verb == "down" && len(words) == 1:
		return netlab.Remove(prefix)
	case verb == "exec" && len(words) >= 3:
		host, err := i.Host(words[1])
		if err != nil {
			return err
		}
		cmd := host.Command(words[2:]...)
		return cmp.Or(cmd.Err, syscall.Exec(cmd.Path, cmd.Args, os.Environ()))
	case verb == "nat" && (len(words) == 3 || len(words) == 4):
		return i.Translate(words[1], words[2], argument(3, ""))
	case verb == "flush" && len(words) == 2:
		return i.Flush(words[1])
	case verb == "rebind" && len(words) == 3:
		return i.Rebind(words[1], words[2])
	case verb == "timeouts" && len(words) == 3:
		return i.Timeouts(words[1], words[2])
	case verb == "loss" && len(words) == 3:
		percent, err := strconv.Atoi(words[2])
		if err != nil || percent < 0 || percent > 100 {
			return errors.New("the loss is a number of percent")
		}
		return i.Lose(words[1], percent)
	case verb == "readdr" && len(words) == 3:
		return i.Readdress(words[1], words[2])
	case verb == "help":
		fmt.Print(help, netlab.Plan)
		return nil
	}
	return fmt.Errorf("%q is not a command of lab: see lab help", words)
}

// up builds it anew.
func up(prefix, kindA, kindB string) error {
	if err := netlab.Missing("nft"); err != nil {
		return fmt.Errorf("it can't be built here: it needs %w", err)
	}
	if os.Geteuid() != 0 {
		return errors.New("it takes root, or a user namespace (unshare -Urnm, and a tmpfs on /run)")
	}
	if err := netlab.Remove(prefix); err != nil {
		return err
	}
	i, err := netlab.NewInternet(kindA, kindB)
	if err != nil {
		return err
	}
	defer i.Close()
	return i.Keep(prefix)
}
