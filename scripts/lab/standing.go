package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"quicpeer/scripts/netlab"
)

// An internet that stays, for tries of one's own.

// command is one to that internet.
type command struct {
	usage, about string
	least, most  int // words behind its name
	do           func(i *netlab.Internet, words []string) error
}

// prefix is that of the names of the namespaces: several stand side by side.
var prefix = cmp.Or(os.Getenv("NATLAB_PREFIX"), "nl")

var commands = []command{
	{"up [KIND_A [KIND_B]]", "build it (restricted restricted)", 0, 2, func(_ *netlab.Internet, w []string) error { return up(append(w, "restricted", "restricted")) }},
	{"down", "take it away, with all that runs there", 0, 0, func(*netlab.Internet, []string) error { return netlab.Remove(prefix) }},
	{"exec HOST COMMAND...", "run a command on a host", 2, 1000, execute},
	{"nat ROUTER KIND [LO-HI]", "make a router another one; its mappings stay", 2, 3, func(i *netlab.Internet, w []string) error { return i.Translate(w[0], w[1], append(w, "")[2]) }},
	{"flush ROUTER", "forget all mappings, as a reboot does", 1, 1, func(i *netlab.Internet, w []string) error { return i.Flush(w[0]) }},
	{"rebind ROUTER KIND", "the same, and new mappings get other ports", 2, 2, func(i *netlab.Internet, w []string) error { return i.Rebind(w[0], w[1]) }},
	{"timeouts ROUTER SECONDS", "how long an idle mapping lives", 2, 2, func(i *netlab.Internet, w []string) error { return i.Timeouts(w[0], w[1]) }},
	{"loss PORT PERCENT", "lose UDP both ways; PORT is a router, pub, n1, n2", 2, 2, lose},
	{"readdr HOST ADDRESS/BITS", "give a host behind a router another address", 2, 2, func(i *netlab.Internet, w []string) error { return i.Readdress(w[0], w[1]) }},
}

// standing does a command.
func standing(name string, words []string) error {
	if name == "help" {
		fmt.Print("An internet that stays, for tries of one's own. It takes root.\n\n")
		for _, c := range commands {
			fmt.Printf("  lab %-24s  %s\n", c.usage, c.about)
		}
		fmt.Print("\nSeveral stand side by side by NATLAB_PREFIX (nl).\n\n", netlab.Plan)
		return nil
	}
	for _, c := range commands {
		if verb, _, _ := strings.Cut(c.usage, " "); verb == name {
			if len(words) < c.least || len(words) > c.most {
				return errors.New("usage: lab " + c.usage)
			}
			return c.do(netlab.Kept(prefix), words)
		}
	}
	return fmt.Errorf("%s is not a command of lab: see lab help", name)
}

// up builds it anew.
func up(kinds []string) error {
	if err := buildable(); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("it takes root, or a user namespace (unshare -Urnm, and a tmpfs on /run)")
	}
	if err := netlab.Remove(prefix); err != nil {
		return err
	}
	i, err := netlab.NewInternet(kinds[0], kinds[1])
	if err != nil {
		return err
	}
	defer i.Close()
	return i.Keep(prefix)
}

// execute becomes a program on a host.
func execute(i *netlab.Internet, words []string) error {
	host, err := i.Host(words[0])
	if err != nil {
		return err
	}
	cmd := host.Command(words[1:]...)
	return cmp.Or(cmd.Err, syscall.Exec(cmd.Path, cmd.Args, os.Environ()))
}

func lose(i *netlab.Internet, words []string) error {
	percent, err := strconv.Atoi(words[1])
	if err != nil || percent < 0 || percent > 100 {
		return errors.New("the loss is a number of percent")
	}
	return i.Lose(words[0], percent)
}
