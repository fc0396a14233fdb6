package netlab

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// farQueue is how many packets are on their way at once in each direction of a far host's line; more are
// dropped.
const farQueue = 4096

// distance is the line of a far host: what its programs send goes into an interface of which this program
// has the other end, and from there on to the host's cable.
type distance struct {
	ends    []*os.File // of the interface, and of the cable
	running sync.WaitGroup
}

// Far makes every packet between a host and the switch take longer, by half of delay in each direction. It
// takes root: the kernel's own delay (netem) is not in every kernel, so packets wait here.
func (n *LAN) Far(h *Host, delay time.Duration) error {
	d := &distance{}
	if err := h.inside(d.open); err != nil {
		d.close()
		return fmt.Errorf("a far host: %w", err)
	}
	h.far = d
	d.carry(d.ends[0], d.ends[1], delay/2)
	d.carry(d.ends[1], d.ends[0], delay/2)
	return h.IP(
		"link set dev eth0 arp off", // it is but a cable now
		"addr flush dev eth0",
		"link set dev far0 addrgenmode none up",
		fmt.Sprintf("addr add %s/24 dev far0", h.Address))
}

// inside runs what opens files of the namespace in it. The thread ends with that: it can't come back.
func (ns *Namespace) inside(open func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		result <- func() error {
			where, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", ns.cat.Process.Pid))
			if err != nil {
				return err
			}
			defer where.Close()
			if err := unix.Setns(int(where.Fd()), unix.CLONE_NEWNET); err != nil {
				return os.NewSyscallError("setns", err)
			}
			return open()
		}()
	}()
	return <-result
}

// open opens both ends. Before each packet is a header that says what the kernel has left undone for it,
// as its checksum: so it needs no work here.
func (d *distance) open() error {
	request, err := unix.NewIfreq("far0")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	tap, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open /dev/net/tun", err)
	}
	err = unix.IoctlIfreq(tap, unix.TUNSETIFF, request)
	d.ends = append(d.ends, os.NewFile(uintptr(tap), "far0")) // not before it can be waited for
	if err != nil {
		return os.NewSyscallError("ioctl TUNSETIFF", err)
	}
	cable, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	d.ends = append(d.ends, os.NewFile(uintptr(cable), "eth0"))
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	every := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	return os.NewSyscallError("a socket for all packets of eth0", cmp.Or(
		unix.SetsockoptInt(cable, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(cable, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptPacketMreq(cable, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(eth0.Index), Type: unix.PACKET_MR_PROMISC}),
		unix.Bind(cable, &unix.SockaddrLinklayer{Protocol: every, Ifindex: eth0.Index})))
}

// delayed is a packet on its way.
type delayed struct {
	due    time.Time
	packet []byte
}

// carry takes packets from one end to the other.
func (d *distance) carry(from, to *os.File, delay time.Duration) {
	line := make(chan delayed, farQueue)
	d.running.Go(func() {
		defer close(line)
		buffer := make([]byte, 1<<17) // more than the kernel hands over at once
		for {
			n, err := from.Read(buffer)
			switch {
			case errors.Is(err, os.ErrClosed):
				return
			case err != nil: // an interface that is down
				time.Sleep(delay)
				continue
			}
			select {
			case line <- delayed{time.Now().Add(delay), bytes.Clone(buffer[:n])}:
			default:
			}
		}
	})
	d.running.Go(func() {
		for p := range line {
			time.Sleep(time.Until(p.due))
			_, _ = to.Write(p.packet) // what can't be sent is lost, as on any line
		}
	})
}

// close ends the line; packets on their way are lost.
func (d *distance) close() {
	for _, end := range d.ends {
		end.Close()
	}
	d.running.Wait()
}
