package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"quicpeer/scripts/netlab"
)

// peerPort is where the peers on a LAN listen.
const peerPort = 5000

// netns is the verb.
func (s *scenario) netns(args []string) error {
	for i, name := range args {
		if !nameWord.MatchString(name) || slices.Contains(args[:i], name) {
			return errUsage
		}
	}
	if s.lan != nil || len(s.peers) > 0 {
		return errors.New("netns comes once, before all that names a peer")
	}
	n, err := netlab.NewLAN(args)
	if err != nil {
		s.t.Skip("netns needs " + err.Error())
	}
	s.lan = n
	for _, h := range n.Hosts {
		s.place(h.Name).fixed = fmt.Sprintf("%s:%d", h.Address, peerPort)
	}
	return nil
}

// link is the verb.
func (s *scenario) link(args []string) error {
	if args[1] != "down" && args[1] != "up" {
		return errUsage
	}
	h, err := s.host(args[0])
	if err != nil {
		return err
	}
	s.engine.show.typed(h.Name, "(link "+args[1]+")")
	return s.lan.Link(h, args[1])
}

// narrow is the verb.
func (s *scenario) narrow(args []string) error {
	bytes, err := strconv.Atoi(args[1])
	if err != nil || bytes < 68 || bytes > 1500 { // IPv4's least (RFC 791), and Ethernet's most
		return errUsage
	}
	h, err := s.host(args[0])
	if err != nil {
		return err
	}
	s.engine.show.typed(h.Name, "(narrow "+args[1]+")")
	return s.lan.Narrow(h, bytes)
}

// refuse is the verb.
func (s *scenario) refuse(args []string) error {
	if args[0] == args[1] {
		return errUsage
	}
	a, err := s.host(args[0])
	if err != nil {
		return err
	}
	b, err := s.host(args[1])
	if err != nil {
		return err
	}
	if err := a.Refuse(b); err != nil {
		return err
	}
	return b.Refuse(a)
}

func (s *scenario) host(name string) (*netlab.Host, error) {
	if s.lan == nil {
		return nil, errors.New("only a host of netns has an interface of its own")
	}
	return s.lan.Host(name)
}
