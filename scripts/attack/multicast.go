package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// The flood of answers, and how long it lasts.
const (
	floodRate = 10_000 // a second
	floodTime = 20 * time.Second
	foundIn   = 10 * time.Second
)

// multicast: a host of the LAN makes up peers in answers of multicast DNS, as fast as it can.
var multicast = &attack{
	name: "multicast", about: "F8 10,000 answers/s of multicast DNS", bar: "at most 20 % of a core; a newcomer found within 10 s",
	hosts: []string{"a", "b"},
	play:  playMulticast,
	run: func(s *stage) (string, bool, error) {
		for _, h := range s.net.Hosts {
			if err := h.IP("route add 224.0.0.0/4 dev eth0"); err != nil {
				return "", false, err
			}
		}
		first, err := s.start("a", "a", "--discover")
		if err == nil {
			err = first.ready(patience)
		}
		if err != nil {
			return "", false, err
		}
		s.begin()
		before, _, err := traffic(first.host)
		if err != nil {
			return "", false, err
		}
		if _, err := s.play("begun", patience, strconv.Itoa(floodRate)); err != nil {
			return "", false, err
		}
		began := time.Now()
		time.Sleep(3 * time.Second)
		newcomer, err := s.start("b", "b", "--discover")
		if err != nil {
			return "", false, err
		}
		started := time.Now()
		found := "never"
		inTime := false
		if first.sees("b", foundIn) == nil && newcomer.sees("a", foundIn) == nil {
			took := time.Since(started)
			found, inTime = fmt.Sprintf("%.1f s", took.Seconds()), took <= foundIn
		}
		time.Sleep(time.Until(began.Add(floodTime)))
		took := time.Since(began)
		after, _, err := traffic(first.host)
		if err != nil {
			return "", false, err
		}
		core := s.watch.of(first).cpu.Seconds() / took.Seconds()
		return fmt.Sprintf("%.0f %% of a core, found after %s; %.1f MB/s came", 100*core, found, float64(after-before)/1e6/took.Seconds()), core <= 0.2 && inTime, nil
	},
}

// playMulticast floods the LAN with answers, each of another invented peer at this host.
func playMulticast(p *player) error {
	pace, err := strconv.Atoi(p.words[0])
	if err != nil {
		return err
	}
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: p.at.AsSlice(), Port: 5353}, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353})
	if err != nil {
		return err
	}
	defer conn.Close()
	p.say("begun", nil)
	const step = 10 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	sent, began := 0, time.Now()
	for {
		for due := int(time.Since(began).Seconds() * float64(pace)); sent < due; sent++ {
			packet, err := inventedAnswer(p.at)
			if err != nil {
				return err
			}
			if _, err := conn.Write(packet); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-p.ctx.Done():
			return nil
		}
	}
}

// inventedAnswer is an answer of a peer that does not exist.
func inventedAnswer(at netip.Addr) ([]byte, error) {
	id, key := fmt.Sprintf("invented%08x", rand.Uint32()), make([]byte, 32)
	binary.LittleEndian.PutUint64(key, rand.Uint64())
	service := dnsmessage.MustNewName("_quicpeer._udp.local.")
	instance, err := dnsmessage.NewName(id + "." + service.String())
	if err != nil {
		return nil, err
	}
	host, err := dnsmessage.NewName(id + ".local.")
	if err != nil {
		return nil, err
	}
	record := func(name dnsmessage.Name, body dnsmessage.ResourceBody) dnsmessage.Resource {
		return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 120}, Body: body}
	}
	m := dnsmessage.Message{
		Header:  dnsmessage.Header{Response: true, Authoritative: true},
		Answers: []dnsmessage.Resource{record(service, &dnsmessage.PTRResource{PTR: instance})},
		Additionals: []dnsmessage.Resource{
			record(instance, &dnsmessage.SRVResource{Port: uint16(1024 + rand.IntN(60000)), Target: host}),
			record(instance, &dnsmessage.TXTResource{TXT: []string{"id=" + id, "key=SHA256:" + base64.RawStdEncoding.EncodeToString(key), "net="}}),
			record(host, &dnsmessage.AResource{A: at.As4()}),
		},
	}
	return m.Pack()
}
