package doctor

import (
	"net"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// occupied is a socket of another program.
func occupied(t *testing.T) (*net.UDPConn, string) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return conn, conn.LocalAddr().String()
}

func TestHeard(t *testing.T) {
	answer := func(name string, kind dnsmessage.Type) []byte {
		m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Answers: []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName("x.local.")},
		}}}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, test := range map[string]struct {
		packet []byte
		want   int
	}{
		"our question":      {question("doctor-1"), ourQuestion},
		"another's":         {question("doctor-2"), somethingElse},
		"an answer":         {answer("_QuicPeer._udp.local.", dnsmessage.TypePTR), peerAnswers},
		"another service's": {answer("_http._tcp.local.", dnsmessage.TypePTR), somethingElse},
		"garbage":           {[]byte("what"), somethingElse},
		"nothing":           {nil, somethingElse},
	} {
		if got := heard(test.packet, "doctor-1"); got != test.want {
			t.Errorf("%s: %d", name, got)
		}
	}
}

func FuzzHeard(f *testing.F) {
	f.Add(question("doctor-1"))
	f.Fuzz(func(_ *testing.T, packet []byte) { heard(packet, "doctor-1") })
}
