package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
	"quicpeer/pb"
	"quicpeer/scripts/internal/harness"
	"quicpeer/transport"
)

// The bare stream: a file over one QUIC stream, each MiB followed by its SHA-256.

// chunk is the number of bytes in each hash.
const chunk = 1 << 20

// role says what a process of this program does.
type role struct {
	Does string // see serve
	To   string // address of the sender, or port of the carrier
	File string
	Size int64
}

// serve is such a process. A receiver prints how many nanoseconds it took. The others first print where they are, and run
// until their input ends.
func serve(text string) error {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	switch r.Does {
	case "send":
		return r.send()
	case "receive":
		return r.receive(r.dial)
	case "carry":
		return r.carry()
	case "send carried":
		return r.sendCarried()
	}
	return r.receive(r.dialCarried)
}

// untilInputEnds waits for the end of the parent.
func untilInputEnds() { _, _ = io.Copy(io.Discard, os.Stdin) }

// identity is the identity of the peer of this name, which all processes know.
func identity(name string) *certs.Identity {
	seed := sha256.Sum256([]byte(name))
	return certs.NewIdentity(seed[:])
}

// send listens for one stream, and sends the file on it.
func (r role) send() error {
	conf, err := identity(sender).TLS(certs.PublicKey{}, nil)
	if err != nil {
		return err
	}
	listener, err := quic.ListenAddr("127.0.0.1:0", conf, &quic.Config{})
	if err != nil {
		return err
	}
	defer listener.Close()
	fmt.Println(listener.Addr())
	conn, err := listener.Accept(context.Background())
	if err != nil {
		return err
	}
	stream, err := conn.AcceptStream(context.Background())
	if err != nil {
		return err
	}
	return r.write(stream)
}

// dial connects to the sender.
func (r role) dial() (io.ReadWriter, error) {
	conf, err := identity(receiverName(0)).TLS(identity(sender).Key(), nil)
	if err != nil {
		return nil, err
	}
	conn, err := quic.DialAddr(context.Background(), r.To, conf, &quic.Config{})
	if err != nil {
		return nil, err
	}
	return conn.OpenStream()
}

// write waits for a byte, sends the file, and waits for the end of the parent.
func (r role) write(stream io.ReadWriter) error {
	file, err := os.Open(r.File)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.ReadFull(stream, make([]byte, 1)); err != nil {
		return err
	}
	room := make([]byte, chunk)
	for left := r.Size; left > 0; left -= int64(len(room)) {
		room = room[:min(chunk, left)]
		if _, err := io.ReadFull(file, room); err != nil {
			return err
		}
		sum := sha256.Sum256(room)
		if _, err := stream.Write(room); err != nil {
			return err
		}
		if _, err := stream.Write(sum[:]); err != nil {
			return err
		}
	}
	untilInputEnds()
	return nil
}

