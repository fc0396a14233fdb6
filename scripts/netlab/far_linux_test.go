package netlab

import (
	"bytes"
	"net"
	"os"
	"testing"
	"time"
)

// TestFar: what goes to a far host and back takes as long as it is to, and comes whole.
func TestFar(t *testing.T) {
	if err := Missing("tc"); err != nil {
		t.Skip("needs ", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("a far host needs root")
	}
	lan, err := NewLAN([]string{"near", "far"})
	if err != nil {
		t.Fatal(err)
	}
	defer lan.Close()
	const delay = 200 * time.Millisecond
	if err := lan.Far(lan.Hosts[1], delay); err != nil {
		t.Fatal(err)
	}
	var ends []*net.UDPConn
	for _, h := range lan.Hosts {
		err := h.inside(func() error {
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: h.Address.AsSlice(), Port: 5000})
			if err == nil {
				ends = append(ends, conn)
				t.Cleanup(func() { conn.Close() })
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	said := bytes.Repeat([]byte("far "), 300)
	for range 3 { // the first asks for the address of Ethernet, too
		for i, from := range ends {
			begin := time.Now()
			if _, err := from.WriteTo(said, ends[1-i].LocalAddr()); err != nil {
				t.Fatal(err)
			}
			_ = ends[1-i].SetReadDeadline(begin.Add(30 * time.Second))
			buffer := make([]byte, 2000)
			n, err := ends[1-i].Read(buffer)
			if took := time.Since(begin); err != nil || !bytes.Equal(buffer[:n], said) || took < delay/2 {
				t.Errorf("%d bytes after %v: %v", n, took, err)
			}
		}
	}
}
