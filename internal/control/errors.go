package control

import (
	"errors"
	"fmt"
	"strings"
)

// NoPeerError: no peer runs that could be asked.
type NoPeerError struct{ Dir string } // its state directory; empty: any

func (e *NoPeerError) Error() string {
	if e.Dir == "" {
		return "no peer of this user is running"
	}
	return "no peer is running in " + e.Dir
}

// SeveralError: several peers run, and none was named.
type SeveralError struct{ IDs []string }

func (e *SeveralError) Error() string {
	return fmt.Sprintf("%d peers of this user are running: %s", len(e.IDs), strings.Join(e.IDs, ", "))
}

// Refused is the answer to a request, or to a command, that the peer has not carried out.
type Refused struct {
	Problem string `json:"error"`
	Code    string `json:"code"`
}

func (e *Refused) Error() string { return e.Problem }

// ErrBroken: the peer has stopped in the middle of an answer.
var ErrBroken = errors.New("the peer has stopped before it had answered")
