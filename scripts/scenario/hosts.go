package main

import (
	"fmt"
	"slices"
	"strconv"

	"quicpeer/scripts/netlab"
)

// peerPort is where the peers on a LAN listen.
const peerPort = 5000

// netns is the verb.
func (s *scenario) netns(args []string) {
	for i, name := range args {
		s.require(nameWord.MatchString(name) && !slices.Contains(args[:i], name))
	}
	if s.lan != nil || len(s.peers) > 0 {
		s.fail("netns comes once, before all that names a peer")
	}
	n, err := netlab.NewLAN(args)
	if err != nil {
		s.t.Skip("netns needs " + err.Error())
	}
	s.lan = n
	for _, h := range n.Hosts {
		s.place(h.Name).fixed = fmt.Sprintf("%s:%d", h.Address, peerPort)
	}
}

// link is the verb.
func (s *scenario) link(args []string) {
	s.require(args[1] == "down" || args[1] == "up")
	h := s.host(args[0])
	s.engine.show.typed(h.Name, "(link "+args[1]+")")
	s.must(s.lan.Link(h, args[1]))
}

// narrow is the verb.
func (s *scenario) narrow(args []string) {
	bytes, err := strconv.Atoi(args[1])
	s.require(err == nil && bytes >= 68 && bytes <= 1500) // IPv4's least (RFC 791), and Ethernet's most
	h := s.host(args[0])
	s.engine.show.typed(h.Name, "(narrow "+args[1]+")")
	s.must(s.lan.Narrow(h, bytes))
}

// refuse is the verb.
func (s *scenario) refuse(args []string) {
	s.require(args[0] != args[1])
	a, b := s.host(args[0]), s.host(args[1])
	s.must(a.Refuse(b))
	s.must(b.Refuse(a))
}

func (s *scenario) host(name string) *netlab.Host {
	if s.lan == nil {
		s.fail("only a host of netns has an interface of its own")
	}
	h, err := s.lan.Host(name)
	s.must(err)
	return h
}
