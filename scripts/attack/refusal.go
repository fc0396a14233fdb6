package main

import (
	"fmt"
	"net/netip"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
	"quicpeer/transport"
)

// refusal: one of two doors says to everybody that the ID is in use, by a record that it has just made.
var refusal = &attack{
	name: "refusal", about: "F9 a false duplicate beside an honest door, 6 newcomers", bar: "ready in 6 of 6", short: true,
	hosts: []string{"a", "b"},
	play:  refuse,
	run: func(s *stage) (string, bool, error) {
		peers, err := s.honest(1)
		if err != nil {
			return "", false, err
		}
		ready, err := s.play("ready", patience)
		if err != nil {
			return "", false, err
		}
		s.begin()
		in, ended := 0, ""
		for i := range 6 {
			doors := []string{"--join", ready.Field("at"), "--join", peers[0].at}
			if i%2 == 1 {
				doors = []string{"--join", peers[0].at, "--join", ready.Field("at")}
			}
			n, err := s.start("b", fmt.Sprint("n", i), append(doors, "--listen", fmt.Sprint(":", 6000+i))...)
			if err != nil {
				return "", false, err
			}
			err = n.ready(15 * time.Second)
			time.Sleep(2 * time.Second) // it is to stay, too
			if status := n.State().Status; err == nil && status == "" {
				in++
			} else {
				ended += fmt.Sprintf(", one ends with %q", status)
			}
		}
		return fmt.Sprintf("%d of 6%s", in, ended), in == 6, nil
	},
}

func refuse(p *player) error {
	door := newLiar("door")
	if err := p.open(door); err != nil {
		return err
	}
	p.say("ready", map[string]any{"at": door.address()})
	for {
		link, err := door.endpoint.Accept(p.ctx)
		if err != nil {
			return nil // the attack is over
		}
		go func() {
			m, err := link.Receive()
			if start := m.GetHandshakeStart(); err == nil && start != nil {
				_ = send(link, denial(start)) // an error is the end of the link
				link.Shut(transport.CodeRefused, "DUPLICATE_ID")
				for err == nil {
					_, err = link.Receive()
				}
			}
		}()
	}
}

// denial says that somebody else, made up for the purpose, has the ID of a newcomer.
func denial(start *pb.HandshakeStart) *pb.HandshakeResponse {
	holder := newLiar(start.GetId())
	if r, err := base.OpenRecord(start.GetRecord()); err == nil {
		holder.epoch = r.Epoch - 1
	}
	address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), 5000)
	return &pb.HandshakeResponse{
		Code: pb.HandshakeCode_DUPLICATE_ID, Reason: "the ID is in use", Record: holder.record(pb.AnnouncementType_JOIN, 0, address.String()),
	}
}