// receive receives the file.
func (r role) receive(dial func() (io.ReadWriter, error)) error {
	began := time.Now()
	stream, err := dial()
	if err != nil {
		return err
	}
	file, err := os.Create(r.File)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := stream.Write([]byte{1}); err != nil {
		return err
	}
	room := make([]byte, chunk+sha256.Size)
	for left := r.Size; left > 0; {
		n := int(min(chunk, left))
		if _, err := io.ReadFull(stream, room[:n+sha256.Size]); err != nil {
			return err
		}
		if sha256.Sum256(room[:n]) != [sha256.Size]byte(room[n:n+sha256.Size]) {
			return errors.New("a hash does not match")
		}
		if _, err := file.Write(room[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	if err := file.Sync(); err != nil {
		return err
	}
	fmt.Println(time.Since(began).Nanoseconds())
	return nil
}

// tag is the tag of the peer of this name.
func tag(name string) transport.Tag {
	sum := sha256.Sum256([]byte("tag " + name))
	return transport.Tag(binary.BigEndian.Uint64(sum[:]))
}

// endpoint listens as the peer of this name.
func endpoint(name, listen string) (*transport.Endpoint, error) {
	conn, err := transport.Listen(listen)
	if err != nil {
		return nil, err
	}
	end, err := transport.NewEndpoint(transport.Config{Conn: conn, Identity: identity(name), Tag: tag(name)})
	if err != nil {
		return nil, err
	}
	go func() { // until the process ends
		for w := range end.CarryWishes() {
			if w.Packet == nil {
				end.ForgetWay(w.To) // the way is set by hand, or there is none
			}
		}
	}()
	return end, nil
}

// The first frames of a link. Their fields don't matter here.
var (
	question = &pb.PeerMessage{Type: pb.PeerMessageType_NEIGHBOUR, Content: &pb.PeerMessage_Neighbour{Neighbour: &pb.Neighbour{Type: pb.NeighbourType_REQUEST}}}
	accepted = &pb.PeerMessage{Type: pb.PeerMessageType_NEIGHBOUR, Content: &pb.PeerMessage_Neighbour{Neighbour: &pb.Neighbour{Type: pb.NeighbourType_ACCEPT}}}
)

// exchange sends a frame on a link and receives one, or receives first.
func exchange(l *transport.Link, m *pb.PeerMessage, sendFirst bool) error {
	frame, err := pb.Append(nil, m)
	if err != nil {
		return err
	}
	if sendFirst {
		if err := l.Send(frame); err != nil {
			return err
		}
		_, err = l.Receive()
		return err
	}
	if _, err := l.Receive(); err != nil {
		return err
	}
	return l.Send(frame)
}

// carry carries between the sender and the receiver.
func (r role) carry() error {
	end, err := endpoint(carrier, "[::]:0")
	if err != nil {
		return err
	}
	defer end.Close()
	fmt.Println(end.Addr().Port())
	go func() {
		for {
			l, err := end.Accept(context.Background())
			if err != nil {
				return
			}
			if err := exchange(l, accepted, false); err != nil {
				continue // the process at the other end fails
			}
			for _, name := range []string{sender, receiverName(0)} {
				if identity(name).Key() == l.Peer() {
					end.SetWay(tag(name), l)
				}
			}
		}
	}()
	untilInputEnds()
	return nil
}

// over connects the peer of this name to the carrier, over which it reaches the other.
func (r role) over(name, host, other string) (*transport.Endpoint, error) {
	end, err := endpoint(name, host+":0")
	if err != nil {
		return nil, err
	}
	at, err := netip.ParseAddrPort(host + ":" + r.To)
	if err != nil {
		return nil, err
	}
	l, err := end.Dial(context.Background(), at, identity(carrier).Key())
	if err != nil {
		return nil, err
	}
	end.SetWay(tag(other), l)
	return end, exchange(l, question, true)
}

func (r role) sendCarried() error {
	end, err := r.over(sender, "127.0.0.1", receiverName(0))
	if err != nil {
		return err
	}
	fmt.Println("here")
	bulk, err := end.AcceptBulk(context.Background())
	if err != nil {
		return err
	}
	stream, err := bulk.AcceptStream(context.Background())
	if err != nil {
		return err
	}
	return r.write(stream)
}

func (r role) dialCarried() (io.ReadWriter, error) {
	end, err := r.over(receiverName(0), "[::1]", sender)
	if err != nil {
		return nil, err
	}
	bulk, err := end.DialBulkCarried(context.Background(), tag(sender), identity(sender).Key())
	if err != nil {
		return nil, err
	}
	return bulk.OpenStream(context.Background())
}

// begin starts a process, and returns the first line that it prints.
func begin(r role) (p *harness.Process, line string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, "", err
	}
	cmd := exec.Command(self, "-serve", string(text))
	cmd.Stderr = os.Stderr
	return harness.StartReady(harness.Spec{Cmd: cmd, Line: func(*harness.Process, []byte) {}},
		func(line []byte) string { return strings.TrimSpace(string(line)) })
}

// bare sends the file over a bare stream.
func (o options) bare() (time.Duration, error) {
	from, at, err := begin(role{Does: "send", File: o.large, Size: o.size()})
	if err != nil {
		return 0, err
	}
	defer end(from)
	return o.bareTo(role{Does: "receive", To: at})
}

// bareCarried sends it over a third process.
func (o options) bareCarried() (time.Duration, error) {
	over, port, err := begin(role{Does: "carry"})
	if err != nil {
		return 0, err
	}
	defer end(over)
	from, _, err := begin(role{Does: "send carried", To: port, File: o.large, Size: o.size()})
	if err != nil {
		return 0, err
	}
	defer end(from)
	return o.bareTo(role{Does: "receive carried", To: port})
}

// bareTo runs the receiving side, and returns how long it took.
func (o options) bareTo(r role) (time.Duration, error) {
	r.File, r.Size = filepath.Join(o.work, "bare.bin"), o.size()
	to, took, err := begin(r)
	if err != nil {
		return 0, err
	}
	end(to)
	var d time.Duration
	if _, err := fmt.Sscan(took, (*int64)(&d)); err != nil {
		return 0, err
	}
	return d, os.Remove(r.File)
}

// end ends a process by ending its input.
func end(p *harness.Process) {
	p.Input.Close()
	<-p.Gone()
}
