// Command quicpeer is a peer of a network without servers: it joins, says who is
// there, and sends and receives messages, for people (typed lines) and for
// programs (JSON lines).
//
// The command itself is package internal/cli, so that tests can run it.
package main

import (
	"os"

	"quicpeer/internal/cli"
)

// version is set by the linker for a release:
// go build -ldflags "-X main.version=1.2.3".
var version string

func main() { os.Exit(cli.Main(version)) }
