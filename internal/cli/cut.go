package cli

import (
	"net"

	"quicpeer/transport"
)

// cutSocket is the fault injection of scenario tests (--cut-file, which --help
// doesn't show): a socket that loses what comes from and goes to the addresses in
// the file.
func cutSocket(listen, file string) (net.PacketConn, error) {
	conn, err := transport.Listen(listen)
	if err != nil {
		return nil, err
	}
	return transport.Cut(conn, file), nil
}
