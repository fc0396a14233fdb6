package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"quicpeer/transport"
	"quicpeer/transport/portmap"
)

// Request says what to look at.
type Request struct {
	Listen   string // as --listen
	StateDir string // empty: nothing is kept
	Peer     *Peer  // the running peer; nil: none runs, or it doesn't answer
	// Root is where the files of the system are, "/" but in tests, which also replace Run: it runs a
	// command that changes nothing, and returns its output.
	Root string
	Run  func(ctx context.Context, name string, args ...string) (string, error)
}

// echoTime is how long a packet of this machine to itself may take, and lanTime how long answers
// of the LAN are waited for. Guesses.
const (
	echoTime = 500 * time.Millisecond
	lanTime  = 700 * time.Millisecond
)

// Gather looks at this machine, until ctx ends at the latest. It takes about two seconds, for the
// router's answer.
func Gather(ctx context.Context, r Request) Facts {
	f := Facts{Peer: r.Peer, Port: r.port(), State: stateOf(r.StateDir)}
	var parts sync.WaitGroup
	parts.Go(func() { f.Socket = r.socket(ctx, f.State.Held) })
	parts.Go(func() { f.Firewalls = r.firewalls(ctx, f.Port) })
	parts.Go(func() { f.Interfaces = lookAtLAN(ctx) })
	parts.Go(func() {
		found := portmap.Probe(ctx)
		f.Router = Router{Gateway: found.Router, By: found.By, External: found.External, Behind: found.Behind()}
	})
	parts.Go(func() {
		f.NoRoute6 = noRoute6()
		f.Clock = clockNow()
		f.Clock.Newest = newest(r.StateDir)
		f.Files.Most = mostFiles()
	})
	parts.Wait()
	return f
}

// port is the one that the running peer has, or a peer would have; 0: any.
func (r Request) port() uint16 {
	address := r.Listen
	if r.Peer != nil && len(r.Peer.Listen) > 0 {
		address = r.Peer.Listen[0]
	}
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

// socket opens the socket that a peer would, or any other while a peer runs, and sends packets to
// it.
func (r Request) socket(ctx context.Context, held bool) Socket {
	s := Socket{Listen: r.Listen}
	address := r.Listen
	if r.Peer != nil || held {
		address = ":0"
	}
	conn, err := transport.Listen(address)
	if err != nil {
		s.Err = err
		if conn, err = transport.Listen(":0"); err != nil {
			return s
		}
	}
	defer conn.Close()
	s.Receive, s.Send, s.Wanted = transport.Buffers(conn)
	s.echo(ctx, conn)
	return s
}

// echo sends a packet from another socket to each own address of a socket, and waits for one of
// them.
func (s *Socket) echo(ctx context.Context, conn net.PacketConn) {
	own := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	targets := []netip.Addr{own.Addr().Unmap()}
	if own.Addr().IsUnspecified() {
		targets = append(ownAddresses(), netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	from, err := net.ListenUDP("udp", nil)
	if err != nil {
		s.SendErr = err
		return
	}
	defer from.Close()
	packet := make([]byte, 1200) // as large as QUIC's first ones are
	copy(packet, "quicpeer doctor")
	var sendErr error
	for _, ip := range targets {
		if _, err := from.WriteToUDPAddrPort(packet, netip.AddrPortFrom(ip, own.Port())); err != nil {
			sendErr = err
			continue
		}
		s.Tried = true
	}
	if !s.Tried {
		s.SendErr = sendErr
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(echoTime)) // never fails
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	sender := from.LocalAddr().(*net.UDPAddr).Port
	got := make([]byte, 2048)
	for {
		_, source, err := conn.ReadFrom(got)
		if err != nil {
			return
		}
		if u, ok := source.(*net.UDPAddr); ok && u.Port == sender {
			s.Heard = true
			return
		}
	}
}

// noRoute6 says why no route leads to the internet by IPv6. Connecting a UDP socket sends nothing.
func noRoute6() error {
	c, err := net.Dial("udp6", "[2000::1]:9")
	if err != nil {
		return err
	}
	return c.Close()
}

// ownAddresses are those of the interfaces, without loopback and those that need a zone.
func ownAddresses() (list []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			list = append(list, p.Addr().Unmap())
		}
	}
	return list
}

// read reads a small file of the system.
func (r Request) read(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(r.Root, name))
	return strings.TrimSpace(string(b)), err
}

// RunCommand runs a command of the system, and returns its output.
func RunCommand(ctx context.Context, name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/libexec/ApplicationFirewall"} { // not in the PATH of all users
			if found, missing := exec.LookPath(filepath.Join(dir, name)); missing == nil {
				path, err = found, nil
				break
			}
		}
	}
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = 100 * time.Millisecond
	var out, complaint limited
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err = cmd.Run(); err != nil {
		err = errors.Join(err, errors.New(strings.TrimSpace(string(complaint))))
	}
	return string(out), err
}

// maxCommandOutput is how much is read of what a command of the system prints: a large ruleset has
// some 100 KiB.
const maxCommandOutput = 4 << 20

// limited keeps the beginning of what is written.
type limited []byte

func (l *limited) Write(b []byte) (int, error) {
	*l = append(*l, b[:min(len(b), maxCommandOutput-len(*l))]...)
	return len(b), nil
}

// stateOf looks at the state directory, or where it would be.
func stateOf(dir string) State {
	s := State{Dir: dir}
	if dir == "" {
		return s
	}
	info, err := os.Stat(dir)
	where := dir
	switch {
	case err == nil && !info.IsDir():
		s.Err = errors.New(dir + " is not a directory")
	case err == nil:
		s.Exists = true
		s.Mode = uint32(info.Mode().Perm())
		s.Foreign = foreign(info)
		s.Held = isHeld(dir)
	case errors.Is(err, fs.ErrNotExist):
		where = existing(dir)
	default:
		s.Err = err
	}
	s.ReadOnly = !writable(where)
	s.Free, s.NoNodes, s.DiskErr = freeSpace(where)
	return s
}

// isHeld says whether a process has locked the state directory. The lock is asked for as a reader
// and given back at once, so that it is in nobody's way.
func isHeld(dir string) bool {
	path := filepath.Join(dir, "lock")
	if _, err := os.Stat(path); err != nil {
		return false // a peer makes it when it starts; we don't
	}
	lock := flock.New(path)
	defer lock.Close()
	free, err := lock.TryRLock()
	return err == nil && !free
}

// existing is the nearest directory above one that exists.
func existing(dir string) string {
	for {
		up := filepath.Dir(dir)
		if _, err := os.Stat(up); err == nil || up == dir {
			return up
		}
		dir = up
	}
}

// newest is when a file of a directory was written last.
func newest(dir string) (last time.Time) {
	list, err := os.ReadDir(dir)
	if dir == "" || err != nil {
		return last
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}
