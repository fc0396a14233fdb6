package discovery

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/time/rate"

	"quicpeer/certs"
	"quicpeer/scripts/netlab"
)

var loopbackIP = netip.MustParseAddr("127.0.0.1")

// TestPackets: what a peer says is read as it was meant, by IPv4 and IPv6, and so is its question; the
// address is that of the packet.
func TestPackets(t *testing.T) {
	asked, answers, err := readPacket(question(), loopbackIP)
	if err != nil || asked == nil || asked.unicast || len(answers) != 0 {
		t.Errorf("a question is read as %+v, %+v, %v", asked, answers, err)
	}
	d := newDiscovery(Config{ID: "a.b_c-d", Key: certs.PublicKey{7}, Network: "team", Port: 5001})
	for _, ip := range []string{"10.7.0.1", "fe80::1"} {
		packet, err := d.service().packet(asked, netip.MustParseAddr(ip))
		if err != nil {
			t.Fatal(err)
		}
		again, answers, err := readPacket(packet, netip.MustParseAddr("10.7.0.9"))
		if err != nil || again != nil || len(answers) != 1 {
			t.Fatalf("an answer is read as %+v, %+v, %v", again, answers, err)
		}
		if p, err := d.parse(answers[0]); err != nil || p.ID != "a.b_c-d" || p.Address.String() != "10.7.0.9:5001" || !d.isOwn(answers[0]) {
			t.Errorf("it is taken as %+v, %v", p, err)
		}
	}
	for _, packet := range []string{"", "\x00", string(question()[:20]), strings.Repeat("\xff", 100)} {
		if asked, answers, err := readPacket([]byte(packet), loopbackIP); err == nil || asked != nil || len(answers) != 0 {
			t.Errorf("%q is read as %+v, %+v", packet, asked, answers)
		}
	}
}

// TestHeardFairly: whoever sends much is heard seldom, whoever sends little is heard, and few are remembered.
func TestHeardFairly(t *testing.T) {
	on := &lan{sources: make(map[netip.Addr]*rate.Limiter), all: rate.NewLimiter(allRate, allPackets)}
	now, loud := time.Now(), 0
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range 100_000 { // in ten seconds
		now = now.Add(100 * time.Microsecond)
		if on.mayHear(address(0), now) {
			loud++
		}
		if i%10_000 == 0 && !on.mayHear(address(1), now) {
			t.Error("one that says little is not heard")
		}
	}
	if most := hostPackets + 10*hostRate + 1; loud > most {
		t.Errorf("one host is heard %d times, of %d", loud, most)
	}
	all := 0
	for i := range 100_000 { // each from another address
		now = now.Add(10 * time.Microsecond)
		if on.mayHear(address(100+i), now) {
			all++
		}
	}
	if all > allPackets+allRate+1 || len(on.sources) > maxSources {
		t.Errorf("in a second %d are heard, and %d addresses remembered", all, len(on.sources))
	}
}

// TestFlood: a host that makes up answers without end keeps peers from nothing.
func TestFlood(t *testing.T) {
	if !onLAN(t) {
		return
	}
	if err := netlab.Here.IP("addr add 10.7.0.2/24 dev eth0"); err != nil {
		t.Fatal(err)
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		flood(t, end)
	}()
	var invented atomic.Int64
	real := make(chan Peer, 1)
	began := time.Now()
	first, _ := begin(t, 1, "team")
	second := Start(Config{ID: "p2", Key: certs.PublicKey{2}, Network: "team", Port: 5002, Log: silent, Found: func(p Peer) {
		if p.Address.Addr() == netip.MustParseAddr("10.7.0.2") {
			invented.Add(1)
		} else {
			select {
			case real <- p:
			default:
			}
		}
	}})
	select {
	case p := <-real:
		if p.ID != "p1" {
			t.Errorf("found %+v", p)
		}
	case <-time.After(20 * time.Second):
		t.Error("the other peer is not found")
	}
	for invented.Load() == 0 {
		select {
		case <-first: // inventions, too
		case <-ended:
			t.Fatal("the flood has ended")
		}
	}
	second.Close()
	if n, most := invented.Load(), int64(hostPackets+hostRate*(time.Since(began).Seconds()+1)); n > most {
		t.Errorf("%d inventions are found, of %d", n, most)
	}
	close(end)
	<-ended
}

// flood sends answers of invented peers from another address of this host.
func flood(t *testing.T, end <-chan struct{}) {
	card, err := net.InterfaceByName("eth0")
	if err != nil {
		t.Error(err)
		return
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 7, 0, 2)})
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if err := ipv4.NewPacketConn(conn).SetMulticastInterface(card); err != nil {
		t.Error(err)
		return
	}
	for i := 0; ; i++ {
		select {
		case <-end:
			return
		default:
		}
		key := "SHA256:" + base64.RawStdEncoding.EncodeToString(fmt.Appendf(nil, "%032d", i))
		s := service{fmt.Sprint("invented", i), "invented.local.", 1000, []string{fmt.Sprint("id=x", i), "key=" + key, "net=team"}}
		packet, err := s.packet(&query{}, netip.MustParseAddr("10.7.0.2"))
		if err == nil {
			_, err = conn.WriteToUDPAddrPort(packet, group4)
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}
