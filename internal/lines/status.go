package lines

import (
	"time"

	"quicpeer/certs"
)

// Status sums up a running peer.
type Status struct {
	ID       certs.ID        `json:"id"`
	Key      certs.PublicKey `json:"key"`
	Network  string          `json:"network"`
	Listen   []string        `json:"listen"`  // HOST:PORT that others can dial
	Version  string          `json:"version"` // of the program
	Protocol int             `json:"protocol"`
	PID      int             `json:"pid"`
	Since    time.Time       `json:"since"` // this run
	StateDir string          `json:"state_dir"`
	Socket   string          `json:"socket"` // empty: there is none
	Disk     int64           `json:"disk"`   // bytes in the state directory
	Peers    int             `json:"peers"`
	Direct   int             `json:"direct"`        // of these, how many there is a connection to
	Waiting  int             `json:"waiting"`       // messages without a receipt
	First    uint64          `json:"history_first"` // position of the oldest event of the history; 0: it is empty
	End      uint64          `json:"history_end"`   // of the last one
}
