//go:build !linux

package netlab

import (
	"errors"
	"time"
)

type distance struct{}

func (*distance) close() {}

// Far is for Linux alone.
func (n *LAN) Far(*Host, time.Duration) error { return errors.New("a far host: this is not Linux") }
